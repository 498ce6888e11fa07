/**
 * Tag filters: which messages a receive wants (data-plane: `*`, or tags joined by `||`, exact and
 * case-sensitive; a message without a tag matches only `*`).
 *
 * The queue index keeps a 32-bit hash of each message's tag, so messages that do not match are passed
 * over without being read. A hash that matches is only a hint: the exact tag is compared before
 * delivery (`matches`), because two tags may share a hash.
 */
export type TagFilter = ReadonlySet<string> | null

/** FNV-1a over UTF-16 units; 0 is kept for "no tag". */
export function tagHash(tag: string | null): number {
  if (tag === null) return 0
  let hash = 0x811c9dc5
  for (let i = 0; i < tag.length; i++) hash = Math.imul(hash ^ tag.charCodeAt(i), 0x01000193)
  return hash >>> 0 || 1
}

/** The hashes a filter lets through; null lets everything through. */
export function filterHashes(filter: TagFilter): ReadonlySet<number> | null {
  if (filter === null) return null
  const hashes = new Set<number>()
  for (const tag of filter) hashes.add(tagHash(tag))
  return hashes
}

export function matches(filter: TagFilter, tag: string | null): boolean {
  return filter === null || (tag !== null && filter.has(tag))
}
