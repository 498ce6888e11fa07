/**
 * A message between its two shapes: what the broker keeps, and what a consumer is sent.
 *
 * The kept form holds the protobuf pieces that never change, ready to be copied: the system
 * properties the producer set (with digest and encoding made certain), and the user properties with
 * the body. A delivery joins them with what belongs to this delivery — topic, receipt handle,
 * attempt, queue offset — without decoding or encoding a body. The system properties must stay one
 * protobuf field: some official clients replace a repeated one instead of merging it.
 *
 * Kept form: version (1 byte), topic length (2) and UTF-8, system properties length (4) and bytes,
 * then the remaining fields of apache.rocketmq.v2.Message.
 */
import { hash } from 'node:crypto'
import type { MessageType } from '../../engines/engine.ts'
import * as gen from '../../grpc/gen/rocketmq.js'
import type { Delivery, TopicView } from '../broker.ts'

const version = 1
const digestMd5 = 2
const encodingIdentity = 1
const encodingGzip = 2
/** Headers, handle and framing of one delivery, roughly. */
const deliveryOverheadBytes = 128

/** Clock text for the wire. */
export function timestamp(ms: number): { seconds: number; nanos: number } {
  const seconds = Math.floor(ms / 1000)
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1_000_000) }
}

/** Numbers of apache.rocketmq.v2.MessageType. */
export const messageTypeNumbers: Readonly<Record<MessageType, number>> = {
  NORMAL: 1,
  FIFO: 2,
  DELAY: 3,
  TRANSACTION: 4,
  LITE: 5,
  PRIORITY: 6,
}

/** The kept form of a checked message, as `topic` stores it. */
export function keep(message: gen.Message, topic: TopicView, storeHost: string, at: number): Buffer {
  const { body, systemProperties: given } = message
  const system = gen.SystemProperties.encode({
    tag: given?.tag || null,
    keys: given?.keys ?? [],
    messageId: given?.messageId ?? '',
    // Clients disagree on the text of a CRC32 and crash without a digest; all of them read MD5.
    bodyDigest: { type: digestMd5, checksum: hash('md5', body, 'hex').toUpperCase() },
    bodyEncoding: given?.bodyEncoding === encodingGzip ? encodingGzip : encodingIdentity,
    messageType: messageTypeNumbers[topic.messageType],
    bornTimestamp: given?.bornTimestamp ?? timestamp(at),
    bornHost: given?.bornHost ?? '',
    storeHost,
    deliveryTimestamp: given?.deliveryTimestamp ?? null,
    messageGroup: given?.messageGroup || null,
    traceContext: given?.traceContext ?? null,
    liteTopic: given?.liteTopic ?? null,
    priority: given?.priority ?? null,
  }).finish()
  const rest = gen.Message.encode({ userProperties: message.userProperties, body }).finish()
  const topicBytes = Buffer.byteLength(topic.topicName)
  const kept = Buffer.allocUnsafe(7 + topicBytes + system.length + rest.length)
  kept[0] = version
  kept.writeUInt16BE(topicBytes, 1)
  kept.write(topic.topicName, 3, 'utf8')
  kept.writeUInt32BE(system.length, 3 + topicBytes)
  kept.set(system, 7 + topicBytes)
  kept.set(rest, 7 + topicBytes + system.length)
  return kept
}

/** How one receive call presents messages: its topic as the client named it. */
export interface Presentation {
  readonly topicName: string
  /** Field 1 of Message, encoded once a call. */
  readonly topicField: Uint8Array
}

export function presentation(topicName: string, namespace: string): Presentation {
  return {
    topicName,
    topicField: gen.Message.encode({ topic: { resourceNamespace: namespace, name: topicName } }).finish(),
  }
}

/** An encoded ReceiveMessageResponse whose content is the message. */
export function encodeDelivery(delivery: Delivery, as: Presentation): Buffer {
  const kept = Buffer.from(delivery.payload.buffer, delivery.payload.byteOffset, delivery.payload.byteLength)
  if (kept[0] !== version)
    throw new Error(`A stored message has format ${kept[0]}; this program reads format ${version}.`)
  const topicBytes = kept.readUInt16BE(1)
  const systemStart = 7 + topicBytes
  const systemLength = kept.readUInt32BE(3 + topicBytes)
  const storedTopic = kept.toString('utf8', 3, 3 + topicBytes)
  const ofDelivery = gen.SystemProperties.encode({
    storeTimestamp: timestamp(delivery.storeTimeMs),
    receiptHandle: delivery.handle,
    queueId: delivery.queueId,
    queueOffset: delivery.offset,
    invisibleDuration: timestamp(delivery.invisibleMs),
    deliveryAttempt: delivery.attempt,
    // A message met under another topic than its own came there as a dead letter.
    ...(storedTopic === as.topicName ? {} : { deadLetterQueue: { topic: storedTopic, messageId: delivery.messageId } }),
  }).finish()

  const systemTotal = systemLength + ofDelivery.length
  const rest = kept.subarray(systemStart + systemLength)
  const messageTotal = as.topicField.length + 1 + varintLength(systemTotal) + systemTotal + rest.length
  const out = Buffer.allocUnsafe(1 + varintLength(messageTotal) + messageTotal)
  let at = 0
  out[at++] = (2 << 3) | 2 // ReceiveMessageResponse.message
  at = writeVarint(out, at, messageTotal)
  out.set(as.topicField, at)
  at += as.topicField.length
  out[at++] = (3 << 3) | 2 // Message.system_properties
  at = writeVarint(out, at, systemTotal)
  kept.copy(out, at, systemStart, systemStart + systemLength)
  at += systemLength
  out.set(ofDelivery, at)
  at += ofDelivery.length
  rest.copy(out, at)
  return out
}

/** Bytes of a kept message on the wire, roughly; for pacing a limited line. */
export const deliverySize = (delivery: Delivery): number => delivery.payload.byteLength + deliveryOverheadBytes

function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) length++
  return length
}

function writeVarint(out: Buffer, at: number, value: number): number {
  let rest = value
  let position = at
  while (rest >= 0x80) {
    out[position++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  out[position++] = rest
  return position
}
