/**
 * When TLS handshakes are begun. Each costs about a millisecond of the event loop, whoever asks for it, and hundreds may be
 * asked for at a time: `turnMs` of a turn are theirs, the rest waits for the turns that follow, instances in turn. How many
 * wait is bounded by the places of strangers, and how long by whoever waits.
 *
 * With a clock that does not move nothing ever waits.
 */
import type { Cancel, Clock } from '../world/world.ts'

/** Half of what calls have of a turn (`grpc/call-budget.ts`). */
const turnMs = 4

export class Handshakes {
  readonly #clock: Pick<Clock, 'monotonic'>
  /** By owner, in the order in which they came; whoever has had a turn goes to the end. No set is empty. */
  readonly #waiting = new Map<object, Set<() => void>>()
  /** When the first of this turn was begun; null before. */
  #since: number | null = null
  #isBusy = false
  readonly #onTurnEnd = () => this.#endTurn()
  readonly #onBegun = () => {
    this.#isBusy = false
    this.#goOn()
  }

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** Calls `start` when it is this one's turn, at once if there is time. `owner` shares the time equally with other owners. */
  begin(owner: object, start: () => void): Cancel {
    const starts = this.#waiting.get(owner) ?? new Set()
    starts.add(start)
    this.#waiting.set(owner, starts)
    this.#goOn()
    return () => {
      starts.delete(start)
      if (starts.size === 0 && this.#waiting.get(owner) === starts) this.#waiting.delete(owner)
    }
  }

  #goOn(): void {
    if (this.#isBusy || this.#waiting.size === 0) return
    const now = this.#clock.monotonic()
    if (this.#since === null) {
      this.#since = now
      setImmediate(this.#onTurnEnd)
    }
    if (now - this.#since >= turnMs) return
    this.#isBusy = true
    this.#take()()
    // Node reads what the client has sent in the tick after its socket was wrapped: this one comes behind it.
    process.nextTick(this.#onBegun)
  }

  #endTurn(): void {
    this.#since = null
    this.#goOn()
  }

  #take(): () => void {
    const [owner, starts] = this.#waiting.entries().next().value!
    const [start] = starts as Set<() => void>
    this.#waiting.delete(owner)
    starts.delete(start!)
    if (starts.size > 0) this.#waiting.set(owner, starts)
    return start!
  }
}
