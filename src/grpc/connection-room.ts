/**
 * How many connections there may be, perhaps over several ports. Those beyond `most` wait in an anteroom: a few, each
 * for a bounded time, so that a service can refuse their calls with a reason instead of a closed socket. Whoever leaves
 * makes place for the one that waits longest.
 */
export class ConnectionRoom {
  /** May change at any time: connections inside stay, and no more come in until there is place. */
  most: number
  readonly #anteroom: number
  readonly #inside = new Set<object>()
  readonly #waiting = new Set<object>()

  constructor(options: { readonly most: number; readonly anteroom?: number }) {
    this.most = options.most
    this.#anteroom = options.anteroom ?? 0
  }

  /** False when there is no place in the anteroom either. */
  enter(connection: object): boolean {
    if (this.#inside.size < this.most) this.#inside.add(connection)
    else if (this.#waiting.size < this.#anteroom) this.#waiting.add(connection)
    else return false
    return true
  }

  waits(connection: object): boolean {
    return this.#waiting.has(connection)
  }

  leave(connection: object): void {
    this.#waiting.delete(connection)
    this.#inside.delete(connection)
    for (const next of this.#waiting) {
      if (this.#inside.size >= this.most) return
      this.#waiting.delete(next)
      this.#inside.add(next)
    }
  }
}
