/**
 * The broker's promises, one by one, on a simulated clock and disk.
 *
 * What chance may do to them is the simulation's business (test/simulation); these say what each rule is.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GroupSpec } from '../../engines/engine.ts'
import type { Disk } from '../../world/disk.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import type { BrokerSettings, Delivery, HandleOutcome, ReceiveRequest, SendReceipt } from '../broker.ts'
import { tagHash } from '../core/filter.ts'
import { limits } from '../core/limits.ts'
import { encodeState } from '../core/snapshot.ts'
import { LogError } from '../log/errors.ts'
import type { BrokerShell } from './broker-shell.ts'
import { openShell } from './open.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

let clock: SimulatedClock
let disk: SimulatedDisk
let random: SimulatedRandom
let broker: BrokerShell
let settings: BrokerSettings
let reported: unknown[]
let messages: number

beforeEach(async () => {
  clock = new SimulatedClock()
  random = new SimulatedRandom(1)
  disk = new SimulatedDisk({ random })
  settings = { retentionMs: 72 * HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 40 * 24 * HOUR }
  reported = []
  messages = 0
  await open()
  await broker.ensureTopics([topicSpec('topic')])
  await ensureGroup({})
  await subscribe()
})

afterEach(async () => {
  await broker.close()
  expect(reported).toEqual([])
})

describe('a message', () => {
  it('is delivered as it was sent, once, and is gone when acknowledged', async () => {
    const [receipt] = await send('tag', 'hello')
    const [delivery] = await receive()
    expect({ ...delivery, payload: text(delivery!) }).toMatchObject({
      messageId: receipt!.messageId,
      payload: 'hello',
      attempt: 1,
      offset: 0,
      storeTimeMs: receipt!.storeTimeMs,
      invisibleMs: 30_000,
    })
    expect(await receive()).toEqual([])
    expect(await ack(delivery!)).toBe('done')
    await clock.advance(HOUR)
    expect(await receive()).toEqual([])
    expect(broker.usage()).toMatchObject({ messages: 1, inflight: 0 })
  })

  it('reaches every group', async () => {
    await subscribe({ group: 'other' })
    await send()
    const [[mine], [theirs]] = [await receive(), await receive({ group: 'other' })]
    expect(mine!.messageId).toBe(theirs!.messageId)
    expect(await ack(theirs!, { group: 'group' })).toBe('expired')
    expect(await ack(theirs!, { group: 'other' })).toBe('done')
  })

  it('goes to the queues in turn, each with its own offsets', async () => {
    const receipts = await sendMany(10)
    expect(receipts.map(({ queueId, offset }) => `${queueId}:${offset}`)).toEqual([
      '0:0',
      '1:0',
      '2:0',
      '3:0',
      '4:0',
      '5:0',
      '6:0',
      '7:0',
      '0:1',
      '1:1',
    ])
  })

  it('is seen by nobody before it is durable', async () => {
    const waiting = receive({ waitMs: 20_000 })
    const refused = expect(waiting).rejects.toMatchObject({ code: 50001 })
    disk.inject({ operation: 'datasync', error: 'EIO', times: 1_000 })
    await expect(send()).rejects.toMatchObject({ code: 50001 })
    await refused
    expect(reported.splice(0)).toHaveLength(1)
  })

  it('of an unknown topic is refused by code and name, sent or received', async () => {
    const expected = { code: 40402, message: expect.stringContaining('nowhere') }
    const message = { messageId: 'x', tag: null, payload: new Uint8Array(), bodyBytes: 0 }
    await expect(broker.send({ topic: 'nowhere', messages: [message] })).rejects.toMatchObject(expected)
    await expect(receive({ topic: 'nowhere' })).rejects.toMatchObject(expected)
  })
})

describe('a delivery that is not acknowledged in time', () => {
  it('comes again with the next attempt, before fresh messages, and its old handle is expired', async () => {
    await send('tag', 'first')
    const [first] = await receive()
    await clock.advance(30_000)
    await sendMany(3)
    const [again] = await receive({ max: 1 })
    expect({ payload: text(again!), attempt: again!.attempt }).toEqual({ payload: 'first', attempt: 2 })
    expect(again!.handle).not.toBe(first!.handle)
    expect(await ack(first!)).toBe('expired')
    expect(await ack(again!)).toBe('done')
    expect(await ack(first!)).toBe('done')
  })

  it('is expired at its deadline even when nobody has got it since', async () => {
    await send()
    const [delivery] = await receive()
    await clock.advance(29_999)
    expect(broker.usage().inflight).toBe(1)
    await clock.advance(1)
    expect(await ack(delivery!)).toBe('expired')
  })

  it('wakes a waiting receive at that moment', async () => {
    await send()
    await receive({ invisibleMs: 10_000 })
    const waiting = receive({ waitMs: 20_000 })
    await clock.advance(9_999)
    expect(await settled(waiting)).toBe(false)
    await clock.advance(1)
    expect((await waiting)[0]!.attempt).toBe(2)
  })

  it('is delivered maxRetryTimes + 1 times, then lies among the dead letters with its origin', async () => {
    await ensureGroup({ maxRetryTimes: 2 })
    const [receipt] = await send('tag', 'poison')
    const attempts: number[] = []
    for (let round = 0; round < 6; round++) {
      for (const delivery of await receive()) attempts.push(delivery.attempt)
      await clock.advance(30_000)
    }
    expect(attempts).toEqual([1, 2, 3])
    const [dead] = await receive({ topic: '%DLQ%group', group: 'auditor' })
    expect({ ...dead, payload: text(dead!) }).toMatchObject({
      messageId: receipt!.messageId,
      payload: 'poison',
      deadLetterOf: { topicName: 'topic', messageId: receipt!.messageId },
    })
    expect(broker.topic('%DLQ%group')).toMatchObject({ queues: 1, generation: 0, messageType: 'NORMAL' })
    expect(broker.usage().inflight).toBe(1)
  })

  it('goes to the topic the group names for its dead letters, if that exists', async () => {
    await broker.ensureTopics([topicSpec('graveyard')])
    await ensureGroup({ maxRetryTimes: 0, deadLetterTopic: 'graveyard' })
    await send()
    await receive()
    await clock.advance(30_000)
    expect(await receive({ topic: 'graveyard', group: 'auditor' })).toHaveLength(1)
    await ensureGroup({ maxRetryTimes: 0, deadLetterTopic: 'missing' })
    await send()
    await receive()
    await clock.advance(30_000)
    expect(await receive({ topic: '%DLQ%group', group: 'auditor' })).toHaveLength(1)
  })

  it('out of retries among its own dead letters is let go there, not copied round and round', async () => {
    await ensureGroup({ maxRetryTimes: 0 })
    await send()
    await receive()
    await clock.advance(30_000)
    expect(await receive({ topic: '%DLQ%group' })).toHaveLength(1)
    await clock.advance(HOUR)
    expect(await receive({ topic: '%DLQ%group' })).toEqual([])
    expect(await receive({ topic: '%DLQ%group', group: 'auditor' })).toHaveLength(1)
  })

  it('obeys a lowered number of retries at once', async () => {
    await send()
    await receive()
    await clock.advance(30_000)
    await ensureGroup({ maxRetryTimes: 0 })
    await clock.advance(1)
    expect(await receive()).toEqual([])
    expect(await receive({ topic: '%DLQ%group', group: 'auditor' })).toHaveLength(1)
  })
})

describe('changing the invisible time', () => {
  it('keeps the delivery: the old and the new handle name it', async () => {
    await sendMany(2)
    const [one, two] = await receive()
    const changed = await change(one!, 50_000)
    await change(two!, 50_000)
    await clock.advance(40_000)
    expect(changed.outcome).toBe('done')
    expect(await ack({ ...one!, handle: changed.handle })).toBe('done')
    expect(await ack(two!)).toBe('done')
  })

  it('is how a consumer says "again, after a pause"', async () => {
    await send()
    const [delivery] = await receive()
    await change(delivery!, 5_000)
    await clock.advance(4_999)
    expect(await receive()).toEqual([])
    await clock.advance(1)
    expect(await ack(delivery!)).toBe('expired')
    expect((await receive())[0]!.attempt).toBe(2)
  })

  it('to nothing makes the message visible at once', async () => {
    await send()
    const [delivery] = await receive()
    await change(delivery!, 0)
    await clock.advance(0)
    expect(await receive()).toHaveLength(1)
  })

  it.each([
    ['a later delivery', 30_000],
    ['a delivery past its deadline', 30_000],
  ])('by the handle of an earlier one does not touch %s', async (_, passed) => {
    await send()
    const [delivery] = await receive()
    await clock.advance(passed)
    await receive()
    expect((await change(delivery!, HOUR)).outcome).toBe('expired')
    await clock.advance(30_000)
    expect((await receive())[0]!.attempt).toBe(3)
  })

  it.each(['', 'nonsense', 'g1.99.0.0.1.1', 'g1.1.0.99.1.1', 'g1.1.9.0.1.1'])(
    'handle %j is expired',
    async (handle) => {
      const request = { group: 'group', topic: 'topic', clientId: 'client' }
      expect(await broker.changeInvisible({ ...request, handle, invisibleMs: 1 })).toMatchObject({ outcome: 'expired' })
      expect(await broker.ack({ ...request, handles: [handle] })).toEqual([{ outcome: 'expired' }])
    },
  )
})

describe('auto renewal', () => {
  const renewing = { autoRenew: true, invisibleMs: 0 }

  it('keeps a delivery invisible while its client is heard, under the first handle', async () => {
    await send()
    const [delivery] = await receive(renewing)
    expect(delivery!.invisibleMs).toBe(60_000)
    await hearFor(2 * HOUR)
    expect(await receive({ clientId: 'other' })).toEqual([])
    expect(await ack(delivery!)).toBe('done')
  })

  it('ends when the client falls silent', async () => {
    await send()
    await receive(renewing)
    await hearFor(10 * MINUTE)
    await clock.advance(limits.ownerSilenceMs + 60_000)
    expect((await receive({ clientId: 'other' }))[0]!.attempt).toBe(2)
  })

  it('ends one second after the client is gone, for what it held and for nothing else', async () => {
    await sendMany(2)
    await receive({ ...renewing, max: 1 })
    await receive({ ...renewing, max: 1, clientId: 'other' })
    broker.clientGone('client')
    await clock.advance(999)
    expect(await receive()).toEqual([])
    await clock.advance(1)
    expect(await receive()).toHaveLength(1)
  })

  it('is given up after three hours, and the message comes again after the group pause', async () => {
    await ensureGroup({ retry: { kind: 'fixed', intervalSeconds: 7 } })
    await send()
    await receive(renewing)
    await hearFor(3 * HOUR - MINUTE)
    expect(await receive({ clientId: 'other' })).toEqual([])
    await hearFor(MINUTE)
    await clock.advance(6_999)
    expect(await receive({ clientId: 'other' })).toEqual([])
    await clock.advance(1)
    expect(await receive({ clientId: 'other' })).toHaveLength(1)
  })

  it('goes on after a restart: the owner has a fresh minute to be heard in', async () => {
    await sendMany(2)
    const held = await receive(renewing)
    await hearFor(10 * MINUTE)
    await restart()
    await clock.advance(59_999)
    expect(await receive({ clientId: 'other' })).toEqual([])
    expect(await ack(held[0]!)).toBe('done')
    await hearFor(5 * MINUTE)
    expect(await receive({ clientId: 'other' })).toEqual([])
    expect(await ack(held[1]!)).toBe('done')
  })
})

describe('a tag filter', () => {
  it('passes over what it does not match, for the whole group', async () => {
    await sendMany(2_500, 'no')
    await send('yes')
    await sendMany(2_500, 'no')
    const found = await receive({ filter: new Set(['yes']), max: 32 })
    expect(found.map((delivery) => delivery.messageId)).toEqual(['M02500'])
    expect(await receive()).toEqual([])
  })

  it('tells tags apart that share a hash', async () => {
    expect(tagHash('tag36vu')).toBe(tagHash('tagayea'))
    await sendMany(3, 'tagayea')
    const waiting = receive({ filter: new Set(['tag36vu']), waitMs: 20_000 })
    expect(await settled(waiting)).toBe(false)
    await send('tag36vu', 'wanted')
    expect((await waiting).map(text)).toEqual(['wanted'])
    await clock.advance(HOUR)
    expect((await receive({ filter: new Set(['tagayea']) })).length).toBe(0)
  })

  it('does not match a message without a tag', async () => {
    await send(null)
    expect(await receive({ filter: new Set(['']) })).toEqual([])
  })

  it('leaves a waiting receive waiting', async () => {
    const waiting = receive({ filter: new Set(['yes']), waitMs: 20_000 })
    await sendMany(20, 'no')
    expect(await settled(waiting)).toBe(false)
    await send('yes')
    expect(await waiting).toHaveLength(1)
  })
})

describe('waiting receives', () => {
  it('are served in order, one for one', async () => {
    const order: string[] = []
    const waiting = ['a', 'b', 'c'].map(async (clientId) => {
      await receive({ clientId, max: 1, waitMs: 20_000 })
      order.push(clientId)
    })
    for (let sent = 0; sent < 3; sent++) {
      await send()
      await settle()
    }
    await Promise.all(waiting)
    expect(order).toEqual(['a', 'b', 'c'])
  })

  it('end with nothing at their time', async () => {
    const waiting = receive({ waitMs: 5_000 })
    await clock.advance(4_999)
    expect(await settled(waiting)).toBe(false)
    await clock.advance(1)
    expect(await waiting).toEqual([])
  })

  it('end with nothing when their client hangs up, and take nothing with them', async () => {
    const hangUp = new AbortController()
    const waiting = broker.receive(want({ waitMs: 20_000 }), hangUp.signal)
    await settle()
    hangUp.abort()
    expect(await waiting).toEqual([])
    await send()
    expect(await receive()).toHaveLength(1)
  })

  it('are refused beyond the limit of their group', async () => {
    const waiting = Array.from({ length: limits.waitersPerSubscription }, () => receive({ waitMs: 1_000 }))
    await expect(receive({ waitMs: 1_000 })).rejects.toMatchObject({ code: 42900, message: /^polling full/ })
    await clock.advance(1_000)
    expect((await Promise.all(waiting)).flat()).toEqual([])
  })

  it('end when the broker closes', async () => {
    const waiting = receive({ waitMs: 20_000 })
    await settle()
    await broker.close()
    expect(await waiting).toEqual([])
  })
})

describe('a new group', () => {
  it('begins at the first message of a young topic, and at the end of one that has lost some', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await restart({ segmentBytes: 4_096 })
    await sendMany(5)
    expect(await receive({ group: 'early' })).toHaveLength(5)
    await sendMany(40)
    await sendMany(40)
    await clock.advance(30 * MINUTE)
    await sendMany(40)
    await clock.advance(31 * MINUTE)
    expect(broker.usage().messages).toBeLessThan(125)
    await send()
    expect(await receive({ group: 'late' })).toEqual([])
    await send()
    expect(await receive({ group: 'late' })).toHaveLength(1)
  })

  it('is made by use with Apache defaults, and keeps its progress when the management plane names it', async () => {
    await sendMany(2)
    const [delivery] = await receive({ group: 'made', max: 1 })
    expect(broker.group('made')).toMatchObject({ generation: 0, maxRetryTimes: 16, maxAttempts: 17, orderly: false })
    expect(broker.group('made')!.retryDelaysMs.slice(0, 3)).toEqual([10_000, 30_000, 60_000])
    await ensureGroup({ consumerGroupId: 'made', generation: 3 })
    expect(await ack(delivery!, { group: 'made' })).toBe('done')
    expect(await receive({ group: 'made' })).toHaveLength(1)
    expect(broker.group('made')).toMatchObject({ generation: 3, maxRetryTimes: 16 })
  })

  it('that was removed begins anew', async () => {
    await sendMany(3)
    const [delivery] = await receive({ max: 1 })
    await broker.removeGroup('group')
    expect(await ack(delivery!)).toBe('expired')
    expect(await receive()).toHaveLength(3)
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
    await broker.removeTopic('topic')
    await refused
    expect(broker.topic('topic')).toBeNull()
    expect(broker.usage()).toMatchObject({ messages: 0, inflight: 0 })
    await broker.ensureTopics([topicSpec('topic')])
    await send('tag', 'new')
    expect(await ack(delivery!)).toBe('expired')
    expect((await receive()).map(text)).toEqual(['new'])
    await restart()
    expect(await ack(delivery!)).toBe('expired')
    expect(broker.usage()).toMatchObject({ messages: 1, inflight: 1 })
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
    await broker.removeTopic('topic')
    gates.index.open()
    await clock.advance(0)
    await restart({ killed: true, segmentBytes: 8_192 })
    expect(broker.topics()).toEqual([])
  })

  it('is there with all its messages when a power cut takes the removal back', async () => {
    const gates = await behindGates()
    gates.index.close()
    for (let segments = 0; segments < 4; segments++) await sendMany(100)
    gates.segment.close()
    const removal = broker.removeTopic('topic').catch(() => {})
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

describe('forwarding to the dead letters', () => {
  it('moves the message once, however often it is asked for', async () => {
    await send('tag', 'letter')
    const [delivery] = await receive()
    await Promise.all([forward(delivery!), forward(delivery!)])
    await forward(delivery!)
    expect((await receive({ topic: '%DLQ%group', group: 'auditor' })).map(text)).toEqual(['letter'])
    expect(await ack(delivery!)).toBe('done')
    await clock.advance(HOUR)
    expect(await receive()).toEqual([])
  })

  it('finds the message by its id when there is no handle, among what that client holds', async () => {
    await sendMany(3)
    const held = await receive({ autoRenew: true })
    await forward({ ...held[1]!, handle: '' }, 'stranger')
    expect(broker.topic('%DLQ%group')).toBeNull()
    await forward({ ...held[1]!, handle: '' })
    const dead = await receive({ topic: '%DLQ%group', group: 'auditor' })
    expect(dead.map(({ messageId }) => messageId)).toEqual([held[1]!.messageId])
  })

  it('of something unknown is fine', async () => {
    await forward({ handle: 'nonsense', messageId: 'x' })
    await forward({ handle: '', messageId: 'x' })
    expect(broker.topic('%DLQ%group')).toBeNull()
  })
})

describe('limits', () => {
  it('the instance takes its messages a second and says so', async () => {
    broker.configure({ ...settings, sendTps: 10 })
    await clock.advance(SECOND)
    await sendMany(10)
    await expect(send()).rejects.toMatchObject({ code: 42900, message: /10 sends a second/ })
    await clock.advance(100)
    await send()
    await expect(send()).rejects.toMatchObject({ code: 42900 })
    broker.configure(settings)
  })

  it('a topic takes its own', async () => {
    await broker.ensureTopics([{ ...topicSpec('topic'), generation: 2, maxSendTps: 1 }, topicSpec('free')])
    await send()
    await expect(send()).rejects.toMatchObject({ code: 42900, message: /maxSendTps/ })
  })

  it('a body counts once for each 4 KiB', async () => {
    broker.configure({ ...settings, sendTps: 8 })
    await clock.advance(SECOND)
    await send('tag', 'x'.repeat(4 * 4_096))
    await send('tag', 'x'.repeat(3 * 4_096 + 1))
    await expect(send()).rejects.toMatchObject({ code: 42900 })
    broker.configure(settings)
  })

  it('a group gets its messages a second: a new receive is refused, a waiting one waits', async () => {
    await ensureGroup({ maxReceiveTps: 5 })
    await sendMany(5)
    const waiting = receive({ waitMs: 20_000, max: 1 })
    expect(await waiting).toHaveLength(1)
    expect(await receive({ max: 4 })).toHaveLength(4)
    await expect(receive()).rejects.toMatchObject({ code: 42900, message: /maxReceiveTps/ })
    await clock.advance(200)
    const [one, two] = [receive({ waitMs: 20_000, max: 1 }), receive({ waitMs: 20_000, max: 1 })]
    await sendMany(2)
    expect(await one).toHaveLength(1)
    expect(await settled(two)).toBe(false)
    await clock.advance(200)
    expect(await two).toHaveLength(1)
  })

  it('at the bound of unacknowledged messages only redeliveries are handed out', async () => {
    await ensureGroup({ maxRetryTimes: 100 })
    for (let sent = 0; sent < limits.unacknowledgedPerSubscription + 10; sent += 1_000) await sendMany(1_000)
    let held = 0
    let last: Delivery | undefined
    for (;;) {
      const got = await receive({ max: 1_024, invisibleMs: HOUR })
      if (got.length === 0) break
      held += got.length
      last = got.at(-1)
    }
    expect(held).toBe(limits.unacknowledgedPerSubscription)
    const waiting = receive({ waitMs: 20_000, max: 1 })
    expect(await settled(waiting)).toBe(false)
    await ack(last!)
    expect(await waiting).toHaveLength(1)
  })
})

describe('retention', () => {
  it('takes old segments with their messages, and every group follows', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await restart({ segmentBytes: 8_192 })
    await sendMany(100)
    const [held] = await receive({ max: 1, invisibleMs: 12 * HOUR })
    await clock.advance(30 * MINUTE)
    await sendMany(100)
    const before = broker.usage()
    await clock.advance(31 * MINUTE)
    const after = broker.usage()
    expect(after.messages).toBeLessThan(before.messages - 50)
    expect(after.storedBytes).toBeLessThan(before.storedBytes)
    expect(after.inflight).toBe(0)
    expect(await ack(held!)).toBe('done')
    let left = 0
    for (let got = await receive({ max: 1_000 }); got.length > 0; got = await receive({ max: 1_000 }))
      left += got.length
    expect(left).toBe(100)
    await restart({ segmentBytes: 8_192 })
    expect(broker.usage()).toMatchObject({ messages: after.messages, inflight: 100 })
  })

  it('gives back everything a quiet instance holds, its only segment too', async () => {
    settings = { ...settings, retentionMs: 24 * HOUR }
    await restart()
    await sendMany(50)
    await receive({ max: 20, invisibleMs: 12 * HOUR })
    await clock.advance(23 * HOUR)
    expect(broker.usage()).toMatchObject({ messages: 50 })
    const [before, held] = [files(), broker.usage().storedBytes]
    await clock.advance(2 * HOUR)
    expect(broker.usage()).toMatchObject({ messages: 0, inflight: 0 })
    expect(broker.usage().storedBytes).toBeLessThan(held / 4)
    expect(await files()).toEqual(['0000002.segment', 'checkpoint', 'checkpoint.previous'])
    expect(await before).toContain('0000001.segment')
    await sendMany(3)
    await restart()
    expect(await receive({ max: 10 })).toHaveLength(3)
  })

  it('a shortened retention takes effect at once', async () => {
    await sendMany(50)
    await clock.advance(30 * HOUR)
    await sendMany(1)
    expect(broker.usage()).toMatchObject({ messages: 51 })
    settings = { ...settings, retentionMs: 24 * HOUR }
    broker.configure(settings)
    await clock.advance(MINUTE)
    expect(broker.usage()).toMatchObject({ messages: 1 })
  })

  it('seals nothing on a full disk, for that would stop the log, and gives back when there is room', async () => {
    settings = { ...settings, retentionMs: 24 * HOUR }
    await restart()
    await sendMany(50)
    disk.inject({ operation: 'write', error: 'ENOSPC', times: 1_000 })
    await clock.advance(25 * HOUR)
    expect(reported.length).toBeGreaterThan(0)
    reported.length = 0
    disk.healFaults()
    await clock.advance(2 * HOUR)
    expect(broker.usage()).toMatchObject({ messages: 0 })
    await sendMany(1)
    expect(await receive()).toHaveLength(1)
  })

  it('holds up no receive of what it leaves while it takes segments', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await restart({ segmentBytes: 8_192 })
    await sendMany(100)
    await clock.advance(30 * MINUTE)
    await sendMany(100)
    let release = () => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const boot = disk.boot()
    const unlink = (path: string) =>
      path.endsWith('.index') ? released.then(() => boot.unlink(path)) : boot.unlink(path)
    await restart({ segmentBytes: 8_192, disk: { ...boot, unlink } })
    await clock.advance(31 * MINUTE)
    expect(broker.usage()).toMatchObject({ messages: 200 })
    expect(await receive({ max: 1_000 })).not.toHaveLength(0)
    release()
    await clock.advance(0)
    expect(broker.usage().messages).toBeLessThan(150)
  })

  it('that the disk interrupted ends what it began: no queue and no group keeps what is gone', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await restart({ segmentBytes: 8_192 })
    await sendMany(100)
    await receive({ max: 10, invisibleMs: 12 * HOUR })
    await clock.advance(8 * MINUTE)
    disk.inject({ operation: 'unlink', error: 'EIO', path: '.index' })
    await clock.advance(HOUR)
    expect(reported.splice(0)).toHaveLength(1)
    await clock.advance(2 * HOUR)
    expect(broker.usage()).toMatchObject({ messages: 0, inflight: 0 })
    await restart({ segmentBytes: 8_192 })
    expect(broker.usage()).toMatchObject({ messages: 0, inflight: 0 })
  })

  it('does not wait an hour because the log was busy for a moment', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await restart()
    await sendMany(10)
    await clock.advance(8 * MINUTE)
    const { log } = broker
    const write = log.write.bind(log)
    let refusals = 3
    log.write = (records) => {
      if (refusals > 0 && records.some((record) => record[0] === 10)) {
        refusals--
        throw new LogError('busy', 'bytes wait for the disk')
      }
      return write(records)
    }
    await clock.advance(HOUR + 10_000)
    expect([refusals, broker.usage().messages]).toEqual([0, 0])
  })

  it('does not deliver what is too old, though its segment is still there', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await restart()
    await send('tag', 'old')
    await clock.advance(61 * MINUTE)
    await send('tag', 'new')
    expect((await receive()).map(text)).toEqual(['new'])
  })
})

describe('memory', () => {
  it('holds sixteen megabytes of a receive at a time; what did not fit comes next, as untouched', async () => {
    const body = 'x'.repeat(4 * 2 ** 20 - 100)
    for (let sent = 0; sent < 10; sent++) await send('tag', body)
    const [first, second] = [await receive(), await receive()]
    expect([first.length, second.length]).toEqual([4, 4])
    await clock.advance(0)
    const third = await receive()
    expect([...first, ...second, ...third].map(({ messageId }) => messageId).sort()).toEqual(
      Array.from({ length: 10 }, (_, i) => `M0000${i}`),
    )
    expect(new Set([...first, ...second, ...third].map(({ attempt }) => attempt))).toEqual(new Set([1]))
  })
})

describe('a record that cannot be read', () => {
  it('is tried again later, and the receive says why; the others are given', async () => {
    await sendMany(2)
    await restart()
    disk.inject({ operation: 'read', error: 'EIO', times: 2 })
    await expect(receive()).rejects.toMatchObject({ code: 50001 })
    expect(reported.splice(0)).toHaveLength(1)
    expect((await receive()).map(({ messageId, attempt }) => [messageId, attempt])).toEqual([['M00001', 1]])
    await clock.advance(limits.unreadableRetryMs)
    expect((await receive()).map(({ messageId, attempt }) => [messageId, attempt])).toContainEqual(['M00000', 2])
  })

  it.each([false, true])(
    'because it is damaged takes no other with it to the dead letters (orderly: %s)',
    async (orderly) => {
      await ensureGroup({ orderly, maxRetryTimes: 1 })
      for (const body of ['first', 'second', 'damaged', 'fourth']) await send('tag', body)
      await damage('damaged')
      const seen = new Set<string>()
      for (let round = 0; round < 20; round++) {
        for (const delivery of await receive().catch(() => [])) {
          seen.add(text(delivery))
          await ack(delivery)
        }
        await clock.advance(limits.unreadableRetryMs / 4)
      }
      expect([...seen].sort()).toEqual(['first', 'fourth', 'second'])
      expect(await receive({ topic: '%DLQ%group', group: 'auditor' }).catch(() => [])).toEqual([])
      expect(reported.splice(0).length).toBeGreaterThan(0)
    },
  )

  it('because it is damaged holds up an orderly queue until its retries are used up, and no longer', async () => {
    await ensureGroup({ orderly: true, maxRetryTimes: 1 })
    for (const body of ['damaged', 'second']) {
      const messageGroup = 'one'
      await broker.send({ topic: 'topic', messages: [{ ...message('tag', body), messageGroup }] })
    }
    await damage('damaged')
    for (let tries = 0; tries < 2; tries++) {
      await expect(receive()).rejects.toMatchObject({ code: 50001 })
      expect(await receive()).toEqual([])
      await clock.advance(limits.unreadableRetryMs)
    }
    expect((await receive()).map(text)).toEqual(['second'])
    expect(reported.splice(0).map(String)).toEqual(Array(3).fill(expect.stringContaining('damaged')))
  })

  it('and was passed over by a reset meanwhile is nobody’s trouble: the receive waits on', async () => {
    await sendMany(2)
    await restart()
    disk.inject({ operation: 'read', error: 'EIO', times: 1_000 })
    const waiting = receive({ waitMs: 20_000 })
    await broker.resetOffsets({ consumerGroupId: 'group', topicName: 'topic', resetId: 'r', toMs: null })
    disk.healFaults()
    await send('tag', 'next')
    expect((await waiting).map(text)).toEqual(['next'])
  })

  it('because it is damaged is missing among the messages shown, and is reported', async () => {
    for (const body of ['body 0', 'body 1', 'body 2']) await send('tag', body)
    await damage('body 1')
    const page = await broker.browse({ topic: 'topic', fromMs: 0, untilMs: 2 ** 50, after: null, skip: 0, limit: 10 })
    expect([page!.total, page!.messages.map(({ payload }) => String(Buffer.from(payload)))]).toEqual([
      3,
      ['body 0', 'body 2'],
    ])
    expect(reported.splice(0)).toHaveLength(1)
  })

  it('is told to a pull by the same refusal', async () => {
    const [{ queueId } = { queueId: 0 }] = await send()
    await restart()
    disk.inject({ operation: 'read', error: 'EIO', times: 1 })
    const request = { group: 'group', topic: 'topic', queueId, offset: 0, filter: null, max: 1, waitMs: 0 }
    const pull = () => broker.pull(request, new AbortController().signal)
    await expect(pull()).rejects.toMatchObject({ code: 50001, message: /EIO/ })
    expect((await pull()).deliveries).toHaveLength(1)
  })

  it('goes to the dead letters later, and a kill meanwhile changes nothing', async () => {
    await ensureGroup({ maxRetryTimes: 0 })
    await send()
    expect(await receive({ autoRenew: true })).toHaveLength(1)
    await restart()
    disk.inject({ operation: 'read', error: 'EIO', times: 1 })
    await clock.advance(MINUTE)
    expect(reported.splice(0)).toHaveLength(1)
    const live = encodeState(broker.state)
    await restart({ killed: true })
    expect(encodeState(broker.state)).toEqual(live)
    await clock.advance(limits.unreadableRetryMs)
    expect(await receive({ topic: '%DLQ%group' })).toHaveLength(1)
  })
})

describe('a restart', () => {
  it.each([
    ['clean', false],
    ['after a kill', true],
  ])('(%s) keeps messages, progress, attempts, handles and deadlines', async (_, killed) => {
    await sendMany(4)
    const first = await receive({ max: 2 })
    await ack(first[0]!)
    await clock.advance(30_000)
    const [again] = await receive({ max: 1 })
    await restart({ killed })
    expect(await ack(first[1]!)).toBe('expired')
    expect((await receive()).map(({ attempt }) => attempt)).toEqual([1, 1])
    expect(await ack(again!)).toBe('done')
    await clock.advance(30_000)
    expect((await receive()).map(({ attempt }) => attempt)).toEqual([2, 2])
  })

  it('after a power cut that took a delivery back does not let its handle acknowledge the next one', async () => {
    await send()
    disk.inject({ operation: 'datasync', error: 'EIO', times: 1_000 })
    const [lost] = await receive()
    disk.powerCut()
    disk.healFaults()
    reported.length = 0
    await broker.close()
    reported.length = 0
    await open()
    const [next] = await receive()
    expect([lost!.attempt, next!.attempt, lost!.offset === next!.offset]).toEqual([1, 1, true])
    expect(await ack(lost!)).toBe('expired')
    await clock.advance(30_000)
    expect((await receive())[0]!.attempt).toBe(2)
  })

  it('with a clock that was set back does not make time go back', async () => {
    const [before] = await send()
    clock.jump(-HOUR)
    await restart()
    const [after] = await send()
    expect(after!.storeTimeMs).toBeGreaterThanOrEqual(before!.storeTimeMs)
  })

  it('of an encrypted instance needs its key, and its files hold nothing readable', async () => {
    const cipherKey = random.bytes(32)
    await broker.close()
    const place = { directory: '/secret', cipherKey }
    await open(place)
    await broker.ensureTopics([topicSpec('topic')])
    const [receipt] = await send('tag', 'a very secret body')
    await restart(place)
    expect((await receive()).map(text)).toEqual(['a very secret body'])
    await broker.close()
    const [time, hash] = [Buffer.alloc(8), Buffer.alloc(4)]
    time.writeDoubleLE(receipt!.storeTimeMs)
    hash.writeUInt32LE(tagHash('tag'))
    const names = await disk.list('/secret')
    expect(names).toContain('0000001.index')
    for (const name of names) {
      const bytes = Buffer.from(disk.contentOf(`/secret/${name}`)!)
      for (const telling of ['secret body', 'topic', time, hash]) expect(bytes.includes(telling)).toBe(false)
    }
    await expect(open({ directory: '/secret' })).rejects.toThrow(/encrypted/)
    await expect(open({ directory: '/secret', cipherKey: random.bytes(32) })).rejects.toThrow(/key/)
  })
})

describe('a disk that fails', () => {
  it('stops the broker for good: nothing is promised, nobody hangs, opening again finds what was', async () => {
    await send('tag', 'kept')
    disk.inject({ operation: 'write', error: 'ENOSPC', times: 1_000 })
    const waiting = receive({ topic: 'topic', group: 'new', filter: new Set(['none']), waitMs: 20_000 })
    const refused = expect(waiting).rejects.toMatchObject({ code: 50001 })
    await expect(send('tag', 'lost')).rejects.toMatchObject({ code: 50001, message: /log/ })
    await refused
    disk.healFaults()
    await expect(send()).rejects.toMatchObject({ code: 50001 })
    expect(reported).toHaveLength(1)
    await broker.close()
    reported.length = 0
    await open()
    expect((await receive()).map(text)).toEqual(['kept'])
  })
})

it('sets no timer when there is nothing to wait for', async () => {
  await sendMany(3)
  const waiting = receive({ waitMs: 1_000 })
  for (const delivery of await waiting) await ack(delivery)
  await clock.advance(HOUR)
  // What is stored has its retention to wait for, and nothing else.
  expect(clock.pending).toBe(1)
  await clock.advance(settings.retentionMs)
  expect(clock.pending).toBe(0)
})

const files = async (): Promise<string[]> => (await disk.list('/instance')).sort()

// Helpers ------------------------------------------------------------------------------------------

interface Place {
  readonly directory?: string
  readonly cipherKey?: Uint8Array
  readonly segmentBytes?: number
  readonly disk?: Disk
}

async function open({ disk: seen = disk.boot(), ...place }: Place = {}): Promise<void> {
  const report = (error: unknown) => void reported.push(error)
  broker = await openShell({
    world: { clock, random, disk: seen },
    directory: '/instance',
    settings,
    report,
    ...place,
  })
}

async function restart({ killed = false, ...place }: Place & { killed?: boolean } = {}): Promise<void> {
  const old = broker
  if (!killed) await old.close()
  await open(place)
}

/** Of the record with this body one bit is lost while the broker is down. */
async function damage(body: string): Promise<void> {
  await broker.close()
  const bytes = Buffer.from(disk.contentOf('/instance/0000001.segment')!)
  bytes[bytes.indexOf(body)]! ^= 1
  disk.plant('/instance/0000001.segment', bytes)
  await open()
}

