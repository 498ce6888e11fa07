/**
 * The stored form of a message, whatever protocol brought it and whichever takes it away: the pieces of RocketMQ 5's
 * protobuf message that never change, ready to be copied. These are the system properties the producer set (with digest
 * and encoding made certain), and the user properties with the body. What belongs to one delivery (topic, receipt handle,
 * attempt, queue offset) is not among them, so that a delivery over gRPC copies bytes and decodes nothing.
 *
 * Stored form, version 2: version (1 byte), length of the system properties (4), length of the user name (1) and the name
 * of the account that sent it (none where clients need no credentials), the system properties, then the remaining fields of
 * apache.rocketmq.v2.Message. Version 1 has no user name, nor its length. The name is for traces; no consumer is sent it.
 */
import { hash } from 'node:crypto'
import * as gen from '../../grpc/gen/rocketmq.js'
import { borrowWriter, returnWriter } from '../../grpc/protobuf.ts'
import type { TopicView } from '../broker.ts'
import { secondsAndNanos } from './time.ts'
import { varintLength, writeVarint } from './varint.ts'

/** Raised with each new form: a home says which its messages may have, and an older program refuses it by that. */
export const storedVersion = 2
const nameStart = 6
const maxNameBytes = 255
const { GZIP, IDENTITY } = gen.Encoding
const noKeys: readonly string[] = []

/** A message as a producer sent it, in the words of RocketMQ 5's protobuf message: what gRPC decodes is one as it is. */
export interface ProducedMessage {
  readonly systemProperties: ProducedProperties | null
  readonly userProperties: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export type ProducedProperties = Pick<
  gen.SystemProperties,
  | 'tag'
  | 'keys'
  | 'messageId'
  | 'bodyEncoding'
  | 'messageType'
  | 'bornTimestamp'
  | 'bornHost'
  | 'deliveryTimestamp'
  | 'messageGroup'
  | 'traceContext'
  | 'orphanedTransactionRecoveryDuration'
  | 'liteTopic'
  | 'priority'
>

/** The stored form of a checked message, as `topic` stores it. */
export function encodeStored(
  message: ProducedMessage,
  topic: TopicView,
  from: { readonly userName: string | null; readonly storeHost: string },
  atMs: number,
): Buffer {
  const { userName, storeHost } = from
  const { body, systemProperties: given, userProperties } = message
  const writer = borrowWriter()
  try {
    gen.SystemProperties.encode(
      {
        tag: given?.tag || null,
        keys: given?.keys ?? noKeys,
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
      },
      writer,
    )
    const systemLength = writer.pos
    gen.Message.encode({ userProperties }, writer)
    return joined({ userName, properties: writer.buf.subarray(0, writer.pos), systemLength, body })
  } finally {
    returnWriter(writer)
  }
}

/** The stored form from its parts: system and user properties, one behind the other, and the body. */
function joined(parts: {
  readonly userName: string | null
  readonly properties: Uint8Array
  readonly systemLength: number
  readonly body: Uint8Array
}): Buffer {
  const { userName, properties, systemLength, body } = parts
  const bodyLength = body.length > 0 ? 1 + varintLength(body.length) + body.length : 0
  const nameBytes = userName === null ? 0 : Math.min(Buffer.byteLength(userName), maxNameBytes)
  const kept = Buffer.allocUnsafe(nameStart + nameBytes + properties.length + bodyLength)
  kept[0] = storedVersion
  kept.writeUInt32BE(systemLength, 1)
  kept[nameStart - 1] = nameBytes
  if (userName !== null) kept.write(userName, nameStart, nameBytes, 'utf8')
  let at = nameStart + nameBytes
  kept.set(properties, at)
  at += properties.length
  if (body.length === 0) return kept
  // By hand, so that the body is copied once and not through the encoder's own buffer.
  kept[at++] = (4 << 3) | 2 // Message.body
  at = writeVarint(kept, at, body.length)
  kept.set(body, at)
  return kept
}

/** The message as protobuf, without its topic: for the rare sending that is no delivery. */
export function decodeStored(payload: Uint8Array): gen.Message & { readonly systemProperties: gen.SystemProperties } {
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
