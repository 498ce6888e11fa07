/**
 * Bounded turns of the event loop: long work takes from one budget of time a turn, shared by everything in the process
 * that loops over stored messages, queues or clients.
 *
 * A loop calls `if (turns.isSpent) await turns.pause()` right before each portion, with nothing awaited between the call
 * and the portion. When the turn's budget is used up the work pauses, and goes on in a later turn; each turn
 * continues one of those that pause, in order, so that a turn is never longer than the budget and one portion, however
 * many work at the same time. A portion must be small by itself: a millisecond or two.
 *
 * The path of a single message must not use it: reading the clock costs more than most of its steps.
 */
import type { Clock } from '../../world/world.ts'
import { yieldToEventLoop } from '../log/yield.ts'

/** Of the 50 ms that no turn may exceed: the rest is for portions, garbage collection and the calls of clients. */
export const TURN_MS = 8

export interface TurnBudgetOptions {
  /** Milliseconds that never go backwards. */
  readonly monotonic: () => number
  /** Resolves in the next turn of the event loop; `setImmediate` unless a test counts turns. */
  readonly nextTurn?: () => Promise<void>
}

export class TurnBudget {
  readonly #monotonic: () => number
  readonly #nextTurn: () => Promise<void>
  /** When the budget of the turn under way is used up; null while it was not used in this turn. */
  #endsAt: number | null = null
  readonly #paused: Array<() => void> = []

  constructor({ monotonic, nextTurn = yieldToEventLoop }: TurnBudgetOptions) {
    this.#monotonic = monotonic
    this.#nextTurn = nextTurn
  }

  /** Nothing more should be done in this turn. */
  get isSpent(): boolean {
    if (this.#endsAt === null) this.#begin()
    return this.#monotonic() >= this.#endsAt!
  }

  /** Resolves in a later turn, after those that paused before. */
  pause(): Promise<void> {
    if (this.#endsAt === null) this.#begin()
    return new Promise((resolve) => this.#paused.push(resolve))
  }

  #begin(): void {
    this.#endsAt = this.#monotonic() + TURN_MS
    void this.#nextTurn().then(() => {
      this.#endsAt = null
      const next = this.#paused.shift()
      if (!next) return
      this.#begin()
      next()
    })
  }
}

/** Does work that is made in small steps, and answers what it makes. */
export async function inTurns<T>(turns: TurnBudget, steps: Generator<void, T>): Promise<T> {
  for (;;) {
    if (turns.isSpent) await turns.pause()
    const { done, value } = steps.next()
    if (done) return value
  }
}

const shared = new WeakMap<Clock, TurnBudget>()

/** The budget of everything that goes by this clock: a process has one clock, and one event loop. */
export function turnBudgetOf(clock: Clock): TurnBudget {
  const known = shared.get(clock)
  if (known) return known
  const made = new TurnBudget({ monotonic: () => clock.monotonic() })
  shared.set(clock, made)
  return made
}
