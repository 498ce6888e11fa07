/**
 * Dead letters: where a message goes when its retries are used up.
 *
 * To the topic the group names, when that exists; else to `%DLQ%<group>`, a one-queue topic made on
 * first use (data-plane §4.6). The copy and the record that the group is done with the message are one atomic record group: the
 * message is never in both topics, and never in neither. The payload is copied unchanged; its origin (topic and message id)
 * is a field of the copy. In a FIFO or PRIORITY topic the copy goes into the queue with the same number: all such topics
 * have the same number of queues, so a message group stays in one queue, with its later messages, and a priority is kept.
 */
import type { TopicName } from '../../../model/ids.ts'
import type { MessageEvent, PassedOverEvent, TopicEvent } from '../events.ts'
import { limits } from '../limits.ts'
import { messageEvent } from '../sending.ts'
import type { BrokerState, Group, Lease, Queue, Topic } from '../state.ts'
import { decideTopic } from '../topics.ts'

const PREFIX = '%DLQ%'

export function isDeadLetterTopic(topicName: TopicName): boolean {
  return topicName.startsWith(PREFIX)
}

/** The topic to make first, or null when the group's dead letters have one. */
export function decideDeadLetterTopic(state: BrokerState, group: Group): TopicEvent | null {
  const topicName = deadLetterTopicName(state, group)
  if (state.topics.has(topicName)) return null
  return decideTopic(
    state,
    { topicName, generation: 0, messageType: 'NORMAL', maxSendTps: null },
    limits.queuesPerDeadLetterTopic,
  )
}

/** The dead letters' topic exists; `message` is what the lease's record holds. */
export function decideDeadLetter(
  state: BrokerState,
  lease: Lease,
  message: MessageEvent,
  at: number,
): [MessageEvent, PassedOverEvent] {
  const { subscription } = lease
  const topic = state.topics.get(deadLetterTopicName(state, subscription.group))!
  const queue = queueFor(topic, lease)
  const origin = message.origin ?? {
    topicName: subscription.topic.settings.topicName,
    messageId: message.messageId,
  }
  return [
    messageEvent(queue, queue.end, message, origin, at),
    {
      type: 'passed-over',
      subscriptionId: subscription.id,
      reason: 'dead-letter',
      entries: [{ queueId: lease.queueId, offset: lease.offset }],
    },
  ]
}

function queueFor(topic: Topic, { queueId }: Lease): Queue {
  const { queues, settings } = topic
  const isOrdered = settings.messageType === 'FIFO' || settings.messageType === 'PRIORITY'
  return queues[(isOrdered ? queueId : topic.roundRobin) % queues.length]!
}

/** Where the group's dead letters go now. */
export function deadLetterTopicName(state: BrokerState, group: Group): string {
  const { deadLetterTopic, consumerGroupId } = group.settings
  const topic = deadLetterTopic === null ? undefined : state.topics.get(deadLetterTopic)
  // In a LITE topic nobody would find them: a message there is one of a lite topic.
  return topic && !topic.liteTopics ? topic.settings.topicName : `${PREFIX}${consumerGroupId}`
}
