/**
 * Keeps what goes through a public address in one direction under its bought bandwidth (`flowOutBandwidth`,
 * Mbit/s): a bucket of one second's worth, refilled continuously. Waiting is bounded by the caller's signal.
 */
import type { Cancellation } from '../model/cancellation.ts'
import type { Clock } from '../world/world.ts'

export interface Bandwidth {
  /** False when everything passes at once, and nobody needs to ask. */
  readonly limited: boolean
  /** Resolves when `bytes` may pass, or when `signal` aborts: then they do not count. */
  take(bytes: number, signal: Cancellation): Promise<void>
}

export function createBandwidth(megabitsPerSecond: number | null, clock: Clock): Bandwidth {
  if (megabitsPerSecond === null) return { limited: false, take: async () => {} }
  const bytesPerMs = (megabitsPerSecond * 1_000_000) / 8 / 1000
  const burst = bytesPerMs * 1000
  let available = burst
  let seen = clock.monotonic()

  return {
    limited: true,
    async take(bytes, signal) {
      const now = clock.monotonic()
      available = Math.min(burst, available + (now - seen) * bytesPerMs)
      seen = now
      // Debt is allowed, so a message larger than the bucket passes after its fair wait.
      available -= bytes
      if (available >= 0) return
      await pause(clock, -available / bytesPerMs, signal)
      // Nothing passed; whoever asks next must not wait for it.
      if (signal.aborted) available += bytes
    },
  }
}

function pause(clock: Clock, ms: number, signal: Cancellation): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const finish = (): void => {
      cancel()
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const cancel = clock.after(ms, finish)
    signal.addEventListener('abort', finish, { once: true })
  })
}
