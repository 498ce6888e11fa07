/**
 * SQL92 filter expressions (data-plane §5.5): compiled once, then asked of each message's properties.
 *
 * Properties are texts; what a literal is decides what a text is compared as. Logic has three values,
 * and only TRUE lets a message through. An expression that cannot be evaluated for a message (a text
 * that is no number compared with one) does not match it, whatever stands around the comparison. Where
 * Apache's evaluator is odd we are odd alike, and the line says so: a filter that is tried here must do the
 * same in production.
 *
 * Bounded in length, depth and terms, and linear in all of them: there is nothing that backtracks.
 */
export const sqlLimits = { characters: 16_384, depth: 100, terms: 2_048 } as const

/** The text of a message's property, or null when it has none of that name. */
export type Property = (name: string) => string | null

export interface SqlExpression {
  readonly text: string
  /** Properties the expression looks at. */
  readonly names: ReadonlySet<string>
  matches(property: Property): boolean
}

/** What is wrong with an expression, and where: `position` counts characters from 1. */
export class SqlError extends Error {
  override readonly name = 'SqlError'
  readonly position: number
  constructor(message: string, position: number) {
    super(`${message} (at character ${position})`)
    this.position = position
  }
}

/** Throws `SqlError`. */
export function compileSql(text: string): SqlExpression {
  if (text.length > sqlLimits.characters)
    throw new SqlError(
      `The expression has ${text.length} characters; at most ${sqlLimits.characters} are allowed`,
      sqlLimits.characters + 1,
    )
  const parser = new Parser(tokensOf(text))
  const { evaluate } = parser.whole()
  return { text, names: parser.names, matches: (property) => evaluate(property) === true }
}

// Values ------------------------------------------------------------------------------------------

/** A whole number of 32 or 64 bits; `value` is a bigint where a number would not be exact. */
interface Whole {
  readonly bits: 32 | 64
  readonly value: number | bigint
}

/** A JavaScript number is a 64-bit floating point number here; null is "unknown". */
type Value = string | boolean | number | Whole | null

/** Evaluating came to nothing: the message does not match. A value and not an exception, because it may happen for each of a million messages. */
const RAISED = Symbol('raised')
type Raised = typeof RAISED

type Evaluate = (property: Property) => Value | Raised

/** Below, at, or above zero, as `compareTo`; where the kinds have nothing in common the left counts as less (Apache). */
function compare(left: Exclude<Value, null>, right: Exclude<Value, null>): number | Raised {
  if (typeof left === 'string') return compareText(left, right)
  if (typeof left === 'boolean') {
    // Apache casts the wrong side to a text here, which always fails: write the property on the left.
    if (typeof right === 'string') return RAISED
    return typeof right === 'boolean' ? Number(left) - Number(right) : -1
  }
  if (typeof right === 'boolean') return -1
  if (typeof right === 'string') {
    const converted = typeof left === 'number' ? floatOf(right) : wholeOf(right, left.bits)
    if (converted === RAISED) return RAISED
    return typeof left === 'number' ? compareFloats(left, converted as number) : compareWholes(left.value, converted)
  }
  if (typeof left === 'number') return compareFloats(left, typeof right === 'number' ? right : Number(right.value))
  if (typeof right === 'number') return compareFloats(Number(left.value), right)
  return compareWholes(left.value, right.value)
}

function compareText(left: string, right: Exclude<Value, null>): number | Raised {
  if (typeof right === 'string') return left < right ? -1 : left > right ? 1 : 0
  if (typeof right === 'boolean') return Number(left.toLowerCase() === 'true') - Number(right)
  if (typeof right === 'number') {
    const converted = floatOf(left)
    return converted === RAISED ? RAISED : compareFloats(converted, right)
  }
  const converted = wholeOf(left, right.bits)
  return converted === RAISED ? RAISED : compareWholes(converted, right.value)
}

const compareWholes = (left: number | bigint, right: number | bigint): number =>
  left < right ? -1 : left > right ? 1 : 0

