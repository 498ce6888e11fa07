/**
 * A delivery as a consumer is sent it: the stored pieces of the message (`messages/stored-message.ts`), joined with what
 * belongs to this delivery, without decoding or encoding a body. The system properties must stay one protobuf field: some
 * official clients replace a repeated one instead of merging it.
 */

import * as gen from '../../../../grpc/gen/rocketmq.js'
import type { TopicName } from '../../../../model/ids.ts'
import type { Delivery } from '../../../broker.ts'
import { systemStartOf } from '../../../messages/stored-message.ts'
import { secondsAndNanos } from '../../../messages/time.ts'
import { varintLength, writeVarint } from '../../../messages/varint.ts'

/** Headers, handle and framing of one delivery, roughly. */
const deliveryOverheadBytes = 128

/** The topic field of Message as the receiving client named it, encoded once a call. */
export const topicField = (topicName: TopicName, namespace: string): Uint8Array =>
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
