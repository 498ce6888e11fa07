/**
 * Reads a request into an operation's input: text from path and query becomes typed values, members nobody
 * declared are left behind, and the harmless oddities of clients are straightened (keywords.ts). What is returned
 * holds declared names only, so a body's `__proto__` or `constructor` has nowhere to go. It does not judge values;
 * the validators do that with its result.
 */
import type { JsonSchema, Operation, Parameter } from './operation.ts'
import { accepted, type Problem, shown } from './problems.ts'

export interface RawRequest {
  /** Decoded segments by the names of the operation's path. */
  readonly path: Readonly<Record<string, string>>
  /** Decoded pairs in the order they came, repetitions included. */
  readonly query: Iterable<readonly [string, string]>
  /** The parsed JSON body; undefined without one. */
  readonly body?: unknown
}

export interface Decoded {
  readonly input: Record<string, unknown>
  readonly problems: readonly Problem[]
}

/** Ours: members of a body may nest this deep. */
export const MAX_BODY_DEPTH = 32

/** Path members win over a body's members of the same name: Terraform repeats `instanceId` in bodies. */
export function decode(operation: Operation, raw: RawRequest): Decoded {
  const problems: Problem[] = []
  const input: Record<string, unknown> = {}
  const query = gather(operation, raw.query)
  readBody(operation, raw.body, input, problems)
  for (const parameter of operation.parameters) {
    const { name, schema } = parameter
    const read =
      parameter.in === 'path'
        ? readPath(parameter, raw.path, problems)
        : readQuery(parameter, query.get(name), problems)
    const value = read === undefined ? undefined : tidy(schema, read, name, problems)
    const settled = value ?? schema['default']
    if (settled === undefined) delete input[name]
    else input[name] = clamped(schema, settled)
  }
  return { input, problems }
}

function readBody(operation: Operation, body: unknown, input: Record<string, unknown>, problems: Problem[]): void {
  if (operation.body === null || body === undefined || body === null) return
  if (typeof body !== 'object' || Array.isArray(body)) {
    problems.push({ field: 'body', kind: 'invalid', rule: 'The body must be a JSON object.' })
    return
  }
  if (depthExceeds(body, MAX_BODY_DEPTH)) {
    problems.push({ field: 'body', kind: 'invalid', rule: `The body nests deeper than ${MAX_BODY_DEPTH} levels.` })
    return
  }
  Object.assign(input, tidyMembers(operation.body, body as Record<string, unknown>, '', problems))
}

function readPath(parameter: Parameter, path: Readonly<Record<string, string>>, problems: Problem[]): unknown {
  const text = Object.hasOwn(path, parameter.name) ? path[parameter.name]! : ''
  return text === '' ? undefined : fromText(parameter.schema, text, parameter.name, problems)
}

interface Occurrence {
  readonly index: number | null
  readonly value: string
}

/** The declared parameters' values by name; `name.1` counts for a parameter that holds a list. */
function gather(operation: Operation, pairs: Iterable<readonly [string, string]>): Map<string, Occurrence[]> {
  const styles = new Map(operation.parameters.filter((each) => each.in === 'query').map((each) => [each.name, each]))
  const found = new Map<string, Occurrence[]>()
  for (const [name, value] of pairs) {
    const numbered = /^(.+)\.([1-9]\d{0,3})$/.exec(name)
    const base = numbered !== null && takesMany(styles.get(numbered[1]!)) ? numbered[1]! : name
    if (!styles.has(base)) continue
    const list = found.get(base) ?? []
    list.push({ index: base === name ? null : Number(numbered![2]), value })
    found.set(base, list)
  }
  return found
}

const takesMany = (parameter: Parameter | undefined): boolean =>
  parameter !== undefined && (parameter.style === 'list' || parameter.bareValue === true)

function readQuery(parameter: Parameter, given: readonly Occurrence[] | undefined, problems: Problem[]): unknown {
  const { name, schema } = parameter
  if (given === undefined) return undefined
  if (parameter.style === 'list') {
    const texts = inOrder(given).flatMap((each) => (each.index === null ? each.value.split(',') : [each.value]))
    const items = texts.map((text) => text.trim()).filter((text) => text !== '')
    return items.length === 0 ? undefined : items
  }
  if (parameter.bareValue && given.every((each) => each.index !== null)) return inOrder(given).map((each) => each.value)
  if (given.length > 1) {
    problems.push({ field: name, kind: 'invalid', rule: `It is given ${given.length} times; give it once.` })
    return undefined
  }
  const text = given[0]!.value
  if (text === '' && schema['x-empty-counts'] !== true) return undefined
  return parameter.style === 'json' ? fromJson(parameter, text, problems) : fromText(schema, text, name, problems)
}

