/**
 * Answers of receives leave one after another, in the order in which they became ready.
 *
 * One sync makes thousands of deliveries durable, all in one turn of the event loop, and each answer has work behind it:
 * handles, frames, headers. So an answer goes out when all that the one before it caused at once is done, and the turn's
 * budget is asked between two. One that comes alone goes out at once and costs no look at the clock; a flood is spread over
 * turns. Every answer that waits here is given, also when the broker closes or its log fails.
 */
import type { TurnBudget } from '../turn-budget.ts'

export class HandOver {
  readonly #turns: Pick<TurnBudget, 'isSpent' | 'pause'>
  #waiting: Array<() => void> = []
  /** Of `#waiting`, how many have gone. */
  #gone = 0
  /** An answer went out, and what it caused may not be done yet. */
  #busy = false

  constructor(turns: Pick<TurnBudget, 'isSpent' | 'pause'>) {
    this.#turns = turns
  }

  /** Null: the caller's answer goes out now. Else it goes out when the promise resolves. Its work follows at once. */
  turn(): Promise<void> | null {
    if (this.#busy) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#begin()
    return null
  }

  /** Does `answer` when it is its turn, perhaps at once. */
  run(answer: () => void): void {
    if (this.#busy) {
      this.#waiting.push(answer)
      return
    }
    this.#begin()
    answer()
  }

  /** Ticks are looked at when no promise has anything left to do. */
  #begin(): void {
    this.#busy = true
    process.nextTick(this.#onDone)
  }

  readonly #onDone = (): void => {
    if (this.#gone === this.#waiting.length) {
      this.#busy = false
      this.#waiting = []
      this.#gone = 0
      return
    }
    // Ticks run one after another; promises are looked at when none is left.
    queueMicrotask(this.#onNext)
  }

  readonly #onNext = (): void => {
    if (this.#turns.isSpent) void this.#turns.pause().then(this.#answerNext)
    else this.#answerNext()
  }

  readonly #answerNext = (): void => {
    const next = this.#waiting[this.#gone]!
    this.#waiting[this.#gone++] = nothing
    this.#begin()
    next()
  }
}

const nothing = (): void => {}
