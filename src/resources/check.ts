/**
 * Small checks shared by the handlers. The pipeline of api/ has checked types, lengths, patterns and
 * enumerations against the catalogue; these are for the rules a schema cannot say.
 */
import { invalid, missing } from '../catalogue/errors.ts'

/** An absent value, or a text that is empty: many clients send `""` for "not set". */
export const isBlank = (value: unknown): value is undefined | null | '' =>
  value === undefined || value === null || value === ''

export function required<T>(field: string, value: T | null | undefined, hint = ''): T {
  if (isBlank(value)) throw missing(field, hint)
  return value as T
}

/** An identifier of another product (a VPC, a key): opaque here, but printable, without blanks, and bounded. */
export function identifier(field: string, value: string, max = 256): string {
  if (!/^[\x21-\x7e]+$/.test(value) || value.length > max) {
    throw invalid(field, `It is ${shown(value)}; accepted: 1 to ${max} printable ASCII characters without blanks.`)
  }
  return value
}

/** A value as it may stand in a message: quoted, short, on one line. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= 140 ? text : `${text.slice(0, 130)}…`
}
