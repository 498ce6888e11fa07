/**
 * LITE topics: what each rule is, on a simulated clock and disk.
 *
 * Deliveries are written `lite topic/body:attempt`. Random sequences are in test/simulation/lite.ts.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { GroupSpec, TopicSpec } from '../../../model/instances.ts'
import type { BrokerRefusal } from '../../../model/refusals.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../../world/simulated.ts'
import { SimulatedDisk } from '../../../world/simulated-disk.ts'
import type { Delivery, LiteOffset, LiteSyncRequest, ReceiveRequest } from '../../broker.ts'
import { limits } from '../../core/limits.ts'
import { encodeState } from '../../core/snapshot.ts'
import { LogError } from '../../log/errors.ts'
import type { PersistentQueueIndex } from '../../log/queue-index.ts'
import type { BrokerShell } from '../broker-shell.ts'
import { openShell } from '../open.ts'
import { anyIndex } from '../test-broker.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

let clock: SimulatedClock
let disk: SimulatedDisk
let random: SimulatedRandom
let broker: BrokerShell
let reported: unknown[]
let lost: string[]
let messages: number

beforeEach(async () => {
  clock = new SimulatedClock()
  random = new SimulatedRandom(1)
  disk = new SimulatedDisk({ random })
  reported = []
  lost = []
  messages = 0
  await open()
  await ensureTopic({})
  await ensureGroup({})
})

afterEach(async () => {
  await broker.close()
  expect(reported).toEqual([])
})

describe('a lite topic', () => {
  it('is made by its first message, and read by whoever subscribed, before or after', async () => {
    await sync('add', ['a'])
    const waiting = seen({ waitMs: 20 * SECOND })
    await send('a', '1')
    expect(await waiting).toEqual(['a/1:1'])
    await send('b', '1', '2')
    await sync('add', ['b'])
    expect(await seen({})).toEqual(['b/1:1', 'b/2:1'])
    expect(broker.state.liteTopicCount).toBe(2)
  })

  it('reaches nobody who did not subscribe', async () => {
    await sync('add', ['a'], { clientId: 'other' })
    const waiting = seen({ waitMs: 20 * SECOND })
    await send('a', '1')
    expect(await settled(waiting)).toBe(false)
    await sync('remove', ['a'], { clientId: 'other' })
    expect(await seen({ clientId: 'other' })).toEqual([])
    await sync('add', ['a'])
    expect(await waiting).toEqual(['a/1:1'])
  })

  it('keeps its order: nothing more of it while a batch is out, while others go on', async () => {
    await send('a', '1', '2', '3')
    await send('b', '1')
    await sync('add', ['a', 'b'])
    const [first, second] = await receive({ max: 2 })
    expect(await seen({})).toEqual(['b/1:1'])
    await ack(second!)
    expect(await seen({})).toEqual([])
    await ack(first!)
    expect(await seen({})).toEqual(['a/3:1'])
  })

  it('is delivered again from the first unacknowledged message, also to another member', async () => {
    await send('a', '1', '2', '3')
    await sync('add', ['a'])
    await sync('add', ['a'], { clientId: 'other' })
    const batch = await receive({ max: 2 })
    await ack(batch[1]!)
    const waiting = seen({ clientId: 'other', waitMs: HOUR })
    await clock.advance(30 * SECOND)
    expect(await waiting).toEqual(['a/1:2', 'a/2:2', 'a/3:1'])
  })

  it('is shared by the groups on its topic, each at its own place', async () => {
    await ensureGroup({ consumerGroupId: 'second' })
    await sync('add', ['a'])
    await sync('add', ['a'], { group: 'second' })
    await send('a', '1')
    expect(await seen({})).toEqual(['a/1:1'])
    expect(await seen({ group: 'second' })).toEqual(['a/1:1'])
  })

  it('is given across many in one receive, up to the batch, in turn', async () => {
    for (const name of ['a', 'b', 'c']) await send(name, '1', '2')
    await sync('replace', ['a', 'b', 'c'])
    expect(await seen({ max: 3 })).toEqual(['a/1:1', 'a/2:1', 'b/1:1'])
    expect(await seen({ max: 32 })).toEqual(['c/1:1', 'c/2:1'])
  })

  it('survives a restart with what was read of it; its subscribers have to say so again', async () => {
    await sync('add', ['a'])
    await send('a', '1', '2', '3')
    await ack((await receive({ max: 1 }))[0]!)
    await restart()
    expect(await seen({})).toEqual([])
    await sync('replace', ['a'])
    expect(await seen({})).toEqual(['a/2:1', 'a/3:1'])
  })

  it('gives the same batch to the same attempt, also after a restart, and counts nothing', async () => {
    await send('a', '1')
    await send('b', '1')
    await sync('replace', ['a', 'b'])
    const first = await receive({ attemptId: 'attempt', max: 2 })
    const again = await receive({ attemptId: 'attempt', max: 2 })
    expect(again.map(named)).toEqual(first.map(named))
    await restart()
    await sync('replace', ['a', 'b'], { clientId: 'other' })
    expect(await seen({ attemptId: 'another', clientId: 'other' })).toEqual([])
    await sync('replace', ['a', 'b'])
    expect((await receive({ attemptId: 'attempt' })).map(named)).toEqual([named(first[0]!)])
  })

  it('moves a message that failed too often to the dead-letter topic, and says where it came from', async () => {
    await ensureGroup({ maxRetryTimes: 1 })
    await send('a', '1', '2')
    await sync('add', ['a'])
    expect(await seen({ max: 1 })).toEqual(['a/1:1'])
    await clock.advance(30 * SECOND)
    expect(await seen({ max: 1 })).toEqual(['a/1:2'])
    await clock.advance(30 * SECOND)
    expect(await seen({})).toEqual(['a/2:1'])
    const [dead] = await receive({ group: 'auditor', topic: '%DLQ%group' })
    expect(dead!.deadLetterOf).toEqual({ topicName: 'topic', messageId: 'M0' })
  })

  it('goes on after a client moved its message to the dead letters', async () => {
    await send('a', '1', '2')
    await sync('add', ['a'])
    const [first] = await receive({ max: 1 })
    const where = { group: 'group', topic: 'topic', handle: first!.handle, messageId: 'M0', clientId: 'client' }
    await during(broker.consuming.forwardToDeadLetter({ ...where, liteTopic: 'b' }))
    expect(await seen({})).toEqual([])
    await during(broker.consuming.forwardToDeadLetter({ ...where, liteTopic: 'a' }))
    expect(await seen({})).toEqual(['a/2:1'])
  })

  it('pauses without counting an attempt when it is suspended', async () => {
    await send('a', '1', '2')
    await send('b', '1')
    await sync('add', ['a', 'b'])
    const batch = await receive({ max: 2 })
    const [first, second] = batch
    expect((await change(first!, 60 * SECOND, true)).outcome).toBe('done')
    expect((await change(first!, 60 * SECOND, true)).outcome).toBe('done')
    expect((await change(second!, 10 * SECOND, true)).outcome).toBe('done')
    await clock.advance(60 * SECOND - 1)
    expect(await seen({})).toEqual(['b/1:1'])
    await clock.advance(1)
    expect(await ack(first!)).toBe('expired')
    const again = await receive({})
    expect(again.map(told)).toEqual(['a/1:1', 'a/2:1'])
    expect(await ack(first!)).toBe('expired')
    expect(await ack(again[0]!)).toBe('done')
  })
})

it('comes again in order and counts nothing when it is returned because no client was sent it', async () => {
  await ensureGroup({ generation: 2, maxRetryTimes: 0 })
  await send('a', '1', '2')
  await send('b', '1')
  await sync('add', ['a', 'b'])
  for (let round = 0; round < 3; round++) {
    const batch = await receive({ attemptId: `attempt-${round}` })
    expect(batch.map(told).sort()).toEqual(['a/1:1', 'a/2:1', 'b/1:1'])
    const handles = batch.map(({ handle }) => handle)
    await during(broker.consuming.returnDeliveries({ group: 'group', topic: 'topic', handles, delayMs: SECOND }))
    expect(await seen({ attemptId: `attempt-${round}` })).toEqual([])
    await clock.advance(SECOND)
  }
  expect(broker.metadata.topic('%DLQ%group')).toBeNull()
})

it('gives no handle of an earlier delivery power over a message that is suspended', async () => {
  await send('a', '1')
  await sync('add', ['a'])
  const [late] = await receive({ invisibleMs: SECOND })
  await clock.advance(SECOND)
  const [message] = await receive({})
  expect(told(message!)).toBe('a/1:2')
  await change(message!, 60 * SECOND, true)
  expect(await ack(late!)).toBe('expired')
  expect((await change(late!, 0, false)).outcome).toBe('expired')
  const where = { group: 'group', topic: 'topic', handle: late!.handle, messageId: 'M0', clientId: 'client' }
  await during(broker.consuming.forwardToDeadLetter({ ...where, liteTopic: 'a' }))
  await clock.advance(60 * SECOND)
  expect(await seen({})).toEqual(['a/1:2'])
})

it('never moves a message to the dead-letter topic for being suspended', async () => {
  await ensureGroup({ generation: 2, maxRetryTimes: 0 })
  await send('a', '1')
  await sync('add', ['a'])
  for (let i = 0; i < 3; i++) {
    const [message] = await receive({})
    expect(told(message!)).toBe('a/1:1')
    await change(message!, 0, true)
    await clock.advance(1)
  }
  expect(broker.metadata.topic('%DLQ%group')).toBeNull()
})

describe('the life of a lite topic', () => {
  it('ends when its last message is old enough, whoever reads, and frees what it had', async () => {
    await ensureTopic({ liteExpirationMs: 15 * MINUTE })
    await send('a', '1')
    await send('b', '1')
    await sync('add', ['a', 'b'])
    const batch = await receive({})
    await clock.advance(10 * MINUTE)
    await send('b', '2')
    await clock.advance(5 * MINUTE - 1)
    expect(broker.state.liteTopicCount).toBe(2)
    await clock.advance(1)
    expect(names()).toEqual(['b'])
    expect(await ack(batch[0]!)).toBe('expired')
    expect(broker.inspection.usage()).toMatchObject({ messages: 2, inflight: 1 })
    await clock.advance(10 * MINUTE)
    expect(names()).toEqual([])
    expect(broker.state.queues.size).toBe(1)
    expect(broker.state.subscriptions.size).toBe(0)
    expect(broker.inspection.usage()).toMatchObject({ messages: 0, inflight: 0 })
  })

  it('takes its places in the index with it: those in memory at once, those on the disk with their segments', async () => {
    const adding = vi.spyOn(await anyIndex(), 'add')
    await ensureTopic({ liteExpirationMs: 15 * MINUTE })
    await sendToMany(3_000)
    const index = adding.mock.contexts[0] as PersistentQueueIndex
    adding.mockRestore()
    expect(index.memoryBytes()).toBeGreaterThan(3_000 * 200)
    await broker.checkpoint()
    await clock.advance(15 * MINUTE)
    expect(broker.state.liteTopicCount).toBe(0)
    expect(index.memoryBytes()).toBeLessThan(1_000)

    const onDisk = async (): Promise<number> => {
      const names = await disk.list('/instance')
      return names.reduce((sum, name) => sum + (disk.contentOf(`/instance/${name}`)?.length ?? 0), 0)
    }
    expect(await onDisk()).toBeGreaterThan(3_000 * 100)
    broker.administration.configure({ retentionMs: HOUR, maxDelayMs: HOUR, sendTps: 1e9, receiveTps: 1e9 })
    await clock.advance(3 * HOUR)
    expect(await onDisk()).toBeLessThan(10_000)
    await restart()
    // The topic's own, which is always there.
    expect(broker.state.queues.size).toBe(1)
  })

  it('begins anew under the same name, with nothing of what was there', async () => {
    await ensureTopic({ liteExpirationMs: 15 * MINUTE })
    await sync('add', ['a'])
    await send('a', '1')
    const [old] = await receive({})
    await clock.advance(15 * MINUTE)
    await sync('replace', ['a'])
    await send('a', '2')
    const [young] = await receive({})
    expect(told(young!)).toBe('a/2:1')
    expect(young!.offset).toBe(0)
    expect(await ack(old!)).toBe('expired')
    expect(await ack(young!)).toBe('done')
  })

  it('is counted on through a restart, and follows a changed expiration', async () => {
    await ensureTopic({ liteExpirationMs: 15 * MINUTE })
    await send('a', '1')
    await clock.advance(14 * MINUTE)
    await restart()
    await clock.advance(MINUTE)
    expect(names()).toEqual([])
    await ensureTopic({ generation: 2, liteExpirationMs: null })
    await send('a', '1')
    await clock.advance(24 * HOUR)
    expect(names()).toEqual(['a'])
    await ensureTopic({ generation: 3, liteExpirationMs: 15 * MINUTE })
    await clock.advance(1)
    expect(names()).toEqual([])
  })

  it('is not stretched by a clock that is set forward, for which no timer fires', async () => {
    await ensureTopic({ liteExpirationMs: 15 * MINUTE })
    await send('a', '1')
    clock.jump(15 * MINUTE)
    await sync('replace', ['a'])
    await send('a', '2')
    expect(await seen({})).toEqual(['a/2:1'])
    clock.jump(3 * MINUTE)
    await send('a', '3')
    expect(await seen({})).toEqual([])
  })

  it('ends with its topic', async () => {
    await sync('add', ['a'])
    await send('a', '1')
    await during(broker.administration.removeTopic('topic'))
    expect(broker.state.queues.size).toBe(0)
    expect(broker.state.liteTopicCount).toBe(0)
    await ensureTopic({ generation: 2 })
    await send('a', '2')
    expect(await seen({})).toEqual(['a/2:1'])
  })

  it('of which too many are refused without storing anything', async () => {
    const { liteTopics } = limits
    await send('first', '1')
    broker.state.liteTopicCount = liteTopics
    expect(await refusal(send('second', '1'))).toMatchObject({ code: 42901 })
    await send('first', '2')
    broker.state.liteTopicCount = 1
    expect(names()).toEqual(['first'])
  })

  it('of which a group reads no further one when there are too many subscriptions, and goes on with those it has', async () => {
    await send('known', '1')
    await sync('add', ['known', 'another'])
    expect(await seen({})).toEqual(['known/1:1'])
    await send('another', '1')
    broker.state.liteSubscriptionCount = limits.subscriptionsOfLiteTopics
    expect(await refusal(receive({}))).toMatchObject({ code: 42902 })
    await send('known', '2')
    await clock.advance(30 * SECOND)
    expect(await seen({})).toEqual(['known/1:2', 'known/2:1'])
    const reset = { consumerGroupId: 'group', topicName: 'topic', toMs: 0, resetId: 'reset' }
    expect(await refusal(broker.offsets.reset(reset))).toMatchObject({ code: 42902 })
    broker.state.liteSubscriptionCount = 1
    expect(await seen({})).toEqual(['another/1:1'])
  })
})

describe('where a subscriber begins', () => {
  it.each<[string, LiteOffset, string[]]>([
    ['the first message', { from: 'first' }, ['1', '2', '3', '4']],
    ['the end', { from: 'last' }, []],
    ['an offset', { from: 'offset', offset: 3 }, ['4']],
    ['an offset beyond the end', { from: 'offset', offset: 99 }, []],
    ['one before what is done with', { from: 'tail', count: 1 }, ['2', '3', '4']],
    ['ninety before what is done with', { from: 'tail', count: 90 }, ['1', '2', '3', '4']],
    ['a time', { from: 'time', timeMs: 2 * MINUTE }, ['3', '4']],
  ])('is %s when it says so', async (_, offset, expected) => {
    const start = clock.now()
    for (const body of ['1', '2', '3', '4']) {
      await send('a', body)
      await clock.advance(MINUTE)
    }
    await sync('add', ['a'])
    for (let i = 0; i < 2; i++) await ack((await receive({ max: 1 }))[0]!)
    await sync('remove', ['a'])
    const at = offset.from === 'time' ? { ...offset, timeMs: start + offset.timeMs } : offset
    await sync('add', ['a'], { offset: at })
    expect(await seen({})).toEqual(expected.map((body) => `a/${body}:1`))
  })

  it('is where its group is when it says nothing, and counts back from nothing when there is no past', async () => {
    await send('a', '1', '2')
    await sync('add', ['a'], { offset: { from: 'tail', count: 1 } })
    await ack((await receive({ max: 1 }))[0]!)
    await sync('add', ['a'])
    expect(await seen({})).toEqual(['a/2:1'])
  })

  it('is the end of a lite topic that lost its beginning to retention, as it is when subscribing', async () => {
    await restart({ retentionMs: 2 * MINUTE })
    await send('a', '1')
    await clock.advance(5 * MINUTE)
    expect(broker.state.topics.get('topic')!.liteTopics!.byName.get('a')!.queues[0].begin).toBe(1)
    await sync('add', ['a'])
    await send('a', '2')
    expect(await seen({})).toEqual(['a/2:1'])
  })

  it('is refused with the reason where it cannot be looked up', async () => {
    await send('a', '1')
    const looking = vi
      .spyOn(await anyIndex(), 'offsetAtTime')
      .mockRejectedValue(new LogError('failed', 'The log stopped.'))
    const refused = await sync('add', ['a'], { offset: { from: 'time', timeMs: 0 } }).catch((error: unknown) => error)
    looking.mockRestore()
    expect(refused).toMatchObject({ name: 'BrokerRefusal', message: expect.stringContaining('The log stopped.') })
  })

  it('is durable, and takes what was out from those who hold it', async () => {
    await send('a', '1', '2')
    await sync('add', ['a'])
    const [first] = await receive({ max: 1 })
    await sync('add', ['a'], { offset: { from: 'first' } })
    expect(await ack(first!)).toBe('expired')
    expect(await seen({ max: 1 })).toEqual(['a/1:1'])
    expect(await ack(first!)).toBe('expired')
    await sync('add', ['a'], { offset: { from: 'last' } })
    expect(broker.inspection.usage().inflight).toBe(0)
    await restart()
    await sync('replace', ['a'])
    expect(await seen({})).toEqual([])
  })
})

describe('subscriptions', () => {
  it('are replaced by a full list, unless it is older than the last', async () => {
    await sync('replace', ['a', 'b'], { version: 2 })
    await sync('replace', ['c'], { version: 1 })
    for (const name of ['a', 'b', 'c']) await send(name, '1')
    expect(await seen({})).toEqual(['a/1:1', 'b/1:1'])
    await sync('replace', ['c'], { version: 3 })
    expect(await seen({})).toEqual(['c/1:1'])
  })

  it.each([
    ['repeating them', async () => sync('replace', ['a']), true],
    ['receiving', async () => receive({}), false],
  ])('are kept for three minutes by %s', async (_, does, kept) => {
    await sync('add', ['a'])
    for (let i = 0; i < 8; i++) {
      await clock.advance(30 * SECOND)
      await does()
    }
    await send('a', '1')
    expect(await seen({})).toEqual(kept ? ['a/1:1'] : [])
  })

  it.each([
    ['says so', () => sync('clear', [])],
    ['goes away', async () => broker.consuming.clientGone('client')],
  ])('end when the client %s', async (_, does) => {
    await sync('add', ['a'])
    await does()
    await send('a', '1')
    expect(await seen({})).toEqual([])
  })

  it('are bounded for a client and for all, and a refused list changes nothing', async () => {
    const many = (count: number, prefix = 'n') => Array.from({ length: count }, (_, i) => `${prefix}${i}`)
    const { liteSubscriptionsPerClient: most, liteSubscriptions } = limits
    await sync('replace', many(most))
    expect(await refusal(sync('add', ['one-more']))).toMatchObject({ code: 42902 })
    expect(await refusal(sync('replace', many(most + 1)))).toMatchObject({ code: 42902 })
    await sync('add', ['n0'])
    for (let i = 1; i < liteSubscriptions / most; i++) await sync('replace', many(most), { clientId: `client-${i}` })
    expect(await refusal(sync('add', ['a'], { clientId: 'late' }))).toMatchObject({ code: 42902 })
    await sync('clear', [])
    await sync('add', ['a'], { clientId: 'late' })
  })

  it('that the log had no room for are taken up when they are repeated', async () => {
    await restart({ retentionMs: 2 * MINUTE })
    await send('old', '1')
    await clock.advance(5 * MINUTE)
    await send('young', '1')
    const write = vi.spyOn(broker.log, 'write').mockImplementationOnce(() => {
      throw new LogError('busy', 'wait for the disk')
    })
    const refused = await refusal(sync('add', ['old', 'young']))
    write.mockRestore()
    expect(refused.name).toBe('BrokerRefusal')
    await sync('add', ['old', 'young'])
    await send('old', '2')
    expect((await seen({})).sort()).toEqual(['old/2:1', 'young/1:1'])
  })

  it.each([
    ['an empty name', ''],
    ['a blank in the name', 'a b'],
    ['a star', '*'],
    ['65 letters', 'x'.repeat(65)],
  ])('refuse %s', async (_, name) => {
    expect(await refusal(sync('add', ['good', name]))).toMatchObject({ code: 40020 })
    expect(await refusal(send(name, '1'))).toMatchObject({ code: 40020 })
    await send('good', '1')
    expect(await seen({})).toEqual([])
  })

  it('are for a group that is bound to the topic', async () => {
    await ensureTopic({ topicName: 'elsewhere' })
    await ensureTopic({ topicName: 'plain', messageType: 'NORMAL' })
    await ensureGroup({ consumerGroupId: 'plain', lite: null })
    broker.consuming.useGroup('by-use')
    for (const [where, code] of [
      [{ group: 'plain' }, 40000],
      [{ topic: 'elsewhere' }, 40000],
      [{ topic: 'plain' }, 40000],
      [{ group: 'unknown' }, 40403],
      [{ group: 'by-use' }, 40403],
    ] as const) {
      expect(await refusal(sync('add', ['a'], where))).toMatchObject({ code })
      expect(await refusal(receive(where))).toMatchObject({ code })
    }
    expect(await refusal(sync('add', ['a'], { topic: 'absent' }))).toMatchObject({ code: 40402 })
    expect(await refusal(receive({ filter: new Set(['tag']) }))).toMatchObject({ code: 40010 })
    expect(broker.metadata.group('unknown')).toBeNull()
  })

  it('end when the group is bound to another topic', async () => {
    await ensureTopic({ topicName: 'elsewhere' })
    await sync('add', ['a'])
    await send('a', '1')
    await receive({})
    await ensureGroup({ generation: 2, lite: { topicName: 'elsewhere', exclusive: false } })
    expect(broker.inspection.usage().inflight).toBe(0)
    expect(await refusal(receive({}))).toMatchObject({ code: 40000 })
  })
})

describe('an exclusive group', () => {
  beforeEach(() => ensureGroup({ generation: 2, lite: { topicName: 'topic', exclusive: true } }))

  it('has one reader a lite topic: the latest, and tells the one before', async () => {
    await sync('replace', ['a', 'b'])
    await sync('add', ['a'], { clientId: 'other' })
    expect(lost).toEqual(['client lost a'])
    await send('a', '1')
    await send('b', '1')
    expect(await seen({})).toEqual(['b/1:1'])
    expect(await seen({ clientId: 'other' })).toEqual(['a/1:1'])
  })

  it('does not give it back to one who repeats an old list, but once that left it out', async () => {
    await sync('replace', ['a'])
    await sync('add', ['a'], { clientId: 'other' })
    await sync('replace', ['a'])
    await send('a', '1')
    expect(await seen({})).toEqual([])
    await sync('replace', [])
    await sync('replace', ['a'])
    expect(lost).toEqual(['client lost a', 'other lost a'])
    expect(await seen({})).toEqual(['a/1:1'])
  })

  it('gives nothing to who lost it while its messages were being read', async () => {
    await send('a', '1')
    await sync('add', ['a'])
    const losing = receive({ waitMs: 0 })
    const taking = sync('add', ['a'], { clientId: 'other' })
    expect((await losing).map(told)).toEqual([])
    await taking
    expect(await seen({ clientId: 'other' })).toEqual(['a/1:1'])
  })
})

describe('an operator', () => {
  const reset = (resetId: string, toMs: number | null) =>
    during(broker.offsets.reset({ resetId, consumerGroupId: 'group', topicName: 'topic', toMs }))

  it('moves a group in all lite topics at once, also those it has not read, and once', async () => {
    await send('a', '1', '2')
    await sync('add', ['a', 'b', 'c'])
    await ack((await receive({ max: 1 }))[0]!)
    await clock.advance(MINUTE)
    const at = clock.now()
    await send('a', '3')
    await send('b', '1')
    await reset('one', at)
    await reset('one', null)
    expect(await seen({})).toEqual(['a/3:1', 'b/1:1'])
    await reset('two', null)
    await send('c', '1')
    expect(await seen({})).toEqual(['c/1:1'])
    await restart()
    await reset('two', 0)
    await sync('replace', ['a', 'b'])
    expect(await seen({})).toEqual([])
    await reset('three', 0)
    expect(await seen({})).toEqual(['a/1:1', 'a/2:1', 'a/3:1', 'b/1:1'])
  })

  it('sees how far a group is behind, in each lite topic', async () => {
    await send('a', '1', '2')
    await send('b', '1')
    await sync('add', ['a', 'b'])
    await ack((await receive({ max: 1 }))[0]!)
    await receive({ max: 1 })
    const lags = await broker.offsets.lag('group')
    expect(
      lags.map(({ topicName, liteTopic, readyCount, inflightCount }) => [
        topicName,
        liteTopic,
        readyCount,
        inflightCount,
      ]),
    ).toEqual([
      ['topic', 'a', 1, 0],
      ['topic', 'b', 0, 1],
    ])
  })

  it('looks at the messages of one lite topic, or of all, page by page, and at what became of one', async () => {
    for (const name of ['a', 'b', 'c']) await send(name, '1', '2')
    await sync('add', ['b'])
    await receive({ max: 1 })
    const look = (more: object) =>
      broker.inspection.browse({ topic: 'topic', fromMs: 0, untilMs: 2 ** 50, after: null, skip: 0, limit: 2, ...more })
    const pages: string[][] = []
    let after: readonly number[] | null = null
    do {
      const page = await look({ after })
      expect(page!.total).toBe(6)
      pages.push(page!.messages.map(({ payload }) => String(Buffer.from(payload))))
      after = page!.next
    } while (after)
    expect(pages.flat()).toEqual(['a/1', 'a/2', 'b/1', 'b/2', 'c/1', 'c/2'])
    const [first] = (await look({ liteTopic: 'b', limit: 10 }))!.messages
    expect((await look({ liteTopic: 'b' }))!.total).toBe(2)
    expect((await look({ skip: 4 }))!.messages.map(({ liteTopic }) => liteTopic)).toEqual(['c', 'c'])
    const { messageId } = first!
    const found = await broker.inspection.findMessage({ topic: 'topic', messageId, fromMs: 0, untilMs: 2 ** 50 })
    expect(found!.message).toEqual(first)
    expect(await broker.inspection.historyOf('topic', found!)).toMatchObject([
      { what: 'delivered', group: 'group', attempt: 1 },
    ])
  })
})

it('looks into so many lite topics a call, and says where it stopped', async () => {
  const start = clock.now()
  await sendToMany(10_200)
  await clock.advance(30 * MINUTE)
  await send('between', '1')
  await clock.advance(30 * MINUTE)
  await sendToMany(10_200)
  const range = { topic: 'topic', fromMs: start + 10 * MINUTE, untilMs: start + 50 * MINUTE, skip: 0, limit: 10 }
  const first = (await during(broker.inspection.browse({ ...range, after: null })))!
  // Of the first ten thousand the time counts; of the others everything.
  expect([first.messages, first.total]).toEqual([[], 200 * 2 + 1])
  const second = (await during(broker.inspection.browse({ ...range, after: first.next })))!
  expect(second.messages.map(({ liteTopic }) => liteTopic)).toEqual(['between'])
  expect(second.next).toBeNull()
})

it('costs a receive nothing that thousands of other lite topics are there', async () => {
  await sendToMany(3_000)
  await sync('replace', ['a'])
  const before = broker.state.subscriptions.size
  await send('a', '1')
  expect(await seen({})).toEqual(['a/1:1'])
  expect(broker.state.subscriptions.size).toBe(before + 1)
})

it('is served for what it can have while something else of the same client cannot be read', async () => {
  await sync('add', ['a', 'b'])
  await send('a', '0')
  await send('b', '0')
  for (const delivery of await receive({})) await ack(delivery)
  const waiting = seen({ waitMs: 20 * SECOND })
  await settle()
  vi.spyOn(await anyIndex(), 'lookup').mockImplementationOnce(async () => {
    throw new Error('the disk is broken')
  })
  const write = broker.log.write.bind(broker.log)
  vi.spyOn(broker.log, 'write')
    .mockImplementationOnce(write)
    .mockImplementationOnce(() => {
      throw new LogError('busy', 'wait for the disk')
    })
  const messages = [outgoing('b', '1'), outgoing('a', '1')]
  await during(broker.producing.send({ topic: 'topic', messages }))
  vi.restoreAllMocks()
  expect(await settled(waiting)).toBe(false)
  expect(reported).toHaveLength(1)
  reported = []
  await clock.advance(limits.busyRetryMs)
  expect(await settled(waiting)).toBe(true)
  expect(await waiting).toContain('a/1:1')
})

it('serves 64 clients at once, however many lite topics a commit holds', async () => {
  let answered = 0
  for (let i = 0; i < 100; i++) {
    await sync('add', [`n${i}`], { clientId: `client-${i}` })
    void receive({ clientId: `client-${i}`, waitMs: 20 * SECOND }).then(() => answered++)
  }
  await sendToMany(100)
  await settle()
  expect(answered).toBe(64)
  await clock.advance(1)
  expect(answered).toBe(100)
})

// What the tests speak in ------------------------------------------------------------------------

async function open(settings: { readonly retentionMs?: number } = {}): Promise<void> {
  broker = await openShell({
    world: { clock, disk, random },
    directory: '/instance',
    settings: { retentionMs: 1_000 * HOUR, maxDelayMs: HOUR, sendTps: 1e9, receiveTps: 1e9, ...settings },
    report: (error) => reported.push(error),
  })
  broker.lite.onTopicLost((clientId, liteTopic) => lost.push(`${clientId} lost ${liteTopic}`))
}

/** Replayed from the log where the checkpoint is not wanted, and then equal to what was. */
async function restart(settings: { readonly retentionMs?: number } = {}): Promise<void> {
  const before = encodeState(broker.state)
  await broker.close()
  await open(settings)
  expect(Buffer.compare(encodeState(broker.state), before)).toBe(0)
}

