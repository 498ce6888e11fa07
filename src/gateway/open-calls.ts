/**
 * Calls of an endpoint that go on for a while, so that a change of who may call, or of what is allowed, ends those that would
 * not be let in any more. Nothing is asked of them meanwhile.
 */
export interface OpenCall {
  /** Ends itself when it would not be let in now. Must not throw. */
  lookAgain(): void
}

/** Each may write an answer, and there may be one for each connection: the rest has the next turn of the event loop. */
const lookedAtAtOnce = 64

export class OpenCalls {
  /** Monotonic ms of the last change: calls whose headers came before it were let in by what counted then. */
  changedAt = Number.NEGATIVE_INFINITY
  readonly #open = new Set<OpenCall>()

  enter(call: OpenCall): void {
    this.#open.add(call)
  }

  leave(call: OpenCall): void {
    this.#open.delete(call)
  }

  /** What counts has changed. */
  changed(at: number): void {
    this.changedAt = at
    if (this.#open.size > 0) this.#lookAgain([...this.#open], 0)
  }

  #lookAgain(calls: readonly OpenCall[], from: number): void {
    const until = from + lookedAtAtOnce
    for (const call of calls.slice(from, until)) if (this.#open.has(call)) call.lookAgain()
    if (until < calls.length) setImmediate(() => this.#lookAgain(calls, until))
  }
}
