/**
 * RocketMQ 5's MessagingService: every RPC with the file that answers it.
 *
 * A business failure is a normal reply whose `status` says what was wrong; the gRPC status stays OK.
 * The wire knows the broker through broker.ts only.
 */

import type * as gen from '../../grpc/gen/rocketmq.js'
import { MessagingService } from '../../grpc/gen/rocketmq.js'
import { type Call, type Handlers, implement, RpcError, type Service, Status } from '../../grpc/transport.ts'
import { ackMessage, changeInvisibleDuration, forwardToDeadLetterQueue } from './acknowledge.ts'
import { enter, type InstanceDoor, type WireCall } from './call.ts'
import { Code } from './code.ts'
import { heartbeat, notifyClientTermination } from './presence.ts'
import { receiveMessage } from './receive.ts'
import { queryAssignment, queryRoute } from './route.ts'
import { sendMessage } from './send.ts'
import { statusOf, statusOfError } from './status.ts'
import { telemetry } from './telemetry.ts'

export { createAuthenticator } from './authenticate.ts'
export { createBandwidth } from './bandwidth.ts'
export type { InstanceDoor } from './call.ts'
export { createClientRegistry } from './clients.ts'

const handlers: Handlers<typeof MessagingService, InstanceDoor> = {
  queryRoute: reply(queryRoute),
  heartbeat: reply(heartbeat),
  sendMessage: reply(sendMessage),
  queryAssignment: reply(queryAssignment),
  receiveMessage,
  ackMessage: reply(ackMessage),
  forwardMessageToDeadLetterQueue: reply(forwardToDeadLetterQueue),
  changeInvisibleDuration: reply(changeInvisibleDuration),
  telemetry,
  notifyClientTermination: reply(notifyClientTermination),
  // Topics of these kinds cannot be made yet (CreateTopic refuses them), so no well-behaved client gets here.
  endTransaction: reply(notYet('Transactional messages')),
  recallMessage: reply(notYet('Recalling delayed messages')),
  syncLiteSubscription: reply(notYet('Lite topics')),
  // As Apache: no official client has a consumer that uses these.
  pullMessage: unimplemented,
  updateOffset: unimplemented,
  getOffset: unimplemented,
  queryOffset: unimplemented,
}

/** The service to host on every instance's addresses. */
export const messagingService: Service<InstanceDoor> = implement(MessagingService, handlers)

function reply<Request, Response extends { status?: gen.StatusInit | null | undefined }>(
  handle: (call: WireCall, request: Request, connection: Call['connection']) => Response | Promise<Response>,
): (call: Call<InstanceDoor>, request: Request) => Promise<Response | { status: gen.StatusInit }> {
  return async (call, request) => {
    try {
      return await handle(enter(call), request, call.connection)
    } catch (error) {
      return { status: statusOfError(error, call.context.report) }
    }
  }
}

function notYet(what: string): () => { status: gen.StatusInit } {
  return () => ({ status: statusOf(Code.NOT_IMPLEMENTED, `${what} are not supported by this broker yet.`) })
}

function unimplemented(): never {
  throw new RpcError(
    Status.UNIMPLEMENTED,
    'Apache RocketMQ does not implement this method either; use a push or simple consumer.',
  )
}
