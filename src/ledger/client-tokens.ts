/**
 * Client tokens: the same token with the same request answers the same result for 24 hours, also
 * when both calls are in flight together and after a restart; with another request it is refused.
 *
 * The claim lives in the transaction that does the work, so token and work are stored together or
 * not at all. Of two calls in flight the unique key lets one through; the other waits (SQLite) or is
 * run again (PostgreSQL) and then finds the first one's result.
 */
import type { Reader, Writer } from './ledger.ts'

/** How long a token is kept (issue: 24 hours). */
export const CLIENT_TOKEN_LIFE_MS = 24 * 60 * 60_000

/** Rows one call of `pruneClientTokens` removes at most. */
export const PRUNE_LIMIT = 1_000

export interface TokenClaim {
  readonly operation: string
  readonly regionId: string
  readonly clientToken: string
  /** SHA-256 of the request's canonical parameters. */
  readonly fingerprint: string
  /** Now, milliseconds since the epoch. */
  readonly at: number
}

export type TokenOutcome<T> =
  /** The token was free; `make` ran and its result is kept. */
  | { readonly kind: 'made'; readonly result: T }
  /** The same request was answered before; `make` did not run. */
  | { readonly kind: 'repeated'; readonly result: T }
  /** The token belongs to another request. */
  | { readonly kind: 'mismatch' }

/**
 * Answers what the token's first call answered, or runs `make` in this transaction and keeps its
 * result, which must survive JSON. When `make` throws, the token stays free (the change is undone).
 */
export async function claimClientToken<T>(
  tx: Writer,
  claim: TokenClaim,
  make: () => Promise<T>,
): Promise<TokenOutcome<T>> {
  const known = await findClientToken<T>(tx, claim)
  if (known !== null) {
    return known.fingerprint === claim.fingerprint ? { kind: 'repeated', result: known.result } : { kind: 'mismatch' }
  }
  const result = await make()
  const row = {
    operation: claim.operation,
    region_id: claim.regionId,
    client_token: claim.clientToken,
    fingerprint: claim.fingerprint,
    result_json: JSON.stringify(result),
    create_time_ms: claim.at,
  }
  await tx
    .insertInto('client_tokens')
    .values(row)
    // Only a token older than 24 hours can be in the way here: a younger one was found above.
    .onConflict((conflict) =>
      conflict.columns(['operation', 'region_id', 'client_token']).doUpdateSet({
        fingerprint: row.fingerprint,
        result_json: row.result_json,
        create_time_ms: row.create_time_ms,
      }),
    )
    .execute()
  return { kind: 'made', result }
}

/** What the token stands for at `at`, or null; usable before a change, to answer a repetition without one. */
export async function findClientToken<T>(
  reader: Reader,
  claim: Pick<TokenClaim, 'operation' | 'regionId' | 'clientToken' | 'at'>,
): Promise<{ readonly fingerprint: string; readonly result: T } | null> {
  const row = await reader
    .selectFrom('client_tokens')
    .select(['fingerprint', 'result_json'])
    .where('operation', '=', claim.operation)
    .where('region_id', '=', claim.regionId)
    .where('client_token', '=', claim.clientToken)
    .where('create_time_ms', '>', claim.at - CLIENT_TOKEN_LIFE_MS)
    .executeTakeFirst()
  return row === undefined ? null : { fingerprint: row.fingerprint, result: JSON.parse(row.result_json) as T }
}

/** Removes at most `PRUNE_LIMIT` tokens that are older than 24 hours, oldest first; answers how many. */
export async function pruneClientTokens(tx: Writer, at: number): Promise<number> {
  const due = await tx
    .selectFrom('client_tokens')
    .select(['operation', 'region_id', 'client_token'])
    .where('create_time_ms', '<=', at - CLIENT_TOKEN_LIFE_MS)
    .orderBy('create_time_ms')
    .limit(PRUNE_LIMIT)
    .execute()
  let removed = 0
  for (const row of due) {
    const { numDeletedRows } = await tx
      .deleteFrom('client_tokens')
      .where('operation', '=', row.operation)
      .where('region_id', '=', row.region_id)
      .where('client_token', '=', row.client_token)
      .executeTakeFirst()
    removed += Number(numDeletedRows)
  }
  return removed
}
