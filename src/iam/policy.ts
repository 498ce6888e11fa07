/**
 * RAM policies: what a document says about one request (docs/reference/auth-and-wire.md §6.1 to §6.3).
 *
 * Denied by default; an explicit Deny wins over any Allow. `parsePolicy` is the only way to a `PolicyDocument`, so
 * whoever writes policies has parsed them: a document with an operator, a condition key or a value that this
 * evaluator does not know is refused there. The evaluator does not rely on it: what it does not know works against
 * the caller, never allows and, in a Deny, denies.
 *
 * Pure: a decision depends on its arguments alone.
 */
import { contains, parseAddress, parseRange } from './ip-range.ts'
import { matchesWildcard } from './wildcard.ts'

type OneOrMany = string | readonly string[]

export interface Statement {
  readonly Effect: 'Allow' | 'Deny'
  readonly Action?: OneOrMany
  readonly NotAction?: OneOrMany
  readonly Resource: OneOrMany
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, OneOrMany>>>>
}

declare const parsed: unique symbol

/** A document that `parsePolicy` accepted. */
export interface PolicyDocument {
  readonly Version: '1'
  readonly Statement: Statement | readonly Statement[]
  readonly [parsed]: true
}

/** What may be known of a request, by condition key; a key without a value is absent. */
export type ConditionContext = Readonly<Partial<Record<ConditionKey, string | undefined>>>
export type ConditionKey = keyof typeof KEYS | `${typeof REQUEST_TAG}${string}`

export interface AccessRequest {
  /** `rocketmq:CreateInstance`. */
  readonly action: string
  readonly resource: string
  readonly context: ConditionContext
}

export type Decision = 'Allow' | 'ExplicitDeny' | 'ImplicitDeny'

export function evaluate(policies: readonly PolicyDocument[], request: AccessRequest): Decision {
  let allowed = false
  for (const policy of policies) {
    for (const statement of listOf(policy.Statement)) {
      if (!applies(statement, request)) continue
      if (statement.Effect !== 'Allow') return 'ExplicitDeny'
      allowed = true
    }
  }
  return allowed ? 'Allow' : 'ImplicitDeny'
}

/** The vendor's limit for a custom policy, characters of its JSON. */
export const MAX_POLICY_LENGTH = 6_144

/**
 * Reads a document as it was written. Throws `PolicyError` whose message says everything that is wrong with it; what
 * it returns may be kept and evaluated.
 */
export function parsePolicy(text: string): PolicyDocument {
  if (text.length > MAX_POLICY_LENGTH) {
    throw new PolicyError([`The policy has ${text.length} characters; at most ${MAX_POLICY_LENGTH} are accepted.`])
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new PolicyError(['The policy is not JSON.'])
  }
  const problems = policyProblems(value)
  if (problems.length > 0) throw new PolicyError(problems)
  return value as PolicyDocument
}

/** A document that is refused. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError'
  constructor(problems: readonly string[]) {
    super(problems.slice(0, MAX_PROBLEMS).join(' '))
  }
}

const MAX_PROBLEMS = 10

/** What is wrong with a document, in sentences. */
function policyProblems(value: unknown): string[] {
  if (!isObject(value)) return ['A policy is a JSON object.']
  const problems = Object.keys(value)
    .filter((name) => name !== 'Version' && name !== 'Statement')
    .map((name) => `${shown(name)} is not supported.`)
  if (member(value, 'Version') !== '1') problems.push('Version must be the string "1".')
  const given = member(value, 'Statement')
  const statements = Array.isArray(given) ? given : [given]
  if (statements.length === 0) problems.push('Statement must not be empty.')
  for (const [index, statement] of statements.entries()) {
    problems.push(...statementProblems(statement).map((problem) => `Statement ${index + 1}: ${problem}`))
  }
  return problems
}

function applies(statement: Statement, request: AccessRequest): boolean {
  return (
    actionMatches(statement, request.action) &&
    resourceMatches(statement, request.resource) &&
    conditionsHold(statement, request.context)
  )
}

/** Actions are compared without regard to case. */
function actionMatches(statement: Statement, action: string): boolean {
  const matches = (patterns: OneOrMany) =>
    listOf(patterns).some((pattern) => matchesWildcard(pattern.toLowerCase(), action.toLowerCase()))
  if (statement.Action !== undefined) return matches(statement.Action)
  return statement.NotAction !== undefined && !matches(statement.NotAction)
}

