/**
 * One HTTP/2 connection: it turns streams into calls, refuses what is no gRPC call, and keeps count of what its client
 * makes us hold. HTTP/2 itself is Node's; the bounds against abuse of it are set here.
 */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2'
import type { Duplex } from 'node:stream'
import type { ServedConnection, ServingConnection } from '../gateway/protocol.ts'
import type { Clock } from '../world/world.ts'
import { type CallHost, ServerCall, tooManyBytes, tooManyCalls } from './call.ts'
import type { CallBudget, Waiting } from './call-budget.ts'
import type { Limits } from './limits.ts'
import { stopReading } from './response.ts'
import { type Method, Status } from './transport.ts'

/**
 * A socket's own handle. HTTP/2 has taken the socket over and reads from the handle natively, and Node offers no other way to
 * hold it back for a moment; without the handle a connection is only not held back.
 */
interface ReadHandle {
  readonly _handle?: { readStop?(): unknown; readStart?(): unknown; readonly writeQueueSize?: number } | null
}

/** What all connections share. */
export interface ConnectionHost {
  readonly clock: Clock
  readonly limits: Limits
  readonly methods: ReadonlyMap<string, Method<any>>
  readonly budget: CallBudget
  onError(error: unknown, path: string): void
  onCallStart(): void
  onCallEnd(status: Status): void
}

/** Node's HTTP/2 options for `limits`. */
export function http2Options(limits: Limits): ServerOptions & { streamResetBurst: number; streamResetRate: number } {
  return {
    settings: {
      enablePush: false,
      initialWindowSize: limits.streamWindowBytes,
      maxConcurrentStreams: limits.maxConcurrentStreams,
      maxHeaderListSize: limits.maxHeaderListBytes,
    },
    maxHeaderListPairs: 100,
    // Megabytes of HTTP/2 state and unsent frames; 10, the default, refuses streams under ordinary large answers.
    maxSessionMemory: 128,
    maxSettings: 32,
    maxOutstandingPings: 4,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    // Rapid reset: a client that cancels every long poll stays far below; nghttp2 ends one that goes on beyond.
    // Node 20 does not know these two and keeps nghttp2's own 1000 and 33.
    streamResetBurst: 2000,
    streamResetRate: 200,
  }
}

/** As Node calls it; its declaration leaves out the last one, the headers as names and values in turn. */
type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: readonly string[],
) => void

export class Http2Connection implements CallHost, ServedConnection, Waiting {
  readonly connection: ServingConnection
  readonly #host: ConnectionHost
  readonly #session: ServerHttp2Session
  readonly #socket: ReadHandle
  readonly #calls = new Set<ServerCall>()
  #bytesReadAtSweep = 0
  #pinged = false

  /**
   * Takes over `socket`, whose unread bytes begin with the HTTP/2 preface. The handshake is complete when the client has
   * acknowledged our SETTINGS; until then the gateway bounds the time: Node 20 does not report a protocol error in
   * bytes that were read before it took over, and would leave such a connection open.
   */
  constructor(host: ConnectionHost, socket: Duplex, connection: ServingConnection, options: ServerOptions) {
    this.connection = connection
    this.#host = host
    this.#socket = socket as ReadHandle
    this.#session = performServerHandshake(socket, options) as ServerHttp2Session
    this.#session.on('error', ignore)
    this.#session.once('localSettings', () => connection.established())
    const onStream: StreamListener = (stream, headers, _, rawHeaders) => this.#onStream(stream, headers, rawHeaders)
    this.#session.on('stream', onStream as (...passed: unknown[]) => void)
    this.#session.once('close', () => host.budget.forget(this))
    host.budget.opened(this)
    this.#session.setLocalWindowSize(host.limits.connectionWindowBytes)
  }

  get clock(): Clock {
    return this.#host.clock
  }

  get limits(): Limits {
    return this.#host.limits
  }

  get context(): unknown {
    return this.connection.context
  }

  get owner(): object {
    return this.connection.owner
  }

  get calls(): number {
    return this.#calls.size
  }

  hold(bytes: number): boolean {
    return this.connection.hold(bytes)
  }

  release(bytes: number): void {
    this.connection.release(bytes)
  }

  mayDecode(bytes: number): boolean {
    return this.#host.budget.mayDecode(this, bytes)
  }

  mayAnswer(): boolean {
    return this.#host.budget.mayAnswer(this)
  }

  decoded(values: number): void {
    this.#host.budget.decoded(values)
  }

  later(task: () => void): void {
    this.#host.budget.later(this, task)
  }

  callOpened(bytes: number): boolean {
    return this.connection.callOpened(bytes)
  }

  callEnded(bytes: number): void {
    this.connection.callEnded(bytes)
  }

  /** The one opened first: whoever opens many does so to keep them. */
  endOneCall(): boolean {
    const [oldest] = this.#calls
    oldest?.end(Status.RESOURCE_EXHAUSTED, tooManyCalls)
    return oldest !== undefined
  }

