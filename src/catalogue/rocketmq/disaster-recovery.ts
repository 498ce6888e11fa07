/**
 * Replication between two clusters (api-semantics §13): a plan joins two instances, an item maps one topic, a
 * checkpoint carries the progress of one group. What a plan's instance must send depends on its kind and network;
 * that is the handler's. The vendor types the path ids of one operation as text and all others as integers.
 */
import Type from 'typebox'
import { secretFormat } from '../keywords.ts'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  choice,
  count,
  dateTime,
  done,
  epochMs,
  filter,
  flag,
  integerId,
  list,
  maybe,
  name,
  object,
  page,
  paging,
  regionId,
  secret,
  text,
  textMap,
} from './schema.ts'

const family = 'disaster-recovery'

export const planTypes = ['ACTIVE_PASSIVE', 'ACTIVE_ACTIVE'] as const
export const instanceTypes = ['ALIYUN_ROCKETMQ', 'EXTERNAL_ROCKETMQ'] as const
export const itemStatuses = ['CREATING', 'CHANGING', 'RUNNING', 'MANUAL_STOPPED', 'OVERDUE_STOPPED'] as const

const planId = () => integerId('Id of the plan.')
const itemId = () => integerId('Id of the item.')
const plan = () => ({ planId: planId() })
const item = () => ({ planId: planId(), itemId: itemId() })
const sizes = limits.pages.sizes.disasterRecovery
const noPlan = 'DisasterRecoveryPlan.NotFound'
const noItem = 'DisasterRecoveryItem.NotFound'
const planStatusError = 'DisasterRecoveryPlanStatus.Error'
const itemStatusError = 'DisasterRecoveryItemStatus.Error'

/** Two mappings or two instances; more room costs nothing and the handler refuses it with a better sentence. */
const sides = 8

const planName = () => text(128, { description: 'Name of the plan.' })
const planDesc = () => text(256, { description: 'A note for people.' })
const planType = () => choice(planTypes, { description: 'One way, or both ways; fixed for life.' })
const syncCheckpointEnabled = () => flag({ description: 'Whether the progress of groups is carried over.' })
const autoSyncCheckpoint = () =>
  flag({ description: 'Whether it is carried over by itself; counts with `syncCheckpointEnabled`.' })

const side = () =>
  object({
    instanceType: maybe(choice(instanceTypes, { description: 'An instance of this service, or another cluster.' })),
    instanceRole: maybe(
      choice(['ACTIVE', 'PASSIVE'], { 'x-ignore-case': true, description: 'Which side it is, with ACTIVE_PASSIVE.' }),
    ),
    instanceId: maybe(text(limits.pathSegment, { description: 'Instance of this service.' })),
    regionId: maybe(text(64, { description: 'Its region.' })),
    authType: maybe(choice(['NO_AUTH', 'ACL_AUTH'], { description: 'Whether the cluster asks for a user name.' })),
    username: maybe(text(limits.account.username.maxLength, { description: 'User name, with ACL_AUTH.' })),
    password: maybe(secret(0, limits.account.password.maxLength, { description: 'Password of another cluster.' })),
    consumerGroupId: maybe(text(limits.pathSegment, { description: 'Group that copies; made by the server.' })),
    endpointUrl: maybe(text(512, { description: 'Address of another cluster.' })),
    networkType: maybe(choice(['TCP_INTERNET', 'TCP_VPC'], { description: 'How another cluster is reached.' })),
    vpcId: maybe(text(64, { description: 'With TCP_VPC.' })),
    vSwitchId: maybe(text(64, { description: 'With TCP_VPC.' })),
    securityGroupId: maybe(text(64, { description: 'With TCP_VPC.' })),
    messageProperty: maybe(
      object({
        propertyKey: maybe(text(128, { description: 'Name of the property.' })),
        propertyValue: maybe(text(128, { description: 'Its value.' })),
      }),
    ),
  })

const sideRead = () =>
  object({
    instanceType: choice(instanceTypes),
    instanceRole: maybe(choice(['ACTIVE', 'PASSIVE'])),
    instanceId: maybe(Type.String()),
    regionId: maybe(Type.String()),
    authType: maybe(Type.String()),
    username: maybe(Type.String()),
    password: maybe(Type.String({ format: secretFormat })),
    consumerGroupId: maybe(Type.String()),
    endpointUrl: maybe(Type.String()),
    networkType: maybe(Type.String()),
    vpcId: maybe(Type.String()),
    vSwitchId: maybe(Type.String()),
    securityGroupId: maybe(Type.String()),
    messageProperty: maybe(object({ propertyKey: maybe(Type.String()), propertyValue: maybe(Type.String()) })),
  })

