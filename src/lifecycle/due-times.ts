/**
 * Expiries and releases: one timer, set to the next of them. It is never set far ahead, so that a moved clock is noticed;
 * what became due since the last look is asked of the ledger.
 */
import type { InstanceId } from '../model/ids.ts'
import type { Cancel, Clock } from '../world/world.ts'
import type { Wanted } from './plan.ts'
import type { WantedStore } from './wanted-store.ts'

const maxTimerMs = 10 * 60_000

export interface DueTimesContext {
  readonly clock: Clock
  readonly store: Pick<WantedStore, 'findDue'>
  /** The instance has to be looked at. */
  readonly due: (instanceId: InstanceId) => void
  readonly failed: (cause: unknown) => void
}

export class DueTimes {
  readonly #context: DueTimesContext
  #nextMs = Number.POSITIVE_INFINITY
  /** Expiries and releases up to here were looked at. */
  #checkedMs: number
  #cancel: Cancel = () => {}
  #closed = false

  constructor(context: DueTimesContext) {
    this.#context = context
    this.#checkedMs = context.clock.now()
  }

  /** Times up to now are looked at by whoever calls this. */
  begin(): void {
    this.#checkedMs = this.#context.clock.now()
  }

  /** Whether the clock was set back since the last check; from now on the new time counts. */
  noticeSetBack(): boolean {
    const now = this.#context.clock.now()
    if (now >= this.#checkedMs) return false
    this.#checkedMs = now
    return true
  }

  expectOf({ instance }: Wanted): void {
    const now = this.#context.clock.now()
    for (const dueMs of [instance.expire_time_ms, instance.release_time_ms]) if (dueMs > now) this.#expect(dueMs)
  }

  /** Looks at what is due. Rejects when the ledger cannot be read. */
  async check(): Promise<void> {
    const untilMs = this.#context.clock.now()
    if (untilMs < this.#nextMs) return this.#arm()
    const { due, nextMs } = await this.#context.store.findDue(this.#checkedMs, untilMs)
    this.#checkedMs = untilMs
    this.#nextMs = nextMs ?? Number.POSITIVE_INFINITY
    for (const instanceId of due) this.#context.due(instanceId)
    this.#arm()
  }

  close(): void {
    this.#closed = true
    this.#cancel()
  }

  #expect(dueMs: number): void {
    if (dueMs >= this.#nextMs || this.#closed) return
    this.#nextMs = dueMs
    this.#arm()
  }

  #arm(): void {
    this.#cancel()
    if (this.#nextMs === Number.POSITIVE_INFINITY || this.#closed) return
    const { clock } = this.#context
    const delayMs = Math.min(Math.max(0, this.#nextMs - clock.now()), maxTimerMs)
    this.#cancel = clock.after(delayMs, () => {
      this.check().catch(this.#context.failed)
    })
  }
}
