/**
 * QueryRoute and QueryAssignment: where a topic's queues are.
 *
 * One broker, id 0, serves every queue. The address is the one the client used (so that containers and
 * port forwards work and no second connection is opened), else the one it arrived at. Every consumer of
 * a group gets the same single assignment: who gets which message is decided at each receive.
 */
import { isIPv4, isIPv6 } from 'node:net'
import * as gen from '../../../../grpc/gen/rocketmq.js'
import type { Connection } from '../../../../grpc/transport.ts'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { TopicView } from '../../../broker.ts'
import { checkInstance } from '../../../calls/endpoint.ts'
import { statusOf } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { checkGroupName, checkNamespace, checkTopicName, quoted } from '../../../messages/validation.ts'

const { IPv4, IPv6, DOMAIN_NAME } = gen.AddressScheme
/** "Any queue": what Apache assigns to groups without order. */
const anyQueue = -1

export function queryRoute(
  call: WireCall<'metadata'>,
  request: gen.QueryRouteRequest,
  connection: Connection,
): gen.QueryRouteResponseInit {
  call.endpoint.clients.routeAsked(call.clientId)
  const topic = topicOf(call, request.topic)
  const endpoints = endpointsFor(request.endpoints, connection)
  return {
    status: statusOf(Code.OK),
    messageQueues: Array.from({ length: topic.queues }, (_, id) => queue(call, topic, request.topic, endpoints, id)),
  }
}

export function queryAssignment(
  call: WireCall<'metadata' | 'consuming' | 'lite'>,
  request: gen.QueryAssignmentRequest,
  connection: Connection,
): gen.QueryAssignmentResponseInit {
  const topic = topicOf(call, request.topic)
  const groupName = request.group?.name ?? ''
  checkGroupName(groupName)
  const { consuming, lite } = call.endpoint.broker
  const group = topic.messageType === 'LITE' ? lite.group(groupName) : consuming.useGroup(groupName)
  const endpoints = endpointsFor(request.endpoints, connection)
  const ids = group.orderly ? Array.from({ length: topic.queues }, (_, id) => id) : [anyQueue]
  return {
    status: statusOf(Code.OK),
    assignments: ids.map((id) => ({ messageQueue: queue(call, topic, request.topic, endpoints, id) })),
  }
}

/** The topic a request names; throws ILLEGAL_TOPIC or TOPIC_NOT_FOUND. Never makes one. */
export function topicOf(call: WireCall<'metadata'>, resource: gen.Resource | null): TopicView {
  const name = resource?.name ?? ''
  checkTopicName(name)
  checkNamespace(resource?.resourceNamespace ?? '')
  checkInstance(call.endpoint, resource?.resourceNamespace ?? '')
  const topic = call.endpoint.broker.metadata.topic(name)
  if (topic === null) {
    throw new BrokerRefusal(
      Code.TOPIC_NOT_FOUND,
      `Topic ${quoted(name)} does not exist in instance ${call.endpoint.instanceId}. Create it with CreateTopic first.`,
    )
  }
  return topic
}

function queue(
  call: WireCall,
  topic: TopicView,
  resource: gen.Resource | null,
  endpoints: gen.EndpointsInit,
  id: number,
): gen.MessageQueueInit {
  return {
    topic: { resourceNamespace: resource?.resourceNamespace ?? '', name: topic.topicName },
    id,
    permission: gen.Permission.READ_WRITE,
    broker: { name: call.endpoint.instanceId, id: 0, endpoints },
    acceptMessageTypes: [gen.MessageType[topic.messageType]],
  }
}

/** What the client dialled, as far as it can be used, else where it arrived. */
export function endpointsFor(asked: gen.Endpoints | null, connection: Connection): gen.EndpointsInit {
  const usable = (asked?.addresses ?? []).filter(
    ({ host, port }) => host !== '' && host.length <= 255 && port > 0 && port < 65_536,
  )
  const first = usable[0] ?? { host: connection.localAddress, port: connection.localPort }
  const scheme = schemeOf(first.host)
  // A domain name must stand alone; some clients refuse more than one.
  const addresses =
    scheme === DOMAIN_NAME ? [first] : usable.filter(({ host }) => schemeOf(host) === scheme).slice(0, 16)
  return { scheme, addresses: addresses.length === 0 ? [first] : addresses }
}

function schemeOf(host: string): number {
  if (isIPv4(host)) return IPv4
  return isIPv6(host) ? IPv6 : DOMAIN_NAME
}
