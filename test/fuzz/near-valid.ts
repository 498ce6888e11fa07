/**
 * Inputs computed from the catalogue's JSON Schemas: values that a schema accepts, values that are wrong in exactly
 * one place, and wild ones. Nothing here knows an operation; a new schema is covered the day it is declared.
 */
import fc from 'fast-check'
import type { JsonSchema } from '../../src/catalogue/operation.ts'

/** Texts that broke parsers, databases and prototypes before. */
export const oddText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('', ' ', '%', '%zz', '%RETRY%x', '..', '.', '/', '\0', '\ud800', '\u202e', 'null', 'true', 'NaN'),
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then', 'toJSON'),
  fc.constantFrom('-1', '0', '-0', '1e999', '0x10', '1_000', '9'.repeat(400), '٣', "' or 1=1 --", '$(x)'),
  fc.constantFrom('{}', '[', '[]', '[{"key":"a"}]', '{"__proto__":1}', '"\\ud800"', '[[[[[[]]]]]]'),
  fc.constantFrom(300, 5_000, 60_000).map((length) => 'x'.repeat(length)),
)

/** Any JSON, of the type a schema asks for or another. */
export const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    null,
    true,
    false,
    0,
    -1,
    1,
    0.5,
    1e300,
    -1e300,
    2 ** 53,
    Number.MAX_SAFE_INTEGER,
    [],
    {},
    [[]],
    [''],
  ),
  oddText,
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(40, 2_000).map((levels) => nested(levels)),
  fc.constantFrom(25, 3_000).map((count) => Array.from({ length: count }, (_, index) => index)),
  fc.constant(JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}')),
)

function nested(levels: number): unknown {
  let value: unknown = 1
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { inner: value }
  return value
}

/** Values the schema accepts, bounds included. Rules between members are not in a schema, so a handler may refuse them. */
export function valid(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (Array.isArray(schema['enum'])) return fc.constantFrom(...(schema['enum'] as unknown[]))
  switch (schema['type']) {
    case 'object':
      return validObject(schema)
    case 'array':
      return fc.array(valid((schema['items'] ?? {}) as JsonSchema), {
        minLength: Number(schema['minItems'] ?? 0),
        maxLength: Math.min(Number(schema['maxItems'] ?? 3), Number(schema['minItems'] ?? 0) + 3),
      })
    case 'integer':
      return validInteger(schema)
    case 'number':
      return fc.double({
        min: Number(schema['minimum'] ?? -1000),
        max: Number(schema['maximum'] ?? 1000),
        noNaN: true,
        noDefaultInfinity: true,
      })
    case 'boolean':
      return fc.boolean()
    case 'string':
      return validText(schema)
    default:
      return fc.jsonValue({ maxDepth: 2 })
  }
}

function validObject(schema: JsonSchema): fc.Arbitrary<unknown> {
  const members = Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>)
  const required = (schema['required'] ?? []) as string[]
  const arbitraries = members.map(([name, member]) => [name, valid(member)] as const)
  return fc.record(Object.fromEntries(arbitraries), { requiredKeys: required })
}

function validInteger(schema: JsonSchema): fc.Arbitrary<number> {
  const min = Number(schema['minimum'] ?? -1_000_000)
  const max = Number(schema['maximum'] ?? 1_000_000)
  return fc.oneof(fc.constantFrom(min, max), fc.integer({ min, max }))
}

function validText(schema: JsonSchema): fc.Arbitrary<string> {
  const minLength = Number(schema['minLength'] ?? 0)
  const most = Number(schema['maxLength'] ?? 64)
  const maxLength = Math.max(minLength, Math.min(most, 24))
  const length = fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: minLength, max: maxLength }) },
    { weight: 1, arbitrary: fc.constant(Math.min(most, 1_000)) },
  )
  if (typeof schema['pattern'] === 'string') {
    return fc.stringMatching(new RegExp(schema['pattern'])).map((text) => text.slice(0, most))
  }
  return length.chain((size) =>
    fc.string({ unit: fc.constantFrom(...'abcXYZ019-_'), minLength: size, maxLength: size }),
  )
}

/** What was done to a valid value, for reports and for asserting that the refusal names the place. */
export interface Fault {
  readonly kind: 'none' | 'type' | 'value' | 'gone' | 'added' | 'whole'
  /** Member names and indexes from the top. */
  readonly path: readonly (string | number)[]
}

export interface Input {
  readonly value: unknown
  readonly fault: Fault
}

/** Valid, wrong in one place, or wild altogether. `base` is laid under it, for operations with rules of their own. */
export function nearValid(schema: JsonSchema, base: Readonly<Record<string, unknown>> | null): fc.Arbitrary<Input> {
  const good =
    base === null
      ? valid(schema)
      : fc.oneof(
          { weight: 4, arbitrary: fc.constant(base as unknown) },
          { weight: 2, arbitrary: oneMemberOf(schema, base) },
          { weight: 2, arbitrary: valid(schema).map((value) => ({ ...(value as object), ...base })) },
          { weight: 1, arbitrary: valid(schema) },
        )
  return fc.oneof(
    { weight: 3, arbitrary: good.map((value) => ({ value, fault: none })) },
    { weight: 6, arbitrary: fc.tuple(good, fc.nat(1_000), damage).map(([value, at, how]) => damaged(value, at, how)) },
    { weight: 1, arbitrary: oddValue.map((value) => ({ value, fault: { kind: 'whole', path: [] } as const })) },
  )
}

const none: Fault = { kind: 'none', path: [] }

/** The base with one member of the schema put to a valid value: most of the rules between members are met. */
function oneMemberOf(schema: JsonSchema, base: Readonly<Record<string, unknown>>): fc.Arbitrary<unknown> {
  const members = Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>)
  if (members.length === 0) return fc.constant(base)
  const each = members.map(([name, member]) => valid(member).map((value) => ({ ...base, [name]: value }) as unknown))
  return fc.oneof(...each)
}

type Damage = { readonly kind: 'type' | 'value' | 'gone' | 'added'; readonly name: string; readonly value: unknown }

const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom('type', 'value', 'gone', 'added'),
  name: fc.oneof(fc.constantFrom('unknown', 'instanceId', 'constructor', '__proto__', 'toString'), oddText),
  value: oddValue,
})

function damaged(value: unknown, at: number, how: Damage): Input {
  const places = placesOf(value, [])
  const path = places[at % places.length]
  if (path === undefined) return { value, fault: none }
  const copy = structuredClone(value) as Record<string, any>
  const last = path.at(-1)!
  let holder: any = copy
  for (const step of path.slice(0, -1)) holder = holder[step]
  switch (how.kind) {
    case 'type':
      holder[last] = typeof holder[last] === 'object' ? 'text in place of a structure' : { wrong: [{ type: true }] }
      break
    case 'value':
      holder[last] = how.value
      break
    case 'gone':
      if (Array.isArray(holder)) holder.splice(Number(last), 1)
      else delete holder[last]
      break
    case 'added':
      Object.defineProperty(holder, how.name, {
        value: how.value,
        enumerable: true,
        configurable: true,
        writable: true,
      })
      break
  }
  return { value: copy, fault: { kind: how.kind, path } }
}

function placesOf(value: unknown, path: readonly (string | number)[]): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return []
  const steps = Array.isArray(value) ? [...value.keys()] : Object.keys(value)
  return steps.flatMap((step) => {
    const place = [...path, step]
    return [place, ...placesOf((value as Record<string | number, unknown>)[step], place)]
  })
}
