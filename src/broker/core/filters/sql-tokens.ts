/** The tokens of an expression, in order, with their places. */
import { named, SqlError, sqlLimits } from './sql-error.ts'
import { isDigit } from './sql-values.ts'

type TokenKind = 'keyword' | 'name' | 'text' | 'whole' | 'float' | 'sign' | 'end'

export interface Token {
  readonly kind: TokenKind
  /** Keywords in capitals, texts without their quotes, the rest as written. */
  readonly text: string
  readonly position: number
}

const KEYWORDS: ReadonlySet<string> = new Set(
  'NOT AND OR BETWEEN IN TRUE FALSE NULL IS CONTAINS STARTSWITH ENDSWITH'.split(' '),
)
const TWO_CHARACTER_SIGNS: ReadonlySet<string> = new Set(['<>', '<=', '>='])
const SIGNS = '=<>(),+-'

export function tokensOf(text: string): Token[] {
  const tokens: Token[] = []
  let at = 0
  const put = (kind: TokenKind, end: number, as: string = text.slice(at, end)): void => {
    if (tokens.length >= 2 * sqlLimits.terms)
      throw new SqlError(`The expression has more than ${2 * sqlLimits.terms} words and signs`, at + 1)
    tokens.push({ kind, text: as, position: at + 1 })
    at = end
  }
  for (;;) {
    at = afterBlanks(text, at)
    if (at >= text.length) break
    const code = text.charCodeAt(at)
    if (isNameStart(code)) {
      let end = at + 1
      while (end < text.length && (isNameStart(text.charCodeAt(end)) || isDigit(text.charCodeAt(end)))) end++
      const upper = text.slice(at, end).toUpperCase()
      if (KEYWORDS.has(upper)) put('keyword', end, upper)
      else put('name', end)
    } else if (code === 39) {
      const end = afterQuoted(text, at)
      put('text', end, text.slice(at + 1, end - 1).replaceAll("''", "'"))
    } else if (isDigit(code) || (code === 46 && isDigit(text.charCodeAt(at + 1)))) {
      const { end, kind } = numberAt(text, at)
      put(kind, end)
    } else if (TWO_CHARACTER_SIGNS.has(text.slice(at, at + 2))) put('sign', at + 2)
    else if (SIGNS.includes(text[at]!)) put('sign', at + 1)
    else throw new SqlError(`${named(text[at]!)} does not belong into an expression`, at + 1)
  }
  tokens.push({ kind: 'end', text: '', position: text.length + 1 })
  return tokens
}

/** Blanks, `-- to the end of the line`, and block comments. */
function afterBlanks(text: string, from: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === 32 || code === 9 || code === 10 || code === 12 || code === 13) at++
    else if (text.startsWith('--', at)) {
      while (at < text.length && text.charCodeAt(at) !== 10 && text.charCodeAt(at) !== 13) at++
    } else if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2)
      if (end < 0) throw new SqlError('A comment has no end', at + 1)
      at = end + 2
    } else return at
  }
}

function afterQuoted(text: string, from: number): number {
  for (let at = from + 1; ; at++) {
    at = text.indexOf("'", at)
    if (at < 0) throw new SqlError("A text has no closing '", from + 1)
    if (text.charCodeAt(at + 1) !== 39) return at + 1
    at++
  }
}

function numberAt(text: string, from: number): { readonly end: number; readonly kind: 'whole' | 'float' } {
  let at = afterDigits(text, from)
  let kind: 'whole' | 'float' = 'whole'
  if (text.charCodeAt(at) === 46) {
    kind = 'float'
    at = afterDigits(text, at + 1)
  }
  if ((text.charCodeAt(at) | 32) === 101) {
    const sign = text.charCodeAt(at + 1)
    const digits = sign === 43 || sign === 45 ? at + 2 : at + 1
    if (isDigit(text.charCodeAt(digits))) {
      kind = 'float'
      at = afterDigits(text, digits)
    }
  }
  if (kind === 'float') return { end: at, kind }
  if (text.charCodeAt(from) === 48 && at > from + 1)
    throw new SqlError(`${text.slice(from, Math.min(at, from + 40))}: a whole number does not begin with 0`, from + 1)
  // `5L`, but not `0L`, as Apache.
  if ((text.charCodeAt(at) | 32) === 108 && text.charCodeAt(from) !== 48) at++
  return { end: at, kind }
}

function afterDigits(text: string, from: number): number {
  let at = from
  while (isDigit(text.charCodeAt(at))) at++
  return at
}

const isNameStart = (code: number): boolean =>
  (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95 || code === 36
