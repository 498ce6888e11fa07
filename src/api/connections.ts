/**
 * Every connection of the API, and which one goes when there are too many.
 *
 * A limit that refused new connections would let half-open ones block the API for everyone. So the new connection stays
 * and another is closed. Until the signature of one of its requests was verified a connection is a stranger
 * (`bounds/strangers.ts`), whatever it was answered: strangers have few places and a bounded time, and the oldest of the
 * network with the most goes first. From then on it has a place among the authenticated: of the caller with the most
 * places the one idle longest goes, or one that leaves its answer unread; one whose request is being carried out is never
 * closed for another. Callers beside one who has all the places with requests in hand may go beyond the limit, together
 * by half of it (`bounds/shares.ts`).
 *
 * Who does not read its answers, or sends more requests ahead of them than a client would, is closed.
 *
 * The bytes of bodies still arriving are bounded too: whoever holds the most gives way. Strangers together are one holder
 * beside the authenticated, in each of them a network is one, then a connection.
 */
import type { Socket } from 'node:net'
import { NetworkShares } from '../bounds/networks.ts'
import { Share } from '../bounds/shares.ts'
import { type Closable, Strangers } from '../bounds/strangers.ts'
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
  /** For how long a client may take nothing of what was written to it; what the system's buffers hold counts as taken. */
  readonly unreadMs: number
  /** Complete requests of one connection that are not answered yet. */
  readonly pipelined: number
}

export class Connections {
  readonly #limits: ConnectionLimits
  readonly #clock: Clock
  readonly #all = new Map<Socket, Connection>()
  readonly #strangers: Strangers<Connection>
  readonly #places: Share
  /** By who has them: a user, a role, the account. */
  readonly #callers = new Map<string, Places>()
  readonly #buffered: { readonly strangers: NetworkShares; readonly authenticated: NetworkShares }
  #cancelSweep: Cancel | null = null
  #cancelUnread: Cancel | null = null

  constructor(limits: ConnectionLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
    this.#strangers = new Strangers({ most: limits.strangers })
    this.#places = new Share({ most: limits.connections })
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
    this.#keepLookingForUnread()
  }

  /** Body bytes arrived that must be kept; closes whoever holds the most when they are too many. */
  buffered(socket: Socket, sizeBytes: number): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    connection.held ??= this.#holder(connection)
    if (!connection.held.take(sizeBytes)) connection.destroy()
  }

  /** The request is complete and is to be answered; false when its connection is closed, for this one too many at least. */
  began(socket: Socket): boolean {
    const connection = this.#all.get(socket)
    if (connection === undefined) return false
    connection.busy++
    if (connection.busy > this.#limits.pipelined) {
      connection.destroy()
      return false
    }
    connection.places?.idle.delete(connection)
    this.#release(connection)
    return true
  }

  /** The signature of a request of it is verified, `caller`'s. It stays a stranger while all that could go for it are busy. */
  authenticated(socket: Socket, caller: string): void {
    const connection = this.#all.get(socket)
    if (connection === undefined || connection.places !== null) return
    const places = this.#callers.get(caller) ?? new Places(this.#places)
    if (!places.take()) {
      this.#forgetEmpty(caller, places)
      return
    }
    // Also when it was there: its last connection may just have gone.
    this.#callers.set(caller, places)
    this.#strangers.leave(connection)
    // What it has sent of its next request goes on counting, but with those of the authenticated.
    const heldBytes = connection.held?.held ?? 0
    this.#release(connection)
    places.all.add(connection)
    connection.places = places
    connection.caller = caller
    if (heldBytes > 0) this.buffered(socket, heldBytes)
  }

  /** Its answer is written. */
  ended(socket: Socket): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    connection.busy = Math.max(0, connection.busy - 1)
    if (connection.busy === 0) connection.places?.idle.add(connection)
  }

  isBusy(socket: Socket): boolean {
    return (this.#all.get(socket)?.busy ?? 0) > 0
  }

  /** False for a stranger whose time is over: its connection is to end with the answer it gets. */
  mayStay(socket: Socket): boolean {
    const connection = this.#all.get(socket)
    return connection !== undefined && (connection.places !== null || !this.#isOver(connection))
  }

  /** Closes all on which nothing is being carried out. */
  closeIdle(): void {
    for (const connection of [...this.#all.values()]) if (connection.busy === 0) connection.destroy()
  }

  closeAll(): void {
    for (const connection of [...this.#all.values()]) connection.destroy()
    this.#cancelSweep?.()
    this.#cancelSweep = null
    this.#cancelUnread?.()
    this.#cancelUnread = null
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

  /** Another looks after what is not read, as long as there are connections. */
  #keepLookingForUnread(): void {
    this.#cancelUnread ??= this.#clock.after(this.#limits.unreadMs / 4, () => {
      this.#cancelUnread = null
      const now = this.#clock.monotonic()
      for (const connection of [...this.#all.values()]) {
        if (connection.unreadFor(now) >= this.#limits.unreadMs) connection.destroy()
      }
      if (this.#all.size > 0) this.#keepLookingForUnread()
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
    return connection.places === null ? this.#buffered.strangers : this.#buffered.authenticated
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
    const { places, caller } = connection
    if (places === null) return
    places.leave(connection)
    this.#forgetEmpty(caller, places)
  }

  #forgetEmpty(caller: string, places: Places): void {
    if (places.all.size > 0) return
    places.share.close()
    this.#callers.delete(caller)
  }
}

/** The connections of one caller. */
class Places {
  readonly all = new Set<Connection>()
  /** Those that are not busy, in the order in which they became so. */
  readonly idle = new Set<Connection>()
  readonly share: Share

  constructor(parent: Share) {
    this.share = new Share({ most: Number.POSITIVE_INFINITY, parent, giveWay: () => this.#giveWay() })
  }

  /** One more, for which another may have been closed: of the caller with the most, who may be this one. */
  take(): boolean {
    return this.share.take(1) || (this.#giveWay() && this.share.take(1))
  }

  leave(connection: Connection): void {
    if (!this.all.delete(connection)) return
    this.idle.delete(connection)
    this.share.give(1)
  }

  #giveWay(): boolean {
    const [idlest] = this.idle
    const going = idlest ?? [...this.all].find(({ socket }) => socket.writableLength > 0)
    going?.destroy()
    return going !== undefined
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
  /** Null while it is a stranger. */
  places: Places | null = null
  caller = ''
  #takenBytes = 0
  /** When it was first seen to have taken no more than that, monotonic. */
  #unreadSince: number | null = null
  readonly #forget: () => void

  constructor(socket: Socket, arrivedAt: number, forget: () => void) {
    this.socket = socket
    this.address = socket.remoteAddress ?? ''
    this.arrivedAt = arrivedAt
    this.#forget = forget
  }

  /** For how long it has been seen to take nothing of what waits for it, ms. */
  unreadFor(now: number): number {
    const { bytesWritten, writableLength } = this.socket
    const takenBytes = bytesWritten - writableLength
    if (writableLength === 0) this.#unreadSince = null
    else if (this.#unreadSince === null || takenBytes !== this.#takenBytes) this.#unreadSince = now
    this.#takenBytes = takenBytes
    return this.#unreadSince === null ? 0 : now - this.#unreadSince
  }

  destroy(): void {
    this.#forget()
    this.socket.destroy()
  }
}
