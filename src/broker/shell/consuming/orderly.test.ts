/**
 * Orderly groups, FIFO and PRIORITY topics: what each rule is, on a simulated clock and disk.
 *
 * Deliveries are written `body:attempt`. Random sequences are in test/simulation/orderly.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GroupSpec, MessageType } from '../../../model/instances.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../../world/simulated.ts'
import { SimulatedDisk } from '../../../world/simulated-disk.ts'
import type { Delivery, ReceiveRequest, SendReceipt } from '../../broker.ts'
import { limits } from '../../core/limits.ts'
import { encodeState } from '../../core/snapshot.ts'
import type { BrokerShell } from '../broker-shell.ts'
import { openShell } from '../open.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

let clock: SimulatedClock
let disk: SimulatedDisk
let random: SimulatedRandom
let broker: BrokerShell
let reported: unknown[]
let messages: number

beforeEach(async () => {
  clock = new SimulatedClock()
  random = new SimulatedRandom(1)
  disk = new SimulatedDisk({ random })
  reported = []
  messages = 0
  await open()
  await ensureTopic('topic', 'FIFO')
  await ensureGroup({})
  expect(await receive()).toEqual([])
})

afterEach(async () => {
  await broker.close()
  expect(reported).toEqual([])
})

describe('a FIFO topic', () => {
  it('keeps a message group in one queue, in the order of sending, also in a batch', async () => {
    const one = await send('a', '1', '2', '3')
    const batch = await broker.producing.send({ topic: 'topic', messages: [outgoing('b', 'x'), outgoing('a', '4')] })
    expect(one.map(({ offset }) => offset)).toEqual([0, 1, 2])
    expect(new Set([...one, batch[1]!].map(({ queueId }) => queueId)).size).toBe(1)
    expect(batch[1]!.offset).toBe(batch[0]!.queueId === batch[1]!.queueId ? 4 : 3)
  })

  it('puts a group into the same queue after a restart', async () => {
    const [before] = await send('order-4711', '1')
    await restart()
    expect((await send('order-4711', '2')).map(({ queueId }) => queueId)).toEqual([before!.queueId])
  })
})

describe('an orderly group', () => {
  it('gets nothing more of a queue while a batch of it is out, then what follows', async () => {
    await send('a', '1', '2', '3', '4')
    const [first, second] = await receive({ max: 2 })
    expect(await seen({})).toEqual([])
    await ack(second!)
    expect(await seen({})).toEqual([])
    await ack(first!)
    expect(await seen({})).toEqual(['3:1', '4:1'])
  })

  it('is not held up by other queues, and may get several in one receive', async () => {
    await inQueues('a', 'b')
    expect(await seen({ max: 1 })).toEqual(['a:1'])
    expect(await seen({})).toEqual(['b:1'])
    await clock.advance(30 * SECOND)
    expect((await seen({})).sort()).toEqual(['a:2', 'b:2'])
  })

  it('sees the first message again and again when nobody acknowledges, and no other', async () => {
    await send('a', '1', '2', '3')
    const rounds: string[][] = []
    for (let round = 0; round < 3; round++) {
      rounds.push(await seen({ max: 1 }))
      await clock.advance(30 * SECOND)
    }
    expect(rounds).toEqual([['1:1'], ['1:2'], ['1:3']])
  })

  it('gets the whole range again from the first unacknowledged one, acknowledged or not, then fresh ones', async () => {
    await send('a', '1', '2', '3', '4')
    const batch = await receive({ max: 3 })
    for (const delivery of batch.slice(1)) expect(await ack(delivery)).toBe('done')
    await clock.advance(30 * SECOND)
    const again = await receive({})
    expect(again.map(told)).toEqual(['1:2', '2:2', '3:2', '4:1'])
    expect(await ack(batch[1]!)).toBe('expired')
    for (const delivery of again) expect(await ack(delivery)).toBe('done')
    await clock.advance(HOUR)
    expect(await receive()).toEqual([])
    expect(broker.inspection.usage().inflight).toBe(0)
  })

  it('stays blocked by a nack until its time, and counts one attempt', async () => {
    await send('a', '1', '2')
    const [first, second] = await receive({})
    await ack(second!)
    expect((await change(first!, 5 * SECOND)).outcome).toBe('done')
    const waiting = seen({ waitMs: 20 * SECOND })
    await clock.advance(5 * SECOND - 1)
    expect(await settled(waiting)).toBe(false)
    await clock.advance(1)
    expect(await waiting).toEqual(['1:2', '2:2'])
  })

  it.each([
    ['an acknowledgement', (batch: Delivery[]) => ack(batch[0]!), '2:1'],
    ['a nack at once', (batch: Delivery[]) => change(batch[0]!, 0), '1:2'],
    ['a dead letter', (batch: Delivery[]) => forward(batch[0]!), '2:1'],
    ['the end of its time', () => clock.advance(30 * SECOND), '1:2'],
    ['its client going away', () => goneFor('client'), '1:2'],
  ])('is woken by %s', async (name, what, expected) => {
    await send('a', '1', '2')
    const batch = await receive({ max: 1, autoRenew: name === 'its client going away' })
    const waiting = seen({ max: 1, waitMs: HOUR })
    await what(batch)
    await clock.advance(0)
    expect(await waiting).toEqual([expected])
  })

  it('keeps what a living push consumer holds, for as long as it lives', async () => {
    await send('a', '1', '2')
    await receive({ max: 1, autoRenew: true })
    for (let minutes = 0; minutes < 10; minutes++) {
      await aliveFor(MINUTE)
      expect(await receive({ clientId: 'other' })).toEqual([])
    }
  })

  it('passes over what does not match the filter, without a lease', async () => {
    const many = Array.from({ length: 1_000 }, (_, i) => outgoing('a', `${i}`, i === 500 ? 'wanted' : 'other'))
    await broker.producing.send({ topic: 'topic', messages: many })
    const filter = new Set(['wanted'])
    const [only] = await receive({ filter })
    expect(told(only!)).toBe('500:1')
    expect(broker.inspection.usage().inflight).toBe(1)
    await ack(only!)
    expect([await receive({ filter }), broker.inspection.usage().inflight]).toEqual([[], 0])
    expect(await receive({ filter: null })).toEqual([])
  })

  it('is done with what another member’s filter passed over when it comes again', async () => {
    await broker.producing.send({ topic: 'topic', messages: [outgoing('a', '1', 'x'), outgoing('a', '2', 'y')] })
    await receive({})
    await clock.advance(30 * SECOND)
    expect(await seen({ filter: new Set(['y']) })).toEqual(['2:2'])
  })

  it('goes on when retention takes the message that held it up, and wakes who waits', async () => {
    broker.administration.configure({ retentionMs: 10 * MINUTE, maxDelayMs: HOUR, sendTps: 1e9, receiveTps: 1e9 })
    await send('a', '1')
    const [first] = await receive({ autoRenew: true })
    await aliveFor(8 * MINUTE)
    await send('a', '2')
    await aliveFor(1 * MINUTE)
    const waiting = seen({ clientId: 'other', waitMs: HOUR })
    expect(await settled(waiting)).toBe(false)
    await aliveFor(3 * MINUTE)
    expect(await waiting).toEqual(['2:1'])
    expect([await ack(first!), broker.inspection.usage().inflight]).toEqual(['done', 1])
  })
})

describe('the same attempt again', () => {
  const asked = { attemptId: 'attempt-1', max: 2 }

  it('gets the same batch with the same handles, counting nothing, past those who wait', async () => {
    await send('a', '1', '2', '3')
    const first = await receive(asked)
    const waiting = seen({ clientId: 'other', waitMs: 20 * SECOND })
    const again = await receive(asked)
    expect(again).toEqual(first)
    for (const delivery of first) expect(await ack(delivery)).toBe('done')
    expect(await waiting).toEqual(['3:1'])
  })

  it('gets it after a restart too, and both its handles and the old ones hold', async () => {
    await send('a', '1', '2', '3')
    const first = await receive(asked)
    await restart({ killed: true })
    expect((await receive(asked)).map(({ handle }) => handle)).toEqual(first.map(({ handle }) => handle))
    expect(await ack(first[0]!)).toBe('done')
    expect((await receive(asked)).map(told)).toEqual(['2:1'])
  })

  it('keeps the batch invisible from then on', async () => {
    await send('a', '1')
    await receive(asked)
    await clock.advance(20 * SECOND)
    await receive(asked)
    await clock.advance(29 * SECOND)
    expect(await seen({})).toEqual([])
    await clock.advance(1 * SECOND)
    expect(await seen({})).toEqual(['1:2'])
  })

  it('gets fresh messages once the batch is acknowledged', async () => {
    await send('a', '1', '2', '3')
    for (const delivery of await receive(asked)) await ack(delivery)
    expect(await seen(asked)).toEqual(['3:1'])
  })

  it('gets nothing when somebody else has the batch since', async () => {
    await send('a', '1', '2')
    await receive(asked)
    await clock.advance(30 * SECOND)
    expect(await seen({ attemptId: 'attempt-2', max: 2 })).toEqual(['1:2', '2:2'])
    expect(await seen(asked)).toEqual([])
  })

  it('does so a bounded number of times', async () => {
    await send('a', '1')
    for (let time = 0; time <= limits.repeatsPerBatch; time++) expect(await seen(asked)).toEqual(['1:1'])
    expect(await seen(asked)).toEqual([])
    await clock.advance(30 * SECOND)
    expect(await seen(asked)).toEqual(['1:2'])
  })

  it('is another attempt without an id', async () => {
    await send('a', '1')
    await receive({})
    expect(await seen({})).toEqual([])
  })
})

describe('a batch that is returned because no client was sent it', () => {
  it('blocks its queue for the delay, and comes again in order, counting nothing', async () => {
    await send('a', '1', '2', '3')
    await ensureGroup({ generation: 2, maxRetryTimes: 0 })
    for (let round = 0; round < 3; round++) {
      await returnAll(await receive({ max: 2 }))
      await clock.advance(SECOND - 1)
      expect(await seen({})).toEqual([])
      await clock.advance(1)
    }
    expect(await seen({})).toEqual(['1:1', '2:1', '3:1'])
    expect(broker.metadata.topic('%DLQ%group')).toBeNull()
  })

  it('waits for what was sent before it, whichever is over first', async () => {
    await send('a', '1', '2', '3')
    const [first, ...rest] = await receive({ max: 2 })
    await returnAll(rest)
    await clock.advance(20 * SECOND)
    expect(await seen({})).toEqual([])
    await ack(first!)
    expect(await seen({})).toEqual(['2:1', '3:1'])
  })

  it('releases other queues at once, and its own also after a kill', async () => {
    await inQueues('a', 'b')
    const [a] = await receive({ max: 1 })
    await returnAll([a!])
    expect(await seen({})).toEqual(['b:1'])
    await restart({ killed: true })
    await clock.advance(SECOND)
    expect(await seen({})).toEqual(['a:1'])
  })

  it('is no batch that its attempt gets at once', async () => {
    await send('a', '1')
    await returnAll(await receive({ attemptId: 'attempt' }))
    expect(await seen({ attemptId: 'attempt' })).toEqual([])
    await clock.advance(SECOND)
    expect(await seen({ attemptId: 'attempt' })).toEqual(['1:1'])
  })

  it('counts when its attempt had got it before: that answer may have arrived', async () => {
    await send('a', '1')
    const asked = { attemptId: 'attempt' }
    await receive(asked)
    await returnAll(await receive(asked))
    await clock.advance(SECOND)
    expect(await seen({})).toEqual(['1:2'])
  })
})

describe('dead letters in a topic of their own', () => {
  const read = async () => {
    const where = { topic: 'graveyard', group: 'auditor' }
    const bodies: string[] = []
    for (let batch = await receive(where); batch.length > 0; batch = await receive(where)) {
      bodies.push(...batch.map(({ payload }) => `${Buffer.from(payload)}`))
      await broker.consuming.ack({ ...where, clientId: 'auditor', handles: batch.map(({ handle }) => handle) })
    }
    return bodies
  }

  it('that is FIFO stay in the order of their message groups, and new ones of a group come behind them', async () => {
    await ensureTopic('graveyard', 'FIFO')
    await ensureGroup({ maxRetryTimes: 0, deadLetterTopic: 'graveyard' })
    await ensureGroup({ consumerGroupId: 'auditor' })
    for (const number of [1, 2, 3]) for (const group of ['a', 'b', 'c']) await send(group, `${group}${number}`)
    // One after another: an orderly group goes on when the one before was moved to the dead letters.
    for (let round = 0; round < 3; round++) {
      await receive({})
      await clock.advance(30 * SECOND)
    }
    for (const group of ['a', 'b', 'c']) {
      await broker.producing.send({ topic: 'graveyard', messages: [outgoing(group, `${group}4`)] })
    }
    const bodies = await read()
    for (const group of ['a', 'b', 'c'])
      expect(bodies.filter((body) => body.startsWith(group))).toEqual([1, 2, 3, 4].map((n) => `${group}${n}`))
  })

  it('that is PRIORITY keep their priority', async () => {
    await ensureTopic('urgent', 'PRIORITY')
    await ensureTopic('graveyard', 'PRIORITY')
    await ensureGroup({ consumerGroupId: 'other', orderly: false, maxRetryTimes: 0, deadLetterTopic: 'graveyard' })
    const where = { topic: 'urgent', group: 'other' }
    await receive(where)
    for (const priority of [0, 7, 3, 7, 1])
      await broker.producing.send({ topic: 'urgent', messages: [{ ...outgoing(null, `${priority}`), priority }] })
    await receive(where)
    await clock.advance(30 * SECOND)
    expect(await read()).toEqual(['7', '7', '3', '1', '0'])
  })
})

describe('the dead letters of an orderly group', () => {
  it('take the first message once it failed maxRetryTimes + 1 times, and nothing that rode along', async () => {
    await ensureGroup({ maxRetryTimes: 2, generation: 2 })
    await send('a', 'bad', 'good')
    const rounds: string[][] = []
    for (let round = 0; round < 4; round++) {
      rounds.push(await seen({}))
      await clock.advance(30 * SECOND)
    }
    // The last attempt is named when it is one: "good" has two more.
    expect(rounds).toEqual([['bad:1', 'good:1'], ['bad:2', 'good:2'], ['bad:3', 'good:2'], ['good:2']])
    expect(await dead()).toEqual(['bad'])
    expect(await seen({})).toEqual(['good:3'])
    await clock.advance(30 * SECOND)
    expect([await seen({}), await dead()]).toEqual([[], ['good']])
  })

  it('take it by nacks as well, and wake who waits for what is behind it', async () => {
    await ensureGroup({ maxRetryTimes: 0, generation: 2 })
    await send('a', 'bad', 'good')
    const [bad] = await receive({ max: 1 })
    const waiting = seen({ waitMs: 20 * SECOND })
    await change(bad!, 3 * SECOND)
    await clock.advance(3 * SECOND)
    expect(await waiting).toEqual(['good:1'])
    expect(await dead()).toEqual(['bad'])
  })

  it('take what a push consumer forwards, from the middle too; it never comes again', async () => {
    await send('a', '1', '2', '3')
    const [, second] = await receive({})
    await forward(second!)
    await forward(second!)
    await clock.advance(30 * SECOND)
    expect(await seen({})).toEqual(['1:2', '3:2'])
    expect(await dead()).toEqual(['2'])
  })

  it('take nothing that is acknowledged', async () => {
    await send('a', '1', '2')
    const [, second] = await receive({})
    await ack(second!)
    await forward(second!)
    expect(await dead()).toEqual([])
  })

  it('take the next one at once when retries are lowered', async () => {
    await send('a', '1')
    for (let round = 0; round < 3; round++) {
      await receive({})
      await clock.advance(30 * SECOND)
    }
    await ensureGroup({ maxRetryTimes: 1, generation: 2 })
    await clock.advance(0)
    expect(await dead()).toEqual(['1'])
  })
})

describe('a group whose order changes with messages in flight', () => {
  it('from concurrent to orderly: what is out blocks its queue, what is done stays done', async () => {
    await ensureGroup({ orderly: false, generation: 2 })
    await send('a', '1', '2', '3', '4')
    const batch = await receive({ max: 3 })
    await ack(batch[1]!)
    await ensureGroup({ orderly: true, generation: 3 })
    expect(await seen({})).toEqual([])
    await ack(batch[0]!)
    expect(await seen({})).toEqual([])
    await clock.advance(30 * SECOND)
    expect(await seen({})).toEqual(['3:2', '4:1'])
  })

  it('from orderly to concurrent: nothing acknowledged comes again, nothing is held back', async () => {
    await send('a', '1', '2', '3', '4')
    const batch = await receive({ max: 2, attemptId: 'x' })
    await ack(batch[1]!)
    await ensureGroup({ orderly: false, generation: 2 })
    expect(await seen({ attemptId: 'x' })).toEqual(['3:1', '4:1'])
    await clock.advance(30 * SECOND)
    expect((await seen({})).sort()).toEqual(['1:2', '3:2', '4:2'])
    expect(broker.inspection.usage().inflight).toBe(3)
  })

  it('to and fro while all is visible again: everything comes once', async () => {
    await send('a', '1', '2')
    await receive({})
    await clock.advance(30 * SECOND)
    for (const [generation, orderly] of [
      [2, false],
      [3, true],
      [4, false],
    ] as const)
      await ensureGroup({ orderly, generation })
    expect(await seen({})).toEqual(['1:2', '2:2'])
    expect(await seen({})).toEqual([])
  })
})

describe('a restart', () => {
  it('keeps the lock, what is acknowledged in it, and the attempts', async () => {
    await send('a', '1', '2', '3')
    const batch = await receive({ max: 2 })
    await ack(batch[1]!)
    const before = encodeState(broker.state)
    await restart({ killed: true })
    expect(Buffer.compare(encodeState(broker.state), before)).toBe(0)
    expect(await seen({})).toEqual([])
    await clock.advance(30 * SECOND)
    expect(await seen({})).toEqual(['1:2', '2:2', '3:1'])
    // From the checkpoint that closing writes.
    await restart()
    expect(await seen({})).toEqual([])
    await clock.advance(30 * SECOND)
    expect(await seen({ max: 1 })).toEqual(['1:3'])
  })

  it('keeps what failed: a message is not tried more often because the broker died', async () => {
    await ensureGroup({ maxRetryTimes: 1, generation: 2 })
    await send('a', '1')
    await receive({})
    await clock.advance(30 * SECOND)
    await receive({})
    await restart({ killed: true })
    await clock.advance(30 * SECOND)
    expect([await seen({}), await dead()]).toEqual([[], ['1']])
  })
})

it('a topic that is removed takes its locks along', async () => {
  await send('a', '1', '2')
  const [first] = await receive({ attemptId: 'x' })
  await broker.administration.removeTopic('topic')
  expect(broker.inspection.usage().inflight).toBe(0)
  await ensureTopic('topic', 'FIFO')
  expect(await ack(first!)).toBe('expired')
  await receive({})
  await send('a', 'new')
  expect(await seen({ attemptId: 'x' })).toEqual(['new:1'])
})

it('a batch that nobody was given comes again as if it had not been taken, the rest behind it', async () => {
  await send('a', '1', '2')
  const aborted = new AbortController()
  const hungUp = broker.consuming.receive(want({ max: 1, attemptId: 'x' }), aborted.signal)
  aborted.abort()
  expect(await hungUp).toEqual([])
  expect(await seen({})).toEqual(['1:1', '2:1'])
})

describe('a PRIORITY topic', () => {
  beforeEach(async () => {
    await ensureTopic('urgent', 'PRIORITY')
    await ensureGroup({ consumerGroupId: 'workers', orderly: false })
    expect(await receive(urgent)).toEqual([])
  })
  const urgent = { topic: 'urgent', group: 'workers' }

  it('gives the largest priority first, whenever it was sent; what is beyond the queues counts as the last', async () => {
    for (const [body, priority] of [
      ['low', 0],
      ['middle', 3],
      ['high', 7],
      ['beyond', 2 ** 31 - 1],
    ] as const)
      await broker.producing.send({ topic: 'urgent', messages: [{ ...outgoing(null, body), priority }] })
    expect(await seen(urgent)).toEqual(['high:1', 'beyond:1', 'middle:1', 'low:1'])
  })

  it('gives what comes again after everything fresh', async () => {
    await broker.producing.send({ topic: 'urgent', messages: [{ ...outgoing(null, 'again'), priority: 7 }] })
    await receive(urgent)
    await clock.advance(30 * SECOND)
    await broker.producing.send({ topic: 'urgent', messages: [{ ...outgoing(null, 'fresh'), priority: 0 }] })
    expect(await seen(urgent)).toEqual(['fresh:1', 'again:2'])
  })

  it('spreads what has no priority over all queues', async () => {
    const receipts = await broker.producing.send({
      topic: 'urgent',
      messages: Array.from({ length: 8 }, (_, i) => outgoing(null, `${i}`)),
    })
    expect(new Set(receipts.map(({ queueId }) => queueId)).size).toBe(8)
  })

  it('is in the order of its queues for an orderly group', async () => {
    await receive({ topic: 'urgent' })
    for (const priority of [0, 5])
      await broker.producing.send({ topic: 'urgent', messages: [{ ...outgoing(null, `${priority}`), priority }] })
    const [first] = await receive({ topic: 'urgent', max: 1 })
    const [second] = await receive({ topic: 'urgent', max: 1 })
    expect([first, second].map((each) => told(each!)).sort()).toEqual(['0:1', '5:1'])
  })
})

// Helpers ------------------------------------------------------------------------------------------

async function open(): Promise<void> {
  broker = await openShell({
    world: { clock, random, disk: disk.boot() },
    directory: '/instance',
    settings: { retentionMs: 72 * HOUR, maxDelayMs: 168 * HOUR, sendTps: 1e9, receiveTps: 1e9 },
    report: (error) => void reported.push(error),
  })
}

async function restart({ killed = false } = {}): Promise<void> {
  if (!killed) await broker.close()
  await open()
}

async function ensureTopic(topicName: string, messageType: MessageType): Promise<void> {
  await broker.administration.ensureTopics([{ topicName, generation: 1, messageType, maxSendTps: null }])
}

async function ensureGroup(changes: Partial<GroupSpec>): Promise<void> {
  const spec: GroupSpec = {
    consumerGroupId: 'group',
    generation: 1,
    orderly: true,
    maxRetryTimes: 16,
    retry: { kind: 'fixed', intervalSeconds: 3 },
    deadLetterTopic: null,
    maxReceiveTps: null,
    ...changes,
  }
  await broker.administration.ensureGroups([spec])
}

async function send(messageGroup: string, ...bodies: string[]): Promise<SendReceipt[]> {
  const receipts: SendReceipt[] = []
  for (const body of bodies)
    receipts.push(...(await broker.producing.send({ topic: 'topic', messages: [outgoing(messageGroup, body)] })))
  return receipts
}

/** One message a body, each in a queue of its own, in the order in which receives turn to them. */
async function inQueues(...bodies: string[]): Promise<void> {
  for (const body of bodies) await broker.producing.send({ topic: 'topic', messages: [outgoing(null, body)] })
}

