/**
 * A process's gRPC services on any number of TCP ports. One port takes TLS, cleartext HTTP/2 and, where it trusts one,
 * a HAProxy PROXY header in front of either; the first bytes decide.
 *
 * A port is a listening socket and a context object that handlers find in `call.context`; services, codecs, TLS keys
 * and limits are shared by all, so that a process can serve hundreds of ports. Nothing a client sends may throw past
 * this module, and nothing waits without a bound.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import type { Cancel, Clock } from '../world/world.ts'
import { type ConnectionHost, Http2Connection, http2Options } from './connection.ts'
import { maxFirstBytes, type ProxyAddresses, recognise } from './first-bytes.ts'
import { defaultLimits, type Limits } from './limits.ts'
import type { Connection, Method, Service, Status } from './transport.ts'

export interface GrpcHostOptions<Context> {
  readonly services: readonly Service<Context>[]
  readonly clock: Clock
  /** PEM texts, see `certificate.ts`. Without them TLS connections are refused. */
  readonly tls?: TlsKeys
  readonly limits?: Partial<Limits>
  /** Told of what handlers threw that is not an RpcError. Must not throw. */
  readonly onError: (error: unknown, where: string) => void
}

export interface TlsKeys {
  readonly key: string
  readonly cert: string
}

export interface PortOptions<Context> extends PortPolicy<Context> {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
}

/** What may change while a port is open. */
export interface PortPolicy<Context> {
  readonly context: Context
  /** False closes the connection at once; asked again for open connections when the policy changes. Default: everyone. */
  readonly accept?: (remoteAddress: string) => boolean
  /** Connections open at a time, those that have not spoken yet included; more are closed at once. Default 10,000. */
  readonly maxConnections?: number
  /** Believe PROXY headers: whoever can connect can then claim any address. Default false: a header closes the connection. */
  readonly trustProxy?: boolean
}

export interface GrpcHost<Context> {
  /** Rejects with the system's error (EADDRINUSE, EACCES, …) when the port cannot be opened. */
  listen(options: PortOptions<Context>): Promise<PortHandle<Context>>
  /** For connections made from now on. */
  setTls(keys: TlsKeys): void
  stats(): HostStats
  /** Closes every port. */
  close(options?: { readonly graceMs?: number }): Promise<void>
}

export interface PortHandle<Context> {
  readonly port: number
  readonly host: string
  update(policy: Partial<PortPolicy<Context>>): void
  /** Open now, those that have not spoken yet included. */
  connections(): number
  /**
   * Takes no more connections and calls, ends streams both ways with UNAVAILABLE, lets other calls finish for
   * `graceMs` (default 0) and then ends them too. Resolves when the last socket is closed; calling again may shorten the grace.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>
}

/** Counters since the start, except `connections`, `calls` and `heldBytes`, which are of now. */
export interface HostStats {
  readonly connections: number
  readonly calls: number
  readonly heldBytes: number
  readonly acceptedConnections: number
  readonly refusedConnections: number
  readonly startedCalls: number
  /** Ended calls by gRPC status code. */
  readonly endedCalls: readonly number[]
}

const defaultMaxConnections = 10_000
/** Time the last answers get to leave before sockets are destroyed. */
const flushMs = 1000
const http1Answer =
  'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\nThis port speaks gRPC (HTTP/2), not HTTP/1.\n'

export function createGrpcHost<Context>(options: GrpcHostOptions<Context>): GrpcHost<Context> {
  return new Host(options)
}

class Host<Context> implements GrpcHost<Context>, ConnectionHost {
  readonly clock: Clock
  readonly limits: Limits
  readonly methods: ReadonlyMap<string, Method<any>>
  readonly http2: ReturnType<typeof http2Options>
  readonly ports = new Set<Port<Context>>()
  readonly onError: (error: unknown, where: string) => void
  secureContext: SecureContext | null
  accepted = 0
  refused = 0
  #connectionId = 0
  #heldBytes = 0
  #calls = 0
  #startedCalls = 0
  readonly #endedCalls = new Array<number>(17).fill(0)
  #sweep: Cancel | null = null

  constructor(options: GrpcHostOptions<Context>) {
    this.clock = options.clock
    this.limits = { ...defaultLimits, ...options.limits }
    this.methods = routes(options.services)
    this.http2 = http2Options(this.limits)
    this.onError = options.onError
    this.secureContext = options.tls ? createSecureContext({ ...options.tls }) : null
  }

  async listen(options: PortOptions<Context>): Promise<PortHandle<Context>> {
    const port = new Port(this, options)
    await port.open(options)
    this.ports.add(port)
    return port
  }

  setTls(keys: TlsKeys): void {
    this.secureContext = createSecureContext({ ...keys })
  }

