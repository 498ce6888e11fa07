/** The part of an `AbortSignal` that the work for a call needs; an `AbortController` and its events cost several times as much. */
export interface Signal {
  readonly aborted: boolean
  /** Why; undefined before. */
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** Tells the work for a call that the call has ended. */
export class CallSignal implements Signal {
  #aborted = false
  #reason: unknown
  #listeners: Array<() => void> = []

  get aborted(): boolean {
    return this.#aborted
  }

  get reason(): unknown {
    return this.#reason
  }

  /** The listener is called once, never after it was removed, and not at all if the call had ended before. */
  addEventListener(_type: 'abort', listener: () => void): void {
    if (!this.#aborted) this.#listeners.push(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.#listeners.indexOf(listener)
    if (at >= 0) this.#listeners.splice(at, 1)
  }

  /** Calls those who listen, in the order in which they came. */
  abort(reason: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    const listeners = this.#listeners
    this.#listeners = []
    for (const listener of listeners) listener()
  }
}
