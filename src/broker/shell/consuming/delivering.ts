/**
 * From leased offsets to deliveries: messages are read, their exact tags are compared, handles are made. What does not
 * reach the client (too much for memory at a time, unreadable, client gone) is returned and not counted.
 */
import type { Cancellation } from '../../../model/cancellation.ts'
import type { Delivery, ReceiveBudget } from '../../broker.ts'
import {
  attemptToTell,
  decideDeadline,
  decideReturned,
  expireNow,
  nameOf,
  renewNoMore,
} from '../../core/consuming/deliveries.ts'
import { formatHandle, type HandleKey } from '../../core/consuming/handle.ts'
import type { BrokerEvent, DeliveryEvent, MessageEvent, MessageName } from '../../core/events.ts'
import { type Filter, matches } from '../../core/filters/filter.ts'
import { limits } from '../../core/limits.ts'
import type { BrokerState, Lease, Subscription } from '../../core/state.ts'
import { units } from '../../core/throttle.ts'
import type { SegmentLog } from '../../log/contract.ts'
import { messageOf } from '../records.ts'
import { Semaphore } from '../semaphore.ts'
import type { TurnBudget } from '../turn-budget.ts'

export interface DeliveringContext {
  readonly state: BrokerState
  readonly log: Pick<SegmentLog, 'read' | 'readMany'>
  readonly turns: TurnBudget
  now(): number
  tryCommit(events: readonly BrokerEvent[]): boolean
  spend(subscription: Subscription, units: number, at: number): void
  /** Deliveries of the subscription are visible again, or out of retries. */
  attend(subscription: Subscription): void
  arm(): void
  stopped(): boolean
}

/** The receiver of what is read, as far as reading needs it. */
export interface Taker {
  readonly budget: ReceiveBudget | undefined
  readonly signal: Cancellation
}

export class Delivering {
  readonly #context: DeliveringContext
  /** What each reader may hold before it is counted is bounded, so their number must be too. */
  readonly #reads = new Semaphore(8)

  constructor(context: DeliveringContext) {
    this.#context = context
  }

  /**
   * The messages leased, or as many of the first ones as memory should hold at a time; none for a client that does not read
   * its answers. Those behind one that cannot be read are left out with it; rejects when that is the first.
   */
  read(taker: Taker, leased: DeliveryEvent): Promise<MessageEvent[]> {
    return this.#reads.run(() => this.#read(taker, leased))
  }

  /** The messages that match, an expression being asked of each. One that could not be read before was not asked yet. */
  async evaluate(filter: Filter, messages: readonly MessageEvent[]): Promise<ReadonlySet<MessageEvent>> {
    const { turns } = this.#context
    const matched = new Set<MessageEvent>()
    for (const message of messages) {
      if (turns.isSpent) await turns.pause()
      if (matches(filter, message)) matched.add(message)
    }
    return matched
  }

