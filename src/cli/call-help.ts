/**
 * `gantry call ACTION --help`: an operation with every parameter, an example that runs as it is, the RAM action and
 * the errors, from the catalogue. Pure.
 */
import type { JsonSchema, Operation } from '../catalogue/operation.ts'
import type { Product } from '../catalogue/product.ts'
import { errorCodes } from '../catalogue/rocketmq/error-codes.ts'
import { rocketmq } from '../catalogue/rocketmq/index.ts'
import { type Member, membersOf } from './call-input.ts'
import { bold, dim, padded, width, wrapped } from './safe-text.ts'

/** Widest that a name may be and still have its description beside it. */
const widestName = 34

export function operationHelp(
  { product, operation }: { readonly product: Product; readonly operation: Operation },
  columns: number,
  carriedOut: boolean,
): string {
  const { action, method, path, summary, description } = operation
  const members = membersOf(operation)
  const ofAnother = product === rocketmq ? '' : ` of ${product.code}, version ${product.version}`
  const paragraph = (text: string): string => wrapped(text, columns).join('\n')
  const sections = [
    `${bold(action)}\n${method} ${path}${ofAnother}\n\n${paragraph(description === undefined ? `${summary}.` : `${summary}. ${description}`)}`,
    ...(carriedOut ? [] : [paragraph('This version does not carry it out: the API answers 501 NotImplemented.')]),
    ...(members.length === 0
      ? ['Parameters: none.']
      : [`Parameters ${dim('(* must be given)')}\n${members.map((member) => memberText(member, columns)).join('\n')}`]),
    ...(operation.body === null
      ? []
      : [paragraph('--body JSON gives the whole body; single parameters go on top of it.')]),
    `Example\n${exampleOf(operation)}`,
    operation.ramAction === null
      ? 'RAM action: none; whoever signs the request may call it.'
      : `RAM action\n  ${operation.ramAction} (access level: ${operation.accessLevel}) on\n  ${resourceText(product, operation.resource)}`,
    `Errors ${dim('(besides those of signature, permission, rate, and of single parameters)')}\n${errorsText(operation, columns)}`,
  ]
  return sections.join('\n\n')
}

function memberText({ name, schema, required, deprecated }: Member, columns: number): string {
  const depth = name.split('.').length - 1
  const flag = `${required ? '*' : ' '} ${'  '.repeat(depth)}--${name}`
  const rule = typeText(schema)
  const said = String(schema.description ?? '')
  const text = `${rule}${said === '' ? '' : `. ${said}`}${deprecated ? ' Deprecated.' : ''}`
  const indent = widestName + 4
  const lines = wrapped(text, columns - indent)
  const rest = (width(flag) > widestName + 2 ? lines : lines.slice(1)).map((line) => ' '.repeat(indent) + line)
  const first = width(flag) > widestName + 2 ? flag : `${padded(flag, indent)}${lines[0]}`
  return [first, ...rest].join('\n')
}

/** What a value may be: type, bounds and enumerated values. */
function typeText(schema: JsonSchema): string {
  if (Array.isArray(schema.enum)) return schema.enum.length === 1 ? String(schema.enum[0]) : schema.enum.join(' | ')
  if (schema.type === 'array') {
    const items = (schema.items ?? {}) as JsonSchema
    const most = schema.maxItems === undefined ? '' : `, at most ${schema.maxItems}`
    return items.type === 'object'
      ? `JSON list of ${objectText(items)}${most}`
      : `list (a,b) of ${typeText(items)}${most}`
  }
  if (schema.type === 'object')
    return schema.properties === undefined ? 'JSON object' : 'object, by its members or as JSON'
  return [typeName(schema), ...bounds(schema)].join(', ')
}

const typeName = (schema: JsonSchema): string =>
  schema.type === 'boolean' ? 'true | false' : schema.type === 'string' ? 'text' : String(schema.type ?? 'any JSON')

