/**
 * Every connection of the API, and which one goes when there are too many.
 *
 * A limit that refused new connections would let half-open ones block the API for everyone. So the new connection stays
 * and another is closed. Until the signature of one of its requests was verified a connection is a stranger
 * (`gateway/strangers.ts`), whatever it was answered: strangers have few places and a bounded time, and the oldest of the
 * network with the most goes first. From then on it has a place among the authenticated, of which the one idle longest
 * goes; one whose request is being carried out is never closed for another.
 *
 * The bytes of bodies still arriving are bounded too: whoever holds the most gives way. Strangers together are one holder
 * beside the authenticated, in each of them a network is one, then a connection.
 */
import type { Socket } from 'node:net'
import { NetworkShares } from '../gateway/networks.ts'
import { Share } from '../gateway/shares.ts'
import { type Closable, Strangers } from '../gateway/strangers.ts'
import type { Cancel, Clock } from '../world/world.ts'

export interface ConnectionLimits {
  /** Authenticated connections. */
  readonly connections: number
  /** Connections beside them that have not sent a request with a valid signature. */
  readonly strangers: number
  /** For how long a stranger may stay: after that it is closed with its next answer, after twice that in any case. */
  readonly strangerMs: number
  /** Bytes of incomplete request bodies held for all connections together; strangers have half of them at most. */
  readonly bufferedBytes: number
}

export class Connections {
  readonly #limits: ConnectionLimits
  readonly #clock: Clock
  readonly #all = new Map<Socket, Connection>()
  readonly #strangers: Strangers<Connection>
  readonly #authenticated = new Set<Connection>()
  /** The authenticated that are not busy, in the order in which they became so. */
  readonly #idle = new Set<Connection>()
  readonly #buffered: { readonly strangers: NetworkShares; readonly authenticated: NetworkShares }
  #cancelSweep: Cancel | null = null

  constructor(limits: ConnectionLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
    this.#strangers = new Strangers({ most: limits.strangers })
    const all = new Share({ most: limits.bufferedBytes })
    const below = (most: number) => new NetworkShares(new Share({ most, parent: all }))
    this.#buffered = { strangers: below(limits.bufferedBytes / 2), authenticated: below(limits.bufferedBytes) }
  }

  get size(): number {
    return this.#all.size
  }

  get strangers(): number {
    return this.#strangers.count
  }

  opened(socket: Socket): void {
    const connection = new Connection(socket, this.#clock.monotonic(), () => this.#forget(connection))
    if (!this.#strangers.enter(connection, connection.address)) {
      socket.destroy()
      return
    }
    this.#all.set(socket, connection)
    socket.once('close', () => this.#forget(connection))
    this.#keepSweeping()
  }

  /** Body bytes arrived that must be kept; closes whoever holds the most when they are too many. */
  buffered(socket: Socket, sizeBytes: number): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    connection.held ??= this.#holder(connection)
    if (!connection.held.take(sizeBytes)) connection.destroy()
  }

  /** The request is complete and is being answered. */
  began(socket: Socket): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    connection.busy++
    this.#idle.delete(connection)
    this.#release(connection)
  }

  /** The signature of a request of it is verified. It stays a stranger while all authenticated connections are busy. */
  authenticated(socket: Socket): void {
    const connection = this.#all.get(socket)
    if (connection === undefined || this.#authenticated.has(connection)) return
    if (this.#authenticated.size >= this.#limits.connections) {
      const [idlest] = this.#idle
      if (idlest === undefined) return
      idlest.destroy()
    }
    this.#strangers.leave(connection)
    // What it has sent of its next request goes on counting, but with those of the authenticated.
    const heldBytes = connection.held?.held ?? 0
    this.#release(connection)
    this.#authenticated.add(connection)
    if (heldBytes > 0) this.buffered(socket, heldBytes)
  }

  /** Its answer is written. */
  ended(socket: Socket): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    connection.busy = Math.max(0, connection.busy - 1)
    if (connection.busy === 0 && this.#authenticated.has(connection)) this.#idle.add(connection)
  }

  isBusy(socket: Socket): boolean {
    return (this.#all.get(socket)?.busy ?? 0) > 0
  }

  /** False for a stranger whose time is over: its connection is to end with the answer it gets. */
  mayStay(socket: Socket): boolean {
    const connection = this.#all.get(socket)
    return connection !== undefined && (this.#authenticated.has(connection) || !this.#isOver(connection))
  }

  /** Closes all on which nothing is being carried out. */
  closeIdle(): void {
    for (const connection of [...this.#all.values()]) if (connection.busy === 0) connection.destroy()
  }

  closeAll(): void {
    for (const connection of [...this.#all.values()]) connection.destroy()
    this.#cancelSweep?.()
    this.#cancelSweep = null
  }

  #isOver({ arrivedAt }: Connection): boolean {
    return this.#clock.monotonic() - arrivedAt >= this.#limits.strangerMs
  }

  /** One timer looks after all strangers, as long as there are any. */
  #keepSweeping(): void {
    this.#cancelSweep ??= this.#clock.after(this.#limits.strangerMs, () => {
      this.#cancelSweep = null
      for (const stranger of [...this.#strangers]) if (this.#isOver(stranger)) stranger.destroy()
      if (this.#strangers.count > 0) this.#keepSweeping()
    })
  }

  #holder(connection: Connection): Share {
    const giveWay = () => {
      connection.destroy()
      return true
    }
    const networks = this.#networksOf(connection)
    return new Share({ most: Number.POSITIVE_INFINITY, parent: networks.of(connection.address), giveWay })
  }

  #networksOf(connection: Connection): NetworkShares {
    return this.#authenticated.has(connection) ? this.#buffered.authenticated : this.#buffered.strangers
  }

  #release(connection: Connection): void {
    if (connection.held === null) return
    connection.held.close()
    connection.held = null
    this.#networksOf(connection).forget(connection.address)
  }

  #forget(connection: Connection): void {
    if (!this.#all.delete(connection.socket)) return
    this.#release(connection)
    this.#strangers.leave(connection)
    this.#authenticated.delete(connection)
    this.#idle.delete(connection)
  }
}

class Connection implements Closable {
  readonly socket: Socket
  readonly address: string
  readonly arrivedAt: number
  /** Requests being answered; more than one with pipelining. */
  busy = 0
  /** What has arrived of its bodies; null while that is nothing. */
  held: Share | null = null
  readonly #forget: () => void

  constructor(socket: Socket, arrivedAt: number, forget: () => void) {
    this.socket = socket
    this.address = socket.remoteAddress ?? ''
    this.arrivedAt = arrivedAt
    this.#forget = forget
  }

  destroy(): void {
    this.#forget()
    this.socket.destroy()
  }
}
