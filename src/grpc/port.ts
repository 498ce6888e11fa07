/**
 * One listening port: who may connect and how many, and how it closes. What a connection speaks is `arrival.ts`'s.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Cancel, Clock } from '../world/world.ts'
import { Arrival, plainAddress } from './arrival.ts'
import { ConnectionRoom } from './connection-room.ts'
import type { Host } from './host.ts'

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
  /** Instead of `maxConnections`, and perhaps shared with other ports; fixed when the port is opened. */
  readonly room?: ConnectionRoom
  /** Believe PROXY headers: whoever can connect can then claim any address. Default false: a header closes the connection. */
  readonly trustProxy?: boolean
}

export interface PortHandle<Context = any> {
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

const defaultMaxConnections = 10_000
/** Time the last answers get to leave before sockets are destroyed. */
const flushMs = 1000

export class Port<Context> implements PortHandle<Context> {
  readonly #host: Host<Context>
  #policy: PortPolicy<Context>
  readonly #server: Server
  readonly #arrivals = new Set<Arrival>()
  readonly #room: ConnectionRoom
  #closing: Closing | null = null

  constructor(host: Host<Context>, policy: PortPolicy<Context>) {
    this.#host = host
    this.#policy = policy
    this.#room = policy.room ?? new ConnectionRoom({ most: policy.maxConnections ?? defaultMaxConnections })
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
    if (policy.maxConnections !== undefined && !this.#policy.room) this.#room.most = policy.maxConnections
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

  /** Whether it is one too many, and will be closed soon. */
  isSurplus(arrival: Arrival): boolean {
    return this.#room.waits(arrival)
  }

  forget(arrival: Arrival): void {
    this.#room.leave(arrival)
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
    const address = plainAddress(socket.remoteAddress)
    if (this.#closing || address === null || (!this.trustProxy && !this.accepts(address))) {
      this.#refuse(socket)
      return
    }
    const arrival = new Arrival(this.#host, this, socket, address)
    if (!this.#room.enter(arrival)) {
      arrival.destroy()
      this.#host.refused++
      return
    }
    if (this.isSurplus(arrival)) arrival.limitStay()
    this.#host.accepted++
    this.#arrivals.add(arrival)
    this.#host.keepSweeping()
  }

  #refuse(socket: Socket): void {
    this.#host.refused++
    socket.on('error', ignore)
    socket.destroy()
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

function ignore(): void {}
