/**
 * Receives (long polls) of a group's subscription to a topic: they wait in a queue and are served first come, first
 * served, when something arrives, becomes visible again, or is read from the disk.
 *
 * One subscription is served at a time, and not while something is being read ahead for it. What holds it back (the budget, a
 * busy log, entries in files, an expression to ask) wakes it again when that is over. LITE topics have
 * wait queues of another kind (lite.ts) and share everything after the take.
 */
import type { Cancellation } from '../../../model/cancellation.ts'
import type { Delivery, ReceiveBudget, ReceiveRequest } from '../../broker.ts'
import { decideOrderlyTake, isRepeat } from '../../core/consuming/orderly.ts'
import { decideTake, type Taken } from '../../core/consuming/take.ts'
import { enter, leaveQueue, makeWaiter, reenter, refuseWaiter } from '../../core/consuming/waiters.ts'
import type { BrokerEvent, DeliveryEvent, MessageEvent } from '../../core/events.ts'
import { matches, type SqlFilter, sqlOf } from '../../core/filters/filter.ts'
import { limits } from '../../core/limits.ts'
import { type Refusal, tooMuchUnread } from '../../core/refusal.ts'
import type { BrokerState, Subscription, Topic, Waiter } from '../../core/state.ts'
import { DeadlineHeap, type Due } from '../../core/structures/deadline-heap.ts'
import { FilterWatch } from '../filters/filter-watch.ts'
import type { SqlEvaluation } from '../filters/sql-evaluation.ts'
import { asRefusal, boundToLite, refuse } from '../refusals.ts'
import type { Throughput } from '../throughput.ts'
import type { TurnBudget } from '../turn-budget.ts'
import { type Delivering, isHeld } from './delivering.ts'
import type { HandOver } from './hand-over.ts'
import type { ReadAhead } from './read-ahead.ts'
import type { Subscriptions } from './subscriptions.ts'

/** How long a poll whose time is up waits for an expression to be asked of more messages; the wire leaves 200 ms for the answer to travel. */
const EVALUATION_GRACE_MS = 100

/** Subscriptions served, and receives ended with nothing, in one firing of the alarm: each has an answer to write after it. */
const WOKEN_AT_ONCE = 64
const ENDED_AT_ONCE = 128
/** Receives of one subscription served before the turn's budget is asked again. */
const SERVED_UNASKED = 8

export interface ReceivingContext {
  readonly state: BrokerState
  readonly turns: TurnBudget
  readonly subscriptions: Pick<Subscriptions, 'group' | 'of' | 'settled'>
  readonly throughput: Pick<Throughput, 'refuseReceive' | 'receivesAt' | 'spendReceive'>
  readonly delivering: Delivering
  readonly handOver: HandOver
  readonly readAhead: ReadAhead
  readonly sqlEvaluation: SqlEvaluation
  /** Deliveries made now are named by it. */
  session(): number
  retentionMs(): number
  now(): number
  tryCommit(events: readonly BrokerEvent[]): boolean
  /** The promise of what was committed last; rejects when the log fails. */
  promised(): Promise<void>
  /** A subscription to a lite topic may have something to deliver. */
  liteReady(subscription: Subscription): void
  /** What it has could not be read. */
  liteUnreadable(subscription: Subscription): void
  arm(): void
  closed(): boolean
  /** The log has failed, and everything that waits is ended with the reason. */
  failed(): boolean
  report(error: unknown): void
}

/** A waiting receive with the one who asked. */
interface Poll extends Waiter {
  readonly subscription: Subscription
  /** When it was to end at the latest; `due` may be later while entries are read. */
  readonly until: number
  readonly signal: Cancellation
  readonly budget: ReceiveBudget | undefined
  readonly onAbort: () => void
  readonly resolve: (deliveries: Delivery[]) => void
  readonly reject: (error: Error) => void
}

/** A subscription to be served again at a time. */
interface Wake extends Due {
  readonly subscription: Subscription
}

export class Receiving {
  readonly #context: ReceivingContext
  readonly #state: BrokerState
  readonly #filters = new FilterWatch()
  /** Something is being read ahead for these. */
  readonly #loading = new Set<Subscription>()
  /** Of `#loading`, those whose messages are being asked an expression, which may take longer than a poll. */
  readonly #evaluating = new Set<Subscription>()
  /** Subscriptions to be asked again at a time: throttled, or the log was busy. */
  readonly #wakes = new DeadlineHeap<Wake>()
  readonly #wakeOf = new Map<Subscription, Wake>()

