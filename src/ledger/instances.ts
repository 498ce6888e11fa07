/**
 * Instances in the ledger: finding, listing, and the few ways a wanted change is written.
 *
 * Every function takes a `Reader` (or a `Writer`, inside a change) first. `generation` rises through
 * `changeInstance` only, `revision` through it and `touchInstance`; what the loop observed is the
 * loop's to write and is never touched here.
 */

import { type SqlBool, sql } from 'kysely'
import type { InstanceId } from '../model/ids.ts'
import { billingOf } from './instance-documents.ts'
import type { Reader, Writer } from './ledger.ts'
import type { NewRow, Row } from './schema.ts'
import { containsText, type Page } from './search.ts'
import { automaticRenewal, RENEWED_BEFORE_EXPIRY_MS } from './service-period.ts'

export type InstanceRow = Row<'instances'>

/** Columns a caller may ask to change; generation and revision follow from how it is changed. */
export type InstanceColumns = Partial<
  Pick<
    InstanceRow,
    | 'instance_name'
    | 'remark'
    | 'resource_group_id'
    | 'product_info_json'
    | 'network_info_json'
    | 'acl_info_json'
    | 'ip_whitelist_json'
    | 'maintain_time'
  >
>

/** The row whether it is wanted or not; undefined in another region. */
export function findInstance(
  reader: Reader,
  regionId: string,
  instanceId: InstanceId,
): Promise<InstanceRow | undefined> {
  return reader
    .selectFrom('instances')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .where('region_id', '=', regionId)
    .executeTakeFirst()
}

/** Ids are unique over all regions. */
export async function instanceIdTaken(reader: Reader, instanceId: InstanceId): Promise<boolean> {
  const found = await reader
    .selectFrom('instances')
    .select('instance_id')
    .where('instance_id', '=', instanceId)
    .executeTakeFirst()
  return found !== undefined
}

export async function insertInstance(writer: Writer, row: NewRow<'instances'>): Promise<void> {
  await writer.insertInto('instances').values(row).execute()
}

/** A change the engine must carry out (`specification: true`) or one that only describes the instance. */
export async function changeInstance(
  writer: Writer,
  row: InstanceRow,
  columns: InstanceColumns,
  change: { readonly at: number; readonly specification: boolean },
): Promise<void> {
  const raised = change.specification ? { generation: row.generation + 1, revision: row.revision + 1 } : {}
  await writer
    .updateTable('instances')
    .set({ ...columns, ...raised, update_time_ms: change.at })
    .where('instance_id', '=', row.instance_id)
    .execute()
}

/** Marks that something in the instance (a topic, a group) changed, so that the loop looks at it. */
export async function touchInstance(writer: Writer, instanceId: InstanceId): Promise<void> {
  await writer
    .updateTable('instances')
    .set((of) => ({ revision: of('revision', '+', 1) }))
    .where('instance_id', '=', instanceId)
    .execute()
}

/** Marks the instance as no longer wanted; its row stays until the loop has observed that the engine removed it. */
export async function unwantInstance(writer: Writer, row: InstanceRow, at: number): Promise<void> {
  await writer
    .updateTable('instances')
    .set({ wanted: 'absent', generation: row.generation + 1, revision: row.revision + 1, update_time_ms: at })
    .where('instance_id', '=', row.instance_id)
    .execute()
}

export interface InstanceQuery {
  readonly regionId: string
  /** Instances released by this time are left out. */
  readonly at: number
  /** Part of the id or the name. */
  readonly filter?: string | undefined
  readonly resourceGroupId?: string | undefined
  readonly seriesCodes?: readonly string[] | undefined
  readonly storageSecretKey?: string | undefined
  /** Every pair must be on the instance; a pair without a value asks for the key alone. */
  readonly tags?: ReadonlyArray<{ readonly key: string; readonly value?: string | undefined }> | undefined
  readonly page: Page
}

