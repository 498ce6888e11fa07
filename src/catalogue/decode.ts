/**
 * Reads a request into an operation's input: text from path and query becomes typed values, and the harmless
 * oddities of clients are straightened (keywords.ts). What is returned holds declared names only, so a body's
 * `__proto__` or `constructor` has nowhere to go; what is not declared is a problem, for it would have no effect, unless
 * an official client is known to send it (`isTolerated`). It does not judge values; the validators do that with its
 * result.
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

/** A reply lists fewer; a body may hold very many. */
const MOST_UNKNOWN = 50

/** Path members win over a body's members of the same name: Terraform repeats `instanceId` in bodies. */
export function decode(operation: Operation, raw: RawRequest): Decoded {
  const problems: Problem[] = []
  const input: Record<string, unknown> = {}
  const query = gather(operation, raw, problems)
  readBody(operation, raw, input, problems)
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

function readBody(operation: Operation, raw: RawRequest, input: Record<string, unknown>, problems: Problem[]): void {
  const { body } = raw
  if (body === undefined || body === null) return
  if (typeof body !== 'object' || Array.isArray(body)) {
    problems.push({ field: 'body', kind: 'invalid', rule: 'The body must be a JSON object.' })
    return
  }
  if (depthExceeds(body, MAX_BODY_DEPTH)) {
    problems.push({ field: 'body', kind: 'invalid', rule: `The body nests deeper than ${MAX_BODY_DEPTH} levels.` })
    return
  }
  const members = body as Record<string, unknown>
  const schema = operation.body ?? NO_MEMBERS
  const given = Object.fromEntries(
    Object.entries(members).filter(([name]) => !isTolerated(operation, raw, name, members)),
  )
  const kept = tidyMembers(schema, given, '', problems, (name) => whereInstead(operation, 'query', name))
  Object.assign(input, kept)
}

const NO_MEMBERS: JsonSchema = { type: 'object', properties: {} }

/**
 * Members that official clients send where an operation does not declare them:
 * - Terraform's provider repeats places of the path, such as `instanceId`, in bodies and queries. They must agree.
 * - Older versions of it wrap the empty body of a DELETE: `{"body":{}}`.
 */
function isTolerated(operation: Operation, raw: RawRequest, name: string, given: Record<string, unknown>): boolean {
  if (isDeclaredMember(operation, name)) return false
  if (Object.hasOwn(raw.path, name)) return given[name] === raw.path[name]
  return operation.body === null && name === 'body' && isEmptyObject(given[name])
}

const isDeclaredMember = (operation: Operation, name: string): boolean =>
  Object.hasOwn((operation.body?.['properties'] ?? {}) as object, name)

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0

/** A sentence about a member that is declared, but belongs elsewhere; empty when it is not. */
function whereInstead(operation: Operation, place: 'path' | 'query' | 'body', name: string): string {
  if (place === 'body') return isDeclaredMember(operation, name) ? 'it belongs into the body' : ''
  const declared = operation.parameters.find((each) => each.name === name)
  if (declared === undefined) return ''
  return declared.in === 'path' ? 'it differs from the path' : 'it belongs into the query'
}

function unknownMember(field: string, names: readonly string[], hint: string): Problem {
  const takes = names.length === 0 ? 'nothing is taken there' : `taken are ${shortList(names)}`
  return {
    field: fieldShown(field),
    kind: 'unknown',
    rule: `It would have no effect; ${hint === '' ? takes : hint}.`,
  }
}

const shortList = (names: readonly string[]): string =>
  names.length <= MOST_NAMES
    ? names.join(', ')
    : `${names.slice(0, MOST_NAMES).join(', ')} and ${names.length - MOST_NAMES} more`

const MOST_NAMES = 12

/** Names of clients' own choice may hold anything. */
function fieldShown(field: string): string {
  const short = field.length > 200 ? `${field.slice(0, 200)}…` : field
  return /^[\w.[\]-]+$/.test(short) ? short : JSON.stringify(short)
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
function gather(operation: Operation, raw: RawRequest, problems: Problem[]): Map<string, Occurrence[]> {
  const styles = new Map(operation.parameters.filter((each) => each.in === 'query').map((each) => [each.name, each]))
  const found = new Map<string, Occurrence[]>()
  for (const [name, value] of raw.query) {
    const numbered = /^(.+)\.([1-9]\d{0,3})$/.exec(name)
    const base = numbered !== null && takesMany(styles.get(numbered[1]!)) ? numbered[1]! : name
    if (!styles.has(base)) {
      const repeatsPath = Object.hasOwn(raw.path, name) && raw.path[name] === value
      if (!repeatsPath && problems.length < MOST_UNKNOWN) {
        problems.push(unknownMember(name, [...styles.keys()], whereInstead(operation, 'body', name)))
      }
      continue
    }
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
  hintFor: (name: string) => string = () => '',
): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  const declared = (schema['properties'] ?? {}) as Record<string, JsonSchema>
  for (const [name, each] of Object.entries(value)) {
    // A member that is null counts as not sent, whatever its name.
    if (Object.hasOwn(declared, name) || each === null || problems.length >= MOST_UNKNOWN) continue
    const place = field === '' ? name : `${field}.${name}`
    problems.push(unknownMember(place, Object.keys(declared), hintFor(name)))
  }
  for (const [name, each] of Object.entries(declared)) {
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