const planRead = () =>
  object({
    planId: planId(),
    planName: Type.String(),
    planDesc: maybe(Type.String()),
    planType: choice(planTypes),
    planStatus: choice(['CREATED', 'RUNNING', 'DELETED']),
    syncCheckpointEnabled: Type.Boolean(),
    autoSyncCheckpoint: Type.Boolean(),
    instances: Type.Array(sideRead()),
    extInfo: maybe(textMap()),
    createTime: dateTime('When the plan was made.'),
    updateTime: dateTime('When it was last changed.'),
  })

const scrollId = () => maybe(Type.String({ description: 'Answered by the vendor, though no request takes it.' }))

export const createDisasterRecoveryPlan = operation({
  action: 'CreateDisasterRecoveryPlan',
  call: 'POST /disaster_recovery',
  summary: 'Create a replication plan',
  family,
  access: ['update', 'instance'],
  body: object({
    planName: maybe(planName()),
    planType: maybe(planType()),
    planDesc: maybe(planDesc()),
    instances: maybe(list(side(), sides, { description: 'The two sides.' })),
    syncCheckpointEnabled: maybe(syncCheckpointEnabled()),
    autoSyncCheckpoint: maybe(autoSyncCheckpoint()),
  }),
  data: count({ description: 'Id of the plan.' }),
  errors: ['Instance.NotFound', 'InstanceStatus.Error'],
  modelsAccessDenied: true,
})

export const getDisasterRecoveryPlan = operation({
  action: 'GetDisasterRecoveryPlan',
  call: 'GET /disaster_recovery/{planId}',
  summary: 'Read a replication plan',
  family,
  access: ['get', 'instance'],
  path: plan(),
  data: planRead(),
  errors: [noPlan],
  modelsAccessDenied: true,
})

export const listDisasterRecoveryPlans = operation({
  action: 'ListDisasterRecoveryPlans',
  call: 'GET /disaster_recovery',
  summary: 'List replication plans',
  family,
  access: ['list', 'instance'],
  query: {
    filter: filter('the name or the note'),
    instanceId: maybe(text(limits.pathSegment, { description: 'Only plans of this instance.' })),
    ...paging(sizes),
  },
  data: page(planRead(), { scrollId: scrollId() }),
  modelsAccessDenied: true,
})

export const updateDisasterRecoveryPlan = operation({
  action: 'UpdateDisasterRecoveryPlan',
  call: 'PATCH /disaster_recovery/{planId}',
  summary: 'Change a replication plan',
  description: 'The instances cannot be exchanged; of each, the added property and the authentication can be changed.',
  family,
  access: ['update', 'instance'],
  path: plan(),
  body: object({
    planName: maybe(planName()),
    planType: maybe(planType()),
    planDesc: maybe(planDesc()),
    instances: maybe(list(side(), sides, { description: 'The two sides.' })),
    syncCheckpointEnabled: maybe(syncCheckpointEnabled()),
    autoSyncCheckpoint: maybe(autoSyncCheckpoint()),
  }),
  data: done(),
  errors: [noPlan, planStatusError],
  modelsAccessDenied: true,
})

export const deleteDisasterRecoveryPlan = operation({
  action: 'DeleteDisasterRecoveryPlan',
  call: 'DELETE /disaster_recovery/{planId}',
  summary: 'Delete a replication plan',
  family,
  access: ['delete', 'instance'],
  path: plan(),
  data: done(),
  errors: [noPlan, planStatusError],
  modelsAccessDenied: true,
})

const mapping = () =>
  object({
    instanceType: maybe(choice(instanceTypes, { description: 'Kind of the cluster.' })),
    instanceId: maybe(text(limits.pathSegment, { description: 'Id of the cluster.' })),
    regionId: maybe(text(64, { description: 'Its region.' })),
    topicName: maybe(text(limits.pathSegment, { description: 'Topic on this side.' })),
    deliveryOrderType: maybe(choice(['Concurrently', 'Orderly'], { description: 'Order of delivery to this side.' })),
    consumerGroupId: maybe(text(limits.pathSegment, { deprecated: true, description: 'Group that copies.' })),
  })

const mappings = () => list(mapping(), sides, { description: 'The two sides of the topic.' })

const itemRead = () =>
  object({
    itemId: itemId(),
    planId: planId(),
    itemStatus: choice(itemStatuses),
    topics: Type.Array(
      object({
        instanceType: maybe(Type.String()),
        instanceId: maybe(Type.String()),
        regionId: maybe(Type.String()),
        topicName: Type.String(),
        deliveryOrderType: maybe(choice(['Concurrently', 'Orderly'])),
        consumerGroupId: maybe(Type.String({ deprecated: true })),
      }),
    ),
    extInfo: maybe(textMap()),
    createTime: dateTime('When the item was made.'),
    updateTime: dateTime('When it was last changed.'),
  })

