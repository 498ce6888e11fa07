/** How a group is doing: its clients, what it has yet to consume, and where it stands (api-semantics §9). */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  choice,
  consumerGroupId,
  count,
  dateTime,
  epochMs,
  instanceId,
  maybe,
  name,
  object,
  regionId,
  text,
  topicName,
} from './schema.ts'
import { connection } from './subscriptions.ts'

const family = 'consumption'

const path = () => ({ instanceId: instanceId(), consumerGroupId: consumerGroupId() })
const absent = ['Instance.NotFound', 'InstanceStatus.Error', 'ConsumerGroup.NotFound']

const narrowing = () => ({
  topicName: maybe(text(limits.pathSegment, { description: 'Only this topic.' })),
  liteTopicName: maybe(text(limits.liteTopic.name.maxLength, { description: 'Only this lite topic.' })),
})

export const listConsumerConnections = operation({
  action: 'ListConsumerConnections',
  call: 'GET /instances/{instanceId}/consumerGroups/{consumerGroupId}/connections',
  summary: 'List the clients of a group',
  family,
  access: ['list', 'group'],
  path: path(),
  query: narrowing(),
  data: object({
    instanceId: instanceId(),
    consumerGroupId: Type.String(),
    regionId: regionId(),
    connections: Type.Array(connection()),
  }),
  errors: absent,
})

export const getConsumerStack = operation({
  action: 'GetConsumerStack',
  call: 'GET /instances/{instanceId}/consumerGroups/{consumerGroupId}/stack',
  summary: 'Read the thread stacks of a connected client',
  family,
  access: ['get', 'group'],
  path: path(),
  query: { clientId: name(512, { description: 'Id of the client, as ListConsumerConnections answers it.' }) },
  data: object({
    instanceId: instanceId(),
    consumerGroupId: Type.String(),
    regionId: regionId(),
    stacks: Type.Array(object({ thread: Type.String(), tracks: Type.Array(Type.String()) })),
  }),
  errors: absent,
})

const lag = () => ({
  readyCount: count({ description: 'Messages that wait.' }),
  inflightCount: count({ description: 'Messages delivered and not yet acknowledged.' }),
  deliveryDuration: count({ description: 'Seconds the oldest waiting message has waited.' }),
  // The vendor's page says "latest consumption time" and no more; RocketMQ answers the storing time of the message before
  // the offset of the group.
  lastConsumeTimestamp: maybe(
    epochMs({
      description:
        'When the last message that the group is done with was stored, milliseconds since 1970; absent when there is none.',
    }),
  ),
})

type Lag = { readyCount: number; inflightCount: number; deliveryDuration: number; lastConsumeTimestamp?: number }
type LiteLag = { readyCount: number; deliveryDuration: number }

export const getConsumerGroupLag = operation({
  action: 'GetConsumerGroupLag',
  call: 'GET /instances/{instanceId}/consumerGroups/{consumerGroupId}/lag',
  summary: 'Read what a group has yet to consume',
  family,
  access: ['get', 'group'],
  path: path(),
  query: narrowing(),
  data: object({
    instanceId: instanceId(),
    consumerGroupId: Type.String(),
    regionId: regionId(),
    topicName: maybe(Type.String({ description: 'The topic asked for.' })),
    totalLag: object(lag()),
    topicLagMap: Type.Unsafe<Record<string, Lag>>({
      type: 'object',
      additionalProperties: object(lag()),
      description: 'By topic.',
    }),
    liteTopicLagMap: maybe(
      Type.Unsafe<Record<string, LiteLag>>({
        type: 'object',
        additionalProperties: object({ readyCount: lag().readyCount, deliveryDuration: lag().deliveryDuration }),
        description: 'By lite topic.',
      }),
    ),
  }),
  errors: absent,
})

export const getConsumeTimespan = operation({
  action: 'GetConsumeTimespan',
  call: 'GET /instances/{instanceId}/consumerGroups/{consumerGroupId}/consumeTimespan/{topicName}',
  summary: 'Read between which moments the progress of a group can be set',
  family,
  access: ['get', 'group'],
  path: { ...path(), topicName: topicName() },
  data: object({
    instanceId: instanceId(),
    consumerGroupId: Type.String(),
    topicName: Type.String(),
    minTimestamp: epochMs({ description: 'Oldest stored message, milliseconds since 1970.' }),
    maxTimestamp: epochMs({ description: 'Newest stored message.' }),
    consumeTimestamp: epochMs({ description: 'Newest consumed message.' }),
  }),
  errors: [...absent, 'Topic.NotFound'],
})

export const resetConsumeOffset = operation({
  action: 'ResetConsumeOffset',
  call: 'PATCH /instances/{instanceId}/consumerGroups/{consumerGroupId}/consumeOffsets/{topicName}',
  summary: 'Set the progress of a group',
  description: 'To the end, or to a moment: what was stored since then is delivered again. The reply has no data.',
  family,
  access: ['update', 'group'],
  path: { ...path(), topicName: topicName() },
  body: object({
    resetType: maybe(choice(['LATEST_OFFSET', 'SPECIFIED_TIME'], { description: 'Where to go.' })),
    resetTime: maybe(dateTime('The moment, with SPECIFIED_TIME.')),
  }),
  data: null,
  errors: [...absent, 'Topic.NotFound'],
})
