/**
 * Topics and their queues: making, changing and removing them, and where a new message goes.
 *
 * A queue key is never used twice, so a topic that is removed and made again shares nothing with the
 * removed one: neither messages nor progress nor handles.
 */

import { assert } from '../../model/assert.ts'
import type { MessageId } from '../../model/ids.ts'
import { dropSubscription } from './consuming/deliveries.ts'
import type { MessageEvent, Origin, TopicEvent, TopicRemovedEvent, TopicSettings } from './events.ts'
import { limits } from './limits.ts'
import { dropLiteTopics, touch } from './lite/lite-topics.ts'
import { queueOfGroup } from './message-group.ts'
import { dropTransactions } from './open-transactions.ts'
import { type BrokerState, LiteTopic, makeTopic, noLiteTopics, type Queue, type Topic } from './state.ts'
import { setRate } from './throttle.ts'

export interface Outgoing {
  readonly messageId: MessageId
  readonly tag: string | null
  readonly payload: Uint8Array
  readonly bodyBytes: number
  /** Messages of one group are in one queue, in the order in which they were sent. */
  readonly messageGroup?: string | null
  /** Larger is more urgent; at least 0. */
  readonly priority?: number | null
}

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

/** The queue that a client asks for is ignored (data-plane §1.5). */
export function decideSend(topic: Topic, messages: readonly Outgoing[], at: number): MessageEvent[] {
  const ends = new Map<Queue, number>()
  let turn = topic.roundRobin
  return messages.map((message) => {
    const queue = queueFor(topic, message) ?? topic.queues[turn++ % topic.queues.length]!
    const offset = ends.get(queue) ?? queue.end
    if (messages.length > 1) ends.set(queue, offset + 1)
    return messageEvent(queue, offset, message, null, at)
  })
}

/** By its message group, else by its priority; null: the next one in turn. */
function queueFor(topic: Topic, { messageGroup, priority }: Outgoing): Queue | null {
  const { queues } = topic
  if (messageGroup != null) return queues[queueOfGroup(messageGroup, queues.length)]!
  if (priority != null) return queues[Math.min(priority, queues.length - 1)]!
  return null
}

export function messageEvent(
  queue: Queue,
  offset: number,
  message: Outgoing,
  origin: Origin | null,
  at: number,
): MessageEvent {
  return {
    type: 'message',
    queueKey: queue.key,
    offset,
    storeTimeMs: at,
    tag: message.tag,
    messageId: message.messageId,
    bodyBytes: message.bodyBytes,
    origin,
    payload: message.payload,
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

/** The queue is absent when its topic was removed after the message was written. */
export function applyMessage(state: BrokerState, event: MessageEvent): void {
  const queue = state.queues.get(event.queueKey)
  if (queue) {
    assert(event.offset === queue.end, 'messages of a queue follow one another')
    queue.end = event.offset + 1
    queue.topic.roundRobin = (queue.id + 1) % queue.topic.queues.length
    if (queue.topic instanceof LiteTopic) touch(queue.topic, event.storeTimeMs)
  }
  if (event.storeTimeMs > state.lastAt) state.lastAt = event.storeTimeMs
}

/** Messages retained. */
export function retained(topic: Topic): number {
  let count = 0
  for (const queue of topic.queues) count += queue.end - queue.begin
  return count
}
