/**
 * Topics: making, changing and removing them.
 *
 * A queue key is never used twice, so a topic that is removed and made again shares nothing with the removed one: neither
 * messages nor progress nor handles.
 */

import { dropSubscription } from './consuming/deliveries.ts'
import type { TopicEvent, TopicRemovedEvent, TopicSettings } from './events.ts'
import { limits } from './limits.ts'
import { dropLiteTopics } from './lite/lite-topics.ts'
import { dropTransactions } from './open-transactions.ts'
import { type BrokerState, makeTopic, noLiteTopics, type Topic } from './state.ts'
import { setRate } from './throttle.ts'

/** Null when the topic is in force as wanted. */
export function decideTopic(
  state: BrokerState,
  settings: TopicSettings,
  queues: number = settings.messageType === 'LITE' ? limits.queuesPerLiteTopic : limits.queuesPerTopic,
): TopicEvent | null {
  const topic = state.topics.get(settings.topicName)
  const { topicName, generation, messageType, maxSendTps } = settings
  const liteExpirationMs = messageType === 'LITE' ? (settings.liteExpirationMs ?? null) : null
  if (!topic)
    return {
      type: 'topic',
      topicName,
      generation,
      messageType,
      maxSendTps,
      liteExpirationMs,
      firstQueueKey: state.nextQueueKey,
      queues,
    }
  const now = topic.settings
  const same =
    now.generation === generation &&
    now.messageType === messageType &&
    now.maxSendTps === maxSendTps &&
    (now.liteExpirationMs ?? null) === liteExpirationMs
  if (same) return null
  return {
    type: 'topic',
    topicName,
    generation,
    messageType,
    maxSendTps,
    liteExpirationMs,
    firstQueueKey: topic.firstQueueKey,
    queues: topic.queues.length,
  }
}

export function applyTopic(state: BrokerState, event: TopicEvent): void {
  const { topicName, generation, messageType, maxSendTps, liteExpirationMs = null } = event
  const settings = { topicName, generation, messageType, maxSendTps, liteExpirationMs }
  const known = state.topics.get(topicName)
  if (known) {
    known.settings = settings
    if (messageType === 'LITE') known.liteTopics ??= noLiteTopics()
    setRate(known.sendBucket, maxSendTps, known.sendBucket.at)
    return
  }
  const topic = makeTopic(settings, event.firstQueueKey, event.queues)
  state.topics.set(topicName, topic)
  for (const queue of topic.queues) state.queues.set(queue.key, queue)
  state.nextQueueKey = Math.max(state.nextQueueKey, event.firstQueueKey + event.queues)
}

export function applyTopicRemoved(state: BrokerState, event: TopicRemovedEvent): void {
  const topic = state.topics.get(event.topicName)
  if (!topic) return
  for (const subscription of topic.subscriptions.values()) dropSubscription(state, subscription)
  for (const queue of topic.queues) state.queues.delete(queue.key)
  dropLiteTopics(state, topic)
  dropTransactions(state.transactions, topic.firstQueueKey)
  state.topics.delete(event.topicName)
}

/** Messages retained. */
export function retained(topic: Topic): number {
  let count = 0
  for (const queue of topic.queues) count += queue.end - queue.begin
  return count
}
