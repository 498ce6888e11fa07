/**
 * Flow control per account: a token bucket for reads and one for writes, each as deep as one second. Off when the
 * rate is null. A refusal carries the wait in milliseconds, because clients act on `x-acs-retry-after`.
 */
import { ApiError } from '../catalogue/errors.ts'
import type { AccessLevel } from '../catalogue/operation.ts'
import type { Clock } from '../world/world.ts'
import { isReadOnly } from './style.ts'

export interface Rates {
  readonly readsPerSecond: number | null
  readonly writesPerSecond: number | null
}

interface Bucket {
  tokens: number
  filledAt: number
}

const MAX_ACCOUNTS = 1_000
/** Fractions of a token that arithmetic may lose; a caller that waited as told must not be refused for them. */
const ROUNDING = 1e-6

/** Answers a function that takes one token or throws 400 `Throttling.User`. */
export function createThrottle(rates: Rates, clock: Clock): (accountId: string, level: AccessLevel) => void {
  const reads = bucketsOf(rates.readsPerSecond, clock)
  const writes = bucketsOf(rates.writesPerSecond, clock)
  return (accountId, level) => {
    const waitMs = (isReadOnly(level) ? reads : writes)(accountId)
    if (waitMs > 0) throw throttledUser(waitMs)
  }
}

/** Status 400: the one seen in public material (auth-and-wire §1.6). */
export function throttledUser(retryAfterMs: number): ApiError {
  return new ApiError(
    400,
    'Throttling.User',
    `Request was denied due to user flow control. Try again in ${retryAfterMs} ms.`,
    {
      retryAfterMs,
    },
  )
}

/** The server as a whole has too much in hand. */
export function throttledServer(retryAfterMs: number): ApiError {
  return new ApiError(
    400,
    'Throttling',
    `Request was denied due to request throttling. Try again in ${retryAfterMs} ms.`,
    {
      retryAfterMs,
    },
  )
}

/** Takes a token and answers 0, or answers how many milliseconds to wait for one. */
function bucketsOf(perSecond: number | null, clock: Clock): (accountId: string) => number {
  if (perSecond === null) return () => 0
  const depth = Math.max(1, perSecond)
  const buckets = new Map<string, Bucket>()
  return (accountId) => {
    const now = clock.monotonic()
    let bucket = buckets.get(accountId)
    if (bucket === undefined) {
      if (buckets.size >= MAX_ACCOUNTS) buckets.delete(buckets.keys().next().value!)
      bucket = { tokens: depth, filledAt: now }
      buckets.set(accountId, bucket)
    }
    bucket.tokens = Math.min(depth, bucket.tokens + ((now - bucket.filledAt) * perSecond) / 1_000)
    bucket.filledAt = now
    if (bucket.tokens < 1 - ROUNDING) return Math.ceil(((1 - bucket.tokens - ROUNDING) / perSecond) * 1_000)
    bucket.tokens -= 1
    return 0
  }
}
