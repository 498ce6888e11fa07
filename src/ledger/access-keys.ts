/**
 * Access keys and RAM users. A secret is stored sealed for the very key it belongs to and leaves
 * this file in clear only through `openSecret` and `openToken`; it must never reach a log.
 */
import type { Random } from '../world/world.ts'
import type { Reader, Writer } from './ledger.ts'
import type { Row } from './schema.ts'
import type { Secrets } from './secrets.ts'

export type AccessKeyRow = Row<'access_keys'>
export type RamUserRow = Row<'ram_users'>

/** Names the row a sealed secret, or a sealed security token, belongs to. */
export const secretContext = (accessKeyId: string): string => `access_keys/${accessKeyId}/secret`
export const tokenContext = (accessKeyId: string): string => `access_keys/${accessKeyId}/token`

export function findAccessKey(reader: Reader, accessKeyId: string): Promise<AccessKeyRow | undefined> {
  return reader.selectFrom('access_keys').selectAll().where('access_key_id', '=', accessKeyId).executeTakeFirst()
}

/** Keys of a RAM user, or of the account itself for null; oldest first, temporary keys left out. */
export function accessKeysOf(reader: Reader, userName: string | null): Promise<AccessKeyRow[]> {
  return reader
    .selectFrom('access_keys')
    .selectAll()
    .where('user_name', userName === null ? 'is' : '=', userName)
    .where('expire_time_ms', 'is', null)
    .orderBy('create_time_ms')
    .orderBy('access_key_id')
    .execute()
}

export interface NewAccessKey {
  readonly accessKeyId: string
  readonly secret: string
  /** RAM user; null makes a key of the account. */
  readonly userName: string | null
  readonly publicKeyPem?: string | null
  /** Of a temporary key: its security token and the time it ends. */
  readonly temporary?: { readonly token: string; readonly expireTimeMs: number }
  readonly createTimeMs: number
}

/** Breaks the unique key when the id is taken, and the foreign key when the user is absent. */
export async function insertAccessKey(tx: Writer, secrets: Secrets, key: NewAccessKey): Promise<void> {
  await tx.insertInto('access_keys').values(rowOf(secrets, key)).execute()
}

export async function setAccessKeyStatus(
  tx: Writer,
  accessKeyId: string,
  status: AccessKeyRow['status'],
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('access_keys')
    .set({ status })
    .where('access_key_id', '=', accessKeyId)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

export async function deleteAccessKey(tx: Writer, accessKeyId: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('access_keys')
    .where('access_key_id', '=', accessKeyId)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Removes at most 1,000 temporary keys that ended by `at`; answers how many. */
export async function pruneTemporaryKeys(tx: Writer, at: number): Promise<number> {
  const { numDeletedRows } = await tx
    .deleteFrom('access_keys')
    .where('access_key_id', 'in', (of) =>
      of
        .selectFrom('access_keys')
        .select('access_key_id')
        .where('expire_time_ms', 'is not', null)
        .where('expire_time_ms', '<=', at)
        .orderBy('expire_time_ms')
        .limit(1_000),
    )
    .executeTakeFirst()
  return Number(numDeletedRows)
}

/** In clear: for checking a signature and for the card shown to the owner. */
export function openSecret(secrets: Secrets, row: AccessKeyRow): string {
  return secrets.open(row.secret_sealed, secretContext(row.access_key_id))
}

export function openToken(secrets: Secrets, row: AccessKeyRow): string | null {
  return row.token_sealed === null ? null : secrets.open(row.token_sealed, tokenContext(row.access_key_id))
}

/**
 * The account's key to show at start. With `wanted` (settings) that key exists afterwards with that
 * secret, active, replacing an older secret of the same id; without, the account's oldest active key,
 * made at random the first time. `made` says that something was written.
 * Refuses a wanted id that belongs to a RAM user or is temporary.
 */
export async function ensureAccountKey(
  tx: Writer,
  secrets: Secrets,
  options: {
    readonly random: Random
    readonly at: number
    readonly wanted?: { readonly accessKeyId: string; readonly secret: string } | null
  },
): Promise<{ readonly accessKeyId: string; readonly secret: string; readonly made: boolean }> {
  const { random, at, wanted } = options
  if (wanted) return ensureWanted(tx, secrets, wanted, at)
  const oldest = (await accessKeysOf(tx, null)).find((key) => key.status === 'Active')
  if (oldest !== undefined) {
    return { accessKeyId: oldest.access_key_id, secret: openSecret(secrets, oldest), made: false }
  }
  const made = { accessKeyId: newAccessKeyId(random), secret: newAccessKeySecret(random) }
  await insertAccessKey(tx, secrets, { ...made, userName: null, createTimeMs: at })
  return { ...made, made: true }
}

async function ensureWanted(
  tx: Writer,
  secrets: Secrets,
  wanted: { readonly accessKeyId: string; readonly secret: string },
  at: number,
): Promise<{ accessKeyId: string; secret: string; made: boolean }> {
  const key = { accessKeyId: wanted.accessKeyId, secret: wanted.secret }
  const row = await findAccessKey(tx, key.accessKeyId)
  if (row === undefined) {
    await insertAccessKey(tx, secrets, { ...key, userName: null, createTimeMs: at })
    return { ...key, made: true }
  }
  if (row.owner_type !== 'account' || row.expire_time_ms !== null) {
    throw new Error(
      `GANTRY_ACCESS_KEY_ID names ${key.accessKeyId}, which is not a permanent key of the account. Choose another id.`,
    )
  }
  if (row.status === 'Active' && openSecret(secrets, row) === key.secret) return { ...key, made: false }
  await tx
    .updateTable('access_keys')
    .set({ secret_sealed: secrets.seal(key.secret, secretContext(key.accessKeyId)), status: 'Active' })
    .where('access_key_id', '=', key.accessKeyId)
    .execute()
  return { ...key, made: true }
}

/** `LTAI` and 20 letters and digits, as the vendor's ids of today. */
export function newAccessKeyId(random: Random): string {
  return `LTAI${letters(random, 20)}`
}

/** 30 letters and digits: 178 bits. */
export function newAccessKeySecret(random: Random): string {
  return letters(random, 30)
}

// ---- RAM users

export function findRamUser(reader: Reader, userName: string): Promise<RamUserRow | undefined> {
  return reader.selectFrom('ram_users').selectAll().where('user_name', '=', userName).executeTakeFirst()
}

/** Breaks the unique key when the name or the id is taken. */
export async function insertRamUser(tx: Writer, user: RamUserRow): Promise<void> {
  await tx.insertInto('ram_users').values(user).execute()
}

/** Breaks the foreign key while the user has access keys. */
export async function deleteRamUser(tx: Writer, userName: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('ram_users').where('user_name', '=', userName).executeTakeFirst()
  return numDeletedRows > 0n
}

function rowOf(secrets: Secrets, key: NewAccessKey): AccessKeyRow {
  return {
    access_key_id: key.accessKeyId,
    secret_sealed: secrets.seal(key.secret, secretContext(key.accessKeyId)),
    public_key_pem: key.publicKeyPem ?? null,
    owner_type: key.userName === null ? 'account' : 'user',
    user_name: key.userName,
    status: 'Active',
    token_sealed: key.temporary ? secrets.seal(key.temporary.token, tokenContext(key.accessKeyId)) : null,
    expire_time_ms: key.temporary?.expireTimeMs ?? null,
    create_time_ms: key.createTimeMs,
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

function letters(random: Random, count: number): string {
  let text = ''
  for (let index = 0; index < count; index++) text += ALPHABET[random.below(ALPHABET.length)]
  return text
}
