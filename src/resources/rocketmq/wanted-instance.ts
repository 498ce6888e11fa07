/**
 * What a CreateInstance wants: from the request to the row that says so. Every rule between parameters (api-semantics §2.3)
 * and every default is decided here. Where sources disagree, docs/decisions/0003-create-instance.md says what was chosen.
 */
import { invalid, missing } from '../../catalogue/errors.ts'
import type { InputOf } from '../../catalogue/rocketmq/index.ts'
import { limits } from '../../catalogue/rocketmq/limits.ts'
import { type Site, type Specification, specificationOf } from '../../catalogue/rocketmq/specifications.ts'
import {
  type AclInfo,
  asDocument,
  type InternetInfo,
  type NetworkInfo,
  type ProductInfo,
} from '../../ledger/instance-documents.ts'
import type { NewRow } from '../../ledger/schema.ts'
import { type Billing, monthsOf, payAsYouGoPeriod, subscriptionPeriod } from '../../ledger/service-period.ts'
import type { Tag } from '../../ledger/tags.ts'
import { identifier, isBlank, shown } from '../check.ts'
import {
  checkAutoScaling,
  encryptionOf,
  type NamedEngine,
  publicWhitelistOf,
  refuseAdaptiveElasticity,
  traceOnOf,
} from './instance-rules.ts'
import { checkResourceGroupId, defaultResourceGroupId } from './resource-group-ids.ts'
import { checkTags } from './tag-rules.ts'

export type Parameters = Omit<InputOf<'CreateInstance'>, 'clientToken'>

export interface Circumstances {
  readonly at: number
  readonly regionId: string
  readonly accountId: string
  readonly zoneMinutes: number
  readonly engine: NamedEngine
}

/** The row without its id and name, and the tags; throws `ApiError` for the first rule that is broken. */
export function wantedInstance(
  input: Parameters,
  circumstances: Circumstances,
): {
  readonly columns: Omit<NewRow<'instances'>, 'instance_id' | 'instance_name'>
  readonly tags: Tag[]
  readonly specification: Specification
} {
  const { at, regionId, accountId, zoneMinutes, engine } = circumstances
  const { specification, commodityCode } = chosenSpecification(input, siteOf(regionId))
  const networkInfo = networkOf(input.networkInfo, specification)
  const productInfo = productOf(input.productInfo ?? {}, specification, engine)
  const aclInfo: AclInfo = {
    aclTypes: ['default'],
    defaultVpcAuthFree: input.aclInfo?.defaultVpcAuthFree ?? false,
  }
  const billing = billingOf(input)
  const paid = billing.period
    ? subscriptionPeriod(at, { months: monthsOf(billing.period, billing.periodUnit ?? 'Month') }, zoneMinutes)
    : payAsYouGoPeriod(at, zoneMinutes)
  const columns = {
    region_id: regionId,
    remark: input.remark || null,
    service_code: input.serviceCode,
    series_code: input.seriesCode,
    sub_series_code: input.subSeriesCode,
    payment_type: input.paymentType,
    commodity_code: commodityCode,
    resource_group_id: isBlank(input.resourceGroupId)
      ? defaultResourceGroupId(accountId)
      : checkResourceGroupId(input.resourceGroupId),
    product_info_json: asDocument(productInfo),
    network_info_json: asDocument(networkInfo),
    acl_info_json: asDocument(aclInfo),
    billing_json: asDocument(billing),
    maintain_time: limits.maintainTime.default,
    create_time_ms: at,
    update_time_ms: at,
    start_time_ms: paid.startMs,
    expire_time_ms: paid.expireMs,
    release_time_ms: paid.releaseMs,
    wanted: 'present' as const,
    generation: 1,
    revision: 1,
    vpc_port: null,
    internet_port: null,
    applied_generation: 0,
    applied_revision: 0,
    failure: null,
  }
  return { columns, tags: checkTags('tags', input.tags ?? []), specification }
}

function chosenSpecification(input: Parameters, site: Site) {
  const { msgProcessSpec, capacityType, provisionedCapacity } = input.productInfo ?? {}
  const { seriesCode, subSeriesCode, paymentType, commodityCode } = input
  const found = specificationOf(
    { seriesCode, subSeriesCode, paymentType, commodityCode, msgProcessSpec, capacityType, provisionedCapacity },
    site,
  )
  if (found.ok) return found
  const { field, kind, rule } = found.problem
  throw kind === 'missing' ? missing(field, rule) : invalid(field, rule)
}

/** The vendor's two sites share their regions; a region of the mainland is taken for the Chinese one. */
const siteOf = (regionId: string): Site => (regionId.startsWith('cn-') ? 'cn' : 'intl')