const inOrder = (given: readonly Occurrence[]): Occurrence[] =>
  [...given].sort((a, b) => (a.index ?? 0) - (b.index ?? 0))

function fromJson(parameter: Parameter, text: string, problems: Problem[]): unknown {
  const { name, schema } = parameter
  try {
    const value: unknown = JSON.parse(text)
    if (!depthExceeds(value, MAX_BODY_DEPTH)) {
      // An id of digits only is JSON too; bare means the text itself.
      if (parameter.bareValue && !Array.isArray(value)) return [typeof value === 'string' ? value : text]
      return value
    }
  } catch {
    if (parameter.bareValue && !/^\s*[[{"]/.test(text)) return [text]
  }
  problems.push({
    field: name,
    kind: 'invalid',
    rule: `${shown(text, schema)} is not JSON; it must be JSON of ${accepted(schema)}.`,
  })
  return undefined
}

function fromText(schema: JsonSchema, text: string, field: string, problems: Problem[]): unknown {
  switch (schema['type']) {
    case 'integer':
      if (/^[+-]?\d{1,16}$/.test(text.trim()) && Number.isSafeInteger(Number(text))) return Number(text)
      break
    case 'number':
      if (/^[+-]?\d{1,16}(\.\d{1,16})?$/.test(text.trim())) return Number(text)
      break
    case 'boolean':
      if (/^true$/i.test(text)) return true
      if (/^false$/i.test(text)) return false
      break
    default:
      return text
  }
  problems.push({
    field,
    kind: 'invalid',
    rule: `${shown(text, schema)} is not accepted; it must be ${accepted(schema)}.`,
  })
  return undefined
}

/** A value without undeclared members and with clients' oddities straightened; undefined when it counts as absent. */
function tidy(schema: JsonSchema, value: unknown, field: string, problems: Problem[]): unknown {
  if (value === null || value === undefined) return undefined
  if (value === 0 && schema['x-zero-is-absent'] === true) return undefined
  if (typeof value === 'string' && schema['x-ignore-case'] === true) return spelled(schema, value)
  if (schema['type'] === 'array') {
    const items = Array.isArray(value) ? value : schema['x-single'] === true ? [value] : value
    return Array.isArray(items) ? tidyItems(schema, items, field, problems) : items
  }
  if (schema['type'] !== 'object' || typeof value !== 'object' || Array.isArray(value)) return value
  return schema['properties'] === undefined
    ? tidyMap(schema, value as Record<string, unknown>, field, problems)
    : tidyMembers(schema, value as Record<string, unknown>, field, problems)
}

function tidyMembers(
  schema: JsonSchema,
  value: Record<string, unknown>,
  field: string,
  problems: Problem[],
): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [name, each] of Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>)) {
    if (!Object.hasOwn(value, name)) continue
    const tidied = tidy(each, value[name], field === '' ? name : `${field}.${name}`, problems)
    if (tidied !== undefined) kept[name] = tidied
  }
  return kept
}

/** Too long a list is refused before its entries are looked at, so that a reply never lists a million faults. */
function tidyItems(schema: JsonSchema, items: readonly unknown[], field: string, problems: Problem[]): unknown {
  const most = schema['maxItems'] as number
  if (items.length > most) {
    problems.push({ field, kind: 'invalid', rule: `It has ${items.length} entries; it must be ${accepted(schema)}.` })
    return undefined
  }
  const each = schema['items'] as JsonSchema
  return items.map((item, index) => tidy(each, item, `${field}[${index}]`, problems) ?? null)
}

function tidyMap(schema: JsonSchema, value: Record<string, unknown>, field: string, problems: Problem[]): unknown {
  const entries = Object.entries(value)
  const most = schema['maxProperties'] as number
  if (entries.length > most) {
    problems.push({ field, kind: 'invalid', rule: `It has ${entries.length} members; it may have at most ${most}.` })
    return undefined
  }
  // fromEntries defines own members, whatever their names: a key `__proto__` stays a key.
  return Object.fromEntries(entries)
}

const spelled = (schema: JsonSchema, value: string): string =>
  (schema['enum'] as readonly string[]).find((each) => each.toLowerCase() === value.toLowerCase()) ?? value

function clamped(schema: JsonSchema, value: unknown): unknown {
  const bounds = schema['x-clamp'] as readonly [number, number] | undefined
  return bounds === undefined || typeof value !== 'number' ? value : Math.min(Math.max(value, bounds[0]), bounds[1])
}

function depthExceeds(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((each) => depthExceeds(each, levels - 1))
}
