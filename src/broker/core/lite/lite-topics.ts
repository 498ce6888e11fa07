/**
 * Lite topics in the state: adding and removing them, and with them the groups' subscriptions. Decisions are in lite.ts.
 */

import type { LiteTopicName } from '../../../model/ids.ts'
import { dropSubscription, subscriptionName } from '../consuming/deliveries.ts'
import type { LiteBinding } from '../events.ts'
import { type BrokerState, type Group, LiteTopic, type Subscription, type Topic } from '../state.ts'

/** A message was stored: the lite topic moves to the end of the expiry order. */
export function touch(lite: LiteTopic, at: number): void {
  const { byAge } = lite.parent.liteTopics!
  lite.lastMs = at
  byAge.remove(lite)
  byAge.push(lite)
}

export function addLiteTopic(
  state: BrokerState,
  topic: Topic,
  liteTopic: LiteTopicName,
  queueKey: number,
  at: number,
): LiteTopic {
  const lite = new LiteTopic(topic, liteTopic, queueKey, at)
  topic.liteTopics!.byName.set(liteTopic, lite)
  topic.liteTopics!.byAge.push(lite)
  state.queues.set(queueKey, lite.queues[0])
  state.liteTopicCount++
  return lite
}

export function addSubscription(state: BrokerState, subscription: Subscription): void {
  const { group, topic } = subscription
  group.subscriptions.set(subscriptionName(topic), subscription)
  topic.subscriptions.set(group.settings.consumerGroupId, subscription)
  state.subscriptions.set(subscription.id, subscription)
  if (topic.parent !== null) state.liteSubscriptionCount++
}

export function dropLiteTopics(state: BrokerState, topic: Topic): void {
  for (const lite of topic.liteTopics?.byName.values() ?? []) dropLiteTopic(state, lite)
}

/** The group reads another LITE topic now, or none: its deliveries of lite topics are dropped. */
export function dropLiteSubscriptions(state: BrokerState, group: Group): void {
  for (const subscription of group.subscriptions.values())
    if (subscription.topic.parent !== null) dropSubscription(state, subscription)
}

export function sameBinding(one: LiteBinding | null, other: LiteBinding | null): boolean {
  return one?.topicName === other?.topicName && one?.exclusive === other?.exclusive
}

/** With everything in it. */
export function dropLiteTopic(state: BrokerState, lite: LiteTopic): void {
  const { byName, byAge } = lite.parent.liteTopics!
  for (const subscription of lite.subscriptions.values()) dropSubscription(state, subscription)
  state.queues.delete(lite.firstQueueKey)
  byName.delete(lite.liteTopic)
  byAge.remove(lite)
  state.liteTopicCount--
}
