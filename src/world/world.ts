/**
 * The interfaces through which the rest of Gantry reaches the machine: clock and randomness, passed as parameters.
 *
 * `real.ts` is the only file that reads the machine's clock or its randomness; tests hand in
 * `simulated.ts` and move the clock themselves. Nothing else may call `Date.now`, `Math.random`,
 * `setTimeout` or `setInterval`.
 */
import type { Disk } from './disk.ts'

export type { Disk, DiskFile, DiskSpace } from './disk.ts'

/** Stops a timer; calling it twice, or after the timer ran, does nothing. */
export type Cancel = () => void

export interface Clock {
  /** Milliseconds since the Unix epoch. May jump when the machine's clock is set. */
  now(): number
  /** Milliseconds that never go backwards; only differences mean something. */
  monotonic(): number
  /** Runs `task` once, `delayMs` from now (at least; never synchronously). Does not keep the process alive. */
  after(delayMs: number, task: () => void): Cancel
}

export interface Random {
  bytes(count: number): Uint8Array
  /** A whole number in [0, bound). */
  below(bound: number): number
  /** A version 4 UUID, upper case, as the vendor's request ids are. */
  uuid(): string
}

export interface World {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
}
