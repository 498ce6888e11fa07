/**
 * Filters: which messages a receive wants. By tag (data-plane: `*`, or tags joined by `||`, exact and
 * case-sensitive; a message without a tag matches only `*`), or by an SQL92 expression over properties.
 *
 * The queue index keeps a 32-bit hash of each message's tag, so messages whose tag does not match are passed
 * over without being read. A hash that matches is only a hint: the exact tag is compared before
 * delivery (`matches`), because two tags may share a hash. An expression can be evaluated only on the
 * message itself: a take uses results that are there (`Entries.passes`, `Lease.matchedBy` and `refusedBy`), or asks for them.
 */
export type TagFilter = ReadonlySet<string> | null

export interface SqlFilter {
  readonly sql: string
  passes(payload: Uint8Array): boolean
}

export type Filter = TagFilter | SqlFilter

/** The expression of a filter that is one. */
export function sqlOf(filter: Filter): SqlFilter | null {
  return filter !== null && 'sql' in filter ? filter : null
}

/** FNV-1a over UTF-16 units; 0 is kept for "no tag". */
export function tagHash(tag: string | null): number {
  if (tag === null) return 0
  let hash = 0x811c9dc5
  for (let i = 0; i < tag.length; i++) hash = Math.imul(hash ^ tag.charCodeAt(i), 0x01000193)
  return hash >>> 0 || 1
}

/** The hashes a filter lets through; null lets everything through. */
export function filterHashes(filter: Filter): ReadonlySet<number> | null {
  if (filter === null || 'sql' in filter) return null
  const hashes = new Set<number>()
  for (const tag of filter) hashes.add(tagHash(tag))
  return hashes
}

/** Exactly, of the message itself. */
export function matches(
  filter: Filter,
  message: { readonly tag: string | null; readonly payload: Uint8Array },
): boolean {
  if (filter === null) return true
  return 'sql' in filter ? filter.passes(message.payload) : message.tag !== null && filter.has(message.tag)
}
