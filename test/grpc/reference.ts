/**
 * The transport interface over @grpc/grpc-js: what our own host is compared with. It serves tests only; where gRPC
 * leaves a choice, this is the choice most clients have met.
 */
import * as grpc from '@grpc/grpc-js'
import type { Limits } from '../../src/grpc/limits.ts'
import { borrowWriter, type Codec, returnWriter } from '../../src/grpc/protobuf.ts'
import {
  type BidiCall,
  type Connection,
  type Metadata,
  type MetadataInit,
  type Method,
  RpcError,
  type Service,
  Status,
} from '../../src/grpc/transport.ts'
import { realClock } from '../../src/world/real.ts'

type AnyCall = grpc.ServerDuplexStream<unknown, unknown>

export async function openReference<Context>(options: {
  services: readonly Service<Context>[]
  context: Context
  tls: { key: string; cert: string }
  limits?: Partial<Limits>
  onError: (error: unknown, where: string) => void
}): Promise<{ port: number; tlsPort: number; close(options?: { graceMs?: number }): Promise<void> }> {
  const max = options.limits?.maxMessageBytes ?? 16 * 1024 * 1024
  const server = new grpc.Server({ 'grpc.max_receive_message_length': max, 'grpc.max_send_message_length': -1 })
  for (const service of options.services) addService(server, service, options.context, options.onError)
  const { key, cert } = options.tls
  const secure = grpc.ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) },
  ])
  const port = await bind(server, grpc.ServerCredentials.createInsecure())
  const tlsPort = await bind(server, secure)
  return {
    port,
    tlsPort,
    close: () => {
      server.forceShutdown()
      return Promise.resolve()
    },
  }
}

function bind(server: grpc.Server, credentials: grpc.ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)))
  })
}

function addService<Context>(
  server: grpc.Server,
  service: Service<Context>,
  context: Context,
  onError: (error: unknown, where: string) => void,
): void {
  const definition: Record<string, grpc.MethodDefinition<unknown, unknown>> = {}
  const handlers: Record<string, any> = {}
  for (const method of service.methods) {
    const { path, kind, request, response } = method.type
    definition[path] = {
      path,
      requestStream: kind === 'bidi',
      responseStream: kind !== 'unary',
      requestSerialize: encoder(request),
      requestDeserialize: request.decode,
      responseSerialize: encoder(response),
      responseDeserialize: response.decode,
    }
    handlers[path] =
      kind === 'unary'
        ? (call: AnyCall, answer: grpc.sendUnaryData<unknown>) => {
            const wrapped = new ReferenceCall(call, method, context)
            run(wrapped, method, (call as unknown as { request: unknown }).request, onError).then(
              (value) => answer(null, value, toMetadata(wrapped.trailers)),
              (error) => answer(toServiceError(error, wrapped.trailers)),
            )
          }
        : (call: AnyCall) => {
            const wrapped = new ReferenceCall(call, method, context)
            run(wrapped, method, (call as unknown as { request: unknown }).request, onError).then(
              () => call.end(toMetadata(wrapped.trailers)),
              (error) => call.emit('error', toServiceError(error, wrapped.trailers)),
            )
          }
  }
  server.addService(definition, handlers)
}

async function run(
  call: ReferenceCall,
  method: Method<any>,
  request: unknown,
  onError: (error: unknown, where: string) => void,
): Promise<unknown> {
  try {
    const refusal = method.admit?.(call) ?? null
    if (refusal !== null && method.type.kind !== 'unary') for (const reply of refusal.replies) call.write(reply)
    const value = refusal === null ? await method.handle(call, request) : refusal.replies[0]
    if (method.type.kind === 'unary') encoder(method.type.response)(value)
    call.handlerDone = true
    return value
  } catch (error) {
    call.handlerDone = true
    if (!(error instanceof RpcError)) onError(error, method.type.path)
    throw error
  }
}

