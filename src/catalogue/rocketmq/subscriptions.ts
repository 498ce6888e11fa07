/**
 * Who subscribes to what (api-semantics §9). `consistency` is a text in the view from the topic and a boolean in
 * the view from the group; that is the vendor's and stays so.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import { choice, consumerGroupId, done, instanceId, maybe, name, object, text, topicName } from './schema.ts'

const family = 'subscriptions'

const subscription = () => ({
  consumerGroupId: Type.String(),
  topicName: Type.String(),
  filterExpression: Type.String({ description: '`*`, tags joined by `||`, or SQL.' }),
  filterExpressionType: choice(['TAG', 'SQL', 'UNSPECIFIED']),
  messageModel: choice(['CLUSTERING', 'BROADCASTING']),
  subscriptionStatus: choice(['ONLINE', 'OFFLINE'], { description: 'ONLINE while one consumer is connected.' }),
})

/** One client of a group. */
export const connection = () =>
  object({
    clientId: Type.String(),
    egressIp: maybe(Type.String({ description: 'Address the client connects from.' })),
    hostname: maybe(Type.String()),
    language: maybe(Type.String()),
    version: maybe(Type.String()),
    messageModel: maybe(choice(['CLUSTERING', 'BROADCASTING'])),
  })

const group = () => ({ instanceId: instanceId(), consumerGroupId: consumerGroupId() })

export const listTopicSubscriptions = operation({
  action: 'ListTopicSubscriptions',
  call: 'GET /instances/{instanceId}/topics/{topicName}/subscriptions',
  summary: 'List the groups that subscribe to a topic',
  family,
  access: ['list', 'topic'],
  path: { instanceId: instanceId(), topicName: topicName() },
  data: Type.Array(
    object({
      ...subscription(),
      consistency: choice(['true', 'false'], { description: 'Whether all clients of the group subscribe alike.' }),
    }),
  ),
  errors: ['Instance.NotFound', 'Topic.NotFound'],
})

export const listConsumerGroupSubscriptions = operation({
  action: 'ListConsumerGroupSubscriptions',
  call: 'GET /instances/{instanceId}/consumerGroups/{consumerGroupId}/subscriptions',
  summary: 'List the topics a group subscribes to',
  family,
  access: ['list', 'group'],
  path: group(),
  query: { topicName: maybe(text(limits.pathSegment, { description: 'Only this topic.' })) },
  data: Type.Array(
    object({
      ...subscription(),
      consistency: Type.Boolean({ description: 'Whether all clients of the group subscribe alike.' }),
      topicCreated: Type.Boolean({ description: 'Whether the topic exists.' }),
    }),
  ),
  errors: ['Instance.NotFound', 'ConsumerGroup.NotFound'],
})

export const getConsumerGroupSubscription = operation({
  action: 'GetConsumerGroupSubscription',
  call: 'GET /instances/{instanceId}/consumerGroups/{consumerGroupId}/subscriptions/{topicName}',
  summary: 'Read how each client of a group subscribes to a topic',
  family,
  access: ['get', 'group'],
  path: { ...group(), topicName: topicName() },
  data: Type.Array(object({ connectionDTO: connection(), subscriptionDTO: object(subscription()) })),
  errors: ['Instance.NotFound', 'ConsumerGroup.NotFound', 'Topic.NotFound'],
})

export const deleteConsumerGroupSubscription = operation({
  action: 'DeleteConsumerGroupSubscription',
  call: 'DELETE /instances/{instanceId}/consumerGroups/{consumerGroupId}/subscriptions',
  summary: 'Remove a subscription nobody uses',
  description: 'Topic and filter name the subscription exactly. Only an offline one can be removed.',
  family,
  access: ['delete', 'group'],
  path: group(),
  query: {
    topicName: name(limits.pathSegment, { description: 'Topic of the subscription.' }),
    filterType: choice(['TAG', 'SQL'], { description: 'Kind of its filter.' }),
    filterExpression: name(1024, { description: 'Its filter, as subscribed.' }),
  },
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'ConsumerGroup.NotFound', 'Topic.NotFound'],
  modelsAccessDenied: true,
})
