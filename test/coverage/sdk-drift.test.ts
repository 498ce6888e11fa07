/**
 * The catalogue against the official SDK's own models: names, methods, paths, the place and type of every request
 * field, every reply field, and what is required. The npm SDK is behind the newest one of another language; what that
 * has gained stands in `test/fixtures/api/newer-fields.json`. Drift in either direction fails; what differs on purpose stands in
 * the tables below with its reason, and a line there that is not needed any more fails too.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { JsonSchema, Operation } from '../../src/catalogue/operation.ts'
import { rocketmq } from '../../src/catalogue/rocketmq/index.ts'
import { sdkOperations } from './official-sdk.ts'

/** Not published; Terraform calls it. */
const notInSdk = ['UpdateInstanceSoftwareConfig']

/** JSON that travels as text: the SDK says string, the catalogue says what the text holds. */
const jsonText = [
  'ListInstances query tags',
  'ListTagResources query resourceId',
  'ListTagResources query tag',
  'TagResources query resourceId',
  'TagResources query tag',
  'UntagResources query resourceId',
  'UntagResources query tagKey',
]

/** Required by the SDK's comments, not by us: one of `vSwitches` and the older `vSwitchId` is enough. */
const notRequiredByUs = ['CreateInstance networkInfo.vpcInfo.vSwitches']

/** Required by us, not by the SDK's comments. */
const requiredByUs = [
  // A tag without a key cannot be kept; the SDK marks no member of a tag.
  'CreateInstance tags[].key',
  // One entry of a list of vSwitches is nothing without its id.
  'CreateInstance networkInfo.vpcInfo.vSwitches[].vSwitchId',
]

interface Gained {
  readonly request: readonly string[]
  readonly reply: readonly string[]
}
const gained = JSON.parse(readFileSync(new URL('../fixtures/api/newer-fields.json', import.meta.url), 'utf8'))
  .fields as Readonly<Record<string, Gained>>

const published = rocketmq.operations.filter((each) => !notInSdk.includes(each.action))
const sdk = sdkOperations().map((operation) => ({
  ...operation,
  fields: [...operation.fields, ...(gained[operation.action]?.request ?? [])].sort(),
  reply: [...operation.reply, ...(gained[operation.action]?.reply ?? [])].sort(),
}))

it('has the operations of the SDK and the unpublished one', () => {
  expect(rocketmq.operations.map((each) => each.action).sort()).toEqual(
    [...sdk.map((each) => each.action), ...notInSdk].sort(),
  )
  expect(sdk).toHaveLength(69)
})

describe.each(sdk)('$action', (theirs) => {
  const ours = published.find((each) => each.action === theirs.action)!

  it('is called as the SDK calls it', () => {
    expect(`${ours.method} ${ours.path}`).toBe(theirs.call)
    const places = [...ours.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
    expect(ours.parameters.filter((each) => each.in === 'path').map((each) => each.name)).toEqual(places)
  })

  it('takes what the SDK sends, where it sends it', () => {
    expect(requestFields(ours)).toEqual(theirs.fields)
  })

  it('requires what the SDK requires', () => {
    const allowed = (list: readonly string[], field: string) => list.includes(`${ours.action} ${field}`)
    const required = requiredFields(ours)
    expect(required.filter((field) => !allowed(requiredByUs, field))).toEqual(
      theirs.required.filter((field) => !allowed(notRequiredByUs, field)),
    )
  })

  it('answers what the SDK reads', () => {
    expect(fieldsOf(ours.output).sort()).toEqual(theirs.reply)
    expect(ours.modelsAccessDenied).toBe(theirs.reply.includes('accessDeniedDetail string'))
  })
})

it('has every field that the newest SDK gained only once', () => {
  const known = sdkOperations()
  for (const [action, { request, reply }] of Object.entries(gained)) {
    const theirs = known.find((each) => each.action === action)!
    expect(
      request.filter((field) => theirs.fields.includes(field)),
      action,
    ).toEqual([])
    expect(
      reply.filter((field) => theirs.reply.includes(field)),
      action,
    ).toEqual([])
  }
})

it('needs every exception it makes', () => {
  const required = sdk.flatMap((each) => each.required.map((field) => `${each.action} ${field}`))
  const ours = published.flatMap((each) => requiredFields(each).map((field) => `${each.action} ${field}`))
  expect(notRequiredByUs.filter((each) => !required.includes(each) || ours.includes(each))).toEqual([])
  expect(requiredByUs.filter((each) => required.includes(each) || !ours.includes(each))).toEqual([])
  const json = published.flatMap((each) =>
    each.parameters.filter((one) => one.style === 'json').map((one) => `${each.action} query ${one.name}`),
  )
  expect(json.sort()).toEqual(jsonText)
})

function requestFields(operation: Operation): string[] {
  const query = operation.parameters
    .filter((each) => each.in === 'query')
    .flatMap((each) =>
      jsonText.includes(`${operation.action} query ${each.name}`)
        ? [`${each.name} string`]
        : described(each.name, each.schema),
    )
  const body = operation.body === null ? [] : fieldsOf(operation.body)
  return [...query.map((field) => `query ${field}`), ...body.map((field) => `body ${field}`)].sort()
}

function requiredFields(operation: Operation): string[] {
  const query = operation.parameters.filter((each) => each.in === 'query' && each.required).map((each) => each.name)
  return [...query, ...(operation.body === null ? [] : requiredIn(operation.body, ''))].sort()
}

function requiredIn(schema: JsonSchema, prefix: string): string[] {
  const required = (schema['required'] ?? []) as string[]
  return Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>).flatMap(([name, each]) => [
    ...(required.includes(name) ? [`${prefix}${name}`] : []),
    ...requiredIn(each, `${prefix}${name}.`),
    ...requiredIn((each['items'] ?? {}) as JsonSchema, `${prefix}${name}[].`),
  ])
}

function fieldsOf(schema: JsonSchema, prefix = ''): string[] {
  return Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>).flatMap(([name, each]) =>
    described(`${prefix}${name}`, each),
  )
}

function described(field: string, schema: JsonSchema): string[] {
  switch (schema['type']) {
    case undefined:
      return [`${field} any`]
    case 'integer':
      return [`${field} number`]
    case 'array':
      return [`${field} array`, ...described(`${field}[]`, schema['items'] as JsonSchema)]
    case 'object':
      if (schema['properties'] !== undefined) return [`${field} object`, ...fieldsOf(schema, `${field}.`)]
      return [`${field} map`, ...described(`${field}{}`, anything(schema['additionalProperties']))]
    default:
      // A text that may be null is a text to the SDK.
      return [`${field} ${[schema['type']].flat()[0]}`]
  }
}

const anything = (schema: unknown): JsonSchema => (schema === true ? {} : (schema as JsonSchema))
