/**
 * Limits renewals while the disk is nearly full. Each is a record of the log and frees nothing: without a limit clients could
 * fill the space that acknowledgements and deletions need.
 */
import { limits } from '../../core/limits.ts'
import { codes } from '../../core/refusal.ts'
import type { Group, Lease } from '../../core/state.ts'
import { type Bucket, makeBucket, open, spend } from '../../core/throttle.ts'
import { refuse } from '../refusals.ts'

export class ScarceRenewals {
  #renewedAt = new WeakMap<Lease, number>()
  #budgets = new WeakMap<Group, Bucket>()
  #isUsed = false

  /** Throws a `BrokerRefusal` when the delivery, or its group, was renewed too often of late. */
  spend(lease: Lease, at: number): void {
    this.#isUsed = true
    const { group } = lease.subscription
    const budget = this.#budgets.get(group) ?? makeBucket(limits.scarceRenewalsPerSecond, at)
    this.#budgets.set(group, budget)
    const isEarly = at - (this.#renewedAt.get(lease) ?? Number.NEGATIVE_INFINITY) < limits.scarceRenewalMs
    if (isEarly || !open(budget, at))
      throw refuse({
        code: codes.tooManyRequests,
        message: `the disk of this server is nearly full: until space is free a delivery is renewed once in ${limits.scarceRenewalMs} ms, and those of a group ${limits.scarceRenewalsPerSecond} times a second; try again later, or acknowledge`,
      })
    spend(budget, 1)
    this.#renewedAt.set(lease, at)
  }

  /** There is room again. */
  clear(): void {
    if (!this.#isUsed) return
    this.#isUsed = false
    this.#renewedAt = new WeakMap()
    this.#budgets = new WeakMap()
  }
}