function outgoing(messageGroup: string | null, body: string, tag = 'tag') {
  const payload = Buffer.from(body)
  return { messageId: `M${messages++}`, tag, payload, bodyBytes: payload.length, messageGroup }
}

function want(changes: Partial<ReceiveRequest>): ReceiveRequest {
  return {
    group: 'group',
    topic: 'topic',
    filter: null,
    max: 32,
    waitMs: 0,
    invisibleMs: 30 * SECOND,
    autoRenew: false,
    clientId: 'client',
    ...changes,
  }
}

function receive(changes: Partial<ReceiveRequest> = {}): Promise<Delivery[]> {
  return broker.consuming.receive(want(changes), new AbortController().signal)
}

async function seen(changes: Partial<ReceiveRequest>): Promise<string[]> {
  return (await receive(changes)).map(told)
}

function told({ payload, attempt }: Delivery): string {
  return `${Buffer.from(payload)}:${attempt}`
}

/** What lies among the dead letters of `group` and was not looked at before. */
async function dead(): Promise<string[]> {
  if (!broker.metadata.topic('%DLQ%group')) return []
  const where = { topic: '%DLQ%group', group: 'auditor', clientId: 'auditor' }
  const deliveries = await receive(where)
  await broker.consuming.ack({ ...where, handles: deliveries.map(({ handle }) => handle) })
  return deliveries.map(({ payload }) => `${Buffer.from(payload)}`)
}

async function ack({ handle }: Delivery): Promise<string> {
  const [answer] = await broker.consuming.ack({ group: 'group', topic: 'topic', clientId: 'client', handles: [handle] })
  return answer!.outcome
}

function change({ handle }: Delivery, invisibleMs: number) {
  return broker.consuming.changeInvisible({ group: 'group', topic: 'topic', clientId: 'client', handle, invisibleMs })
}

function returnAll(deliveries: readonly Delivery[]): Promise<boolean> {
  const handles = deliveries.map(({ handle }) => handle)
  return broker.consuming.returnDeliveries({ group: 'group', topic: 'topic', handles, delayMs: SECOND })
}

function forward({ handle, messageId }: Delivery): Promise<void> {
  return broker.consuming.forwardToDeadLetter({ group: 'group', topic: 'topic', clientId: 'client', handle, messageId })
}

async function aliveFor(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 30 * SECOND) {
    broker.consuming.clientAlive('client')
    await clock.advance(30 * SECOND)
  }
}

async function goneFor(clientId: string): Promise<void> {
  broker.consuming.clientGone(clientId)
  await clock.advance(limits.goneVisibleMs)
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  void promise.then(() => (done = true))
  await settle()
  return done
}
