/**
 * Whatever loops over stored messages takes little of each turn of the event loop. Work is counted in simulated
 * milliseconds: what is slow here says so to the clock, and nothing depends on how fast the machine is.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SimulatedClock, SimulatedRandom } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import type { ReceiveRequest, SqlFilter } from '../broker.ts'
import type { BrokerShell } from './broker-shell.ts'
import { openShell } from './open.ts'
import { TURN_MS } from './turn-budget.ts'

const HOUR = 3_600_000

/** Time passes by work alone. */
class WorkingClock extends SimulatedClock {
  workedMs = 0

  override monotonic(): number {
    return super.monotonic() + this.workedMs
  }
}

let clock: WorkingClock
let broker: BrokerShell
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
  const random = new SimulatedRandom(1)
  broker = await openShell({
    world: { clock, random, disk: new SimulatedDisk({ random }).boot() },
    directory: '/instance',
    settings: { retentionMs: 72 * HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 24 * HOUR },
    report: (error) => {
      throw error
    },
  })
  await broker.ensureTopics([{ topicName: 'topic', generation: 1, messageType: 'NORMAL', maxSendTps: null }])
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

async function fill(count: number, body = (i: number) => String(i)): Promise<void> {
  for (let from = 0; from < count; from += 1_000)
    await broker.send({
      topic: 'topic',
      messages: Array.from({ length: Math.min(1_000, count - from) }, (_, i) => {
        const payload = Buffer.from(body(from + i))
        return { messageId: `M${from + i}`, tag: null, payload, bodyBytes: payload.length }
      }),
    })
}

async function receive(changes: Partial<ReceiveRequest>) {
  const request = {
    ...{ group: 'group', topic: 'topic', filter: null, max: 32, waitMs: 0, invisibleMs: 30_000 },
    ...{ autoRenew: false, clientId: 'client', ...changes },
  }
  const answer = broker.receive(request, new AbortController().signal)
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
    const pulled = broker.pull(
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
    const page = await broker.browse({
      ...{ topic: 'topic', fromMs: 0, untilMs: Number.MAX_SAFE_INTEGER, after: null, skip: 0, limit: 2_000 },
      each: () => work(0.1),
    })
    expect(page?.messages).toEqual([])
    expect(worked.totalMs).toBeGreaterThan(199)
    // A portion is 32 messages.
    expect(worked.longestMs).toBeLessThanOrEqual(TURN_MS + 3.3)
  })
})
