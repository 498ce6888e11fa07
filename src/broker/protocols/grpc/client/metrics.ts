/**
 * OTLP's MetricsService on the data port: clients that are told so in their settings send what they
 * measure once a minute, to the address they use anyway, with the credentials of every other call.
 *
 * Here failures are gRPC statuses, for OTLP has no status of its own: credentials UNAUTHENTICATED, the id of a client of
 * another account PERMISSION_DENIED, a stopped instance UNAVAILABLE (exporters try again), no client id INVALID_ARGUMENT.
 * The Python client sends no client id in its headers; the label `client_id` that every point carries stands in for it.
 */
import {
  type ExportMetricsServiceRequest,
  type ExportMetricsServiceResponseInit,
  MetricsService,
} from '../../../../grpc/gen/otlp.js'
import { type Call, implement, RpcError, type Service, Status } from '../../../../grpc/transport.ts'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import { type BrokerEndpoint, checkClientId } from '../../../calls/endpoint.ts'
import { checkClientOwner } from '../../../calls/permission.ts'
import { checkCaller, clientIdOf, openCall } from '../call.ts'
import { pointsIn } from './otlp-points.ts'

const statuses: ReadonlyMap<number, Status> = new Map([
  [Code.UNAUTHORIZED, Status.UNAUTHENTICATED],
  [Code.FORBIDDEN, Status.PERMISSION_DENIED],
  [Code.PAYMENT_REQUIRED, Status.UNAVAILABLE],
  [Code.TOO_MANY_REQUESTS, Status.RESOURCE_EXHAUSTED],
])

export const metricsService: Service<BrokerEndpoint> = implement(
  MetricsService,
  { export: (call: Call<BrokerEndpoint>, request: ExportMetricsServiceRequest) => take(call, request) },
  (call) => {
    inStatuses(() => checkCaller(call))
    return null
  },
)

function take(call: Call<BrokerEndpoint>, request: ExportMetricsServiceRequest): ExportMetricsServiceResponseInit {
  const { clients } = call.context
  const named = clientIdOf(call)
  const clientId = named.trim() === '' ? labelledClient(request) : named
  inStatuses(() => {
    const wire = openCall(call)
    checkClientId(clientId)
    checkClientOwner(wire, clientId)
  })
  const rejected = clients.measured(clientId, pointsIn(request))
  if (rejected === null) return {}
  return { partialSuccess: { rejectedDataPoints: rejected.points, errorMessage: `${rejected.reason}.` } }
}

/** A refusal of `check` as a gRPC status. */
function inStatuses(check: () => void): void {
  try {
    check()
  } catch (error) {
    if (!(error instanceof BrokerRefusal)) throw error
    throw new RpcError(statuses.get(error.code) ?? Status.INVALID_ARGUMENT, error.message)
  }
}

function labelledClient(request: ExportMetricsServiceRequest): string {
  for (const { scopeMetrics } of request.resourceMetrics)
    for (const { metrics } of scopeMetrics)
      for (const { gauge, sum, histogram } of metrics)
        for (const point of gauge?.dataPoints ?? sum?.dataPoints ?? histogram?.dataPoints ?? []) {
          const label = point.attributes.find(({ key }) => key === 'client_id')?.value?.stringValue
          if (label) return label
        }
  return ''
}
