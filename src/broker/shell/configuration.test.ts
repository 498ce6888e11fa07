/** Creating, changing and removing topics and groups. */
import { describe, expect, it } from 'vitest'
import type { Disk } from '../../world/disk.ts'
import { settle } from '../../world/simulated.ts'
import { limits } from '../core/limits.ts'
import {
  ack,
  broker,
  changeSettings,
  clock,
  disk,
  ensureGroup,
  gate,
  HOUR,
  MINUTE,
  receive,
  reported,
  restart,
  send,
  sendMany,
  text,
  topicSpec,
  useBroker,
} from './test-broker.ts'

useBroker()

describe('subscriptions', () => {
  it('are refused beyond a number, to groups made by use at half of it, and those that are there go on', async () => {
    await ensureGroup({ consumerGroupId: 'created' })
    await receive({ group: 'made' })
    await broker.administration.ensureTopics([topicSpec('other')])
    const { state } = broker
    // As if there were so many more.
    state.liteSubscriptionCount = -limits.subscriptions / 2
    await expect(receive({ group: 'made', topic: 'other' })).rejects.toThrow(
      /25000 are allowed before groups that clients/,
    )
    expect(await receive({ group: 'made' })).toEqual([])
    expect(await receive({ group: 'created', topic: 'other' })).toEqual([])
    state.liteSubscriptionCount = -limits.subscriptions
    const reset = { group: 'created', topic: 'topic', queueId: 0, offset: 0 }
    await expect(broker.offsets.update(reset)).rejects.toThrow(/50000 are allowed; delete groups or topics/)
    state.liteSubscriptionCount = 0
    await broker.offsets.update(reset)
  })
})

describe('a new group', () => {
  it('begins at the first message of a young topic, and at the end of one that has lost some', async () => {
    changeSettings({ retentionMs: HOUR })
    await restart({ segmentBytes: 4_096 })
    await sendMany(5)
    expect(await receive({ group: 'early' })).toHaveLength(5)
    await sendMany(40)
    await sendMany(40)
    await clock.advance(30 * MINUTE)
    await sendMany(40)
    await clock.advance(31 * MINUTE)
    expect(broker.inspection.usage().messages).toBeLessThan(125)
    await send()
    expect(await receive({ group: 'late' })).toEqual([])
    await send()
    expect(await receive({ group: 'late' })).toHaveLength(1)
  })

  it('is made by use with Apache defaults, and keeps its progress when the management plane names it', async () => {
    await sendMany(2)
    const [delivery] = await receive({ group: 'made', max: 1 })
    expect(broker.metadata.group('made')).toMatchObject({
      generation: 0,
      maxRetryTimes: 16,
      maxAttempts: 17,
      orderly: false,
    })
    expect(broker.metadata.group('made')!.retryDelaysMs.slice(0, 3)).toEqual([10_000, 30_000, 60_000])
    await ensureGroup({ consumerGroupId: 'made', generation: 3 })
    expect(await ack(delivery!, { group: 'made' })).toBe('done')
    expect(await receive({ group: 'made' })).toHaveLength(1)
    expect(broker.metadata.group('made')).toMatchObject({ generation: 3, maxRetryTimes: 16 })
  })

  it('that was removed begins anew once it is created again', async () => {
    await sendMany(3)
    const [delivery] = await receive({ max: 1 })
    await broker.administration.removeGroup('group')
    await ensureGroup({ generation: 2 })
    expect(await ack(delivery!)).toBe('expired')
    expect(await receive()).toHaveLength(3)
  })
})

