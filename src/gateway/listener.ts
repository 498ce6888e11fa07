/**
 * One listening port: who may connect and how many, and how it closes. What a connection speaks is found out in
 * `inbound-connection.ts`.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Cancel, Clock } from '../world/world.ts'
import { type ConnectionHost, InboundConnection, plainAddress } from './inbound-connection.ts'
import { InstanceBounds, type ProcessBounds } from './instance-bounds.ts'

export interface ListenOptions<Context> extends ListenerPolicy<Context> {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
}

/** What may change while a port is open. */
export interface ListenerPolicy<Context> {
  /** What the calls of its connections find: the endpoint. */
  readonly context: Context
  /** False closes the connection at once; asked again for open connections when the policy changes. Default: everyone. */
  readonly accept?: (remoteAddress: string) => boolean
  /** Perhaps shared with other ports of an instance; fixed when the port is opened. Default: its own, 10,000 connections. */
  readonly bounds?: InstanceBounds
  /** Believe PROXY headers: whoever can connect can then claim any address. Default false: a header closes the connection. */
  readonly trustProxy?: boolean
}

/** A port that is open. */
export interface OpenPort<Context = any> {
  readonly port: number
  readonly host: string
  update(policy: Partial<ListenerPolicy<Context>>): void
  /** Open now, those that have not spoken yet included. */
  connections(): number
  /**
   * Takes no more connections and calls, ends calls that would never end by themselves, lets other calls finish for
   * `graceMs` (default 0) and then ends them too. Resolves when the last socket is closed; calling again may shorten the grace.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>
}

/** What a port needs of the gateway that opened it. */
export interface ListenerHost extends ConnectionHost {
  readonly bounds: ProcessBounds
  readonly listeners: { delete(listener: any): boolean }
  readonly onError: (error: unknown, where: string) => void
  accepted: number
  refused: number
  keepSweeping(): void
}

const defaultMaxConnections = 10_000
/** Time the last answers get to leave before sockets are destroyed. */
const flushMs = 1000

export class Listener<Context> implements OpenPort<Context> {
  readonly #gateway: ListenerHost
  #policy: ListenerPolicy<Context>
  readonly #server: Server
  readonly #connections = new Set<InboundConnection>()
  readonly bounds: InstanceBounds
  #closing: Closing | null = null

  constructor(gateway: ListenerHost, policy: ListenerPolicy<Context>) {
    this.#gateway = gateway
    this.#policy = policy
    this.bounds =
      policy.bounds ??
      new InstanceBounds(gateway.bounds, {
        maxConnections: defaultMaxConnections,
        overflow: 0,
        clock: gateway.clock,
        tell: (sentence) => gateway.onError(sentence, 'credentials'),
      })
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
        this.#server.on('error', (error) => this.#gateway.onError(error, `port ${this.#lastPort}`))
        this.#lastPort = this.port
        this.#lastHost = host
        resolve()
      })
    })
  }

  update(policy: Partial<ListenerPolicy<Context>>): void {
    this.#policy = { ...this.#policy, ...policy }
    if (!policy.accept) return
    for (const connection of this.#connections) if (!this.accepts(connection.remoteAddress)) connection.destroy()
  }

  accepts(remoteAddress: string): boolean {
    return this.#policy.accept?.(remoteAddress) ?? true
  }

  connections(): number {
    return this.#connections.size
  }

  sweep(): number {
    for (const connection of this.#connections) connection.sweep()
    return this.#connections.size
  }

  forget(connection: InboundConnection): void {
    this.bounds.strangers.leave(connection)
    this.bounds.connections.leave(connection)
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.#closing?.emptied()
  }

  close({ graceMs = 0 }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#closing ??= new Closing(this.#gateway.clock, () => this.#gateway.listeners.delete(this))
    if (!this.#closing.started) {
      this.#server.close()
      for (const connection of this.#connections) connection.drain()
    }
    this.#closing.begin(
      graceMs,
      () => {
        for (const connection of this.#connections) connection.endCalls()
      },
      () => {
        for (const connection of this.#connections) connection.destroy()
      },
    )
    if (this.#connections.size === 0) this.#closing.emptied()
    return this.#closing.done
  }

  #onSocket(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress)
    if (this.#closing || address === null || (!this.trustProxy && !this.accepts(address))) {
      this.#refuse(socket)
      return
    }
    const connection = new InboundConnection(this.#gateway, this, socket, address)
    if (!this.bounds.strangers.enter(connection, address)) {
      connection.destroy()
      this.#gateway.refused++
      return
    }
    this.#gateway.accepted++
    this.#connections.add(connection)
    this.#gateway.keepSweeping()
  }

  #refuse(socket: Socket): void {
    this.#gateway.refused++
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
