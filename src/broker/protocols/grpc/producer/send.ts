/**
 * SendMessage: every check a message must pass, in Apache's order, then one durable send.
 *
 * The queue id and the delivery attempt a client sets are ignored (the broker chooses), the message
 * id is the client's own and comes back unchanged.
 */
import * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { OutgoingMessage, TopicView } from '../../../broker.ts'
import { authorize, usesOf } from '../authorization.ts'
import type { WireCall } from '../call.ts'
import { maxBodyBytes } from '../client/settings.ts'
import { encodeStored } from '../message/message.ts'
import {
  checkLiteTopicName,
  checkTopicName,
  hasControlCharacter,
  isReservedPropertyKey,
  quoted,
} from '../message/validation.ts'
import { statusOf } from '../status.ts'
import { durationMs, millisecondsFrom } from '../time.ts'

/** A message without the field: every property at its protobuf default. */
const noProperties = gen.SystemProperties.decode(new Uint8Array(0))

const maxPropertyBytes = 16 * 1024
/** Trace context and born host together; the protocol counts neither among the properties. */
const maxOriginBytes = 16 * 1024
const maxUserProperties = 128
/** Messages in one call. The public clients send one; Rust's batch sends more. */
const maxBatch = 1024
const dayMs = 24 * 3600 * 1000
const longestRecoveryMs = 3600 * 1000

export async function sendMessage(
  call: WireCall<'metadata' | 'producing'>,
  request: gen.SendMessageRequest,
): Promise<gen.SendMessageResponseInit> {
  const { storeHost, userName } = call
  const { clients } = call.endpoint
  const { metadata, producing } = call.endpoint.broker
  const at = call.now()
  clients.alive(call.clientId)
  const messages = request.messages ?? []
  const topicName = sharedTopic(messages)
  checkTopicName(topicName)
  for (const message of messages) checkMessage(message, at, metadata.maxDelayMs)
  const topic = metadata.topic(topicName)
  if (topic === null) {
    throw new BrokerRefusal(
      Code.TOPIC_NOT_FOUND,
      `Topic ${quoted(topicName)} does not exist. Create it with CreateTopic first.`,
    )
  }
  for (const message of messages) checkType(message.systemProperties ?? noProperties, topic)

  if (call.endpoint.inbound.limited) await letIn(call, request)
  const outgoing = messages.map((message) => toOutgoing(message, topic, { storeHost, userName }, at))
  const receipts = await producing.send({ topic: topicName, messages: outgoing, clientId: call.clientId })
  const ok = statusOf(Code.OK)
  return {
    status: ok,
    entries: receipts.map((receipt) => ({
      status: ok,
      messageId: receipt.messageId,
      transactionId: receipt.transactionId ?? '',
      offset: receipt.offset,
      recallHandle: receipt.recallHandle ?? '',
    })),
  }
}

async function letIn(call: WireCall, request: gen.SendMessageRequest): Promise<void> {
  const { endpoint, signal } = call
  let bytes = 0
  for (const message of request.messages) bytes += message.body.length
  await endpoint.inbound.take(bytes, signal)
  if (signal.aborted)
    throw new BrokerRefusal(Code.TOO_MANY_REQUESTS, 'The client gave up before its bandwidth let the message in.')
  // What was allowed when it came may not be allowed any more.
  call.checkCaller()
  authorize(call, usesOf.sendMessage, request)
}

function sharedTopic(messages: readonly gen.Message[]): string {
  const first = messages[0]?.topic?.name ?? ''
  if (messages.length === 0) throw new BrokerRefusal(Code.MESSAGE_CORRUPTED, 'The request holds no message.')
  if (messages.length > maxBatch) {
    throw new BrokerRefusal(
      Code.MESSAGE_CORRUPTED,
      `The request holds ${messages.length} messages; at most ${maxBatch} are allowed.`,
    )
  }
  const other = messages.find((message) => (message.topic?.name ?? '') !== first)
  if (other !== undefined) {
    throw new BrokerRefusal(
      Code.MESSAGE_CORRUPTED,
      `All messages of one request go to one topic; this one names ${quoted(first)} and ${quoted(other.topic?.name ?? '')}.`,
    )
  }
  return first
}

function checkMessage(message: gen.Message, at: number, maxDelayMs: number): void {
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

function checkTexts({ tag, keys, messageGroup, liteTopic }: gen.SystemProperties): void {
  if (tag) checkText(tag, 'tag', Code.ILLEGAL_MESSAGE_TAG)
  if (tag?.includes('|')) throw new BrokerRefusal(Code.ILLEGAL_MESSAGE_TAG, `The tag ${quoted(tag)} must not hold "|".`)
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
function checkDeliveryTime(system: gen.SystemProperties, at: number, maxDelayMs: number): void {
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

function checkRecovery(system: gen.SystemProperties): void {
  const recoveryMs = durationMs(system.orphanedTransactionRecoveryDuration ?? null)
  if (recoveryMs <= longestRecoveryMs) return
  throw new BrokerRefusal(
    Code.BAD_REQUEST,
    `The transaction would first be checked after ${recoveryMs} ms; at most ${longestRecoveryMs} ms are allowed.`,
  )
}

function checkOrigin({ traceContext, bornHost }: gen.SystemProperties): void {
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

function checkProperties(message: gen.Message): void {
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
function derivedType(system: gen.SystemProperties): 'NORMAL' | 'FIFO' | 'DELAY' | 'TRANSACTION' | 'PRIORITY' | 'LITE' {
  if (system.messageType === gen.MessageType.TRANSACTION) return 'TRANSACTION'
  if (system.deliveryTimestamp != null) return 'DELAY'
  if (system.messageGroup != null && system.messageGroup !== '') return 'FIFO'
  if (system.priority != null) return 'PRIORITY'
  if (system.liteTopic != null && system.liteTopic !== '') return 'LITE'
  return 'NORMAL'
}

function checkType(system: gen.SystemProperties, topic: TopicView): void {
  const type = derivedType(system)
  if (type === topic.messageType) return
  throw new BrokerRefusal(
    Code.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
    `This is a ${type} message, and topic ${quoted(topic.topicName)} takes ${topic.messageType} messages only.`,
  )
}

function toOutgoing(
  message: gen.Message,
  topic: TopicView,
  from: Pick<WireCall, 'storeHost' | 'userName'>,
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
function deliverAtMs({ deliveryTimestamp }: gen.SystemProperties): number | null {
  return deliveryTimestamp == null ? null : millisecondsFrom(deliveryTimestamp)
}

/** Null for what no official client sets. */
function recoveryOf(system: gen.SystemProperties): number | null {
  const ms = durationMs(system.orphanedTransactionRecoveryDuration ?? null)
  return ms > 0 ? ms : null
}
