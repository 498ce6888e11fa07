/**
 * Everything that must hold of a broker's state between two events, checked from end to end: for simulations and tests,
 * after each step. Throws `BrokenInvariant` with the first that does not.
 */

import type { BrokerState, Cursor, Subscription, Topic } from '../../src/broker/core/state.ts'
import { assert } from '../../src/model/assert.ts'

export function checkState(state: BrokerState): void {
  for (const topic of state.topics.values()) {
    checkQueues(state, topic)
    for (const lite of topic.liteTopics?.byName.values() ?? []) checkQueues(state, lite)
  }
  let unacknowledged = 0
  for (const subscription of state.subscriptions.values()) {
    assert(subscription.id < state.nextSubscriptionId, 'ids of subscriptions increase')
    checkSubscription(subscription)
    unacknowledged += subscription.unacknowledged
  }
  assert(state.unacknowledged === unacknowledged, 'unacknowledged deliveries are those of all subscriptions together')
  checkLiteTopics(state)
  checkTransactions(state)
}

function checkQueues(state: BrokerState, { queues, firstQueueKey }: Topic): void {
  for (const { key, id, begin, visible, end, topic } of queues) {
    assert(
      key === firstQueueKey + id && key < state.nextQueueKey,
      'queue keys of a topic follow one another and increase',
    )
    assert(state.queues.get(key)?.topic === topic, 'a queue is found by its key')
    assert(begin >= 0 && begin <= end && visible <= end, 'offsets of a queue are in order: begin, visible, end')
  }
}

function checkSubscription(subscription: Subscription): void {
  const { cursors, group, ready, exhausted, topic } = subscription
  assert(!subscription.removed, 'a subscription that is found was not removed')
  assert(topic.subscriptions.get(group.settings.consumerGroupId) === subscription, 'a topic knows its subscriptions')
  assert(cursors.length === topic.queues.length, 'a subscription has a cursor for each queue')
  let unacknowledged = 0
  let waiting = 0
  for (const cursor of cursors) {
    const found = checkCursor(cursor)
    unacknowledged += found.unacknowledged
    waiting += found.waiting
  }
  assert(subscription.unacknowledged === unacknowledged, 'a subscription counts its unacknowledged deliveries')
  if (!group.settings.orderly)
    assert(ready.size + exhausted.size === waiting, 'what is visible again is in a list of its subscription')
}

function checkCursor({ leases, lock, next, queue, invisible }: Cursor): { unacknowledged: number; waiting: number } {
  let unacknowledged = 0
  let waiting = 0
  let leased = 0
  assert(next >= queue.begin && next <= queue.end, 'a cursor is within its queue')
  for (const [offset, lease] of leases) {
    assert(offset === lease.offset && offset < next, 'what was delivered lies below the next fresh message')
    assert(lease.attempt >= 0 && lease.failures >= 0, 'attempts are not negative')
    assert(lease.acked === (lease.phase === 'acked'), 'the phase says what is acknowledged')
    if (lease.phase === 'leased') {
      assert(lease.heapIndex >= 0, 'a delivery that is with a client has a deadline')
      leased++
    }
    if (lease.phase === 'ready' || lease.phase === 'exhausted') waiting++
    if (!lease.acked) unacknowledged++
  }
  assert(invisible === leased, 'a cursor counts what is with clients')
  assert(!lock || lock.last < next, 'the lock of a queue lies within what was delivered of it')
  return { unacknowledged, waiting }
}

function checkLiteTopics(state: BrokerState): void {
  let count = 0
  for (const { liteTopics } of state.topics.values()) {
    if (!liteTopics) continue
    assert(liteTopics.byName.size === liteTopics.byAge.size, 'each lite topic is in the list by age')
    count += liteTopics.byName.size
  }
  assert(count === state.liteTopicCount, 'lite topics are counted')
  const ofLite = [...state.subscriptions.values()].filter(({ topic }) => topic.parent !== null)
  assert(ofLite.length === state.liteSubscriptionCount, 'subscriptions of lite topics are counted')
}

function checkTransactions({ transactions }: BrokerState): void {
  let last = 0
  for (const [number, one] of transactions.open) {
    assert(number === one.number && number > last && number < transactions.next, 'numbers of transactions increase')
    assert(transactions.ofTopic.get(one.topicKey)?.open.has(one) === true, 'a topic knows its open transactions')
    assert(one.heapIndex >= 0, 'an open transaction has a time at which something happens to it')
    last = number
  }
}
