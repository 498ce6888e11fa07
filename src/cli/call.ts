/**
 * `gantry call ACTION --name value …`: any operation of the catalogue, signed.
 *
 * A flag names a path, query or body member; dots reach into objects (`--productInfo.autoScaling true`),
 * repeated flags make a list, `--body` gives the whole body as JSON and single flags go on top of it.
 * Text becomes the type that the operation's schema asks for.
 */
import type { JsonSchema, Operation } from '../catalogue/operation.ts'
import { rocketmq } from '../catalogue/rocketmq/index.ts'
import type { Settings } from '../config.ts'
import { CommandError, callOperation, findTarget, refusalText, UsageError } from './client.ts'
import { bold, dim, table } from './terminal.ts'

export async function call(
  settings: Settings,
  action: string | undefined,
  args: readonly string[],
  list: boolean,
): Promise<void> {
  if (list) {
    process.stdout.write(`${table(['OPERATION', 'METHOD', 'PATH', ''], rocketmq.operations.map(row))}\n`)
    return
  }
  if (action === undefined || action === '--help' || action === '-h') {
    process.stdout.write(usage)
    return
  }
  const operation =
    rocketmq.operationNamed(action) ??
    rocketmq.operations.find((known) => known.action.toLowerCase() === action.toLowerCase())
  if (operation === undefined) throw new UsageError(unknownAction(action))
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(describe(operation))
    return
  }
  const input = inputFrom(operation, args)
  const reply = await callOperation(findTarget(settings), operation.action, input)
  process.stdout.write(`${JSON.stringify(reply.body, null, 2)}\n`)
  if (reply.status >= 400) throw new CommandError(refusalText(operation.action, reply.status, reply.body))
}

const usage = `Usage: gantry call ACTION [--name value …] [--body JSON]

Calls any operation of the API with the account's key and prints the reply.
  gantry call --list                       all operations
  gantry call CreateTopic --help           the parameters of one
  gantry call CreateTopic --instanceId rmq-cn-… --topicName events --messageType NORMAL
  gantry call UpdateInstance --instanceId rmq-cn-… --productInfo.messageRetentionTime 48
  gantry call ListInstances --seriesCodes standard,professional --pageSize 50

Dots reach into objects, commas and repeated flags make lists, --body gives the whole
body as JSON. --home DIR names the server's home.
`

const row = (operation: Operation): string[] => [operation.action, operation.method, operation.path, operation.summary]

function unknownAction(action: string): string {
  const close = nearest(
    action,
    rocketmq.operations.map((operation) => operation.action),
  )
  const hint = close.length === 0 ? '"gantry call --list" shows all of them.' : `Did you mean ${close.join(', ')}?`
  return `The API has no operation ${action}. ${hint}`
}

/** Up to five names that contain the text, are part of it, or are at most three slips away; nearest first. */
function nearest(text: string, names: readonly string[]): string[] {
  const wanted = text.toLowerCase()
  const distances = names.map((name) => {
    const known = name.toLowerCase()
    const part = wanted !== '' && (known.includes(wanted) || wanted.includes(known))
    return { name, distance: Math.min(slips(wanted, known), part ? 3 : Number.POSITIVE_INFINITY) }
  })
  return distances
    .filter(({ distance }) => distance <= 3)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 5)
    .map(({ name }) => name)
}

/** Letters added, left out or changed from one text to the other; texts too different in length are just that. */
function slips(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 3) return Number.POSITIVE_INFINITY
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

function describe(operation: Operation): string {
  const parameters = operation.parameters.map((parameter) => [
    `--${parameter.name}`,
    typeText(parameter.schema),
    parameter.required ? 'required' : '',
    String(parameter.schema.description ?? ''),
  ])
  const body = operation.body === null ? [] : bodyRows(operation.body, '')
  return `${bold(operation.action)}  ${operation.method} ${operation.path}\n${operation.summary}\n\n${table(['PARAMETER', 'TYPE', '', ''], [...parameters, ...body])}\n${dim('--body takes the whole body as JSON.')}\n`
}

function bodyRows(schema: JsonSchema, prefix: string): string[][] {
  const required = (schema.required ?? []) as readonly string[]
  return Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>).flatMap(([name, member]) => {
    const rowOf = [
      `--${prefix}${name}`,
      typeText(member),
      required.includes(name) ? 'required' : '',
      String(member.description ?? ''),
    ]
    return member.type === 'object' && member.properties !== undefined
      ? [rowOf, ...bodyRows(member, `${prefix}${name}.`)]
      : [rowOf]
  })
}

function typeText(schema: JsonSchema): string {
  if (Array.isArray(schema.enum)) return schema.enum.join('|')
  if (schema.type === 'array') return `${typeText((schema.items ?? {}) as JsonSchema)}…`
  return String(schema.type ?? 'any')
}

/** Flags as one object of path, query and body members. Throws `UsageError` for what cannot be read. */
export function inputFrom(operation: Operation, args: readonly string[]): Record<string, unknown> {
  let input: Record<string, unknown> = {}
  const flags = readFlags(args)
  const body = flags.filter(([name]) => name === 'body').at(-1)
  if (body !== undefined) {
    if (operation.body === null) throw new UsageError(`${operation.action} takes no body.`)
    input = jsonObject('--body', body[1])
  }
  for (const [name, text] of flags) {
    if (name === 'body') continue
    const path = name.split('.')
    if (path.some((part) => ['__proto__', 'constructor', 'prototype', ''].includes(part)))
      throw new UsageError(`--${name} is not a parameter name.`)
    put(input, path, typed(`--${name}`, schemaAt(operation, path), text))
  }
  return input
}

function readFlags(args: readonly string[]): Array<readonly [string, string]> {
  const flags: Array<readonly [string, string]> = []
  for (let index = 0; index < args.length; index++) {
    const arg = args[index]!
    if (!arg.startsWith('--')) throw new UsageError(`"${arg}" is not a parameter; write --name value.`)
    const equals = arg.indexOf('=')
    if (equals > 0) {
      flags.push([arg.slice(2, equals), arg.slice(equals + 1)])
      continue
    }
    const value = args[index + 1]
    if (value === undefined || value.startsWith('--')) flags.push([arg.slice(2), 'true'])
    else {
      flags.push([arg.slice(2), value])
      index++
    }
  }
  return flags
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

function unknownParameter(operation: Operation, name: string): string {
  const known = [
    ...operation.parameters.map((parameter) => parameter.name),
    ...(operation.body === null ? [] : bodyRows(operation.body, '').map(([flag]) => flag!.slice(2))),
  ]
  const close = nearest(name, known).map((each) => `--${each}`)
  const hint =
    close.length === 0
      ? `"gantry call ${operation.action} --help" shows those it has.`
      : `Did you mean ${close.join(', ')}?`
  return `${operation.action} has no parameter --${name}. ${hint}`
}

function typed(name: string, schema: JsonSchema, text: string): unknown {
  switch (schema.type) {
    case 'integer':
    case 'number':
      if (text.trim() === '' || !Number.isFinite(Number(text)))
        throw new UsageError(`${name} takes a number, not "${text}".`)
      return Number(text)
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw new UsageError(`${name} takes true or false, not "${text}".`)
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
    throw new UsageError(`${name} takes JSON: ${(error as Error).message}.`)
  }
}

function jsonObject(name: string, text: string): Record<string, unknown> {
  const value = json(name, text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`${name} takes a JSON object.`)
  return value as Record<string, unknown>
}
