/**
 * From rows of the ledger to what an engine is told: `InstanceSpec`, `TopicSpec`, `GroupSpec`.
 *
 * The columns and their JSON hold the API's values after defaults (catalogue/rocketmq/instances.ts); here they
 * become what the data plane enforces. Nothing that the API accepted may be lost on the way. Passwords
 * arrive already opened and must never reach a log.
 */

import { limits } from '../catalogue/rocketmq/limits.ts'
import { specificationOfStored } from '../catalogue/rocketmq/specifications.ts'
import {
  aclInfoOf,
  consumeRetryPolicyOf,
  ipWhitelistOf,
  networkInfoOf,
  type ProductInfo,
  productInfoOf,
} from '../ledger/instance-documents.ts'
import type { Row } from '../ledger/schema.ts'
import { defaultMaxRetryTimes } from '../model/defaults.ts'
import type {
  AccountSpec,
  GrantSpec,
  GroupSpec,
  InstanceSpec,
  ListenSpec,
  MessageType,
  OffsetReset,
  TopicSpec,
} from '../model/instances.ts'

export type PortKind = 'vpc' | 'internet'

/** Null while the loop has not found one, or for good when the instance has no public endpoint. */
export interface InstancePorts {
  readonly vpc: number | null
  readonly internet: number | null
}

export function instanceSpecOf(from: {
  readonly instance: Row<'instances'>
  readonly accounts: readonly AccountSpec[]
  readonly grants: readonly GrantSpec[]
  readonly ports: InstancePorts
  readonly listenHost: string
  readonly serving: boolean
}): InstanceSpec {
  const { instance, accounts, grants, ports, listenHost, serving } = from
  const product = productInfoOf(instance)
  const acl = aclInfoOf(instance)
  return {
    instanceId: instance.instance_id,
    generation: instance.generation,
    serving,
    listen: listenOf(instance, ports, listenHost),
    ipWhitelist: ipWhitelistOf(instance),
    accounts,
    aclTypes: acl.aclTypes,
    grants,
    vpcAuthFree: acl.defaultVpcAuthFree === true,
    retentionHours: product.messageRetentionTime || limits.retentionHours.default,
    ...throughputOf(instance, product),
    // The vendor's Platinum Edition (`ultimate`) is exclusive hardware; the other editions share theirs.
    dedicated: instance.series_code === 'ultimate',
    encryptionKeyId: product.storageEncryption === true ? (product.storageSecretKey ?? null) : null,
  }
}

export function topicSpecOf(row: Row<'topics'>): TopicSpec {
  return {
    topicName: row.topic_name,
    generation: row.generation,
    messageType: row.message_type as MessageType,
    maxSendTps: row.max_send_tps,
    liteExpirationMs: expirationMs(row.lite_topic_expiration),
  }
}

export function groupSpecOf(row: Row<'consumer_groups'>): GroupSpec {
  const policy = consumeRetryPolicyOf(row)
  const intervalSeconds = policy.retryPolicy === 'FixedRetryPolicy' ? policy.fixedIntervalRetryTime : undefined
  return {
    consumerGroupId: row.consumer_group_id,
    generation: row.generation,
    orderly: row.delivery_order_type === 'Orderly',
    maxRetryTimes: policy.maxRetryTimes ?? defaultMaxRetryTimes,
    retry: intervalSeconds ? { kind: 'fixed', intervalSeconds } : { kind: 'default' },
    deadLetterTopic: policy.deadLetterTargetTopic || null,
    maxReceiveTps: row.max_receive_tps,
    madeByUse: row.made_by_use === 1,
    lite: row.topic_name === null ? null : { topicName: row.topic_name, exclusive: row.exclusive === 1 },
  }
}

/** Minutes in the API, with a number for never. */
function expirationMs(minutes: number | null): number | null {
  return minutes === null || minutes === limits.liteTopic.expirationMinutes.never ? null : minutes * 60_000
}

export function offsetResetOf(row: Row<'offset_resets'>): OffsetReset {
  return {
    resetId: row.reset_id,
    consumerGroupId: row.consumer_group_id,
    topicName: row.topic_name,
    toMs: row.to_ms,
  }
}

/** Which ports an instance needs: the public one exists only with `internetSpec` enable. */
export function portKindsOf(instance: Pick<Row<'instances'>, 'network_info_json'>): readonly PortKind[] {
  return networkInfoOf(instance).internetInfo.internetSpec === 'enable' ? ['vpc', 'internet'] : ['vpc']
}

/**
 * Messages a second in each direction. Elastic TPS comes on top with `autoScaling`; serverless is elastic by
 * nature, whatever the switch says (vendor's pages on elastic TPS and on serverless). The ratio divides the
 * sum, and each direction keeps at least one message a second, so that a ratio of 1 does not read as "no limit".
 */
function throughputOf(
  instance: Row<'instances'>,
  product: ProductInfo,
): Pick<
  InstanceSpec,
  'sendTps' | 'receiveTps' | 'elasticity' | 'maxConnections' | 'maxGroupsMadeByUse' | 'maxDelayMs'
> {
  const specification = specificationOfStored({
    seriesCode: instance.series_code,
    subSeriesCode: instance.sub_series_code,
    msgProcessSpec: product.msgProcessSpec,
    capacityType: product.capacityType,
    provisionedCapacity: product.provisionedCapacity,
  })
  const isElastic = product.autoScaling === true || specification.subSeriesCode === 'serverless'
  const tps = specification.maxTps + (isElastic ? specification.elasticTps : 0)
  const sendTps = Math.round(tps * (product.sendReceiveRatio || limits.sendReceiveRatio.default))
  return {
    sendTps: Math.max(1, sendTps),
    receiveTps: Math.max(1, tps - sendTps),
    elasticity: specification.elasticity,
    maxConnections: specification.maxConnections,
    maxDelayMs: specification.maxDelayMs,
    maxGroupsMadeByUse: Math.ceil(specification.maxGroups * limits.groupsMadeByUseShare),
  }
}

function listenOf(instance: Row<'instances'>, ports: InstancePorts, host: string): ListenSpec[] {
  const internet = networkInfoOf(instance).internetInfo
  const listen: ListenSpec[] = []
  if (ports.vpc !== null) listen.push({ kind: 'vpc', host, port: ports.vpc, allow: [], bandwidthMbps: null })
  if (internet.internetSpec === 'enable' && ports.internet !== null) {
    listen.push({
      kind: 'internet',
      host,
      port: ports.internet,
      // The list in `internetInfo` is for the public endpoint alone; empty lets everyone in (product-facts §5.3).
      allow: internet.ipWhitelist ?? [],
      bandwidthMbps: internet.flowOutType === 'payByBandwidth' ? (internet.flowOutBandwidth ?? null) : null,
    })
  }
  return listen
}
