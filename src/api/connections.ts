/**
 * Every connection of the API, and which one goes when there are too many.
 *
 * A limit that refused new connections would let half-open ones block the API for everyone. Here the new
 * connection stays and another is closed: first the oldest that never completed a request,
 * then the one idle longest; one whose request is being carried out is never closed for another. Only when all are
 * busy is the new one refused. The bytes of bodies still arriving are bounded in the same way.
 */
import type { Socket } from 'node:net'

export interface ConnectionLimits {
  readonly connections: number
  /** Bytes of incomplete request bodies held for all connections together. */
  readonly bufferedBytes: number
}

interface Connection {
  /** Requests being carried out; more than one with pipelining. */
  busy: number
  /** Has completed a request before. */
  served: boolean
  bufferedBytes: number
}

export class Connections {
  readonly #limits: ConnectionLimits
  readonly #all = new Map<Socket, Connection>()
  /** Not busy, in the order in which they became so. */
  readonly #unserved = new Set<Socket>()
  readonly #idle = new Set<Socket>()
  /** Sockets with body bytes held, the oldest first. */
  readonly #buffering = new Set<Socket>()
  #bufferedBytes = 0

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#all.size
  }

  opened(socket: Socket): void {
    if (this.#all.size >= this.#limits.connections && !this.#evictOne()) {
      socket.destroy()
      return
    }
    this.#all.set(socket, { busy: 0, served: false, bufferedBytes: 0 })
    this.#unserved.add(socket)
    socket.once('close', () => this.#forget(socket))
  }

  /** Body bytes arrived that must be kept; may close the connection that has held its own the longest. */
  buffered(socket: Socket, sizeBytes: number): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    connection.bufferedBytes += sizeBytes
    this.#bufferedBytes += sizeBytes
    this.#buffering.add(socket)
    while (this.#bufferedBytes > this.#limits.bufferedBytes) {
      const [oldest] = this.#buffering
      if (oldest === undefined) return
      this.#destroy(oldest)
    }
  }

  /** The request is complete and is being carried out. */
  began(socket: Socket): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    connection.busy++
    this.#unserved.delete(socket)
    this.#idle.delete(socket)
    this.#release(socket, connection)
  }

  /** Its answer is written. */
  ended(socket: Socket): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    connection.served = true
    connection.busy = Math.max(0, connection.busy - 1)
    if (connection.busy === 0) this.#idle.add(socket)
  }

  isBusy(socket: Socket): boolean {
    return (this.#all.get(socket)?.busy ?? 0) > 0
  }

  /** Closes all on which nothing is being carried out. */
  closeIdle(): void {
    for (const socket of [...this.#unserved, ...this.#idle]) this.#destroy(socket)
  }

  closeAll(): void {
    for (const socket of [...this.#all.keys()]) this.#destroy(socket)
  }

  #evictOne(): boolean {
    const [victim] = this.#unserved.size > 0 ? this.#unserved : this.#idle
    if (victim === undefined) return false
    this.#destroy(victim)
    return true
  }

  #destroy(socket: Socket): void {
    this.#forget(socket)
    socket.destroy()
  }

  #forget(socket: Socket): void {
    const connection = this.#all.get(socket)
    if (connection === undefined) return
    this.#release(socket, connection)
    this.#all.delete(socket)
    this.#unserved.delete(socket)
    this.#idle.delete(socket)
  }

  #release(socket: Socket, connection: Connection): void {
    this.#bufferedBytes -= connection.bufferedBytes
    connection.bufferedBytes = 0
    this.#buffering.delete(socket)
  }
}
