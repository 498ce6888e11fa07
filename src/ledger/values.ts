/**
 * The values a query may carry, the same on every database: text, whole numbers below 2^53, null.
 *
 * Drivers differ in what they do with the rest, and mostly in silence: node:sqlite takes a Date for a
 * bag of named parameters and stores NULL, the WebAssembly build cuts text at a NUL, PostgreSQL's
 * driver writes a Date in the machine's time zone. So the rest is refused here, before any driver.
 */
import { LedgerError } from './errors.ts'

export type StoredValue = string | number | null

const LONE_SURROGATE = /\p{Surrogate}/u

export function storedValues(parameters: readonly unknown[]): StoredValue[] {
  return parameters.map((value, index) => storedValue(value, index))
}

function storedValue(value: unknown, index: number): StoredValue {
  switch (typeof value) {
    case 'string':
      if (value.includes('\0') || LONE_SURROGATE.test(value)) {
        throw refused(index, 'text with a NUL character or half a surrogate pair; it would not be read back as written')
      }
      return value
    case 'number':
      if (!Number.isSafeInteger(value)) throw refused(index, `the number ${value}; only whole numbers below 2^53 are`)
      return value
    case 'boolean':
      return value ? 1 : 0
    case 'bigint':
      if (!Number.isSafeInteger(Number(value))) throw refused(index, 'a bigint beyond 2^53')
      return Number(value)
    case 'object':
      if (value === null) return null
      if (value instanceof Date) throw refused(index, 'a Date; store milliseconds since the epoch')
      throw refused(index, 'an object; store JSON text')
    default:
      throw refused(index, `a value of type ${typeof value}`)
  }
}

function refused(index: number, what: string): LedgerError {
  return new LedgerError('value', `Parameter ${index + 1} of a query cannot be stored: it is ${what}.`)
}
