/**
 * The broker's time: the wall clock, except that it never goes back.
 *
 * When the machine's clock is set back, time goes on by the monotonic clock until the wall has caught
 * up; when it is set forward (or the machine slept), time follows at once. After a restart it is never
 * less than the latest time in the log.
 */
import type { Clock } from '../../world/world.ts'

export class SteadyTime {
  readonly #clock: Clock
  #last: number
  #lastMonotonic: number

  constructor(clock: Clock, notBefore: number) {
    this.#clock = clock
    this.#last = Math.max(clock.now(), notBefore)
    this.#lastMonotonic = clock.monotonic()
  }

  /** Whole milliseconds since the epoch. */
  now(): number {
    const monotonic = this.#clock.monotonic()
    this.#last = Math.max(this.#clock.now(), this.#last + (monotonic - this.#lastMonotonic))
    this.#lastMonotonic = monotonic
    return Math.floor(this.#last)
  }
}
