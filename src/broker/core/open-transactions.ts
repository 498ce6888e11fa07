/**
 * The table of open transactions: by number, by topic, and by the time of their next check or end. Decisions are in
 * transactions.ts.
 */
import type { MessageId } from '../../model/ids.ts'
import { limits } from './limits.ts'
import { DeadlineHeap, type Due } from './structures/deadline-heap.ts'

export interface Transactions {
  /** Numbers below were given to half messages. */
  next: number
  /** What transaction ids are signed with (shell/transactions.ts); empty before the first half message. */
  secret: string
  /** By number, oldest first. */
  readonly open: Map<number, OpenTransaction>

  // Volatile from here on.
  /** By the time of what happens to them next. */
  readonly due: DeadlineHeap<OpenTransaction>
  /** By the first queue key of their topic, which names one incarnation of it. */
  readonly ofTopic: Map<number, TopicTransactions>
  /** How long a transaction may stay open: never longer than retention keeps its half message. */
  lifeMs: number
}

export interface OpenTransaction extends Due {
  readonly number: number
  /** First queue key of the topic, as it was when the half message came. */
  readonly topicKey: number
  /** Of the half message's record. */
  readonly position: number
  readonly messageId: MessageId
  /** Client id of the producer; shown to operators. */
  readonly owner: string
  readonly storedAt: number
  checks: number
  nextCheck: number
}

interface TopicTransactions {
  readonly open: Set<OpenTransaction>
  /** A check fell due while no producer of the topic was there. */
  readonly unasked: Set<OpenTransaction>
}

export function noTransactions(): Transactions {
  return {
    next: 1,
    secret: '',
    open: new Map(),
    due: new DeadlineHeap(),
    ofTopic: new Map(),
    lifeMs: limits.transactionLifeMs,
  }
}

export function endOfLife(transactions: Transactions, one: OpenTransaction): number {
  return one.storedAt + transactions.lifeMs
}

/** With a topic go its open transactions. */
export function dropTransactions(transactions: Transactions, topicKey: number): void {
  for (const one of transactions.ofTopic.get(topicKey)?.open ?? []) closeTransaction(transactions, one)
}

export function openTransaction(transactions: Transactions, fields: Omit<OpenTransaction, keyof Due>): void {
  const one: OpenTransaction = { ...fields, due: 0, heapIndex: -1 }
  transactions.open.set(one.number, one)
  let ofTopic = transactions.ofTopic.get(one.topicKey)
  if (!ofTopic) {
    ofTopic = { open: new Set(), unasked: new Set() }
    transactions.ofTopic.set(one.topicKey, ofTopic)
  }
  ofTopic.open.add(one)
  schedule(transactions, one)
}

/** It has ended. */
export function closeTransaction(transactions: Transactions, one: OpenTransaction): void {
  transactions.open.delete(one.number)
  transactions.due.remove(one)
  const ofTopic = transactions.ofTopic.get(one.topicKey)!
  ofTopic.open.delete(one)
  ofTopic.unasked.delete(one)
  if (ofTopic.open.size === 0) transactions.ofTopic.delete(one.topicKey)
}

/** After its last check a transaction waits for a late decision or its end of life. */
export function schedule(transactions: Transactions, one: OpenTransaction): void {
  const end = endOfLife(transactions, one)
  transactions.due.set(one, one.checks < limits.checksPerTransaction ? Math.min(one.nextCheck, end) : end)
}
