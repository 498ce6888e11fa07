/**
 * A small service whose handlers each test gives, and a client for it: @grpc/grpc-js, the judge of both
 * implementations. Messages are JSON, which also proves that a codec need not be generated.
 */

import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js'
import { Gateway, type ListenOptions, type OpenPort, type TlsKeys } from '../../src/gateway/gateway.ts'
import type { GatewayLimits } from '../../src/gateway/limits.ts'
import type { Protocol } from '../../src/gateway/protocol.ts'
import type { Signal } from '../../src/grpc/call-signal.ts'
import type { Limits } from '../../src/grpc/limits.ts'
import type { Codec } from '../../src/grpc/protobuf.ts'
import { GrpcProtocol } from '../../src/grpc/protocol.ts'
import type { Admission, Handlers, Service } from '../../src/grpc/transport.ts'
import { implement } from '../../src/grpc/transport.ts'
import type { Clock } from '../../src/world/world.ts'

export interface Note {
  text: string
  n?: number
}

export const noteCodec: Codec<Note, Note> = {
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()) as Note,
  encode: (note, writer) => writer!.raw(Buffer.from(JSON.stringify(note))),
}

export const Notes = {
  typeName: 'test.Notes',
  methods: {
    ask: { kind: 'unary', path: '/test.Notes/Ask', request: noteCodec, response: noteCodec },
    list: { kind: 'serverStream', path: '/test.Notes/List', request: noteCodec, response: noteCodec },
    chat: { kind: 'bidi', path: '/test.Notes/Chat', request: noteCodec, response: noteCodec },
  },
} as const

export type NoteHandlers = Handlers<typeof Notes, string>

/** Handlers a test does not give answer at once. */
export function notes(handlers: Partial<NoteHandlers>, admit: Admission<string> | null = null): Service<string> {
  const all: NoteHandlers = { ask: (_call, request) => request, list: () => {}, chat: () => {}, ...handlers }
  return implement(Notes, all, admit)
}

/** A gateway that speaks gRPC, and whatever else is given. */
export class GrpcHost {
  readonly gateway: Gateway<string>
  readonly #grpc: GrpcProtocol<string>

  constructor(options: {
    readonly services: readonly Service<string>[]
    readonly protocols?: readonly Protocol<string>[]
    readonly tls?: TlsKeys
    readonly clock: Clock
    readonly limits?: Partial<Limits & GatewayLimits>
    readonly onError: (error: unknown, where: string) => void
  }) {
    this.#grpc = new GrpcProtocol(options)
    this.gateway = new Gateway({ ...options, protocols: [this.#grpc, ...(options.protocols ?? [])] })
  }

  listen(options: ListenOptions<string>): Promise<OpenPort<string>> {
    return this.gateway.listen(options)
  }

  stats() {
    return { ...this.gateway.stats(), ...this.#grpc.stats() }
  }

  close(options?: { readonly graceMs?: number }): Promise<void> {
    return this.gateway.close(options)
  }
}

/** What the suite asks of an implementation. */
export interface Implementation {
  readonly name: string
  open(service: Service<string>, limits?: Partial<Limits>): Promise<Running>
}

export interface Running {
  readonly port: number
  readonly tlsPort: number
  /** What `onError` was told. */
  readonly errors: unknown[]
  close(options?: { graceMs?: number }): Promise<void>
}

export class NoteClient {
  readonly #client: Client
  constructor(port: number, options: { tls?: string } & ClientOptions = {}) {
    const { tls, ...rest } = options
    const secure = tls === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(tls))
    // Each client its own connection; no reconnecting behind a test's back.
    this.#client = new Client(`localhost:${port}`, secure, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.max_receive_message_length': -1,
      ...rest,
    })
  }

  ask(note: Note, { metadata = {}, ...options }: AskOptions = {}): Promise<Note> & { cancel(): void; seen: Seen } {
    return this.unary('/test.Notes/Ask', Buffer.from(JSON.stringify(note)), metadata, options)
  }

  unary(path: string, bytes: Buffer, metadata: Record<string, string | Buffer> = {}, options: CallOptions = {}) {
    const seen: Seen = { headers: {}, trailers: {} }
    let cancel = () => {}
    const promise = new Promise<Note>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        (value: Buffer) => value,
        (answer) => JSON.parse(answer.toString()) as Note,
        bytes,
        toMetadata(metadata),
        options,
        (error: ServiceError | null, answer) => (error ? reject(error) : resolve(answer!)),
      )
      call.on('metadata', (headers: Metadata) => Object.assign(seen.headers, headers.getMap()))
      call.on('status', (status) => Object.assign(seen.trailers, status.metadata.getMap()))
      cancel = () => call.cancel()
    })
    // A test may look at the outcome late.
    promise.catch(() => {})
    return Object.assign(promise, { cancel: () => cancel(), seen })
  }

  list(note: Note, options: CallOptions = {}): ClientReadableStream<Note> {
    return this.#client.makeServerStreamRequest('/test.Notes/List', toBytes, toNote, note, new Metadata(), options)
  }

  chat(options: CallOptions = {}): ClientDuplexStream<Note, Note> {
    return this.#client.makeBidiStreamRequest('/test.Notes/Chat', toBytes, toNote, new Metadata(), options)
  }

  close(): void {
    this.#client.close()
  }
}

interface AskOptions extends CallOptions {
  metadata?: Record<string, string | Buffer>
}

interface Seen {
  headers: Record<string, unknown>
  trailers: Record<string, unknown>
}

/** All messages and the status a stream ended with. */
export async function drain(stream: AsyncIterable<Note>): Promise<{ notes: Note[]; code: number; details: string }> {
  const seen: Note[] = []
  try {
    for await (const note of stream) seen.push(note)
  } catch (error) {
    return { notes: seen, code: (error as ServiceError).code, details: (error as ServiceError).details }
  }
  return { notes: seen, code: 0, details: '' }
}

/** A promise and the function that settles it. */
export function event<T = void>(): { promise: Promise<T>; fire: (value: T) => void } {
  let fire!: (value: T) => void
  const promise = new Promise<T>((resolve) => {
    fire = resolve
  })
  return { promise, fire }
}

/** Resolves when `signal` aborts. */
export function aborted(signal: Signal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function toMetadata(record: Record<string, string | Buffer>): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(record)) metadata.set(name, value)
  return metadata
}

const toBytes = (note: Note) => Buffer.from(JSON.stringify(note))
const toNote = (bytes: Buffer) => JSON.parse(bytes.toString()) as Note