function resourceMatches(statement: Statement, resource: string): boolean {
  const text = normalResource(resource)
  return listOf(statement.Resource).some((pattern) => matchesWildcard(normalResource(pattern), text))
}

/**
 * Region and account of a pattern may be empty and then match all. The kind is compared without regard to case:
 * the vendor writes `Instance/*` for creation and `instance/…` elsewhere (api-semantics §1.6).
 */
function normalResource(text: string): string {
  const [acs, service, region, account, ...relative] = text.split(':')
  if (relative.length === 0) return text
  const id = relative.join(':').replace(/^instance(?=[/*?]|$)/i, 'instance')
  return `${acs}:${service}:${region || '*'}:${account || '*'}:${id}`
}

/**
 * All conditions hold. One that cannot be judged (an unknown operator or key, a value that does not parse) holds for a
 * Deny and fails for an Allow.
 */
function conditionsHold(statement: Statement, context: ConditionContext): boolean {
  const benefitOfDoubt = statement.Effect !== 'Allow'
  return Object.entries(statement.Condition ?? {}).every(([operator, keys]) =>
    Object.entries(keys).every(([key, values]) => {
      const comparison = OPERATORS.get(operator)
      if (comparison === undefined || conditionProblem(operator, comparison, key, listOf(values)) !== null) {
        return benefitOfDoubt
      }
      const actual = Object.hasOwn(context, key) ? context[key as ConditionKey] : undefined
      return holds(comparison, actual, listOf(values))
    }),
  )
}

/** What kinds of keys there are; texts compare with anything that has no form of its own. */
type Kind = 'text' | 'number' | 'date' | 'boolean' | 'address'

/** Keys this server can fill (api/condition-context.ts), with the kind of their value. */
const KEYS = {
  'acs:CurrentTime': 'date',
  'acs:SourceIp': 'address',
  'acs:SecureTransport': 'boolean',
  'acs:MFAPresent': 'boolean',
  'acs:PrincipalARN': 'text',
  'acs:UserAgent': 'text',
} as const satisfies Record<string, Kind>
/** Tags that a request puts on what it makes. */
const REQUEST_TAG = 'acs:RequestTag/'

function kindOf(key: string): Kind | null {
  if (key.startsWith(REQUEST_TAG) && key.length > REQUEST_TAG.length) return 'text'
  return Object.hasOwn(KEYS, key) ? KEYS[key as keyof typeof KEYS] : null
}

interface Comparison {
  /** Of the wanted values; texts may be asked of keys of every kind. */
  readonly kind: Kind
  readonly negated: boolean
  readonly matches: (actual: string, wanted: string) => boolean
}

/** The values of one key are alternatives. Without the key a positive operator fails and a negated one holds. */
function holds({ negated, matches }: Comparison, actual: string | undefined, wanted: readonly string[]): boolean {
  if (actual === undefined) return negated
  const some = wanted.some((value) => matches(actual, value))
  return negated ? !some : some
}

const equal = (a: string, b: string) => a === b
const equalIgnoringCase = (a: string, b: string) => a.toLowerCase() === b.toLowerCase()
const like = (actual: string, pattern: string) => matchesWildcard(pattern, actual)
const inRange = (actual: string, wanted: string) => {
  const address = parseAddress(actual)
  const range = parseRange(wanted)
  return address !== null && range !== null && contains(range, address)
}
const number = (text: string) => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN)
const date = (text: string) =>
  /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN

const isParsable: Record<Kind, (value: string) => boolean> = {
  text: () => true,
  number: (value) => !Number.isNaN(number(value)),
  date: (value) => !Number.isNaN(date(value)),
  boolean: (value) => /^(true|false)$/i.test(value),
  address: (value) => parseRange(value) !== null,
}

const OPERATORS: ReadonlyMap<string, Comparison> = new Map([
  ...pair('text', 'StringEquals', 'StringNotEquals', equal),
  ...pair('text', 'StringEqualsIgnoreCase', 'StringNotEqualsIgnoreCase', equalIgnoringCase),
  ...pair('text', 'StringLike', 'StringNotLike', like),
  ...pair('address', 'IpAddress', 'NotIpAddress', inRange),
  ...ordered('number', 'Numeric', number),
  ...ordered('date', 'Date', date),
  ['Bool', { kind: 'boolean', negated: false, matches: equalIgnoringCase }],
])

function pair(kind: Kind, positive: string, negative: string, matches: Comparison['matches']): [string, Comparison][] {
  return [
    [positive, { kind, negated: false, matches }],
    [negative, { kind, negated: true, matches }],
  ]
}

/** A value that does not parse is NaN, and NaN compares to nothing. */
function ordered(kind: Kind, type: string, parse: (text: string) => number): [string, Comparison][] {
  const by =
    (compare: (a: number, b: number) => boolean): Comparison['matches'] =>
    (actual, wanted) =>
      compare(parse(actual), parse(wanted))
  return [
    ...pair(
      kind,
      `${type}Equals`,
      `${type}NotEquals`,
      by((a, b) => a === b),
    ),
    [`${type}LessThan`, { kind, negated: false, matches: by((a, b) => a < b) }],
    [`${type}LessThanEquals`, { kind, negated: false, matches: by((a, b) => a <= b) }],
    [`${type}GreaterThan`, { kind, negated: false, matches: by((a, b) => a > b) }],
    [`${type}GreaterThanEquals`, { kind, negated: false, matches: by((a, b) => a >= b) }],
  ]
}

function statementProblems(value: unknown): string[] {
  if (!isObject(value)) return ['it must be an object.']
  const problems: string[] = []
  const effect = member(value, 'Effect')
  if (effect !== 'Allow' && effect !== 'Deny') problems.push('Effect must be Allow or Deny.')
  const actions = ['Action', 'NotAction'].filter((name) => Object.hasOwn(value, name))
  if (actions.length !== 1) problems.push('exactly one of Action and NotAction is needed.')
  for (const name of actions) {
    problems.push(...textProblems(name, member(value, name), ACTION, 'service:Action with * and ?, or *'))
  }
  problems.push(...textProblems('Resource', member(value, 'Resource'), RESOURCE, 'a name that begins with acs:, or *'))
  const known = ['Effect', 'Action', 'NotAction', 'Resource', 'Condition']
  for (const name of Object.keys(value)) if (!known.includes(name)) problems.push(`${shown(name)} is not supported.`)
  if (Object.hasOwn(value, 'Condition')) problems.push(...conditionProblems(value['Condition']))
  return problems
}

const ACTION = /^(?:\*|[\w*?-]+:[\w*?]+)$/
const RESOURCE = /^(?:\*|acs:.+)$/

function textProblems(name: string, value: unknown, pattern: RegExp, form: string): string[] {
  if (!isOneOrMany(value)) return [`${name} must be a string or a list of strings.`]
  const odd = listOf(value).find((text) => !pattern.test(text))
  return odd === undefined ? [] : [`${name} ${shown(odd)} is not ${form}.`]
}

function conditionProblems(value: unknown): string[] {
  if (!isObject(value)) return ['Condition must be an object.']
  return Object.entries(value).flatMap(([operator, keys]) => {
    const comparison = OPERATORS.get(operator)
    if (comparison === undefined) {
      return [`the condition operator ${shown(operator)} is not known; known are ${[...OPERATORS.keys()].join(', ')}.`]
    }
    if (!isObject(keys)) return [`Condition.${operator} must be an object.`]
    return Object.entries(keys).flatMap(([key, values]) => {
      if (!isOneOrMany(values)) return [`Condition.${operator}.${shown(key)} must be a string or a list of strings.`]
      return conditionProblem(operator, comparison, key, listOf(values)) ?? []
    })
  })
}

/** Why a condition cannot be judged, or null when it can. */
function conditionProblem(
  operator: string,
  comparison: Comparison,
  key: string,
  values: readonly string[],
): string | null {
  const kind = kindOf(key)
  if (kind === null) {
    return `the condition key ${shown(key)} is not known here; known are ${[...Object.keys(KEYS), `${REQUEST_TAG}<key>`].join(', ')}.`
  }
  const fits =
    comparison.kind === 'text' || comparison.kind === kind || (comparison.kind === 'number' && kind === 'text')
  if (!fits)
    return `${operator} compares values of the kind ${comparison.kind}, and ${shown(key)} is of the kind ${kind}.`
  const odd = values.find((value) => typeof value !== 'string' || !isParsable[comparison.kind](value))
  return odd === undefined
    ? null
    : `Condition.${operator}.${key} has ${shown(odd)}, which is not of the kind ${comparison.kind}.`
}

/** Own members only: inherited ones (`constructor`) are not in the document. */
const member = (value: Record<string, unknown>, name: string): unknown =>
  Object.hasOwn(value, name) ? value[name] : undefined

const shown = (text: unknown): string => JSON.stringify(String(text).slice(0, 80))

function listOf<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T]
}

function isOneOrMany(value: unknown): value is OneOrMany {
  return (
    typeof value === 'string' ||
    (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string'))
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
