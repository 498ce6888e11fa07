/**
 * Transactions, rule by rule, on a simulated clock and disk. Random sequences are in test/simulation/transactions.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SimulatedClock, SimulatedRandom } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import type { BrokerSettings, Delivery, Orphan, SendReceipt } from '../broker.ts'
import { limits } from '../core/limits.ts'
import { openTransaction } from '../core/open-transactions.ts'
import { encodeState } from '../core/snapshot.ts'
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
let asked: Orphan[]
/** Topics a producer is there for. */
let producers: Set<string>
let messages: number

beforeEach(async () => {
  clock = new SimulatedClock()
  random = new SimulatedRandom(1)
  disk = new SimulatedDisk({ random })
  settings = { retentionMs: 72 * HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 40 * 24 * HOUR }
  reported = []
  asked = []
  producers = new Set(['topic', 'other'])
  messages = 0
  await open()
  await broker.administration.ensureTopics([topicSpec('topic'), topicSpec('other')])
  expect(await receive()).toEqual([])
})

afterEach(async () => {
  await broker.close()
  expect(reported).toEqual([])
})

describe('a half message', () => {
  it('is delivered to nobody before its commit, and then once, as it was sent', async () => {
    const sent = await half({ body: 'hello', tag: 'tag' })
    expect(sent.transactionId).toMatch(/^t1\./)
    await clock.advance(5 * MINUTE)
    expect(await receive()).toEqual([])
    expect(broker.inspection.usage().messages).toBe(0)
    expect(await end(sent, 'commit')).toEqual({ outcome: 'committed' })
    const deliveries = await receive()
    expect(deliveries.map(({ payload }) => Buffer.from(payload).toString())).toEqual(['hello'])
    expect(deliveries[0]).toMatchObject({ messageId: sent.messageId, attempt: 1 })
    expect(await receive()).toEqual([])
  })

  it('wakes a waiting receive when it is committed', async () => {
    const waiting = receive(20_000)
    const sent = await half()
    await end(sent, 'commit')
    expect(await waiting).toHaveLength(1)
  })

  it('is gone when rolled back', async () => {
    const sent = await half()
    expect(await end(sent, 'rollback')).toEqual({ outcome: 'rolled-back' })
    await clock.advance(HOUR)
    expect([await receive(), asked, broker.state.transactions.open.size]).toEqual([[], [], 0])
  })

  it('counts five times against the budget', async () => {
    settings = { ...settings, sendTps: 10 }
    broker.administration.configure(settings)
    await half()
    await half()
    await expect(half()).rejects.toMatchObject({ code: 42900 })
  })

  it('is refused beyond the bound of open transactions, with the bound', async () => {
    const { transactions } = broker.state
    const fields = { topicKey: 1, position: 0, messageId: '', owner: '', checks: 99, nextCheck: 0 }
    for (let number = 1_000_000; transactions.open.size < limits.openTransactions; number++)
      openTransaction(transactions, { ...fields, number, storedAt: clock.now() })
    await expect(half()).rejects.toMatchObject({ code: 42900, message: /at most 100000/ })
    transactions.open.clear()
  })

  it('of a mixed send is refused', async () => {
    const plain = { messageId: 'plain', tag: null, payload: new Uint8Array(), bodyBytes: 0 }
    const request = { topic: 'topic', messages: [{ ...plain, transactional: true }, plain] }
    await expect(broker.producing.send(request)).rejects.toMatchObject({ code: 40000 })
    expect(broker.state.transactions.open.size).toBe(0)
  })
})

