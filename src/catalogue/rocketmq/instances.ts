/**
 * Instances (api-semantics §2 and §3, §15). The rules between CreateInstance's parameters are not schemas: the
 * table is specifications.ts, the rest is the handler's. Zeros that Terraform sends for "no value" are read as
 * absent here, so that handlers see either a value in its range or nothing.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  choice,
  count,
  dateTime,
  done,
  filter,
  flag,
  instanceId,
  integer,
  list,
  maybe,
  name,
  object,
  page,
  paging,
  regionId,
  remark,
  tag,
  text,
} from './schema.ts'
import { commodityCodes, paymentTypes, seriesCodes, subSeriesCodes } from './specifications.ts'

const family = 'instances'

const instanceName = (description: string) =>
  name(limits.instance.name.maxLength, {
    pattern: limits.instance.name.pattern,
    'x-rule': limits.instance.name.rule,
    description,
  })

const ratio = (maximum: number) =>
  Type.Number({
    minimum: limits.sendReceiveRatio.minimum,
    maximum,
    'x-zero-is-absent': true,
    description: 'Share of the TPS kept for sending; 0.5 when left out.',
  })

const retention = () =>
  integer(limits.retentionHours.minimum, limits.retentionHours.maximum, {
    'x-zero-is-absent': true,
    description: `Hours a message is kept, counted from when it was sent; ${limits.retentionHours.default} when left out.`,
  })

const ipWhitelist = (notes: { deprecated?: boolean; description: string }) =>
  list(name(limits.ipWhitelist.entryMaxLength), limits.ipWhitelist.maximum, notes)

const autoScaling = () => flag({ description: 'Whether the instance may pass its base TPS for a while.' })
const adaptiveElasticity = () =>
  flag({ description: 'Not available on this server: false, or left out. What it does is not published.' })
const traceOn = () =>
  flag({ description: 'Message traces. Counts on serverless instances; elsewhere they are always on.' })
const defaultVpcAuthFree = () => flag({ description: 'Clients inside the VPC need no user name and password.' })

export const createInstance = operation({
  action: 'CreateInstance',
  call: 'POST /instances',
  summary: 'Create an instance',
  description:
    'Answers the new id at once while the instance is still CREATING; it is RUNNING a moment later. Topics and groups can be created once it runs.',
  family,
  access: ['create', 'newInstance'],
  query: {
    clientToken: maybe(
      text(limits.clientToken.maxLength, {
        pattern: limits.clientToken.pattern,
        'x-rule': limits.clientToken.rule,
        description:
          'Makes a repetition safe: the same token with the same parameters answers the same instance, for 24 hours.',
      }),
    ),
  },
  body: object({
    serviceCode: choice(['rmq'], { description: 'Always `rmq`.' }),
    seriesCode: choice(seriesCodes, { description: 'Edition.' }),
    subSeriesCode: choice(subSeriesCodes, { description: 'How the edition is deployed; fixed for life.' }),
    paymentType: choice(paymentTypes, { description: 'How the instance is paid for.' }),
    instanceName: maybe(instanceName('Name for people; the id when left out.')),
    commodityCode: maybe(
      choice(commodityCodes, {
        description: 'Follows from payment and deployment when left out; serverless instances must send it.',
      }),
    ),
    period: maybe(
      // Wider than what a subscription takes: pay-as-you-go ignores it, and the handler knows which it is.
      integer(1, 36, {
        'x-zero-is-absent': true,
        description: 'Length of a subscription, 1 to 6 months or 1 to 3 years; counts with Subscription.',
      }),
    ),
    periodUnit: maybe(choice(['Month', 'Year'], { description: 'Unit of `period`; Month when left out.' })),
    autoRenew: maybe(flag({ description: 'Whether a subscription renews itself.' })),
    autoRenewPeriod: maybe(
      Type.Unsafe<number>({
        type: 'integer',
        enum: [...limits.autoRenewPeriods],
        'x-zero-is-absent': true,
        description: 'Months of each renewal; counts when `autoRenew` is on.',
      }),
    ),
    remark: maybe(remark()),
    resourceGroupId: maybe(text(64, { description: 'Resource group; the default one when left out.' })),
    tags: maybe(list(tag(), limits.tags.perResource, { description: 'Tags to put on the instance.' })),
    productInfo: maybe(
      object({
        msgProcessSpec: maybe(name(64, { description: 'Code of the specification, for example `rmq.s2.2xlarge`.' })),
        sendReceiveRatio: maybe(ratio(limits.sendReceiveRatio.createMaximum)),
        autoScaling: maybe(autoScaling()),
        adaptiveElasticity: maybe(adaptiveElasticity()),
        messageRetentionTime: maybe(retention()),
        storageEncryption: maybe(flag({ description: 'Whether stored messages are encrypted; fixed for life.' })),
        storageSecretKey: maybe(text(256, { description: 'Id of the key; needed with `storageEncryption`.' })),
        capacityType: maybe(
          choice(['provisioned', 'onDemand'], {
            'x-ignore-case': true,
            description: 'Serverless: reserved capacity with elasticity on top, or elastic from the ground.',
          }),
        ),
        provisionedCapacity: maybe(
          integer(1, limits.tpsCap.maximum, {
            'x-zero-is-absent': true,
            description: 'Serverless: reserved TPS, with `capacityType` provisioned.',
          }),
        ),
        traceOn: maybe(traceOn()),
        drReplicationMode: maybe(text(64, { description: 'Replication between zones, for example `async_cross_az`.' })),
      }),
    ),
    networkInfo: object({
      vpcInfo: object({
        vpcId: name(64, { description: 'Network of the instance; fixed for life.' }),
        vSwitches: maybe(
          list(object({ vSwitchId: name(64, { description: 'Id of the vSwitch.' }) }), limits.vSwitches.maximum, {
            description: 'vSwitches of the instance, one at least, two for serverless.',
          }),
        ),
        vSwitchId: maybe(text(650, { deprecated: true, description: 'Older form of `vSwitches`: ids joined by `|`.' })),
        securityGroupIds: maybe(text(256, { description: 'Security group of the endpoint in the VPC.' })),
      }),
      internetInfo: object({
        internetSpec: choice(['enable', 'disable'], { description: 'Whether there is a public endpoint.' }),
        flowOutType: choice(['payByBandwidth', 'payByTraffic', 'uninvolved'], {
          'x-ignore-case': true,
          description: 'How public traffic is paid for; `uninvolved` without a public endpoint.',
        }),
        flowOutBandwidth: maybe(
          integer(limits.flowOutBandwidth.minimum, limits.flowOutBandwidth.maximum, {
            'x-zero-is-absent': true,
            description: 'Mbit/s of public bandwidth, with `payByBandwidth`.',
          }),
        ),
        ipWhitelist: maybe(
          ipWhitelist({ deprecated: true, description: 'Who may use the public endpoint; everyone when empty.' }),
        ),
      }),
    }),
    aclInfo: maybe(object({ defaultVpcAuthFree: maybe(defaultVpcAuthFree()) })),
  }),
  data: Type.String({ description: 'Id of the new instance.' }),
  errors: ['InvalidMsgProcessSpec', 'IdempotentParameterMismatch'],
})

const instanceStatus = () =>
  choice(['CREATING', 'RUNNING', 'CHANGING', 'STOPPED', 'RELEASED'], { description: 'State of the instance.' })

/** What GetInstance and an entry of ListInstances have in common. */
const identity = () => ({
  instanceId: instanceId(),
  instanceName: Type.String(),
  regionId: regionId(),
  serviceCode: choice(['rmq']),
  seriesCode: choice(seriesCodes),
  subSeriesCode: choice(subSeriesCodes),
  paymentType: choice(paymentTypes),
  commodityCode: choice(commodityCodes),
  status: instanceStatus(),
  remark: maybe(Type.String()),
  resourceGroupId: maybe(Type.String()),
  tags: list(object({ key: Type.String(), value: Type.String() }), limits.tags.perResource),
  topicCount: count({ description: 'Topics at this moment.' }),
  groupCount: count({
    description:
      'Consumer groups at this moment, with those that clients made by using them, which have an allowance of their own beside the quota.',
  }),
  createTime: dateTime('When the instance was created.'),
  updateTime: dateTime('When it was last changed.'),
  startTime: maybe(dateTime('When service began.')),
  expireTime: maybe(dateTime('When the paid time ends; a hundred years ahead for pay-as-you-go.')),
  releaseTime: maybe(dateTime('When an expired instance is released.')),
  userId: Type.String({ description: 'Account that owns the instance.' }),
})

