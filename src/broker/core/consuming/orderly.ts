/**
 * Orderly groups: the messages of a queue one after another, over all consumers of the group (data-plane §4.3).
 *
 * The unit of order is the queue. A receive locks each queue it gets messages of: until every message of
 * the batch is acknowledged or visible again, the queue delivers nothing. Then delivery starts again at
 * the first unacknowledged message and includes what follows, acknowledged or not, before any new
 * message: order is kept at the price of repeated deliveries.
 *
 * A receive with the attempt id of the current batch comes from a client that did not get the answer: it
 * gets the same batch with the same handles, and nothing is counted.
 *
 * Every delivery raises a message's attempt, but only the queue's first message counts against the group's
 * retries: the messages behind it were delivered again only because of it. So a message is moved to the dead letters after maxRetryTimes + 1
 * deliveries that ended while it was the first.
 */

import { assert } from '../../../model/assert.ts'
import type { AckedOutOfOrderEvent, BrokerEvent, LeasedEntry, LockedEvent, MessageName } from '../events.ts'
import { limits } from '../limits.ts'
import type { BrokerState, Cursor, Group, Lease, Subscription, Waiter } from '../state.ts'
import {
  commitPrefix,
  deliver,
  enterPhase,
  exhaustHead,
  forget,
  headOf,
  leave,
  newLease,
  surface,
} from './deliveries.ts'
import { againOf, inTurn, type Sorted, sort, type TakeContext, type Taken, takeFresh } from './take.ts'

/** What a receive of an orderly group gets now. Deciding changes nothing. */
export function decideOrderlyTake(
  subscription: Subscription,
  want: Pick<Waiter, 'filter' | 'hashes' | 'max' | 'invisibleMs' | 'autoRenew' | 'clientId' | 'userName' | 'attemptId'>,
  at: number,
  context: TakeContext,
): Taken {
  const again = batchOfAttempt(subscription, want.attemptId)
  if (again) {
    const leased = locked(subscription, want, at, { ...again, nexts: [], repeated: true })
    return { events: [leased], leased, missing: null, unevaluated: [], unfinished: false }
  }
  const entries: LeasedEntry[] = []
  const unwanted: MessageName[] = []
  const unevaluated: Lease[] = []
  const nexts: LockedEvent['nexts'][number][] = []
  let missing: Taken['missing'] = null
  let unfinished = false
  let scanned = 0
  for (const cursor of inTurn(subscription)) {
    if (entries.length >= want.max || missing !== null || unfinished) break
    if (!free(cursor)) continue
    const again = takeAgain(cursor, want, entries.length)
    if (again.unevaluated.length > 0) {
      // The queue delivers nothing until the filter is evaluated for all of these, or they would come out of order.
      unevaluated.push(...again.unevaluated)
      continue
    }
    entries.push(...again.entries)
    unwanted.push(...again.unwanted)
    unfinished = unwanted.length >= limits.scanStep
    if (!again.whole || entries.length >= want.max) continue
    const fresh = takeFresh([cursor], subscription, want, context, entries)
    nexts.push(...fresh.nexts)
    for (const { next } of fresh.nexts) scanned += next - cursor.next
    missing = fresh.missing
    unfinished = fresh.unfinished || scanned >= limits.scanBudget
  }
  const events: BrokerEvent[] = []
  if (unwanted.length > 0)
    events.push({ type: 'passed-over', subscriptionId: subscription.id, reason: 'filtered', entries: unwanted })
  let leased: LockedEvent | null = null
  if (entries.length > 0 || nexts.length > 0) {
    leased = locked(subscription, want, at, { session: context.session, nexts, entries, repeated: false })
    events.push(leased)
  }
  return { events, leased, missing, unevaluated, unfinished }
}

/** Whether the poll asks for a batch that was delivered under its attempt id: such a poll does not wait in the queue. */
export function isRepeat(subscription: Subscription, attemptId: string): boolean {
  return subscription.group.settings.orderly && batchOfAttempt(subscription, attemptId) !== null
}

/** Its batch was given again under its attempt id: the first answer may have reached the client. */
export function wasRepeated({ subscription, queueId, offset }: Lease): boolean {
  const lock = subscription.cursors[queueId]?.lock ?? null
  return lock !== null && lock.repeats > 0 && offset <= lock.last
}

function locked(
  subscription: Subscription,
  want: Pick<Waiter, 'invisibleMs' | 'autoRenew' | 'clientId' | 'userName' | 'attemptId'>,
  at: number,
  what: Pick<LockedEvent, 'session' | 'nexts' | 'entries' | 'repeated'>,
): LockedEvent {
  return {
    type: 'locked',
    attemptId: want.attemptId,
    subscriptionId: subscription.id,
    at,
    deadline: at + (want.autoRenew ? limits.renewStepMs : want.invisibleMs),
    renewable: want.autoRenew,
    owner: want.clientId,
    userName: want.userName,
    ...what,
  }
}

