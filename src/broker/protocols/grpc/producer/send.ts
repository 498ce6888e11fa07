/**
 * SendMessage: every check a message must pass, in Apache's order, then one durable send.
 *
 * The queue id and the delivery attempt a client sets are ignored (the broker chooses), the message
 * id is the client's own and comes back unchanged.
 */
import type * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import { authorize } from '../../../calls/permission.ts'
import { statusOf } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { checkMessage, checkType, toOutgoing } from '../../../messages/produced-message.ts'
import { checkTopicName, quoted } from '../../../messages/validation.ts'
import { usesOf } from '../authorization.ts'

/** Messages in one call. The public clients send one; Rust's batch sends more. */
const maxBatch = 1024

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
  const topic = metadata.topic(topicName)
  // The name of a topic that exists was checked when it was made.
  if (topic === null) checkTopicName(topicName)
  for (const message of messages) checkMessage(message, at, metadata.maxDelayMs)
  if (topic === null) {
    throw new BrokerRefusal(
      Code.TOPIC_NOT_FOUND,
      `Topic ${quoted(topicName)} does not exist. Create it with CreateTopic first.`,
    )
  }
  for (const message of messages) checkType(message, topic)

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