function productOf(
  asked: NonNullable<Parameters['productInfo']>,
  specification: Specification,
  engine: NamedEngine,
): ProductInfo {
  if (!isBlank(asked.drReplicationMode)) {
    throw invalid(
      'productInfo.drReplicationMode',
      `It is ${shown(asked.drReplicationMode)}; this server keeps one copy on one machine and replicates to no other zone. Leave it out.`,
    )
  }
  refuseAdaptiveElasticity(asked.adaptiveElasticity)
  const { capacityType, provisionedCapacity, msgProcessSpec } = specification
  return {
    ...(msgProcessSpec === null ? {} : { msgProcessSpec }),
    sendReceiveRatio: asked.sendReceiveRatio ?? limits.sendReceiveRatio.default,
    autoScaling: checkAutoScaling(asked.autoScaling ?? false, specification),
    messageRetentionTime: asked.messageRetentionTime ?? limits.retentionHours.default,
    ...encryptionOf(asked, specification, engine),
    traceOn: traceOnOf(asked.traceOn ?? false, specification),
    ...(capacityType === null ? {} : { capacityType }),
    ...(provisionedCapacity === null ? {} : { provisionedCapacity }),
  }
}

function networkOf(asked: Parameters['networkInfo'], specification: Specification): NetworkInfo {
  const { vpcInfo, internetInfo } = asked
  return {
    vpcInfo: {
      vpcId: identifier('networkInfo.vpcInfo.vpcId', vpcInfo.vpcId),
      vSwitches: vSwitchesOf(vpcInfo, specification).map((vSwitchId) => ({ vSwitchId })),
      ...(isBlank(vpcInfo.securityGroupIds)
        ? {}
        : { securityGroupIds: identifier('networkInfo.vpcInfo.securityGroupIds', vpcInfo.securityGroupIds) }),
    },
    internetInfo: internetOf(internetInfo),
  }
}

/** In the order they were sent: clients compare. The older `vSwitchId` joins them by `|`. */
function vSwitchesOf(vpcInfo: Parameters['networkInfo']['vpcInfo'], specification: Specification): string[] {
  const field = 'networkInfo.vpcInfo.vSwitches'
  const listed = (vpcInfo.vSwitches ?? []).map((each) => each.vSwitchId)
  const joined = isBlank(vpcInfo.vSwitchId) ? [] : vpcInfo.vSwitchId.split('|')
  if (listed.length > 0 && joined.length > 0 && listed.join('|') !== joined.join('|')) {
    throw invalid('networkInfo.vpcInfo.vSwitchId', 'It differs from vSwitches, which replaces it; leave vSwitchId out.')
  }
  const ids = listed.length > 0 ? listed : joined
  if (ids.length === 0) throw missing(field, 'An instance needs at least one vSwitch.')
  for (const id of ids) {
    identifier(field, id, 64)
    if (id.includes('|')) throw invalid(field, `${shown(id)} holds "|"; each vSwitch is an entry of its own.`)
  }
  if (new Set(ids).size < ids.length) throw invalid(field, 'A vSwitch is there twice; name each one once.')
  const { maximum, serverlessMinimum } = limits.vSwitches
  if (ids.length > maximum) throw invalid(field, `There are ${ids.length}; at most ${maximum} are accepted.`)
  if (specification.subSeriesCode === 'serverless' && ids.length < serverlessMinimum) {
    throw invalid(field, `There is ${ids.length}; a serverless instance needs at least ${serverlessMinimum} vSwitches.`)
  }
  return ids
}

function internetOf(asked: Parameters['networkInfo']['internetInfo']): InternetInfo {
  const { internetSpec, flowOutType, flowOutBandwidth } = asked
  const needs = internetSpec === 'enable' ? 'payByBandwidth or payByTraffic' : 'uninvolved'
  if ((flowOutType === 'uninvolved') === (internetSpec === 'enable')) {
    throw invalid(
      'networkInfo.internetInfo.flowOutType',
      `It is ${shown(flowOutType)}; with internetSpec ${internetSpec} it must be ${needs}.`,
    )
  }
  const field = 'networkInfo.internetInfo.flowOutBandwidth'
  const { minimum, maximum } = limits.flowOutBandwidth
  if (flowOutType === 'payByBandwidth' && flowOutBandwidth === undefined) {
    throw missing(field, `With flowOutType payByBandwidth, send ${minimum} to ${maximum} Mbit/s.`)
  }
  if (flowOutType !== 'payByBandwidth' && flowOutBandwidth !== undefined) {
    throw invalid(field, `It counts only with flowOutType payByBandwidth, and that is ${flowOutType}; leave it out.`)
  }
  return {
    internetSpec,
    flowOutType,
    ...(flowOutBandwidth === undefined ? {} : { flowOutBandwidth }),
    ipWhitelist: publicWhitelistOf(asked.ipWhitelist ?? [], internetSpec),
  }
}

/** Of a subscription; with pay-as-you-go these members do not count, whatever they are (the vendor's page). */
function billingOf(input: Parameters): Billing {
  if (input.paymentType !== 'Subscription') return {}
  const periodUnit = input.periodUnit ?? 'Month'
  const { minimum, maximum } = limits.period[periodUnit]
  if (input.period === undefined) {
    throw missing('period', `A Subscription lasts ${minimum} to ${maximum} (periodUnit ${periodUnit}).`)
  }
  if (input.period < minimum || input.period > maximum) {
    throw invalid(
      'period',
      `It is ${input.period}; accepted with periodUnit ${periodUnit}: whole numbers from ${minimum} to ${maximum}.`,
    )
  }
  return {
    period: input.period,
    periodUnit,
    autoRenew: input.autoRenew ?? false,
    ...(input.autoRenew === true ? { autoRenewPeriod: input.autoRenewPeriod ?? 1 } : {}),
  }
}
