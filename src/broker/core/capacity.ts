/**
 * The capacity of a serverless instance as it follows its traffic.
 *
 * Up to a threshold growth is invisible ("lossless"). Traffic beyond it is refused while the instance scales out by
 * one step, and the threshold rises by that step; a step that was not needed for the whole look-back period is taken
 * back (vendor's serverless page; the figures and the way back are in docs/decisions/catalogue-specifications.md).
 * Volatile: a broker that starts begins at its first threshold.
 */

export interface Elasticity {
  /** By how much the threshold rises at a time; messages a second, both directions together. */
  readonly stepTps: number
  /** The threshold never rises above this. */
  readonly maxTps: number
  /** From the first refusal until the step is there. */
  readonly scaleMs: number
  /** A step that was not needed for so long goes. */
  readonly lookBackMs: number
}

export interface Capacity {
  readonly elasticity: Elasticity
  readonly firstTps: number
  /** The threshold. */
  tps: number
  /** When the step under way is there; null when none is. */
  growsAt: number | null
  changedAt: number
  /** When the last step was last needed. */
  neededAt: number
  /** The second that is being counted, and what was used in it. */
  second: number
  used: number
}

export function makeCapacity(firstTps: number, elasticity: Elasticity, at: number): Capacity {
  return { elasticity, firstTps, tps: firstTps, growsAt: null, changedAt: at, neededAt: at, second: 0, used: 0 }
}

/** Something passed. */
export function used(capacity: Capacity, units: number, at: number): void {
  const second = Math.floor(at / 1_000)
  if (second !== capacity.second) {
    capacity.second = second
    capacity.used = 0
  }
  capacity.used += units
  if (capacity.used > capacity.tps - capacity.elasticity.stepTps) capacity.neededAt = at
}

/** Something was refused: scaling out begins, unless it is under way or at its end. */
export function wanted(capacity: Capacity, at: number): void {
  capacity.neededAt = at
  if (capacity.growsAt === null && capacity.tps < capacity.elasticity.maxTps)
    capacity.growsAt = at + capacity.elasticity.scaleMs
}

/** The threshold as of now. Call it before each use: it advances the state to the present time. */
export function thresholdAt(capacity: Capacity, at: number): number {
  const { stepTps, maxTps, lookBackMs } = capacity.elasticity
  if (capacity.growsAt !== null && capacity.growsAt <= at) {
    capacity.changedAt = capacity.growsAt
    capacity.growsAt = null
    capacity.tps = Math.min(maxTps, capacity.tps + stepTps)
  }
  for (
    let idleSince = Math.max(capacity.changedAt, capacity.neededAt);
    capacity.growsAt === null && capacity.tps > capacity.firstTps && at - idleSince >= lookBackMs;
    idleSince = capacity.changedAt
  ) {
    capacity.changedAt = idleSince + lookBackMs
    capacity.tps = Math.max(capacity.firstTps, capacity.tps - stepTps)
  }
  return capacity.tps
}
