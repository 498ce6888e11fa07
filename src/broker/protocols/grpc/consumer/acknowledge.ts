/**
 * AckMessage, ChangeInvisibleDuration (the nack) and
 * ForwardMessageToDeadLetterQueue.
 */

import type * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code, codeName } from '../../../../model/codes.ts'
import type { ClientId, ConsumerGroupId, TopicName } from '../../../../model/ids.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import { statusOf } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { durationMs } from '../../../messages/time.ts'
import { checkGroupName, checkTopicName } from '../../../messages/validation.ts'

/** Entries in one AckMessage; official clients send one. */
const maxEntries = 1024
const longestInvisibleMs = 12 * 3600 * 1000

export async function ackMessage(
  call: WireCall<'consuming'>,
  request: gen.AckMessageRequest,
): Promise<gen.AckMessageResponseInit> {
  const where = delivered(call, request)
  const { entries } = request
  if (entries.length === 0) throw new BrokerRefusal(Code.BAD_REQUEST, 'The request acknowledges nothing.')
  if (entries.length > maxEntries) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The request acknowledges ${entries.length} messages; at most ${maxEntries} are allowed.`,
    )
  }
  const outcomes = await call.endpoint.broker.consuming.ack({
    ...where,
    handles: entries.map((entry) => entry.receiptHandle),
    liteTopics: entries.map((entry) => entry.liteTopic || null),
  })
  const codes = outcomes.map(({ outcome }) => (outcome === 'done' ? Code.OK : Code.INVALID_RECEIPT_HANDLE))
  const overall = codes.every((code) => code === codes[0]) ? codes[0]! : Code.MULTIPLE_RESULTS
  return {
    // Apache puts the code's name here, and its own test suite looks for it.
    status: statusOf(overall, codeName(overall)),
    entries: entries.map(({ messageId, receiptHandle }, index) => ({
      messageId,
      receiptHandle,
      status: statusOf(codes[index]!, codeName(codes[index]!)),
    })),
  }
}

export async function changeInvisibleDuration(
  call: WireCall<'consuming'>,
  request: gen.ChangeInvisibleDurationRequest,
): Promise<gen.ChangeInvisibleDurationResponseInit> {
  const where = delivered(call, request)
  const invisibleMs = durationMs(request.invisibleDuration)
  if (invisibleMs < 0 || invisibleMs > longestInvisibleMs) {
    throw new BrokerRefusal(
      Code.ILLEGAL_INVISIBLE_TIME,
      `The invisible duration of ${invisibleMs} ms is not within 0 and ${longestInvisibleMs} ms.`,
    )
  }
  const { outcome, handle } = await call.endpoint.broker.consuming.changeInvisible({
    ...where,
    handle: request.receiptHandle,
    invisibleMs,
    liteTopic: request.liteTopic || null,
    suspend: request.suspend === true,
  })
  if (outcome === 'expired') throw new BrokerRefusal(Code.INVALID_RECEIPT_HANDLE, codeName(Code.INVALID_RECEIPT_HANDLE))
  return { status: statusOf(Code.OK), receiptHandle: handle }
}

export async function forwardToDeadLetterQueue(
  call: WireCall<'consuming'>,
  request: gen.ForwardMessageToDeadLetterQueueRequest,
): Promise<gen.ForwardMessageToDeadLetterQueueResponseInit> {
  const where = delivered(call, request)
  await call.endpoint.broker.consuming.forwardToDeadLetter({
    ...where,
    handle: request.receiptHandle,
    messageId: request.messageId,
    liteTopic: request.liteTopic || null,
  })
  return { status: statusOf(Code.OK) }
}

function delivered(
  call: WireCall,
  request: { readonly group: gen.Resource | null; readonly topic: gen.Resource | null },
): { group: ConsumerGroupId; topic: TopicName; clientId: ClientId } {
  const group = request.group?.name ?? ''
  const topic = request.topic?.name ?? ''
  checkTopicName(topic)
  checkGroupName(group)
  call.endpoint.clients.alive(call.clientId)
  return { group, topic, clientId: call.clientId }
}