describe('a decision', () => {
  it('that comes again is fine, whatever it is, also after a restart, and is told what was decided', async () => {
    const [committed, dropped] = [await half(), await half()]
    await end(committed, 'commit')
    await end(dropped, 'rollback')
    expect(await end(committed, 'commit')).toEqual({ outcome: 'ended', as: 'commit' })
    expect(await end(committed, 'rollback')).toEqual({ outcome: 'ended', as: 'commit' })
    expect(await end(dropped, 'commit')).toEqual({ outcome: 'ended', as: 'rollback' })
    await restart()
    expect(await end(committed, 'rollback')).toEqual({ outcome: 'ended', as: null })
    expect(await end(dropped, 'commit')).toEqual({ outcome: 'ended', as: null })
    expect(await receive()).toHaveLength(1)
  })

  it('of two at once: the first wins and the other is told', async () => {
    for (const [first, second] of [
      ['commit', 'rollback'],
      ['rollback', 'commit'],
      ['commit', 'commit'],
    ] as const) {
      const sent = await half()
      const answers = await Promise.all([end(sent, first), end(sent, second)])
      const winners = answers.filter(({ outcome }) => outcome !== 'ended')
      expect(winners).toHaveLength(1)
      const resolution = winners[0]!.outcome === 'committed' ? 'commit' : 'rollback'
      expect(answers.find(({ outcome }) => outcome === 'ended')).toEqual({ outcome: 'ended', as: resolution })
      expect(await receive()).toHaveLength(resolution === 'commit' ? 1 : 0)
    }
  })

  it('of "unknown" leaves it open', async () => {
    const sent = await half()
    expect(await end(sent, 'unknown')).toEqual({ outcome: 'open' })
    expect(await end(sent, 'commit')).toEqual({ outcome: 'committed' })
  })

  it.each([
    ['an id of nobody', 'whatever'],
    ['an id that was made up', 't1.1.1.0123456789abcdef01234567'],
    ['an id of a number not yet given', null],
  ])('about %s is refused with INVALID_TRANSACTION_ID', async (_, made) => {
    const sent = await half()
    const transactionId = made ?? sent.transactionId!.replace(/^t1\.\w+/, 't1.zz')
    await expect(end({ transactionId }, 'commit')).rejects.toMatchObject({ code: 40008 })
    expect(broker.state.transactions.open.size).toBe(1)
  })

  it('that names another topic is refused, and one about a removed topic too', async () => {
    const sent = await half()
    await expect(end(sent, 'commit', 'other')).rejects.toMatchObject({ code: 40008, message: /other/ })
    await expect(end(sent, 'commit', 'nowhere')).rejects.toMatchObject({ code: 40402 })
    await broker.administration.removeTopic('topic')
    expect(broker.state.transactions.open.size).toBe(0)
    await expect(end(sent, 'commit')).rejects.toMatchObject({ code: 40402 })
    await broker.administration.ensureTopics([topicSpec('topic')])
    await expect(end(sent, 'commit')).rejects.toMatchObject({ code: 40008, message: /removed since/ })
  })

  it('is not given before it is durable', async () => {
    const sent = await half()
    disk.inject({ operation: 'datasync', error: 'EIO', times: 1_000 })
    await expect(end(sent, 'commit')).rejects.toMatchObject({ code: 50001 })
    disk.healFaults()
    expect(reported.splice(0)).toHaveLength(1)
  })

  it('is accepted however late, while the transaction is open, after its last check too', async () => {
    const sent = await half()
    await clock.advance(3 * HOUR)
    expect(asked).toHaveLength(limits.checksPerTransaction)
    expect(await end(sent, 'commit')).toEqual({ outcome: 'committed' })
    expect(await receive()).toHaveLength(1)
  })
})

describe('a check', () => {
  it('comes after 20 s, then every 60 s, fifteen times, with the whole message', async () => {
    const sent = await half({ body: 'hello' })
    await clock.advance(20 * SECOND - 1)
    expect(asked).toEqual([])
    await clock.advance(1)
    expect(asked).toEqual([
      {
        topicName: 'topic',
        transactionId: sent.transactionId,
        messageId: sent.messageId,
        payload: Buffer.from('hello'),
        storeTimeMs: sent.storeTimeMs,
      },
    ])
    await clock.advance(MINUTE - 1)
    expect(asked).toHaveLength(1)
    await clock.advance(1)
    expect(asked).toHaveLength(2)
    await clock.advance(3 * HOUR)
    expect(asked).toHaveLength(15)
  })

  it('comes when the message asked for it', async () => {
    await half({ recoveryMs: 3 * SECOND })
    await half({ recoveryMs: HOUR })
    await clock.advance(3 * SECOND)
    expect(asked).toHaveLength(1)
    await clock.advance(30 * MINUTE)
    expect(new Set(asked.map(({ messageId }) => messageId)).size).toBe(1)
    await clock.advance(30 * MINUTE)
    expect(new Set(asked.map(({ messageId }) => messageId)).size).toBe(2)
  })

  it('goes through the protocol that has a producer of the topic', async () => {
    const elsewhere: Orphan[] = []
    broker.transactions.addTransactionChecker({
      canAsk: (topicName) => topicName === 'topic',
      ask: async (orphan) => void elsewhere.push(orphan),
    })
    const first = await half()
    await clock.advance(20 * SECOND)
    producers.clear()
    await clock.advance(MINUTE)
    expect([asked, elsewhere].map((all) => all.map(({ messageId }) => messageId))).toEqual([
      [first.messageId],
      [first.messageId],
    ])
  })

  it('is not used up while no producer is there, and comes when one does', async () => {
    producers.clear()
    await half()
    await clock.advance(30 * MINUTE)
    expect(asked).toEqual([])
    producers.add('topic')
    broker.transactions.producerConnected(['other', 'unknown'])
    await clock.advance(0)
    expect(asked).toEqual([])
    broker.transactions.producerConnected(['topic'])
    await clock.advance(0)
    expect(asked).toHaveLength(1)
    await clock.advance(HOUR)
    expect(asked).toHaveLength(15)
  })

  it('is counted across restarts, and overdue ones come at once', async () => {
    await half()
    for (let restarts = 1; restarts <= 20; restarts++) {
      await clock.advance(5 * MINUTE)
      await restart()
    }
    await clock.advance(HOUR)
    expect(asked).toHaveLength(15)
  })

  it('of very many comes in portions, each soon', async () => {
    for (let left = 0; left < 200; left++) await half()
    await clock.advance(20 * SECOND)
    expect(new Set(asked.map(({ messageId }) => messageId)).size).toBe(200)
  })

  it('does not come for what was decided', async () => {
    await end(await half(), 'commit')
    await end(await half(), 'rollback')
    await clock.advance(HOUR)
    expect(asked).toEqual([])
  })
})

