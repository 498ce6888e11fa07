/**
 * Bounded turns of the event loop: long work takes from one budget of time a turn, shared by everything in the process
 * that loops over stored messages, queues or clients.
 *
 * A loop calls `if (turns.isSpent) await turns.pause()` right before each portion, with nothing awaited between the call
 * and the portion. When the turn's budget is used up the work pauses, and goes on in a later turn, so that a turn is never
 * longer than the budget and one portion, however many work at the same time. A portion must be small by itself: a
 * millisecond or two.
 *
 * Each instance of the process has its own queue of what pauses, first come, first served, and the instances take turns:
 * while others wait an instance has a slice of each turn, and gets the rest when nobody does. So the work of one
 * instance, however much it is, delays another's by a slice. Work goes on only after timers and I/O were looked at.
 *
 * The path of a single message must not use it: reading the clock costs more than most of its steps.
 */
import type { Clock } from '../../world/world.ts'
import { type LoopBudget, yieldToEventLoop } from '../log/yield.ts'

/** Of the 50 ms that no turn may exceed: the rest is for portions, garbage collection and the calls of clients. */
export const TURN_MS = 8
/** What an instance has of a turn while others wait. */
export const SLICE_MS = 2

/** How many more may be served at once, by whatever serves for one cause; what is beyond follows in later turns. */
export interface Portion {
  left: number
}

export interface EventLoopTurnsOptions {
  /** Milliseconds that never go backwards. */
  readonly monotonic: () => number
  /** Resolves in the next turn of the event loop; `setImmediate` unless a test counts turns. */
  readonly nextTurn?: () => Promise<void>
}

/** The turns of one event loop, and whose work goes on in them. */
export class EventLoopTurns {
  readonly #monotonic: () => number
  readonly #nextTurn: () => Promise<void>
  /** When the budget of the turn under way is used up; null while it was not used in this turn. */
  #endsAt: number | null = null
  /** Who worked last, and until when the turn is charged to somebody. */
  #holder: TurnBudget | null = null
  #chargedUntil = 0
  #turn = 0
  /** Has gone on in this turn and was not heard of since: nobody else goes on meanwhile. */
  #resumed: TurnBudget | null = null
  /** Those with paused work; the first one goes on next. */
  readonly #waiting = new Set<TurnBudget>()

  constructor({ monotonic, nextTurn = yieldToEventLoop }: EventLoopTurnsOptions) {
    this.#monotonic = monotonic
    this.#nextTurn = nextTurn
  }

  isSpent(asking: TurnBudget): boolean {
    const at = this.#monotonic()
    this.#charge(asking, at)
    if (at >= this.#endsAt!) return true
    const othersWait = this.#waiting.size > (this.#waiting.has(asking) ? 1 : 0)
    return othersWait && asking.usedIn(this.#turn) >= SLICE_MS
  }

  pause(pausing: TurnBudget, resume: () => void): void {
    const at = this.#monotonic()
    this.#charge(pausing, at)
    pausing.paused.push(resume)
    this.#waiting.add(pausing)
    // Its slice is over, and the turn is not.
    if (at < this.#endsAt! && this.#resumed === null) this.#resumeNext(pausing)
  }

  /** What passed since somebody was heard of was the work of whoever that was. */
  #charge(by: TurnBudget, at: number): void {
    if (this.#endsAt === null) this.#begin(at, 2)
    this.#holder?.use(at - this.#chargedUntil, this.#turn)
    this.#chargedUntil = at
    this.#holder = by
    if (this.#resumed === by) this.#resumed = null
  }

  /**
   * A turn that begins while timers run or I/O arrives ends after the next time these are looked at, which is one round of
   * the loop later: what is due in the round under way may lie behind.
   */
  #begin(at: number, rounds: number): void {
    this.#turn++
    this.#endsAt = at + TURN_MS
    this.#chargedUntil = at
    this.#holder = null
    this.#resumed = null
    void this.#afterRounds(rounds).then(() => {
      this.#endsAt = null
      if (this.#waiting.size === 0) return
      this.#begin(this.#monotonic(), 1)
      this.#resumeNext(null)
    })
  }

  async #afterRounds(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round++) await this.#nextTurn()
  }

  #resumeNext(except: TurnBudget | null): void {
    for (const next of this.#waiting) {
      if (next === except || next.usedIn(this.#turn) >= SLICE_MS) continue
      const resume = next.paused.shift()!
      this.#waiting.delete(next)
      if (next.paused.length > 0) this.#waiting.add(next)
      this.#resumed = next
      this.#holder = next
      resume()
      return
    }
  }
}

/** What one instance has of the turns of its process's event loop. */
export class TurnBudget implements LoopBudget {
  readonly #turns: EventLoopTurns
  /** What goes on later, in order; for `EventLoopTurns`. */
  readonly paused: Array<() => void> = []
  #usedMs = 0
  #usedIn = 0

  constructor(turns: EventLoopTurns) {
    this.#turns = turns
  }

  /** Nothing more of this instance should be done in this turn. */
  get isSpent(): boolean {
    return this.#turns.isSpent(this)
  }

  /** Resolves in a later turn, after what paused before in this instance. */
  pause(): Promise<void> {
    return new Promise((resolve) => this.#turns.pause(this, resolve))
  }

  /** For `EventLoopTurns`: what the instance used of the turn. */
  use(ms: number, turn: number): void {
    this.#usedMs = this.usedIn(turn) + ms
    this.#usedIn = turn
  }

  usedIn(turn: number): number {
    return this.#usedIn === turn ? this.#usedMs : 0
  }
}

const known = new WeakMap<Clock, EventLoopTurns>()

/** A budget for one instance that goes by this clock: a process has one clock, and one event loop. */
export function turnBudgetOf(clock: Clock): TurnBudget {
  let turns = known.get(clock)
  if (!turns) {
    turns = new EventLoopTurns({ monotonic: () => clock.monotonic() })
    known.set(clock, turns)
  }
  return new TurnBudget(turns)
}
