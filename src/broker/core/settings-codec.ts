/**
 * The settings of a topic and of a group as bytes: the same in an event's record (event-codec.ts) and in a snapshot
 * (snapshot.ts).
 */
import type { GroupSettings, TopicEvent } from './events.ts'
import type { Reader, Writer } from './structures/bytes.ts'

export function writeTopic(to: Writer, topic: Omit<TopicEvent, 'type'>): void {
  to.text(topic.topicName)
  to.whole(topic.generation)
  to.text(topic.messageType)
  to.optionalWhole(topic.maxSendTps)
  to.optionalWhole(topic.liteExpirationMs ?? null)
  to.whole(topic.firstQueueKey)
  to.whole(topic.queues)
}

export function readTopic(from: Reader): Omit<TopicEvent, 'type'> {
  return {
    topicName: from.text(),
    generation: from.whole(),
    messageType: from.text(),
    maxSendTps: from.optionalWhole(),
    liteExpirationMs: from.optionalWhole(),
    firstQueueKey: from.whole(),
    queues: from.whole(),
  }
}

/** Flags of a group. */
const ORDERLY = 1
const MADE_BY_USE = 2

export function writeGroup(to: Writer, group: GroupSettings): void {
  to.text(group.consumerGroupId)
  to.whole(group.generation)
  to.u8((group.orderly ? ORDERLY : 0) | (group.madeByUse === true ? MADE_BY_USE : 0))
  to.whole(group.maxRetryTimes)
  to.optionalWhole(group.retry.kind === 'fixed' ? group.retry.intervalSeconds : null)
  to.optionalText(group.deadLetterTopic)
  to.optionalWhole(group.maxReceiveTps)
  to.optionalText(group.lite?.topicName ?? null)
  if (group.lite) to.u8(group.lite.exclusive ? 1 : 0)
}

export function readGroup(from: Reader): GroupSettings {
  const consumerGroupId = from.text()
  const generation = from.whole()
  const flags = from.u8()
  const maxRetryTimes = from.whole()
  const intervalSeconds = from.optionalWhole()
  const deadLetterTopic = from.optionalText()
  const maxReceiveTps = from.optionalWhole()
  const liteTopicName = from.optionalText()
  return {
    consumerGroupId,
    generation,
    orderly: (flags & ORDERLY) !== 0,
    maxRetryTimes,
    retry: intervalSeconds === null ? { kind: 'default' } : { kind: 'fixed', intervalSeconds },
    deadLetterTopic,
    maxReceiveTps,
    // Records of before have no such flag; what no specification named was made by use then.
    madeByUse: (flags & MADE_BY_USE) !== 0 || generation === 0,
    lite: liteTopicName === null ? null : { topicName: liteTopicName, exclusive: from.u8() === 1 },
  }
}