export const addDisasterRecoveryItem = operation({
  action: 'AddDisasterRecoveryItem',
  call: 'POST /disaster_recovery/{planId}/items',
  summary: 'Add a topic to a replication plan',
  family,
  access: ['update', 'topic'],
  path: plan(),
  body: object({ topics: maybe(mappings()) }),
  data: count({ description: 'Id of the item.' }),
  errors: [noPlan, planStatusError, 'Topic.NotFound'],
  modelsAccessDenied: true,
})

export const getDisasterRecoveryItem = operation({
  action: 'GetDisasterRecoveryItem',
  call: 'GET /disaster_recovery/{planId}/items/{itemId}',
  summary: 'Read a topic of a replication plan',
  family,
  access: ['get', 'instance'],
  path: item(),
  data: itemRead(),
  errors: [noPlan, noItem],
  modelsAccessDenied: true,
})

export const listDisasterRecoveryItems = operation({
  action: 'ListDisasterRecoveryItems',
  call: 'GET /disaster_recovery/{planId}/items',
  summary: 'List the topics of a replication plan',
  family,
  access: ['list', 'instance'],
  path: plan(),
  query: {
    filter: filter('the name of the topic'),
    topicName: maybe(text(limits.pathSegment, { description: 'Only this topic.' })),
    ...paging(sizes),
  },
  data: page(itemRead(), { scrollId: scrollId() }),
  errors: [noPlan],
  modelsAccessDenied: true,
})

export const updateDisasterRecoveryItem = operation({
  action: 'UpdateDisasterRecoveryItem',
  call: 'PATCH /disaster_recovery/{planId}/items/{itemId}',
  summary: 'Change a topic of a replication plan',
  family,
  access: ['update', 'instance'],
  path: item(),
  body: object({ topics: maybe(mappings()) }),
  data: done(),
  errors: [noPlan, noItem, itemStatusError],
})

export const deleteDisasterRecoveryItem = operation({
  action: 'DeleteDisasterRecoveryItem',
  call: 'DELETE /disaster_recovery/{planId}/items/{itemId}',
  summary: 'Take a topic out of a replication plan',
  family,
  access: ['delete', 'instance'],
  path: item(),
  data: done(),
  errors: [noPlan, noItem, itemStatusError],
  modelsAccessDenied: true,
})

export const startDisasterRecoveryItem = operation({
  action: 'StartDisasterRecoveryItem',
  call: 'POST /disaster_recovery/{planId}/items/{itemId}/start',
  summary: 'Go on copying a topic',
  family,
  access: ['update', 'instance'],
  path: item(),
  data: done(),
  errors: [noPlan, noItem, itemStatusError],
  modelsAccessDenied: true,
})

export const stopDisasterRecoveryItem = operation({
  action: 'StopDisasterRecoveryItem',
  call: 'POST /disaster_recovery/{planId}/items/{itemId}/stop',
  summary: 'Stop copying a topic',
  family,
  access: ['update', 'instance'],
  path: item(),
  data: done(),
  errors: [noPlan, noItem, itemStatusError],
  modelsAccessDenied: true,
})

const progress = () =>
  object({
    instanceType: maybe(choice(instanceTypes)),
    instanceId: maybe(Type.String()),
    regionId: maybe(regionId()),
    topicName: Type.String(),
    consumerGroupId: Type.String(),
    lastFetchTime: maybe(epochMs({ description: 'Milliseconds since 1970.' })),
    progressData: maybe(object({ consumeTimestamp: epochMs({ description: 'Milliseconds since 1970.' }) })),
  })

export const listDisasterRecoveryCheckpoints = operation({
  action: 'ListDisasterRecoveryCheckpoints',
  call: 'GET /disaster_recovery/{planId}/items/{itemId}/checkpoints',
  summary: 'List the progress of groups on a copied topic',
  family,
  access: ['list', 'instance'],
  path: {
    planId: name(20, { description: 'Id of the plan; a text in this operation.' }),
    itemId: name(20, { description: 'Id of the item; a text in this operation.' }),
  },
  query: {
    instanceId: name(limits.pathSegment, { description: 'Instance the topic is copied from.' }),
    filter: filter('the topic or the group'),
    ...paging(sizes),
  },
  data: page(
    object({
      checkpointId: integerId('Id of the checkpoint.'),
      itemId: itemId(),
      planId: planId(),
      lastSyncTime: maybe(epochMs({ description: 'Milliseconds since 1970.' })),
      sourceProgress: progress(),
      targetProgress: progress(),
    }),
  ),
  errors: [noPlan, noItem, 'Instance.NotFound'],
})

export const syncDisasterRecoveryCheckpoint = operation({
  action: 'SyncDisasterRecoveryCheckpoint',
  call: 'POST /disaster_recovery/{planId}/items/{itemId}/checkpoints/{checkpointId}',
  summary: 'Carry the progress of a group over, once',
  family,
  access: ['update', 'instance'],
  path: { ...item(), checkpointId: integerId('Id of the checkpoint.') },
  data: done(),
  errors: [noPlan, noItem, itemStatusError],
})