/** NaN is above everything and equal to itself, and −0 is below 0 (Java's total order). */
function compareFloats(left: number, right: number): number {
  if (left < right) return -1
  if (left > right) return 1
  if (Object.is(left, right)) return 0
  if (Number.isNaN(left)) return 1
  if (Number.isNaN(right)) return -1
  return Object.is(left, -0) ? -1 : 1
}

const MOST_DIGITS = 19
const range = {
  32: { least: -(2 ** 31), most: 2 ** 31 - 1 },
  64: { least: -(2n ** 63n), most: 2n ** 63n - 1n },
} as const

/** As Java reads a whole number: a sign and digits, nothing else, and it must fit. */
function wholeOf(text: string, bits: 32 | 64): number | bigint | Raised {
  const signed = text.charCodeAt(0) === 43 || text.charCodeAt(0) === 45
  let at = signed ? 1 : 0
  if (at === text.length) return RAISED
  while (at < text.length - 1 && text.charCodeAt(at) === 48) at++
  if (text.length - at > MOST_DIGITS) return RAISED
  for (let i = at; i < text.length; i++) if (!isDigit(text.charCodeAt(i))) return RAISED
  const digits = text.slice(at)
  const value = digits.length <= 15 ? Number(digits) : BigInt(digits)
  const negative = text.charCodeAt(0) === 45
  // Not −0, which a whole number does not know.
  const whole = negative && value !== 0 ? -value : value
  const { least, most } = range[bits]
  return whole < least || whole > most ? RAISED : whole
}

const FLOAT = /^[+-]?(?:NaN|Infinity|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?)$/