  stats(): HostStats {
    let connections = 0
    for (const port of this.ports) connections += port.connections()
    return {
      connections,
      calls: this.#calls,
      heldBytes: this.#heldBytes,
      acceptedConnections: this.accepted,
      refusedConnections: this.refused,
      startedCalls: this.#startedCalls,
      endedCalls: [...this.#endedCalls],
    }
  }

  async close(options?: { readonly graceMs?: number }): Promise<void> {
    await Promise.all([...this.ports].map((port) => port.close(options)))
  }

  nextConnectionId(): number {
    return ++this.#connectionId
  }

  hold(bytes: number): boolean {
    this.#heldBytes += bytes
    return this.#heldBytes <= this.limits.maxHeldBytes
  }

  onCallStart(): void {
    this.#calls++
    this.#startedCalls++
  }

  onCallEnd(status: Status): void {
    this.#calls--
    this.#endedCalls[status]!++
  }

  /** One timer looks after all connections, as long as there are any. */
  keepSweeping(): void {
    this.#sweep ??= this.clock.after(this.limits.keepaliveMs, () => {
      this.#sweep = null
      let connections = 0
      for (const port of this.ports) connections += port.sweep()
      if (connections > 0) this.keepSweeping()
    })
  }
}

function routes(services: readonly Service<any>[]): Map<string, Method<any>> {
  const methods = new Map<string, Method<any>>()
  for (const service of services) {
    for (const method of service.methods) {
      if (methods.has(method.type.path)) throw new Error(`${method.type.path} is served twice`)
      methods.set(method.type.path, method)
    }
  }
  return methods
}

class Port<Context> implements PortHandle<Context> {
  readonly #host: Host<Context>
  #policy: PortPolicy<Context>
  readonly #server: Server
  readonly #arrivals = new Set<Arrival>()
  #closing: Closing | null = null

