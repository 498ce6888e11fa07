/**
 * Percent-encoding, both ways, without ever throwing: what a client put on the wire is decoded as far as
 * it decodes, and what does not stays as it was typed. Terraform inserts names into paths unescaped
 * (api-semantics §1.1), so `%RETRY%group` must reach the naming rule as text and not end in a crash.
 */

/** RFC 3986 encoding of UTF-8 text; only `A-Z a-z 0-9 - _ . ~` stay as they are. */
export function encodePercent(text: string): string {
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd')).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** Decodes every escape that decodes to UTF-8 and leaves the others as text. `+` stays a plus. */
export function decodePercent(text: string): string {
  if (!text.includes('%')) return text
  return decodeOrNull(text) ?? text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) => decodeOrNull(run) ?? run)
}

/** The same for a query, where `+` is a space. */
export function decodeForm(text: string): string {
  return decodePercent(text.includes('+') ? text.replaceAll('+', ' ') : text)
}

export type QueryPair = readonly [name: string, value: string]

/** Decoded pairs in the order sent; a name without `=` has the empty value, empty pieces (`&&`) are dropped. */
export function parseQuery(rawQuery: string): QueryPair[] {
  if (rawQuery === '') return []
  return rawQuery
    .split('&')
    .filter((piece) => piece !== '')
    .map((piece) => {
      const at = piece.indexOf('=')
      return at < 0 ? [decodeForm(piece), ''] : [decodeForm(piece.slice(0, at)), decodeForm(piece.slice(at + 1))]
    })
}

function decodeOrNull(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
