/**
 * What an operation of an API is, as data. No behaviour lives here: routing, decoding, validation,
 * authorisation, documents, forms and commands are computed from these values.
 */

export type HttpMethod = 'GET' | 'POST' | 'PATCH' | 'DELETE'

/** RAM access levels of the vendor's authorisation tables. */
export type AccessLevel = 'create' | 'list' | 'get' | 'update' | 'delete' | 'none'

/** A JSON Schema 2020-12 document. */
export type JsonSchema = Readonly<Record<string, unknown>>

export type ParameterStyle =
  /** Plain text. */
  | 'plain'
  /** Comma-joined in one value, or repeated as `name.1`, `name.2`, or as repeated keys. */
  | 'list'
  /** JSON text in the query (a bare value is accepted where `bareValue` says so). */
  | 'json'

export interface Parameter {
  readonly name: string
  /** Parameters of an RPC operation are all `query`: its query and its form are one flat list. */
  readonly in: 'path' | 'query'
  readonly required: boolean
  readonly style: ParameterStyle
  readonly schema: JsonSchema
  readonly deprecated?: boolean
  /** A `json` list that may also arrive as one bare value (tag operations' resourceId). */
  readonly bareValue?: boolean
}

export interface Operation {
  readonly action: string
  /** An RPC operation is called with `POST` or `GET` alike; `POST` stands here. */
  readonly method: HttpMethod
  /** With `{name}` places, e.g. `/instances/{instanceId}/topics/{topicName}`; `/` for an RPC operation. */
  readonly path: string
  readonly summary: string
  /** What a caller should know beyond the summary: effects, order, what is answered when. */
  readonly description?: string
  /** File name in the product's folders of catalogue/ and resources/ (without `.ts`). */
  readonly family: string
  /** What a policy must allow. Null: whoever signs the request may, for the operation tells callers about themselves only. */
  readonly ramAction: string | null
  readonly accessLevel: AccessLevel
  /** Which resource a RAM policy must name: a name of the product's `resources`. Null: `*`, all resources. */
  readonly resource: string | null
  readonly parameters: readonly Parameter[]
  /** Schema of the JSON body, or null when the operation takes none. */
  readonly body: JsonSchema | null
  /** Schema of the whole reply envelope, as the official SDK models it. */
  readonly output: JsonSchema
  /** Error codes the operation can answer besides those of api/. */
  readonly errors: readonly string[]
  /** `accessDeniedDetail` is modelled on this operation's reply. */
  readonly modelsAccessDenied: boolean
  /** Not in the vendor's published API; only some clients call it. */
  readonly unpublished?: boolean
}
