/**
 * A message between its two shapes: what the broker keeps, and what a consumer is sent.
 *
 * The stored form holds the protobuf pieces that never change, ready to be copied: the system
 * properties the producer set (with digest and encoding made certain), and the user properties with
 * the body. A delivery joins them with what belongs to this delivery — topic, receipt handle,
 * attempt, queue offset — without decoding or encoding a body. The system properties must stay one
 * protobuf field: some official clients replace a repeated one instead of merging it.
 *
 * Stored form, version 2: version (1 byte), length of the system properties (4), length of the user name (1) and the name
 * of the account that sent it (none where clients need no credentials), the system properties, then the remaining fields of
 * apache.rocketmq.v2.Message. Version 1 has no user name, nor its length. The name is for traces; no consumer is sent it.
 */
import { hash } from 'node:crypto'
import * as gen from '../../../../grpc/gen/rocketmq.js'
import type { Delivery, TopicView } from '../../../broker.ts'
import { secondsAndNanos } from '../time.ts'

/** Raised with each new form: a home says which its messages may have, and an older program refuses it by that. */
export const storedVersion = 2
const nameStart = 6
const maxNameBytes = 255
const { GZIP, IDENTITY } = gen.Encoding
/** Headers, handle and framing of one delivery, roughly. */
const deliveryOverheadBytes = 128

/** The stored form of a checked message, as `topic` stores it. */
export function encodeStored(
  message: gen.Message,
  topic: TopicView,
  from: { readonly userName: string | null; readonly storeHost: string },
  atMs: number,
): Buffer {
  const { userName, storeHost } = from
  const { body, systemProperties: given } = message
  const system = gen.SystemProperties.encode({
    tag: given?.tag || null,
    keys: given?.keys ?? [],
    messageId: given?.messageId ?? '',
    // Clients disagree on the text of a CRC32 and crash without a digest; all of them read MD5.
    bodyDigest: { type: gen.DigestType.MD5, checksum: hash('md5', body, 'hex').toUpperCase() },
    bodyEncoding: given?.bodyEncoding === GZIP ? GZIP : IDENTITY,
    messageType: gen.MessageType[topic.messageType],
    bornTimestamp: given?.bornTimestamp ?? secondsAndNanos(atMs),
    bornHost: given?.bornHost ?? '',
    storeHost,
    deliveryTimestamp: given?.deliveryTimestamp ?? null,
    messageGroup: given?.messageGroup || null,
    traceContext: given?.traceContext ?? null,
    liteTopic: given?.liteTopic ?? null,
    priority: given?.priority ?? null,
  }).finish()
  const properties = gen.Message.encode({ userProperties: message.userProperties }).finish()
  const restLength = properties.length + (body.length > 0 ? 1 + varintLength(body.length) + body.length : 0)
  const nameBytes = userName === null ? 0 : Math.min(Buffer.byteLength(userName), maxNameBytes)
  const kept = Buffer.allocUnsafe(nameStart + nameBytes + system.length + restLength)
  kept[0] = storedVersion
  kept.writeUInt32BE(system.length, 1)
  kept[nameStart - 1] = nameBytes
  if (userName !== null) kept.write(userName, nameStart, nameBytes, 'utf8')
  let at = nameStart + nameBytes
  kept.set(system, at)
  at += system.length
  kept.set(properties, at)
  at += properties.length
  if (body.length === 0) return kept
  // By hand, so that the body is copied once and not through the encoder's own buffer.
  kept[at++] = (4 << 3) | 2 // Message.body
  at = writeVarint(kept, at, body.length)
  kept.set(body, at)
  return kept
}

/** A kept message decoded, for the rare sending that is no delivery. Without a topic. */
export function keptMessage(payload: Uint8Array): gen.Message & { readonly systemProperties: gen.SystemProperties } {
  const { system, rest } = partsOf(payload)
  return { ...gen.Message.decode(rest), systemProperties: gen.SystemProperties.decode(system) }
}

/** What `encodeStored` made, in its pieces: who sent it, encoded system properties, and the remaining fields of Message. */
export function partsOf(payload: Uint8Array): {
  readonly userName: string | null
  readonly system: Uint8Array
  readonly rest: Uint8Array
} {
  const kept = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  const start = systemStartOf(kept)
  const end = start + kept.readUInt32BE(1)
  const userName = start > nameStart ? kept.toString('utf8', nameStart, start) : null
  return { userName, system: kept.subarray(start, end), rest: kept.subarray(end) }
}

/** Where the system properties of a stored message begin; their length is at byte 1. */
export function systemStartOf(kept: Uint8Array, from = 0): number {
  const version = kept[from]
  if (version === storedVersion) return from + nameStart + kept[from + nameStart - 1]!
  if (version === 1) return from + nameStart - 1
  throw new Error(`A stored message has format ${version}; this program reads formats up to ${storedVersion}.`)
}

/**
 * Calls `each` with where every key of a stored message begins and ends in `record`; the stored form begins at `from`.
 * Fields of the system properties come in the order of their numbers: tag, keys, then the others, which are not looked at.
 * Bytes of another form have no keys.
 */
export function keysIn(record: Uint8Array, from: number, each: (start: number, end: number) => void): void {
  if (record[from] !== storedVersion && record[from] !== 1) return
  const systemStart = systemStartOf(record, from)
  const systemEnd =
    systemStart + record[from + 1]! * 2 ** 24 + (record[from + 2]! << 16) + (record[from + 3]! << 8) + record[from + 4]!
  const most = Math.min(systemEnd, record.length)
  for (let at = systemStart; at < most; ) {
    const tag = record[at++]!
    if (tag !== systemTagField && tag !== systemKeysField) return
    let length = record[at++]!
    if (length >= 128) length = (length & 127) + record[at++]! * 128
    if (at + length > most) return
    if (tag === systemKeysField) each(at, at + length)
    at += length
  }
}

const systemTagField = (1 << 3) | 2
const systemKeysField = (2 << 3) | 2

/** The topic field of Message as the receiving client named it, encoded once a call. */
export const topicField = (topicName: string, namespace: string): Uint8Array =>
  gen.Message.encode({ topic: { resourceNamespace: namespace, name: topicName } }).finish()

/** An encoded ReceiveMessageResponse whose content is the message. */
export function encodeDelivery(delivery: Delivery, topic: Uint8Array): Buffer {
  const kept = Buffer.from(delivery.payload.buffer, delivery.payload.byteOffset, delivery.payload.byteLength)
  const systemStart = systemStartOf(kept)
  const systemLength = kept.readUInt32BE(1)
  const origin = delivery.deadLetterOf
  const ofDelivery = gen.SystemProperties.encode({
    storeTimestamp: secondsAndNanos(delivery.storeTimeMs),
    receiptHandle: delivery.handle,
    queueId: delivery.queueId,
    queueOffset: delivery.offset,
    invisibleDuration: secondsAndNanos(delivery.invisibleMs),
    deliveryAttempt: delivery.attempt,
    deadLetterQueue: origin == null ? null : { topic: origin.topicName, messageId: origin.messageId },
  }).finish()

  const systemTotal = systemLength + ofDelivery.length
  const rest = kept.subarray(systemStart + systemLength)
  const messageTotal = topic.length + 1 + varintLength(systemTotal) + systemTotal + rest.length
  const out = Buffer.allocUnsafe(1 + varintLength(messageTotal) + messageTotal)
  let at = 0
  out[at++] = (2 << 3) | 2 // ReceiveMessageResponse.message
  at = writeVarint(out, at, messageTotal)
  out.set(topic, at)
  at += topic.length
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