  giveWay(): boolean {
    let largest: ServerCall | null = null
    for (const call of this.#calls) {
      if (call.unworkedBytes > (largest?.unworkedBytes ?? 0)) largest = call
    }
    largest?.end(Status.RESOURCE_EXHAUSTED, tooManyBytes)
    return largest !== null
  }

  unsentBytes(): number {
    let bytes = 0
    for (const call of this.#calls) bytes += call.unsentBytes
    return bytes
  }

  onError(error: unknown, path: string): void {
    this.#host.onError(error, path)
  }

  onEnd(call: ServerCall, status: Status): void {
    this.#calls.delete(call)
    this.#host.onCallEnd(status)
  }

  /** Ends requests that do not arrive and pings a silent client; destroys the connection when it stays silent. */
  sweep(): void {
    const oldest = this.clock.monotonic() - this.limits.requestMs
    for (const call of this.#calls) {
      if (call.receiving && call.arrivedAt < oldest) {
        call.end(Status.DEADLINE_EXCEEDED, `The request did not arrive within ${this.limits.requestMs} ms`)
      }
    }
    const bytesRead = this.connection.bytesRead()
    const silent = bytesRead === this.#bytesReadAtSweep
    this.#bytesReadAtSweep = bytesRead
    if (!silent) {
      this.#pinged = false
    } else if (this.#pinged) {
      this.destroy()
    } else if (!this.#session.destroyed) {
      this.#pinged = true
      this.#session.ping(ignore)
    }
  }

  /** No new calls; streams both ways, which would never end by themselves, end soon. */
  drain(): void {
    if (!this.#session.closed && !this.#session.destroyed) this.#session.close()
    this.#end((call) => call.kind === 'bidi')
  }

  /** Ends every call with a status; the connection closes once those are sent. */
  endCalls(): void {
    this.#end(() => true)
  }

  destroy(): void {
    for (const call of this.#calls) call.destroy()
    this.#session.destroy()
  }

  pauseReading(): void {
    if (!this.#session.destroyed) this.#socket._handle?.readStop?.()
  }

  resumeReading(): void {
    const handle = this.#socket._handle
    // While a write waits for the client Node does not read, and it begins again by itself when the write has ended.
    if (!this.#session.destroyed && handle?.writeQueueSize === 0) handle.readStart?.()
  }

  /** Thousands of calls are ended over several turns. */
  #end(which: (call: ServerCall) => boolean): void {
    for (const call of this.#calls) {
      if (!which(call)) continue
      if (this.#host.budget.mayBegin(this)) call.end(Status.UNAVAILABLE, 'The server is closing')
      else this.#host.budget.later(this, () => call.end(Status.UNAVAILABLE, 'The server is closing'))
    }
  }

  /** A stream that has gone before its turn costs nothing more. */
  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    const { budget } = this.#host
    if (budget.mayBegin(this)) {
      this.#begin(stream, headers, rawHeaders)
      return
    }
    stream.on('error', ignore)
    budget.later(this, () => {
      if (!stream.destroyed && !stream.closed) this.#begin(stream, headers, rawHeaders)
    })
  }

  #begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]): void {
    const contentType = headers['content-type'] ?? ''
    if (headers[':method'] !== 'POST') {
      this.connection.refused()
      refuse(stream, constants.HTTP_STATUS_METHOD_NOT_ALLOWED)
      return
    }
    if (!/^application\/grpc(?:$|[+;])/.test(contentType)) {
      this.connection.refused()
      refuse(stream, constants.HTTP_STATUS_UNSUPPORTED_MEDIA_TYPE)
      return
    }
    const method = this.#host.methods.get(headers[':path'] ?? '')
    if (!method) {
      this.connection.refused()
      refuseUnknown(stream, headers[':path'] ?? '')
      return
    }
    this.#host.onCallStart()
    const call = new ServerCall(this, stream, { headers, rawHeaders }, method)
    if (!call.ended) this.#calls.add(call)
  }
}

/** A plain HTTP answer to what is no gRPC call. */
function refuse(stream: ServerHttp2Stream, status: number): void {
  answerAndClose(stream, { ':status': status })
}

function refuseUnknown(stream: ServerHttp2Stream, path: string): void {
  answerAndClose(stream, {
    ':status': constants.HTTP_STATUS_OK,
    'content-type': 'application/grpc',
    'grpc-status': Status.UNIMPLEMENTED,
    'grpc-message': `No such method: ${path.slice(0, 200).replace(/[^\x21-\x24\x26-\x7e]/g, '?')}`,
  })
}

function answerAndClose(stream: ServerHttp2Stream, headers: Record<string, string | number>): void {
  stream.on('error', ignore)
  if (stream.destroyed || stream.closed) return
  stream.respond(headers, { endStream: true })
  stopReading(stream)
}

function ignore(): void {}
