/**
 * Topics (api-semantics §7). Which names are allowed depends on the instance (limits.ts), so a path takes any
 * name and the handler judges it.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  choice,
  dateTime,
  done,
  filter,
  instanceId,
  integer,
  list,
  maybe,
  object,
  page,
  paging,
  regionId,
  remark,
  topicName,
} from './schema.ts'

const family = 'topics'

/** PRIORITY is in the client protocol (2.1.1) and on no page of the management API; it is offered under the protocol's name. */
export const messageTypes = ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'LITE', 'PRIORITY'] as const

const maxSendTps = () =>
  integer(limits.tpsCap.minimum, limits.tpsCap.maximum, {
    description: 'Most sends a second to this topic; 0 or left out: only the limit of the instance.',
  })

const liteTopicExpiration = () =>
  integer(limits.liteTopic.expirationMinutes.never, limits.liteTopic.expirationMinutes.maximum, {
    description: 'Minutes after the last write when a lite topic goes away, 15 to 720; -1 is never. Only for LITE.',
  })

const path = () => ({ instanceId: instanceId(), topicName: topicName() })

export const createTopic = operation({
  action: 'CreateTopic',
  call: 'POST /instances/{instanceId}/topics/{topicName}',
  summary: 'Create a topic',
  description: 'The message type binds what may be sent to the topic and cannot be changed later.',
  family,
  access: ['create', 'topic'],
  path: path(),
  body: object({
    messageType: choice(messageTypes, { description: 'Kind of the messages.' }),
    remark: maybe(remark()),
    maxSendTps: maybe(maxSendTps()),
    liteTopicExpiration: maybe(liteTopicExpiration()),
  }),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'Topic.Existed', 'QuotaExceeded.Topic'],
})

const topic = () => ({
  instanceId: instanceId(),
  topicName: topicName(),
  regionId: regionId(),
  messageType: choice(messageTypes),
  status: choice(['CREATING', 'RUNNING']),
  remark: maybe(Type.String()),
  maxSendTps: maybe(Type.Integer()),
  liteTopicExpiration: maybe(Type.Integer({ description: 'Minutes; -1 is never.' })),
  createTime: dateTime('When the topic was created.'),
  updateTime: dateTime('When it was last changed.'),
})

export const getTopic = operation({
  action: 'GetTopic',
  call: 'GET /instances/{instanceId}/topics/{topicName}',
  summary: 'Read a topic',
  family,
  access: ['get', 'topic'],
  path: path(),
  data: object({
    ...topic(),
    priority: maybe(
      Type.Integer({
        description: 'Of a PRIORITY topic: the highest priority of a message; a larger one counts as this.',
      }),
    ),
  }),
  errors: ['Instance.NotFound', 'Topic.NotFound'],
})

export const updateTopic = operation({
  action: 'UpdateTopic',
  call: 'PATCH /instances/{instanceId}/topics/{topicName}',
  summary: 'Change a topic',
  description: 'What is left out stays as it is.',
  family,
  access: ['update', 'topic'],
  path: path(),
  body: object({
    remark: maybe(remark('New note.')),
    maxSendTps: maybe(maxSendTps()),
    liteTopicExpiration: maybe(liteTopicExpiration()),
  }),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'Topic.NotFound'],
})

export const deleteTopic = operation({
  action: 'DeleteTopic',
  call: 'DELETE /instances/{instanceId}/topics/{topicName}',
  summary: 'Delete a topic',
  description: 'Also removes the subscriptions of the topic and its messages.',
  family,
  access: ['delete', 'topic'],
  path: path(),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'Topic.NotFound'],
})

export const listTopics = operation({
  action: 'ListTopics',
  call: 'GET /instances/{instanceId}/topics',
  summary: 'List the topics of an instance',
  family,
  access: ['list', 'instance'],
  path: { instanceId: instanceId() },
  query: {
    filter: filter('the name'),
    messageTypes: maybe(
      list(choice(messageTypes), messageTypes.length * 2, { description: 'Only topics of these kinds.' }),
    ),
    ...paging(limits.pages.sizes.ListTopics),
  },
  data: page(object(topic())),
  errors: ['Instance.NotFound'],
})
