/**
 * Whatever loops over stored messages takes little of each turn of the event loop. Work is counted in simulated
 * milliseconds: slow work advances the simulated clock, and nothing depends on the speed of the machine.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TopicSpec } from '../../model/instances.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import type { ReceiveRequest, SqlFilter } from '../broker.ts'
import type { BrokerShell } from './broker-shell.ts'
import { openShell } from './open.ts'
import { SLICE_MS, TURN_MS } from './turn-budget.ts'

const HOUR = 3_600_000
const topic: TopicSpec = { topicName: 'topic', generation: 1, messageType: 'NORMAL', maxSendTps: null }

/** Time passes by work alone. */
class WorkingClock extends SimulatedClock {
  workedMs = 0

  override monotonic(): number {
    return super.monotonic() + this.workedMs
  }
}

let clock: WorkingClock
let broker: BrokerShell
let random: SimulatedRandom
let worked: { inTurnMs: number; longestMs: number; totalMs: number }
let watching: boolean

function work(ms: number): void {
  clock.workedMs += ms
  worked.inTurnMs += ms
  worked.totalMs += ms
  worked.longestMs = Math.max(worked.longestMs, worked.inTurnMs)
}

beforeEach(async () => {
  clock = new WorkingClock()
  random = new SimulatedRandom(1)
  broker = await open('/instance')
  await broker.administration.ensureTopics([topic])
  await receive({ filter: null })
  worked = { inTurnMs: 0, longestMs: 0, totalMs: 0 }
  watching = true
  const turn = () => {
    worked.inTurnMs = 0
    if (watching) setImmediate(turn)
  }
  turn()
})

afterEach(async () => {
  watching = false
  await broker.close()
})

function open(directory: string): Promise<BrokerShell> {
  return openShell({
    world: { clock, random, disk: new SimulatedDisk({ random }).boot() },
    directory,
    settings: { retentionMs: 72 * HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 24 * HOUR },
    report: (error) => {
      throw error
    },
  })
}

/** One millisecond for each message it is asked of. */
function slowly(passes: (text: string) => boolean): SqlFilter {
  return {
    sql: 'slow',
    passes(payload) {
      work(1)
      return passes(Buffer.from(payload).toString())
    },
  }
}

async function fill(count: number, into = broker): Promise<void> {
  for (let from = 0; from < count; from += 1_000)
    await into.producing.send({
      topic: 'topic',
      messages: Array.from({ length: Math.min(1_000, count - from) }, (_, i) => {
        const payload = Buffer.from(String(from + i))
        return { messageId: `M${from + i}`, tag: null, payload, bodyBytes: payload.length }
      }),
    })
}

const receive = (changes: Partial<ReceiveRequest>) => during(waiting(broker, changes))

function waiting(of: BrokerShell, changes: Partial<ReceiveRequest>) {
  const request = {
    ...{ group: 'group', topic: 'topic', filter: null, max: 32, waitMs: 0, invisibleMs: 30_000 },
    ...{ autoRenew: false, clientId: 'client', ...changes },
  }
  return of.consuming.receive(request, new AbortController().signal)
}

async function during<T>(answer: Promise<T>): Promise<T> {
  let done = false
  answer.finally(() => (done = true)).catch(() => {})
  while (!done) await clock.advance(1)
  return answer
}

describe('no turn is long', () => {
  it('while a receive looks for the one message that matches', async () => {
    await fill(3_000)
    const got = await receive({ filter: slowly((text) => text === '2990'), waitMs: 20_000 })
    expect(got.map(({ messageId }) => messageId)).toEqual(['M2990'])
    expect(worked.totalMs).toBeGreaterThan(2_000)
    expect(worked.longestMs).toBeLessThanOrEqual(TURN_MS + 1)
  })

  it('however many receives look at the same time', async () => {
    await fill(300)
    for (let i = 0; i < 20; i++)
      await receive({ group: `group-${i}`, filter: slowly(() => true), max: 1, waitMs: 1_000 })
    worked.longestMs = 0
    await fill(300)
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        receive({ group: `group-${i}`, filter: slowly(() => false), waitMs: 1_000 }),
      ),
    )
    expect(worked.longestMs).toBeLessThanOrEqual(TURN_MS + 20)
  })

  it('while what matched is asked once more before it is delivered', async () => {
    await fill(1_000)
    const got = await receive({ filter: slowly(() => true), max: 1_024, waitMs: 20_000 })
    expect(got.length).toBeGreaterThan(100)
    expect(worked.longestMs).toBeLessThanOrEqual(TURN_MS + 1)
  })

  it('while a pull looks for the one message that matches', async () => {
    await fill(4_000)
    const pulled = broker.offsets.pull(
      { group: 'group', topic: 'topic', queueId: 0, offset: 0, filter: slowly(() => false), max: 32, waitMs: 1_000 },
      new AbortController().signal,
    )
    let done = false
    pulled.finally(() => (done = true)).catch(() => {})
    while (!done) await clock.advance(10)
    expect((await pulled).deliveries).toEqual([])
    expect(worked.totalMs).toBeGreaterThan(400)
    expect(worked.longestMs).toBeLessThanOrEqual(TURN_MS + 1)
  })

  it('while stored messages are looked through', async () => {
    await fill(2_000)
    const page = await broker.inspection.browse({
      ...{ topic: 'topic', fromMs: 0, untilMs: Number.MAX_SAFE_INTEGER, after: null, skip: 0, limit: 2_000 },
      each: () => work(0.1),
    })
    expect(page?.messages).toEqual([])
    expect(worked.totalMs).toBeGreaterThan(199)
    // A portion is 32 messages.
    expect(worked.longestMs).toBeLessThanOrEqual(TURN_MS + 3.3)
  })
})