describe('the end of life', () => {
  it('comes after four hours: rolled back, and a later decision is told', async () => {
    const sent = await half()
    await clock.advance(4 * HOUR - 1)
    expect(broker.state.transactions.open.size).toBe(1)
    await clock.advance(1)
    expect(broker.state.transactions.open.size).toBe(0)
    expect(await end(sent, 'commit')).toEqual({ outcome: 'ended', as: 'expired' })
    expect(await receive()).toEqual([])
  })

  it('comes also when nobody could ever be asked, and when it passed while the broker was down', async () => {
    producers.clear()
    await half()
    const other = await half()
    await broker.close()
    await clock.advance(5 * HOUR)
    await open()
    await clock.advance(0)
    expect([broker.state.transactions.open.size, asked]).toEqual([0, []])
    expect(await end(other, 'commit')).toMatchObject({ outcome: 'ended' })
  })

  it('is never later than retention, and before the log lets go of the half message', async () => {
    settings = { ...settings, retentionMs: HOUR }
    broker.administration.configure(settings)
    const sent = await half()
    await clock.advance(HOUR - 1)
    expect(broker.state.transactions.open.size).toBe(1)
    await clock.advance(2)
    expect(broker.state.transactions.open.size).toBe(0)
    await clock.advance(2 * HOUR)
    expect(await end(sent, 'commit')).toMatchObject({ outcome: 'ended' })
    expect(await disk.list('/instance')).not.toContain('0000001.segment')
  })
})

it('is the same after a replay, open, checked, ended and dropped', async () => {
  const [first, second] = [await half(), await half({ topic: 'other' })]
  await half()
  await clock.advance(90 * SECOND)
  await end(first, 'commit')
  await broker.administration.removeTopic('other')
  expect(second.transactionId).toBeTruthy()
  const before = encodeState(broker.state)
  await restart({ killed: true })
  expect(Buffer.compare(before, encodeState(broker.state))).toBe(0)
  await broker.checkpoint()
  const old = broker
  await restart({ killed: true })
  expect(Buffer.compare(encodeState(old.state), encodeState(broker.state))).toBe(0)
  expect(broker.state.transactions.open.size).toBe(1)
})

it('holds no timer when no transaction is open', async () => {
  const pending = clock.pending
  const sent = await half()
  expect(clock.pending).toBe(1)
  await end(sent, 'rollback')
  await clock.advance(4 * HOUR)
  expect(clock.pending).toBeLessThanOrEqual(Math.max(pending, 1))
  await clock.advance(settings.retentionMs * 2)
  expect(clock.pending).toBe(0)
})

async function open(): Promise<void> {
  broker = await openShell({
    world: { clock, random, disk: disk.boot() },
    directory: '/instance',
    settings,
    report: (error: unknown) => void reported.push(error),
  })
  broker.transactions.addTransactionChecker({
    canAsk: (topicName) => producers.has(topicName),
    ask: async (orphan) => void asked.push({ ...orphan, payload: Buffer.from(orphan.payload) }),
  })
}

async function restart({ killed = false } = {}): Promise<void> {
  if (!killed) await broker.close()
  await open()
}

function topicSpec(topicName: string) {
  return { topicName, generation: 1, messageType: 'TRANSACTION' as const, maxSendTps: null }
}

async function half({
  topic = 'topic',
  body = 'body',
  tag = null,
  recoveryMs = null,
}: {
  topic?: string
  body?: string
  tag?: string | null
  recoveryMs?: number | null
} = {}): Promise<SendReceipt> {
  const payload = Buffer.from(body)
  const message = { messageId: `M${messages++}`, tag, payload, bodyBytes: payload.length }
  const receipts = await broker.producing.send({
    topic,
    clientId: 'producer',
    messages: [{ ...message, transactional: true, recoveryMs }],
  })
  return receipts[0]!
}

function end(
  { transactionId }: { transactionId?: string },
  resolution: 'commit' | 'rollback' | 'unknown',
  topic = 'topic',
) {
  return broker.transactions.end({ topic, transactionId: transactionId!, resolution })
}

function receive(waitMs = 0): Promise<Delivery[]> {
  const request = { group: 'group', topic: 'topic', filter: null, max: 32, waitMs, invisibleMs: 12 * HOUR }
  return broker.consuming.receive({ ...request, autoRenew: false, clientId: 'consumer' }, new AbortController().signal)
}
