/**
 * The values of an expression and their comparison, as in Apache's evaluator, hence as in Java.
 */

/** The text of a message's property, or null when it has none of that name. */
export type Property = (name: string) => string | null

/** A whole number of 32 or 64 bits; `value` is a bigint where a number would not be exact. */
export interface Whole {
  readonly bits: 32 | 64
  readonly value: number | bigint
}

/** A JavaScript number is a 64-bit floating point number here; null is "unknown". */
export type Value = string | boolean | number | Whole | null

/** Evaluating came to nothing: the message does not match. A value and not an exception, because it may happen for each of a million messages. */
export const RAISED = Symbol('raised')
export type Raised = typeof RAISED

/** Below, at, or above zero, as `compareTo`; where the kinds have nothing in common the left counts as less (Apache). */
export function compare(left: Exclude<Value, null>, right: Exclude<Value, null>): number | Raised {
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
export function compareFloats(left: number, right: number): number {
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

/**
 * Texts longer than `LONG` are read once for all comparisons of a message: one of 16 KiB takes a tenth of a millisecond.
 * A message has room for few of them, and those that are many are short.
 */
const LONG = 64
const MEMO_TEXTS = 32

function memo<T>(read: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return (text) => {
    if (text.length <= LONG) return read(text)
    let value = known.get(text)
    if (value === undefined) {
      value = read(text)
      if (known.size >= MEMO_TEXTS) known.clear()
      known.set(text, value)
    }
    return value
  }
}

const whole32 = memo((text) => readWhole(text, 32))
const whole64 = memo((text) => readWhole(text, 64))

/** As Java reads a whole number: a sign and digits, nothing else, and it must fit. */
export function wholeOf(text: string, bits: 32 | 64): number | bigint | Raised {
  return bits === 32 ? whole32(text) : whole64(text)
}

function readWhole(text: string, bits: 32 | 64): number | bigint | Raised {
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
export const floatOf: (text: string) => number | Raised = memo(readFloat)

function readFloat(text: string): number | Raised {
  let from = 0
  let end = text.length
  while (from < end && text.charCodeAt(from) <= 32) from++
  while (end > from && text.charCodeAt(end - 1) <= 32) end--
  const trimmed = text.slice(from, end)
  if (!FLOAT.test(trimmed)) return RAISED
  const last = trimmed.charCodeAt(trimmed.length - 1) | 32
  return Number(last === 102 || last === 100 ? trimmed.slice(0, -1) : trimmed)
}

export const isDigit = (code: number): boolean => code >= 48 && code <= 57
