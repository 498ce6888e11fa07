/**
 * ReceiveMessage: a status, then the messages, then the delivery time, and always an end.
 *
 * The queue id a client names is ignored: the broker looks at every queue of the topic. A poll waits
 * 5 to 20 seconds whatever the client asks, and never past the call's deadline.
 */
import type * as gen from '../../../../grpc/gen/rocketmq.js'
import type { Call, WritableCall } from '../../../../grpc/transport.ts'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { Delivery } from '../../../broker.ts'
import { type BrokerEndpoint, refuseWhenStopped } from '../../../calls/endpoint.ts'
import { OngoingCall } from '../../../calls/ongoing-call.ts'
import { authorize } from '../../../calls/permission.ts'
import { budgetOf } from '../../../calls/receive-memory.ts'
import { statusOf, statusOfError } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { durationMs, secondsAndNanos } from '../../../messages/time.ts'
import { checkGroupName } from '../../../messages/validation.ts'
import { usesOf } from '../authorization.ts'
import { openCall } from '../call.ts'
import { topicOf } from '../client/route.ts'
import { maxReceiveBatch } from '../client/settings.ts'
import { deliverySize, encodeDelivery, topicField } from '../message/delivery.ts'
import { parseFilter } from './filter.ts'
import { allFit, whatFits } from './receive-limit.ts'
import { drainedInTime } from './stalled.ts'

const shortestPollMs = 5000
const longestPollMs = 20_000
const shortestInvisibleMs = 10_000
const longestInvisibleMs = 12 * 3600 * 1000
/** What the broker grants deliveries it renews itself, before the first renewal. */
const renewedInvisibleMs = 60_000
/** Clients' default, for one whose settings are not known. */
const defaultRequestTimeoutMs = 3000
const longestAttemptId = 255
/** Left of the deadline for the answer to travel. */
const answerMarginMs = 200
/** How long a delivery stays invisible that the client does not get, or does not read. */
const returnDelayMs = 1000

type ReceiveCall = WritableCall<BrokerEndpoint, gen.ReceiveMessageResponseInit>

export async function receiveMessage(call: ReceiveCall, request: gen.ReceiveMessageRequest): Promise<void> {
  let wire: WireCall<'metadata' | 'consuming'>
  try {
    wire = openCall(call)
    authorize(wire, usesOf.receiveMessage, request)
  } catch (error) {
    call.write({ status: statusOfError(error, call.context.report) })
    call.write(receiveEnd(call))
    return
  }
  const ongoing = new OngoingCall(wire, () => usesOf.receiveMessage(request))
  try {
    await answer(call, wire, request, ongoing)
  } finally {
    ongoing.end()
  }
  call.write(receiveEnd(call))
}

async function answer(
  call: ReceiveCall,
  wire: WireCall<'metadata' | 'consuming'>,
  request: gen.ReceiveMessageRequest,
  ongoing: OngoingCall,
): Promise<void> {
  let deliveries: readonly Delivery[] = []
  let status: gen.StatusInit
  try {
    const taken = await take(wire, request, call, ongoing)
    // The instance may have been stopped while the poll waited, or its account changed.
    if (!wire.endpoint.serving || ongoing.isRefused) await returnUnsent(wire, request, taken)
    refuseWhenStopped(wire.endpoint)
    ongoing.check()
    deliveries = await readable(wire, request, taken)
    status = deliveries.length === 0 ? statusOf(Code.MESSAGE_NOT_FOUND, 'no new message') : statusOf(Code.OK)
  } catch (error) {
    status = statusOfError(error, call.context.report)
  }
  call.write({ status })
  await deliver(call, wire, request, { deliveries, ongoing })
}

/** What every answer to a receive ends with, a refusal too. */
export const receiveEnd = (call: Call<BrokerEndpoint>): gen.ReceiveMessageResponseInit => ({
  deliveryTimestamp: secondsAndNanos(call.context.clock.now()),
})

