/**
 * Answers of receives leave one after another, in the order in which they became ready.
 *
 * One sync makes thousands of deliveries durable, all in one turn of the event loop, and each answer has work behind it:
 * handles, frames, headers. So an answer goes out when all that the one before it caused at once is done, and the turn's
 * budget is asked between two. One that comes alone goes out at once and costs no look at the clock; a flood is spread over
 * turns. Every answer that waits here is given, also when the broker closes or its log fails.
 */
import { FifoList, type Linked } from '../../core/structures/fifo-list.ts'
import type { TurnBudget } from '../turn-budget.ts'

interface Answer extends Linked<Answer> {
  readonly give: () => void
}

export class HandOver {
  readonly #turns: Pick<TurnBudget, 'isSpent' | 'pause'>
  readonly #waiting = new FifoList<Answer>()
  /** An answer went out, and what it caused may not be done yet. */
  #busy = false

  constructor(turns: Pick<TurnBudget, 'isSpent' | 'pause'>) {
    this.#turns = turns
  }

  /** Null: the caller's answer goes out now. Else it goes out when the promise resolves. Its work follows at once. */
  turn(): Promise<void> | null {
    if (this.#busy) return new Promise((resolve) => this.#wait(resolve))
    this.#begin()
    return null
  }

  /** Does `answer` when it is its turn, perhaps at once. */
  run(answer: () => void): void {
    if (this.#busy) {
      this.#wait(answer)
      return
    }
    this.#begin()
    answer()
  }

  #wait(give: () => void): void {
    this.#waiting.push({ give, previous: null, next: null, linked: false })
  }

  /** Ticks are looked at when no promise has anything left to do. */
  #begin(): void {
    this.#busy = true
    process.nextTick(this.#onDone)
  }

  readonly #onDone = (): void => {
    // Ticks run one after another; promises are looked at when none is left.
    if (this.#waiting.first) queueMicrotask(this.#onNext)
    else this.#busy = false
  }

  readonly #onNext = (): void => {
    if (this.#turns.isSpent) void this.#turns.pause().then(this.#answerNext)
    else this.#answerNext()
  }

  readonly #answerNext = (): void => {
    const next = this.#waiting.first!
    this.#waiting.remove(next)
    this.#begin()
    next.give()
  }
}