describe('a group that is removed', () => {
  const refused = {
    code: 40403,
    message: expect.stringMatching(/group was deleted; create it again with CreateConsumer/),
  }

  it('is refused to its clients, to those that wait too, through restarts, until it is created again', async () => {
    await ensureGroup({ generation: 2, orderly: true, maxRetryTimes: 3 })
    const waiting = receive({ waitMs: 20_000 })
    await settle()
    const told = expect(waiting).rejects.toMatchObject(refused)
    await broker.administration.removeGroup('group')
    await told
    for (const killed of [false, true]) {
      expect(() => broker.consuming.useGroup('group')).toThrow(expect.objectContaining(refused))
      await expect(receive()).rejects.toMatchObject(refused)
      const pulled = broker.offsets.pull(
        { group: 'group', topic: 'topic', queueId: 0, offset: 0, filter: null, max: 1, waitMs: 0 },
        new AbortController().signal,
      )
      await expect(pulled).rejects.toMatchObject(refused)
      const moved = broker.offsets.update({ group: 'group', topic: 'topic', queueId: 0, offset: 0 })
      await expect(moved).rejects.toMatchObject(refused)
      expect(broker.metadata.groups()).toEqual([])
      await restart({ killed })
    }
    expect(await receive({ group: 'never-deleted' })).toEqual([])
    await ensureGroup({ generation: 5, orderly: true, maxRetryTimes: 3 })
    expect(await receive()).toEqual([])
    expect(broker.metadata.group('group')).toMatchObject({ generation: 5, orderly: true, maxRetryTimes: 3 })
  })

  it('may be made by use after seven days', async () => {
    await broker.administration.removeGroup('group')
    await clock.advance(7 * 24 * HOUR - 1)
    await expect(receive()).rejects.toMatchObject(refused)
    await clock.advance(1)
    expect(await receive()).toEqual([])
    expect(broker.metadata.group('group')).toMatchObject({ generation: 0 })
  })

  it('is refused when it never came this far, and is written down once', async () => {
    await broker.administration.removeGroup('of-the-ledger-only')
    const { storedBytes } = broker.inspection.usage()
    await broker.administration.removeGroup('of-the-ledger-only')
    expect(broker.inspection.usage().storedBytes).toBe(storedBytes)
    await expect(receive({ group: 'of-the-ledger-only' })).rejects.toMatchObject({ code: 40403 })
  })
})

describe('a topic that is removed', () => {
  it('takes its messages, its waiters and its handles with it; made again it is another', async () => {
    await sendMany(3)
    const [delivery] = await receive({ max: 1 })
    await receive()
    const waiting = receive({ waitMs: 20_000 })
    await settle()
    const refused = expect(waiting).rejects.toMatchObject({ code: 40402 })
    await broker.administration.removeTopic('topic')
    await refused
    expect(broker.metadata.topic('topic')).toBeNull()
    expect(broker.inspection.usage()).toMatchObject({ messages: 0, inflight: 0 })
    await broker.administration.ensureTopics([topicSpec('topic')])
    await send('tag', 'new')
    expect(await ack(delivery!)).toBe('expired')
    expect((await receive()).map(text)).toEqual(['new'])
    await restart()
    expect(await ack(delivery!)).toBe('expired')
    expect(broker.inspection.usage()).toMatchObject({ messages: 1, inflight: 1 })
  })
})

describe('a topic that is removed while index files of its messages are still to be written', () => {
  /** Index files are begun, and segments written, only while their gate is open. */
  async function behindGates() {
    const gates = { index: gate(), segment: gate() }
    const boot = disk.boot()
    const behind = (path: string) =>
      Object.entries(gates)
        .find(([end]) => path.includes(end))?.[1]
        .passed()
    const seen: Disk = {
      ...boot,
      async open(path, mode) {
        const file = await boot.open(path, mode)
        return {
          read: (target, position) => file.read(target, position),
          datasync: () => file.datasync(),
          truncate: (sizeBytes) => file.truncate(sizeBytes),
          size: () => file.size(),
          close: () => file.close(),
          async write(chunks, position) {
            const bytes = [Buffer.concat(chunks)]
            await behind(path)
            await file.write(bytes, position)
          },
        }
      },
    }
    await restart({ segmentBytes: 8_192, disk: seen })
    return gates
  }

  it('is gone after a kill, though its messages are replayed', async () => {
    const gates = await behindGates()
    gates.index.close()
    for (let segments = 0; segments < 4; segments++) await sendMany(100)
    await broker.administration.removeTopic('topic')
    gates.index.open()
    await clock.advance(0)
    await restart({ killed: true, segmentBytes: 8_192 })
    expect(broker.metadata.topics()).toEqual([])
  })

  it('is there with all its messages when a power cut takes the removal back', async () => {
    const gates = await behindGates()
    gates.index.close()
    for (let segments = 0; segments < 4; segments++) await sendMany(100)
    gates.segment.close()
    const removal = broker.administration.removeTopic('topic').catch(() => {})
    gates.index.open()
    await clock.advance(0)
    disk.powerCut()
    gates.segment.open()
    await removal
    reported.length = 0
    await restart({ killed: true, segmentBytes: 8_192 })
    const seen = new Set<string>()
    for (let got = await receive({ max: 1_000 }); got.length > 0; got = await receive({ max: 1_000 }))
      for (const { messageId } of got) seen.add(messageId)
    expect(seen.size).toBe(400)
  })
})
