/**
 * One gRPC call on an HTTP/2 stream: from its headers to its trailers. It reads the request, runs the handler, writes
 * the answer, and ends exactly once — by the handler, the deadline, the client, or the connection — whichever is first.
 *
 * A unary answer is one `respond`, one `end` and one `sendTrailers`; whatever else a call may need (abort signal,
 * timer, request queue) is made when it is first asked for. `request.ts` reads requests, `response.ts` writes answers.
 */

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { ServingConnection } from '../gateway/protocol.ts'
import type { Cancel, Clock } from '../world/world.ts'
import { CallSignal } from './call-signal.ts'
import { encodeFrame, frameHeader, MessageReader } from './framing.ts'
import type { Limits } from './limits.ts'
import { addMetadata, parseTimeout } from './metadata.ts'
import { decodedValues } from './protobuf.ts'
import { freeValues, inflateRequest, parseRequest, valuesBytes } from './request.ts'
import { type RequestMessage, RequestQueue } from './request-queue.ts'
import {
  addStatus,
  type Headers,
  http2NoError,
  noHeaders,
  responseHeaders,
  stopReading,
  trailersOnly,
  withTrailers,
} from './response.ts'
import {
  type Admission,
  type BidiCall,
  type Connection,
  type Metadata,
  type MetadataInit,
  type Method,
  RpcError,
  Status,
} from './transport.ts'

/** What a call needs of the connection and the host it belongs to. */
export interface CallHost {
  readonly clock: Clock
  readonly limits: Limits
  readonly connection: Connection & Pick<ServingConnection, 'owner' | 'refused'>
  readonly context: unknown
  /** Counts bytes of requests kept in memory; false when that is too much, and nothing was counted. */
  hold(bytes: number): boolean
  release(bytes: number): void
  /** Counts what an open call keeps; false when there are too many, and nothing was counted. */
  callOpened(bytes: number): boolean
  callEnded(bytes: number): void
  /** True when a request of `bytes` may be decoded at once; else that is to be handed to `later`. */
  mayDecode(bytes: number): boolean
  /** True when an answer may be written at once; else that is to be handed to `later`. */
  mayAnswer(): boolean
  /** Counts the values of a request that has more than an ordinary one, for the turn that decoded them. */
  decoded(values: number): void
  /** Does `task` in a later turn of the event loop. */
  later(task: () => void): void
  /** Answers written but not taken by the client, of all calls of the connection. */
  unsentBytes(): number
  onError(error: unknown, path: string): void
  onEnd(call: ServerCall, status: Status): void
}

export const tooManyBytes = 'Too many bytes of unanswered requests; send fewer at a time'
export const tooManyCalls = 'Too many calls are open; leave fewer open at a time'
/** What an open call keeps beside its headers and its request: Node's stream, ours, a handler that waits. */
const openCallBytes = 8 * 1024
/** Why a call ended, where nobody asks where in the program that was: an error with its stack costs more than the rest. */
const clientGone = new RpcError(Status.CANCELLED, 'The client went away')
const hasEnded = new RpcError(Status.CANCELLED, 'The call has ended')
const connectionClosed = new RpcError(Status.UNAVAILABLE, 'The connection was closed')
const readsTooSlowly = new RpcError(Status.RESOURCE_EXHAUSTED, 'The client reads too slowly')
const http2Cancel = 8

export class ServerCall implements BidiCall<unknown, unknown, unknown> {
  readonly path: string
  readonly metadata: Metadata
  readonly timeoutMs: number | null
  readonly arrivedAt: number
  readonly #host: CallHost
  readonly #stream: ServerHttp2Stream
  readonly #method: Method<any>
  readonly #reader: MessageReader

