/**
 * A process's gRPC services on any number of TCP ports. A port is a listening socket and a context object that
 * handlers find in `call.context`; services, codecs, TLS keys and limits are shared by all ports, so that one process
 * can serve hundreds. Nothing a client sends may throw past this folder, and nothing waits without a bound.
 *
 * Read on in `port.ts` (a port's life), `arrival.ts` (TLS or not, PROXY headers), `connection.ts` (HTTP/2),
 * `call.ts` (one call).
 */
import type { Socket } from 'node:net'
import { createServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import type { Cancel, Clock } from '../world/world.ts'
import { type ConnectionHost, http2Options } from './connection.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { Port, type PortHandle, type PortOptions } from './port.ts'
import type { Method, Service, Status } from './transport.ts'

export type { PortHandle, PortOptions, PortPolicy } from './port.ts'

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

export interface GrpcHost<Context> {
  /** Rejects with the system's error (EADDRINUSE, EACCES, …) when the port cannot be opened. */
  listen(options: PortOptions<Context>): Promise<PortHandle<Context>>
  /** For connections made from now on. */
  setTls(keys: TlsKeys): void
  stats(): HostStats
  /** Closes every port. */
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

export function createGrpcHost<Context>(options: GrpcHostOptions<Context>): GrpcHost<Context> {
  return new Host(options)
}

export class Host<Context> implements GrpcHost<Context>, ConnectionHost {
  readonly clock: Clock
  readonly limits: Limits
  readonly methods: ReadonlyMap<string, Method<any>>
  readonly http2: ReturnType<typeof http2Options>
  readonly ports = new Set<Port<Context>>()
  readonly onError: (error: unknown, where: string) => void
  accepted = 0
  refused = 0
  #connectionId = 0
  #heldBytes = 0
  #calls = 0
  #startedCalls = 0
  #tls: TlsServer | null = null
  readonly #handshakes = new Map<string, (secure: TLSSocket) => void>()
  readonly #endedCalls = new Array<number>(17).fill(0)
  #sweep: Cancel | null = null

  constructor(options: GrpcHostOptions<Context>) {
    this.clock = options.clock
    this.limits = { ...defaultLimits, ...options.limits }
    this.methods = routes(options.services)
    this.http2 = http2Options(this.limits)
    this.onError = options.onError
    if (options.tls) this.setTls(options.tls)
  }

  async listen(options: PortOptions<Context>): Promise<PortHandle<Context>> {
    const port = new Port(this, options)
    await port.open(options)
    this.ports.add(port)
    return port
  }

  setTls(keys: TlsKeys): void {
    if (this.#tls) {
      this.#tls.setSecureContext({ ...keys })
      return
    }
    this.#tls = createServer({ ...keys, ALPNProtocols: ['h2'] })
    this.#tls.on('secureConnection', (secure) => {
      const then = this.#handshakes.get(endpoints(secure))
      if (then) then(secure)
      else secure.destroy()
    })
    this.#tls.on('tlsClientError', (_error, secure) => secure.destroy())
  }

  /**
   * Runs the handshake on `socket`; `then` is called when it succeeds, and never otherwise: the caller bounds its time.
   * Answers how to forget about it, or null without keys. All ports share one TLS server, which never listens.
   */
  startTls(socket: Socket, then: (secure: TLSSocket) => void): Cancel | null {
    if (!this.#tls) return null
    const key = endpoints(socket)
    this.#handshakes.set(key, then)
    this.#tls.emit('connection', socket)
    return () => this.#handshakes.delete(key)
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

/** Names a TCP connection: the TLS server hands back another socket object with the same ends. */
function endpoints(socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}|${socket.localPort}`
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