describe('one instance beside another of its process that looks through all it has', () => {
  const lite = { topic: 'lites', group: 'lite-group', clientId: 'client' }
  let other: BrokerShell
  let busy: Array<Promise<unknown>>

  beforeEach(async () => {
    other = await open('/other')
    await other.administration.ensureTopics([
      topic,
      { ...topic, topicName: 'lites', messageType: 'LITE', liteExpirationMs: null },
    ])
    await other.administration.ensureGroups([{ ...group, consumerGroupId: 'lite-group' }])
    await waiting(other, {})
    await fill(50, other)
    await during(other.lite.sync({ ...lite, action: 'replace', liteTopics: names, version: 1, offset: null }))
    await during(
      other.producing.send({ topic: 'lites', messages: messagesTo(Array.from({ length: 100 }, (_, i) => `old-${i}`)) }),
    )
    await during(
      other.offsets.reset({ consumerGroupId: 'lite-group', topicName: 'lites', toMs: null, resetId: 'reset' }),
    )
    // A hundred receives of a hundred groups, each looking through thousands of messages at a millisecond each.
    for (let i = 0; i < 100; i++) await receive({ group: `group-${i}` })
    await fill(3_000)
    busy = Array.from({ length: 100 }, (_, i) =>
      waiting(broker, { group: `group-${i}`, filter: slowly(() => false), waitMs: 20_000 }),
    )
    await settle()
    worked.totalMs = 0
  })

  afterEach(async () => {
    expect(worked.longestMs).toBeLessThanOrEqual(TURN_MS + 1)
    await Promise.all([other.close(), broker.close(), ...busy])
  })

  it('has a part of every turn for its own search', async () => {
    const asked: number[] = []
    const filter: SqlFilter = {
      sql: 'other',
      passes(payload) {
        asked.push(worked.totalMs)
        work(1)
        return Buffer.from(payload).toString() === '49'
      },
    }
    const got = await during(waiting(other, { filter, waitMs: 20_000 }))
    expect(got.map(({ payload }) => Buffer.from(payload).toString())).toEqual(['49'])
    const between = asked.slice(1).map((at, i) => at - asked[i]! - 1)
    // Reads of the log lie between some of them, and whoever works meanwhile has its turn.
    expect(Math.max(...between)).toBeLessThanOrEqual(TURN_MS)
    expect(worked.totalMs).toBeLessThan(50 + 50 * SLICE_MS)
  })

  it('is told the lag of a hundred lite topics', async () => {
    const lag = await during(other.offsets.lag('lite-group'))
    expect(lag.length).toBeGreaterThan(99)
    expect(worked.totalMs).toBeLessThan(20 * TURN_MS)
  })

  it('is given what its lite polls wait for, although every turn is spent', async () => {
    const polls = Array.from({ length: 3 }, () => waiting(other, { ...lite, max: 1, waitMs: 20_000 }))
    void other.producing.send({ topic: 'lites', messages: messagesTo(names.slice(0, 3)) })
    const got = await during(Promise.all(polls))
    expect(got.flat().map(({ payload }) => Buffer.from(payload).toString())).toEqual(names.slice(0, 3))
    expect(worked.totalMs).toBeLessThan(20 * TURN_MS)
  })
})

function messagesTo(liteTopics: readonly string[]) {
  return liteTopics.map((liteTopic, i) => {
    const payload = Buffer.from(liteTopic)
    return { messageId: `L${i}`, tag: null, payload, bodyBytes: payload.length, liteTopic }
  })
}

const names = Array.from({ length: 100 }, (_, i) => `lite-${i}`)

const group = {
  ...{ consumerGroupId: 'group', generation: 1, orderly: true, maxRetryTimes: 16, retry: { kind: 'default' } as const },
  ...{ deadLetterTopic: null, maxReceiveTps: null, lite: { topicName: 'lites', exclusive: false } },
}
