/**
 * The columns of the ledger that hold JSON, each with its type and read in one place: the request's own values after
 * defaults, so that what was sent can be read back exactly (api-semantics §2.5). They are written with `asDocument`.
 */
import type { Row } from './schema.ts'
import type { Billing } from './service-period.ts'

/** CreateInstance `productInfo`. */
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

/** CreateInstance `networkInfo`. */
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

/** CreateInstance `aclInfo`. */
export interface AclInfo {
  readonly aclTypes: ReadonlyArray<'default' | 'apache_acl'>
  readonly defaultVpcAuthFree: boolean
}

/** CreateConsumerGroup `consumeRetryPolicy`. */
export interface ConsumeRetryPolicy {
  readonly retryPolicy: 'DefaultRetryPolicy' | 'BackoffRetryPolicy' | 'FixedRetryPolicy'
  readonly maxRetryTimes: number
  /** Seconds; of the fixed policy only. */
  readonly fixedIntervalRetryTime?: number
  readonly deadLetterTargetTopic?: string
}

type Column<Table extends 'instances' | 'consumer_groups', Name extends keyof Row<Table>> = Pick<Row<Table>, Name>

export const productInfoOf = (row: Column<'instances', 'product_info_json'>): ProductInfo =>
  objectIn(row.product_info_json)
export const networkInfoOf = (row: Column<'instances', 'network_info_json'>): NetworkInfo =>
  objectIn(row.network_info_json)
export const aclInfoOf = (row: Column<'instances', 'acl_info_json'>): AclInfo => objectIn(row.acl_info_json)
export const billingOf = (row: Column<'instances', 'billing_json'>): Billing => objectIn(row.billing_json)
/** Addresses and blocks; nobody may connect when it is empty. */
export const ipWhitelistOf = (row: Column<'instances', 'ip_whitelist_json'>): string[] =>
  JSON.parse(row.ip_whitelist_json) as string[]
export const consumeRetryPolicyOf = (row: Column<'consumer_groups', 'consume_retry_policy_json'>): ConsumeRetryPolicy =>
  objectIn(row.consume_retry_policy_json)

type Document = ProductInfo | NetworkInfo | AclInfo | Billing | ConsumeRetryPolicy | readonly string[]

export const asDocument = (value: Document): string => JSON.stringify(value)

function objectIn<T extends object>(json: string): T {
  const value: unknown = JSON.parse(json)
  if (typeof value !== 'object' || value === null) throw new Error(`The ledger holds ${json} where an object belongs.`)
  return value as T
}
