/**
 * Generated requests: any operation of the catalogue, aimed at things that exist and things that do not, with a
 * near-valid input, mostly a valid signature, and at times bytes that no client should send.
 */
import fc from 'fast-check'
import type { Operation, Parameter } from '../../src/catalogue/operation.ts'
import { rocketmq } from '../../src/catalogue/rocketmq/index.ts'
import { handlers } from '../../src/resources/rocketmq/index.ts'
import { type Fault, type Input, nearValid, oddText, oddValue, valid } from './near-valid.ts'

/** A path segment: something of the ledger (by number, resolved when it is sent), or text. */
export type Segment =
  | { readonly existing: 'instance' | 'topic' | 'group' | 'message' | 'account'; readonly number: number }
  | { readonly text: string }
  /** Put on the request line as it stands, broken escapes included. */
  | { readonly raw: string }

export type Signature =
  | 'valid'
  | 'none'
  | 'wrongSecret'
  | 'unknownKey'
  | 'userWithoutPolicy'
  | 'old'
  | 'noVersion'
  | 'garbled'

/** What happens to the JSON text of a body before it is sent (and signed). */
export type BodyDamage =
  | 'none'
  | 'cut'
  | 'doubled'
  | 'garbage'
  | 'notUtf8'
  | 'byteOrderMark'
  | 'array'
  | 'blanks'
  | 'absent'
  | 'polluting'

export interface GeneratedCall {
  /** Null for a path or a method that the API does not have. */
  readonly operation: Operation | null
  readonly method: string
  /** With `{name}` places. */
  readonly template: string
  readonly segments: Readonly<Record<string, Segment>>
  readonly query: readonly (readonly [string, string])[]
  readonly input: Input | null
  readonly bodyDamage: BodyDamage
  readonly signature: Signature
}

/** Bodies the handlers accept, where a schema alone seldom leads to one. */
export const bases = {
  CreateInstance: {
    serviceCode: 'rmq',
    seriesCode: 'standard',
    subSeriesCode: 'cluster_ha',
    paymentType: 'PayAsYouGo',
    productInfo: { msgProcessSpec: 'rmq.s2.2xlarge', messageRetentionTime: 48 },
    networkInfo: {
      vpcInfo: { vpcId: 'vpc-1', vSwitches: [{ vSwitchId: 'vsw-1' }] },
      internetInfo: { internetSpec: 'disable', flowOutType: 'uninvolved' },
    },
  },
  CreateInstanceIpWhitelist: { ipWhitelists: ['10.0.0.0/8', '192.168.1.7'] },
  CreateInstanceAccount: { username: 'worker', password: 'worker-password' },
  CreateInstanceAcl: { resourceType: 'Topic', resourceName: 'orders', actions: ['Pub', 'Sub'], decision: 'Allow' },
  UpdateInstanceAcl: { resourceType: 'Topic', resourceName: 'orders', decision: 'Deny' },
  UpdateInstance: { instanceName: 'renamed', productInfo: { messageRetentionTime: 72 } },
  CreateTopic: { messageType: 'NORMAL', remark: 'made by a generator' },
  UpdateTopic: { remark: 'changed by a generator' },
  CreateConsumerGroup: {
    deliveryOrderType: 'Concurrently',
    consumeRetryPolicy: { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 16 },
  },
  UpdateConsumerGroup: {
    deliveryOrderType: 'Concurrently',
    consumeRetryPolicy: { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 5 },
  },
} as const

/** Of what there are grants, whether it exists or not. */
export const grantedNames = ['orders', 'audit'] as const

const baseOf = (action: string): Readonly<Record<string, unknown>> | null =>
  Object.hasOwn(bases, action) ? bases[action as keyof typeof bases] : null

const signature: fc.Arbitrary<Signature> = fc.oneof(
  { weight: 30, arbitrary: fc.constant('valid' as const) },
  {
    weight: 3,
    arbitrary: fc.constantFrom('none', 'wrongSecret', 'unknownKey', 'userWithoutPolicy', 'old', 'noVersion', 'garbled'),
  },
)

const bodyDamage: fc.Arbitrary<BodyDamage> = fc.oneof(
  { weight: 20, arbitrary: fc.constant('none' as const) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      'cut',
      'doubled',
      'garbage',
      'notUtf8',
      'byteOrderMark',
      'array',
      'blanks',
      'absent',
      'polluting',
    ),
  },
)

type Kind = Extract<Segment, { existing: unknown }>['existing']

const kinds: Readonly<Record<string, Kind>> = {
  instanceId: 'instance',
  topicName: 'topic',
  consumerGroupId: 'group',
  messageId: 'message',
  username: 'account',
}

const existing = (kind: Kind): fc.Arbitrary<Segment> => fc.nat(200).map((number) => ({ existing: kind, number }))

function segment(name: string): fc.Arbitrary<Segment> {
  const kind = kinds[name] ?? null
  const fresh = fc.string({ unit: fc.constantFrom(...'abcdefgh'), minLength: 3, maxLength: 8 })
  return fc.oneof(
    ...(kind === null ? [] : [{ weight: 16, arbitrary: existing(kind) }]),
    { weight: kind === 'instance' ? 1 : 6, arbitrary: fresh.map((text) => ({ text })) },
    { weight: 2, arbitrary: oddText.map((text) => ({ text })) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('%', '%zz', '%c0%af', 'a%2', '%00', '%2e%2e', '%ff').map((raw) => ({ raw })),
    },
  )
}

