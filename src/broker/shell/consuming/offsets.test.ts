/** Where a group begins, and a reset: every message from the new offset on is delivered again, and none before it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SimulatedClock, SimulatedRandom, settle } from '../../../world/simulated.ts'
import { SimulatedDisk } from '../../../world/simulated-disk.ts'
import type { Delivery, ReceiveRequest } from '../../broker.ts'
import { limits } from '../../core/limits.ts'
import { encodeState } from '../../core/snapshot.ts'
import type { BrokerShell } from '../broker-shell.ts'
import { openShell } from '../open.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const settings = { retentionMs: HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 24 * HOUR }

let clock: SimulatedClock
let disk: SimulatedDisk
let random: SimulatedRandom
let broker: BrokerShell
let reported: unknown[]
let sent: number

beforeEach(async () => {
  clock = new SimulatedClock()
  random = new SimulatedRandom(1)
  disk = new SimulatedDisk({ random })
  reported = []
  sent = 0
  await open()
  await broker.administration.ensureTopics([
    { topicName: 'topic', generation: 1, messageType: 'NORMAL', maxSendTps: null },
  ])
})

afterEach(async () => {
  const before = broker
  await broker.close()
  // What the events said, and what a checkpoint says, is the same state.
  await open()
  expect(Buffer.compare(encodeState(before.state), encodeState(broker.state))).toBe(0)
  await broker.close()
  expect(reported).toEqual([])
})

async function open(): Promise<void> {
  broker = await openShell({
    world: { clock, random, disk: disk.boot() },
    directory: '/instance',
    settings,
    segmentBytes: 64 * 1_024,
    report: (error) => void reported.push(error),
  })
}

/** Messages by number, from 0 on. */
async function send(count: number, bytes = 10, topic = 'topic'): Promise<void> {
  // As many at a time as a segment takes.
  const portion = 10_000 / bytes
  for (let left = count; left > 0; left -= portion) {
    const messages = Array.from({ length: Math.min(left, portion) }, () => ({
      messageId: `M${sent++}`,
      tag: null,
      payload: Buffer.alloc(bytes),
      bodyBytes: bytes,
    }))
    await broker.producing.send({ topic, messages })
  }
}

async function receive(changes: Partial<ReceiveRequest> = {}): Promise<Delivery[]> {
  const deliveries = broker.consuming.receive(
    {
      group: 'group',
      topic: 'topic',
      filter: null,
      max: 1_000,
      waitMs: 0,
      invisibleMs: 30_000,
      autoRenew: false,
      clientId: 'client',
      ...changes,
    },
    new AbortController().signal,
  )
  for (let turn = 0; turn < 20; turn++) {
    await settle()
    await clock.advance(1)
  }
  return deliveries
}

const numbers = (deliveries: readonly Delivery[]): number[] =>
  deliveries.map(({ messageId }) => Number(messageId.slice(1))).sort((a, b) => a - b)
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)
const ack = (deliveries: readonly Delivery[]) =>
  broker.consuming.ack({
    group: 'group',
    topic: 'topic',
    clientId: 'client',
    handles: deliveries.map(({ handle }) => handle),
  })
const reset = (resetId: string, toMs: number | null) =>
  broker.offsets.reset({ resetId, consumerGroupId: 'group', topicName: 'topic', toMs })