export const getInstance = operation({
  action: 'GetInstance',
  call: 'GET /instances/{instanceId}',
  summary: 'Read an instance',
  description:
    'Everything about one instance: what was asked for, its state, endpoints and quotas with what is used of them.',
  family,
  access: ['get', 'instance'],
  path: { instanceId: instanceId() },
  data: object({
    ...identity(),
    autoRenew: Type.Boolean({ description: 'Whether the instance renews itself, as a subscription can.' }),
    autoRenewPeriod: maybe(Type.Integer({ description: 'Months of each renewal, when it renews itself.' })),
    bid: maybe(
      Type.String({
        description: "Business the account belongs to; absent, for this server's accounts belong to none.",
      }),
    ),
    productInfo: object({
      msgProcessSpec: maybe(Type.String()),
      sendReceiveRatio: Type.Number(),
      autoScaling: Type.Boolean(),
      supportAutoScaling: Type.Boolean({ description: 'Whether the specification has elastic TPS.' }),
      adaptiveElasticity: Type.Boolean({ description: 'Always false: not available on this server.' }),
      maxDelayTime: Type.Integer({ description: 'Seconds a timed message may wait at most.' }),
      messageRetentionTime: Type.Integer({ description: 'Hours.' }),
      storageEncryption: Type.Boolean(),
      storageSecretKey: maybe(Type.String()),
      traceOn: Type.Boolean(),
      capacityType: maybe(choice(['provisioned', 'onDemand'])),
      provisionedCapacity: maybe(Type.Integer()),
      drReplicationMode: maybe(Type.String()),
    }),
    extConfig: object(
      {
        aclType: maybe(Type.String()),
        autoScaling: maybe(Type.Boolean()),
        flowOutBandwidth: maybe(Type.Integer()),
        flowOutType: maybe(Type.String()),
        internetSpec: maybe(Type.String()),
        messageRetentionTime: maybe(Type.Integer()),
        msgProcessSpec: maybe(Type.String()),
        sendReceiveRatio: maybe(Type.Number()),
        supportAutoScaling: maybe(Type.Boolean()),
      },
      { deprecated: true, description: 'Older mirror of productInfo, internetInfo and aclInfo.' },
    ),
    networkInfo: object({
      vpcInfo: object({
        vpcId: Type.String(),
        vSwitches: Type.Array(
          object({
            vSwitchId: Type.String(),
            zoneId: maybe(Type.String({ description: 'Absent: another product knows.' })),
          }),
        ),
        vSwitchId: maybe(Type.String({ deprecated: true, description: 'The ids joined by `|`.' })),
        securityGroupIds: maybe(Type.String()),
      }),
      internetInfo: object({
        internetSpec: choice(['enable', 'disable']),
        flowOutType: choice(['payByBandwidth', 'payByTraffic', 'uninvolved']),
        flowOutBandwidth: maybe(Type.Integer({ description: 'Mbit/s.' })),
        ipWhitelist: Type.Array(Type.String()),
      }),
      endpoints: Type.Array(
        object({
          endpointId: maybe(Type.String()),
          endpointType: choice(['TCP_VPC', 'TCP_INTERNET']),
          endpointUrl: Type.String({ description: '`host:port` that clients dial.' }),
          ipWhitelist: maybe(Type.Array(Type.String())),
        }),
      ),
    }),
    aclInfo: object({
      aclType: maybe(Type.String({ deprecated: true })),
      aclTypes: Type.Array(Type.String(), { description: '`default`, `apache_acl`, or both.' }),
      defaultVpcAuthFree: Type.Boolean(),
    }),
    accountInfo: object({ username: Type.String({ description: 'Name of the default account.' }) }),
    software: object({
      maintainTime: Type.String({
        description:
          'Daily window for upgrades, `HH:mm-HH:mm`, as it was set. Nothing is upgraded in it: see `upgradeMethod`.',
      }),
      softwareVersion: Type.String({ description: 'Name and version of the program that carries the messages.' }),
      upgradeMethod: Type.String({
        description: '`auto` or `manual`; manual here, where whoever runs the server upgrades it.',
      }),
    }),
    instanceQuotas: Type.Array(
      object({
        quotaName: Type.String({ description: '`TOPIC_COUNT`, `CONSUMER_GROUP_COUNT`, `MAX_TPS`, …' }),
        totalCount: maybe(Type.Number()),
        usedCount: maybe(Type.Number()),
        freeCount: maybe(Type.Number({ description: 'How many are inside the price.' })),
      }),
    ),
  }),
  errors: ['Instance.NotFound'],
})