/** As Java reads a floating point number, blanks around it included; its hexadecimal form is not read. */
function floatOf(text: string): number | Raised {
  let from = 0
  let end = text.length
  while (from < end && text.charCodeAt(from) <= 32) from++
  while (end > from && text.charCodeAt(end - 1) <= 32) end--
  const trimmed = text.slice(from, end)
  if (!FLOAT.test(trimmed)) return RAISED
  const last = trimmed.charCodeAt(trimmed.length - 1) | 32
  return Number(last === 102 || last === 100 ? trimmed.slice(0, -1) : trimmed)
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57

// Tokens ------------------------------------------------------------------------------------------

type TokenKind = 'keyword' | 'name' | 'text' | 'whole' | 'float' | 'sign' | 'end'

interface Token {
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

function tokensOf(text: string): Token[] {
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

// Grammar -----------------------------------------------------------------------------------------

/** `boolean` gives TRUE, FALSE or unknown; `negated` a number or unknown. */
interface Node {
  readonly kind: 'constant' | 'property' | 'boolean' | 'negated'
  /** Of a constant. */
  readonly value: Value
  readonly evaluate: Evaluate
  readonly depth: number
  readonly position: number
}

class Parser {
  readonly names = new Set<string>()
  readonly #tokens: readonly Token[]
  #at = 0
  #terms = 0
  #nested = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  /** Apache stops reading where the expression could end; here what is left over is an error, because nobody means it. */
  whole(): Node {
    const node = this.#truth(this.#or())
    const token = this.#token
    if (token.kind !== 'end') throw unexpected(token, 'the end, AND or OR')
    return node
  }

  #or(): Node {
    return this.#chain('OR', () => this.#and(), true)
  }

  #and(): Node {
    return this.#chain('AND', () => this.#equality(), false)
  }

  /** `decisive` ends the evaluation, so what comes later need not be fit to be evaluated. */
  #chain(word: 'AND' | 'OR', next: () => Node, decisive: boolean): Node {
    const first = next()
    if (!this.#is(word)) return first
    const parts = [this.#truth(first)]
    while (this.#accept(word)) parts.push(this.#truth(next()))
    const evaluates = parts.map((part) => part.evaluate)
    return this.#node(first.position, parts, (property) => {
      let known = true
      for (const evaluate of evaluates) {
        const value = evaluate(property)
        if (value === decisive || value === RAISED) return value
        if (value === null) known = false
      }
      return known ? !decisive : null
    })
  }

  #equality(): Node {
    let left = this.#comparison()
    for (;;) {
      if (this.#accept('=')) left = this.#equal(left, this.#comparison())
      else if (this.#accept('<>')) left = this.#not(this.#equal(left, this.#comparison()))
      else if (this.#accept('IS')) {
        const not = this.#accept('NOT')
        this.#expect('NULL')
        left = this.#isNull(left, !not)
      } else return left
    }
  }

  #comparison(): Node {
    let left = this.#unary()
    for (;;) {
      const token = this.#token
      const not = token.text === 'NOT' && token.kind === 'keyword' && this.#nextIsOneOf(NEGATABLE)
      if (not) this.#at++
      const operator = this.#token
      if (operator.kind !== 'sign' && operator.kind !== 'keyword') return left
      switch (operator.text) {
        case '>':
        case '>=':
        case '<':
        case '<=':
          this.#at++
          left = this.#ordered(left, operator.text, this.#unary())
          break
        case 'CONTAINS':
        case 'STARTSWITH':
        case 'ENDSWITH':
          this.#at++
          left = this.#search(left, SEARCHES[operator.text], this.#quoted(), not)
          break
        case 'BETWEEN':
          this.#at++
          left = this.#between(left, not)
          break
        case 'IN':
          this.#at++
          left = this.#in(left, not)
          break
        default:
          return left
      }
    }
  }

  #unary(): Node {
    const token = this.#token
    if (token.kind !== 'sign' && !this.#is('NOT')) return this.#primary()
    if (token.text !== '+' && token.text !== '-' && token.text !== 'NOT') return this.#primary()
    this.#at++
    const operand = this.#nest(token, () => this.#unary())
    if (token.text === '+') return operand
    return token.text === '-' ? this.#negated(operand) : this.#not(this.#truth(operand))
  }

  #primary(): Node {
    const token = this.#token
    this.#at++
    switch (token.kind) {
      case 'text':
        return this.#constant(token, token.text)
      case 'whole':
        return this.#constant(token, literalWhole(token))
      case 'float':
        return this.#constant(token, literalFloat(token))
      case 'name':
        this.names.add(token.text)
        return { ...this.#constant(token, null), kind: 'property', evaluate: (property) => property(token.text) }
      case 'keyword':
        if (token.text === 'TRUE') return this.#constant(token, true)
        if (token.text === 'FALSE') return this.#constant(token, false)
        if (token.text === 'NULL') return this.#constant(token, null)
        break
      case 'sign':
        if (token.text === '(') {
          const inner = this.#nest(token, () => this.#or())
          this.#expect(')')
          return inner
        }
        break
      case 'end':
        break
    }
    throw unexpected(token, 'a property, a literal or "("')
  }

  // What the operators do --------------------------------------------------------------------------

  #equal(left: Node, right: Node): Node {
    for (const side of [left, right])
      if (side.kind === 'constant' && side.value === null)
        throw new SqlError('NULL is compared with IS NULL and IS NOT NULL only', side.position)
    if (left.kind === 'constant' && right.kind === 'constant' && typeof left.value === 'boolean') {
      if (typeof right.value !== 'boolean')
        throw new SqlError('TRUE and FALSE cannot be compared with such a literal', right.position)
    }
    return this.#node(left.position, [left, right], (property) => {
      const one = left.evaluate(property)
      if (one === RAISED) return RAISED
      const other = right.evaluate(property)
      if (other === RAISED) return RAISED
      // As Apache: two missing ones are equal, and a missing one is unknown on the left and unequal on the right.
      if (one === null) return other === null ? true : null
      if (other === null) return false
      const order = compare(one, other)
      return order === RAISED ? RAISED : order === 0
    })
  }

  #isNull(left: Node, wanted: boolean): Node {
    return this.#node(left.position, [left], (property) => {
      const value = left.evaluate(property)
      return value === RAISED ? RAISED : (value === null) === wanted
    })
  }

  #ordered(left: Node, operator: keyof typeof ORDERS, right: Node): Node {
    for (const side of [left, right]) checkOrdered(side)
    const holds = ORDERS[operator]
    return this.#node(left.position, [left, right], (property) => {
      const one = left.evaluate(property)
      if (one === null || one === RAISED) return one
      const other = right.evaluate(property)
      if (other === null || other === RAISED) return other
      if (typeof one === 'string' && typeof other === 'string') return orderOfTexts(one, other, holds)
      const order = compare(one, other)
      return order === RAISED ? RAISED : holds(order)
    })
  }

  #between(value: Node, not: boolean): Node {
    const low = this.#unary()
    this.#expect('AND')
    const high = this.#unary()
    if (!not && low.kind === 'constant' && high.kind === 'constant') {
      for (const side of [low, high]) if (side.value === null) checkOrdered(side)
      const order = compare(high.value!, low.value!)
      if (order === RAISED || order < 0)
        throw new SqlError('BETWEEN needs its lower bound first, and numbers on both sides', low.position)
    }
    const below = this.#ordered(value, not ? '<' : '>=', low)
    const above = this.#ordered(value, not ? '>' : '<=', high)
    // Not between: below or above. Between: neither.
    const decisive = not
    return this.#node(value.position, [below, above], (property) => {
      const one = below.evaluate(property)
      if (one === decisive || one === RAISED) return one
      const other = above.evaluate(property)
      if (other === decisive || other === RAISED) return other
      return one === null || other === null ? null : !decisive
    })
  }

  #in(left: Node, not: boolean): Node {
    if (left.kind !== 'property') throw new SqlError('IN needs a property on its left', left.position)
    this.#expect('(')
    const texts = new Set([this.#quoted()])
    while (this.#accept(',')) texts.add(this.#quoted())
    this.#expect(')')
    return this.#node(left.position, [left], (property) => {
      const value = left.evaluate(property)
      return typeof value === 'string' ? texts.has(value) !== not : null
    })
  }

  /** An empty pattern, and what is not a text, is found nowhere and missed nowhere: FALSE for both forms. */
  #search(left: Node, found: (text: string, pattern: string) => boolean, pattern: string, not: boolean): Node {
    return this.#node(left.position, [left], (property) => {
      if (pattern === '') return false
      const value = left.evaluate(property)
      if (value === RAISED) return RAISED
      return typeof value === 'string' && found(value, pattern) !== not
    })
  }

  #not(operand: Node): Node {
    return this.#node(operand.position, [operand], (property) => {
      const value = operand.evaluate(property)
      return typeof value === 'boolean' ? !value : (value as null | Raised)
    })
  }

  /** Of a property, too, but a text has no negative: unknown. */
  #negated(operand: Node): Node {
    const node = this.#node(operand.position, [operand], (property) => {
      const value = operand.evaluate(property)
      if (typeof value === 'number') return -value
      if (value === RAISED || value === null || typeof value !== 'object') return value === RAISED ? RAISED : null
      return { bits: value.bits, value: value.value === 0 ? 0 : -value.value }
    })
    return { ...node, kind: 'negated' }
  }

  /** A property alone is FALSE when it is there: it is a text, and no text is TRUE. */
  #truth(node: Node): Node {
    if (node.kind === 'boolean') return node
    if (node.kind === 'constant' && (node.value === null || typeof node.value === 'boolean')) return node
    if (node.kind !== 'property') throw new SqlError('This is neither true nor false', node.position)
    return this.#node(node.position, [node], (property) => (node.evaluate(property) === null ? null : false))
  }

  // Making nodes and taking tokens -----------------------------------------------------------------

  #node(position: number, parts: readonly Node[], evaluate: Evaluate): Node {
    this.#count(position)
    const depth = 1 + Math.max(...parts.map((part) => part.depth))
    if (depth > sqlLimits.depth) throw tooDeep(position)
    return { kind: 'boolean', value: null, evaluate, depth, position }
  }

  #constant(token: Token, value: Value): Node {
    this.#count(token.position)
    return { kind: 'constant', value, evaluate: () => value, depth: 1, position: token.position }
  }

  #count(position: number): void {
    if (++this.#terms > sqlLimits.terms)
      throw new SqlError(`The expression has more than ${sqlLimits.terms} terms`, position)
  }

  #nest(token: Token, read: () => Node): Node {
    if (++this.#nested > sqlLimits.depth) throw tooDeep(token.position)
    const node = read()
    this.#nested--
    return node
  }

  get #token(): Token {
    return this.#tokens[this.#at]!
  }

  #is(text: string): boolean {
    const token = this.#token
    return token.text === text && (token.kind === 'keyword' || token.kind === 'sign')
  }

  #nextIsOneOf(texts: ReadonlySet<string>): boolean {
    const next = this.#tokens[this.#at + 1]
    return next?.kind === 'keyword' && texts.has(next.text)
  }

  #accept(text: string): boolean {
    const found = this.#is(text)
    if (found) this.#at++
    return found
  }

  #expect(text: string): void {
    if (!this.#accept(text)) throw unexpected(this.#token, text)
  }

  #quoted(): string {
    const token = this.#token
    if (token.kind !== 'text') throw unexpected(token, "a text in '…'")
    this.#at++
    return token.text
  }
}

