/**
 * The state as bytes: what a checkpoint holds, and what "replayed equals live" compares.
 *
 * Exactly the fields that events set, in the order in which they came to be; nothing volatile. Format
 * version 2.
 */
import { Reader, Writer } from './bytes.ts'
import { readGroup, readTopic, writeGroup, writeTopic } from './event-codec.ts'
import { newLease, own } from './lease.ts'
import { addLiteTopic, addReading } from './lite-topics.ts'
import { keep } from './orderly.ts'
import {
  type BrokerState,
  type Cursor,
  emptyState,
  makeGroup,
  makeSubscription,
  makeTopic,
  type Subscription,
  type Topic,
} from './state.ts'
import { openTransaction, type Transactions } from './transactions.ts'

const VERSION = 2

const RENEWABLE = 1
const UNTOUCHED = 2
const ACKED = 4

export function encodeState(state: BrokerState): Uint8Array {
  const to = new Writer(4_096 + state.timers.writtenBytes)
  writeState(to, state)
  return to.finish()
}

export function writeState(to: Writer, state: BrokerState): void {
  to.u8(VERSION)
  to.whole(state.nextQueueKey)
  to.whole(state.nextSubscriptionId)
  to.whole(state.lastAt)
  to.whole(state.topics.size)
  for (const topic of state.topics.values()) {
    writeTopic(to, { ...topic.settings, firstQueueKey: topic.firstQueueKey, queues: topic.queues.length })
    for (const queue of topic.queues) {
      to.whole(queue.begin)
      to.whole(queue.end)
    }
  }
  to.whole(state.groups.size)
  for (const group of state.groups.values()) writeGroup(to, group.settings)
  const readings = [...state.subscriptions.values()]
  const own = readings.filter(({ topic }) => topic.parent === null)
  to.whole(own.length)
  for (const subscription of own) writeSubscription(to, subscription, subscription.topic.settings.topicName)
  writeLite(to, state, readings)
  to.whole(state.nextTimerId)
  to.whole(state.firedDueMs)
  state.timers.write(to)
  writeTransactions(to, state.transactions)
  writeResets(to, state)
}

export function decodeState(bytes: Uint8Array): BrokerState {
  const from = new Reader(bytes)
  const version = from.u8()
  if (version !== VERSION)
    throw new RangeError(`The checkpoint has format ${version}, which a later version of Gantry wrote.`)
  const state = emptyState()
  state.nextQueueKey = from.whole()
  state.nextSubscriptionId = from.whole()
  state.lastAt = from.whole()
  for (let count = from.whole(); count > 0; count--) {
    const { firstQueueKey, queues, ...settings } = readTopic(from)
    const topic = makeTopic(settings, firstQueueKey, queues)
    for (const queue of topic.queues) {
      queue.begin = from.whole()
      queue.end = from.whole()
      state.queues.set(queue.key, queue)
    }
    state.topics.set(settings.topicName, topic)
  }
  for (let count = from.whole(); count > 0; count--) {
    const settings = readGroup(from)
    state.groups.set(settings.consumerGroupId, makeGroup(settings))
  }
  for (let count = from.whole(); count > 0; count--)
    readSubscription(from, state, (name) => state.topics.get(name.text())!)
  readLite(from, state)
  state.nextTimerId = from.whole()
  state.firedDueMs = from.whole()
  state.timers.read(from)
  readTransactions(from, state.transactions)
  readResets(from, state)
  return state
}

/** Lite topics, each LITE topic's by age, and the readings of them. */
function writeLite(to: Writer, state: BrokerState, readings: readonly Subscription[]): void {
  for (const { liteTopics } of state.topics.values()) {
    if (!liteTopics) continue
    to.whole(liteTopics.byName.size)
    for (let lite = liteTopics.byAge.first; lite; lite = lite.next) {
      const [queue] = lite.queues
      to.text(lite.liteTopic)
      to.whole(queue.key)
      to.whole(lite.lastMs)
      to.whole(queue.begin)
      to.whole(queue.end)
    }
  }
  const ofLite = readings.filter(({ topic }) => topic.parent !== null)
  to.whole(ofLite.length)
  for (const subscription of ofLite) writeSubscription(to, subscription, subscription.topic.firstQueueKey)
}

