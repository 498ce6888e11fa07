/**
 * The grammar: from tokens to one function of a message's properties. An expression that could never be evaluated is
 * refused here with an `SqlError` that names the place; evaluation reports no errors.
 */
import { named, SqlError, sqlLimits } from './sql-error.ts'
import { containing } from './sql-search.ts'
import type { Token } from './sql-tokens.ts'
import {
  compare,
  compareFloats,
  floatOf,
  type Property,
  RAISED,
  type Raised,
  type Value,
  type Whole,
  wholeOf,
} from './sql-values.ts'

/** Comparisons that a search counts as. */
const SEARCH_COST = 4

type Evaluate = (property: Property) => Value | Raised

/** `boolean` gives TRUE, FALSE or unknown; `negated` a number or unknown. */
interface Node {
  readonly kind: 'constant' | 'property' | 'boolean' | 'negated'
  /** Of a constant. */
  readonly value: Value
  readonly evaluate: Evaluate
  readonly depth: number
  readonly position: number
}

export class Parser {
  readonly names = new Set<string>()
  readonly #tokens: readonly Token[]
  #at = 0
  #terms = 0
  #comparisons = 0
  #nested = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  /** Apache stops reading where the expression could end; here a rest is an error. */
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
    this.#countComparison(right.position)
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
    this.#countComparison(left.position)
    return this.#node(left.position, [left], (property) => {
      const value = left.evaluate(property)
      return value === RAISED ? RAISED : (value === null) === wanted
    })
  }

  #ordered(left: Node, operator: keyof typeof ORDERS, right: Node): Node {
    this.#countComparison(right.position)
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
    this.#countComparison(left.position)
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
  #search(left: Node, search: (pattern: string) => (text: string) => boolean, pattern: string, not: boolean): Node {
    this.#countComparison(left.position, search === containing ? SEARCH_COST : 1)
    const found = search(pattern)
    return this.#node(left.position, [left], (property) => {
      if (pattern === '') return false
      const value = left.evaluate(property)
      if (value === RAISED) return RAISED
      return typeof value === 'string' && found(value) !== not
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

  /** Each is work for every message that is evaluated; what stands between them is not. */
  #countComparison(position: number, cost = 1): void {
    this.#comparisons += cost
    if (this.#comparisons > sqlLimits.comparisons)
      throw new SqlError(
        `The expression has more than ${sqlLimits.comparisons} comparisons (CONTAINS counts as ${SEARCH_COST}); write a list of values as IN ('a', 'b')`,
        position,
      )
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
  CONTAINS: containing,
  STARTSWITH: (pattern: string) => (text: string) => text.startsWith(pattern),
  ENDSWITH: (pattern: string) => (text: string) => text.endsWith(pattern),
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
