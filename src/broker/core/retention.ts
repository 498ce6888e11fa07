/**
 * Retention: messages older than `retentionMs` go, oldest segment of the log first.
 *
 * A segment may be unlinked when its newest message is too old. Its messages leave the queues by an
 * event, and every group's progress follows: what a group had not read yet is lost to it, as
 * with the vendor. Until then a message that is too old is passed over by takes
 * (`take.ts`), so that a quiet topic observes the retention too.
 */

import { assert } from '../../model/assert.ts'
import { trimCursor } from './consuming/deliveries.ts'
import type { TrimmedEvent } from './events.ts'
import type { BrokerState } from './state.ts'

/** A sealed segment and the time of the last message in it. */
export interface SegmentAge {
  readonly segment: number
  readonly newestMs: number
}

/** How long after its first message a segment is sealed at the latest, so that its space can be given back. */
export const sealAfterMs = (retentionMs: number): number => retentionMs / 8

/** How many segments, from the oldest on, hold nothing that is to be kept. Ages are in order. */
export function expiredSegments(ages: readonly SegmentAge[], at: number, retentionMs: number): number {
  let count = 0
  while (count < ages.length && ages[count]!.newestMs + retentionMs <= at) count++
  return count
}

/** `minimumOffset`: the first message the index still knows of a queue. Null when none of these queues moves. */
export function decideTrim(
  state: BrokerState,
  queueKeys: Iterable<number>,
  minimumOffset: (queueKey: number) => number,
): TrimmedEvent | null {
  const queues: Array<{ queueKey: number; begin: number }> = []
  for (const queueKey of queueKeys) {
    const queue = state.queues.get(queueKey)
    if (!queue) continue
    const begin = Math.min(minimumOffset(queue.key), queue.end)
    if (begin > queue.begin) queues.push({ queueKey: queue.key, begin })
  }
  return queues.length > 0 ? { type: 'trimmed', queues } : null
}

export function applyTrimmed(state: BrokerState, event: TrimmedEvent): void {
  for (const { queueKey, begin } of event.queues) {
    const queue = state.queues.get(queueKey)
    if (!queue) continue
    assert(begin <= queue.end, 'retention takes no message that was not written')
    queue.begin = Math.max(queue.begin, begin)
    for (const subscription of queue.topic.subscriptions.values())
      trimCursor(state, subscription.cursors[queue.id]!, queue.begin)
  }
}