/** Newest first, the id deciding between instances of the same millisecond (the order of the index, backwards). */
export async function listInstances(
  reader: Reader,
  query: InstanceQuery,
): Promise<{ totalCount: number; rows: InstanceRow[] }> {
  let matching = matchingInstances(reader, query)
  // Released instances the loop has not marked yet are rare; asking first keeps the usual count in the index.
  if (await someReleased(reader, query.at)) matching = matching.where('release_time_ms', '>', query.at)
  const counted = await matching.select((of) => of.fn.countAll<number>().as('count')).executeTakeFirstOrThrow()
  const rows = await matching
    .selectAll()
    .orderBy('create_time_ms', 'desc')
    .orderBy('instance_id', 'desc')
    .limit(query.page.size)
    .offset((query.page.number - 1) * query.page.size)
    .execute()
  return { totalCount: Number(counted.count), rows }
}

async function someReleased(reader: Reader, at: number): Promise<boolean> {
  const found = await reader
    .selectFrom('instances')
    .select('instance_id')
    .where('release_time_ms', '<=', at)
    .where('wanted', '=', 'present')
    .limit(1)
    .executeTakeFirst()
  return found !== undefined
}

function matchingInstances(reader: Reader, query: InstanceQuery) {
  let found = reader.selectFrom('instances').where('region_id', '=', query.regionId).where('wanted', '=', 'present')
  const { filter, resourceGroupId, seriesCodes, storageSecretKey } = query
  if (filter) {
    found = found.where((of) =>
      of.or([containsText(of.ref('instance_id'), filter), containsText(of.ref('instance_name'), filter)]),
    )
  }
  if (resourceGroupId) found = found.where('resource_group_id', '=', resourceGroupId)
  if (seriesCodes && seriesCodes.length > 0) found = found.where('series_code', 'in', seriesCodes)
  if (storageSecretKey) {
    // The key is a member of a JSON text; both databases are asked for its exact spelling in that text.
    const member = `"storageSecretKey":${JSON.stringify(storageSecretKey)}`
    found = found.where(sql<SqlBool>`replace(product_info_json, ${member}, '') <> product_info_json`)
  }
  for (const tag of query.tags ?? []) {
    found = found.where('instance_id', 'in', (of) => {
      const carrying = of
        .selectFrom('tags')
        .select('tags.resource_id')
        .where('tags.region_id', '=', query.regionId)
        .where('tags.resource_type', '=', 'instance')
        .where('tags.tag_key', '=', tag.key)
      return tag.value === undefined ? carrying : carrying.where('tags.tag_value', '=', tag.value)
    })
  }
  return found
}

/** Instances one call of `renewDueSubscriptions` renews at most. */
export const RENEW_LIMIT = 1_000

/**
 * Renews the subscriptions with `autoRenew` whose time has come at `at` (nine days before they expire, or later
 * if the server was away), and answers their ids: the loop must be woken for each, since one may have stopped
 * meanwhile. A second call at the same time changes nothing.
 */
export async function renewDueSubscriptions(writer: Writer, at: number, zoneMinutes: number): Promise<string[]> {
  const due = await writer
    .selectFrom('instances')
    .selectAll()
    .where('expire_time_ms', '<=', at + RENEWED_BEFORE_EXPIRY_MS)
    .where('release_time_ms', '>', at)
    .where('wanted', '=', 'present')
    .where('payment_type', '=', 'Subscription')
    .where('billing_json', 'like', '%"autoRenew":true%')
    .orderBy('expire_time_ms')
    .limit(RENEW_LIMIT)
    .execute()
  const renewed: string[] = []
  for (const row of due) {
    const current = { expireMs: row.expire_time_ms, releaseMs: row.release_time_ms }
    const next = automaticRenewal(current, billingOf(row), at, zoneMinutes)
    if (next === null) continue
    await writer
      .updateTable('instances')
      .set({ expire_time_ms: next.expireMs, release_time_ms: next.releaseMs, revision: row.revision + 1 })
      .where('instance_id', '=', row.instance_id)
      .execute()
    renewed.push(row.instance_id)
  }
  return renewed
}
