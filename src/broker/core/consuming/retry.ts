/**
 * How often and how soon a message is tried again.
 *
 * N retries mean N + 1 deliveries (Apache's consumption retry page). The rising list is the product's
 * `DefaultRetryPolicy`: sixteen pauses, every later one two hours. Push consumers nack with these
 * pauses themselves (they get them in their settings); the broker uses them when it nacks on a
 * client's behalf. A simple consumer's visibility timeout has no extra pause.
 */
export type RetryPolicy = { readonly kind: 'default' } | { readonly kind: 'fixed'; readonly intervalSeconds: number }

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

export const defaultRetryDelaysMs: readonly number[] = [
  10 * SECOND,
  30 * SECOND,
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30].map((minutes) => minutes * MINUTE),
  HOUR,
  2 * HOUR,
]

export function retryDelaysMs(policy: RetryPolicy): readonly number[] {
  return policy.kind === 'fixed' ? [policy.intervalSeconds * SECOND] : defaultRetryDelaysMs
}

/** Pause after the delivery with this attempt number (1 is the first). */
export function retryDelayMs(policy: RetryPolicy, attempt: number): number {
  const delays = retryDelaysMs(policy)
  return delays[Math.min(attempt, delays.length) - 1]!
}

export function maxAttempts(maxRetryTimes: number): number {
  return maxRetryTimes + 1
}