function bounds(schema: JsonSchema): string[] {
  const rule = schema['x-rule']
  const range = rangeText(schema.minimum ?? clampOf(schema)?.[0], schema.maximum ?? clampOf(schema)?.[1], '')
  const length = rangeText(schema.minLength, schema.maxLength, ' characters')
  return [
    ...(range === '' ? [] : [range]),
    ...(length === '' ? [] : [length]),
    ...(typeof rule === 'string' ? [rule] : []),
    ...(schema.default === undefined ? [] : [`${schema.default} when left out`]),
  ]
}

const clampOf = (schema: JsonSchema): readonly number[] | undefined => schema['x-clamp'] as number[] | undefined

function rangeText(low: unknown, high: unknown, unit: string): string {
  const most = typeof high === 'number' && high < Number.MAX_SAFE_INTEGER ? high : undefined
  if (low === undefined && most === undefined) return ''
  if (most === undefined) return low === 0 ? '' : `${low}${unit} or more`
  return low === undefined || (low === 0 && unit !== '') ? `up to ${most}${unit}` : `${low} to ${most}${unit}`
}

function objectText(schema: JsonSchema): string {
  const required = (schema.required ?? []) as readonly string[]
  const members = Object.keys((schema.properties ?? {}) as object).map((name) =>
    required.includes(name) ? name : `${name}?`,
  )
  return members.length === 0 ? 'objects' : `{${members.join(', ')}}`
}

/** What a policy names, with words in capitals where a value stands. */
function resourceText({ resources }: Product, kind: string | null): string {
  const words: Readonly<Record<string, string>> = {
    regionId: 'REGION',
    accountId: 'ACCOUNT',
    instanceId: 'INSTANCE',
    topicName: 'TOPIC',
    consumerGroupId: 'GROUP',
  }
  return (kind === null ? '*' : (resources[kind] ?? '*')).replace(
    /\{(\w+)[^}]*\}/g,
    (_place, name: string) => words[name] ?? name,
  )
}

function errorsText(operation: Operation, columns: number): string {
  if (operation.errors.length === 0) return '  none of its own'
  const widest = Math.max(...operation.errors.map((code) => code.length))
  return operation.errors
    .map((code) => {
      const known = errorCodes[code]
      const lines = wrapped(known?.meaning ?? '', columns - widest - 8)
      const first = `  ${code.padEnd(widest)}  ${known?.httpStatus ?? ''} ${lines[0]}`.trimEnd()
      return [first, ...lines.slice(1).map((line) => ' '.repeat(widest + 8) + line)].join('\n')
    })
    .join('\n')
}

// ---- the example

/** Values that stand for things of one's own, by the name of the parameter. */
const samples: Readonly<Record<string, string>> = {
  InstanceIDs: 'rmq-cn-0123456789a',
  instanceId: 'rmq-cn-0123456789a',
  topicName: 'events',
  consumerGroupId: 'readers',
  messageId: '01A2B3C4D5E6F708090A0B0C0D0E0F1011',
  username: 'worker',
  resourceName: 'events',
  password: 'correct-horse-9',
  clientId: 'host@1@0@abc',
  regionId: 'cn-hangzhou',
  resourceId: 'rmq-cn-0123456789a',
  resourceGroupId: 'rg-0123456789a',
  newResourceGroupId: 'rg-0123456789a',
  ip: '192.0.2.0/24',
  ipWhitelist: '192.0.2.0/24',
  startTime: '2026-01-31 18:00:00',
  endTime: '2026-01-31 19:00:00',
  maintainTime: '02:00-06:00',
}

