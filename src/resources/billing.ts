/**
 * The two actions of the billing service (BssOpenApi 2017-12-14) that Terraform's provider needs to manage an
 * instance: what is bought and how it renews (QueryAvailableInstances), and changing the renewal (SetRenewal).
 *
 * They are RPC actions with flat text parameters and stand outside the catalogue, which is this product's own API.
 * Billing knows no regions: an instance is found wherever it is. Names, defaults and values follow the vendor's pages
 * of these actions; a filter that is not carried out here is refused, never ignored.
 */
import { ApiError, instanceNotFound, invalid, missing } from '../catalogue/errors.ts'
import { changeBilling, listBilled } from '../ledger/billing.ts'
import type { InstanceRow } from '../ledger/instances.ts'
import type { Billing } from '../ledger/service-period.ts'
import { instanceStatus } from '../lifecycle/status.ts'
import { causeOf, instanceResource } from './change-names.ts'
import type { Call, Services } from './handler.ts'
import { billingOf } from './instance-values.ts'

export type RpcInput = ReadonlyMap<string, string>

export interface RpcAction {
  readonly version: string
  readonly accessLevel: 'list' | 'update'
  /** What a policy must allow. The vendor's authorisation tables name the product `bssapi`. */
  readonly ramAction: string
  run(services: Services, call: Call, input: RpcInput): Promise<Readonly<Record<string, unknown>>>
}

const VERSION = '2017-12-14'
/** RocketMQ's name in bills. */
const PRODUCT = 'ons'
const MAX_IDS = 100

export const rpcActions: Readonly<Record<string, RpcAction>> = {
  QueryAvailableInstances: {
    version: VERSION,
    accessLevel: 'list',
    ramAction: 'bssapi:QueryAvailableInstances',
    run: queryAvailableInstances,
  },
  SetRenewal: { version: VERSION, accessLevel: 'update', ramAction: 'bssapi:SetRenewal', run: setRenewal },
}

async function queryAvailableInstances(services: Services, call: Call, input: RpcInput) {
  knowOnly(input, [
    'Region',
    'ProductCode',
    'ProductType',
    'SubscriptionType',
    'InstanceIDs',
    'RenewStatus',
    'PageNum',
    'PageSize',
  ])
  const page = {
    number: wholeNumber(input, 'PageNum', { fallback: 1, most: 100_000 }),
    size: wholeNumber(input, 'PageSize', { fallback: 20, most: 300 }),
  }
  const renewal = oneOf(input, 'RenewStatus', ['AutoRenewal', 'ManualRenewal', 'NotRenewal'])
  const paymentType = oneOf(input, 'SubscriptionType', ['Subscription', 'PayAsYouGo'])
  const productType = filled(input, 'ProductType')
  // This server sells one product, and nothing of it is marked as not to be renewed.
  const nothing = (filled(input, 'ProductCode') ?? PRODUCT) !== PRODUCT || renewal === 'NotRenewal'
  const { totalCount, rows } = nothing
    ? { totalCount: 0, rows: [] }
    : await listBilled(services.ledger.read, {
        at: call.at,
        instanceIds: filled(input, 'InstanceIDs') === undefined ? undefined : idsOf(input),
        regionId: filled(input, 'Region'),
        paymentType,
        // The product's own name stands for all its commodities.
        commodityCode: productType === PRODUCT ? undefined : productType,
        autoRenew: renewal === undefined ? undefined : renewal === 'AutoRenewal',
        page,
      })
  return {
    PageNum: page.number,
    PageSize: page.size,
    TotalCount: totalCount,
    InstanceList: rows.map((row) => entry(row, services, call)),
  }
}

function entry(row: InstanceRow, services: Services, call: Call) {
  const billing = billingOf(row)
  const term = billing.autoRenew === true ? renewalTerm(billing) : {}
  return {
    OwnerId: Number(services.settings.accountId),
    ProductCode: PRODUCT,
    ProductType: row.commodity_code,
    SubscriptionType: row.payment_type,
    InstanceID: row.instance_id,
    Region: row.region_id,
    CreateTime: isoText(row.create_time_ms),
    EndTime: isoText(row.expire_time_ms),
    ReleaseTime: isoText(row.release_time_ms),
    Status: statusOf(row, call.at),
    RenewStatus: billing.autoRenew === true ? 'AutoRenewal' : 'ManualRenewal',
    ...term,
  }
}

const renewalTerm = (billing: Billing) => ({
  RenewalDuration: billing.autoRenewPeriod ?? 1,
  RenewalDurationUnit: billing.autoRenewPeriodUnit === 'Year' ? 'Y' : 'M',
})

function statusOf(row: InstanceRow, at: number): 'Creating' | 'Normal' | 'WaitForExpire' {
  const status = instanceStatus(row, at)
  if (status === 'CREATING') return 'Creating'
  return status === 'STOPPED' ? 'WaitForExpire' : 'Normal'
}

