/**
 * Instances as the billing service sees them: of every region, with how they are paid for and renewed. Nothing here
 * concerns the engine, so neither `generation` nor `revision` moves.
 */
import type { InstanceId } from '../model/ids.ts'
import { asDocument } from './instance-documents.ts'
import type { InstanceRow } from './instances.ts'
import type { Reader, Writer } from './ledger.ts'
import type { Page } from './search.ts'
import type { Billing } from './service-period.ts'

export interface BilledQuery {
  /** Released instances are left out. */
  readonly at: number
  readonly instanceIds?: readonly InstanceId[] | undefined
  readonly regionId?: string | undefined
  readonly paymentType?: 'PayAsYouGo' | 'Subscription' | undefined
  readonly commodityCode?: string | undefined
  readonly autoRenew?: boolean | undefined
  readonly page: Page
}

/** Newest first. */
export async function listBilled(
  reader: Reader,
  query: BilledQuery,
): Promise<{ totalCount: number; rows: InstanceRow[] }> {
  let found = reader.selectFrom('instances').where('wanted', '=', 'present').where('release_time_ms', '>', query.at)
  if (query.instanceIds !== undefined) found = found.where('instance_id', 'in', query.instanceIds)
  if (query.regionId !== undefined) found = found.where('region_id', '=', query.regionId)
  if (query.paymentType !== undefined) found = found.where('payment_type', '=', query.paymentType)
  if (query.commodityCode !== undefined) found = found.where('commodity_code', '=', query.commodityCode)
  if (query.autoRenew !== undefined) {
    found = found.where('billing_json', query.autoRenew ? 'like' : 'not like', '%"autoRenew":true%')
  }
  const counted = await found.select((of) => of.fn.countAll<number>().as('count')).executeTakeFirstOrThrow()
  const rows = await found
    .selectAll()
    .orderBy('create_time_ms', 'desc')
    .orderBy('instance_id', 'desc')
    .limit(query.page.size)
    .offset((query.page.number - 1) * query.page.size)
    .execute()
  return { totalCount: Number(counted.count), rows }
}

export async function changeBilling(
  writer: Writer,
  instanceId: InstanceId,
  billing: Billing,
  change: { readonly at: number },
): Promise<void> {
  await writer
    .updateTable('instances')
    .set({ billing_json: asDocument(billing), update_time_ms: change.at })
    .where('instance_id', '=', instanceId)
    .execute()
}
