/**
 * Values kept for the next receive of a subscription, and dropped `IDLE_MS` after the last use: a group that stopped, or has
 * nothing more to read, holds no memory. Every value can be read again from the log.
 */
import type { Subscription } from '../../core/state.ts'

export const IDLE_MS = 60_000

export class IdleMemory<T> {
  readonly #now: () => number
  readonly #kept = new Map<Subscription, { readonly value: T; usedAt: number }>()
  #sweepAt = Number.POSITIVE_INFINITY

  constructor(now: () => number) {
    this.#now = now
  }

  /** Counts as a use. */
  get(subscription: Subscription): T | undefined {
    const kept = this.#kept.get(subscription)
    if (!kept) return undefined
    kept.usedAt = this.#now()
    return kept.value
  }

  set(subscription: Subscription, value: T): void {
    const usedAt = this.#now()
    this.#kept.set(subscription, { value, usedAt })
    if (this.#sweepAt === Number.POSITIVE_INFINITY) this.#sweepAt = usedAt + IDLE_MS
  }

  delete(subscription: Subscription): void {
    this.#kept.delete(subscription)
  }

  /** When `sweep` has something to do; Infinity while nothing is remembered. */
  get due(): number {
    return this.#kept.size === 0 ? Number.POSITIVE_INFINITY : this.#sweepAt
  }

  sweep(at: number): void {
    if (at < this.#sweepAt) return
    for (const [subscription, { usedAt }] of this.#kept) if (at - usedAt >= IDLE_MS) this.#kept.delete(subscription)
    this.#sweepAt = this.#kept.size === 0 ? Number.POSITIVE_INFINITY : at + IDLE_MS
  }
}
