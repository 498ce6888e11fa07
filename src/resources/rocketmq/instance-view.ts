/**
 * How an instance reads: GetInstance's object and ListInstances' entries. What was sent comes back as it
 * was sent (Terraform replaces an instance whose values differ); the rest is computed now, from the
 * clock, the loop's observations and live counts.
 */
import type { DataOf } from '../../catalogue/rocketmq/index.ts'
import type { Specification } from '../../catalogue/rocketmq/specifications.ts'
import { aclInfoOf, billingOf, networkInfoOf, productInfoOf } from '../../ledger/instance-documents.ts'
import type { InstanceRow } from '../../ledger/instances.ts'
import { monthsOf } from '../../ledger/service-period.ts'
import type { Tag } from '../../ledger/tags.ts'
import { instanceStatus } from '../../lifecycle/status.ts'
import type { InstanceUsage } from '../../model/observations.ts'
import { dateText } from '../date-text.ts'
import { specificationOfRow } from './instance-specification.ts'

export interface Seen {
  readonly at: number
  readonly zoneMinutes: number
  readonly accountId: string
  readonly topicCount: number
  readonly groupCount: number
  /** Of them those that count against the quota. */
  readonly createdGroupCount: number
  readonly tags: readonly Tag[]
}

export function listEntry(row: InstanceRow, seen: Seen): DataOf<'ListInstances'>['list'][number] {
  const { capacityType, traceOn } = productInfoOf(row)
  return { ...identity(row, seen), productInfo: { ...(capacityType === undefined ? {} : { capacityType }), traceOn } }
}

export function instanceView(
  row: InstanceRow,
  seen: Seen & {
    /** Host of the endpoints, as the caller can dial it. */
    readonly host: string
    readonly username: string
    /** Of the program that carries the messages. */
    readonly softwareVersion: string
    readonly usage: InstanceUsage | null
  },
): DataOf<'GetInstance'> {
  const specification = specificationOfRow(row)
  const product = productInfoOf(row)
  const { vpcInfo, internetInfo } = networkInfoOf(row)
  const { supportAutoScaling } = specification
  const acl = aclInfoOf(row)
  const aclType = acl.aclTypes[0] ?? 'default'
  const { flowOutBandwidth, flowOutType, internetSpec } = internetInfo
  const bandwidth = flowOutBandwidth === undefined ? {} : { flowOutBandwidth }
  const { autoScaling, messageRetentionTime, msgProcessSpec, sendReceiveRatio } = product
  const spec = msgProcessSpec === undefined ? {} : { msgProcessSpec }
  return {
    ...identity(row, seen),
    ...renewalOf(row),
    productInfo: {
      ...product,
      supportAutoScaling,
      adaptiveElasticity: false,
      maxDelayTime: specification.maxDelayMs / 1_000,
    },
    extConfig: {
      aclType,
      autoScaling,
      ...bandwidth,
      flowOutType,
      internetSpec,
      messageRetentionTime,
      ...spec,
      sendReceiveRatio,
      supportAutoScaling,
    },
    networkInfo: {
      vpcInfo: {
        vpcId: vpcInfo.vpcId,
        // Which zone a vSwitch is in is known to another product.
        vSwitches: vpcInfo.vSwitches.map(({ vSwitchId }) => ({ vSwitchId })),
        vSwitchId: vpcInfo.vSwitches.map((each) => each.vSwitchId).join('|'),
        ...(vpcInfo.securityGroupIds === undefined ? {} : { securityGroupIds: vpcInfo.securityGroupIds }),
      },
      internetInfo: { ...internetInfo, ipWhitelist: [...internetInfo.ipWhitelist] },
      endpoints: endpointsOf(row, seen.host, internetInfo),
    },
    aclInfo: { aclType, aclTypes: [...acl.aclTypes], defaultVpcAuthFree: acl.defaultVpcAuthFree },
    accountInfo: { username: seen.username },
    // Who runs the server upgrades it.
    software: { maintainTime: row.maintain_time, softwareVersion: seen.softwareVersion, upgradeMethod: 'manual' },
    instanceQuotas: quotas(specification, seen, seen.usage),
  }
}

