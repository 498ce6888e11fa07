/**
 * Deliveries in flight: acknowledging them, changing how long they stay invisible, and what happens when
 * no acknowledgement comes in time. Which messages a receive gets is in `take.ts`.
 *
 * A lease is an event, so attempts stay bounded and handles valid through a restart. The end of a
 * lease is not an event: it follows from its deadline and the time, and the attempt of a later delivery
 * records it. Auto-renewed leases move in memory only; after a restart each gets one more step, so that
 * its owner has time to report.
 *
 * Cost: O(log n) in the deliveries in flight for each, O(1) in everything else.
 */

import { assert } from '../../../model/assert.ts'
import type { ClientId } from '../../../model/ids.ts'
import type {
  AckedEvent,
  AckedOutOfOrderEvent,
  DeadlineEvent,
  DeliveryEvent,
  LeasedEntry,
  LeasedEvent,
  MessageName,
  PassedOverEvent,
} from '../events.ts'
import { limits } from '../limits.ts'
import type { BrokerState, Cursor, Group, Lease, Phase, Subscription, Topic } from '../state.ts'
import type { DeliveryName } from './handle.ts'
import { maxAttempts, retryDelayMs } from './retry.ts'

/** What a handle names now. */
export type Found =
  | { readonly kind: 'live'; readonly lease: Lease }
  /** Acknowledged already (or passed over, or taken by retention). */
  | { readonly kind: 'done' }
  /** Malformed, of another topic, group or client, of an earlier delivery, or past its deadline. */
  | { readonly kind: 'expired' }

const REFRESHED_AT_ONCE = 512
const DONE: Found = { kind: 'done' }
const EXPIRED: Found = { kind: 'expired' }

/** `clientId`: who shows the handle. It names a delivery to that client or none. */
export function findDelivery(
  subscription: Subscription | undefined,
  name: DeliveryName | null,
  clientId: ClientId,
  at: number,
): Found {
  if (!name || !subscription || name.subscriptionId !== subscription.id) return EXPIRED
  const cursor = subscription.cursors[name.queueId]
  if (!cursor || name.offset >= cursor.next) return EXPIRED
  const lease = cursor.leases.get(name.offset)
  if (!lease || lease.acked) return DONE
  if (!isNamed(lease, name) || lease.owner !== clientId) return EXPIRED
  return lease.phase === 'leased' && lease.due > at ? { kind: 'live', lease } : EXPIRED
}

/** Whether the handle names the latest delivery. A returned delivery has no name of its own: its attempt is that of the one before. */
export function isNamed(lease: Lease, { attempt, session }: DeliveryName): boolean {
  return lease.attempt === attempt && lease.session === session && !lease.returned
}

/** An acknowledgement by a client: for good, or in an orderly group once everything before it is acknowledged. */
export function decideAck(subscription: Subscription, leases: readonly Lease[]): AckedEvent | AckedOutOfOrderEvent {
  const type = subscription.group.settings.orderly ? 'acked-out-of-order' : 'acked'
  return { type, subscriptionId: subscription.id, entries: leases.map(nameOf) }
}

export function decideDeadline(leases: readonly Lease[], deadline: number): DeadlineEvent[] {
  const bySubscription = new Map<number, MessageName[]>()
  for (const lease of leases) {
    const names = bySubscription.get(lease.subscription.id)
    if (names) names.push(nameOf(lease))
    else bySubscription.set(lease.subscription.id, [nameOf(lease)])
  }
  return Array.from(bySubscription, ([subscriptionId, entries]) => ({
    type: 'deadline' as const,
    subscriptionId,
    deadline,
    returned: false,
    entries,
  }))
}

/** Deliveries that reached no client: visible again at `deadline`, and not counted. */
export function decideReturned(subscription: Subscription, leases: readonly Lease[], deadline: number): DeadlineEvent {
  return {
    type: 'deadline',
    subscriptionId: subscription.id,
    deadline,
    returned: true,
    entries: leases.map(nameOf),
  }
}

/**
 * The attempt a client is told. A message behind a failing one may have been delivered more
 * often than the group's retries allow one message to fail, and a push client that is told of the last
 * attempt moves the message to the dead-letter topic itself, so the last attempt is named only when it is the last.
 */
