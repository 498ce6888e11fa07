/**
 * What no call causes: messages become visible, the alarm rings, the log fails, the broker closes. It tells the modules
 * that have something to do then, each a bounded portion at a time.
 */
import { BrokenInvariant } from '../../model/assert.ts'
import { expire, sweepDropped } from '../core/consuming/deliveries.ts'
import { type BrokerState, LiteTopic, type Subscription, type Topic } from '../core/state.ts'
import type { Alarm } from './alarm.ts'
import type { DeadLetters } from './consuming/dead-letters.ts'
import type { Offsets } from './consuming/offsets.ts'
import type { Receiving } from './consuming/receiving.ts'
import type { LiteShell } from './lite/lite.ts'
import { asRefusal } from './refusals.ts'
import type { Retention } from './retention.ts'
import type { Timers } from './timers.ts'
import type { TransactionShell } from './transactions.ts'
import type { Portion, TurnBudget } from './turn-budget.ts'
import type { Writing } from './writing.ts'

/** Deliveries that run out, or were dropped, are handled in portions of so many while the turn has time left. */
const EXPIRE_PORTION = 512
const SWEEP_PORTION = 4_096
/** Subscriptions and lite clients that are served at once when messages arrive; further ones follow in later turns. */
const SERVED_AT_ONCE = 64

export interface UpkeepContext {
  readonly state: BrokerState
  readonly turns: TurnBudget
  readonly writing: Writing
  readonly alarm: Alarm
  readonly receiving: Receiving
  readonly deadLetters: DeadLetters
  readonly offsets: Offsets
  readonly lite: LiteShell
  readonly timers: Timers
  readonly transactions: TransactionShell
  readonly retention: Retention
  now(): number
  report(error: unknown): void
  nextSession(): void
}

export class Upkeep {
  readonly #context: UpkeepContext

  constructor(context: UpkeepContext) {
    this.#context = context
  }

  /** Messages of these topics can be offered to the receives that wait. A topic with a fault leaves the others theirs. */
  arrived(topics: ReadonlySet<Topic>): void {
    const portion: Portion = { left: SERVED_AT_ONCE }
    for (const topic of topics) {
      try {
        this.#offer(topic, portion)
      } catch (error) {
        if (error instanceof BrokenInvariant) throw error
        this.#context.report(error)
      }
    }
    this.#context.alarm.arm()
  }

  #offer(topic: Topic, portion: Portion): void {
    const { receiving, lite } = this.#context
    if (topic instanceof LiteTopic) {
      lite.arrived(topic, portion)
      return
    }
    for (const subscription of topic.subscriptions.values()) {
      if (subscription.waiters.first === null) continue
      if (portion.left-- > 0) receiving.serve(subscription)
      else receiving.serveSoon(subscription)
    }
  }

  earliest(): number {
    const { state, receiving, retention, transactions, lite } = this.#context
    return Math.min(
      state.dropped.length > 0 ? 0 : state.deliveries.earliest,
      receiving.due,
      retention.due(),
      transactions.due,
      lite.due,
    )
  }

  ring(): void {
    const { state, turns, writing, receiving, retention, transactions, lite } = this.#context
    const at = this.#context.now()
    while (sweepDropped(state, SWEEP_PORTION) && !turns.isSpent);
    for (let isMore = true; isMore; isMore = state.deliveries.earliest <= at && !turns.isSpent) {
      const { events, touched } = expire(state, at, EXPIRE_PORTION)
      for (const event of events) writing.tryCommit([event])
      for (const subscription of touched) this.attend(subscription)
    }
    receiving.tick(at)
    transactions.tick(at)
    lite.tick(at)
    if (retention.due() <= at) retention.start(at)
  }

  /** Whatever the subscription needs after deliveries ran out or its group changed. */
  attend(subscription: Subscription): void {
    const { deadLetters, receiving } = this.#context
    if (subscription.exhausted.first) void deadLetters.moveAllToDeadLetter(subscription)
    receiving.serve(subscription)
  }

  /** The subscription's offsets were moved: handles of before name nothing any more. */
  moved(subscription: Subscription): void {
    this.#context.nextSession()
    this.#context.receiving.moved(subscription)
  }

  /** Stops all timers and ends everything that waits: with nothing, or refused when the log failed. */
  stop(failure: Error | null): void {
    const { state, alarm, timers, offsets, lite, receiving } = this.#context
    const refusal = failure === null ? null : asRefusal(failure)
    alarm.close()
    timers.close()
    offsets.close()
    lite.close(refusal)
    for (const subscription of state.subscriptions.values()) receiving.endPolls(subscription, refusal)
  }
}