  /** What matches, by its exact tag or by the expression; the rest is passed over for the group. */
  wanted(
    subscription: Subscription,
    leased: DeliveryEvent,
    messages: readonly MessageEvent[],
    isMatch: (message: MessageEvent) => boolean,
  ): Delivery[] {
    const deliveries: Delivery[] = []
    const unwanted: MessageName[] = []
    let extra = 0
    messages.forEach((message, i) => {
      const entry = leased.entries[i]!
      if (isMatch(message))
        deliveries.push(deliveryOf(subscription, leased, entry, message, this.#context.state.handleKey))
      else if (isHeld(subscription, leased, entry)) unwanted.push(nameOf(entry))
      extra += units(message.bodyBytes) - 1
    })
    this.#context.spend(subscription, extra, this.#context.now())
    // When the log has no room for it they come again, and are passed over then.
    if (unwanted.length > 0 && !subscription.removed && !this.#context.stopped())
      this.#context.tryCommit([
        { type: 'passed-over', subscriptionId: subscription.id, reason: 'filtered', entries: unwanted },
      ])
    return deliveries
  }

  /**
   * Returns the deliveries from `from` on, which reached no client: visible again and not counted. When the disk takes
   * nothing they come again at the end of their time, counted.
   */
  giveBack(subscription: Subscription, leased: DeliveryEvent, from: number): void {
    // The first answer may have arrived after all: a batch delivered again stays with its client.
    if (leased.type === 'locked' && leased.repeated) return
    if (subscription.removed || this.#context.stopped()) return
    const mine = stillHeld(subscription, leased, from)
    if (mine.length === 0) return
    if (!this.#context.tryCommit([decideReturned(subscription, mine, this.#context.now())])) {
      renewNoMore(this.#context.state, mine)
      return
    }
    expireNow(this.#context.state, mine)
    this.#context.attend(subscription)
    this.#context.arm()
  }

  /** The first one could not be read: not again before a while has passed. The others are given back. */
  setAside(subscription: Subscription, leased: DeliveryEvent): void {
    if (this.#context.stopped()) return
    const [first] = stillHeld(subscription, { ...leased, entries: leased.entries.slice(0, 1) }, 0)
    if (first && !this.#context.tryCommit(decideDeadline([first], this.#context.now() + limits.unreadableRetryMs)))
      renewNoMore(this.#context.state, [first])
    this.giveBack(subscription, leased, 1)
  }

  async #read({ budget, signal }: Taker, leased: DeliveryEvent): Promise<MessageEvent[]> {
    const positions = leased.entries.map((entry) => entry.position)
    const messages: MessageEvent[] = []
    let bytes = 0
    for (let next: number = limits.messagesReadFirst; messages.length < positions.length && next > 0; ) {
      if (budget?.full() && !signal.aborted) break
      const wanted = positions.slice(messages.length, messages.length + next)
      const records = await this.#readAhead(wanted, messages.length > 0)
      for (const record of records) {
        bytes += record.length
        budget?.add(record.length)
        messages.push(messageOf(record))
      }
      if (records.length < wanted.length) break
      next = Math.floor((limits.bytesPerReceive - bytes) / (bytes / messages.length))
    }
    return messages
  }

  /** All of them, or when one cannot be read those before it. */
  async #readAhead(positions: readonly number[], mayBeNone: boolean): Promise<Uint8Array[]> {
    const { log } = this.#context
    try {
      return await log.readMany(positions)
    } catch (error) {
      const records: Uint8Array[] = []
      for (const position of positions) {
        const record = await log.read(position).catch(() => null)
        if (record === null) break
        records.push(record)
      }
      if (records.length === 0 && !mayBeNone) throw error
      return records
    }
  }
}

export function deliveryOf(
  subscription: Subscription,
  leased: DeliveryEvent,
  entry: DeliveryEvent['entries'][number],
  message: MessageEvent,
  key: HandleKey,
): Delivery {
  return {
    messageId: message.messageId,
    payload: message.payload,
    queueId: entry.queueId,
    offset: entry.offset,
    attempt: attemptToTell(subscription, entry),
    handle: formatHandle(
      {
        subscriptionId: leased.subscriptionId,
        queueId: entry.queueId,
        offset: entry.offset,
        attempt: entry.attempt,
        session: leased.session,
      },
      key,
    ),
    storeTimeMs: message.storeTimeMs,
    invisibleMs: leased.deadline - leased.at,
    deadLetterOf: message.origin,
  }
}

/** Still as the take left it, and not acknowledged, delivered anew or reset since. */
export function isHeld(
  subscription: Subscription,
  leased: DeliveryEvent,
  entry: DeliveryEvent['entries'][number],
): boolean {
  const lease = subscription.cursors[entry.queueId]?.leases.get(entry.offset)
  return lease?.attempt === entry.attempt && lease.session === leased.session
}

/** Of a take's deliveries, from `from` on, those that are still as the take left them. */
function stillHeld(subscription: Subscription, leased: DeliveryEvent, from: number): Lease[] {
  return leased.entries.slice(from).flatMap((entry) => {
    const lease = subscription.cursors[entry.queueId]?.leases.get(entry.offset)
    return lease && lease.attempt === entry.attempt && lease.session === leased.session ? [lease] : []
  })
}