describe('a group that reads a topic for the first time begins', () => {
  it('at the first message of a young topic', async () => {
    await send(20)
    expect(numbers(await receive())).toEqual(range(0, 20))
  })

  it('at the end of a topic that lost messages to retention', async () => {
    await send(200, 1_000)
    await clock.advance(2 * HOUR)
    await send(5)
    expect(broker.log.first).toBeGreaterThan(2 ** 33)
    expect(await receive()).toEqual([])
    await send(3)
    expect(numbers(await receive())).toEqual(range(205, 208))
  })

  it('at the end of a topic with more messages than are young', async () => {
    await send(limits.youngTopicMessages + 1)
    expect(await receive()).toEqual([])
    await send(3)
    expect(await receive()).toHaveLength(3)
  })

  it('at the first dead letter, whatever retention took', async () => {
    const dead = '%DLQ%group'
    await broker.administration.ensureTopics([
      { topicName: dead, generation: 1, messageType: 'NORMAL', maxSendTps: null },
    ])
    await send(200, 1_000, dead)
    await clock.advance(2 * HOUR)
    await send(5, 10, dead)
    expect(numbers(await receive({ topic: dead, group: 'auditor' }))).toEqual(range(200, 205))
  })

  it('and gets its retries whatever its start', async () => {
    await send(1)
    const [first] = await receive()
    await clock.advance(31_000)
    const [again] = await receive()
    expect([again!.messageId, again!.attempt]).toEqual([first!.messageId, 2])
  })

  it('where a reset says, also one that came before it ever read', async () => {
    await send(10)
    await clock.advance(MINUTE)
    const at = broker.now()
    await send(10)
    await broker.administration.ensureGroups([
      {
        consumerGroupId: 'group',
        generation: 1,
        orderly: false,
        maxRetryTimes: 16,
        retry: { kind: 'default' },
        deadLetterTopic: null,
        maxReceiveTps: null,
      },
    ])
    await reset('a', at)
    expect(numbers(await receive())).toEqual(range(10, 20))
  })
})

describe('the lag of a group', () => {
  it('counts what waits, what is with clients and what came back, and says since when', async () => {
    const lag = async () => (await broker.offsets.lag('group'))[0]
    expect(await lag()).toBeUndefined()
    const first = broker.now()
    await send(10)
    await clock.advance(MINUTE)
    const second = broker.now()
    await send(10)
    expect(await receive({ max: 5 })).toHaveLength(5)
    expect(await lag()).toMatchObject({ readyCount: 15, inflightCount: 5, lastConsumeMs: null, readySinceMs: first })
    await clock.advance(31_000)
    expect(await lag()).toMatchObject({ readyCount: 20, inflightCount: 0 })
    for (let round = 0; round < 2; round++) await ack(await receive())
    expect(await lag()).toEqual({
      topicName: 'topic',
      readyCount: 0,
      inflightCount: 0,
      lastConsumeMs: second,
      readySinceMs: null,
    })
    await reset('a', null)
    await send(3)
    expect(await lag()).toMatchObject({ readyCount: 3, lastConsumeMs: second, readySinceMs: broker.now() })
  })
})

