/**
 * A group's subscription to a topic, and where it begins to read (data-plane §4.5): at the first message if the topic is
 * young, else at the end; dead letters are always read from the first.
 */

import { assert } from '../../../model/assert.ts'
import type { SubscribedEvent } from '../events.ts'
import { limits } from '../limits.ts'
import { type BrokerState, type Group, makeSubscription, type Topic } from '../state.ts'
import { retained } from '../topics.ts'
import { isDeadLetterTopic } from './dead-letters.ts'

export function decideSubscribe(state: BrokerState, group: Group, topic: Topic): SubscribedEvent {
  const fromTheFirst = isDeadLetterTopic(topic.settings.topicName) || isYoung(topic)
  return {
    type: 'subscribed',
    subscriptionId: state.nextSubscriptionId,
    consumerGroupId: group.settings.consumerGroupId,
    topicName: topic.settings.topicName,
    starts: topic.queues.map((queue) => (fromTheFirst ? queue.begin : queue.visible)),
  }
}

/** Young: it never lost a message to retention and holds few enough, so a new group starts at its beginning. */
export function isYoung(topic: Topic): boolean {
  return topic.queues.every((queue) => queue.begin === 0) && retained(topic) <= limits.youngTopicMessages
}

export function applySubscribed(state: BrokerState, event: SubscribedEvent): void {
  state.nextSubscriptionId = Math.max(state.nextSubscriptionId, event.subscriptionId + 1)
  const group = state.groups.get(event.consumerGroupId)
  const topic = state.topics.get(event.topicName)
  assert(group !== undefined && topic !== undefined, 'a subscription names a group and a topic that are there')
  assert(!state.subscriptions.has(event.subscriptionId), 'an id of a subscription is used once')
  const subscription = makeSubscription(event.subscriptionId, group, topic, event.starts)
  group.subscriptions.set(event.topicName, subscription)
  topic.subscriptions.set(event.consumerGroupId, subscription)
  state.subscriptions.set(event.subscriptionId, subscription)
}
