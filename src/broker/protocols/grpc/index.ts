/**
 * RocketMQ 5's protocol: gRPC with MessagingService, every RPC with the file that answers it, and OTLP's MetricsService.
 *
 * A business failure is a normal reply whose `status` says what was wrong; the gRPC status stays OK.
 * The wire knows the broker through broker.ts only.
 */

import type { Use } from '../../../gateway/grants.ts'
import type { Protocol, ProtocolOptions } from '../../../gateway/protocol.ts'
import type * as gen from '../../../grpc/gen/rocketmq.js'
import { MessagingService } from '../../../grpc/gen/rocketmq.js'
import { GrpcProtocol } from '../../../grpc/protocol.ts'
import { type Admission, type Call, type Handlers, implement, type Service } from '../../../grpc/transport.ts'
import type { Broker } from '../../broker.ts'
import { type BrokerEndpoint, checkClientId } from '../../calls/endpoint.ts'
import { authorize } from '../../calls/permission.ts'
import { statusOfError } from '../../calls/status.ts'
import type { WireCall } from '../../calls/wire-call.ts'
import { usesOf } from './authorization.ts'
import { checkCaller, clientIdOf, openCall } from './call.ts'
import { heartbeat, notifyClientTermination } from './client/heartbeat.ts'
import { metricsService } from './client/metrics.ts'
import { queryAssignment, queryRoute } from './client/route.ts'
import { telemetry } from './client/telemetry.ts'
import { ackMessage, changeInvisibleDuration, forwardToDeadLetterQueue } from './consumer/acknowledge.ts'
import { syncLiteSubscription } from './consumer/lite.ts'
import { getOffset, pullMessage, queryOffset, updateOffset } from './consumer/pull.ts'
import { receiveEnd, receiveMessage } from './consumer/receive.ts'
import { recallMessage } from './producer/recall.ts'
import { sendMessage } from './producer/send.ts'
import { endTransaction } from './producer/transaction.ts'

export function grpcProtocol(options: ProtocolOptions): Protocol<BrokerEndpoint> {
  return new GrpcProtocol<BrokerEndpoint>({ ...options, services: [messagingService, metricsService] })
}

const handlers: Handlers<typeof MessagingService, BrokerEndpoint> = {
  queryRoute: reply(queryRoute, usesOf.queryRoute),
  heartbeat: reply(heartbeat, usesOf.heartbeat),
  sendMessage: reply(sendMessage, usesOf.sendMessage),
  queryAssignment: reply(queryAssignment, usesOf.queryAssignment),
  receiveMessage,
  ackMessage: reply(ackMessage, usesOf.ackMessage),
  forwardMessageToDeadLetterQueue: reply(forwardToDeadLetterQueue, usesOf.forwardMessageToDeadLetterQueue),
  changeInvisibleDuration: reply(changeInvisibleDuration, usesOf.changeInvisibleDuration),
  telemetry,
  notifyClientTermination: reply(notifyClientTermination, usesOf.notifyClientTermination),
  recallMessage: reply(recallMessage, usesOf.recallMessage),
  endTransaction: reply(endTransaction, usesOf.endTransaction),
  syncLiteSubscription: reply(syncLiteSubscription, usesOf.syncLiteSubscription),
  // Apache answers UNIMPLEMENTED to these four.
  pullMessage,
  updateOffset: reply(updateOffset, usesOf.updateOffset),
  getOffset: reply(getOffset, usesOf.getOffset),
  queryOffset: reply(queryOffset, usesOf.queryOffset),
}

/** The service to host on every instance's addresses. Who calls is asked before the request is read. */
export const messagingService: Service<BrokerEndpoint> = implement(MessagingService, handlers, admit)

/** Every response has a status, also the first message of a stream, so that one refusal fits them all. */
function admit(call: Call<BrokerEndpoint>): ReturnType<Admission<BrokerEndpoint>> {
  try {
    checkCaller(call)
    checkClientId(clientIdOf(call))
    return null
  } catch (error) {
    const status = { status: statusOfError(error, call.context.report) }
    return { replies: call.path === receivePath ? [status, receiveEnd(call)] : [status] }
  }
}

const receivePath = MessagingService.methods.receiveMessage.path

function reply<Request, Response extends { status?: gen.StatusInit | null | undefined }>(
  handle: (
    call: WireCall<keyof Broker>,
    request: Request,
    connection: Call['connection'],
  ) => Response | Promise<Response>,
  uses: (request: Request) => readonly Use[],
): (call: Call<BrokerEndpoint>, request: Request) => Promise<Response | { status: gen.StatusInit }> {
  return async (call, request) => {
    try {
      const wire = openCall(call)
      authorize(wire, uses, request)
      return await handle(wire, request, call.connection)
    } catch (error) {
      return { status: statusOfError(error, call.context.report) }
    }
  }
}
