/**
 * Waiting receives (long polls): first come, first served; only as many are woken as messages need.
 *
 * A new message wakes the first waiter of each group on the topic, not all of them; the next is asked
 * only if something is left. A waiter leaves in O(1) when it is served, times out or its call is aborted.
 */
import type { ClientId } from '../../../model/ids.ts'
import { type Filter, filterHashes } from '../filters/filter.ts'
import { limits } from '../limits.ts'
import { codes, type Refusal } from '../refusal.ts'
import type { BrokerState, Subscription, Waiter } from '../state.ts'

export function makeWaiter(want: {
  readonly filter: Filter
  readonly max: number
  readonly invisibleMs: number
  readonly autoRenew: boolean
  readonly clientId: ClientId
  readonly userName?: string | null | undefined
  readonly attemptId?: string | null | undefined
}): Waiter {
  return {
    due: 0,
    heapIndex: -1,
    previous: null,
    next: null,
    linked: false,
    filter: want.filter,
    hashes: filterHashes(want.filter),
    max: Math.max(1, Math.min(want.max, limits.messagesPerReceive)),
    invisibleMs: want.invisibleMs,
    autoRenew: want.autoRenew,
    clientId: want.clientId,
    userName: want.userName ?? null,
    attemptId: want.attemptId ?? '',
  }
}

export function refuseWaiter(state: BrokerState, subscription: Subscription): Refusal | null {
  if (subscription.waiters.size < limits.waitersPerSubscription && state.waiting.size < limits.waiters) return null
  return {
    code: codes.tooManyRequests,
    message: `polling full: ${limits.waitersPerSubscription} receives of group ${subscription.group.settings.consumerGroupId} already wait on topic ${subscription.topic.settings.topicName}; receive with fewer clients or shorter polls`,
  }
}

export function enter(state: BrokerState, subscription: Subscription, waiter: Waiter, until: number): void {
  subscription.waiters.push(waiter)
  state.waiting.set(waiter, until)
}

/** Back to the head of the wait queue, with the deadline it had: what it took turned out not to match. */
export function reenter(state: BrokerState, subscription: Subscription, waiter: Waiter): void {
  subscription.waiters.unshift(waiter)
  state.waiting.set(waiter, waiter.due)
}

export function leaveQueue(state: BrokerState, subscription: Subscription, waiter: Waiter): void {
  subscription.waiters.remove(waiter)
  state.waiting.remove(waiter)
}