  constructor(context: ReceivingContext) {
    this.#context = context
    this.#state = context.state
  }

  /** `topic` is not a LITE topic. Throws a `BrokerRefusal`, at once. Not `async`: each promise more is one for every receive. */
  receive(topic: Topic, request: ReceiveRequest, signal: Cancellation): Promise<Delivery[]> {
    const { subscriptions, throughput } = this.#context
    const group = subscriptions.group(request.group)
    if (group.settings.lite) throw refuse(boundToLite(group, request.topic))
    const subscription = subscriptions.of(group, topic)
    const differ = this.#filters.saw(subscription, request.filter, request.clientId, (id) => this.#state.heard.has(id))
    if (differ !== null) this.#context.report(new Error(differ))
    const at = this.#context.now()
    const refusal = throughput.refuseReceive(subscription, at) ?? refuseWaiter(this.#state, subscription)
    if (refusal) throw refuse(refusal)
    return new Promise((resolve, reject) => {
      const poll: Poll = Object.assign(makeWaiter(request), {
        subscription,
        until: at + Math.max(0, request.waitMs),
        signal,
        budget: request.budget,
        onAbort: () => {
          if (poll.linked) this.#endPoll(poll)
        },
        resolve,
        reject,
      })
      enter(this.#state, subscription, poll, poll.until)
      signal.addEventListener('abort', poll.onAbort, { once: true })
      if (isRepeat(subscription, poll.attemptId)) this.#serveOne(subscription, poll)
      this.serve(subscription)
      // A short poll need not wait for a timer to hear that there is nothing.
      if (request.waitMs <= 0 && poll.linked && !this.#loading.has(subscription)) this.#endPoll(poll)
      this.#context.arm()
    })
  }

  /** The earliest thing to do. */
  get due(): number {
    const { readAhead, sqlEvaluation } = this.#context
    return Math.min(this.#state.waiting.earliest, this.#wakes.earliest, readAhead.due, sqlEvaluation.due)
  }

  tick(at: number): void {
    const woken: Subscription[] = []
    while (woken.length < WOKEN_AT_ONCE) {
      const wake = this.#wakes.pop(at)
      if (!wake) break
      this.#wakeOf.delete(wake.subscription)
      woken.push(wake.subscription)
    }
    for (const subscription of woken) if (!subscription.removed) this.serve(subscription)
    this.#endOverdue(at, ENDED_AT_ONCE)
    this.#context.readAhead.sweep(at)
    this.#context.sqlEvaluation.sweep(at)
  }

  /** Gives waiting receives what there is, first come first served, until one of the two runs out. */
  serve(subscription: Subscription): void {
    if (this.#loading.has(subscription) || this.#context.closed()) return
    if (subscription.topic.parent !== null) {
      this.#context.liteReady(subscription)
      return
    }
    for (let served = 0; subscription.waiters.first !== null; served++) {
      // A receive may take a thousand messages, and a thousand receives may wait.
      if (served > 0 && served % SERVED_UNASKED === 0 && this.#context.turns.isSpent) {
        this.serveSoon(subscription)
        return
      }
      if (!this.#serveOne(subscription, subscription.waiters.first as Poll)) return
    }
  }

  /** As `serve`, in a later turn of the event loop. */
  serveSoon(subscription: Subscription): void {
    this.#serveLater(subscription, this.#context.now())
  }

  /** The subscription's offsets were moved: what was read ahead for it is dropped. */
  moved(subscription: Subscription): void {
    this.#context.readAhead.forget(subscription)
    this.#context.sqlEvaluation.forget(subscription)
    this.serve(subscription)
    this.#context.arm()
  }

  /** Everything that waits on the subscription: refused, or with nothing. */
  endPolls(subscription: Subscription, refusal: Refusal | null): void {
    this.#context.readAhead.forget(subscription)
    this.#context.sqlEvaluation.forget(subscription)
    const wake = this.#wakeOf.get(subscription)
    if (wake) this.#wakes.remove(wake)
    this.#wakeOf.delete(subscription)
    for (let poll = subscription.waiters.first as Poll | null; poll; poll = subscription.waiters.first as Poll | null) {
      leaveQueue(this.#state, subscription, poll)
      this.#context.handOver.run(() => {
        if (refusal) this.#fail(poll, refusal)
        else this.#answer(poll, [])
      })
    }
  }

  // What lite receives share -----------------------------------------------------------------------

  /** What a receive gets of one subscription to a lite topic now. */
  takeLite(subscription: Subscription, want: Waiter, at: number): Taken {
    return decideOrderlyTake(subscription, want, at, {
      session: this.#context.session(),
      oldestMs: at - this.#context.retentionMs(),
      entriesAt: (queueKey, from, count) => this.#context.readAhead.entriesAt(subscription, queueKey, from, count),
    })
  }

  isLoading(subscription: Subscription): boolean {
    return this.#loading.has(subscription)
  }

  /** Entries of sealed segments come from files; the subscription is served when they are here. */
  load(subscription: Subscription, queueKey: number): void {
    this.#resume(subscription, this.#context.readAhead.load(subscription, queueKey))
  }

  // Serving ----------------------------------------------------------------------------------------

  /** Whether the poll got something; otherwise the subscription is served again when that can help. */
  #serveOne(subscription: Subscription, poll: Poll): boolean {
    const { readAhead, sqlEvaluation } = this.#context
    const at = this.#context.now()
    if (this.#holdBack(subscription, at)) return false
    const sql = sqlOf(poll.filter)
    const decide = subscription.group.settings.orderly ? decideOrderlyTake : decideTake
    const taken = decide(subscription, poll, at, {
      session: this.#context.session(),
      oldestMs: at - this.#context.retentionMs(),
      entriesAt: (queueKey, from, count) =>
        sql
          ? sqlEvaluation.entriesAt(subscription, sql, queueKey, from)
          : readAhead.entriesAt(subscription, queueKey, from, count),
    })
    if (taken.events.length > 0 && !this.#context.tryCommit(taken.events)) {
      this.#serveLater(subscription, at + limits.busyRetryMs)
      return false
    }
    if (taken.leased && taken.leased.entries.length > 0) {
      leaveQueue(this.#state, subscription, poll)
      if (sql) markMatched(subscription, taken.leased, sql)
      this.#context.throughput.spendReceive(subscription, taken.leased.entries.length, at)
      void this.#deliver(poll, taken.leased)
      return true
    }
    if (sql) this.#evaluateFor(poll, sql, taken)
    else if (taken.missing !== null) this.load(subscription, taken.missing)
    if (taken.unfinished && !this.#loading.has(subscription)) this.#serveLater(subscription, at)
    return false
  }

  async #deliver(poll: Poll, leased: DeliveryEvent): Promise<void> {
    const { delivering, handOver, subscriptions } = this.#context
    const { subscription } = poll
    // Of the record that was just written: a delivery that is handed over counts, also after a kill, and its messages are
    // durable with it or before it (docs/decisions/0002-broker-core.md).
    const durable = this.#context.promised()
    try {
      const messages = await delivering.read(poll, leased)
      await durable
      await subscriptions.settled(subscription.group)
      const matched = sqlOf(poll.filter) ? await delivering.evaluate(poll.filter, messages) : null
      const turn = handOver.turn()
      if (turn) await turn
      const isMatch = (message: MessageEvent) => (matched ? matched.has(message) : matches(poll.filter, message))
      if (messages.length < leased.entries.length) delivering.giveBack(subscription, leased, messages.length)
      if (messages.length === 0 && leased.entries.length > 0) {
        this.#fail(poll, tooMuchUnread)
        return
      }
      if (poll.signal.aborted) {
        delivering.giveBack(subscription, leased, 0)
        this.#answer(poll, [])
        return
      }
      const deliveries = delivering.wanted(subscription, leased, messages, isMatch)
      if (deliveries.length === 0) this.#waitOn(poll)
      else this.#answer(poll, deliveries)
    } catch (error) {
      const turn = handOver.turn()
      if (turn) await turn
      if (this.#context.closed()) {
        this.#answer(poll, [])
        return
      }
      // Whoever waits for the log hears of its failure; it is reported once, where it was found.
      if (this.#context.failed()) {
        this.#fail(poll, asRefusal(error))
        return
      }
      if (!isHeld(subscription, leased, leased.entries[0]!)) {
        // Retention, a reset or a removal took it while it was being read.
        delivering.giveBack(subscription, leased, 1)
        this.#waitOn(poll)
        return
      }
      this.#context.report(error)
      delivering.setAside(subscription, leased)
      this.#fail(poll, asRefusal(error))
    }
  }

  /** It gets none of what was taken for it: it goes on waiting until its time is up. */
  #waitOn(poll: Poll): void {
    const { subscription } = poll
    if (subscription.removed || this.#context.closed() || this.#context.now() >= poll.due) {
      this.#answer(poll, [])
      return
    }
    reenter(this.#state, subscription, poll)
    this.serve(subscription)
    this.#context.arm()
  }

  // What holds a subscription back ---------------------------------------------------------------

  /** A receive that waited when the budget ran out goes on waiting until there is some again. */
  #holdBack(subscription: Subscription, at: number): boolean {
    const opens = this.#context.throughput.receivesAt(subscription, at)
    if (opens <= at) return false
    if (opens < Number.POSITIVE_INFINITY) this.#serveLater(subscription, opens)
    return true
  }

  /** By `at`, or before: what is still held back when it is served says so again. */
  #serveLater(subscription: Subscription, at: number): void {
    let wake = this.#wakeOf.get(subscription)
    if (wake && wake.due <= at) return
    if (!wake) {
      wake = { due: at, heapIndex: -1, subscription }
      this.#wakeOf.set(subscription, wake)
    }
    this.#wakes.set(wake, at)
    this.#context.arm()
  }

  /** What an expression says is known from the messages alone; the subscription is served when they were asked. */
  #evaluateFor({ subscription, max }: Poll, filter: SqlFilter, { unevaluated, missing }: Taken): void {
    if (unevaluated.length === 0 && missing === null) return
    const { sqlEvaluation } = this.#context
    const isWanted = () =>
      !this.#context.closed() && !subscription.removed && subscription.waiters.first?.filter === filter
    this.#evaluating.add(subscription)
    this.#resume(
      subscription,
      unevaluated.length > 0
        ? sqlEvaluation.evaluateDelivered(unevaluated, filter, isWanted)
        : sqlEvaluation.evaluate(subscription, filter, max, isWanted),
    )
  }

  #resume(subscription: Subscription, work: Promise<void>): void {
    this.#loading.add(subscription)
    const ended = () => {
      this.#loading.delete(subscription)
      this.#evaluating.delete(subscription)
      if (subscription.removed || this.#context.closed()) this.#context.sqlEvaluation.forget(subscription)
    }
    work.then(
      () => {
        ended()
        if (subscription.removed || this.#context.closed()) return
        this.serve(subscription)
        // A short poll waited for nothing but this.
        this.#endOverdue(this.#context.now(), ENDED_AT_ONCE)
        this.#context.arm()
      },
      (error: unknown) => {
        ended()
        if (!this.#context.closed()) this.#context.report(error)
        if (subscription.topic.parent !== null) this.#context.liteUnreadable(subscription)
        this.endPolls(subscription, asRefusal(error))
      },
    )
  }

  // The ends of polls ------------------------------------------------------------------------------

  #endOverdue(at: number, most: number): void {
    const { waiting } = this.#state
    for (let ended = 0; ended < most; ended++) {
      const poll = waiting.pop(at) as Poll | null
      if (!poll) break
      if (
        this.#loading.has(poll.subscription) &&
        !(this.#evaluating.has(poll.subscription) && at >= poll.until + EVALUATION_GRACE_MS)
      )
        waiting.set(poll, at + limits.busyRetryMs)
      else this.#endPoll(poll)
    }
  }

  #endPoll(poll: Poll): void {
    leaveQueue(this.#state, poll.subscription, poll)
    this.#answer(poll, [])
  }

  #answer(poll: Poll, deliveries: Delivery[]): void {
    poll.signal.removeEventListener('abort', poll.onAbort)
    poll.resolve(deliveries)
  }

  #fail(poll: Poll, refusal: Refusal): void {
    poll.signal.removeEventListener('abort', poll.onAbort)
    poll.reject(refuse(refusal))
  }
}

/** So that a redelivery under the same expression need not ask again. */
function markMatched(subscription: Subscription, leased: DeliveryEvent, filter: SqlFilter): void {
  for (const { queueId, offset } of leased.entries) {
    const lease = subscription.cursors[queueId]?.leases.get(offset)
    if (lease) lease.matchedBy = filter
  }
}
