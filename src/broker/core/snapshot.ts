/**
 * The state as bytes: what a checkpoint holds, and what "replayed equals live" compares.
 *
 * Exactly the fields that events set, in the order in which they came to be; nothing volatile. Format
 * version 1.
 */
import { Reader, Writer } from './bytes.ts'
import { readGroup, readTopic, writeGroup, writeTopic } from './events.ts'
import { newLease, own } from './lease.ts'
import {
  type BrokerState,
  type Cursor,
  emptyState,
  makeGroup,
  makeSubscription,
  makeTopic,
  type Subscription,
} from './state.ts'

const VERSION = 1

export function encodeState(state: BrokerState): Uint8Array {
  const to = new Writer(4_096)
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
  to.whole(state.subscriptions.size)
  for (const subscription of state.subscriptions.values()) writeSubscription(to, subscription)
  return to.finish()
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
  for (let count = from.whole(); count > 0; count--) readSubscription(from, state)
  return state
}

function writeSubscription(to: Writer, subscription: Subscription): void {
  to.whole(subscription.id)
  to.text(subscription.group.settings.consumerGroupId)
  to.text(subscription.topic.settings.topicName)
  for (const cursor of subscription.cursors) {
    to.whole(cursor.next)
    to.whole(cursor.leases.size)
    for (const lease of cursor.leases.values()) {
      to.whole(lease.offset)
      to.whole(lease.position)
      to.u32(lease.tagHash)
      to.whole(lease.attempt)
      to.whole(lease.session)
      to.whole(lease.at)
      to.whole(lease.deadline)
      to.u8(lease.renewable ? 1 : 0)
      to.text(lease.owner)
    }
  }
}

function readSubscription(from: Reader, state: BrokerState): void {
  const id = from.whole()
  const group = state.groups.get(from.text())!
  const topic = state.topics.get(from.text())!
  const subscription = makeSubscription(id, group, topic, [])
  for (const cursor of subscription.cursors) {
    cursor.next = from.whole()
    for (let count = from.whole(); count > 0; count--) readLease(from, state, subscription, cursor)
  }
  group.subscriptions.set(topic.settings.topicName, subscription)
  topic.subscriptions.set(group.settings.consumerGroupId, subscription)
  state.subscriptions.set(id, subscription)
}

function readLease(from: Reader, state: BrokerState, subscription: Subscription, cursor: Cursor): void {
  const offset = from.whole()
  const position = from.whole()
  const tagHash = from.u32()
  const attempt = from.whole()
  const lease = newLease(state, subscription, cursor, { queueId: cursor.queue.id, offset, position, tagHash, attempt })
  lease.session = from.whole()
  lease.at = from.whole()
  lease.deadline = from.whole()
  lease.renewable = from.u8() === 1
  lease.owner = from.text()
  if (lease.renewable) own(state, lease)
  state.deliveries.set(lease, lease.deadline)
}
