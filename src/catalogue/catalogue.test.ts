/** What must hold of every operation, whoever declares it. */
import { describe, expect, it } from 'vitest'
import { declarations as billed } from './bssopenapi/declarations.ts'
import { bssopenapi } from './bssopenapi/index.ts'
import * as errors from './errors.ts'
import { ApiError } from './errors.ts'
import type { JsonSchema } from './operation.ts'
import { inputSchemaOf } from './problems.ts'
import { declarations } from './rocketmq/declarations.ts'
import { errorCodes } from './rocketmq/error-codes.ts'
import * as rocketmqErrors from './rocketmq/errors.ts'
import { rocketmq } from './rocketmq/index.ts'

const all = [rocketmq, bssopenapi].flatMap((product) => product.operations.map((operation) => ({ product, operation })))

/** Every schema inside an input, with the place where it stands. */
function* schemasIn(schema: JsonSchema, place: string): Generator<[string, JsonSchema]> {
  yield [place, schema]
  for (const [name, each] of Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>))
    yield* schemasIn(each, `${place}.${name}`)
  if (schema['items'] !== undefined) yield* schemasIn(schema['items'] as JsonSchema, `${place}[]`)
}

/** What the vendor leaves untyped; the size of a body and MAX_BODY_DEPTH bound it. */
const untyped = ['ExecuteMigrationOperation.operationParam.paramData']

it('is what is declared', () => {
  expect(rocketmq.operations).toEqual(declarations)
  expect(rocketmq.operations).toHaveLength(70)
  expect(bssopenapi.operations).toEqual(billed)
})

it('has no two operations with one name, or one method and path', () => {
  const names = all.map(({ product, operation }) => `${product.code} ${operation.action}`)
  expect(new Set(names).size).toBe(all.length)
  const calls = rocketmq.operations.map((each) => `${each.method} ${each.path.replace(/\{\w+\}/g, '{}')}`)
  expect(new Set(calls).size).toBe(rocketmq.operations.length)
})

describe.each(all)('$product.code $operation.action', ({ product, operation }) => {
  it('accepts nothing without a bound', () => {
    for (const [place, schema] of schemasIn(inputSchemaOf(operation), operation.action)) {
      if (untyped.includes(place)) continue
      const has = (...words: string[]) =>
        expect(
          words.filter((word) => schema[word] === undefined),
          place,
        ).toEqual([])
      if (schema['enum'] !== undefined) continue
      switch (schema['type']) {
        case 'string':
          has('maxLength')
          break
        case 'array':
          has('maxItems', 'items')
          break
        case 'object':
          has(schema['properties'] === undefined ? 'maxProperties' : 'properties')
          break
        case 'integer':
        case 'number':
          if (schema['x-clamp'] === undefined) has('minimum', 'maximum')
          break
        case 'boolean':
          break
        default:
          expect.fail(`${place} has no type.`)
      }
    }
  })

  it('says what each parameter is', () => {
    const silent = [...schemasIn(inputSchemaOf(operation), operation.action)]
      .filter(
        ([place, schema]) =>
          schema['type'] !== 'object' && !place.endsWith('[]') && schema['description'] === undefined,
      )
      .map(([place]) => place)
    expect(silent).toEqual([])
    expect(operation.summary).toMatch(/^[A-Z].*[^.]$/)
  })

  it('keeps path, query and body members apart', () => {
    const names = [
      ...operation.parameters.map((each) => each.name),
      ...Object.keys((operation.body?.['properties'] ?? {}) as object),
    ]
    expect(new Set(names).size).toBe(names.length)
  })

  it('refuses with codes of the table', () => {
    expect(operation.errors.filter((code) => !Object.hasOwn(errorCodes, code))).toEqual([])
    expect(operation.ramAction).toBe(`${product.ramCode}:${operation.action}`)
    if (operation.resource !== null) expect(product.resources).toHaveProperty(operation.resource)
  })
})

it('has no code in the table that nothing answers', () => {
  const answered = new Set([...all.flatMap(({ operation }) => operation.errors), 'NotImplemented'])
  expect(Object.keys(errorCodes).filter((code) => !answered.has(code))).toEqual([])
})

it('makes errors with the status of the table', () => {
  const makers = Object.values({ ...errors, ...rocketmqErrors }).filter(
    (each) => typeof each === 'function' && each !== ApiError && each !== errors.refusalOf,
  )
  const made = (makers as ((...texts: string[]) => unknown)[])
    .map((make) => make('a', 'b', 'c'))
    .filter((each): each is ApiError => each instanceof ApiError && Object.hasOwn(errorCodes, each.code))
  expect(made.length).toBeGreaterThanOrEqual(7)
  for (const error of made)
    expect([error.code, error.httpStatus]).toEqual([error.code, errorCodes[error.code]!.httpStatus])
})
