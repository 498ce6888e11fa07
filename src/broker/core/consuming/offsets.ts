/**
 * Moves a group's offsets in a topic. A reset drops deliveries in flight and retries, so every message from the new
 * offset on is delivered as new; handles from before are invalid (the shell changes its session with each reset, so
 * that they cannot name a new delivery). Connected clients are not told (data-plane §4.9).
 */
import type { CursorResetEvent } from '../events.ts'
import { limits } from '../limits.ts'
import type { BrokerState, Cursor, Queue, Subscription, Topic } from '../state.ts'
import { dropLeases, headOf } from './deliveries.ts'

/** The low-water mark: every message below is acknowledged, filtered out, or removed by retention. */
export function lowWater(cursor: Cursor): number {
  return headOf(cursor)?.offset ?? cursor.next
}

/** Counts of one moment, and the offsets of the messages that say since when. */
export interface Backlog {
  readonly topic: Topic
  readonly readyCount: number
  readonly inflightCount: number
  /** In each queue, the first message that could be given now, if any, and the one the group was done with last. */
  readonly places: ReadonlyArray<{
    readonly queueKey: number
    readonly firstReady: number | null
    readonly last: number
  }>
}

export function backlogOf(subscription: Subscription): Backlog {
  let fresh = 0
  let inflightCount = 0
  const places = subscription.cursors.map((cursor) => {
    const { queue, next, invisible } = cursor
    fresh += Math.max(0, queue.visible - next)
    inflightCount += invisible
    const head = headOf(cursor)
    const waits = head !== null && head.phase !== 'leased'
    return {
      queueKey: queue.key,
      firstReady: waits ? head.offset : next < queue.visible ? next : null,
      last: lowWater(cursor) - 1,
    }
  })
  const visibleAgain = Math.max(0, subscription.unacknowledged - inflightCount)
  return { topic: subscription.topic, readyCount: fresh + visibleAgain, inflightCount, places }
}

/** The end: what was accepted by now is skipped, durable yet or not. */
export function latestOffsets(topic: Topic): ReadonlyMap<number, number> {
  return new Map(topic.queues.map((queue) => [queue.id, queue.end]))
}

/** `found`: by queue id, the first offset stored at the wanted time or later, as the index knows it. */
export function offsetsAtTime(topic: Topic, found: ReadonlyMap<number, number>): ReadonlyMap<number, number> {
  return new Map(topic.queues.map((queue) => [queue.id, within(queue, found.get(queue.id) ?? queue.begin)]))
}

/** Null when this reset was carried out already. */
export function decideReset(
  subscription: Subscription,
  resetId: string | null,
  nexts: ReadonlyMap<number, number>,
): CursorResetEvent | null {
  if (resetId !== null && subscription.resetIds.includes(resetId)) return null
  return {
    type: 'cursor-reset',
    subscriptionId: subscription.id,
    resetId,
    cursors: Array.from(nexts, ([queueId, next]) => ({ queueId, next })),
  }
}

export function applyCursorReset(state: BrokerState, event: CursorResetEvent): void {
  const subscription = state.subscriptions.get(event.subscriptionId)
  if (!subscription) return
  if (event.resetId !== null)
    subscription.resetIds = [...subscription.resetIds, event.resetId].slice(-limits.resetsRemembered)
  for (const { queueId, next } of event.cursors) {
    const cursor = subscription.cursors[queueId]
    if (!cursor) continue
    dropLeases(state, subscription, cursor)
    cursor.next = next
  }
}

function within(queue: Queue, offset: number): number {
  return Math.min(Math.max(offset, queue.begin), queue.end)
}