  #ended = false
  #started = false
  /** True until the request of a unary or server-streaming call is here. */
  #receiving = true
  #request: RequestMessage | null = null
  #queue: RequestQueue | null = null
  #heldBytes = 0
  /** What it is counted for as long as it is open. */
  #openBytes = 0
  /** Of the message decoded last. */
  #values = 0
  #status: Status = Status.OK
  #statusMessage = ''
  #headers: MetadataInit = noHeaders
  #trailers: MetadataInit = noHeaders
  #signal: CallSignal | null = null
  #cancelTimer: Cancel | null = null
  #uncorking = false
  #stopWaiting: (() => void) | null = null

  /** `rawHeaders`: the same headers as names and values in turn. */
  constructor(
    host: CallHost,
    stream: ServerHttp2Stream,
    { headers, rawHeaders }: { readonly headers: IncomingHttpHeaders; readonly rawHeaders: readonly string[] },
    method: Method<any>,
  ) {
    this.#host = host
    this.#stream = stream
    this.#method = method
    this.path = method.type.path
    if (headers['set-cookie']) (headers as Record<string, unknown>)['set-cookie'] = headers['set-cookie'].join(', ')
    this.metadata = headers as Metadata
    this.arrivedAt = host.clock.monotonic()
    const timeout = this.metadata['grpc-timeout']
    this.timeoutMs = timeout === undefined ? null : parseTimeout(timeout)
    this.#reader = new MessageReader(host.limits.maxMessageBytes, (bytes, compressed) =>
      this.#onMessage(bytes, compressed),
    )
    stream.on('close', () => this.#onClose())
    stream.on('error', ignore)
    if (timeout !== undefined && this.timeoutMs === null) {
      this.end(Status.INTERNAL, `grpc-timeout ${JSON.stringify(timeout)} is malformed`)
      return
    }
    if (!this.#admitted(method.admit) || !this.#opened(rawHeaders)) return
    stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    stream.on('end', () => this.#onRequestEnd())
    if (method.type.kind === 'bidi') {
      this.#receiving = false
      this.#queue = new RequestQueue(this, stream, host.limits.streamWindowBytes)
      this.#run(undefined)
    }
  }

  get context(): unknown {
    return this.#host.context
  }

  get connection(): Connection {
    return this.#host.connection
  }

  get ended(): boolean {
    return this.#ended
  }

  get receiving(): boolean {
    return this.#receiving && !this.#ended
  }

  /** Bytes of its request that no handler has begun to work on: of a call that may still be ended for want of memory. */
  get unworkedBytes(): number {
    return this.#started && this.#queue === null ? 0 : this.#heldBytes
  }

  /** Bytes of its request that lie within Node, where nobody counts them. */
  get unreadBytes(): number {
    return this.#stream.readableLength
  }

  get unsentBytes(): number {
    return this.#stream.writableLength
  }

  get kind(): string {
    return this.#method.type.kind
  }

  get signal(): CallSignal {
    if (!this.#signal) {
      this.#signal = new CallSignal()
      if (this.#ended) this.#signal.abort(hasEnded)
    }
    return this.#signal
  }

  get requests(): AsyncIterable<unknown> {
    if (!this.#queue) throw new TypeError('Only a call with streams both ways has requests to iterate')
    return this.#queue
  }

  remainingMs(): number {
    if (this.timeoutMs === null) return Number.POSITIVE_INFINITY
    return Math.max(0, this.timeoutMs - (this.#host.clock.monotonic() - this.arrivedAt))
  }

  setHeaders(metadata: MetadataInit): void {
    if (this.#stream.headersSent) throw new TypeError('The response headers are on their way already')
    addMetadata({}, metadata)
    this.#headers = { ...this.#headers, ...metadata }
  }

  setTrailers(metadata: MetadataInit): void {
    addMetadata({}, metadata)
    this.#trailers = { ...this.#trailers, ...metadata }
  }

  write(message: unknown): boolean {
    if (this.#ended) return true
    return this.#send([encodeFrame(this.#method.type.response, message)])
  }

  writeEncoded(pieces: readonly Uint8Array[]): boolean {
    if (this.#ended) return true
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    return this.#send([frameHeader(bytes), ...pieces])
  }

  drained(): Promise<void> {
    if (this.#ended || this.#stream.writableLength < this.#host.limits.writeHighWaterBytes) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        this.#stream.off('drain', done)
        this.#stream.off('close', done)
        resolve()
      }
      this.#stream.on('drain', done)
      this.#stream.on('close', done)
    })
  }

  whenClosed(task: () => void): void {
    if (this.#stream.destroyed) task()
    else this.#stream.once('close', task)
  }

  reset(): void {
    if (!this.#ended) {
      this.#finish(Status.RESOURCE_EXHAUSTED, readsTooSlowly)
    }
    this.#stream.close(http2Cancel)
  }

  /** Ends the call with a status; what was written before it is still sent. Aborts the signal unless the handler is done. */
  end(status: Status, message: string, trailers: MetadataInit = noHeaders, handlerDone = false): void {
    if (this.#ended) return
    this.#finish(status, handlerDone ? null : this.#reasonOf(status, message))
    this.#status = status
    this.#statusMessage = message
    if (trailers !== noHeaders) this.#trailers = { ...this.#trailers, ...trailers }
    if (this.#unreachable) return
    if (this.#stream.headersSent) {
      this.#stream.end()
    } else {
      this.#stream.respond(this.#addStatus(responseHeaders(this.#headers)), trailersOnly)
      stopReading(this.#stream)
    }
  }

  /** Ends the call at once, without a status. */
  destroy(): void {
    if (!this.#ended) this.#finish(Status.UNAVAILABLE, connectionClosed)
    this.#stream.close(http2Cancel)
  }

  /** Lets go of what a consumed request held. */
  release(bytes: number): void {
    if (this.#ended) return
    this.#heldBytes -= bytes
    this.#host.release(bytes)
  }

  /** The request's value, and the bytes it is counted for from now on; throws RpcError when it is not what it should be. */
  async decode(message: RequestMessage): Promise<{ readonly value: unknown; readonly heldBytes: number }> {
    const bytes = message.compressed ? await this.#inflate(message.bytes) : message.bytes
    if (!this.#host.mayDecode(bytes.length)) await this.#turn()
    if (this.#ended) throw hasEnded
    const value = this.#parse(bytes)
    const heldBytes = valuesBytes(this.#values) + (message.compressed ? bytes.length : 0)
    if (heldBytes > 0 && !this.hold(heldBytes)) throw hasEnded
    return { value, heldBytes }
  }

  /** False when the call was refused by its headers, and has ended: what else comes of its request is thrown away. */
  #admitted(admit: Admission<unknown> | null): boolean {
    if (admit === null) {
      if (this.connection.admit()) return true
      this.end(Status.RESOURCE_EXHAUSTED, 'The server has as many connections as it may')
      return false
    }
    let refusal: ReturnType<Admission<unknown>>
    try {
      refusal = admit(this)
    } catch (error) {
      this.#fail(error, true)
      return false
    }
    if (refusal === null) return true
    this.#host.connection.refused()
    // Read and thrown away from now on: whoever does not take the answer must not have the request kept meanwhile.
    this.#stream.resume()
    const { replies } = refusal
    const { refusalDelayMs } = this.connection
    if (refusalDelayMs === 0) this.#refuse(replies)
    else this.#host.clock.after(refusalDelayMs, () => this.#refuse(replies))
    return false
  }

  /** False when there are too many open calls, and this one has ended. Headers of a unary call soon go. */
  #opened(rawHeaders: readonly string[]): boolean {
    const bytes = openCallBytes + (this.kind === 'unary' ? 0 : charactersOf(rawHeaders))
    if (this.#host.callOpened(bytes)) {
      this.#openBytes = bytes
      return true
    }
    this.end(Status.RESOURCE_EXHAUSTED, tooManyCalls)
    return false
  }

  #refuse(replies: readonly unknown[]): void {
    if (this.#ended) return
    this.#started = true
    if (this.kind !== 'unary') for (const reply of replies) this.write(reply)
    this.#answer(replies[0])
  }

  #onData(chunk: Buffer): void {
    if (this.#ended) return
    if (!this.hold(chunk.length)) return
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Counts bytes of the request; false when that was too much, and the call has ended. */
  hold(bytes: number): boolean {
    if (this.#host.hold(bytes)) {
      this.#heldBytes += bytes
      return true
    }
    this.end(Status.RESOURCE_EXHAUSTED, tooManyBytes)
    return false
  }

  #onMessage(bytes: Buffer, compressed: boolean): void {
    if (this.#queue) {
      this.#queue.push({ bytes, compressed })
    } else if (this.#request) {
      this.#fail(new RpcError(Status.INTERNAL, `${this.path} takes one request message; a second one arrived`))
    } else {
      this.#request = { bytes, compressed }
    }
  }

  #onRequestEnd(): void {
    // Node also ends the readable side of a stream that was reset; its `close` follows and tells.
    if (this.#ended || (this.#stream.closed && this.#stream.rstCode !== http2NoError)) return
    if (!this.#reader.atBoundary) {
      this.#fail(new RpcError(Status.INTERNAL, 'The request stream ended inside a message'))
    } else if (this.#queue) {
      this.#queue.finish(null)
    } else if (this.#request) {
      this.#receiving = false
      const request = this.#request
      this.#request = null
      this.#dispatch(request)
    } else {
      this.#fail(new RpcError(Status.INTERNAL, `${this.path} takes one request message; none arrived`))
    }
  }

  #dispatch({ bytes, compressed }: RequestMessage): void {
    if (compressed) {
      this.#inflate(bytes).then(
        (inflated) => this.#dispatchInflated(inflated),
        (error) => this.#fail(error),
      )
    } else if (this.#host.mayDecode(bytes.length)) {
      this.#carryOut(bytes)
    } else {
      this.#host.later(() => this.#carryOut(bytes))
    }
  }

  #dispatchInflated(bytes: Buffer): void {
    if (this.#ended) return
    if (this.hold(bytes.length)) this.#dispatch({ bytes, compressed: false })
  }

  #carryOut(bytes: Buffer): void {
    if (this.#ended) return
    let request: unknown
    try {
      request = this.#parse(bytes)
    } catch (error) {
      this.#fail(error)
      return
    }
    const heldBytes = valuesBytes(this.#values)
    if (heldBytes > 0 && !this.hold(heldBytes)) return
    this.#run(request)
  }

  #run(request: unknown): void {
    if (this.#ended || this.#started) return
    this.#started = true
    let answer: unknown
    try {
      answer = this.#method.handle(this, request)
    } catch (error) {
      this.#fail(error, true)
      return
    }
    if (!(answer instanceof Promise)) {
      this.#answer(answer)
      return
    }
    this.#armDeadline()
    answer.then(
      (value) => this.#answer(value),
      (error) => this.#fail(error, true),
    )
  }

  #answer(value: unknown): void {
    if (this.#ended) return
    if (this.#host.mayAnswer()) this.#writeAnswer(value)
    else this.#host.later(() => this.#writeAnswer(value))
  }

  #writeAnswer(value: unknown): void {
    if (this.#ended) return
    if (this.kind !== 'unary') {
      this.end(Status.OK, '', noHeaders, true)
      return
    }
    let frame: Buffer
    let headers: Headers
    try {
      frame = encodeFrame(this.#method.type.response, value)
      headers = responseHeaders(this.#headers)
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#finish(Status.OK, null)
    if (this.#unreachable) return
    this.#open(headers)
    this.#stream.end(frame)
  }

  /** Answers with what a handler or the decoder threw. */
  #fail(error: unknown, handlerDone = false): void {
    if (error instanceof RpcError) {
      this.end(error.status === Status.OK ? Status.UNKNOWN : error.status, error.message, error.trailers, handlerDone)
      return
    }
    // A wait that was aborted because the call has ended is not an error.
    if (!(this.#ended && error instanceof Error && error.name === 'AbortError')) this.#host.onError(error, this.path)
    this.end(Status.INTERNAL, 'Internal error', noHeaders, handlerDone)
  }

  #send(chunks: readonly Uint8Array[]): boolean {
    const stream = this.#stream
    if (this.#unreachable) return true
    if (!stream.headersSent) this.#open(responseHeaders(this.#headers))
    // Messages written in one turn leave together: small ones fill frames and packets instead of one each.
    if (!this.#uncorking) {
      this.#uncorking = true
      stream.cork()
      process.nextTick(() => {
        this.#uncorking = false
        stream.uncork()
      })
    }
    for (const chunk of chunks) stream.write(chunk)
    const { maxUnsentBytes, writeHighWaterBytes } = this.#host.limits
    if (stream.writableLength < writeHighWaterBytes) return true
    if (this.#host.unsentBytes() > maxUnsentBytes) {
      this.#finish(Status.RESOURCE_EXHAUSTED, readsTooSlowly)
      stream.close(http2Cancel)
    }
    return false
  }

  #open(headers: Headers): void {
    this.#stream.on('wantTrailers', () => this.#sendTrailers())
    this.#stream.respond(headers, withTrailers)
  }

  #sendTrailers(): void {
    if (this.#unreachable) return
    this.#stream.sendTrailers(this.#addStatus({}))
    stopReading(this.#stream)
  }

  /** The client has reset the stream, or the connection is gone: writing would throw. */
  get #unreachable(): boolean {
    return this.#stream.destroyed || this.#stream.closed
  }

  #addStatus(headers: Headers): Headers {
    return addStatus(headers, this.#status, this.#statusMessage, this.#trailers)
  }

  #armDeadline(): void {
    if (this.timeoutMs === null || this.#ended) return
    this.#cancelTimer = this.#host.clock.after(this.remainingMs(), () => {
      this.end(Status.DEADLINE_EXCEEDED, 'Deadline exceeded')
    })
  }

  #onClose(): void {
    if (!this.#ended) this.#finish(Status.CANCELLED, clientGone)
  }

  /** For whoever still works for the call; an error is made only if there is somebody. */
  #reasonOf(status: Status, message: string): RpcError {
    return this.#queue === null && this.#signal === null ? hasEnded : withoutStack(status, message)
  }

  /** The one place where a call ends. */
  #finish(status: Status, reason: RpcError | null): void {
    this.#ended = true
    this.#request = null
    this.#cancelTimer?.()
    this.#cancelTimer = null
    if (this.#heldBytes !== 0) this.#host.release(this.#heldBytes)
    this.#heldBytes = 0
    if (this.#openBytes !== 0) this.#host.callEnded(this.#openBytes)
    this.#openBytes = 0
    this.#stopWaiting?.()
    this.#queue?.finish(reason ?? hasEnded)
    if (reason) this.#signal?.abort(reason)
    this.#host.onEnd(this, status)
  }

  #parse(bytes: Buffer): unknown {
    const request = parseRequest(this.#method.type, bytes)
    this.#values = decodedValues()
    if (this.#values > freeValues) this.#host.decoded(this.#values)
    return request
  }

  /** A later turn, or the end of the call: what waits of a connection that has gone is not done. */
  #turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#stopWaiting = resolve
      this.#host.later(resolve)
    })
  }

  async #inflate(bytes: Buffer): Promise<Buffer> {
    const { limits, connection } = this.#host
    const inflated = await inflateRequest(bytes, this.metadata['grpc-encoding'], {
      mostBytes: limits.maxMessageBytes,
      owners: [connection.owner, connection],
      isWanted: () => !this.#ended,
    })
    if (inflated === null) throw hasEnded
    return inflated
  }
}

/** Thousands of calls may be ended at a time, and the stack takes longer than everything else of ending one. */
function withoutStack(status: Status, message: string): RpcError {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return new RpcError(status, message)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

function charactersOf(texts: readonly string[]): number {
  let characters = 0
  for (const text of texts) characters += text.length
  return characters
}

function ignore(): void {}