function gate() {
  const waiting: Array<() => void> = []
  let isOpen = true
  return {
    close() {
      isOpen = false
    },
    open() {
      isOpen = true
      for (const go of waiting.splice(0)) go()
    },
    passed: () => new Promise<void>((resolve) => (isOpen ? resolve() : waiting.push(resolve))),
  }
}

function topicSpec(topicName: string) {
  return { topicName, generation: 1, messageType: 'NORMAL' as const, maxSendTps: null }
}

async function ensureGroup(changes: Partial<GroupSpec>): Promise<void> {
  const spec: GroupSpec = {
    consumerGroupId: 'group',
    generation: 1,
    orderly: false,
    maxRetryTimes: 16,
    retry: { kind: 'default' },
    deadLetterTopic: null,
    maxReceiveTps: null,
    ...changes,
  }
  await broker.ensureGroups([spec])
}

/** From here on the group reads the topic. */
async function subscribe(changes: Partial<ReceiveRequest> = {}): Promise<void> {
  expect(await receive(changes)).toEqual([])
}

async function send(tag: string | null = 'tag', body = 'body'): Promise<SendReceipt[]> {
  return broker.send({ topic: 'topic', messages: [message(tag, body)] })
}

async function sendMany(count: number, tag = 'tag'): Promise<SendReceipt[]> {
  const receipts: SendReceipt[] = []
  for (let left = count; left > 0; left -= 1_000)
    receipts.push(
      ...(await broker.send({
        topic: 'topic',
        messages: Array.from({ length: Math.min(left, 1_000) }, () => message(tag, 'body')),
      })),
    )
  return receipts
}

