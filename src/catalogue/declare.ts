/**
 * `operation()` turns a declaration in TypeBox into the plain `Operation` value of operation.ts and keeps the
 * static types beside it. It adds what every operation has in common (the reply's envelope, the RAM action,
 * the style in which each query parameter travels), so that a family file says only what is its own.
 * `InputOf` and `DataOf` are what handlers import; they cost nothing at run time.
 */
import Type, { type Static, type TObject, type TProperties, type TSchema } from 'typebox'
import type { AccessLevel, HttpMethod, JsonSchema, Operation, Parameter, ResourceKind } from './operation.ts'

export interface Declaration<Path extends TProperties, Query extends TProperties, Body extends TSchema, Data> {
  readonly action: string
  /** `METHOD /path/{place}`. */
  readonly call: `${HttpMethod} /${string}`
  readonly summary: string
  readonly description?: string
  readonly family: string
  /** RAM level and the resource a policy names. */
  readonly access: readonly [AccessLevel, ResourceKind]
  readonly path?: Path
  /** Arrays travel as lists, those marked `x-json-text` as JSON. */
  readonly query?: Query
  readonly body?: Body
  /** What a reply's `data` holds; null when the reply has none. */
  readonly data: Data
  readonly errors?: readonly string[]
  readonly modelsAccessDenied?: boolean
  readonly unpublished?: boolean
}

/** An operation that remembers its static types. */
export interface Declared<Input, Data> extends Operation {
  readonly '~input'?: Input
  readonly '~data'?: Data
}

type Flat<T> = { [K in keyof T]: T[K] }

/** Path, query and body members in one object, as handlers receive them. */
export type InputOf<D> = D extends Declared<infer Input, any> ? Flat<Input> : never
/** What the handler answers, the reply's `data`. */
export type DataOf<D> = D extends Declared<any, infer Data> ? Data : never

export function operation<
  Path extends TProperties = Record<never, never>,
  Query extends TProperties = Record<never, never>,
  Body extends TSchema = TObject<Record<never, never>>,
  Data extends TSchema | null = null,
>(
  declaration: Declaration<Path, Query, Body, Data>,
): Declared<
  Static<TObject<Path>> & Static<TObject<Query>> & Static<Body>,
  Data extends TSchema ? Static<Data> : undefined
> {
  const [method, path] = declaration.call.split(' ') as [HttpMethod, string]
  const modelsAccessDenied = declaration.modelsAccessDenied ?? false
  return {
    action: declaration.action,
    method,
    path,
    summary: declaration.summary,
    ...(declaration.description === undefined ? {} : { description: declaration.description }),
    family: declaration.family,
    ramAction: `rocketmq:${declaration.action}`,
    accessLevel: declaration.access[0],
    resource: declaration.access[1],
    parameters: [...parametersOf('path', declaration.path ?? {}), ...parametersOf('query', declaration.query ?? {})],
    body: declaration.body === undefined ? null : plain(declaration.body),
    output: plain(envelope(declaration.data, modelsAccessDenied)),
    errors: declaration.errors ?? [],
    modelsAccessDenied,
    ...(declaration.unpublished ? { unpublished: true } : {}),
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

/** The members every reply has (api-semantics §1.4). `code` is a text even when it is a number. */
function envelope(data: TSchema | null, modelsAccessDenied: boolean): TSchema {
  return Type.Object({
    requestId: Type.String({ description: 'Id of this call, for people and logs.' }),
    success: Type.Boolean({ description: 'True when the operation did what was asked.' }),
    code: Type.String({ description: '`200`, or the code of the error.' }),
    message: Type.String({ description: '`Success`, or what was wrong.' }),
    httpStatusCode: Type.Integer({ description: 'Repeats the HTTP status.' }),
    dynamicCode: Type.Optional(Type.String({ description: 'What the error is about, capitalised.' })),
    dynamicMessage: Type.Optional(Type.String({ description: 'The parameter the error is about.' })),
    ...(modelsAccessDenied
      ? { accessDeniedDetail: Type.Optional(Type.String({ description: 'Why a policy denied the call.' })) }
      : {}),
    ...(data === null ? {} : { data }),
  })
}

/** A schema without TypeBox's hidden marks: what JSON would carry. */
const plain = (schema: TSchema): JsonSchema => JSON.parse(JSON.stringify(schema)) as JsonSchema
