/**
 * Transactions, live: half messages, their checks and their ends.
 *
 * The answer to a send or a decision is given when the record is durable; a check is counted durably
 * before the producer is asked, so a producer is never asked more often than the limit. One
 * portion of checks is under way at a time.
 *
 * A transaction id is `t1.<number>.<topic key>.<seal>`, in base 36: the transaction's number, the first
 * queue key of its topic, and an HMAC over both with a secret of the instance. The seal distinguishes an
 * id that ended long ago, of which nothing is kept, from one that was never issued.
 */

import { createHmac, timingSafeEqual } from 'node:crypto'
import type { TopicName } from '../../model/ids.ts'
import { BrokerRefusal } from '../../model/refusals.ts'
import type {
  EndTransactionRequest,
  SendReceipt,
  SendRequest,
  TransactionChecker,
  TransactionOutcome,
  TransactionsRole,
} from '../broker.ts'
import { decodeEvent } from '../core/event-codec.ts'
import type { BrokerEvent, HalfEvent, Resolution } from '../core/events.ts'
import { limits } from '../core/limits.ts'
import type { OpenTransaction } from '../core/open-transactions.ts'
import { codes } from '../core/refusal.ts'
import { decideSend } from '../core/sending.ts'
import type { BrokerState, Topic } from '../core/state.ts'
import {
  decideHalf,
  decideTransactionChecked,
  decideTransactionEnded,
  openBelow,
  postponeCheck,
  producerConnected,
  retryDue,
  setLife,
  takeDue,
} from '../core/transactions.ts'
import { refuse, topicNotFound } from './refusals.ts'

/** How soon what fell due is looked at again when the log was busy. */
const BUSY_MS = 1_000
/** Transactions whose end is remembered, for the sake of a precise answer to a late decision. */
const REMEMBERED = 10_000
const PREFIX = 't1'
const SHAPE = /^t1\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-f]{24})$/

export interface TransactionsContext {
  readonly state: BrokerState
  readonly retentionMs: number
  now(): number
  /** Random bytes, in hex. */
  secret(): string
  /** Throws a BrokerRefusal, and then nothing has changed. */
  commit(events: readonly BrokerEvent[]): void
  durable(): Promise<void>
  read(position: number): Promise<Uint8Array>
  /** The earliest due time changed. */
  arm(): void
  stopped(): boolean
  report(error: unknown): void
}

export class TransactionShell implements TransactionsRole {
  readonly #context: TransactionsContext
  readonly #checkers: TransactionChecker[] = []
  #asking = false
  readonly #ends = new Map<number, Resolution>()

  constructor(context: TransactionsContext) {
    this.#context = context
    setLife(context.state, context.retentionMs)
  }

  configure(retentionMs: number): void {
    setLife(this.#context.state, retentionMs)
  }

  async send(topic: Topic, request: SendRequest, at: number): Promise<SendReceipt[]> {
    const { state } = this.#context
    if (!request.messages.every(({ transactional }) => transactional))
      throw refuse({ code: codes.badRequest, message: 'a send carries transactional messages only, or none' })
    const halves = decideHalf(
      state,
      topic,
      request.messages.map((message) => ({ ...message, recoveryMs: message.recoveryMs ?? null })),
      { owner: request.clientId ?? '', secret: state.transactions.secret || this.#context.secret(), at },
    )
    if (!Array.isArray(halves)) throw refuse(halves)
    this.#context.commit(halves)
    this.#context.arm()
    await this.#context.durable()
    return halves.map((half) => ({
      messageId: half.messageId,
      queueId: 0,
      offset: 0,
      storeTimeMs: at,
      transactionId: formatTransactionId(half),
    }))
  }

  async end({ topic: topicName, transactionId, resolution }: EndTransactionRequest): Promise<TransactionOutcome> {
    const { state } = this.#context
    const number = this.#numberOf(topicName, transactionId)
    const one = state.transactions.open.get(number)
    if (!one) return this.#endedAlready(number)
    if (resolution === 'unknown') return { outcome: 'open' }
    if (resolution === 'rollback') {
      this.#end([one], 'rollback')
      await this.#context.durable()
      return { outcome: 'rolled-back' }
    }
    return this.#commitTransaction(topicName, one)
  }

  addTransactionChecker(checker: TransactionChecker): void {
    this.#checkers.push(checker)
  }

  producerConnected(topicNames: readonly TopicName[]): void {
    const { state } = this.#context
    let any = false
    for (const topicName of topicNames) {
      const topic = state.topics.get(topicName)
      if (topic) any = producerConnected(state, topic, this.#context.now()) || any
    }
    if (any) this.#context.arm()
  }

  /** When `tick` has something to do. */
  get due(): number {
    return this.#asking ? Number.POSITIVE_INFINITY : this.#context.state.transactions.due.earliest
  }

  tick(at: number): void {
    if (this.#asking) return
    const { state } = this.#context
    const { over, ask } = takeDue(state, at, limits.transactionsPerStep)
    if (over.length > 0) this.#tryEnd(over, at)
    const now = ask.filter((one) => {
      const can = this.#checkerOf(topicNameOf(state, one)) !== undefined
      if (!can) postponeCheck(state, one, at)
      return can
    })
    if (now.length > 0) void this.#ask(now, at)
  }

  /** Retention takes the log below the position: what is still open there is at its end. Throws when that cannot be written. */
  endBelow(position: number): void {
    const ended = [...openBelow(this.#context.state, position)]
    if (ended.length > 0) this.#end(ended, 'expired')
  }

  async #commitTransaction(topicName: TopicName, one: OpenTransaction): Promise<TransactionOutcome> {
    const { state } = this.#context
    const record = await this.#context.read(one.position).catch((error: unknown) => {
      // Retention may have ended it, and taken the record, while it was being read.
      if (state.transactions.open.get(one.number) !== one) return null
      throw refuse({
        code: codes.internal,
        message: `the half message could not be read: ${(error as Error).message}`,
      })
    })
    const topic = state.topics.get(topicName)
    if (!topic || topic.firstQueueKey !== one.topicKey) throw refuse(topicNotFound(topicName))
    if (record === null || state.transactions.open.get(one.number) !== one) return this.#endedAlready(one.number)
    const at = this.#context.now()
    const [message] = decideSend(topic, [halfOf(record)], at)
    this.#context.commit([decideTransactionEnded([one], 'commit', at), message!])
    this.#remember([one], 'commit')
    this.#context.arm()
    await this.#context.durable()
    return { outcome: 'committed' }
  }

  /** Answers when the end of the transaction is durable. */
  async #endedAlready(number: number): Promise<TransactionOutcome> {
    await this.#context.durable()
    return { outcome: 'ended', as: this.#ends.get(number) ?? null }
  }

  /** The transaction an id names; throws when this instance never gave it, or gave it for another topic. */
  #numberOf(topicName: TopicName, transactionId: string): number {
    const { topics, transactions } = this.#context.state
    const topic = topics.get(topicName)
    if (!topic) throw refuse(topicNotFound(topicName))
    const name = parseTransactionId(transactionId, transactions.secret)
    if (!name || name.number >= transactions.next)
      throw refuse({
        code: codes.invalidTransactionId,
        message: 'the transaction id was never given by this instance; use the one in the result of the send',
      })
    if (name.topicKey !== topic.firstQueueKey)
      throw refuse({
        code: codes.invalidTransactionId,
        message: `the transaction does not belong to topic ${topicName}, or to one of that name that was removed since`,
      })
    return name.number
  }

  /** Counts the checks, durably, then puts the questions one after the other. */
  async #ask(asked: readonly OpenTransaction[], at: number): Promise<void> {
    const { state } = this.#context
    this.#asking = true
    try {
      try {
        this.#context.commit([decideTransactionChecked(asked, at)])
        await this.#context.durable()
      } catch (error) {
        this.#tryLater(asked, error, at)
        return
      }
      for (const one of asked) if (state.transactions.open.get(one.number) === one) await this.#askAbout(one)
    } finally {
      this.#asking = false
      this.#context.arm()
    }
  }

  /** The first protocol with a producer of the topic that can be asked. */
  #checkerOf(topicName: TopicName): TransactionChecker | undefined {
    return this.#checkers.find((checker) => checker.canAsk(topicName))
  }

