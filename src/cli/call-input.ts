/**
 * Flags of `gantry call` as the input of an operation: `--name value` for a path, query or body member; dots reach into
 * objects, commas and repeated flags make lists, `--body` gives the whole body as JSON. Pure.
 */
import type { JsonSchema, Operation } from '../catalogue/operation.ts'
import { UsageError } from './errors.ts'
import { shown } from './safe-text.ts'
import { nearest } from './similar.ts'

/** Options that are the command's own; no operation has a parameter of such a name. */
export const ownOptions = ['home', 'output', 'product', 'help'] as const

export interface CallArguments {
  /** Names without their dashes, and values, in the order in which they stand. */
  readonly flags: ReadonlyArray<readonly [name: string, value: string]>
  readonly home?: string
  readonly output?: string
  readonly product?: string
  readonly help: boolean
}

/** Reads what stands behind the action's name. Throws `UsageError`; every parameter needs a value. */
export function readArguments(action: string, args: readonly string[]): CallArguments {
  const flags: Array<readonly [string, string]> = []
  let help = false
  for (let index = 0; index < args.length; index++) {
    const arg = args[index]!
    if (arg === '--help' || arg === '-h') {
      help = true
      continue
    }
    const name = arg === '-o' ? '--output' : arg
    if (!name.startsWith('--') || name === '--')
      throw new UsageError(`"${shown(arg)}" is not a parameter; write --name value.`)
    const equals = name.indexOf('=')
    if (equals > 0) {
      flags.push([name.slice(2, equals), name.slice(equals + 1)])
      continue
    }
    const value = args[index + 1]
    if (value === undefined || value.startsWith('--')) {
      if (args.includes('--help')) continue
      throw new UsageError(
        `${shown(name)} has no value; write ${shown(name)} VALUE, or ${shown(name)}=VALUE where the value begins with "--". "gantry call ${action} --help" shows what it takes.`,
      )
    }
    flags.push([name.slice(2), value])
    index++
  }
  const own = (name: string): string | undefined => flags.filter(([each]) => each === name).at(-1)?.[1]
  const home = own('home')
  const output = own('output')
  const product = own('product')
  return {
    flags: flags.filter(([name]) => !ownOptions.includes(name as 'home')),
    ...(home === undefined ? {} : { home }),
    ...(output === undefined ? {} : { output }),
    ...(product === undefined ? {} : { product }),
    help,
  }
}

/** Flags as one object of path, query and body members. Throws `UsageError` for what cannot be read. */
export function inputFrom(operation: Operation, flags: CallArguments['flags']): Record<string, unknown> {
  let input: Record<string, unknown> = {}
  const body = flags.filter(([name]) => name === 'body').at(-1)
  if (body !== undefined) {
    if (operation.body === null) throw new UsageError(`${operation.action} takes no body.`)
    input = jsonObject('--body', body[1])
  }
  const seen = new Set<string>()
  for (const [name, text] of flags) {
    const path = name.split('.')
    if (path.some((part) => ['__proto__', 'constructor', 'prototype', ''].includes(part)))
      throw new UsageError(`--${shown(name)} is not a parameter name.`)
    if (name === 'body') continue
    const schema = schemaAt(operation, path)
    if (seen.has(name) && schema.type !== 'array')
      throw new UsageError(`--${shown(name)} is given twice; only lists take several values.`)
    seen.add(name)
    put(input, path, typed(`--${shown(name)}`, schema, text))
  }
  return input
}

/** The schema of a dotted name. A name that the operation does not have is refused: the API would ignore it. */
function schemaAt(operation: Operation, path: readonly string[]): JsonSchema {
  const parameter = operation.parameters.find(({ name }) => name === path[0])
  let schema: JsonSchema | undefined = parameter?.schema ?? operation.body ?? undefined
  for (const part of parameter === undefined ? path : path.slice(1)) {
    const members = (schema?.properties ?? {}) as Record<string, JsonSchema>
    const others = schema?.additionalProperties
    schema = Object.hasOwn(members, part)
      ? members[part]
      : typeof others === 'object'
        ? (others as JsonSchema)
        : undefined
  }
  if (schema === undefined) throw new UsageError(unknownParameter(operation, path.join('.')))
  return schema
}

/** A parameter or a member of the body, by its dotted name. */
export interface Member {
  readonly name: string
  readonly schema: JsonSchema
  readonly required: boolean
  readonly deprecated: boolean
}

/** Everything that may be given, members of objects behind the object. Members of a list's entries are not flags. */
export function membersOf(operation: Operation): Member[] {
  const parameters = operation.parameters.map(({ name, schema, required, deprecated }) => ({
    name,
    schema,
    required,
    deprecated: deprecated === true,
  }))
  return [...parameters, ...(operation.body === null ? [] : bodyMembers(operation.body, '', true))]
}

function bodyMembers(schema: JsonSchema, prefix: string, needed: boolean): Member[] {
  const required = (schema.required ?? []) as readonly string[]
  return Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>).flatMap(([name, member]) => {
    const own: Member = {
      name: `${prefix}${name}`,
      schema: member,
      required: needed && required.includes(name),
      deprecated: member.deprecated === true,
    }
    return member.type === 'object' && member.properties !== undefined
      ? [own, ...bodyMembers(member, `${prefix}${name}.`, own.required)]
      : [own]
  })
}

function unknownParameter(operation: Operation, name: string): string {
  const close = nearest(
    name,
    membersOf(operation).map((member) => member.name),
  )
  const hint =
    close.length === 0
      ? `"gantry call ${operation.action} --help" shows those it has.`
      : `Did you mean ${close.map((each) => `--${each}`).join(', ')}?`
  return `${operation.action} has no parameter --${shown(name)}. ${hint}`
}

function typed(name: string, schema: JsonSchema, text: string): unknown {
  switch (schema.type) {
    case 'integer':
    case 'number':
      if (text.trim() === '' || !Number.isFinite(Number(text)))
        throw new UsageError(`${name} takes a number, not "${shown(text)}".`)
      return Number(text)
    case 'boolean':
      if (text !== 'true' && text !== 'false')
        throw new UsageError(`${name} takes true or false, not "${shown(text)}".`)
      return text === 'true'
    case 'object':
      return jsonObject(name, text)
    case 'array':
      if (text.trimStart().startsWith('[')) return json(name, text)
      return text.split(',').map((item) => typed(name, (schema.items ?? {}) as JsonSchema, item))
    default:
      return text
  }
}

function put(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [first = '', ...rest] = path
  if (rest.length > 0) {
    const inner = target[first]
    const object =
      typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? (inner as Record<string, unknown>) : {}
    target[first] = object
    put(object, rest, value)
    return
  }
  const before = target[first]
  target[first] = Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value
}

function json(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${name} takes JSON: ${shown((error as Error).message)}.`)
  }
}

function jsonObject(name: string, text: string): Record<string, unknown> {
  const value = json(name, text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`${name} takes a JSON object.`)
  return value as Record<string, unknown>
}
