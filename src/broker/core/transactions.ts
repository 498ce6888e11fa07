/**
 * Transactions: half messages, the checks that ask producers to decide, and every transaction's end.
 *
 * A half message is a record of the log that belongs to no queue, so nobody receives it. Its transaction
 * is open until one `ended` event: a commit writes the message to a queue in the same record group, a
 * rollback drops it, and at the end of life it is rolled back. The first of these ends it; its number
 * is never used again. Open transactions live in memory (some 300 bytes each, without their payload,
 * which stays in the log) and are bounded in number; those that ended leave nothing behind.
 *
 * Positions rise with numbers, so the oldest open transaction is the first of the map.
 */

import { assert } from '../../model/assert.ts'
import type { HalfEvent, Resolution, TransactionCheckedEvent, TransactionEndedEvent } from './events.ts'
import { limits } from './limits.ts'
import { closeTransaction, endOfLife, type OpenTransaction, openTransaction, schedule } from './open-transactions.ts'
import { codes, type Refusal } from './refusal.ts'
import type { Outgoing } from './sending.ts'
import type { BrokerState, Topic } from './state.ts'

export interface HalfMessage extends Outgoing {
  /** How long to leave the producer alone before the first check; null means the usual time. */
  readonly recoveryMs: number | null
}

/** `secret` is used when the instance has none yet. */
export function decideHalf(
  state: BrokerState,
  topic: Topic,
  messages: readonly HalfMessage[],
  { owner, secret, at }: { readonly owner: string; readonly secret: string; readonly at: number },
): HalfEvent[] | Refusal {
  const { transactions } = state
  if (transactions.open.size + messages.length > limits.openTransactions)
    return {
      code: codes.tooManyRequests,
      message: `${transactions.open.size} transactions are open, and an instance holds at most ${limits.openTransactions}; commit or roll back some, or let them be checked`,
    }
  return messages.map((message, i) => ({
    type: 'half',
    number: transactions.next + i,
    secret: transactions.secret || secret,
    topicKey: topic.firstQueueKey,
    storeTimeMs: at,
    firstCheckMs: at + (message.recoveryMs ?? limits.firstCheckMs),
    owner,
    tag: message.tag,
    messageId: message.messageId,
    bodyBytes: message.bodyBytes,
    payload: message.payload,
  }))
}

/** What is due at `at`, in a portion: those whose life is over, and those whose producer is to be asked. */
export function takeDue(
  { transactions }: BrokerState,
  at: number,
  portion: number,
): { readonly over: OpenTransaction[]; readonly ask: OpenTransaction[] } {
  const over: OpenTransaction[] = []
  const ask: OpenTransaction[] = []
  for (let count = 0; count < portion; count++) {
    const one = transactions.due.pop(at)
    if (!one) break
    if (endOfLife(transactions, one) <= at) over.push(one)
    else ask.push(one)
  }
  return { over, ask }
}

export function decideTransactionChecked(asked: readonly OpenTransaction[], at: number): TransactionCheckedEvent {
  return {
    type: 'transaction-checked',
    at,
    next: at + limits.checkIntervalMs,
    numbers: asked.map(({ number }) => number),
  }
}

export function decideTransactionEnded(
  ended: readonly OpenTransaction[],
  resolution: Resolution,
  at: number,
): TransactionEndedEvent {
  return { type: 'transaction-ended', at, resolution, numbers: ended.map(({ number }) => number) }
}

/** No producer can be asked now: the check is put off to the next interval, or to the connection of a producer of the topic, and not counted. */
export function postponeCheck({ transactions }: BrokerState, one: OpenTransaction, at: number): void {
  transactions.ofTopic.get(one.topicKey)!.unasked.add(one)
  transactions.due.set(one, Math.min(at + limits.checkIntervalMs, endOfLife(transactions, one)))
}

/** What fell due could not be done now (the log was busy): again at `at`. */
export function retryDue({ transactions }: BrokerState, one: OpenTransaction, at: number): void {
  if (transactions.open.get(one.number) === one) transactions.due.set(one, at)
}

/** A producer of the topic came: what was waiting for one is due now. Whether there was any. */
export function producerConnected({ transactions }: BrokerState, topic: Topic, at: number): boolean {
  const unasked = transactions.ofTopic.get(topic.firstQueueKey)?.unasked
  if (!unasked || unasked.size === 0) return false
  for (const one of unasked) transactions.due.set(one, at)
  unasked.clear()
  return true
}

/** Open transactions whose half message lies below the position, oldest first. */
export function* openBelow({ transactions }: BrokerState, position: number): Iterable<OpenTransaction> {
  for (const one of transactions.open.values()) {
    if (one.position >= position) return
    yield one
  }
}

/** Retention changed: everybody's end of life with it. */
export function setLife({ transactions }: BrokerState, retentionMs: number): void {
  const lifeMs = Math.min(limits.transactionLifeMs, retentionMs)
  if (lifeMs === transactions.lifeMs) return
  transactions.lifeMs = lifeMs
  for (const one of transactions.open.values()) schedule(transactions, one)
}

export function applyHalf(state: BrokerState, event: HalfEvent, position: number): void {
  const { transactions } = state
  assert(event.number >= transactions.next, 'numbers of transactions increase')
  transactions.next = event.number + 1
  transactions.secret = event.secret
  if (event.storeTimeMs > state.lastAt) state.lastAt = event.storeTimeMs
  // The topic may have been removed while the send was under way.
  if (!state.queues.has(event.topicKey)) return
  openTransaction(transactions, {
    number: event.number,
    topicKey: event.topicKey,
    position,
    messageId: event.messageId,
    owner: event.owner,
    storedAt: event.storeTimeMs,
    checks: 0,
    nextCheck: event.firstCheckMs,
  })
}

export function applyTransactionChecked(state: BrokerState, event: TransactionCheckedEvent): void {
  const { transactions } = state
  if (event.at > state.lastAt) state.lastAt = event.at
  for (const number of event.numbers) {
    const one = transactions.open.get(number)
    if (!one) continue
    one.checks++
    one.nextCheck = event.next
    transactions.ofTopic.get(one.topicKey)!.unasked.delete(one)
    schedule(transactions, one)
  }
}

export function applyTransactionEnded(state: BrokerState, event: TransactionEndedEvent): void {
  if (event.at > state.lastAt) state.lastAt = event.at
  for (const number of event.numbers) {
    const one = state.transactions.open.get(number)
    if (one) closeTransaction(state.transactions, one)
  }
}