  async #askAbout(one: OpenTransaction): Promise<void> {
    const { state } = this.#context
    try {
      const half = halfOf(await this.#context.read(one.position))
      if (state.transactions.open.get(one.number) !== one || this.#context.stopped()) return
      await this.#checkerOf(topicNameOf(state, one))?.ask({
        topicName: topicNameOf(state, one),
        transactionId: formatTransactionId(half),
        messageId: half.messageId,
        payload: half.payload,
        storeTimeMs: half.storeTimeMs,
      })
    } catch (error) {
      // The next check tries again.
      if (!this.#context.stopped() && state.transactions.open.get(one.number) === one) this.#context.report(error)
    }
  }

  #tryEnd(over: readonly OpenTransaction[], at: number): void {
    try {
      this.#end(over, 'expired')
    } catch (error) {
      this.#tryLater(over, error, at)
    }
  }

  #tryLater(these: readonly OpenTransaction[], error: unknown, at: number): void {
    if (this.#context.stopped()) return
    if (!(error instanceof BrokerRefusal && error.code === codes.tooManyRequests)) this.#context.report(error)
    for (const one of these) retryDue(this.#context.state, one, at + BUSY_MS)
  }

  #end(these: readonly OpenTransaction[], resolution: Resolution): void {
    this.#context.commit([decideTransactionEnded(these, resolution, this.#context.now())])
    this.#remember(these, resolution)
    this.#context.arm()
  }

  #remember(these: readonly OpenTransaction[], resolution: Resolution): void {
    for (const { number } of these) {
      if (this.#ends.size >= REMEMBERED) this.#ends.delete(this.#ends.keys().next().value!)
      this.#ends.set(number, resolution)
    }
  }
}

export function formatTransactionId({ number, topicKey, secret }: HalfEvent): string {
  const named = `${number.toString(36)}.${topicKey.toString(36)}`
  return `${PREFIX}.${named}.${seal(named, secret)}`
}

/** Null for anything `formatTransactionId` did not make with this secret. */
function parseTransactionId(id: string, secret: string): { number: number; topicKey: number } | null {
  const parts = SHAPE.exec(id)
  if (!parts || secret === '') return null
  const right = Buffer.from(seal(`${parts[1]}.${parts[2]}`, secret))
  if (!timingSafeEqual(right, Buffer.from(parts[3]!))) return null
  return { number: Number.parseInt(parts[1]!, 36), topicKey: Number.parseInt(parts[2]!, 36) }
}

function seal(named: string, secret: string): string {
  return createHmac('sha256', secret).update(named).digest('hex').slice(0, 24)
}

function halfOf(record: Uint8Array): HalfEvent {
  const event = decodeEvent(record)
  if (event.type !== 'half')
    throw new Error(`An open transaction names a record that is a ${event.type}, not a half message.`)
  return event
}

function topicNameOf(state: BrokerState, one: OpenTransaction): string {
  return state.queues.get(one.topicKey)!.topic.settings.topicName
}