async function take(
  wire: WireCall<'metadata' | 'consuming'>,
  request: gen.ReceiveMessageRequest,
  call: ReceiveCall,
  ongoing: OngoingCall,
): Promise<Delivery[]> {
  const { endpoint, clientId } = wire
  const topic = topicOf(wire, request.messageQueue?.topic ?? null)
  const group = request.group?.name ?? ''
  checkGroupName(group)
  const filter = parseFilter(request.filterExpression, endpoint.broker)
  const invisibleMs = request.autoRenew ? renewedInvisibleMs : checkedInvisible(request.invisibleDuration)
  const waitMs = pollTime(wire, request.longPollingTimeout)
  // A group of lite consumers is made by the management API, which binds it to its topic.
  if (topic.messageType !== 'LITE') endpoint.broker.consuming.useGroup(group)
  endpoint.clients.alive(clientId)
  return endpoint.broker.consuming.receive(
    {
      group,
      topic: topic.topicName,
      filter,
      max: Math.min(Math.max(request.batchSize, 1), maxReceiveBatch),
      waitMs,
      invisibleMs,
      autoRenew: request.autoRenew,
      clientId,
      userName: wire.userName,
      attemptId: checkedAttempt(request.attemptId),
      budget: budgetOf(call),
    },
    ongoing,
  )
}

/** Without messages that the client's library could not read; these go to the next receive. */
async function readable(
  wire: WireCall<'metadata' | 'consuming'>,
  request: gen.ReceiveMessageRequest,
  taken: readonly Delivery[],
): Promise<readonly Delivery[]> {
  if (allFit(wire.language, taken)) return taken
  const { broker } = wire.endpoint
  const isLite = broker.metadata.topic(request.messageQueue?.topic?.name ?? '')?.messageType === 'LITE'
  const inOrder = isLite || broker.metadata.group(request.group?.name ?? '')?.orderly === true
  // Lite topics cannot be told apart here: all of them are one lane.
  const laneOf = inOrder ? ({ queueId }: Delivery) => (isLite ? 0 : queueId) : null
  const sizeOf = (delivery: Delivery) => encodeDelivery(delivery, requestedTopic(request)).length
  const { sent, heldBack } = whatFits(taken, laneOf, sizeOf)
  if (heldBack.length > 0) await returnUnsent(wire, request, heldBack)
  return sent
}

const requestedTopic = ({ messageQueue }: gen.ReceiveMessageRequest): Uint8Array =>
  topicField(messageQueue?.topic?.name ?? '', messageQueue?.topic?.resourceNamespace ?? '')

async function deliver(
  call: ReceiveCall,
  wire: WireCall<'consuming'>,
  request: gen.ReceiveMessageRequest,
  { deliveries, ongoing }: { readonly deliveries: readonly Delivery[]; readonly ongoing: OngoingCall },
): Promise<void> {
  const as = requestedTopic(request)
  /** Those before it are known to have left. */
  let takenBelow = 0
  for (const [index, delivery] of deliveries.entries()) {
    const { bandwidth } = call.context
    if (bandwidth.limited) await bandwidth.take(deliverySize(delivery), ongoing)
    if (ongoing.aborted) {
      await returnUnsent(wire, request, deliveries.slice(index))
      return
    }
    if (call.writeEncoded([encodeDelivery(delivery, as)])) continue
    const inTime = await drainedInTime(call)
    if (inTime && !call.signal.aborted) {
      takenBelow = index + 1
      continue
    }
    // The client reads no more. Those written since it last read may have reached it.
    if (!inTime) call.reset()
    await releaseSent(wire, request, deliveries.slice(takenBelow, index + 1))
    await returnUnsent(wire, request, deliveries.slice(index + 1))
    return
  }
}

