/**
 * `roaOperations(facts)` and `rpcOperations(facts)` answer a product's `operation()`, which turns a declaration in
 * TypeBox into the plain `Operation` value of operation.ts and keeps the static types beside it. It adds what every
 * operation of the product has in common (the reply's envelope, the RAM action, the style in which each parameter
 * travels), so that a family file says only what is its own. The types cost nothing at run time.
 */
import Type, { type Static, type TObject, type TProperties, type TSchema } from 'typebox'
import type { AccessLevel, HttpMethod, JsonSchema, Operation, Parameter } from './operation.ts'
import type { ProductFacts } from './product.ts'

interface Declaration<Facts extends ProductFacts, Action extends string, Data> {
  readonly action: Action
  readonly summary: string
  readonly description?: string
  readonly family: string
  /** RAM level and the resource a policy names; without one, what the vendor's tables call all resources. */
  readonly access: readonly [AccessLevel, (keyof Facts['resources'] & string)?]
  /** What a reply's `data` holds; null when the reply has none. */
  readonly data: Data
  readonly errors?: readonly string[]
  readonly unpublished?: boolean
  /** For operations that tell callers about themselves: whoever signs the request may call it, without a policy. */
  readonly needsNoPermission?: boolean
}

export interface RoaDeclaration<
  Facts extends ProductFacts,
  Action extends string,
  Path extends TProperties,
  Query extends TProperties,
  Body extends TSchema,
  Data,
> extends Declaration<Facts, Action, Data> {
  /** `METHOD /path/{place}`. */
  readonly call: `${HttpMethod} /${string}`
  readonly path?: Path
  /** Arrays travel as lists, those marked `x-json-text` as JSON. */
  readonly query?: Query
  readonly body?: Body
  readonly modelsAccessDenied?: boolean
}

export interface RpcDeclaration<Facts extends ProductFacts, Action extends string, Parameters extends TProperties, Data>
  extends Declaration<Facts, Action, Data> {
  readonly parameters?: Parameters
}

/** An operation that remembers its static types. */
export interface Declared<Action extends string, Input, Data> extends Operation {
  readonly action: Action
  readonly '~input'?: Input
  readonly '~data'?: Data
}

type Flat<T> = { [K in keyof T]: T[K] }

/** The operations among the exports of a product's family modules, by action. */
export type OperationsIn<Families extends readonly object[]> = {
  [Each in DeclaredIn<Families[number]> as Each['action']]: Each
}
type DeclaredIn<Family> = Family extends unknown ? Extract<Family[keyof Family], Declared<string, any, any>> : never
/** The input of the operation named `Action` among `Operations`. */
export type InputIn<Operations, Action extends keyof Operations> =
  Operations[Action] extends Declared<any, infer Input, any> ? Flat<Input> : never
/** What its handler answers. */
export type DataIn<Operations, Action extends keyof Operations> =
  Operations[Action] extends Declared<any, any, infer Data> ? Data : never

type DataOfSchema<Data> = Data extends TSchema ? Static<Data> : undefined

export const roaOperations =
  <const Facts extends ProductFacts>(facts: Facts) =>
  <
    const Action extends string,
    Path extends TProperties = Record<never, never>,
    Query extends TProperties = Record<never, never>,
    Body extends TSchema = TObject<Record<never, never>>,
    Data extends TSchema | null = null,
  >(
    declaration: RoaDeclaration<Facts, Action, Path, Query, Body, Data>,
  ): Declared<Action, Static<TObject<Path>> & Static<TObject<Query>> & Static<Body>, DataOfSchema<Data>> => {
    const [method, path] = declaration.call.split(' ') as [HttpMethod, string]
    const modelsAccessDenied = declaration.modelsAccessDenied ?? false
    return {
      ...common(facts, declaration),
      method,
      path,
      parameters: [...parametersOf('path', declaration.path ?? {}), ...parametersOf('query', declaration.query ?? {})],
      body: declaration.body === undefined ? null : plain(declaration.body),
      output: plain(roaEnvelope(declaration.data, modelsAccessDenied)),
      modelsAccessDenied,
    }
  }

