/**
 * How much is begun in one turn of the event loop. One read of a socket may hold hundreds of calls, and one turn hundreds
 * of reads. Calls are begun as they come until the turn has lasted `turnMs`; the rest waits, and goes on in the turns that
 * follow: connections in turn, one call each. Whoever has many waiting is not read from, so that what waits is what one
 * read held; one such connection a turn is read from again.
 *
 * With a clock that does not move nothing ever waits, but what was asked to be done later.
 */
import type { Clock } from '../world/world.ts'

/** As `broker/shell/turn-budget.ts`: a fraction of the 50 ms that a turn may last, for one read goes on for a while after. */
const turnMs = 8
/**
 * Calls of a turn after which the clock is looked at: about 8 ms of work on top. Honest clients under load have as many at a
 * time, and what begins together is written together; put off, it would cost more in all.
 */
const uncounted = 256
/** Calls that may wait of a connection that is still read from: a client that starts or comes back has fewer. */
const fewCalls = 32

/** Whose calls wait. */
export interface Waiting {
  pauseReading(): void
  resumeReading(): void
}

export class CallBudget {
  readonly #clock: Pick<Clock, 'monotonic'>
  /** By connection; whoever has had a turn goes to the end. No list is empty. */
  readonly #waiting = new Map<Waiting, Array<() => void>>()
  /** Not read from; those of which nothing waits any more are read from again, one after another. */
  readonly #paused = new Set<Waiting>()
  /** Calls begun, in this turn and perhaps in some before. */
  #begun = 0
  /** When the clock was first looked at in this turn; null until then. */
  #since: number | null = null
  #scheduled = false
  readonly #onTurnEnd = () => this.#endTurn()

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** True when a call that has just come may begin at once; else it is to be handed to `later`. */
  mayBegin(): boolean {
    if (this.#waiting.size > 0) return false
    if (++this.#begun <= uncounted) return true
    if (this.#since === null) {
      this.#since = this.#clock.monotonic()
      this.#schedule()
      return true
    }
    return this.#clock.monotonic() - this.#since < turnMs
  }

  /** Does `task` in a later turn, after what came before of the same connection. */
  later(connection: Waiting, task: () => void): void {
    const tasks = this.#waiting.get(connection)
    if (tasks !== undefined) {
      tasks.push(task)
      if (tasks.length > fewCalls) this.#pauseReading(connection)
      return
    }
    this.#waiting.set(connection, [task])
    this.#schedule()
  }

  /** What waits of a connection that has gone is not done. */
  forget(connection: Waiting): void {
    this.#waiting.delete(connection)
    this.#paused.delete(connection)
  }

  /** Asked again with each call: a write that ends makes Node read on. */
  #pauseReading(connection: Waiting): void {
    this.#paused.add(connection)
    connection.pauseReading()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#onTurnEnd)
  }

  #endTurn(): void {
    this.#scheduled = false
    this.#since = null
    this.#begun = 0
    if (this.#waiting.size > 0 || this.#paused.size > 0) this.#goOn()
  }

  #goOn(): void {
    const since = this.#clock.monotonic()
    for (const [connection, tasks] of this.#waiting) {
      this.#waiting.delete(connection)
      const task = tasks.shift()!
      if (tasks.length > 0) this.#waiting.set(connection, tasks)
      task()
      if (this.#clock.monotonic() - since >= turnMs) break
    }
    for (const connection of this.#paused) {
      if (this.#waiting.has(connection)) continue
      this.#paused.delete(connection)
      connection.resumeReading()
      break
    }
    if (this.#waiting.size > 0 || this.#paused.size > 0) this.#schedule()
  }
}
