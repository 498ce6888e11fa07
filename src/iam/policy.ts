/**
 * RAM policies: what a document says about one request (auth-and-wire §6.1–6.3).
 *
 * Denied by default; an explicit Deny wins over any Allow. Whatever a document says that this evaluator does not
 * know works against the caller: it never allows and, in a Deny, denies. `parsePolicy` refuses such documents when
 * they are written; the evaluator does not rely on that.
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

export interface PolicyDocument {
  readonly Version: '1'
  readonly Statement: Statement | readonly Statement[]
}

/** `acs:SourceIp` and the like; a key without a value is absent. */
export type ConditionContext = Readonly<Record<string, string | undefined>>

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

/** What is wrong with a document, in sentences; an empty list means it may be kept and evaluated. */
export function policyProblems(value: unknown): string[] {
  if (!isObject(value)) return ['A policy is a JSON object.']
  const problems = value['Version'] === '1' ? [] : ['Version must be the string "1".']
  const statements = Array.isArray(value['Statement']) ? value['Statement'] : [value['Statement']]
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

function conditionsHold(statement: Statement, context: ConditionContext): boolean {
  for (const [operator, keys] of Object.entries(statement.Condition ?? {})) {
    const compare = OPERATORS.get(operator)
    // An operator we do not know: an Allow does not apply, a Deny does.
    if (compare === undefined) return statement.Effect !== 'Allow'
    for (const [key, values] of Object.entries(keys)) {
      if (!holds(compare, context[key], listOf(values))) return false
    }
  }
  return true
}

interface Comparison {
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

const OPERATORS: ReadonlyMap<string, Comparison> = new Map([
  ...pair('StringEquals', 'StringNotEquals', equal),
  ...pair('StringEqualsIgnoreCase', 'StringNotEqualsIgnoreCase', equalIgnoringCase),
  ...pair('StringLike', 'StringNotLike', like),
  ...pair('IpAddress', 'NotIpAddress', inRange),
  ...ordered('Numeric', number),
  ...ordered('Date', date),
  ['Bool', { negated: false, matches: equalIgnoringCase }],
])

function pair(positive: string, negative: string, matches: Comparison['matches']): [string, Comparison][] {
  return [
    [positive, { negated: false, matches }],
    [negative, { negated: true, matches }],
  ]
}

/** A value that does not parse is NaN, and NaN compares to nothing. */
function ordered(type: string, parse: (text: string) => number): [string, Comparison][] {
  const by =
    (compare: (a: number, b: number) => boolean): Comparison['matches'] =>
    (actual, wanted) =>
      compare(parse(actual), parse(wanted))
  return [
    ...pair(
      `${type}Equals`,
      `${type}NotEquals`,
      by((a, b) => a === b),
    ),
    [`${type}LessThan`, { negated: false, matches: by((a, b) => a < b) }],
    [`${type}LessThanEquals`, { negated: false, matches: by((a, b) => a <= b) }],
    [`${type}GreaterThan`, { negated: false, matches: by((a, b) => a > b) }],
    [`${type}GreaterThanEquals`, { negated: false, matches: by((a, b) => a >= b) }],
  ]
}

function statementProblems(value: unknown): string[] {
  if (!isObject(value)) return ['it must be an object.']
  const problems: string[] = []
  if (value['Effect'] !== 'Allow' && value['Effect'] !== 'Deny') problems.push('Effect must be Allow or Deny.')
  const actions = ['Action', 'NotAction'].filter((name) => value[name] !== undefined)
  if (actions.length !== 1) problems.push('exactly one of Action and NotAction is needed.')
  for (const name of [...actions, 'Resource']) {
    if (!isOneOrMany(value[name])) problems.push(`${name} must be a string or a list of strings.`)
  }
  const known = ['Effect', 'Action', 'NotAction', 'Resource', 'Condition']
  for (const name of Object.keys(value)) if (!known.includes(name)) problems.push(`${name} is not supported.`)
  if (value['Condition'] !== undefined) problems.push(...conditionProblems(value['Condition']))
  return problems
}

function conditionProblems(value: unknown): string[] {
  if (!isObject(value)) return ['Condition must be an object.']
  return Object.entries(value).flatMap(([operator, keys]) => {
    if (!OPERATORS.has(operator)) return [`the condition operator ${operator} is not known.`]
    if (!isObject(keys)) return [`Condition.${operator} must be an object.`]
    return Object.entries(keys)
      .filter(([, values]) => !isOneOrMany(values))
      .map(([key]) => `Condition.${operator}.${key} must be a string or a list of strings.`)
  })
}

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