export const rpcOperations =
  <const Facts extends ProductFacts>(facts: Facts) =>
  <
    const Action extends string,
    Parameters extends TProperties = Record<never, never>,
    Data extends TSchema | null = null,
  >(
    declaration: RpcDeclaration<Facts, Action, Parameters, Data>,
  ): Declared<Action, Static<TObject<Parameters>>, DataOfSchema<Data>> => ({
    ...common(facts, declaration),
    method: 'POST',
    path: '/',
    parameters: parametersOf('query', declaration.parameters ?? {}),
    body: null,
    output: plain(rpcEnvelope(facts, declaration.data)),
    modelsAccessDenied: false,
  })

/** The same as values, family by family. Sorted within a family, because a bundler keeps no order of a module's exports. */
export const operationsIn = (families: readonly object[]): readonly Operation[] =>
  families.flatMap((family) =>
    Object.values(family)
      .filter(isOperation)
      .sort((a, b) => (a.action < b.action ? -1 : 1)),
  )

const isOperation = (value: unknown): value is Operation =>
  typeof value === 'object' && value !== null && 'action' in value && 'output' in value

/** What both styles have; in the order in which documents show it. */
function common<Action extends string>(
  facts: ProductFacts,
  declaration: Declaration<ProductFacts, Action, TSchema | null>,
) {
  const { action, summary, description, family, access, needsNoPermission, errors = [], unpublished } = declaration
  return {
    action,
    summary,
    ...(description === undefined ? {} : { description }),
    family,
    ramAction: needsNoPermission ? null : `${facts.ramCode}:${action}`,
    accessLevel: access[0],
    resource: access[1] ?? null,
    errors,
    ...(unpublished ? { unpublished: true } : {}),
  }
}

function parametersOf(place: 'path' | 'query', members: TProperties): Parameter[] {
  const schema = plain(Type.Object(members)) as { properties: Record<string, JsonSchema>; required?: string[] }
  return Object.entries(schema.properties).map(([name, each]) => ({
    name,
    in: place,
    required: (schema.required?.includes(name) ?? false) && !('default' in each),
    style: each['x-json-text'] !== undefined ? 'json' : each['type'] === 'array' ? 'list' : 'plain',
    schema: each,
    ...(each['deprecated'] === true ? { deprecated: true } : {}),
    ...(each['x-json-text'] === 'bare' ? { bareValue: true } : {}),
  }))
}

/** The members every reply has (docs/reference/api-semantics.md §1.4). `code` is a text even when it is a number. */
function roaEnvelope(data: TSchema | null, modelsAccessDenied: boolean): TSchema {
  return Type.Object({
    requestId: Type.String({ description: 'Id of this call, for people and logs.' }),
    success: Type.Boolean({ description: 'True when the operation did what was asked.' }),
    code: Type.String({ description: '`200`, or the code of the error.' }),
    message: Type.String({ description: '`Success`, or what was wrong.' }),
    httpStatusCode: Type.Integer({ description: 'Repeats the HTTP status.' }),
    dynamicCode: textOrNull('What the error is about, capitalised; null when it is about no parameter, or none.'),
    dynamicMessage: textOrNull('The parameter the error is about; null likewise.'),
    ...(modelsAccessDenied
      ? { accessDeniedDetail: Type.Optional(Type.String({ description: 'Why a policy denied the call.' })) }
      : {}),
    ...(data === null ? {} : { data }),
  })
}

const textOrNull = (description: string): TSchema => Type.Unsafe({ type: ['string', 'null'], description })

/** Replies of RPC services have capitalised members, and the outcome as a word. */
function rpcEnvelope(facts: ProductFacts, data: TSchema | null): TSchema {
  const requestId = Type.String({ description: 'Id of this call, for people and logs.' })
  if (facts.rpcReply === 'members') {
    const members = (data as { properties?: TProperties } | null)?.properties ?? {}
    return Type.Object({ RequestId: requestId, ...members })
  }
  return Type.Object({
    RequestId: requestId,
    Success: Type.Boolean({ description: 'True when the operation did what was asked.' }),
    Code: Type.String({ description: '`Success`, or the code of the error.' }),
    Message: Type.String({ description: '`Successful!`, or what was wrong.' }),
    ...(data === null ? {} : { Data: data }),
  })
}

/** A schema without TypeBox's hidden marks: what JSON would carry. */
const plain = (schema: TSchema): JsonSchema => JSON.parse(JSON.stringify(schema)) as JsonSchema