  constructor(host: Host<Context>, policy: PortPolicy<Context>) {
    this.#host = host
    this.#policy = policy
    this.#server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket) =>
      this.#onSocket(socket),
    )
  }

  get context(): Context {
    return this.#policy.context
  }

  get trustProxy(): boolean {
    return this.#policy.trustProxy === true
  }

  get port(): number {
    return (this.#server.address() as { port: number } | null)?.port ?? this.#lastPort
  }

  get host(): string {
    return this.#lastHost
  }

  #lastPort = 0
  #lastHost = ''

  open({ host, port }: { host: string; port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port, backlog: 511 }, () => {
        this.#server.off('error', reject)
        // A listening socket reports what `accept` fails with (too many open files); the port stays open.
        this.#server.on('error', (error) => this.#host.onError(error, `port ${this.#lastPort}`))
        this.#lastPort = this.port
        this.#lastHost = host
        resolve()
      })
    })
  }

  update(policy: Partial<PortPolicy<Context>>): void {
    this.#policy = { ...this.#policy, ...policy }
    if (!policy.accept) return
    for (const arrival of this.#arrivals) if (!this.accepts(arrival.remoteAddress)) arrival.destroy()
  }

  accepts(remoteAddress: string): boolean {
    return this.#policy.accept?.(remoteAddress) ?? true
  }

  connections(): number {
    return this.#arrivals.size
  }

  sweep(): number {
    for (const arrival of this.#arrivals) arrival.http2?.sweep()
    return this.#arrivals.size
  }

  forget(arrival: Arrival): void {
    this.#arrivals.delete(arrival)
    if (this.#arrivals.size === 0) this.#closing?.emptied()
  }

  close({ graceMs = 0 }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#closing ??= new Closing(this.#host.clock, () => this.#host.ports.delete(this))
    if (!this.#closing.started) {
      this.#server.close()
      for (const arrival of this.#arrivals) arrival.drain()
    }
    this.#closing.begin(
      graceMs,
      () => {
        for (const arrival of this.#arrivals) arrival.endCalls()
      },
      () => {
        for (const arrival of this.#arrivals) arrival.destroy()
      },
    )
    if (this.#arrivals.size === 0) this.#closing.emptied()
    return this.#closing.done
  }

  #onSocket(socket: Socket): void {
    const room = this.#arrivals.size < (this.#policy.maxConnections ?? defaultMaxConnections)
    const address = plainAddress(socket.remoteAddress)
    if (this.#closing || !room || address === null || (!this.trustProxy && !this.accepts(address))) {
      this.#host.refused++
      socket.on('error', ignore)
      socket.destroy()
      return
    }
    this.#host.accepted++
    this.#arrivals.add(new Arrival(this.#host, this, socket, address))
    this.#host.keepSweeping()
  }
}

/** The steps of closing a port: grace, then the calls' end, then the sockets'. */
class Closing {
  readonly done: Promise<void>
  started = false
  readonly #clock: Clock
  readonly #whenDone: () => void
  #resolve!: () => void
  #cancel: Cancel | null = null

  constructor(clock: Clock, whenDone: () => void) {
    this.#clock = clock
    this.#whenDone = whenDone
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  begin(graceMs: number, endCalls: () => void, destroy: () => void): void {
    this.started = true
    this.#cancel?.()
    const end = () => {
      endCalls()
      this.#cancel = this.#clock.after(flushMs, destroy)
    }
    if (graceMs > 0) this.#cancel = this.#clock.after(graceMs, end)
    else end()
  }

  emptied(): void {
    this.#cancel?.()
    this.#whenDone()
    this.#resolve()
  }
}

/** A socket from `accept` to its end: first bytes, perhaps a PROXY header, perhaps TLS, then HTTP/2. */
class Arrival {
  http2: Http2Connection | null = null
  remoteAddress: string
  readonly #host: Host<any>
  readonly #port: Port<any>
  readonly #socket: Socket
  #seen: Buffer = Buffer.alloc(0)
  #proxied: ProxyAddresses | null = null
  #proxySeen = false
  #cancelTimer: Cancel | null
  #draining = false

  constructor(host: Host<any>, port: Port<any>, socket: Socket, remoteAddress: string) {
    this.#host = host
    this.#port = port
    this.#socket = socket
    this.remoteAddress = remoteAddress
    this.#cancelTimer = host.clock.after(host.limits.firstBytesMs, () => this.destroy())
    socket.on('error', ignore)
    socket.on('close', () => this.#onClose())
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
  }

  destroy(): void {
    this.http2?.destroy()
    this.#socket.destroy()
  }

  drain(): void {
    this.#draining = true
    if (this.http2) this.http2.drain()
    else this.#socket.destroy()
  }

  endCalls(): void {
    this.http2?.endCalls()
  }

  readonly #onEnd = () => this.#socket.destroy()

  readonly #onData = (chunk: Buffer) => {
    this.#seen = this.#seen.length === 0 ? chunk : Buffer.concat([this.#seen, chunk])
    this.#decide()
  }

  #decide(): void {
    const first = recognise(this.#seen)
    switch (first.speaks) {
      case 'more':
        if (this.#seen.length > maxFirstBytes) this.destroy()
        return
      case 'tls':
        this.#startTls()
        return
      case 'http2':
        this.#startHttp2(this.#handOver(), false)
        return
      case 'proxy':
        this.#onProxyHeader(first)
        return
      case 'http1':
        this.#socket.off('data', this.#onData)
        this.#socket.resume()
        this.#socket.end(http1Answer)
        return
      case 'unknown':
        this.destroy()
        return
    }
  }

  #onProxyHeader(header: { length: number; addresses: ProxyAddresses | null }): void {
    // A second header could overwrite what the trusted proxy said.
    if (!this.#port.trustProxy || this.#proxySeen) {
      this.destroy()
      return
    }
    this.#proxySeen = true
    this.#proxied = header.addresses
    if (header.addresses) this.remoteAddress = plainAddress(header.addresses.sourceAddress)!
    this.#seen = this.#seen.subarray(header.length)
    this.#decide()
  }

  /** The socket with its first bytes put back, for the next reader to start from. */
  #handOver(): Socket {
    this.#socket.off('data', this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.pause()
    this.#socket.unshift(this.#seen)
    this.#seen = Buffer.alloc(0)
    return this.#socket
  }

  #startTls(): void {
    if (!this.#host.secureContext) {
      this.destroy()
      return
    }
    const secure = new TLSSocket(this.#handOver(), {
      isServer: true,
      secureContext: this.#host.secureContext,
      ALPNProtocols: ['h2'],
    })
    secure.on('error', () => this.destroy())
    secure.once('secure', () => {
      // A client without ALPN would not speak HTTP/2 over TLS (RFC 9113 §3.2).
      if (secure.alpnProtocol === 'h2') this.#startHttp2(secure, true)
      else this.destroy()
    })
  }

  #startHttp2(socket: Socket, encrypted: boolean): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    // With a trusted proxy the client is known only now.
    if (
      this.#socket.destroyed ||
      this.#draining ||
      (this.#port.trustProxy && !this.#port.accepts(this.remoteAddress))
    ) {
      this.destroy()
      return
    }
    const { connection, bytesRead } = this.#describe(encrypted)
    this.http2 = new Http2Connection(this.#host, this.#port, socket, bytesRead, connection, this.#host.http2)
  }

  #describe(encrypted: boolean): { connection: Connection; bytesRead: () => number } {
    const socket = this.#socket
    const connection = {
      id: this.#host.nextConnectionId(),
      remoteAddress: this.remoteAddress,
      remotePort: this.#proxied?.sourcePort ?? socket.remotePort ?? 0,
      localAddress: plainAddress(this.#proxied?.destinationAddress ?? socket.localAddress) ?? '',
      localPort: this.#proxied?.destinationPort ?? socket.localPort ?? 0,
      encrypted,
    }
    return { connection, bytesRead: () => socket.bytesRead }
  }

  #onClose(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.http2?.destroy()
    this.#port.forget(this)
  }
}

/** An IPv4 address that arrived over a dual-stack socket is written as IPv4. */
function plainAddress(address: string | undefined): string | null {
  if (address === undefined) return null
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

function ignore(): void {}
