/**
 * Data-plane accounts of an instance. The password is stored sealed, for the very row it belongs to;
 * it leaves this file in clear only through `openPassword`, and must never reach a log.
 */
import type { InstanceId } from '../model/ids.ts'
import type { Reader, Writer } from './ledger.ts'
import type { Row } from './schema.ts'
import { containsText, type Page } from './search.ts'
import type { Secrets } from './secrets.ts'

export type AccountRow = Row<'instance_accounts'>

/** The one account an instance is made with (intelligent identification, product-facts §5.4). */
export function findDefaultAccount(reader: Reader, instanceId: InstanceId): Promise<AccountRow | undefined> {
  return reader
    .selectFrom('instance_accounts')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .where('account_type', '=', 'DEFAULT')
    .executeTakeFirst()
}

export function findAccount(reader: Reader, instanceId: InstanceId, username: string): Promise<AccountRow | undefined> {
  return reader
    .selectFrom('instance_accounts')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .where('username', '=', username)
    .executeTakeFirst()
}

export async function insertAccount(
  writer: Writer,
  secrets: Secrets,
  account: Omit<AccountRow, 'password_sealed'> & { readonly password: string },
): Promise<void> {
  const { password, ...columns } = account
  const password_sealed = secrets.seal(password, passwordContext(account.instance_id, account.username))
  await writer
    .insertInto('instance_accounts')
    .values({ ...columns, password_sealed })
    .execute()
}

/** A new password, state or note; what is left out stays. */
export async function updateAccount(
  writer: Writer,
  secrets: Secrets,
  row: AccountRow,
  change: Partial<Pick<AccountRow, 'account_status' | 'remark'>> & {
    readonly password?: string | undefined
    readonly at: number
  },
): Promise<void> {
  const { password, at, ...columns } = change
  const sealed =
    password === undefined
      ? {}
      : { password_sealed: secrets.seal(password, passwordContext(row.instance_id, row.username)) }
  await writer
    .updateTable('instance_accounts')
    .set({ ...columns, ...sealed, update_time_ms: at })
    .where('instance_id', '=', row.instance_id)
    .where('username', '=', row.username)
    .execute()
}

/** With its grants, which the table of grants ties to it. */
export async function deleteAccount(writer: Writer, row: Pick<AccountRow, 'instance_id' | 'username'>): Promise<void> {
  await writer
    .deleteFrom('instance_accounts')
    .where('instance_id', '=', row.instance_id)
    .where('username', '=', row.username)
    .execute()
}

export async function countAccounts(reader: Reader, instanceId: InstanceId): Promise<number> {
  const { count } = await reader
    .selectFrom('instance_accounts')
    .select((of) => of.fn.countAll<number>().as('count'))
    .where('instance_id', '=', instanceId)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** Newest first, the name deciding between accounts of the same millisecond. */
export async function listAccounts(
  reader: Reader,
  query: {
    readonly instanceId: InstanceId
    /** Part of the name. */
    readonly username?: string | undefined
    readonly accountStatus?: AccountRow['account_status'] | undefined
    readonly accountType?: AccountRow['account_type'] | undefined
    readonly page: Page
  },
): Promise<{ totalCount: number; rows: AccountRow[] }> {
  const { username, accountStatus, accountType, page } = query
  let matching = reader.selectFrom('instance_accounts').where('instance_id', '=', query.instanceId)
  if (username) matching = matching.where((of) => containsText(of.ref('username'), username))
  if (accountStatus) matching = matching.where('account_status', '=', accountStatus)
  if (accountType) matching = matching.where('account_type', '=', accountType)
  const { count } = await matching.select((of) => of.fn.countAll<number>().as('count')).executeTakeFirstOrThrow()
  const rows = await matching
    .selectAll()
    .orderBy('create_time_ms', 'desc')
    .orderBy('username', 'desc')
    .limit(page.size)
    .offset((page.number - 1) * page.size)
    .execute()
  return { totalCount: Number(count), rows }
}

/** The password in clear. Throws when the sealed text belongs to another row or another key. */
export function openPassword(secrets: Secrets, row: AccountRow): string {
  return secrets.open(row.password_sealed, passwordContext(row.instance_id, row.username))
}

/** Names the row a sealed password belongs to. */
export const passwordContext = (instanceId: InstanceId, username: string): string =>
  `instance_accounts/${instanceId}/${username}`
