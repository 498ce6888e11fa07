/**
 * A message as a producer sent it, whatever protocol brought it: what it must be like (the checks of Apache's proxy, in its
 * order) and how it is handed to the broker. In the words of RocketMQ 5's protobuf message, which the stored form is made
 * of: a message that gRPC decoded is one as it is.
 */
import * as gen from '../../grpc/gen/rocketmq.js'
import { Code } from '../../model/codes.ts'
import { BrokerRefusal } from '../../model/refusals.ts'
import type { OutgoingMessage, TopicView } from '../broker.ts'
import { encodeStored, type ProducedMessage, type ProducedProperties } from './stored-message.ts'
import { durationMs, millisecondsFrom } from './time.ts'
import { checkLiteTopicName, hasControlCharacter, isReservedPropertyKey, quoted } from './validation.ts'

/** Of one message, and of any that is shown again. */
export const maxBodyBytes = 4 * 1024 * 1024
/** A message without the field: every property at its protobuf default. */
export const noProperties: ProducedProperties = gen.SystemProperties.decode(new Uint8Array(0))

const maxPropertyBytes = 16 * 1024
/** Trace context and born host together; the protocol counts neither among the properties. */
const maxOriginBytes = 16 * 1024
const maxUserProperties = 128
/** No vendor's page names such a limit. Each is an entry of the index by which messages are found, whatever the message counts for. */
const maxKeys = 128
const dayMs = 24 * 3600 * 1000
const longestRecoveryMs = 3600 * 1000

/**
 * Every check a message must pass whatever its topic is, in Apache's order. `at` is now, and `maxDelayMs` how far ahead a
 * delivery time may lie. Throws the refusal.
 */
export function checkMessage(message: ProducedMessage, at: number, maxDelayMs: number): void {
  const system = message.systemProperties ?? noProperties
  checkBody(message.body)
  checkTexts(system)
  checkDeliveryTime(system, at, maxDelayMs)
  if (system.priority != null && system.priority < 0) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The priority is ${system.priority}; it is 0 or more, and larger is more urgent.`,
    )
  }
  checkRecovery(system)
  checkProperties(message)
  checkOrigin(system)
  if (system.messageId.trim() === '') throw new BrokerRefusal(Code.ILLEGAL_MESSAGE_ID, 'The message has no id.')
  if (system.messageId.length > 255)
    throw new BrokerRefusal(
      Code.ILLEGAL_MESSAGE_ID,
      `The message id has ${system.messageId.length} characters; at most 255 are allowed.`,
    )
}

function checkBody({ length }: Uint8Array): void {
  if (length === 0) throw new BrokerRefusal(Code.MESSAGE_BODY_EMPTY, 'The message body is empty.')
  if (length <= maxBodyBytes) return
  throw new BrokerRefusal(
    Code.MESSAGE_BODY_TOO_LARGE,
    `The message body has ${length} bytes; at most ${maxBodyBytes} are allowed.`,
  )
}

function checkTexts({ tag, keys, messageGroup, liteTopic }: ProducedProperties): void {
  if (tag) checkText(tag, 'tag', Code.ILLEGAL_MESSAGE_TAG)
  if (tag?.includes('|')) throw new BrokerRefusal(Code.ILLEGAL_MESSAGE_TAG, `The tag ${quoted(tag)} must not hold "|".`)
  if (keys.length > maxKeys) {
    throw new BrokerRefusal(
      Code.MESSAGE_PROPERTIES_TOO_LARGE,
      `The message has ${keys.length} keys; at most ${maxKeys} are allowed.`,
    )
  }
  for (const key of keys) checkText(key, 'key', Code.ILLEGAL_MESSAGE_KEY)
  if (messageGroup) {
    checkText(messageGroup, 'message group', Code.ILLEGAL_MESSAGE_GROUP)
    if (Buffer.byteLength(messageGroup) >= 64) {
      throw new BrokerRefusal(
        Code.ILLEGAL_MESSAGE_GROUP,
        `The message group has ${Buffer.byteLength(messageGroup)} bytes; fewer than 64 are needed.`,
      )
    }
  }
  if (liteTopic) checkLiteTopicName(liteTopic)
}

/**
 * A time in the past is fine and means "now". The product's page has one too far ahead delivered at once; a clear no is
 * what Apache's proxy gives and what its own suite asserts (docs/decisions/0005-timed-messages.md).
 */
function checkDeliveryTime(system: ProducedProperties, at: number, maxDelayMs: number): void {
  const deliverAt = deliverAtMs(system)
  if (deliverAt === null || deliverAt <= at + maxDelayMs) return
  throw new BrokerRefusal(
    Code.ILLEGAL_DELIVERY_TIME,
    `The delivery time ${shownTime(deliverAt)} is more than ${maxDelayMs / dayMs} days ahead, the most that this instance's edition keeps a message.`,
  )
}

/** The largest moment that has a date (ECMAScript). */
const lastDateMs = 8.64e15

/** What a client sent may lie beyond all dates. */
const shownTime = (ms: number): string =>
  Math.abs(ms) <= lastDateMs ? new Date(ms).toISOString() : `of ${ms} ms after 1970`

