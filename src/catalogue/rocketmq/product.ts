import type { ProductFacts } from '../product.ts'

const instance = 'acs:rocketmq:{regionId}:{accountId}:instance/{instanceId|resourceId}'

/** The resources are those of the vendor's authorisation table (docs/reference/api-semantics.md §1.6). */
export const rocketmqFacts = {
  code: 'RocketMQ',
  version: '2022-08-01',
  style: 'ROA',
  endpoints: { names: ['rocketmq', 'rocketmq-vpc'], regional: true },
  ramCode: 'rocketmq',
  resources: {
    any: '*',
    newInstance: 'acs:rocketmq:{regionId}:{accountId}:Instance/*',
    anyInstance: 'acs:rocketmq:{regionId}:{accountId}:instance/*',
    /** ChangeResourceGroup names the instance as `resourceId`. */
    instance,
    topic: `${instance}/topic/{topicName}`,
    group: `${instance}/consumergroup/{consumerGroupId}`,
  },
} as const satisfies ProductFacts