/** One message to each of lite topics `n0`, `n1`, … */
async function sendToMany(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1_000) {
    const messages = Array.from({ length: Math.min(1_000, count - i) }, (_, j) => outgoing(`n${i + j}`, 'x'))
    await during(broker.producing.send({ topic: 'topic', messages }))
  }
}

async function ensureTopic(change: Partial<TopicSpec>): Promise<void> {
  await during(
    broker.administration.ensureTopics([
      { topicName: 'topic', generation: 1, messageType: 'LITE', maxSendTps: null, ...change },
    ]),
  )
}

async function ensureGroup(change: Partial<GroupSpec>): Promise<void> {
  await during(
    broker.administration.ensureGroups([
      {
        consumerGroupId: 'group',
        generation: 1,
        orderly: false,
        maxRetryTimes: 16,
        retry: { kind: 'default' },
        deadLetterTopic: null,
        maxReceiveTps: null,
        lite: { topicName: 'topic', exclusive: false },
        ...change,
      },
    ]),
  )
}

function outgoing(liteTopic: string, body: string) {
  const payload = Buffer.from(`${liteTopic}/${body}`)
  return { messageId: `M${messages++}`, tag: null, payload, bodyBytes: payload.length, liteTopic }
}

function send(liteTopic: string, ...bodies: string[]) {
  return during(broker.producing.send({ topic: 'topic', messages: bodies.map((body) => outgoing(liteTopic, body)) }))
}

