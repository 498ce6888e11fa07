/**
 * Percent-encoding, both ways, without ever throwing: what a client put on the wire is decoded as far as
 * it decodes, and what does not stays as it was typed. Terraform inserts names into paths unescaped
 * (api-semantics §1.1), so `%RETRY%group` must reach the check of names as text and must not throw.
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
  let at = text.indexOf('%')
  if (at < 0) return text
  let decoded = ''
  let from = 0
  while (at >= 0) {
    const end = endOfEscapes(text, at)
    const meaning = end > at ? meaningOf(text, at, end) : null
    if (meaning !== null) {
      decoded += text.slice(from, at) + meaning
      from = end
    }
    at = text.indexOf('%', Math.max(end, at + 1))
  }
  return decoded + text.slice(from)
}

/** The same for a query, where `+` is a space. */
export function decodeForm(text: string): string {
  return decodePercent(text.includes('+') ? text.replaceAll('+', ' ') : text)
}

export type QueryPair = readonly [name: string, value: string]

/**
 * Decoded pairs in the order sent; a name without `=` has the empty value, empty pieces (`&&`) are dropped. What is behind
 * the first `most` pairs is not looked at.
 */
export function parseQuery(rawQuery: string, most = Number.POSITIVE_INFINITY): QueryPair[] {
  const pairs: QueryPair[] = []
  for (let from = 0; from < rawQuery.length && pairs.length < most; ) {
    const next = rawQuery.indexOf('&', from)
    const end = next < 0 ? rawQuery.length : next
    if (end > from) pairs.push(pairOf(rawQuery.slice(from, end)))
    from = end + 1
  }
  return pairs
}

function pairOf(piece: string): QueryPair {
  const at = piece.indexOf('=')
  return at < 0 ? [decodeForm(piece), ''] : [decodeForm(piece.slice(0, at)), decodeForm(piece.slice(at + 1))]
}

/** Behind the last of the escapes that follow each other from `at` on; `at` when there is none. */
function endOfEscapes(text: string, at: number): number {
  let end = at
  while (text.charCodeAt(end) === PERCENT && isHex(text.charCodeAt(end + 1)) && isHex(text.charCodeAt(end + 2)))
    end += 3
  return end
}

/**
 * What a run of escapes says; null when it is no UTF-8 (RFC 3629). By nothing that throws: whoever calls is not known yet,
 * and may have typed a hundred thousand of them.
 */
function meaningOf(text: string, from: number, to: number): string | null {
  let meaning = ''
  for (let at = from; at < to; ) {
    const first = byteAt(text, at)
    const more = first < 0x80 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1
    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || at + 3 * more >= to) return null
    let point = first & VALUE_BITS[more]!
    for (let n = 1; n <= more; n++) {
      const next = byteAt(text, at + 3 * n)
      if ((next & 0xc0) !== 0x80) return null
      point = point * 64 + (next & 0x3f)
    }
    // Written longer than need be, half a surrogate pair, or beyond Unicode.
    if (point < SMALLEST[more]! || (point >= 0xd800 && point < 0xe000) || point > 0x10ffff) return null
    meaning += String.fromCodePoint(point)
    at += 3 * (more + 1)
  }
  return meaning
}

/** Of the first byte, by how many follow it. */
const VALUE_BITS = [0x7f, 0x1f, 0x0f, 0x07]
/** The smallest code point that needs so many more. */
const SMALLEST = [0, 0x80, 0x800, 0x10000]

const byteAt = (text: string, at: number): number => hexAt(text, at + 1) * 16 + hexAt(text, at + 2)

function hexAt(text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code <= 0x39 ? code - 0x30 : (code & 0x1f) + 9
}

const PERCENT = 0x25

function isHex(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66)
}
