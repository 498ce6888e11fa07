/** What several operations of this product refuse with; codes and sources are in error-codes.ts. */
import type { ConsumerGroupId, InstanceId, TopicName } from '../../model/ids.ts'
import { ApiError } from '../errors.ts'

export const instanceNotFound = (instanceId: InstanceId): ApiError =>
  new ApiError(
    404,
    'Instance.NotFound',
    `The instance cannot be found. No instance "${instanceId}" exists in this region for this account.`,
    { field: 'instanceId' },
  )

export const topicNotFound = (topicName: TopicName): ApiError =>
  new ApiError(404, 'Topic.NotFound', `The topic cannot be found. The instance has no topic "${topicName}".`, {
    field: 'topicName',
  })

export const topicExisted = (topicName: TopicName): ApiError =>
  new ApiError(400, 'Topic.Existed', `The topic already exists. The instance has a topic "${topicName}" already.`, {
    field: 'topicName',
  })

export const consumerGroupNotFound = (consumerGroupId: ConsumerGroupId): ApiError =>
  new ApiError(
    404,
    'ConsumerGroup.NotFound',
    `The consumer group cannot be found. The instance has no consumer group "${consumerGroupId}".`,
    { field: 'consumerGroupId' },
  )

export const consumerGroupExisted = (consumerGroupId: ConsumerGroupId): ApiError =>
  new ApiError(
    400,
    'ConsumerGroup.Existed',
    `The consumer group already exists. The instance has a consumer group "${consumerGroupId}" already.`,
    { field: 'consumerGroupId' },
  )

export const accountNotExisted = (username: string): ApiError =>
  new ApiError(
    404,
    'InstanceAccount.NotExisted',
    `The account does not exist. The instance has no account "${username}".`,
    { field: 'username' },
  )

/** The instance's state forbids the operation. */
export const instanceStatusError = (instanceId: InstanceId, status: string, needs: string): ApiError =>
  new ApiError(400, 'InstanceStatus.Error', `Instance "${instanceId}" is ${status}; this operation needs ${needs}.`, {
    field: 'instanceId',
  })