export const listInstances = operation({
  action: 'ListInstances',
  call: 'GET /instances',
  summary: 'List instances',
  description: 'Instances of the region, newest first. Released instances are not listed.',
  family,
  access: ['list', 'anyInstance'],
  query: {
    filter: filter('the id or the name'),
    ...paging(limits.pages.sizes.ListInstances),
    resourceGroupId: maybe(text(64, { description: 'Only instances of this resource group.' })),
    seriesCodes: maybe(
      list(choice(seriesCodes), seriesCodes.length * 2, { description: 'Only instances of these editions.' }),
    ),
    storageSecretKey: maybe(text(256, { description: 'Only instances encrypted with this key.' })),
    tags: maybe(
      list(tag(), limits.tags.perResource, {
        'x-json-text': true,
        description: 'Only instances that have every one of these tags, as JSON: `[{"key":"env","value":"test"}]`.',
      }),
    ),
  },
  data: page(
    object({
      ...identity(),
      productInfo: object({ capacityType: maybe(Type.String()), traceOn: maybe(Type.Boolean()) }),
    }),
  ),
})

export const updateInstance = operation({
  action: 'UpdateInstance',
  call: 'PATCH /instances/{instanceId}',
  summary: 'Change an instance',
  description:
    'What is left out stays as it is; an empty object changes nothing. Edition, specification, network and payment cannot be changed here.',
  family,
  access: ['update', 'instance'],
  path: { instanceId: instanceId() },
  body: object({
    instanceName: maybe(instanceName('New name.')),
    remark: maybe(remark('New note.')),
    productInfo: maybe(
      object({
        sendReceiveRatio: maybe(ratio(limits.sendReceiveRatio.updateMaximum)),
        autoScaling: maybe(autoScaling()),
        adaptiveElasticity: maybe(adaptiveElasticity()),
        messageRetentionTime: maybe(retention()),
        traceOn: maybe(traceOn()),
      }),
    ),
    networkInfo: maybe(
      object({
        internetInfo: maybe(
          object({
            ipWhitelist: maybe(
              ipWhitelist({ description: 'Who may use the public endpoint; counts when there is one.' }),
            ),
          }),
        ),
      }),
    ),
    aclInfo: maybe(
      object({
        aclTypes: maybe(
          list(choice(['default', 'apache_acl', 'aliyun_ram']), 6, {
            description:
              'How clients are recognised: `default`, by the default account, `apache_acl`, by custom accounts with grants, or both.',
          }),
        ),
        defaultVpcAuthFree: maybe(defaultVpcAuthFree()),
      }),
    ),
  }),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error'],
})

export const deleteInstance = operation({
  action: 'DeleteInstance',
  call: 'DELETE /instances/{instanceId}',
  summary: 'Delete an instance',
  description:
    'Releases a pay-as-you-go instance with its topics, groups and messages. There is no way back. A subscription ends by itself and is not deleted.',
  family,
  access: ['delete', 'instance'],
  path: { instanceId: instanceId() },
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'OrderType.NotSupport'],
})

export const updateInstanceSoftwareConfig = operation({
  action: 'UpdateInstanceSoftwareConfig',
  call: 'PATCH /instances/{instanceId}/software/config',
  summary: 'Change the maintenance window',
  description: 'Not in the published API; Terraform calls it. Name, reply and permission are inferred.',
  family,
  access: ['update', 'instance'],
  path: { instanceId: instanceId() },
  body: object({
    maintainTime: text(11, {
      pattern: limits.maintainTime.pattern,
      'x-rule': limits.maintainTime.rule,
      description:
        'Daily window for upgrades, for example `02:00-06:00`. It is stored and read back; nothing is upgraded in it, for upgrades are made by whoever runs the server.',
    }),
  }),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error'],
  unpublished: true,
})
