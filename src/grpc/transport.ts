/**
 * What a gRPC service is to whoever implements one, whatever carries the calls: typed handlers, a call
 * with its metadata, deadline and cancellation, and errors as gRPC status codes.
 *
 * `protocol.ts` carries calls over our own HTTP/2 server; `test/grpc/reference.ts` over @grpc/grpc-js, and one
 * suite runs over both. Nothing here knows RocketMQ.
 *
 *     const service = implement(MessagingService, { queryRoute: (call, request) => ({ … }), … })
 *
 * An RPC without a handler does not compile. A handler that throws `RpcError` answers with that status; any
 * other throw is reported to the host's `onError` and answered INTERNAL without details.
 */

import type { Connection } from '../gateway/protocol.ts'
import type { Signal } from './call-signal.ts'
import type { Codec } from './protobuf.ts'

/** gRPC status codes. */
export const Status = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const
export type Status = (typeof Status)[keyof typeof Status]

/** Ends a call with a gRPC status. The message and the trailers reach the client: put no secret in them. */
export class RpcError extends Error {
  readonly status: Status
  readonly trailers: MetadataInit
  constructor(status: Status, message: string, trailers: MetadataInit = {}) {
    super(message)
    this.name = 'RpcError'
    this.status = status
    this.trailers = trailers
  }
}

/**
 * Request headers, names in lower case, as received; repeated ones are joined by `, `. The value of a name ending
 * in `-bin` is base64: read it with `binaryMetadata`. `:authority` is what the client dialled, as it says itself.
 * Has no prototype, so a hostile name finds nothing.
 */
export type Metadata = Readonly<Record<string, string | undefined>>

/** Names in lower case; bytes only under names ending in `-bin`, text (visible ASCII) only under others. */
export type MetadataInit = Readonly<Record<string, string | Uint8Array>>

/** One call, as its handler sees it. `Context` is what the endpoint was opened with. */
export interface Call<Context = unknown> {
  readonly context: Context
  /** `/package.Service/Method` */
  readonly path: string
  readonly metadata: Metadata
  readonly connection: Connection
  /** What `grpc-timeout` asked for, from arrival, or null without one. */
  readonly timeoutMs: number | null
  /** When its headers came, monotonic ms of the host's clock. */
  readonly arrivedAt: number
  /** Time left before the deadline, never negative; Infinity without one. */
  remainingMs(): number
  /** Aborts when nobody will read the answer: client cancel, deadline, lost connection, forced close of the port. */
  readonly signal: Signal
  /** Sent with the response headers; throws once they are on their way (the first write or the answer). */
  setHeaders(metadata: MetadataInit): void
  /** Sent with the status. */
  setTrailers(metadata: MetadataInit): void
}

/** A call whose answer is a stream. It ends OK when the handler returns, with the thrown status when it throws. */
export interface WritableCall<Context, In> extends Call<Context> {
  /**
   * Sends a message; false when enough is waiting for a slow client: await `drained()` before more. Whoever
   * ignores that has the call reset at the host's limit (`signal` aborts). Does nothing on an ended call.
   */
  write(message: In): boolean
  /** The same for a message encoded already, given in pieces that together are the message. */
  writeEncoded(pieces: readonly Uint8Array[]): boolean
  /** Resolves when `write` may go on, and when the call has ended (look at `signal`). */
  drained(): Promise<void>
  /** Calls `task` once the client has taken everything that was written, or what was left has been thrown away. */
  whenClosed(task: () => void): void
  /** Ends the call at once, throws away what the client has not taken, and aborts the signal. */
  reset(): void
}

/** A call with streams both ways. */
export interface BidiCall<Context, Out, In> extends WritableCall<Context, In> {
  /**
   * The client's messages, once, in order; ends when the client half-closes and throws when the call is cancelled
   * or a message cannot be read. Reading is what opens the window: an unread stream holds the client back.
   */
  readonly requests: AsyncIterable<Out>
}

export type { Connection }

export type MethodType =
  | {
      readonly kind: 'unary'
      readonly path: string
      readonly request: Codec<any, any>
      readonly response: Codec<any, any>
    }
  | {
      readonly kind: 'serverStream'
      readonly path: string
      readonly request: Codec<any, any>
      readonly response: Codec<any, any>
    }
  | {
      readonly kind: 'bidi'
      readonly path: string
      readonly request: Codec<any, any>
      readonly response: Codec<any, any>
    }

/** A service as the generated code describes it. */
export interface ServiceType {
  readonly typeName: string
  readonly methods: Readonly<Record<string, MethodType>>
}

type Decoded<C> = C extends Codec<infer Out, any> ? Out : never
type Written<C> = C extends Codec<any, infer In> ? In : never

export type Handler<Method extends MethodType, Context> = Method['kind'] extends 'unary'
  ? (
      call: Call<Context>,
      request: Decoded<Method['request']>,
    ) => Written<Method['response']> | Promise<Written<Method['response']>>
  : Method['kind'] extends 'serverStream'
    ? (
        call: WritableCall<Context, Written<Method['response']>>,
        request: Decoded<Method['request']>,
      ) => void | Promise<void>
    : (call: BidiCall<Context, Decoded<Method['request']>, Written<Method['response']>>) => void | Promise<void>

/** Every RPC of the service, under the generated name (`queryRoute`). */
export type Handlers<Type extends ServiceType, Context> = {
  readonly [Name in keyof Type['methods']]: Handler<Type['methods'][Name], Context>
}

/**
 * Asked as soon as a call's headers are here, before a byte of its request is read: null lets it in. Otherwise the call
 * is answered with `replies`, the messages of its response (exactly one unless that is a stream), and ends OK; or with the
 * status of an `RpcError` it throws. Its request is then never kept, inflated or decoded.
 */
export type Admission<Context> = (call: Call<Context>) => { readonly replies: readonly unknown[] } | null

/** A method with its handler, types erased: what a host routes to. */
export interface Method<Context> {
  readonly type: MethodType
  readonly admit: Admission<Context> | null
  readonly handle: (call: BidiCall<Context, unknown, unknown>, request?: unknown) => unknown
}

/** A service ready to be hosted. */
export interface Service<Context> {
  readonly typeName: string
  readonly methods: readonly Method<Context>[]
}

/**
 * `handlers` is best declared as `Handlers<typeof MessagingService, Context>`: that fixes the context's type. `admit`
 * is asked before each; null lets every call in.
 */
export function implement<Type extends ServiceType, Context>(
  type: Type,
  handlers: Handlers<Type, Context>,
  admit: Admission<Context> | null = null,
): Service<Context> {
  const methods = Object.entries(type.methods).map(([name, method]) => ({
    type: method,
    admit,
    handle: (handlers as Record<string, unknown>)[name] as Method<Context>['handle'],
  }))
  return { typeName: type.typeName, methods }
}

/** The bytes of each value under a `-bin` name; none when it is absent. Text that is not base64 gives what decodes of it. */
export function binaryMetadata(metadata: Metadata, name: string): Buffer[] {
  const value = metadata[name]
  return value === undefined ? [] : value.split(',').map((part) => Buffer.from(part.trim(), 'base64'))
}