/** All of the instances or none: the first that cannot be changed refuses the call. */
async function setRenewal(services: Services, call: Call, input: RpcInput) {
  knowOnly(input, [
    'InstanceIDs',
    'ProductCode',
    'ProductType',
    'SubscriptionType',
    'RenewalStatus',
    'RenewalPeriod',
    'RenewalPeriodUnit',
  ])
  const product = filled(input, 'ProductCode') ?? PRODUCT
  if (product !== PRODUCT)
    throw invalid('ProductCode', `"${product.slice(0, 60)}" is not sold here; it must be ${PRODUCT}.`)
  const subscription = oneOf(input, 'SubscriptionType', ['Subscription', 'PayAsYouGo'])
  if (subscription === 'PayAsYouGo') throw invalid('SubscriptionType', 'Only a Subscription is renewed.')
  if (filled(input, 'InstanceIDs') === undefined) throw missing('InstanceIDs')
  const instanceIds = idsOf(input)
  const renewal = renewalOf(input)
  await services.ledger.change(causeOf(call, 'SetRenewal'), async ({ tx, record }) => {
    const page = { number: 1, size: MAX_IDS }
    const { rows } = await listBilled(tx, { at: call.at, instanceIds, page })
    for (const instanceId of instanceIds) {
      const row = rows.find((one) => one.instance_id === instanceId)
      if (row === undefined) throw instanceNotFound(instanceId)
      if (row.payment_type !== 'Subscription') {
        throw invalid('InstanceIDs', `Instance ${instanceId} is pay-as-you-go; only a Subscription is renewed.`)
      }
      const { period, periodUnit } = billingOf(row)
      const billing: Billing = {
        ...(period === undefined ? {} : { period }),
        ...(periodUnit === undefined ? {} : { periodUnit }),
        ...renewal,
      }
      if (JSON.stringify(billing) === row.billing_json) continue
      await changeBilling(tx, instanceId, billing, { at: call.at })
      await record(instanceResource(instanceId), { changed: { billing } })
    }
  })
  return {}
}

function renewalOf(input: RpcInput): Pick<Billing, 'autoRenew' | 'autoRenewPeriod' | 'autoRenewPeriodUnit'> {
  const status = oneOf(input, 'RenewalStatus', ['AutoRenewal', 'ManualRenewal', 'NotRenewal'])
  if (status === undefined) throw missing('RenewalStatus', 'Send AutoRenewal or ManualRenewal.')
  if (status === 'NotRenewal') {
    throw invalid('RenewalStatus', 'NotRenewal silences reminders, which this server does not send; use ManualRenewal.')
  }
  if (status === 'ManualRenewal') return { autoRenew: false }
  const unit = oneOf(input, 'RenewalPeriodUnit', ['M', 'Y']) ?? 'M'
  if (filled(input, 'RenewalPeriod') === undefined) throw missing('RenewalPeriod', 'AutoRenewal needs a period.')
  const period = wholeNumber(input, 'RenewalPeriod', { fallback: 1, most: 12 })
  const accepted = unit === 'M' ? [1, 2, 3, 6, 12] : [1, 2, 3]
  if (!accepted.includes(period)) {
    throw invalid(
      'RenewalPeriod',
      `${period} is not accepted; with RenewalPeriodUnit ${unit} it must be one of ${accepted.join(', ')}.`,
    )
  }
  return { autoRenew: true, autoRenewPeriod: period, ...(unit === 'Y' ? { autoRenewPeriodUnit: 'Year' as const } : {}) }
}

/** What every RPC request carries besides the parameters of its action. */
const COMMON = new Set([
  'Action',
  'Version',
  'Format',
  'Timestamp',
  'AccessKeyId',
  'Signature',
  'SignatureMethod',
  'SignatureVersion',
  'SignatureNonce',
  'SignatureType',
  'SecurityToken',
  'RegionId',
])

function knowOnly(input: RpcInput, names: readonly string[]): void {
  const unknown = [...input.keys()].find((name) => !COMMON.has(name) && !names.includes(name))
  if (unknown === undefined) return
  throw new ApiError(
    400,
    'UnsupportedParameter',
    `The parameter ${unknown.slice(0, 60)} is not supported by this server; send ${names.join(', ')} only.`,
    { field: unknown.slice(0, 60) },
  )
}

/** A parameter's value; an empty one counts as absent, as clients send it. */
function filled(input: RpcInput, name: string): string | undefined {
  return input.get(name) || undefined
}

function oneOf<const T extends string>(input: RpcInput, name: string, values: readonly T[]): T | undefined {
  const value = filled(input, name)
  if (value === undefined) return undefined
  const found = values.find((known) => known === value)
  if (found === undefined)
    throw invalid(name, `"${value.slice(0, 60)}" is not accepted; it must be one of ${values.join(', ')}.`)
  return found
}

function wholeNumber(input: RpcInput, name: string, { fallback, most }: { fallback: number; most: number }): number {
  const value = filled(input, name)
  if (value === undefined) return fallback
  const number = Number(value)
  if (!/^\d{1,9}$/.test(value) || number < 1 || number > most) {
    throw invalid(name, `"${value.slice(0, 60)}" is not accepted; it must be a whole number from 1 to ${most}.`)
  }
  return number
}

function idsOf(input: RpcInput): string[] {
  const ids = [...new Set((filled(input, 'InstanceIDs') ?? '').split(',').map((id) => id.trim()))].filter(Boolean)
  if (ids.length < 1 || ids.length > MAX_IDS) {
    throw invalid('InstanceIDs', `It names ${ids.length} instances; 1 to ${MAX_IDS} are accepted, separated by commas.`)
  }
  return ids
}

const isoText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`