describe('a reset', () => {
  /** Thirty messages in three batches a minute apart; the times at which the batches began. */
  async function threeBatches(): Promise<number[]> {
    const times: number[] = []
    for (let batch = 0; batch < 3; batch++) {
      times.push(broker.now())
      await send(10)
      await clock.advance(MINUTE)
    }
    return times
  }

  it('to a time gives every message stored then or later once more, and no other', async () => {
    const [, second] = await threeBatches()
    await ack(await receive())
    await reset('a', second!)
    const again = await receive()
    expect(numbers(again)).toEqual(range(10, 30))
    expect(again.map(({ attempt }) => attempt)).toEqual(again.map(() => 1))
    await ack(again)
    expect(await receive()).toEqual([])
    await reset('b', second! + 1)
    expect(numbers(await receive())).toEqual(range(20, 30))
  })

  it('to the end skips everything, retries and dead letters under way included', async () => {
    await threeBatches()
    await receive({ max: 15 })
    await clock.advance(MINUTE)
    await reset('a', null)
    expect(broker.inspection.usage().inflight).toBe(0)
    expect(await receive()).toEqual([])
    await send(2)
    expect(await receive()).toHaveLength(2)
  })

  it('to a time before the first message goes to the first, to one in the future to the end', async () => {
    await threeBatches()
    await ack(await receive())
    await reset('a', 0)
    expect(await receive()).toHaveLength(30)
    await reset('b', broker.now() + HOUR)
    expect(await receive()).toEqual([])
  })

  it('wakes who waits', async () => {
    await send(3)
    await ack(await receive())
    const waiting = broker.consuming.receive(
      {
        group: 'group',
        topic: 'topic',
        filter: null,
        max: 10,
        waitMs: 20_000,
        invisibleMs: 30_000,
        autoRenew: false,
        clientId: 'client',
      },
      new AbortController().signal,
    )
    await reset('a', 0)
    await settle()
    expect((await waiting).length).toBeGreaterThan(0)
  })

  it('makes handles from before name nothing, neither to acknowledge nor to keep invisible', async () => {
    await send(1)
    const [old] = await receive()
    await reset('a', 0)
    const [fresh] = await receive()
    expect([fresh!.messageId, fresh!.attempt, fresh!.handle === old!.handle]).toEqual([old!.messageId, 1, false])
    expect(await ack([old!])).toEqual([{ outcome: 'expired' }])
    const change = { group: 'group', topic: 'topic', clientId: 'client', handle: old!.handle, invisibleMs: 1 }
    expect((await broker.consuming.changeInvisible(change)).outcome).toBe('expired')
    await broker.consuming.forwardToDeadLetter({ ...change, messageId: old!.messageId })
    expect(broker.inspection.usage().inflight).toBe(1)
    expect(await ack([fresh!])).toEqual([{ outcome: 'done' }])
    // Forward over it: done with, and harmless again.
    await reset('b', null)
    expect(await ack([old!])).toEqual([{ outcome: 'done' }])
  })

  it('is carried out once, however often it is told and whoever dies in between', async () => {
    await send(3)
    await ack(await receive())
    await reset('a', 0)
    await ack(await receive())
    await reset('a', 0)
    expect(await receive()).toEqual([])
    await broker.checkpoint()
    await broker.close()
    await open()
    await reset('a', 0)
    expect(await receive()).toEqual([])
    await reset('b', 0)
    expect(await receive()).toHaveLength(3)
  })

  it('that is told again after a later one stays as it was carried out', async () => {
    await send(3)
    await ack(await receive())
    await reset('a', 0)
    await ack(await receive())
    await reset('b', 0)
    await ack(await receive())
    for (const told of ['a', 'b', 'a']) await reset(told, 0)
    expect(await receive()).toEqual([])
    await broker.close()
    await open()
    for (const told of ['a', 'b']) await reset(told, 0)
    expect(await receive()).toEqual([])
  })

  it('is remembered with a bound', async () => {
    await receive()
    for (let i = 0; i < limits.resetsRemembered + 5; i++) await reset(`reset-${i}`, 0)
    const { resetIds } = broker.state.topics.get('topic')!.subscriptions.get('group')!
    expect([resetIds.length, resetIds.at(-1)]).toEqual([
      limits.resetsRemembered,
      `reset-${limits.resetsRemembered + 4}`,
    ])
  })

  it('is durable when it is answered', async () => {
    await send(3)
    await ack(await receive())
    await reset('a', 0)
    disk.powerCut()
    await open()
    expect(await receive()).toHaveLength(3)
  })

  it('of a group or a topic that is not there does nothing', async () => {
    await reset('a', 0)
    await broker.offsets.reset({ resetId: 'b', consumerGroupId: 'group', topicName: 'nowhere', toMs: null })
    expect(broker.metadata.groups()).toEqual([])
  })
})

describe('a pull that meets retention', () => {
  const pull = (offset: number, filter: ReceiveRequest['filter'] = null) =>
    broker.offsets.pull(
      { group: 'group', topic: 'topic', queueId: 0, offset, max: 32, waitMs: 0, filter },
      new AbortController().signal,
    )

  it.each([
    ['before it began', async (): Promise<void> => {}],
    ['while the log is read', () => during('readMany')],
  ])('%s hears that its offset is out of range, and where the queue begins', async (when, trims) => {
    await send(200, 1_000)
    await clock.advance(MINUTE)
    const waits = trims()
    if (when === 'before it began') await clock.advance(2 * HOUR)
    const refused = expect(pull(0)).rejects.toMatchObject({ code: 40019, message: /holds \d+ to 25/ })
    await settle()
    await waits
    await refused
  })

  /** Lets the broker trim everything between a pull's look at the index and its reading of the log. */
  async function during(name: 'readMany'): Promise<void> {
    const { log } = broker
    const read = log[name]
    log[name] = async (positions) => {
      log[name] = read
      await clock.advance(2 * HOUR)
      return read.call(log, positions)
    }
  }
})