function sync(
  action: LiteSyncRequest['action'],
  liteTopics: readonly string[],
  more: Partial<LiteSyncRequest> = {},
): Promise<void> {
  const usual = { group: 'group', topic: 'topic', clientId: 'client', version: null, offset: null }
  return during(broker.lite.sync({ ...usual, action, liteTopics, ...more }))
}

function receive(change: Partial<ReceiveRequest>): Promise<Delivery[]> {
  const usual = { group: 'group', topic: 'topic', filter: null, max: 32, waitMs: 0, invisibleMs: 30 * SECOND }
  return during(
    broker.consuming.receive(
      { ...usual, autoRenew: false, clientId: 'client', ...change },
      new AbortController().signal,
    ),
  )
}

async function seen(change: Partial<ReceiveRequest>): Promise<string[]> {
  return (await receive(change)).map(told)
}

async function ack({ handle }: Delivery): Promise<string> {
  const [answer] = await during(
    broker.consuming.ack({ group: 'group', topic: 'topic', handles: [handle], clientId: 'client' }),
  )
  return answer!.outcome
}

function change({ handle }: Delivery, invisibleMs: number, suspend: boolean) {
  const where = { group: 'group', topic: 'topic', clientId: 'client' }
  return during(broker.consuming.changeInvisible({ ...where, handle, invisibleMs, suspend }))
}

async function refusal(promise: Promise<unknown>): Promise<BrokerRefusal> {
  return promise.then(
    () => {
      throw new Error('It was not refused.')
    },
    (error: BrokerRefusal) => error,
  )
}

/** Lets the disk work; time passes only where a test says so. */
async function during<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  await settle()
  return promise
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  void promise.finally(() => {
    done = true
  })
  await settle()
  return done
}

const names = () => [...broker.state.topics.get('topic')!.liteTopics!.byName.keys()]
const told = ({ payload, attempt }: Delivery) => `${Buffer.from(payload)}:${attempt}`
const named = ({ payload, attempt, handle }: Delivery) => `${Buffer.from(payload)}:${attempt}:${handle}`
