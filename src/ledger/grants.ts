/** Grants in the ledger: one for each account, kind and name of a resource. They go with their account. */
import type { InstanceId } from '../model/ids.ts'
import type { GrantAction, GrantSpec } from '../model/instances.ts'
import type { Reader, Writer } from './ledger.ts'
import type { Row } from './schema.ts'
import { containsText, type Page } from './search.ts'

export type GrantRow = Row<'instance_grants'>
export type GrantKey = Pick<GrantRow, 'instance_id' | 'username' | 'resource_type' | 'resource_name'>
export type GrantColumns = Pick<GrantRow, 'actions_json' | 'decision' | 'ip_whitelists_json'>

export function findGrant(reader: Reader, key: GrantKey): Promise<GrantRow | undefined> {
  return reader
    .selectFrom('instance_grants')
    .selectAll()
    .where('instance_id', '=', key.instance_id)
    .where('username', '=', key.username)
    .where('resource_type', '=', key.resource_type)
    .where('resource_name', '=', key.resource_name)
    .executeTakeFirst()
}

export async function insertGrant(writer: Writer, row: GrantRow): Promise<void> {
  await writer.insertInto('instance_grants').values(row).execute()
}

export async function updateGrant(
  writer: Writer,
  key: GrantKey,
  columns: GrantColumns & Pick<GrantRow, 'update_time_ms'>,
): Promise<void> {
  await writer
    .updateTable('instance_grants')
    .set({
      actions_json: columns.actions_json,
      decision: columns.decision,
      ip_whitelists_json: columns.ip_whitelists_json,
      update_time_ms: columns.update_time_ms,
    })
    .where('instance_id', '=', key.instance_id)
    .where('username', '=', key.username)
    .where('resource_type', '=', key.resource_type)
    .where('resource_name', '=', key.resource_name)
    .execute()
}

export async function deleteGrant(writer: Writer, key: GrantKey): Promise<void> {
  await writer
    .deleteFrom('instance_grants')
    .where('instance_id', '=', key.instance_id)
    .where('username', '=', key.username)
    .where('resource_type', '=', key.resource_type)
    .where('resource_name', '=', key.resource_name)
    .execute()
}

export async function countGrants(reader: Reader, instanceId: InstanceId): Promise<number> {
  const { count } = await reader
    .selectFrom('instance_grants')
    .select((of) => of.fn.countAll<number>().as('count'))
    .where('instance_id', '=', instanceId)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Grants of one instance that count for some addresses only, in no order. */
export function grantsWithAddresses(
  reader: Reader,
  instanceId: InstanceId,
): Promise<(GrantKey & Pick<GrantRow, 'ip_whitelists_json'>)[]> {
  return reader
    .selectFrom('instance_grants')
    .select(['instance_id', 'username', 'resource_type', 'resource_name', 'ip_whitelists_json'])
    .where('instance_id', '=', instanceId)
    .where('ip_whitelists_json', 'is not', null)
    .execute()
}

/** Newest first, then by account and resource. */
export async function listGrants(
  reader: Reader,
  query: { readonly instanceId: InstanceId; readonly filter?: string | undefined; readonly page: Page },
): Promise<{ totalCount: number; rows: GrantRow[] }> {
  const { filter, page } = query
  let matching = reader.selectFrom('instance_grants').where('instance_id', '=', query.instanceId)
  if (filter) {
    matching = matching.where((of) =>
      of.or([containsText(of.ref('username'), filter), containsText(of.ref('resource_name'), filter)]),
    )
  }
  const { count } = await matching.select((of) => of.fn.countAll<number>().as('count')).executeTakeFirstOrThrow()
  const rows = await matching
    .selectAll()
    .orderBy('create_time_ms', 'desc')
    .orderBy('username')
    .orderBy('resource_type')
    .orderBy('resource_name')
    .limit(page.size)
    .offset((page.number - 1) * page.size)
    .execute()
  return { totalCount: Number(count), rows }
}

/** As they were sent. */
export const actionsOf = (row: Pick<GrantRow, 'actions_json'>): string[] => JSON.parse(row.actions_json) as string[]

/** Null when none were sent. */
export const ipWhitelistsOf = (row: Pick<GrantRow, 'ip_whitelists_json'>): string[] | null =>
  row.ip_whitelists_json === null ? null : (JSON.parse(row.ip_whitelists_json) as string[])

/** What it means. */
export function grantSpecOf(row: GrantRow): GrantSpec {
  const actions = actionsOf(row).flatMap((action) => action.split('|')) as GrantAction[]
  return {
    username: row.username,
    resourceType: row.resource_type,
    resourceName: row.resource_name,
    actions: [...new Set(actions)],
    decision: row.decision,
    addresses: ipWhitelistsOf(row) ?? [],
  }
}
