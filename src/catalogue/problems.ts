/**
 * What is wrong with a request, as sentences for people: the field, the value that came, what is accepted. Turns
 * the validators' findings into those sentences. It never repeats a secret, and shows at most the beginning of a
 * long value.
 */
import { secretFormat } from './keywords.ts'
import type { JsonSchema, Operation } from './operation.ts'

/** `missing` becomes the vendor's `Missing{Name}`, `invalid` its `Invalid{Name}`, `unknown` `UnsupportedParameter` (errors.ts). */
export interface Problem {
  /** `instanceId`, `productInfo.msgProcessSpec`, `tags[0].key`. */
  readonly field: string
  readonly kind: 'missing' | 'invalid' | 'unknown'
  /** A sentence with the value and what is accepted. */
  readonly rule: string
}

/** A finding of an Ajv validator, as far as it is read here. */
export interface Finding {
  readonly instancePath: string
  readonly keyword: string
  readonly params: Readonly<Record<string, unknown>>
}

/** A reply lists at most this many problems. */
const most = 20

/** The schema of an operation's whole input: path, query and body members in one object. */
export function inputSchemaOf(operation: Operation): JsonSchema {
  const properties: Record<string, JsonSchema> = {}
  const required: string[] = []
  for (const each of operation.parameters) {
    properties[each.name] = each.schema
    if (each.required) required.push(each.name)
  }
  const body = operation.body as { properties?: Record<string, JsonSchema>; required?: string[] } | null
  return {
    type: 'object',
    properties: { ...body?.properties, ...properties },
    required: [...required, ...(body?.required ?? [])],
  }
}

/** Findings as problems, what is missing first, one for each field. */
export function explain(findings: readonly Finding[], schema: JsonSchema, input: unknown): Problem[] {
  const byField = new Map<string, Problem>()
  for (const finding of findings.slice(0, 200)) {
    const problem = problemOf(finding, schema, input)
    if (!byField.has(problem.field)) byField.set(problem.field, problem)
  }
  return inOrder([...byField.values()])
}

/** What is missing first, as the vendor answers; bounded. */
export const inOrder = (problems: readonly Problem[]): Problem[] =>
  [...problems.filter((each) => each.kind === 'missing'), ...problems.filter((each) => each.kind !== 'missing')].slice(
    0,
    most,
  )

/** The value as a sentence shows it: JSON, shortened, nothing of a secret. */
export function shown(value: unknown, schema: JsonSchema): string {
  if (schema['format'] === secretFormat) return 'The value'
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (Array.isArray(value)) return `A list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'An object'
  return String(value)
}

/** What a schema accepts, to stand after "It must be" or "Send". */
export function accepted(schema: JsonSchema): string {
  const { type, minimum, maximum, minLength, maxLength, minItems, maxItems } = schema as Readonly<Record<string, any>>
  const values = schema['enum'] as readonly unknown[] | undefined
  if (values !== undefined) return values.length === 1 ? `${values[0]}` : `one of ${values.join(', ')}`
  const range =
    minimum === undefined || maximum === undefined || maximum > 2 ** 50 ? '' : ` from ${minimum} to ${maximum}`
  switch (type) {
    case 'integer':
      return `an integer${range}`
    case 'number':
      return `a number${range}`
    case 'boolean':
      return 'true or false'
    case 'array':
      return `a list of ${minItems ?? 0} to ${maxItems} entries`
    case 'object':
      return `an object${membersOf(schema)}`
    default: {
      const rule = schema['x-rule'] === undefined ? '' : ` (${schema['x-rule']})`
      return `a text of ${minLength ?? 0} to ${maxLength} characters${rule}`
    }
  }
}

/** Which members it may have, those it must have first; nothing of a long list. */
function membersOf(schema: JsonSchema): string {
  const { properties = {}, required = [] } = schema as { properties?: object; required?: readonly string[] }
  const names = [...new Set([...required, ...Object.keys(properties)])]
  return names.length === 0 || names.length > mostMembers
    ? ''
    : ` with ${names.join(', ').replace(/, (?=[^,]+$)/, ' and ')}`
}

const mostMembers = 8

function problemOf(finding: Finding, root: JsonSchema, input: unknown): Problem {
  const path = pointer(finding.instancePath)
  if (finding.keyword === 'required') {
    const name = String(finding.params['missingProperty'])
    const parent = schemaAt(root, path)
    const schema = (parent['properties'] as Record<string, JsonSchema>)[name] ?? {}
    return { field: fieldOf([...path, name]), kind: 'missing', rule: `Send ${accepted(schema)}.` }
  }
  const field = fieldOf(path)
  const schema = schemaAt(root, path)
  const value = valueAt(input, path)
  if (finding.keyword === 'propertyNames' || finding.keyword === 'maxProperties')
    return { field, kind: 'invalid', rule: `It may have at most ${schema['maxProperties']} members.` }
  if (value === '' && finding.keyword === 'minLength') {
    const parent = schemaAt(root, path.slice(0, -1))
    const needed = (parent['required'] as string[] | undefined)?.includes(String(path.at(-1))) ?? false
    return { field, kind: needed ? 'missing' : 'invalid', rule: `It is empty; it must be ${accepted(schema)}.` }
  }
  return { field, kind: 'invalid', rule: `${shown(value, schema)} is not accepted; it must be ${accepted(schema)}.` }
}

/** `/tags/0/key` → `['tags', '0', 'key']`. */
const pointer = (path: string): string[] =>
  path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))

/** `['tags', '0', 'key']` → `tags[0].key`. */
export function fieldOf(path: readonly string[]): string {
  let field = ''
  for (const part of path) field += /^\d+$/.test(part) && field !== '' ? `[${part}]` : field === '' ? part : `.${part}`
  return field.length > 200 ? `${field.slice(0, 200)}…` : field
}

function schemaAt(root: JsonSchema, path: readonly string[]): JsonSchema {
  let schema: JsonSchema = root
  for (const part of path) {
    const properties = schema['properties'] as Record<string, JsonSchema> | undefined
    if (properties !== undefined && Object.hasOwn(properties, part)) schema = properties[part]!
    else schema = (schema['items'] ?? schema['additionalProperties'] ?? {}) as JsonSchema
  }
  return schema
}

function valueAt(input: unknown, path: readonly string[]): unknown {
  let value = input
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string, unknown>)[part]
  }
  return value
}
