/**
 * PullMessage, GetOffset, UpdateOffset, QueryOffset: reading by offset, for clients that keep their own
 * offsets. Apache's proxy answers UNIMPLEMENTED and no official client has a consumer on top of them; they do
 * what their names say, on (group, queue), with the codes the protocol sets aside for them (data-plane §1.15).
 */

import * as gen from '../../../../grpc/gen/rocketmq.js'
import type { WritableCall } from '../../../../grpc/transport.ts'
import { Code } from '../../../../model/codes.ts'
import type { TopicName } from '../../../../model/ids.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { Pulled } from '../../../broker.ts'
import { type BrokerEndpoint, refuseWhenStopped } from '../../../calls/endpoint.ts'
import { OngoingCall } from '../../../calls/ongoing-call.ts'
import { authorize } from '../../../calls/permission.ts'
import { budgetOf } from '../../../calls/receive-memory.ts'
import { statusOf, statusOfError } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { millisecondsFrom } from '../../../messages/time.ts'
import { checkGroupName } from '../../../messages/validation.ts'
import { usesOf } from '../authorization.ts'
import { openCall } from '../call.ts'
import { topicOf } from '../client/route.ts'
import { maxReceiveBatch } from '../client/settings.ts'
import { deliverySize, encodeDelivery, topicField } from '../message/delivery.ts'
import { parseFilter } from './filter.ts'
import { pollTime } from './receive.ts'
import { drainedInTime } from './stalled.ts'

const { BEGINNING, END, TIMESTAMP } = gen.QueryOffsetPolicy

type PullCall = WritableCall<BrokerEndpoint, gen.PullMessageResponseInit>

/** A status, the messages, where to go on. Nothing is leased, so what a client does not read needs no return. */
export async function pullMessage(call: PullCall, request: gen.PullMessageRequest): Promise<void> {
  let wire: WireCall<'metadata' | 'offsets'>
  try {
    wire = openCall(call)
    authorize(wire, usesOf.pullMessage, request)
  } catch (error) {
    call.write({ status: statusOfError(error, call.context.report) })
    return
  }
  const ongoing = new OngoingCall(wire, () => usesOf.pullMessage(request))
  try {
    await answer(call, wire, request, ongoing)
  } finally {
    ongoing.end()
  }
}

async function answer(
  call: PullCall,
  wire: WireCall<'metadata' | 'offsets'>,
  request: gen.PullMessageRequest,
  ongoing: OngoingCall,
): Promise<void> {
  let pulled: Pulled
  try {
    pulled = await pull(wire, request, { call, ongoing })
    // The instance may have been stopped while the poll waited, or its account changed.
    refuseWhenStopped(call.context)
    ongoing.check()
  } catch (error) {
    call.write({ status: statusOfError(error, call.context.report) })
    return
  }
  const { deliveries, nextOffset } = pulled
  call.write({
    status: deliveries.length === 0 ? statusOf(Code.MESSAGE_NOT_FOUND, 'no new message') : statusOf(Code.OK),
  })
  const topic = request.messageQueue?.topic
  const as = topicField(topic?.name ?? '', topic?.resourceNamespace ?? '')
  for (const delivery of deliveries) {
    const { bandwidth } = call.context
    if (bandwidth.limited) await bandwidth.take(deliverySize(delivery), ongoing)
    if (ongoing.aborted) return
    // The message has the same number in this reply as in ReceiveMessage's.
    if (call.writeEncoded([encodeDelivery(delivery, as)])) continue
    if (!(await drainedInTime(call))) call.reset()
    if (call.signal.aborted) return
  }
  call.write({ nextOffset })
}

function pull(
  wire: WireCall<'metadata' | 'offsets'>,
  request: gen.PullMessageRequest,
  { call, ongoing }: { readonly call: PullCall; readonly ongoing: OngoingCall },
): Promise<Pulled> {
  const queue = queueOf(wire, request.messageQueue)
  const group = groupOf(request.group)
  const filter = parseFilter(request.filterExpression, wire.endpoint.broker)
  const waitMs = pollTime(wire, request.longPollingTimeout)
  wire.endpoint.clients.alive(wire.clientId)
  const max = Math.min(Math.max(request.batchSize, 1), maxReceiveBatch)
  const budget = budgetOf(call)
  return wire.endpoint.broker.offsets.pull(
    { ...queue, group, offset: request.offset, filter, max, waitMs, budget },
    ongoing,
  )
}

export function getOffset(
  call: WireCall<'metadata' | 'offsets'>,
  request: gen.GetOffsetRequest,
): gen.GetOffsetResponseInit {
  const queue = queueOf(call, request.messageQueue)
  const group = groupOf(request.group)
  call.endpoint.clients.alive(call.clientId)
  const offset = call.endpoint.broker.offsets.committed({ ...queue, group })
  if (offset === null)
    throw new BrokerRefusal(
      Code.OFFSET_NOT_FOUND,
      `Group ${group} has not read topic ${queue.topic} and has no offset.`,
    )
  return { status: statusOf(Code.OK), offset }
}

export async function updateOffset(
  call: WireCall<'metadata' | 'offsets'>,
  request: gen.UpdateOffsetRequest,
): Promise<gen.UpdateOffsetResponseInit> {
  const queue = queueOf(call, request.messageQueue)
  const group = groupOf(request.group)
  call.endpoint.clients.alive(call.clientId)
  await call.endpoint.broker.offsets.update({ ...queue, group, offset: request.offset })
  return { status: statusOf(Code.OK) }
}

export async function queryOffset(
  call: WireCall<'metadata' | 'offsets'>,
  request: gen.QueryOffsetRequest,
): Promise<gen.QueryOffsetResponseInit> {
  const queue = queueOf(call, request.messageQueue)
  call.endpoint.clients.alive(call.clientId)
  return {
    status: statusOf(Code.OK),
    offset: await call.endpoint.broker.offsets.query({ ...queue, at: placeOf(request) }),
  }
}

function placeOf(request: gen.QueryOffsetRequest): 'beginning' | 'end' | number {
  switch (request.queryOffsetPolicy) {
    case BEGINNING:
      return 'beginning'
    case END:
      return 'end'
    case TIMESTAMP:
      if (request.timestamp === null)
        throw new BrokerRefusal(Code.BAD_REQUEST, 'The policy TIMESTAMP needs the field timestamp.')
      return Math.min(Math.max(millisecondsFrom(request.timestamp), 0), Number.MAX_SAFE_INTEGER)
    default:
      throw new BrokerRefusal(
        Code.BAD_REQUEST,
        `There is no offset policy ${request.queryOffsetPolicy}; use BEGINNING, END or TIMESTAMP.`,
      )
  }
}

function queueOf(call: WireCall<'metadata'>, queue: gen.MessageQueue | null): { topic: TopicName; queueId: number } {
  const { topicName } = topicOf(call, queue?.topic ?? null)
  return { topic: topicName, queueId: queue?.id ?? 0 }
}

function groupOf(resource: gen.Resource | null): string {
  const group = resource?.name ?? ''
  checkGroupName(group)
  return group
}
