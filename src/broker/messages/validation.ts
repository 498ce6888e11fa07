/**
 * Names and texts that RocketMQ clients may use, over whichever protocol, as Apache's proxy checks them (data-plane limits
 * of the v2 protocol). A check throws the refusal.
 */

import { Code } from '../../model/codes.ts'
import { BrokerRefusal } from '../../model/refusals.ts'

const nameCharacters = /^[%|a-zA-Z0-9_-]+$/
/**
 * As long as the management API lets a topic or a group be named (128 on serverless instances, limits page). Apache's proxy
 * ends at 127 for topics and 120 for groups: with that, a topic could be created that no client can use.
 */
export const longestName = 128
/** Of `%RETRY%` and `%DLQ%` topics, which hold the name of a group. */
const longestDerivedName = 255
const systemTopics: ReadonlySet<string> = new Set([
  'TBW102',
  'SCHEDULE_TOPIC_XXXX',
  'BenchmarkTest',
  'RMQ_SYS_TRANS_HALF_TOPIC',
  'RMQ_SYS_TRACE_TOPIC',
  'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  'TRANS_CHECK_MAX_TIME_TOPIC',
  'SELF_TEST_TOPIC',
  'OFFSET_MOVED_EVENT',
  'CHECKPOINT_TOPIC',
])

/** Property keys RocketMQ keeps for itself; a client that sets one gets ILLEGAL_MESSAGE_PROPERTY_KEY. */
const reservedPropertyKeys: ReadonlySet<string> = new Set(
  `TRACE_ON MSG_REGION KEYS TAGS WAIT DELAY RETRY_TOPIC REAL_TOPIC REAL_QID TRAN_MSG PGROUP MIN_OFFSET MAX_OFFSET BUYER_ID
   ORIGIN_MESSAGE_ID TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG RECONSUME_TIME UNIQ_KEY MAX_RECONSUME_TIMES CONSUME_START_TIME
   POP_CK POP_CK_OFFSET 1ST_POP_TIME TRAN_PREPARED_QUEUE_OFFSET DUP_INFO EXTEND_UNIQ_INFO INSTANCE_ID CORRELATION_ID
   REPLY_TO_CLIENT TTL ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE INNER_MULTI_QUEUE_OFFSET TIMER_DELAY_MS TIMER_DELAY_SEC
   TIMER_DELIVER_MS TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS TIMER_ROLL_TIMES TIMER_OUT_MS TIMER_DEL_UNIQKEY TIMER_DELAY_LEVEL
   __BORNHOST BORN_TIMESTAMP DLQ_ORIGIN_TOPIC DLQ_ORIGIN_MESSAGE_ID __CRC32# _SYS_MSG_PRIORITY_ __LITE_TOPIC`.split(
    /\s+/,
  ),
)

export const isReservedPropertyKey = (key: string): boolean => reservedPropertyKeys.has(key)

/** Throws ILLEGAL_TOPIC when the name cannot be a topic a client uses. */
export function checkTopicName(name: string): void {
  if (name === '') throw new BrokerRefusal(Code.ILLEGAL_TOPIC, 'The topic name is empty.')
  const limit = /^%(RETRY|DLQ)%/.test(name) ? longestDerivedName : longestName
  if (name.length > limit) {
    throw new BrokerRefusal(
      Code.ILLEGAL_TOPIC,
      `The topic name has ${name.length} characters; at most ${limit} are allowed.`,
    )
  }
  if (!nameCharacters.test(name)) {
    throw new BrokerRefusal(
      Code.ILLEGAL_TOPIC,
      `The topic name ${quoted(name)} may hold letters, digits, "_", "-", "%" and "|" only.`,
    )
  }
  if (systemTopics.has(name) || /^rmq_sys_/i.test(name)) {
    throw new BrokerRefusal(Code.ILLEGAL_TOPIC, `${quoted(name)} is a system topic; clients cannot use it.`)
  }
}

/** What a client puts before its topic's name is not used, and comes back with every message: throws ILLEGAL_TOPIC when it is long. */
export function checkNamespace(namespace: string): void {
  if (namespace.length <= 255) return
  throw new BrokerRefusal(
    Code.ILLEGAL_TOPIC,
    `The topic's resource namespace has ${namespace.length} characters; at most 255 are allowed.`,
  )
}

/** Throws ILLEGAL_CONSUMER_GROUP when the name cannot be a consumer group a client uses. */
export function checkGroupName(name: string): void {
  if (name === '') throw new BrokerRefusal(Code.ILLEGAL_CONSUMER_GROUP, 'The consumer group name is empty.')
  if (name.length > longestName) {
    throw new BrokerRefusal(
      Code.ILLEGAL_CONSUMER_GROUP,
      `The consumer group name has ${name.length} characters; at most ${longestName} are allowed.`,
    )
  }
  if (!nameCharacters.test(name)) {
    throw new BrokerRefusal(
      Code.ILLEGAL_CONSUMER_GROUP,
      `The consumer group name ${quoted(name)} may hold letters, digits, "_", "-", "%" and "|" only.`,
    )
  }
  if (/^CID_RMQ_SYS_/i.test(name)) {
    throw new BrokerRefusal(
      Code.ILLEGAL_CONSUMER_GROUP,
      `${quoted(name)} is a system consumer group; clients cannot use it.`,
    )
  }
}

const liteTopicName = /^[a-zA-Z0-9_-]{1,64}$/

/** Throws ILLEGAL_LITE_TOPIC. */
export function checkLiteTopicName(name: string): void {
  if (liteTopicName.test(name)) return
  throw new BrokerRefusal(
    Code.ILLEGAL_LITE_TOPIC,
    `The lite topic ${quoted(name)} needs a name of 1 to 64 letters, digits, "_" or "-".`,
  )
}

/** True for text with an ISO control character (U+0000–U+001F, U+007F–U+009F). */
export function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit < 0x20 || (unit >= 0x7f && unit <= 0x9f)) return true
  }
  return false
}

/** A client's text in our sentences: bounded, and safe on a terminal. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