/** What was bought, or set since by the billing service; nothing else than a subscription renews itself. */
function renewalOf(row: InstanceRow): Pick<DataOf<'GetInstance'>, 'autoRenew' | 'autoRenewPeriod'> {
  const { autoRenew = false, autoRenewPeriod = 1, autoRenewPeriodUnit = 'Month' } = billingOf(row)
  return autoRenew ? { autoRenew, autoRenewPeriod: monthsOf(autoRenewPeriod, autoRenewPeriodUnit) } : { autoRenew }
}

/** What both replies have in common. */
function identity(row: InstanceRow, seen: Seen) {
  const time = (ms: number) => dateText(ms, seen.zoneMinutes)
  return {
    instanceId: row.instance_id,
    instanceName: row.instance_name,
    regionId: row.region_id,
    serviceCode: row.service_code as 'rmq',
    seriesCode: row.series_code as DataOf<'GetInstance'>['seriesCode'],
    subSeriesCode: row.sub_series_code as DataOf<'GetInstance'>['subSeriesCode'],
    paymentType: row.payment_type as DataOf<'GetInstance'>['paymentType'],
    commodityCode: row.commodity_code as DataOf<'GetInstance'>['commodityCode'],
    status: instanceStatus(row, seen.at),
    ...(row.remark === null ? {} : { remark: row.remark }),
    resourceGroupId: row.resource_group_id,
    tags: seen.tags.map(({ key, value }) => ({ key, value })),
    topicCount: seen.topicCount,
    groupCount: seen.groupCount,
    createTime: time(row.create_time_ms),
    updateTime: time(row.update_time_ms),
    startTime: time(row.start_time_ms),
    expireTime: time(row.expire_time_ms),
    releaseTime: time(row.release_time_ms),
    userId: seen.accountId,
  }
}

/** An endpoint is listed once it has a port: one that cannot be dialled is left out. */
function endpointsOf(
  row: InstanceRow,
  host: string,
  internet: { readonly internetSpec: string; readonly ipWhitelist: readonly string[] },
): DataOf<'GetInstance'>['networkInfo']['endpoints'] {
  const endpoints: DataOf<'GetInstance'>['networkInfo']['endpoints'] = []
  if (row.wanted === 'absent') return endpoints
  const suffix = row.instance_id.replace(/^rmq-cn-/, '')
  const url = (port: number) => `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`
  if (row.vpc_port !== null) {
    endpoints.push({ endpointId: `ep-${suffix}v`, endpointType: 'TCP_VPC', endpointUrl: url(row.vpc_port) })
  }
  if (internet.internetSpec === 'enable' && row.internet_port !== null) {
    endpoints.push({
      endpointId: `ep-${suffix}i`,
      endpointType: 'TCP_INTERNET',
      endpointUrl: url(row.internet_port),
      ipWhitelist: [...internet.ipWhitelist],
    })
  }
  return endpoints
}

/** The quotas a live answer shows, with the counts of this moment. `STORAGE_SIZE` is in GB, and absent while it is unknown. */
function quotas(
  specification: Specification,
  used: Pick<Seen, 'topicCount' | 'createdGroupCount'>,
  usage: InstanceUsage | null,
): DataOf<'GetInstance'>['instanceQuotas'] {
  const { maxTps, elasticTps, maxTopics, freeTopics, maxGroups } = specification
  return [
    { quotaName: 'MAX_TPS', totalCount: maxTps },
    { quotaName: 'SCALING_TPS_MAX', totalCount: elasticTps },
    ...(usage === null
      ? []
      : [{ quotaName: 'STORAGE_SIZE', usedCount: Math.round(usage.storedBytes / 2 ** 20) / 1024 }]),
    { quotaName: 'TOPIC_COUNT', totalCount: maxTopics, freeCount: freeTopics, usedCount: used.topicCount },
    { quotaName: 'CONSUMER_GROUP_COUNT', totalCount: maxGroups, usedCount: used.createdGroupCount },
  ]
}
