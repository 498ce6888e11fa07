/**
 * The two actions of the billing service that Terraform's provider needs to manage an instance: what is bought and how
 * it renews (QueryAvailableInstances), and changing the renewal (SetRenewal).
 *
 * Billing knows no regions: an instance is found wherever it is.
 */
import type { DataOf, InputOf } from '../../catalogue/bssopenapi/index.ts'
import { invalid, missing } from '../../catalogue/errors.ts'
import { instanceNotFound } from '../../catalogue/rocketmq/errors.ts'
import { changeBilling, listBilled } from '../../ledger/billing.ts'
import { asDocument, billingOf } from '../../ledger/instance-documents.ts'
import type { InstanceRow } from '../../ledger/instances.ts'
import type { Billing } from '../../ledger/service-period.ts'
import { instanceStatus } from '../../lifecycle/status.ts'
import { causeOf, instanceResource } from '../change-names.ts'
import type { Call, HandlerOf, Services } from '../handler.ts'

type Action = 'QueryAvailableInstances' | 'SetRenewal'
type Handler<A extends Action> = HandlerOf<A, InputOf<A>, DataOf<A>>

/** RocketMQ's name in bills. */
const PRODUCT = 'ons'

export const queryAvailableInstances: Handler<'QueryAvailableInstances'> = async (services, call, input) => {
  const page = { number: input.PageNum, size: input.PageSize }
  const { ProductCode = PRODUCT, ProductType, RenewStatus } = input
  // This server sells one product, and nothing of it is marked as not to be renewed.
  const nothing = ProductCode !== PRODUCT || RenewStatus === 'NotRenewal'
  const { totalCount, rows } = nothing
    ? { totalCount: 0, rows: [] }
    : await listBilled(services.ledger.read, {
        at: call.at,
        instanceIds: input.InstanceIDs && idsOf(input.InstanceIDs),
        regionId: input.Region,
        paymentType: input.SubscriptionType,
        // The product's own name stands for all its commodities.
        commodityCode: ProductType === PRODUCT ? undefined : ProductType,
        autoRenew: RenewStatus === undefined ? undefined : RenewStatus === 'AutoRenewal',
        page,
      })
  return {
    PageNum: page.number,
    PageSize: page.size,
    TotalCount: totalCount,
    InstanceList: rows.map((row) => entry(row, services, call)),
  }
}

function entry(row: InstanceRow, services: Services, call: Call): Entry {
  const billing = billingOf(row)
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
    ...renewalTerm(billing),
  }
}

type Entry = DataOf<'QueryAvailableInstances'>['InstanceList'][number]

function renewalTerm(billing: Billing): Pick<Entry, 'RenewStatus' | 'RenewalDuration' | 'RenewalDurationUnit'> {
  if (billing.autoRenew !== true) return { RenewStatus: 'ManualRenewal' }
  return {
    RenewStatus: 'AutoRenewal',
    RenewalDuration: billing.autoRenewPeriod ?? 1,
    RenewalDurationUnit: billing.autoRenewPeriodUnit === 'Year' ? 'Y' : 'M',
  }
}

function statusOf(row: InstanceRow, at: number): 'Creating' | 'Normal' | 'WaitForExpire' {
  const status = instanceStatus(row, at)
  if (status === 'CREATING') return 'Creating'
  return status === 'STOPPED' ? 'WaitForExpire' : 'Normal'
}

/** All of the instances or none: the first that cannot be changed refuses the call. */
export const setRenewal: Handler<'SetRenewal'> = async (services, call, input) => {
  const { ProductCode = PRODUCT } = input
  if (ProductCode !== PRODUCT) throw invalid('ProductCode', `"${ProductCode}" is not sold here; it must be ${PRODUCT}.`)
  if (input.SubscriptionType === 'PayAsYouGo') throw invalid('SubscriptionType', 'Only a Subscription is renewed.')
  const instanceIds = idsOf(input.InstanceIDs)
  const renewal = renewalOf(input)
  await services.ledger.change(causeOf(call, 'SetRenewal'), async ({ tx, record }) => {
    const page = { number: 1, size: instanceIds.length }
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
      if (asDocument(billing) === row.billing_json) continue
      await changeBilling(tx, instanceId, billing, { at: call.at })
      await record(instanceResource(instanceId), { changed: { billing } })
    }
  })
  return {}
}

function renewalOf(
  input: InputOf<'SetRenewal'>,
): Pick<Billing, 'autoRenew' | 'autoRenewPeriod' | 'autoRenewPeriodUnit'> {
  const { RenewalStatus, RenewalPeriod: period, RenewalPeriodUnit: unit = 'M' } = input
  if (RenewalStatus === 'NotRenewal') {
    throw invalid('RenewalStatus', 'NotRenewal silences reminders, which this server does not send; use ManualRenewal.')
  }
  if (RenewalStatus === 'ManualRenewal') return { autoRenew: false }
  if (period === undefined) throw missing('RenewalPeriod', 'AutoRenewal needs a period.')
  const accepted = unit === 'M' ? [1, 2, 3, 6, 12] : [1, 2, 3]
  if (!accepted.includes(period)) {
    throw invalid(
      'RenewalPeriod',
      `${period} is not accepted; with RenewalPeriodUnit ${unit} it must be one of ${accepted.join(', ')}.`,
    )
  }
  return { autoRenew: true, autoRenewPeriod: period, ...(unit === 'Y' ? { autoRenewPeriodUnit: 'Year' as const } : {}) }
}

const idsOf = (ids: readonly string[]): string[] => [...new Set(ids)]

const isoText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`
