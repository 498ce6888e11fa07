/** Valid requests of every RPC, as clients send them: what the wire fuzz starts from. */
import { ExportMetricsServiceRequest, MetricsService } from '../../src/grpc/gen/otlp.js'
import * as gen from '../../src/grpc/gen/rocketmq.js'

export interface Recorded {
  readonly path: string
  /** One request, or what a client says on its stream. */
  readonly messages: readonly Uint8Array[]
}

/** What of a living broker goes into requests. */
export interface Things {
  readonly topics: readonly string[]
  readonly groups: readonly string[]
  /** Handles of live deliveries with their message ids. */
  readonly deliveries: readonly { readonly handle: string; readonly messageId: string }[]
  readonly now: number
}

const { methods } = gen.MessagingService
type Name = keyof typeof methods

export const rpcNames = Object.keys(methods) as Name[]

/** At least one request of every RPC. */
export function record(things: Things): Recorded[] {
  const [topicName = '', other = topicName] = things.topics
  const [groupName = ''] = things.groups
  const [first, second] = [things.deliveries[0], things.deliveries[1] ?? things.deliveries[0]]
  const seconds = Math.floor(things.now / 1000)
  const topic = { resourceNamespace: 'ns', name: topicName }
  const group = { resourceNamespace: 'ns', name: groupName }
  /** The group is bound to the topic (wire-subject.ts). */
  const lite = { topic: { ...topic, name: 'topic-lite' }, group: { ...group, name: 'group-lite' } }
  const endpoints = { scheme: 1, addresses: [{ host: '127.0.0.1', port: 7801 }] }
  const queue = { topic, id: 3, permission: 4, broker: { name: 'b', id: 0, endpoints }, acceptMessageTypes: [1] }
  const handle = first?.handle ?? 'none'
  const messageId = first?.messageId ?? 'none'
  const system = (id: string): gen.SystemPropertiesInit => ({
    tag: 'tag',
    keys: ['key', 'other key'],
    messageId: `0156F7E71C361B21BC024CCDBE000000${id}`,
    bodyDigest: { type: 2, checksum: '841A2D689AD86BD1611447453C22C6FC' },
    bodyEncoding: 1,
    messageType: 1,
    bornTimestamp: { seconds, nanos: 1 },
    bornHost: 'host',
    queueId: 3,
    traceContext: '00-1-2-01',
  })
  const message = (id: string, more: gen.SystemPropertiesInit = {}, name = topicName): gen.MessageInit => ({
    topic: { ...topic, name },
    userProperties: { a: '1', b: 'two' },
    systemProperties: { ...system(id), ...more },
    body: Buffer.from('the body of a message'),
  })
  const settings = {
    accessPoint: endpoints,
    requestTimeout: { seconds: 3, nanos: 0 },
    userAgent: { language: 1, version: '5.2.1', platform: 'Linux', hostname: 'host' },
    clientProperties: { team: 'a' },
  }
  const telling: gen.TelemetryCommandInit[] = [
    { settings: { clientType: 1, ...settings, publishing: { topics: [topic, { name: other }] } } },
    {
      settings: {
        clientType: 2,
        ...settings,
        subscription: { group, subscriptions: [{ topic, expression: { type: 1, expression: 'tag || b' } }] },
      },
    },
    { status: { code: 20000, message: 'OK' }, threadStackTrace: { nonce: 'n', threadStackTrace: 'at main' } },
    { status: { code: 50100 }, verifyMessageResult: { nonce: 'n' } },
  ]
  const poll = (more: gen.ReceiveMessageRequestInit): Recorded =>
    one('receiveMessage', {
      group,
      messageQueue: queue,
      filterExpression: { type: 1, expression: 'tag || b' },
      batchSize: 8,
      invisibleDuration: { seconds: 15, nanos: 0 },
      longPollingTimeout: { seconds: 5, nanos: 0 },
      attemptId: 'attempt',
      ...more,
    })
  return [
    one('queryRoute', { topic, endpoints }),
    one('heartbeat', { group, clientType: 2 }),
    one('sendMessage', { messages: [message('1')] }),
    one('sendMessage', { messages: [message('2'), message('3', { tag: 'b' })] }),
    one('sendMessage', { messages: [message('4', { messageGroup: 'g' }, other)] }),
    one('sendMessage', { messages: [message('5', { deliveryTimestamp: { seconds: seconds + 10, nanos: 0 } }, other)] }),
    one('sendMessage', {
      messages: [
        message('6', { messageType: 4, orphanedTransactionRecoveryDuration: { seconds: 30, nanos: 0 } }, other),
      ],
    }),
    one('sendMessage', {
      messages: [message('7', { priority: 2 }, other), message('8', { liteTopic: 'lite' }, other)],
    }),
    one('queryAssignment', { topic, group, endpoints }),
    poll({ autoRenew: true }),
    poll({ autoRenew: false }),
    poll({ autoRenew: true, filterExpression: { type: 2, expression: "a > 1 AND (b = 'two' OR c IS NULL)" } }),
    one('ackMessage', {
      group,
      topic,
      entries: [
        { messageId, receiptHandle: handle },
        { messageId: second?.messageId ?? 'none', receiptHandle: second?.handle ?? 'none', liteTopic: 'lite' },
      ],
    }),
    one('changeInvisibleDuration', {
      group,
      topic,
      receiptHandle: handle,
      invisibleDuration: { seconds: 10, nanos: 5 },
      messageId,
      liteTopic: 'lite',
      suspend: true,
    }),
    one('forwardMessageToDeadLetterQueue', {
      group,
      topic,
      receiptHandle: handle,
      messageId,
      deliveryAttempt: 1,
      maxDeliveryAttempts: 16,
      liteTopic: 'lite',
    }),
    one('endTransaction', { topic, messageId, transactionId: messageId, resolution: 1, source: 1, traceContext: 't' }),
    { path: methods.telemetry.path, messages: telling.map((each) => gen.TelemetryCommand.encode(each).finish()) },
    one('notifyClientTermination', { group }),
    one('pullMessage', {
      group,
      messageQueue: queue,
      offset: 1,
      batchSize: 8,
      filterExpression: { type: 1, expression: '*' },
      longPollingTimeout: { seconds: 5, nanos: 0 },
    }),
    one('updateOffset', { group, messageQueue: queue, offset: 1 }),
    one('getOffset', { group, messageQueue: queue }),
    one('queryOffset', { messageQueue: queue, queryOffsetPolicy: 2, timestamp: { seconds, nanos: 0 } }),
    one('recallMessage', { topic, recallHandle: 'djEgdG9waWMgYnJva2VyIDEyMyBpZA' }),
    {
      path: MetricsService.methods.export.path,
      messages: [ExportMetricsServiceRequest.encode(measured(groupName)).finish()],
    },
    one('syncLiteSubscription', { action: 0, topic, group, liteTopicSet: ['a', 'b'], version: 1 }),
    ...[0, 1, 2, 3].map((action) =>
      one('syncLiteSubscription', { ...lite, action, liteTopicSet: ['lite', 'b'], version: 1 }),
    ),
    ...[{ policy: 1 }, { offset: 1 }, { tailN: 1 }, { timestamp: things.now }].map((offsetOption) =>
      one('syncLiteSubscription', { ...lite, action: 0, liteTopicSet: ['lite'], offsetOption }),
    ),
    one('sendMessage', { messages: [message('9', { liteTopic: 'lite' }, 'topic-lite')] }),
    poll({
      group: lite.group,
      messageQueue: { ...queue, topic: lite.topic },
      filterExpression: { type: 1, expression: '*' },
      autoRenew: true,
    }),
  ]
}

/** What the Java client exports once a minute, in short. */
function measured(group: string): object {
  const attributes = [
    { key: 'client_id', value: { stringValue: 'fuzz' } },
    { key: 'consumer_group', value: { stringValue: group } },
    { key: 'topic', value: { stringValue: 'topic-normal' } },
  ]
  const point = { attributes, timeUnixNano: 1, count: 3, sum: 5, bucketCounts: [1, 2], explicitBounds: [5] }
  const metrics = [
    { name: 'rocketmq_process_time', unit: 'milliseconds', histogram: { dataPoints: [point] } },
    { name: 'rocketmq_consumer_cached_messages', gauge: { dataPoints: [{ attributes, asDouble: 1.5 }] } },
  ]
  return { resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }
}

function one(name: Name, request: object): Recorded {
  const method = methods[name]
  const codec = method.request as { encode(message: object): { finish(): Uint8Array } }
  return { path: method.path, messages: [codec.encode(request).finish()] }
}
