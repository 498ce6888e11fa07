/**
 * Deliveries: handing messages out, acknowledging them, changing how long they stay invisible, and
 * what happens when nobody answers in time.
 *
 * Fresh messages are leased in offset order; what became visible again goes first. A lease is an
 * event, so attempts stay bounded and handles valid through a restart. That a lease ran out is not an
 * event: it follows from its deadline and the time, and a later delivery says so by its attempt.
 * Auto-renewed leases move in memory only; after a restart they get a fresh step, in which their
 * owner may be heard.
 *
 * Cost: O(log n) in the deliveries in flight for each, O(1) in everything else.
 */
import type { AckedEvent, BrokerEvent, DeadlineEvent, LeasedEntry, LeasedEvent, MessageName } from './events.ts'
import type { DeliveryName } from './handle.ts'
import { limits } from './limits.ts'
import { maxAttempts, retryDelayMs } from './retry.ts'
import type { BrokerState, Cursor, Group, Lease, Subscription, Waiter } from './state.ts'

/** Index entries of one queue from `from` on, as the log keeps them. */
export interface Entries {
  readonly from: number
  readonly count: number
  position(i: number): number
  tagHash(i: number): number
  storeTimeMs(i: number): number
}

/** What a take may look at; null means "not in memory: load it and ask again". */
export type EntriesAt = (queueKey: number, from: number, count: number) => Entries | null

export interface Taken {
  readonly events: readonly BrokerEvent[]
  readonly leased: LeasedEvent | null
  /** Entries of this queue must be loaded before there is more. */
  readonly missing: number | null
  /** The scan budget ran out before the queues did: let others run, then take again. */
  readonly unfinished: boolean
}

/** What this receive gets now: redeliveries first, then fresh messages, at most `max`. Deciding changes nothing. */
export function decideTake(
  subscription: Subscription,
  want: Pick<Waiter, 'hashes' | 'max' | 'invisibleMs' | 'autoRenew' | 'clientId'>,
  at: number,
  context: { readonly session: number; readonly oldestMs: number; readonly entriesAt: EntriesAt },
): Taken {
  const entries: LeasedEntry[] = []
  const unwanted: MessageName[] = []
  const last = maxAttempts(subscription.group.settings.maxRetryTimes)
  for (let lease = subscription.ready.first; lease && entries.length < want.max; lease = lease.next) {
    if (lease.attempt >= last) continue
    if (want.hashes && !want.hashes.has(lease.tagHash)) unwanted.push(lease)
    else
      entries.push({ ...nameOf(lease), attempt: lease.attempt + 1, position: lease.position, tagHash: lease.tagHash })
    if (unwanted.length >= limits.scanStep) break
  }
  const fresh = takeFresh(subscription, want, context, entries)
  const events: BrokerEvent[] = []
  if (unwanted.length > 0)
    events.push({
      type: 'acked',
      subscriptionId: subscription.id,
      entries: unwanted.map(nameOf),
    })
  let leased: LeasedEvent | null = null
  if (entries.length > 0 || fresh.nexts.length > 0) {
    const invisibleMs = want.autoRenew ? limits.renewStepMs : want.invisibleMs
    leased = {
      type: 'leased',
      subscriptionId: subscription.id,
      at,
      deadline: at + invisibleMs,
      renewable: want.autoRenew,
      session: context.session,
      owner: want.clientId,
      nexts: fresh.nexts,
      entries,
    }
    events.push(leased)
  }
  return {
    events,
    leased,
    missing: fresh.missing,
    unfinished: fresh.unfinished || unwanted.length >= limits.scanStep,
  }
}

function takeFresh(
  subscription: Subscription,
  want: Pick<Waiter, 'hashes' | 'max'>,
  context: { readonly oldestMs: number; readonly entriesAt: EntriesAt },
  entries: LeasedEntry[],
): { nexts: Array<{ queueId: number; next: number }>; missing: Taken['missing']; unfinished: boolean } {
  const nexts: Array<{ queueId: number; next: number }> = []
  let missing: Taken['missing'] = null
  let budget: number = limits.scanBudget
  let room = Math.min(want.max - entries.length, limits.unacknowledgedPerSubscription - subscription.unacknowledged)
  const { cursors } = subscription
  for (let turn = 0; turn < cursors.length && room > 0 && budget > 0 && missing === null; turn++) {
    const cursor = cursors[(subscription.turn + turn) % cursors.length]!
    const { queue } = cursor
    let next = cursor.next
    while (next < queue.visible && room > 0 && budget > 0) {
      const count = Math.min(queue.visible - next, want.hashes ? limits.scanStep : room)
      const found = context.entriesAt(queue.key, next, count)
      if (found === null) {
        missing = queue.key
        break
      }
      if (found.count === 0) {
        if (found.from <= next) throw new Error(`Queue ${queue.key} has no entry for its offset ${next}.`)
        // Retention is about to say that these are gone.
        next = Math.min(found.from, queue.visible)
      }
      let i = 0
      for (; i < found.count && found.from + i < queue.visible && room > 0; i++) {
        next = found.from + i + 1
        const hash = found.tagHash(i)
        if (want.hashes && !want.hashes.has(hash)) continue
        if (found.storeTimeMs(i) < context.oldestMs) continue
        entries.push({
          queueId: queue.id,
          offset: next - 1,
          attempt: 1,
          position: found.position(i),
          tagHash: hash,
        })
        room--
      }
      budget -= i
    }
    if (next !== cursor.next) nexts.push({ queueId: queue.id, next })
  }
  return { nexts, missing, unfinished: budget <= 0 }
}

