/**
 * What an instance's row holds as JSON, read and written with its types. These are the request's own
 * values after defaults, so that what was sent can be read back exactly (api-semantics §2.5).
 */
import { type Specification, specificationOfStored } from '../../catalogue/rocketmq/specifications.ts'
import type { InstanceRow } from '../../ledger/instances.ts'
import type { Billing } from '../../ledger/service-period.ts'

export interface ProductInfo {
  readonly msgProcessSpec?: string
  readonly sendReceiveRatio: number
  readonly autoScaling: boolean
  /** Hours. */
  readonly messageRetentionTime: number
  readonly storageEncryption: boolean
  readonly storageSecretKey?: string
  readonly traceOn: boolean
  readonly capacityType?: 'provisioned' | 'onDemand'
  readonly provisionedCapacity?: number
}

export interface NetworkInfo {
  readonly vpcInfo: {
    readonly vpcId: string
    readonly vSwitches: ReadonlyArray<{ readonly vSwitchId: string }>
    readonly securityGroupIds?: string
  }
  readonly internetInfo: InternetInfo
}

export interface InternetInfo {
  readonly internetSpec: 'enable' | 'disable'
  readonly flowOutType: 'payByBandwidth' | 'payByTraffic' | 'uninvolved'
  /** Mbit/s. */
  readonly flowOutBandwidth?: number
  /** Who may use the public endpoint; empty means everyone. */
  readonly ipWhitelist: readonly string[]
}

export interface AclInfo {
  readonly aclTypes: ReadonlyArray<'default' | 'apache_acl'>
  readonly defaultVpcAuthFree: boolean
}

export const productInfoOf = (row: InstanceRow): ProductInfo => JSON.parse(row.product_info_json) as ProductInfo
export const networkInfoOf = (row: InstanceRow): NetworkInfo => JSON.parse(row.network_info_json) as NetworkInfo
export const aclInfoOf = (row: InstanceRow): AclInfo => JSON.parse(row.acl_info_json) as AclInfo
export const billingOf = (row: InstanceRow): Billing => JSON.parse(row.billing_json) as Billing

export function specificationOfRow(row: InstanceRow): Specification {
  const { msgProcessSpec, capacityType, provisionedCapacity } = productInfoOf(row)
  return specificationOfStored({
    seriesCode: row.series_code,
    subSeriesCode: row.sub_series_code,
    msgProcessSpec,
    capacityType,
    provisionedCapacity,
  })
}
