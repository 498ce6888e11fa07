/**
 * How many connections an instance may have, over all its endpoints. Those over the limit wait in a small overflow, each
 * for a bounded time, so that a protocol can refuse their calls with a reason instead of a closed socket. A connection
 * that leaves frees its slot for the one that has waited longest.
 */
import { Share } from '../bounds/shares.ts'
import type { Closable } from '../bounds/strangers.ts'

export class ConnectionLimit {
  /** May change at any time: open connections stay, and no more come in until there is a slot. */
  most: number
  readonly #mostOverflow: number
  readonly #share: Share
  readonly #within = new Set<Closable>()
  readonly #overflow = new Set<Closable>()

  /** `parent` is what all instances share: when that is full, the newest connection of the largest instance is closed. */
  constructor(options: { readonly most: number; readonly overflow: number; readonly parent: Share }) {
    this.most = options.most
    this.#mostOverflow = options.overflow
    this.#share = new Share({
      most: Number.POSITIVE_INFINITY,
      parent: options.parent,
      giveWay: () => this.#closeNewest(),
    })
  }

  /** Null when the overflow is full too. */
  enter(connection: Closable): 'within' | 'overflow' | null {
    if (this.#within.size < this.most && this.#share.take(1)) {
      this.#within.add(connection)
      return 'within'
    }
    if (this.#overflow.size >= this.#mostOverflow) return null
    this.#overflow.add(connection)
    return 'overflow'
  }

  isOver(connection: Closable): boolean {
    return this.#overflow.has(connection)
  }

  /** Does nothing for a connection that has not entered. */
  leave(connection: Closable): void {
    this.#overflow.delete(connection)
    if (!this.#within.delete(connection)) return
    this.#share.give(1)
    this.#letIn()
  }

  close(): void {
    this.#share.close()
  }

  #letIn(): void {
    for (const next of this.#overflow) {
      if (this.#within.size >= this.most || !this.#share.take(1)) return
      this.#overflow.delete(next)
      this.#within.add(next)
    }
  }

  #closeNewest(): boolean {
    const newest = [...this.#within].at(-1)
    if (newest === undefined) return false
    this.#within.delete(newest)
    this.#share.give(1)
    newest.destroy()
    return true
  }
}