/** What a schema cannot know; `$instance` becomes the id of one that exists. */
function sensible({ name, style, schema }: Parameter): fc.Arbitrary<unknown> {
  if (name === 'regionId') return fc.constant('cn-hangzhou')
  if (name === 'resourceId') return fc.constant(style === 'json' ? ['$instance'] : '$instance')
  if (name === 'ipWhitelists') return fc.constantFrom(['0.0.0.0/0'], ['10.0.0.0/8'])
  if (name === 'resourceName') return fc.constantFrom(...grantedNames)
  if (name === 'startTime') return fc.constant('2026-01-01 00:00:00')
  if (name === 'endTime') return fc.constant('2026-01-02 00:00:00')
  if (name === 'scrollId') return fc.constantFrom('', '1.0.0')
  return valid(schema)
}

/** Of many parameters, each odd by itself, one nearly always is: half of the queries have none that is. */
function queryOf(parameters: readonly Parameter[]): fc.Arbitrary<[string, string][]> {
  const declared = parameters.filter((each) => each.in === 'query')
  const plain = declared.map((parameter) => {
    const given = sensible(parameter).map((value) => pairs(parameter, value))
    return parameter.required ? given : fc.oneof(given, fc.constant([] as [string, string][]))
  })
  return fc.oneof(
    fc.tuple(...plain).map((found) => found.flat()),
    oddQueryOf(declared),
  )
}

function oddQueryOf(declared: readonly Parameter[]): fc.Arbitrary<[string, string][]> {
  const members = declared.map((parameter) =>
    fc.oneof(
      {
        weight: parameter.required ? 36 : 2,
        arbitrary: sensible(parameter).map((value) => pairs(parameter, value)),
      },
      { weight: parameter.required ? 1 : 4, arbitrary: fc.constant([] as [string, string][]) },
      { weight: 1, arbitrary: oddValue.map((value) => pairs(parameter, value)) },
      { weight: 1, arbitrary: oddText.map((text) => [[parameter.name, text]] as [string, string][]) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(oddText, oddText)
          .map((two) => two.map((text) => [parameter.name, text] as [string, string])),
      },
    ),
  )
  const strange = fc.oneof(
    { weight: 9, arbitrary: fc.constant([] as [string, string][]) },
    { weight: 1, arbitrary: fc.array(fc.tuple(oddText, oddText), { maxLength: 3 }) },
  )
  return fc.tuple(fc.tuple(...members), strange).map(([found, more]) => [...found.flat(), ...more])
}

function pairs(parameter: Parameter, value: unknown): [string, string][] {
  if (value === undefined) return []
  if (parameter.style === 'list' && Array.isArray(value)) return [[parameter.name, value.map(String).join(',')]]
  return [[parameter.name, typeof value === 'string' ? value : JSON.stringify(value)]]
}

export function callOf(operation: Operation): fc.Arbitrary<GeneratedCall> {
  const places = operation.parameters.filter((each) => each.in === 'path').map((each) => each.name)
  const input = operation.body === null ? fc.constant(null) : nearValid(operation.body, baseOf(operation.action))
  return fc.record({
    operation: fc.constant(operation),
    method: fc.constant<string>(operation.method),
    template: fc.constant(operation.path),
    segments: fc.record(Object.fromEntries(places.map((name) => [name, segment(name)]))),
    query: queryOf(operation.parameters),
    input,
    bodyDamage: operation.body === null ? fc.constant<BodyDamage>('none') : bodyDamage,
    signature,
  })
}

/** Paths and methods that the API does not have. */
const stray: fc.Arbitrary<GeneratedCall> = fc.record({
  operation: fc.constant(null),
  method: fc.constantFrom('GET', 'POST', 'PATCH', 'DELETE', 'PUT', 'OPTIONS', 'TRACE', 'PROPFIND'),
  template: fc.oneof(
    fc.constantFrom(...rocketmq.operations.map((each) => `${each.path.replace(/\{\w+\}/g, 'x')}/more`)),
    fc.constantFrom(
      '/',
      '//',
      '/instances/',
      '/INSTANCES',
      '/instances//topics',
      '/../instances',
      '/_gantry',
      '/_gantry/x',
    ),
    fc.constantFrom(
      '/__proto__',
      '/constructor',
      '/instances/%',
      '/%zz',
      '/instances/%c0%af/topics',
      '/?',
      '/instances;x',
    ),
    fc.constant(`/${'x'.repeat(8_000)}`),
    fc.constant(`/${'a/'.repeat(2_000)}`),
  ),
  segments: fc.constant({}),
  query: fc.array(fc.tuple(oddText, oddText), { maxLength: 2 }),
  input: fc.option(
    oddValue.map((value) => ({ value, fault: { kind: 'whole', path: [] } as Fault })),
    { nil: null },
  ),
  bodyDamage,
  signature,
})

/** Operations that work are thrown at more often: there is more behind them. */
export const anyCall: fc.Arbitrary<GeneratedCall> = fc.oneof(
  ...rocketmq.operations.map((operation) => ({
    weight: Object.hasOwn(handlers, operation.action) ? 6 : 1,
    arbitrary: callOf(operation),
  })),
  { weight: 12, arbitrary: stray },
)