export function attemptToTell(subscription: Subscription, entry: LeasedEntry): number {
  const lease = subscription.cursors[entry.queueId]?.leases.get(entry.offset)
  const last = maxAttempts(subscription.group.settings.maxRetryTimes)
  if (!lease || lease.failures + 1 >= last) return Math.min(entry.attempt, last)
  return Math.min(entry.attempt, last - 1)
}

/**
 * Moves what is due at `at`: renews it if its owner lives, else makes it visible again, or ready for
 * the dead letters. Answers the events of renewals that reached their cap, and who has something new.
 */
export function expire(
  state: BrokerState,
  at: number,
  most: number,
): { readonly events: readonly DeadlineEvent[]; readonly touched: ReadonlySet<Subscription> } {
  const events: DeadlineEvent[] = []
  const touched = new Set<Subscription>()
  for (let count = 0; count < most; count++) {
    const lease = state.deliveries.pop(at)
    if (!lease) break
    if (isGone(lease)) continue
    if (lease.renewable && at - (state.heard.get(lease.owner) ?? Number.NEGATIVE_INFINITY) <= limits.ownerSilenceMs) {
      if (at - lease.at < limits.renewCapMs) {
        state.deliveries.set(lease, at + limits.renewStepMs)
        continue
      }
      const { retry } = lease.subscription.group.settings
      state.deliveries.set(lease, at + limits.renewStepMs)
      events.push(...decideDeadline([lease], at + retryDelayMs(retry, lease.attempt)))
      continue
    }
    surface(lease)
    touched.add(lease.subscription)
  }
  return { events, touched }
}

/** As `expire` for deliveries whose deadline was just set to now, without waiting for the timer. */
export function expireNow(state: BrokerState, leases: readonly Lease[]): void {
  for (const lease of leases) {
    state.deliveries.remove(lease)
    surface(lease)
  }
}

/**
 * Volatile: heartbeats of its owner do not renew it. For a delivery that reached no client when its return could not be
 * recorded: it comes again at the end of its time, and not when its owner falls silent.
 */
export function renewNoMore(state: BrokerState, leases: readonly Lease[]): void {
  for (const lease of leases) {
    if (!lease.renewable) continue
    disown(state, lease)
    lease.renewable = false
  }
}

/** Makes the message visible again, or ready for the dead letters when its retries are used up. */
export function surface(lease: Lease): void {
  const { subscription } = lease
  const { orderly, maxRetryTimes } = subscription.group.settings
  if (orderly) {
    enterPhase(lease, 'ready')
    exhaustHead(subscription.cursors[lease.queueId]!)
    return
  }
  const dies = spent(lease, maxAttempts(maxRetryTimes))
  enterPhase(lease, dies ? 'exhausted' : 'ready')
  ;(dies ? subscription.exhausted : subscription.ready).push(lease)
}

/** Whether the delivery that just ended used the last retry. */
export function spent(lease: Lease, last: number): boolean {
  return lease.failures + (lease.returned ? 0 : 1) >= last
}

/** The first unacknowledged message of an orderly group's queue is out of retries: only it can be, and only while no client holds a message of the queue. */
export function exhaustHead(cursor: Cursor): void {
  const head = headOf(cursor)
  if (head?.phase !== 'ready' || cursor.invisible > 0) return
  const { subscription } = head
  const { orderly, maxRetryTimes } = subscription.group.settings
  if (!orderly || !spent(head, maxAttempts(maxRetryTimes))) return
  enterPhase(head, 'exhausted')
  subscription.exhausted.push(head)
}

/** The first message of the queue that was delivered and is not acknowledged. */
export function headOf(cursor: Cursor): Lease | null {
  return cursor.leases.values().next().value ?? null
}

/** An orderly group is done with everything acknowledged before the first message that is not. */
export function commitPrefix(state: BrokerState, cursor: Cursor): void {
  for (const lease of cursor.leases.values()) {
    if (!lease.acked) break
    forget(state, cursor, lease)
  }
  const head = headOf(cursor)
  if (cursor.lock && (!head || head.offset > cursor.lock.last)) cursor.lock = null
  exhaustHead(cursor)
}

/** The group's retry limit changed: messages that are visible again may be above it now. */
export function retriesChanged(group: Group): void {
  const last = maxAttempts(group.settings.maxRetryTimes)
  for (const subscription of group.subscriptions.values()) {
    if (group.settings.orderly) for (const cursor of subscription.cursors) exhaustHead(cursor)
    for (let lease = subscription.ready.first; lease; ) {
      const following = lease.next
      if (spent(lease, last)) {
        subscription.ready.remove(lease)
        surface(lease)
      }
      lease = following
    }
  }
}

