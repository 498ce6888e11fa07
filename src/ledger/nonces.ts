/**
 * Signature nonces on disk, so that a replay is refused after a restart too. What is asked on every
 * request lives in memory (iam/nonces.ts); this is its store, written with the change of a request, or in batches
 * when it changed nothing (iam/ledger-nonces.ts).
 */
import { LedgerError } from './errors.ts'
import type { OneUse, Writer } from './ledger.ts'
import type { Row } from './schema.ts'

/** Rows of one insert; SQLite takes 32,766 parameters a statement. */
const ROWS_PER_INSERT = 500

/** Rows one call of `pruneNonces` removes at most. */
export const NONCE_PRUNE_LIMIT = 5_000

export type NonceRow = Row<'used_nonces'>

/** Adds nonces; answers the keys that were there already, each of which is a replay. */
export async function insertNonces(tx: Writer, nonces: readonly NonceRow[]): Promise<ReadonlySet<string>> {
  const known = new Set<string>()
  for (let start = 0; start < nonces.length; start += ROWS_PER_INSERT) {
    const part = nonces.slice(start, start + ROWS_PER_INSERT)
    const inserted = await tx
      .insertInto('used_nonces')
      .values(part)
      .onConflict((conflict) => conflict.column('nonce_key').doNothing())
      .returning('nonce_key')
      .execute()
    if (inserted.length === part.length) continue
    const fresh = new Set(inserted.map((row) => row.nonce_key))
    for (const { nonce_key } of part) if (!fresh.delete(nonce_key)) known.add(nonce_key)
  }
  return known
}

/** Stores what may be used once; refuses with `LedgerError` `repeated` when it is stored already. */
export async function insertOneUse(tx: Writer, { key, expireTimeMs }: OneUse): Promise<void> {
  const known = await insertNonces(tx, [{ nonce_key: key, expire_time_ms: expireTimeMs }])
  if (known.size > 0) throw new LedgerError('repeated', 'The request was carried out before; nothing was changed.')
}

/** Removes at most `NONCE_PRUNE_LIMIT` nonces whose time is over at `at`; answers how many. */
export async function pruneNonces(tx: Writer, at: number): Promise<number> {
  const { numDeletedRows } = await tx
    .deleteFrom('used_nonces')
    .where('nonce_key', 'in', (of) =>
      of
        .selectFrom('used_nonces')
        .select('nonce_key')
        .where('expire_time_ms', '<=', at)
        .orderBy('expire_time_ms')
        .limit(NONCE_PRUNE_LIMIT),
    )
    .executeTakeFirst()
  return Number(numDeletedRows)
}
