/**
 * The few schema shapes every product uses, on top of TypeBox. Each takes its bound as an argument so that
 * nothing unbounded can be declared by oversight. Only the generator and tests run this file: the server
 * works from `generated/`.
 */
import Type, { type TProperties, type TSchema } from 'typebox'
import { secretFormat } from './keywords.ts'

export interface Notes {
  readonly description?: string
  readonly deprecated?: boolean
  readonly examples?: readonly unknown[]
  readonly default?: unknown
  readonly [keyword: string]: unknown
}

/** May be left out. */
export const maybe = Type.Optional

export const text = (maxLength: number, notes: Notes = {}) => Type.String({ maxLength, ...notes })

/** A text that is something only when it is not empty. */
export const name = (maxLength: number, notes: Notes = {}) => Type.String({ minLength: 1, maxLength, ...notes })

export const secret = (minLength: number, maxLength: number, notes: Notes = {}) =>
  Type.String({ minLength, maxLength, format: secretFormat, ...notes })

/** One of the given texts. */
export const choice = <const T extends readonly string[]>(values: T, notes: Notes = {}) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values], ...notes })

export const integer = (minimum: number, maximum: number, notes: Notes = {}) =>
  Type.Integer({ minimum, maximum, ...notes })

/** A number of things, a size, a duration: zero or more, within what JSON carries exactly. */
export const count = (notes: Notes = {}) => integer(0, Number.MAX_SAFE_INTEGER, notes)

/** Milliseconds since 1970. */
export const epochMs = (notes: Notes = {}) => count(notes)

/** Ids of plans, items, checkpoints, migrations and their operations. */
export const integerId = (description: string) => integer(0, Number.MAX_SAFE_INTEGER, { description })

export const flag = (notes: Notes = {}) => Type.Boolean({ ...notes })

export const list = <T extends TSchema>(item: T, maxItems: number, notes: Notes = {}) =>
  Type.Array(item, { maxItems, ...notes })

export const object = <T extends TProperties>(members: T, notes: Notes = {}) => Type.Object(members, { ...notes })

/** Any JSON; what the vendor leaves untyped. Its size is bounded by the request body's, its depth by decode.ts. */
export const anyJson = (notes: Notes = {}) => Type.Unsafe<unknown>({ ...notes })