export function applyLeased(state: BrokerState, event: LeasedEvent): void {
  const subscription = state.subscriptions.get(event.subscriptionId)
  if (event.at > state.lastAt) state.lastAt = event.at
  if (!subscription) return
  for (const { queueId, next } of event.nexts) {
    const cursor = subscription.cursors[queueId]!
    cursor.next = Math.max(cursor.next, next)
  }
  for (const entry of event.entries) {
    const cursor = subscription.cursors[entry.queueId]!
    assert(entry.offset < cursor.next, 'what is delivered lies below the next fresh message')
    const known = cursor.leases.get(entry.offset)
    if (known && !known.returned) known.failures++
    deliver(state, known ?? newLease(state, subscription, cursor, entry), event, entry)
  }
  subscription.roundRobin = (subscription.roundRobin + 1) % subscription.cursors.length
}

/** A delivery begins: with whom, under which name, until when. */
export function deliver(state: BrokerState, lease: Lease, event: DeliveryEvent, entry: LeasedEntry): void {
  leave(state, lease)
  if (lease.acked) {
    lease.acked = false
    lease.subscription.unacknowledged++
    state.unacknowledged++
  }
  lease.returned = false
  lease.attempt = entry.attempt
  lease.session = event.session
  lease.at = event.at
  lease.deadline = event.deadline
  lease.renewable = event.renewable
  lease.owner = event.owner
  enterPhase(lease, 'leased')
  state.deliveries.set(lease, event.deadline)
  if (lease.renewable) own(state, lease)
}

/** Acknowledged for good. */
export function applyAcked(state: BrokerState, event: AckedEvent | PassedOverEvent): void {
  const subscription = state.subscriptions.get(event.subscriptionId)
  if (!subscription) return
  for (const { queueId, offset } of event.entries) {
    const cursor = subscription.cursors[queueId]
    const lease = cursor?.leases.get(offset)
    if (!cursor || !lease) continue
    forget(state, cursor, lease)
    if (subscription.group.settings.orderly) commitPrefix(state, cursor)
  }
}

export function applyDeadline(state: BrokerState, event: DeadlineEvent): void {
  const subscription = state.subscriptions.get(event.subscriptionId)
  if (!subscription) return
  for (const { queueId, offset } of event.entries) {
    const lease = subscription.cursors[queueId]?.leases.get(offset)
    if (!lease || lease.acked) continue
    leave(state, lease)
    lease.deadline = event.deadline
    lease.renewable = false
    enterPhase(lease, 'leased')
    if (event.returned) {
      lease.attempt--
      lease.returned = true
    }
    state.deliveries.set(lease, event.deadline)
  }
}

/** Retention took everything below `begin`: the group is done with it. */
export function trimCursor(state: BrokerState, cursor: Cursor, begin: number): void {
  if (cursor.next < begin) cursor.next = begin
  // Leases are made in offset order, so those to drop are the first ones.
  for (const [offset, lease] of cursor.leases) {
    if (offset >= begin) break
    forget(state, cursor, lease)
  }
  commitPrefix(state, cursor)
}

/** The topic or the group is removed: its deliveries are dropped. */
export function dropSubscription(state: BrokerState, subscription: Subscription): void {
  subscription.removed = true
  state.unacknowledged -= subscription.unacknowledged
  subscription.unacknowledged = 0
  subscription.ready.clear()
  subscription.exhausted.clear()
  for (const cursor of subscription.cursors) forgetDelivered(state, cursor)
  if (state.subscriptions.delete(subscription.id) && subscription.topic.parent !== null) state.liteSubscriptionCount--
  subscription.group.subscriptions.delete(subscriptionName(subscription.topic))
  subscription.topic.subscriptions.delete(subscription.group.settings.consumerGroupId)
}

/** The group's offset in a queue is moved: its deliveries of the queue are dropped. */
export function dropLeases(state: BrokerState, subscription: Subscription, cursor: Cursor): void {
  let unacknowledged = 0
  for (const lease of cursor.leases.values()) {
    if (lease.phase === 'ready') subscription.ready.remove(lease)
    else if (lease.phase === 'exhausted') subscription.exhausted.remove(lease)
    if (!lease.acked) unacknowledged++
  }
  subscription.unacknowledged -= unacknowledged
  state.unacknowledged -= unacknowledged
  forgetDelivered(state, cursor)
}

