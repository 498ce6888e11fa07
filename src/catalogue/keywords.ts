/**
 * Words of our own inside the catalogue's JSON Schemas. Standard keywords say what a value must be; these
 * say how a value is read before that is asked, and how a refusal explains itself. `decode.ts` obeys them,
 * `problems.ts` reads the last one, Ajv is told to skip them all.
 */
export const ownKeywords = [
  /** The query carries JSON text; `'bare'` lets one bare value stand for a list of one (tag operations). */
  'x-json-text',
  /** `[lowest, highest]`: an integer outside is moved to the bound instead of refused, as the vendor does with pages. */
  'x-clamp',
  /** Compare with the enumeration regardless of case and go on with the enumeration's spelling. */
  'x-ignore-case',
  /** Zero means "not sent": Terraform sends numbers it has no value for as 0. */
  'x-zero-is-absent',
  /** A list that may arrive as its only item. */
  'x-single',
  /** An empty query value is a value here; elsewhere it means "not sent". */
  'x-empty-counts',
  /** What `pattern` demands, in words. */
  'x-rule',
] as const

/** Marks a secret (OpenAPI's own idiom): its value never appears in a refusal, a log or a document. */
export const secretFormat = 'password'
