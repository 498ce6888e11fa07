/**
 * The record of what changed and why: read newest first, kept to a bounded length. Rows are written
 * by `ChangeContext.record` only, in the transaction of the change itself.
 */
import type { Reader, Writer } from './ledger.ts'
import type { Row } from './schema.ts'

export type ChangeRow = Row<'changes'>

/** Rows one call of `pruneChanges` removes at most. */
export const CHANGE_PRUNE_LIMIT = 1_000

/** Longest page of `listChanges`. */
export const MAX_CHANGES_PAGE = 1_000

/** Newest first. `before` is the `change_id` of the last row of the page before. */
export function listChanges(
  reader: Reader,
  query: {
    /** Only changes of this resource (`acs:…` name or id, as recorded). */
    readonly resource?: string | undefined
    readonly before?: number | undefined
    readonly limit: number
  },
): Promise<ChangeRow[]> {
  let found = reader.selectFrom('changes').selectAll()
  if (query.resource !== undefined) found = found.where('resource', '=', query.resource)
  if (query.before !== undefined) found = found.where('change_id', '<', query.before)
  return found.orderBy('change_id', 'desc').limit(Math.min(query.limit, MAX_CHANGES_PAGE)).execute()
}

/** Removes the oldest changes beyond the newest `keep`, at most `CHANGE_PRUNE_LIMIT`; answers how many. */
export async function pruneChanges(tx: Writer, keep: number): Promise<number> {
  const boundary = await tx
    .selectFrom('changes')
    .select('change_id')
    .orderBy('change_id', 'desc')
    .offset(keep)
    .limit(1)
    .executeTakeFirst()
  if (boundary === undefined) return 0
  const { numDeletedRows } = await tx
    .deleteFrom('changes')
    .where('change_id', 'in', (of) =>
      of
        .selectFrom('changes')
        .select('change_id')
        .where('change_id', '<=', boundary.change_id)
        .orderBy('change_id')
        .limit(CHANGE_PRUNE_LIMIT),
    )
    .executeTakeFirst()
  return Number(numDeletedRows)
}