function checkRecovery(system: ProducedProperties): void {
  const recoveryMs = durationMs(system.orphanedTransactionRecoveryDuration ?? null)
  if (recoveryMs <= longestRecoveryMs) return
  throw new BrokerRefusal(
    Code.BAD_REQUEST,
    `The transaction would first be checked after ${recoveryMs} ms; at most ${longestRecoveryMs} ms are allowed.`,
  )
}

function checkOrigin({ traceContext, bornHost }: ProducedProperties): void {
  const bytes = Buffer.byteLength(traceContext ?? '') + Buffer.byteLength(bornHost ?? '')
  if (bytes <= maxOriginBytes) return
  throw new BrokerRefusal(
    Code.MESSAGE_PROPERTIES_TOO_LARGE,
    `The trace context and the born host have ${bytes} bytes together; at most ${maxOriginBytes} are allowed.`,
  )
}

function checkText(text: string, what: string, code: number): void {
  if (text.trim() === '') throw new BrokerRefusal(code, `A ${what} must not be blank.`)
  if (hasControlCharacter(text)) throw new BrokerRefusal(code, `The ${what} ${quoted(text)} holds a control character.`)
}

function checkProperties(message: ProducedMessage): void {
  const { tag, keys } = message.systemProperties ?? noProperties
  const properties = Object.entries(message.userProperties ?? {})
  if (properties.length > maxUserProperties) {
    throw new BrokerRefusal(
      Code.MESSAGE_PROPERTIES_TOO_LARGE,
      `The message has ${properties.length} user properties; at most ${maxUserProperties} are allowed.`,
    )
  }
  let bytes = Buffer.byteLength(tag ?? '')
  for (const key of keys) bytes += Buffer.byteLength(key)
  for (const [key, value] of properties) {
    if (isReservedPropertyKey(key)) {
      throw new BrokerRefusal(
        Code.ILLEGAL_MESSAGE_PROPERTY_KEY,
        `The user property ${quoted(key)} is reserved by RocketMQ; choose another name.`,
      )
    }
    if (hasControlCharacter(key) || hasControlCharacter(value)) {
      throw new BrokerRefusal(
        Code.ILLEGAL_MESSAGE_PROPERTY_KEY,
        `The user property ${quoted(key)} holds a control character.`,
      )
    }
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
  }
  if (bytes > maxPropertyBytes) {
    throw new BrokerRefusal(
      Code.MESSAGE_PROPERTIES_TOO_LARGE,
      `User properties, keys and tag have ${bytes} bytes together; at most ${maxPropertyBytes} are allowed.`,
    )
  }
}

/** The type the message's own properties make it, first match as in Apache's proxy. */
function derivedType(system: ProducedProperties): 'NORMAL' | 'FIFO' | 'DELAY' | 'TRANSACTION' | 'PRIORITY' | 'LITE' {
  if (system.messageType === gen.MessageType.TRANSACTION) return 'TRANSACTION'
  if (system.deliveryTimestamp != null) return 'DELAY'
  if (system.messageGroup != null && system.messageGroup !== '') return 'FIFO'
  if (system.priority != null) return 'PRIORITY'
  if (system.liteTopic != null && system.liteTopic !== '') return 'LITE'
  return 'NORMAL'
}

/** Throws MESSAGE_PROPERTY_CONFLICT_WITH_TYPE when the message is not of the topic's type. */
export function checkType(message: ProducedMessage, topic: TopicView): void {
  const type = derivedType(message.systemProperties ?? noProperties)
  if (type === topic.messageType) return
  throw new BrokerRefusal(
    Code.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
    `This is a ${type} message, and topic ${quoted(topic.topicName)} takes ${topic.messageType} messages only.`,
  )
}

/** A message that was checked, as the broker takes it: `from` says who sent it and where it arrived. */
export function toOutgoing(
  message: ProducedMessage,
  topic: TopicView,
  from: { readonly userName: string | null; readonly storeHost: string },
  at: number,
): OutgoingMessage {
  const system = message.systemProperties ?? noProperties
  return {
    messageId: system.messageId,
    tag: system.tag == null || system.tag === '' ? null : system.tag,
    payload: encodeStored(message, topic, from, at),
    bodyBytes: message.body.length,
    deliverAtMs: deliverAtMs(system),
    messageGroup: topic.messageType === 'FIFO' ? system.messageGroup || null : null,
    priority: topic.messageType === 'PRIORITY' ? system.priority : null,
    liteTopic: topic.messageType === 'LITE' ? system.liteTopic : null,
    ...(topic.messageType === 'TRANSACTION' ? { transactional: true, recoveryMs: recoveryOf(system) } : {}),
  }
}

/** Whole milliseconds, never earlier than asked. */
function deliverAtMs({ deliveryTimestamp }: ProducedProperties): number | null {
  return deliveryTimestamp == null ? null : millisecondsFrom(deliveryTimestamp)
}

/** Null for what no official client sets. */
function recoveryOf(system: ProducedProperties): number | null {
  const ms = durationMs(system.orphanedTransactionRecoveryDuration ?? null)
  return ms > 0 ? ms : null
}