const NEGATABLE: ReadonlySet<string> = new Set(['CONTAINS', 'STARTSWITH', 'ENDSWITH', 'BETWEEN', 'IN'])

const SEARCHES = {
  CONTAINS: (text: string, pattern: string) => text.includes(pattern),
  STARTSWITH: (text: string, pattern: string) => text.startsWith(pattern),
  ENDSWITH: (text: string, pattern: string) => text.endsWith(pattern),
} as const

const ORDERS = {
  '>': (order: number) => order > 0,
  '>=': (order: number) => order >= 0,
  '<': (order: number) => order < 0,
  '<=': (order: number) => order <= 0,
} as const

/** Two properties: both must read as numbers. */
function orderOfTexts(left: string, right: string, holds: (order: number) => boolean): boolean | Raised {
  const one = floatOf(left)
  const other = floatOf(right)
  return one === RAISED || other === RAISED ? RAISED : holds(compareFloats(one, other))
}

/** Order is for numbers; what could never be one is refused at once. */
function checkOrdered(node: Node): void {
  const isNumber = typeof node.value === 'number' || (typeof node.value === 'object' && node.value !== null)
  if (node.kind === 'boolean' || (node.kind === 'constant' && !isNumber))
    throw new SqlError('>, >=, <, <= and BETWEEN compare numbers only', node.position)
}

function literalWhole({ text, position }: Token): Whole {
  const digits = text.replace(/[lL]$/, '')
  const small = wholeOf(digits, 32)
  if (small !== RAISED) return { bits: 32, value: small }
  const value = wholeOf(digits, 64)
  if (value === RAISED) throw new SqlError(`${digits.slice(0, 40)} does not fit into 64 bits`, position)
  return { bits: 64, value }
}

/** As Apache: no infinity, and nothing below the smallest positive number, so 0.0 is refused too. */
function literalFloat({ text, position }: Token): number {
  const value = Number(text)
  if (value === Number.POSITIVE_INFINITY) throw new SqlError('The number is too large', position)
  if (value < Number.MIN_VALUE) throw new SqlError('A number with a point must be above zero; write 0', position)
  return value
}

const unexpected = (token: Token, wanted: string): SqlError =>
  new SqlError(`Expected ${wanted}, found ${token.kind === 'end' ? 'the end' : named(token.text)}`, token.position)

const tooDeep = (position: number): SqlError =>
  new SqlError(`The expression is nested more than ${sqlLimits.depth} deep`, position)

/** A client's text in our sentence: bounded, and without control characters. */
const named = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
