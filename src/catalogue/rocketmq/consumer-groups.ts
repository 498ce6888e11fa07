/**
 * Consumer groups (api-semantics §8). Which range an interval has depends on the delivery order, and on update
 * the order is the stored one: limits.ts has the table, the handler asks it.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  choice,
  consumerGroupId,
  dateTime,
  done,
  filter,
  flag,
  instanceId,
  integer,
  maybe,
  object,
  page,
  paging,
  regionId,
  remark,
  text,
} from './schema.ts'

const family = 'consumer-groups'

export const deliveryOrderTypes = ['Concurrently', 'Orderly'] as const
export const retryPolicies = ['DefaultRetryPolicy', 'FixedRetryPolicy', 'BackoffRetryPolicy'] as const
export const messageModels = ['CLUSTERING', 'BROADCASTING', 'LITE_SELECTIVE'] as const

const consumeRetryPolicy = () =>
  object(
    {
      retryPolicy: choice(retryPolicies, {
        description: 'Growing pauses, or one fixed pause. `BackoffRetryPolicy` is another word for the former.',
      }),
      maxRetryTimes: maybe(
        integer(limits.retry.maxRetryTimes.minimum, limits.retry.maxRetryTimes.maximum, {
          description: 'Deliveries after the first; 16 when left out.',
        }),
      ),
      fixedIntervalRetryTime: maybe(
        integer(1, limits.retry.fixedIntervalSeconds.Concurrently.maximum, {
          'x-zero-is-absent': true,
          description:
            'Seconds of the fixed pause: 10 to 1800 concurrently, 1 to 600 orderly. Counts with FixedRetryPolicy.',
        }),
      ),
      deadLetterTargetTopic: maybe(
        text(limits.pathSegment, {
          description:
            'Topic that receives a message after its last delivery; `%DLQ%` and the id of the group without one.',
        }),
      ),
    },
    { description: 'What happens to a message that was not consumed.' },
  )

const maxReceiveTps = () =>
  integer(limits.tpsCap.minimum, limits.tpsCap.maximum, {
    description: 'Most deliveries a second to this group; 0 or left out: only the limit of the instance.',
  })

const path = () => ({ instanceId: instanceId(), consumerGroupId: consumerGroupId() })

export const createConsumerGroup = operation({
  action: 'CreateConsumerGroup',
  call: 'POST /instances/{instanceId}/consumerGroups/{consumerGroupId}',
  summary: 'Create a consumer group',
  family,
  access: ['create', 'group'],
  path: path(),
  body: object({
    deliveryOrderType: choice(deliveryOrderTypes, {
      description: 'Whether messages of one message group wait for each other; fixed for life.',
    }),
    consumeRetryPolicy: consumeRetryPolicy(),
    remark: maybe(remark()),
    maxReceiveTps: maybe(maxReceiveTps()),
    messageModel: maybe(
      choice(messageModels, { description: 'How consumers share the messages; CLUSTERING when left out.' }),
    ),
    topicName: maybe(text(limits.pathSegment, { description: 'The LITE topic a group of lite consumers belongs to.' })),
    exclusive: maybe(flag({ description: 'Lite consumers: one consumer a lite topic.' })),
  }),
  data: done(),
  errors: [
    'Instance.NotFound',
    'InstanceStatus.Error',
    'ConsumerGroup.Existed',
    'InvalidConsumerGroupId',
    'InvalidDeliveryOrderType',
    'Topic.NotFound',
    'QuotaExceeded.ConsumerGroup',
  ],
})

/** What GetConsumerGroup and an entry of the list have in common. */
const group = () => ({
  instanceId: instanceId(),
  consumerGroupId: consumerGroupId(),
  regionId: regionId(),
  status: choice(['CREATING', 'RUNNING']),
  remark: maybe(Type.String()),
  maxReceiveTps: maybe(Type.Integer()),
  messageModel: maybe(Type.String()),
  topicName: maybe(Type.String()),
  createTime: dateTime('When the group was created.'),
  updateTime: dateTime('When it was last changed.'),
})

export const getConsumerGroup = operation({
  action: 'GetConsumerGroup',
  call: 'GET /instances/{instanceId}/consumerGroups/{consumerGroupId}',
  summary: 'Read a consumer group',
  family,
  access: ['get', 'group'],
  path: path(),
  data: object({
    ...group(),
    deliveryOrderType: choice(deliveryOrderTypes),
    consumeRetryPolicy: object({
      retryPolicy: choice(retryPolicies),
      maxRetryTimes: Type.Integer(),
      fixedIntervalRetryTime: maybe(Type.Integer({ description: 'Seconds.' })),
      deadLetterTargetTopic: maybe(Type.String()),
    }),
    exclusive: maybe(Type.Boolean()),
  }),
  errors: ['Instance.NotFound', 'ConsumerGroup.NotFound'],
})

export const updateConsumerGroup = operation({
  action: 'UpdateConsumerGroup',
  call: 'PATCH /instances/{instanceId}/consumerGroups/{consumerGroupId}',
  summary: 'Change a consumer group',
  description: 'The retry policy is always sent whole; the rest stays as it is when left out.',
  family,
  access: ['update', 'group'],
  path: path(),
  body: object({
    consumeRetryPolicy: consumeRetryPolicy(),
    deliveryOrderType: maybe(
      choice(deliveryOrderTypes, {
        deprecated: true,
        description: 'Fixed since creation; accepted from older clients.',
      }),
    ),
    remark: maybe(remark('New note.')),
    maxReceiveTps: maybe(maxReceiveTps()),
  }),
  data: done(),
  errors: [
    'Instance.NotFound',
    'InstanceStatus.Error',
    'ConsumerGroup.NotFound',
    'Topic.NotFound',
    'QuotaExceeded.ConsumerGroup',
  ],
})

export const deleteConsumerGroup = operation({
  action: 'DeleteConsumerGroup',
  call: 'DELETE /instances/{instanceId}/consumerGroups/{consumerGroupId}',
  summary: 'Delete a consumer group',
  description: 'Its consumers receive nothing from then on.',
  family,
  access: ['delete', 'group'],
  path: path(),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'ConsumerGroup.NotFound'],
})

export const listConsumerGroups = operation({
  action: 'ListConsumerGroups',
  call: 'GET /instances/{instanceId}/consumerGroups',
  summary: 'List the consumer groups of an instance',
  family,
  access: ['list', 'instance'],
  path: { instanceId: instanceId() },
  query: { filter: filter('the id'), ...paging(limits.pages.sizes.ListConsumerGroups) },
  data: page(object(group())),
  errors: ['Instance.NotFound'],
})