/** What a handle names now. */
export type Found =
  | { readonly kind: 'live'; readonly lease: Lease }
  /** Acknowledged already (or passed over, or taken by retention). */
  | { readonly kind: 'done' }
  /** Malformed, of another topic or group, of an earlier delivery, or past its deadline. */
  | { readonly kind: 'expired' }

const DONE: Found = { kind: 'done' }
const EXPIRED: Found = { kind: 'expired' }

export function findDelivery(subscription: Subscription | undefined, name: DeliveryName | null, at: number): Found {
  if (!name || !subscription || name.subscriptionId !== subscription.id) return EXPIRED
  const cursor = subscription.cursors[name.queueId]
  if (!cursor || name.offset >= cursor.next) return EXPIRED
  const lease = cursor.leases.get(name.offset)
  if (!lease) return DONE
  if (lease.attempt !== name.attempt || lease.session !== name.session) return EXPIRED
  return lease.phase === 'leased' && lease.due > at ? { kind: 'live', lease } : EXPIRED
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
    untouched: false,
    entries,
  }))
}

/** Deliveries that nobody was given: visible at once, as if they had not been made. */
export function decideUntouched(subscription: Subscription, leases: readonly Lease[], at: number): DeadlineEvent {
  return {
    type: 'deadline',
    subscriptionId: subscription.id,
    deadline: at,
    untouched: true,
    entries: leases.map(nameOf),
  }
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

/** Visible again, unless its deliveries are used up. */
function surface(lease: Lease): void {
  const { subscription } = lease
  const spent = lease.attempt >= maxAttempts(subscription.group.settings.maxRetryTimes)
  lease.phase = spent ? 'dying' : 'ready'
  ;(spent ? subscription.dying : subscription.ready).push(lease)
}

/** The group's retries were changed: what is visible again may be out of them now. */
export function retriesChanged(group: Group): void {
  const last = maxAttempts(group.settings.maxRetryTimes)
  for (const subscription of group.subscriptions.values())
    for (let lease = subscription.ready.first; lease; ) {
      const following = lease.next
      if (lease.attempt >= last) {
        subscription.ready.remove(lease)
        surface(lease)
      }
      lease = following
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
    const known = cursor.leases.get(entry.offset)
    if (known) leave(state, known)
    const lease = known ?? newLease(state, subscription, cursor, entry)
    lease.attempt = entry.attempt
    lease.session = event.session
    lease.at = event.at
    lease.deadline = event.deadline
    lease.renewable = event.renewable
    lease.owner = event.owner
    lease.phase = 'leased'
    state.deliveries.set(lease, event.deadline)
    if (lease.renewable) own(state, lease)
  }
  subscription.turn = (subscription.turn + 1) % subscription.cursors.length
}

export function applyAcked(state: BrokerState, event: AckedEvent): void {
  const subscription = state.subscriptions.get(event.subscriptionId)
  if (!subscription) return
  for (const { queueId, offset } of event.entries) {
    const cursor = subscription.cursors[queueId]
    const lease = cursor?.leases.get(offset)
    if (cursor && lease) forget(state, cursor, lease)
  }
}

export function applyDeadline(state: BrokerState, event: DeadlineEvent): void {
  const subscription = state.subscriptions.get(event.subscriptionId)
  if (!subscription) return
  for (const { queueId, offset } of event.entries) {
    const lease = subscription.cursors[queueId]?.leases.get(offset)
    if (!lease) continue
    leave(state, lease)
    lease.deadline = event.deadline
    lease.renewable = false
    lease.phase = 'leased'
    if (event.untouched) lease.attempt--
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
}

/** The topic or the group is removed: its deliveries are nobody's any more. */
export function dropSubscription(state: BrokerState, subscription: Subscription): void {
  subscription.removed = true
  for (const cursor of subscription.cursors) for (const lease of cursor.leases.values()) forget(state, cursor, lease)
  state.subscriptions.delete(subscription.id)
  subscription.group.subscriptions.delete(subscription.topic.settings.topicName)
  subscription.topic.subscriptions.delete(subscription.group.settings.consumerGroupId)
}

/** After a replay: owners could not be heard while the broker was down, so what they hold gets a fresh step. */
export function refreshRenewable(state: BrokerState, at: number): void {
  for (const leases of state.owned.values())
    for (const lease of leases) state.deliveries.set(lease, Math.max(lease.deadline, at + limits.renewStepMs))
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
    session: 0,
    at: 0,
    deadline: 0,
    renewable: false,
    owner: '',
    phase: 'leased',
  }
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

/** Takes the lease out of whatever structure its phase keeps it in. */
function leave(state: BrokerState, lease: Lease): void {
  state.deliveries.remove(lease)
  if (lease.phase === 'ready') lease.subscription.ready.remove(lease)
  else if (lease.phase === 'dying') lease.subscription.dying.remove(lease)
  if (lease.renewable) disown(state, lease)
}

function forget(state: BrokerState, cursor: Cursor, lease: Lease): void {
  leave(state, lease)
  lease.phase = 'gone'
  cursor.leases.delete(lease.offset)
  lease.subscription.unacknowledged--
  state.unacknowledged--
}

function disown(state: BrokerState, lease: Lease): void {
  const leases = state.owned.get(lease.owner)
  if (!leases) return
  leases.delete(lease)
  if (leases.size === 0) state.owned.delete(lease.owner)
}