function readLite(from: Reader, state: BrokerState): void {
  for (const topic of state.topics.values()) {
    if (!topic.liteTopics) continue
    for (let count = from.whole(); count > 0; count--) {
      const [queue] = addLiteTopic(state, topic, from.text(), from.whole(), from.whole()).queues
      queue.begin = from.whole()
      queue.end = from.whole()
    }
  }
  for (let count = from.whole(); count > 0; count--)
    readSubscription(from, state, (key) => state.queues.get(key.whole())!.topic)
}

/** Which resets each reading carried out; most have none. */
function writeResets(to: Writer, state: BrokerState): void {
  const reset = [...state.subscriptions.values()].filter(({ resetIds }) => resetIds.length > 0)
  to.whole(reset.length)
  for (const { id, resetIds } of reset) {
    to.whole(id)
    to.whole(resetIds.length)
    for (const resetId of resetIds) to.text(resetId)
  }
}

function readResets(from: Reader, state: BrokerState): void {
  for (let count = from.whole(); count > 0; count--)
    state.subscriptions.get(from.whole())!.resetIds = Array.from({ length: from.count() }, () => from.text())
}

function writeSubscription(to: Writer, subscription: Subscription, topic: string | number): void {
  to.whole(subscription.id)
  to.text(subscription.group.settings.consumerGroupId)
  if (typeof topic === 'string') to.text(topic)
  else to.whole(topic)
  for (const cursor of subscription.cursors) {
    to.whole(cursor.next)
    to.optionalText(cursor.lock ? cursor.lock.attemptId : null)
    if (cursor.lock) {
      to.whole(cursor.lock.last)
      to.whole(cursor.lock.repeats)
    }
    to.whole(cursor.leases.size)
    for (const lease of cursor.leases.values()) {
      to.whole(lease.offset)
      to.whole(lease.position)
      to.u32(lease.tagHash)
      to.whole(lease.attempt)
      to.whole(lease.failures)
      to.whole(lease.session)
      to.whole(lease.at)
      to.whole(lease.deadline)
      to.u8((lease.renewable ? RENEWABLE : 0) | (lease.untouched ? UNTOUCHED : 0) | (lease.acked ? ACKED : 0))
      to.text(lease.owner)
    }
  }
}

function readSubscription(from: Reader, state: BrokerState, topicNamed: (from: Reader) => Topic): void {
  const id = from.whole()
  const group = state.groups.get(from.text())!
  const topic = topicNamed(from)
  const subscription = makeSubscription(id, group, topic, [])
  for (const cursor of subscription.cursors) {
    cursor.next = from.whole()
    const attemptId = from.optionalText()
    cursor.lock = attemptId === null ? null : { attemptId, last: from.whole(), repeats: from.whole() }
    for (let count = from.whole(); count > 0; count--) readLease(from, state, subscription, cursor)
  }
  addReading(state, subscription)
}

function readLease(from: Reader, state: BrokerState, subscription: Subscription, cursor: Cursor): void {
  const offset = from.whole()
  const position = from.whole()
  const tagHash = from.u32()
  const attempt = from.whole()
  const lease = newLease(state, subscription, cursor, { queueId: cursor.queue.id, offset, position, tagHash, attempt })
  lease.failures = from.whole()
  lease.session = from.whole()
  lease.at = from.whole()
  lease.deadline = from.whole()
  const flags = from.u8()
  lease.renewable = (flags & RENEWABLE) !== 0
  lease.untouched = (flags & UNTOUCHED) !== 0
  lease.owner = from.text()
  if ((flags & ACKED) !== 0) {
    keep(state, lease)
    return
  }
  if (lease.renewable) own(state, lease)
  state.deliveries.set(lease, lease.deadline)
}

function writeTransactions(to: Writer, transactions: Transactions): void {
  to.whole(transactions.next)
  to.text(transactions.secret)
  to.whole(transactions.open.size)
  for (const one of transactions.open.values()) {
    to.whole(one.number)
    to.whole(one.topicKey)
    to.whole(one.position)
    to.text(one.messageId)
    to.text(one.owner)
    to.whole(one.storedAt)
    to.whole(one.checks)
    to.whole(one.nextCheck)
  }
}

function readTransactions(from: Reader, transactions: Transactions): void {
  transactions.next = from.whole()
  transactions.secret = from.text()
  for (let count = from.whole(); count > 0; count--)
    openTransaction(transactions, {
      number: from.whole(),
      topicKey: from.whole(),
      position: from.whole(),
      messageId: from.text(),
      owner: from.text(),
      storedAt: from.whole(),
      checks: from.whole(),
      nextCheck: from.whole(),
    })
}
