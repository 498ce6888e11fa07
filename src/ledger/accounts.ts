/**
 * Data-plane accounts of an instance. The password is stored sealed, for the very row it belongs to;
 * it leaves this file in clear only through `openPassword`, and must never reach a log.
 */
import type { InstanceId } from '../model/ids.ts'
import type { Reader, Writer } from './ledger.ts'
import type { Row } from './schema.ts'
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

/** The password in clear. Throws when the sealed text belongs to another row or another key. */
export function openPassword(secrets: Secrets, row: AccountRow): string {
  return secrets.open(row.password_sealed, passwordContext(row.instance_id, row.username))
}

/** Names the row a sealed password belongs to. */
export const passwordContext = (instanceId: InstanceId, username: string): string =>
  `instance_accounts/${instanceId}/${username}`
