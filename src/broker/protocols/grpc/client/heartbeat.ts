/** Heartbeat and NotifyClientTermination. */
import type * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code } from '../../../../model/codes.ts'
import { statusOf } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { checkGroupName } from '../../../messages/validation.ts'

export function heartbeat(call: WireCall, request: gen.HeartbeatRequest): gen.HeartbeatResponseInit {
  const group = request.group?.name ?? ''
  if (group !== '') checkGroupName(group)
  call.endpoint.clients.alive(call.clientId)
  return { status: statusOf(Code.OK) }
}

/** Also OK for an unknown client: clients ignore the answer. */
export function notifyClientTermination(
  call: WireCall,
  request: gen.NotifyClientTerminationRequest,
): gen.NotifyClientTerminationResponseInit {
  const group = request.group?.name ?? ''
  if (group !== '') checkGroupName(group)
  call.endpoint.clients.terminated(call.clientId)
  return { status: statusOf(Code.OK) }
}
