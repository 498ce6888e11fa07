/**
 * What a receive gets: fresh messages in offset order, and before them what became visible again.
 *
 * Orderly groups take their messages by other rules (`orderly.ts`) and share everything else. What
 * happens to a delivery afterwards is in `deliveries.ts`.
 */
import type { BrokerEvent, DeliveryEvent, LeasedEntry, LeasedEvent, MessageName } from '../events.ts'
import { sqlOf } from '../filters/filter.ts'
import { limits } from '../limits.ts'
import type { Cursor, Lease, Subscription, Waiter } from '../state.ts'
import { nameOf, spent } from './deliveries.ts'
import { maxAttempts } from './retry.ts'

/** Index entries of one queue from `from` on, as the log keeps them. */
export interface Entries {
  readonly from: number
  readonly count: number
  position(i: number): number
  tagHash(i: number): number
  storeTimeMs(i: number): number
  /** What the receive's expression says; absent where it has none. */
  passes?(i: number): boolean
}

/** What a take may look at; null means "not in memory (or not evaluated by the receive's expression): load it and ask again". */
export type EntriesAt = (queueKey: number, from: number, count: number) => Entries | null

export interface TakeContext {
  readonly session: number
  readonly oldestMs: number
  readonly entriesAt: EntriesAt
}

export interface Taken {
  readonly events: readonly BrokerEvent[]
  readonly leased: DeliveryEvent | null
  /** Entries of this queue must be loaded before there is more. */
  readonly missing: number | null
  /** Visible again, and the receive's expression was not asked of them yet: ask, and take again. */
  readonly unevaluated: readonly Lease[]
  /** The scan budget ran out before the queues did: let others run, then take again. */
  readonly unfinished: boolean
}

/**
 * What this receive gets now, at most `max`: redeliveries first, then fresh messages; of a PRIORITY topic
 * fresh ones first, from its highest queue down (data-plane §5.6). Deciding changes nothing.
 */
export function decideTake(
  subscription: Subscription,
  want: Pick<Waiter, 'filter' | 'hashes' | 'max' | 'invisibleMs' | 'autoRenew' | 'clientId' | 'userName'>,
  at: number,
  context: TakeContext,
): Taken {
  const entries: LeasedEntry[] = []
  const urgentFirst = subscription.topic.settings.messageType === 'PRIORITY'
  const unwanted: MessageName[] = []
  const unevaluated: Lease[] = []
  if (!urgentFirst) takeReady(subscription, want, { entries, unwanted, unevaluated })
  // New messages wait until the redeliveries are evaluated; under a steady flow the redeliveries would otherwise wait for ever.
  const fresh =
    unevaluated.length > 0
      ? NOTHING_FRESH
      : takeFresh(
          urgentFirst ? subscription.cursors.toReversed() : inTurn(subscription),
          subscription,
          want,
          context,
          entries,
        )
  // Where the highest queue's entries are still being read, what is less urgent waits for them.
  if (urgentFirst && fresh.missing === null) takeReady(subscription, want, { entries, unwanted, unevaluated })
  const events: BrokerEvent[] = []
  if (unwanted.length > 0)
    events.push({
      type: 'passed-over',
      subscriptionId: subscription.id,
      reason: 'filtered',
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
      userName: want.userName,
      nexts: fresh.nexts,
      entries,
    }
    events.push(leased)
  }
  return {
    events,
    leased,
    missing: fresh.missing,
    unevaluated,
    unfinished: fresh.unfinished || unwanted.length >= limits.scanStep,
  }
}

interface Fresh {
  readonly nexts: ReadonlyArray<{ readonly queueId: number; readonly next: number }>
  readonly missing: Taken['missing']
  readonly unfinished: boolean
}

const NOTHING_FRESH: Fresh = { nexts: [], missing: null, unfinished: false }

/** Messages delivered before, as a receive looks at them. */
export interface Sorted {
  readonly entries: LeasedEntry[]
  readonly unwanted: MessageName[]
  /** `Taken.unevaluated`. */
  readonly unevaluated: Lease[]
}

/** What is visible again, in the order in which it became so. */
function takeReady(subscription: Subscription, want: Pick<Waiter, 'filter' | 'hashes' | 'max'>, to: Sorted): void {
  const last = maxAttempts(subscription.group.settings.maxRetryTimes)
  for (let lease = subscription.ready.first; lease && to.entries.length < want.max; lease = lease.next) {
    if (spent(lease, last)) continue
    sort(lease, want, to)
    if (to.unwanted.length >= limits.scanStep || to.unevaluated.length >= limits.scanStep) break
  }
}

/** Into one of the three. */
export function sort(lease: Lease, want: Pick<Waiter, 'filter' | 'hashes'>, to: Sorted): void {
  const sql = sqlOf(want.filter)
  if (sql && lease.matchedBy !== sql && lease.refusedBy !== sql) to.unevaluated.push(lease)
  else if ((want.hashes && !want.hashes.has(lease.tagHash)) || (sql && lease.refusedBy === sql))
    to.unwanted.push(nameOf(lease))
  else to.entries.push(againOf(lease))
}

/** The next delivery of a message that was delivered before. */
export function againOf(lease: Lease): LeasedEntry {
  return { ...nameOf(lease), attempt: lease.attempt + 1, position: lease.position, tagHash: lease.tagHash }
}

/** The queues, beginning with the one whose turn it is. */
export function inTurn({ cursors, roundRobin }: Subscription): Cursor[] {
  return [...cursors.slice(roundRobin), ...cursors.slice(0, roundRobin)]
}

/** Fresh messages of these queues into `entries`, and how far each queue was read for them. */
export function takeFresh(
  cursors: readonly Cursor[],
  subscription: Subscription,
  want: Pick<Waiter, 'filter' | 'hashes' | 'max'>,
  context: Pick<TakeContext, 'oldestMs' | 'entriesAt'>,
  entries: LeasedEntry[],
): Fresh {
  const nexts: Array<{ queueId: number; next: number }> = []
  let missing: Taken['missing'] = null
  let budget: number = limits.scanBudget
  let room = Math.min(want.max - entries.length, limits.unacknowledgedPerSubscription - subscription.unacknowledged)
  for (let turn = 0; turn < cursors.length && room > 0 && budget > 0 && missing === null; turn++) {
    const cursor = cursors[turn]!
    const { queue } = cursor
    let next = cursor.next
    while (next < queue.end && room > 0 && budget > 0) {
      const count = Math.min(queue.end - next, want.filter ? limits.scanStep : room)
      const found = context.entriesAt(queue.key, next, count)
      if (found === null) {
        missing = queue.key
        break
      }
      if (found.count === 0) {
        if (found.from <= next) throw new Error(`Queue ${queue.key} has no entry for its offset ${next}.`)
        // Retention is about to say that these are gone, or the receive's expression passed over them.
        next = Math.min(found.from, queue.end)
      }
      let i = 0
      for (; i < found.count && found.from + i < queue.end && room > 0; i++) {
        next = found.from + i + 1
        const hash = found.tagHash(i)
        if (want.hashes && !want.hashes.has(hash)) continue
        if (found.passes && !found.passes(i)) continue
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