/** Nothing of the queue is with a client or on its way to the dead letters. */
function free(cursor: Cursor): boolean {
  return cursor.invisible === 0 && headOf(cursor)?.phase !== 'exhausted'
}

/** The queue's messages that were delivered before, from the first on, beside `taken` others; `whole` when that is all of them. */
function takeAgain(
  cursor: Cursor,
  want: Pick<Waiter, 'filter' | 'hashes' | 'max'>,
  taken: number,
): Sorted & { readonly whole: boolean } {
  const sorted: Sorted = { entries: [], unwanted: [], unevaluated: [] }
  for (const lease of cursor.leases.values()) {
    const { entries, unwanted, unevaluated } = sorted
    if (
      taken + entries.length >= want.max ||
      unwanted.length >= limits.scanStep ||
      unevaluated.length >= limits.scanStep
    )
      return { ...sorted, whole: false }
    sort(lease, want, sorted)
  }
  return { ...sorted, whole: true }
}

function batchOfAttempt(
  subscription: Subscription,
  attemptId: string,
): { readonly session: number; readonly entries: LeasedEntry[] } | null {
  if (attemptId === '') return null
  const entries: LeasedEntry[] = []
  let session: number | null = null
  for (const cursor of subscription.cursors) {
    const { lock } = cursor
    const head = headOf(cursor)
    if (!lock || lock.attemptId !== attemptId || lock.repeats >= limits.repeatsPerBatch) continue
    if (!head || head.phase === 'exhausted') continue
    session ??= head.session
    for (const lease of cursor.leases.values()) {
      // A returned delivery is not part of the batch.
      if (lease.offset > lock.last || lease.returned || lease.session !== session) break
      if (!lease.acked) entries.push({ ...againOf(lease), attempt: lease.attempt })
    }
  }
  return session === null || entries.length === 0 ? null : { session, entries }
}

export function applyLocked(state: BrokerState, event: LockedEvent): void {
  const subscription = state.subscriptions.get(event.subscriptionId)
  if (event.at > state.lastAt) state.lastAt = event.at
  if (!subscription) return
  for (const { queueId, next } of event.nexts) {
    const cursor = subscription.cursors[queueId]!
    cursor.next = Math.max(cursor.next, next)
  }
  for (const entry of event.entries) {
    const cursor = subscription.cursors[entry.queueId]!
    assert(entry.offset < cursor.next, 'the lock of a queue lies within what was delivered of it')
    const known = cursor.leases.get(entry.offset)
    if (known && known === headOf(cursor) && !known.returned && !event.repeated) known.failures++
    deliver(state, known ?? newLease(state, subscription, cursor, entry), event, entry)
    if (!event.repeated) cursor.lock = { attemptId: event.attemptId, last: entry.offset, repeats: 0 }
  }
  if (event.repeated)
    for (const queueId of new Set(event.entries.map((entry) => entry.queueId))) {
      const cursor = subscription.cursors[queueId]!
      if (cursor.lock) cursor.lock = { ...cursor.lock, repeats: cursor.lock.repeats + 1 }
    }
  subscription.roundRobin = (subscription.roundRobin + 1) % subscription.cursors.length
}

export function applyAckedOutOfOrder(state: BrokerState, event: AckedOutOfOrderEvent): void {
  const subscription = state.subscriptions.get(event.subscriptionId)
  if (!subscription) return
  const cursors = new Set<Cursor>()
  for (const { queueId, offset } of event.entries) {
    const cursor = subscription.cursors[queueId]
    const lease = cursor?.leases.get(offset)
    if (!cursor || !lease || lease.acked) continue
    leave(state, lease)
    applyAckedOutOfOrderTo(state, lease)
    cursors.add(cursor)
  }
  for (const cursor of cursors) commitPrefix(state, cursor)
}

/** Acknowledged, and kept until every message before it is acknowledged. */
export function applyAckedOutOfOrderTo(state: BrokerState, lease: Lease): void {
  enterPhase(lease, 'acked')
  lease.acked = true
  lease.renewable = false
  lease.subscription.unacknowledged--
  state.unacknowledged--
}

/**
 * The group turned from concurrent to orderly, or back, with messages in flight. What is with clients
 * stays there, and blocks its queue in an orderly group; what was acknowledged is done with.
 */
export function orderChanged(state: BrokerState, group: Group): void {
  for (const subscription of group.subscriptions.values())
    for (const cursor of subscription.cursors) {
      cursor.lock = null
      for (const lease of cursor.leases.values()) {
        if (lease.acked) forget(state, cursor, lease)
        else if (lease.phase === 'ready' || lease.phase === 'exhausted') {
          leave(state, lease)
          enterPhase(lease, 'ready')
          if (!group.settings.orderly) surface(lease)
        }
      }
      if (group.settings.orderly) exhaustHead(cursor)
    }
}
