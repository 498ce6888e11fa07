/**
 * Token buckets for messages a second: the instance's send and receive budgets, a topic's
 * `maxSendTps`, a group's `maxReceiveTps`.
 *
 * A message counts ⌈body / 4 KiB⌉, at least 1; ordered, scheduled and transactional messages count five times, when
 * they are sent and each time they are delivered (product page on the computing fee, 2026-03; an undated Chinese one
 * speaks of sending only, docs/decisions/catalogue-specifications.md). A bucket holds one second's worth and may
 * go into debt once, so that a message larger than the bucket passes and the long-run rate stays exact. Refusing is fail-fast: the caller answers TOO_MANY_REQUESTS at once.
 */
import { limits } from './limits.ts'

export interface Bucket {
  /** Units a second; null means no limit. */
  perSecond: number | null
  tokens: number
  /** When `tokens` was true. */
  at: number
}

export function makeBucket(perSecond: number | null, at: number): Bucket {
  return { perSecond, tokens: perSecond ?? 0, at }
}

/** A changed rate keeps what was spent, in proportion. */
export function setRate(bucket: Bucket, perSecond: number | null, at: number): void {
  refill(bucket, at)
  if (perSecond !== null)
    bucket.tokens = bucket.perSecond ? Math.min(bucket.tokens * (perSecond / bucket.perSecond), perSecond) : perSecond
  bucket.perSecond = perSecond
}

/** Whether something may pass now; `spend` says what it cost. */
export function open(bucket: Bucket, at: number): boolean {
  if (bucket.perSecond === null) return true
  refill(bucket, at)
  return bucket.tokens > 0
}

export function spend(bucket: Bucket, units: number): void {
  if (bucket.perSecond !== null) bucket.tokens -= units
}

/** The time at which `open` will say yes; Infinity for a rate of zero. */
export function opensAt(bucket: Bucket, at: number): number {
  if (open(bucket, at)) return at
  if (!bucket.perSecond) return Number.POSITIVE_INFINITY
  return at + Math.floor((-bucket.tokens / bucket.perSecond) * 1_000) + 1
}

export function units(bodyBytes: number, weight = 1): number {
  return Math.max(1, Math.ceil(bodyBytes / limits.throttleUnitBytes)) * weight
}

/** How many times a message of this type counts. */
export function typeWeight(messageType: string): number {
  return messageType === 'FIFO' || messageType === 'DELAY' || messageType === 'TRANSACTION' ? 5 : 1
}

function refill(bucket: Bucket, at: number): void {
  if (bucket.perSecond === null || at <= bucket.at) return
  bucket.tokens = Math.min(bucket.perSecond, bucket.tokens + ((at - bucket.at) / 1_000) * bucket.perSecond)
  bucket.at = at
}
