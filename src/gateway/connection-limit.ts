/**
 * How many connections there may be, perhaps over several endpoints. Those over the limit wait in a small overflow, each
 * for a bounded time, so that a protocol can refuse their calls with a reason instead of a closed socket. A connection
 * that leaves frees its slot for the one that has waited longest.
 */
export class ConnectionLimit {
  /** May change at any time: open connections stay, and no more come in until there is a slot. */
  most: number
  readonly #mostOverflow: number
  readonly #within = new Set<object>()
  readonly #overflow = new Set<object>()

  constructor(options: { readonly most: number; readonly overflow?: number }) {
    this.most = options.most
    this.#mostOverflow = options.overflow ?? 0
  }

  /** False when the overflow is full too. */
  enter(connection: object): boolean {
    if (this.#within.size < this.most) this.#within.add(connection)
    else if (this.#overflow.size < this.#mostOverflow) this.#overflow.add(connection)
    else return false
    return true
  }

  isOver(connection: object): boolean {
    return this.#overflow.has(connection)
  }

  leave(connection: object): void {
    this.#overflow.delete(connection)
    this.#within.delete(connection)
    for (const next of this.#overflow) {
      if (this.#within.size >= this.most) return
      this.#overflow.delete(next)
      this.#within.add(next)
    }
  }
}
