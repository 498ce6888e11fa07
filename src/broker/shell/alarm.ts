/**
 * The broker's one timer: set to the earliest thing due, and to nothing when there is none, so that an idle instance
 * costs nothing. It goes by the monotonic clock: setting the wall clock forward does not fire it.
 */
import type { Cancel, Clock } from '../../world/world.ts'

export interface AlarmContext {
  readonly clock: Clock
  now(): number
  /** The earliest thing due, by the broker's own time; Infinity when there is none. */
  earliest(): number
  ring(): void
  stopped(): boolean
}

export class Alarm {
  readonly #context: AlarmContext
  #cancel: Cancel | null = null
  #armedFor = Number.POSITIVE_INFINITY

  constructor(context: AlarmContext) {
    this.#context = context
  }

  /** Something may be due earlier than before. */
  arm(): void {
    const { clock } = this.#context
    if (this.#context.stopped()) return
    const earliest = this.#context.earliest()
    if (earliest === Number.POSITIVE_INFINITY) return
    const waitMs = Math.max(0, earliest - this.#context.now())
    const rings = clock.monotonic() + waitMs
    if (rings >= this.#armedFor) return
    this.#cancel?.()
    this.#armedFor = rings
    this.#cancel = clock.after(waitMs, () => this.#ring())
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  #ring(): void {
    this.#cancel = null
    this.#armedFor = Number.POSITIVE_INFINITY
    if (this.#context.stopped()) return
    this.#context.ring()
    this.arm()
  }
}