class ReferenceCall implements BidiCall<any, unknown, unknown> {
  handlerDone = false
  trailers: MetadataInit = {}
  readonly context: unknown
  readonly path: string
  readonly metadata: Metadata
  readonly connection: Connection
  readonly timeoutMs: number | null
  readonly arrivedAt = realClock.monotonic()
  readonly signal: AbortSignal
  readonly requests: AsyncIterable<unknown>
  readonly #call: AnyCall
  readonly #method: Method<any>
  readonly #deadline: number

  constructor(call: AnyCall, method: Method<any>, context: unknown) {
    this.#call = call
    this.#method = method
    this.context = context
    this.path = method.type.path
    const deadline = Number(call.getDeadline())
    this.#deadline = deadline
    this.timeoutMs = Number.isFinite(deadline) ? Math.max(0, deadline - realClock.now()) : null
    const record: Record<string, string> = Object.create(null)
    for (const name of Object.keys(call.metadata.getMap())) {
      record[name] = call.metadata
        .get(name)
        .map((value) => (typeof value === 'string' ? value : value.toString('base64')))
        .join(', ')
    }
    this.metadata = record
    const [, address, port] = /^\[?(.*?)\]?:(\d+)$/.exec(call.getPeer()) ?? []
    this.connection = {
      id: 1,
      remoteAddress: address ?? '',
      closed: false,
      remotePort: Number(port ?? 0),
      localAddress: '127.0.0.1',
      localPort: 0,
      encrypted: false,
      admit: () => true,
      guessed: () => {},
      refusalDelayMs: 0,
    }
    const abort = new AbortController()
    this.signal = abort.signal
    call.on('cancelled', () => {
      if (!this.handlerDone) abort.abort(new RpcError(Status.CANCELLED, 'The call was cancelled'))
    })
    this.requests = requestsOf(call, abort.signal)
  }

  remainingMs(): number {
    return Math.max(0, this.#deadline - realClock.now())
  }

  setHeaders(metadata: MetadataInit): void {
    this.#call.sendMetadata(toMetadata(metadata))
  }

  setTrailers(metadata: MetadataInit): void {
    this.trailers = { ...this.trailers, ...metadata }
  }

  write(message: unknown): boolean {
    encoder(this.#method.type.response)(message)
    return this.#call.write(message)
  }

  writeEncoded(pieces: readonly Uint8Array[]): boolean {
    return this.#call.write(this.#method.type.response.decode(Buffer.concat(pieces)))
  }

  whenClosed(task: () => void): void {
    if (this.signal.aborted) task()
    else this.#call.on('close', task)
  }

  reset(): void {
    this.#call.destroy()
  }

  drained(): Promise<void> {
    if (this.signal.aborted || !this.#call.writableNeedDrain) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        this.#call.off('drain', done)
        this.#call.off('cancelled', done)
        resolve()
      }
      this.#call.on('drain', done)
      this.#call.on('cancelled', done)
    })
  }
}

/** grpc-js ends the stream of a cancelled call like a finished one, and its plain iterator would end the answer too. */
async function* requestsOf(call: AnyCall, signal: AbortSignal): AsyncIterable<unknown> {
  yield* call.iterator({ destroyOnReturn: false })
  await new Promise((resolve) => setImmediate(resolve))
  if (signal.aborted) throw signal.reason
}

function encoder(codec: Codec<unknown, unknown>): (value: unknown) => Buffer {
  return (value) => {
    const writer = borrowWriter()
    try {
      return codec.encode(value, writer).finish() as Buffer
    } finally {
      returnWriter(writer)
    }
  }
}

function toServiceError(error: unknown, trailers: MetadataInit): Partial<grpc.ServiceError> {
  if (!(error instanceof RpcError))
    return { code: Status.INTERNAL, details: 'Internal error', metadata: toMetadata(trailers) }
  return {
    code: error.status as number,
    details: error.message,
    metadata: toMetadata({ ...trailers, ...error.trailers }),
  }
}

function toMetadata(record: MetadataInit): grpc.Metadata {
  const metadata = new grpc.Metadata()
  for (const [name, value] of Object.entries(record))
    metadata.set(name, typeof value === 'string' ? value : Buffer.from(value))
  return metadata
}
