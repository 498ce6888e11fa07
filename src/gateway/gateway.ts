/**
 * The endpoints of a process: any number of TCP ports, each with a context of its own, over the same protocols, TLS keys
 * and limits, so that one process can serve hundreds. It knows no broker and no protocol by name. Nothing a client sends
 * may throw past it, and nothing waits without a bound.
 *
 * Read on in `listener.ts` (a port's life), `inbound-connection.ts` (PROXY headers, TLS, protocol), `protocol.ts` (what a
 * protocol is), `endpoint.ts` (who may call).
 */
import type { Socket } from 'node:net'
import { createServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import type { Cancel, Clock } from '../world/world.ts'
import { Handshakes } from './handshakes.ts'
import { ProcessBounds } from './instance-bounds.ts'
import { defaultGatewayLimits, type GatewayLimits } from './limits.ts'
import { Listener, type ListenOptions, type OpenPort } from './listener.ts'
import type { Protocol } from './protocol.ts'

export type { ListenerPolicy, ListenOptions, OpenPort } from './listener.ts'

export interface GatewayOptions<Context> {
  /** Asked in this order what a connection speaks. */
  readonly protocols: readonly Protocol<Context>[]
  readonly clock: Clock
  /** PEM texts, see `certificate.ts`. Without them TLS connections are refused. */
  readonly tls?: TlsKeys
  readonly limits?: Partial<GatewayLimits>
  /** Told of failures of a listening socket. Must not throw. */
  readonly onError: (error: unknown, where: string) => void
}

export interface TlsKeys {
  readonly key: string
  readonly cert: string
}

/** Counters since the start, except `connections`, which are open now, and `heldBytes`. */
export interface GatewayStats {
  readonly connections: number
  readonly acceptedConnections: number
  readonly refusedConnections: number
  /** Of requests received but not answered, now. */
  readonly heldBytes: number
}

export class Gateway<Context> {
  readonly clock: Clock
  readonly limits: GatewayLimits
  /** What all instances share. */
  readonly bounds: ProcessBounds
  readonly protocols: readonly Protocol<Context>[]
  readonly listeners = new Set<Listener<Context>>()
  readonly onError: (error: unknown, where: string) => void
  accepted = 0
  refused = 0
  #connectionId = 0
  #tls: TlsServer | null = null
  /** Those that were begun, by `endsOf`. */
  readonly #shaking = new Map<string, (secure: TLSSocket) => void>()
  readonly #handshakes: Handshakes
  #sweep: Cancel | null = null

  constructor(options: GatewayOptions<Context>) {
    this.clock = options.clock
    this.#handshakes = new Handshakes(options.clock)
    this.limits = { ...defaultGatewayLimits, ...options.limits }
    this.bounds = new ProcessBounds(this.limits)
    this.protocols = options.protocols
    this.onError = options.onError
    if (options.tls) this.setTls(options.tls)
  }

  /** Rejects with the system's error (EADDRINUSE, EACCES, …) when the port cannot be opened. */
  async listen(options: ListenOptions<Context>): Promise<OpenPort<Context>> {
    const listener = new Listener(this, options)
    await listener.open(options)
    this.listeners.add(listener)
    return listener
  }

  /** For connections made from now on. */
  setTls(keys: TlsKeys): void {
    if (this.#tls) {
      this.#tls.setSecureContext({ ...keys })
      return
    }
    this.#tls = createServer({ ...keys, ALPNProtocols: this.protocols.flatMap(({ alpn }) => alpn) })
    this.#tls.on('secureConnection', (secure) => {
      const then = this.#shaking.get(endsOf(secure))
      if (then) then(secure)
      else secure.destroy()
    })
    this.#tls.on('tlsClientError', (_error, secure) => secure.destroy())
  }

  /**
   * Runs the handshake on `socket`, whose unread bytes begin with the client's hello, when it is its turn; `then` is called
   * when it succeeds, and never otherwise: the caller bounds its time. Answers how to forget about it, or null without keys.
   * All ports share one TLS server, which never listens.
   */
  startTls(socket: Socket, owner: object, then: (secure: TLSSocket) => void): Cancel | null {
    const tls = this.#tls
    if (!tls) return null
    const key = endsOf(socket)
    const cancel = this.#handshakes.begin(owner, () => {
      this.#shaking.set(key, then)
      tls.emit('connection', socket)
    })
    return () => {
      cancel()
      this.#shaking.delete(key)
    }
  }

  stats(): GatewayStats {
    let connections = 0
    for (const listener of this.listeners) connections += listener.connections()
    return {
      connections,
      acceptedConnections: this.accepted,
      refusedConnections: this.refused,
      heldBytes: this.bounds.heldBytes.held,
    }
  }

  /** Closes every port. */
  async close(options?: { readonly graceMs?: number }): Promise<void> {
    await Promise.all([...this.listeners].map((listener) => listener.close(options)))
  }

  nextConnectionId(): number {
    return ++this.#connectionId
  }

  /** One timer looks after all connections, as long as there are any. */
  keepSweeping(): void {
    this.#sweep ??= this.clock.after(this.limits.keepaliveMs, () => {
      this.#sweep = null
      let connections = 0
      for (const listener of this.listeners) connections += listener.sweep()
      if (connections > 0) this.keepSweeping()
    })
  }
}

/** Names a TCP connection: the TLS server hands back another socket object with the same ends. */
function endsOf(socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}|${socket.localPort}`
}