/** Where what must be given is not all that a sensible call gives. */
const examples: Readonly<Record<string, readonly string[]>> = {
  CreateInstance: [
    '--instanceName orders --serviceCode rmq --seriesCode standard --subSeriesCode cluster_ha',
    '--paymentType PayAsYouGo --productInfo.msgProcessSpec rmq.s2.2xlarge',
    '--networkInfo.vpcInfo.vpcId vpc-local',
    '--networkInfo.vpcInfo.vSwitches \'[{"vSwitchId":"vsw-local"}]\'',
    '--networkInfo.internetInfo.internetSpec disable',
    '--networkInfo.internetInfo.flowOutType uninvolved',
  ],
  UpdateInstance: ['--instanceId rmq-cn-0123456789a --productInfo.messageRetentionTime 48'],
  UpdateTopic: ['--instanceId rmq-cn-0123456789a --topicName events --maxSendTps 500'],
  UpdateConsumerGroup: [
    '--instanceId rmq-cn-0123456789a --consumerGroupId readers',
    '--consumeRetryPolicy.retryPolicy DefaultRetryPolicy --consumeRetryPolicy.maxRetryTimes 5',
  ],
  UpdateInstanceAccount: ['--instanceId rmq-cn-0123456789a --username worker --accountStatus DISABLE'],
  CreateInstanceAcl: [
    '--instanceId rmq-cn-0123456789a --username worker --resourceType Topic --resourceName events',
    '--actions Pub,Sub --decision Allow',
  ],
  UpdateInstanceAcl: [
    '--instanceId rmq-cn-0123456789a --username worker --resourceType Topic --resourceName events',
    '--decision Deny',
  ],
  ListInstanceAcl: ['--instanceId rmq-cn-0123456789a --filter worker'],
  ListInstances: ['--seriesCodes standard,professional --pageSize 50'],
  ListMessages: ["--instanceId rmq-cn-0123456789a --topicName events --startTime '2026-01-31 18:00:00'"],
  SetRenewal: ['--InstanceIDs rmq-cn-0123456789a --RenewalStatus AutoRenewal --RenewalPeriod 1'],
  ResetConsumeOffset: [
    '--instanceId rmq-cn-0123456789a --consumerGroupId readers --topicName events',
    "--resetType SPECIFIED_TIME --resetTime '2026-01-31 18:00:00'",
  ],
}

/** A command line that a shell takes as it is, on several lines where one is too long. */
export function exampleOf(operation: Operation): string {
  const given = examples[operation.action] ?? packed(requiredFlags(operation))
  const lines = [`gantry call ${operation.action}`, ...given]
  const short = lines.join(' ')
  return short.length <= 96
    ? `  ${short}`
    : lines.map((line, index) => `  ${index === 0 ? '' : '  '}${line}`).join(' \\\n')
}

const requiredFlags = (operation: Operation): string[] =>
  membersOf(operation)
    .filter(({ required, schema }) => required && !(schema.type === 'object' && schema.properties !== undefined))
    .map(({ name, schema }) => `--${name} ${quotedWord(sampleOf(name, schema))}`)

function packed(flags: readonly string[]): string[] {
  const lines: string[] = []
  for (const flag of flags) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + flag.length < 88) lines[lines.length - 1] = `${last} ${flag}`
    else lines.push(flag)
  }
  return lines
}

function sampleOf(name: string, schema: JsonSchema): string {
  const own = samples[name.split('.').at(-1)!]
  if (schema.type === 'array') {
    const items = (schema.items ?? {}) as JsonSchema
    return schema['x-json-text'] !== undefined || items.type === 'object'
      ? JSON.stringify([sampleValue(name, items)])
      : String(own ?? sampleValue(name, items))
  }
  return (
    own ??
    (typeof sampleValue(name, schema) === 'object'
      ? JSON.stringify(sampleValue(name, schema))
      : String(sampleValue(name, schema)))
  )
}

function sampleValue(name: string, schema: JsonSchema): unknown {
  if (Array.isArray(schema.examples)) return schema.examples[0]
  if (Array.isArray(schema.enum)) return schema.enum[0]
  switch (schema.type) {
    case 'integer':
    case 'number':
      return schema.default ?? Math.max(Number(schema.minimum ?? clampOf(schema)?.[0] ?? 1), 1)
    case 'boolean':
      return true
    case 'object':
      return Object.fromEntries(
        Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)
          .filter(([member]) => ((schema.required ?? []) as readonly string[]).includes(member))
          .map(([member, each]) => [member, sampleValue(member, each)]),
      )
    case 'array':
      return [sampleValue(name, (schema.items ?? {}) as JsonSchema)]
    default:
      return samples[name.split('.').at(-1)!] ?? 'example'
  }
}

const quotedWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