function message(tag: string | null, body: string) {
  const payload = Buffer.from(body)
  return { messageId: `M${String(messages++).padStart(5, '0')}`, tag, payload, bodyBytes: payload.length }
}

function want(changes: Partial<ReceiveRequest>): ReceiveRequest {
  return {
    group: 'group',
    topic: 'topic',
    filter: null,
    max: 32,
    waitMs: 0,
    invisibleMs: 30_000,
    autoRenew: false,
    clientId: 'client',
    ...changes,
  }
}

function receive(changes: Partial<ReceiveRequest> = {}): Promise<Delivery[]> {
  return broker.receive(want(changes), new AbortController().signal)
}

async function ack(delivery: Delivery, where: { group?: string } = {}): Promise<HandleOutcome['outcome']> {
  const request = { group: 'group', topic: 'topic', clientId: 'client', ...where }
  const [answer] = await broker.ack({ ...request, handles: [delivery.handle] })
  return answer!.outcome
}

function change(delivery: Delivery, invisibleMs: number) {
  const { handle } = delivery
  return broker.changeInvisible({ group: 'group', topic: 'topic', clientId: 'client', handle, invisibleMs })
}

function forward({ handle, messageId }: Pick<Delivery, 'handle' | 'messageId'>, clientId = 'client'): Promise<void> {
  return broker.forwardToDeadLetter({ group: 'group', topic: 'topic', handle, messageId, clientId })
}

async function hearFor(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 30_000) {
    broker.clientAlive('client')
    await clock.advance(Math.min(left, 30_000))
  }
  broker.clientAlive('client')
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  promise.then(
    () => (done = true),
    () => (done = true),
  )
  await settle()
  return done
}

function text(delivery: Delivery): string {
  return Buffer.from(delivery.payload).toString()
}