/** Deadlines and owners of dropped deliveries are cleaned up later, in portions: there may be a million of them. */
function forgetDelivered(state: BrokerState, cursor: Cursor): void {
  if (cursor.leases.size > 0) state.dropped.push(cursor.leases.values())
  cursor.leases = new Map()
  cursor.lock = null
  cursor.invisible = 0
}

/** Acknowledged, dropped, or removed by retention: the object has no effect any more. */
export function isGone(lease: Lease): boolean {
  return lease.subscription.cursors[lease.queueId]!.leases.get(lease.offset) !== lease
}

/** Takes dropped deliveries out of deadlines and owners, at most so many; whether there are more. */
export function sweepDropped(state: BrokerState, most: number): boolean {
  const { dropped } = state
  for (let count = 0; count < most && dropped.length > 0; count++) {
    const { done, value: lease } = dropped.at(-1)!.next()
    if (done) {
      dropped.pop()
      continue
    }
    state.deliveries.remove(lease)
    if (lease.renewable) disown(state, lease)
  }
  return dropped.length > 0
}

/** By which a group finds its subscription to the topic. */
export function subscriptionName(topic: Topic): string {
  // No name holds a slash.
  return topic.parent === null ? topic.settings.topicName : `${topic.settings.topicName}/${topic.liteTopic}`
}

/** After a replay, in portions: owners could not report while the broker was down, so each delivery gets one more renewal step. */
export function* refreshRenewable(state: BrokerState, at: number): Generator<void, void> {
  let count = 0
  for (const leases of state.owned.values())
    for (const lease of leases) {
      if (!isGone(lease)) state.deliveries.set(lease, Math.max(lease.deadline, at + limits.renewStepMs))
      if (++count % REFRESHED_AT_ONCE === 0) yield
    }
}

export function nameOf(lease: MessageName): MessageName {
  return { queueId: lease.queueId, offset: lease.offset }
}

export function newLease(state: BrokerState, subscription: Subscription, cursor: Cursor, entry: LeasedEntry): Lease {
  const lease: Lease = {
    due: 0,
    heapIndex: -1,
    previous: null,
    next: null,
    linked: false,
    subscription,
    queueId: entry.queueId,
    offset: entry.offset,
    position: entry.position,
    tagHash: entry.tagHash,
    attempt: entry.attempt,
    failures: 0,
    returned: false,
    acked: false,
    session: 0,
    at: 0,
    deadline: 0,
    renewable: false,
    owner: '',
    phase: 'leased',
    matchedBy: null,
    refusedBy: null,
  }
  cursor.invisible++
  cursor.leases.set(entry.offset, lease)
  subscription.unacknowledged++
  state.unacknowledged++
  return lease
}

export function own(state: BrokerState, lease: Lease): void {
  const leases = state.owned.get(lease.owner)
  if (leases) leases.add(lease)
  else state.owned.set(lease.owner, new Set([lease]))
}

/** Into a phase, keeping count of what the queue has with clients. Lists and deadlines are the caller's. */
export function enterPhase(lease: Lease, phase: Phase): void {
  const cursor = lease.subscription.cursors[lease.queueId]!
  if (lease.phase === 'leased') cursor.invisible--
  if (phase === 'leased') cursor.invisible++
  assert(cursor.invisible >= 0, 'no fewer than none of a queue are with clients')
  lease.phase = phase
}

/** Takes the lease out of whatever structure its phase keeps it in. */
export function leave(state: BrokerState, lease: Lease): void {
  state.deliveries.remove(lease)
  if (lease.phase === 'ready') lease.subscription.ready.remove(lease)
  else if (lease.phase === 'exhausted') lease.subscription.exhausted.remove(lease)
  if (lease.renewable) disown(state, lease)
}

/** Removes an acknowledged lease. */
export function forget(state: BrokerState, cursor: Cursor, lease: Lease): void {
  leave(state, lease)
  enterPhase(lease, 'gone')
  cursor.leases.delete(lease.offset)
  if (lease.acked) return
  lease.subscription.unacknowledged--
  state.unacknowledged--
  assert(lease.subscription.unacknowledged >= 0, 'no fewer than none are unacknowledged')
}

function disown(state: BrokerState, lease: Lease): void {
  const leases = state.owned.get(lease.owner)
  if (!leases) return
  leases.delete(lease)
  if (leases.size === 0) state.owned.delete(lease.owner)
}