/** Never written to the client: visible again soon, and not counted. */
async function returnUnsent(
  wire: WireCall<'consuming'>,
  request: gen.ReceiveMessageRequest,
  deliveries: readonly Delivery[],
): Promise<void> {
  if (deliveries.length === 0) return
  const handles = deliveries.map(({ handle }) => handle)
  try {
    await wire.endpoint.broker.consuming.returnDeliveries({ ...placeOf(request), handles, delayMs: returnDelayMs })
  } catch (error) {
    // They stay invisible for their own time instead; nothing is lost.
    wire.endpoint.report(error)
  }
}

/** Written, and perhaps read by the client: visible again soon, and counted. */
async function releaseSent(
  wire: WireCall<'consuming'>,
  request: gen.ReceiveMessageRequest,
  deliveries: readonly Delivery[],
): Promise<void> {
  const where = { ...placeOf(request), clientId: wire.clientId }
  for (const { handle } of deliveries) {
    try {
      await wire.endpoint.broker.consuming.changeInvisible({ ...where, handle, invisibleMs: returnDelayMs })
    } catch (error) {
      // As above.
      wire.endpoint.report(error)
      return
    }
  }
}

const placeOf = ({ group, messageQueue }: gen.ReceiveMessageRequest) => ({
  group: group?.name ?? '',
  topic: messageQueue?.topic?.name ?? '',
})

/** The clients' are UUIDs; it is kept with the queues it locks, so it must be short. */
function checkedAttempt(attemptId: string | null): string | null {
  if (attemptId === null || attemptId.length <= longestAttemptId) return attemptId
  throw new BrokerRefusal(
    Code.BAD_REQUEST,
    `The attempt id has ${attemptId.length} characters; at most ${longestAttemptId} are allowed.`,
  )
}

function checkedInvisible(duration: gen.Duration | null): number {
  const ms = durationMs(duration)
  if (ms < shortestInvisibleMs) {
    throw new BrokerRefusal(
      Code.ILLEGAL_INVISIBLE_TIME,
      `the invisibleTime is too small: ${ms} ms were asked, at least ${shortestInvisibleMs} ms are needed`,
    )
  }
  if (ms > longestInvisibleMs) {
    throw new BrokerRefusal(
      Code.ILLEGAL_INVISIBLE_TIME,
      `the invisibleTime is too large: ${ms} ms were asked, at most ${longestInvisibleMs} ms are allowed`,
    )
  }
  return ms
}

/**
 * How long this poll may wait, in ms, by Apache's formula: what the client asks for; one that names no time (Java 5.0.3 and
 * Go's simple consumers, C++'s push consumer) gets its deadline less half the request timeout of its settings.
 */
export function pollTime(wire: WireCall, longPollingTimeout: gen.Duration | null): number {
  const remaining = wire.remainingMs()
  const asked = longPollingTimeout === null ? remaining - requestTimeoutMs(wire) / 2 : durationMs(longPollingTimeout)
  const clamped = Math.min(Math.max(asked, shortestPollMs), longestPollMs)
  if (clamped <= remaining) return Math.min(clamped, remaining - answerMarginMs)
  if (remaining >= shortestPollMs) return remaining - answerMarginMs
  throw new BrokerRefusal(
    olderThan503(wire.version) ? Code.BAD_REQUEST : Code.ILLEGAL_POLLING_TIME,
    `A poll takes at least ${shortestPollMs} ms and the call's deadline leaves ${Math.round(remaining)} ms; raise the client's await duration or request timeout.`,
  )
}

const requestTimeoutMs = ({ endpoint, clientId }: WireCall): number =>
  endpoint.clients.get(clientId)?.requestTimeoutMs ?? defaultRequestTimeoutMs

/** Clients before 5.0.3 do not know ILLEGAL_POLLING_TIME. */
function olderThan503(version: string | undefined): boolean {
  const match = /^(\d+)\.(\d+)\.(\d+)/.exec(version ?? '')
  if (match === null) return false
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number]
  return major < 5 || (major === 5 && minor === 0 && patch < 3)
}
