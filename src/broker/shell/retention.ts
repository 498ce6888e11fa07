/**
 * Frees disk space that retention no longer needs, in this order: records that must stay are written again, the queues'
 * begins move, a checkpoint is written that needs none of the old segments, the files are unlinked.
 *
 * Only sealed segments can go, so one that is still being written is sealed once its first message has
 * been there for an eighth of the retention, however little came after it: a quiet instance gives back
 * everything, and a busy one keeps a message's bytes at most an eighth longer than promised. Must never
 * stop the log for want of space: sealing writes only after a checkpoint found room.
 */
import { BrokerRefusal } from '../../model/refusals.ts'
import type { BrokerEvent, TrimmedEvent } from '../core/events.ts'
import { codes } from '../core/refusal.ts'
import { decideTrim, expiredSegments, sealAfterMs } from '../core/retention.ts'
import type { BrokerState, Subscription, Topic } from '../core/state.ts'
import { positionOf, segmentOf } from '../log/contract.ts'
import { yieldToEventLoop } from '../log/yield.ts'
import type { Journal } from './journal.ts'

/** After a full or failing disk. */
const retryMs = 3_600_000
/** After the log had no room. */
const busyMs = 1_000

/** Queues that follow the index in one step; others run between two. */
const queuesAtOnce = 2_048

export interface RetentionContext {
  readonly state: BrokerState
  readonly journal: Journal
  retentionMs(): number
  commit(events: readonly BrokerEvent[]): void
  /** What lies below the position and is not in a queue must not be needed any more on return. */
  beforeTrim(below: number): void
  report(error: unknown): void
  /** Called before the segments below a position go: what is still needed is written again further on. */
  makeWay(below: number): Promise<void>
  /** The subscription may have something new to deliver, or to move to the dead letters. */
  attend(subscription: Subscription): void
  /** Called when `due` may have changed. */
  changed(): void
}

export class Retention {
  readonly #context: RetentionContext
  #work: Promise<void> | null = null
  #stopped = false
  #notBefore = 0
  /** Queues may begin earlier than the index knows them. */
  #mayLag = true

  constructor(context: RetentionContext) {
    this.#context = context
  }

  /** When there is something to do; Infinity while it is being done and when nothing is held. */
  due(): number {
    if (this.#work) return Number.POSITIVE_INFINITY
    const { journal } = this.#context
    const retentionMs = this.#context.retentionMs()
    const oldest = journal.ages[0]
    const { unsealedSinceMs } = journal
    const earliest = Math.min(
      oldest ? oldest.newestMs + retentionMs : Number.POSITIVE_INFINITY,
      unsealedSinceMs === null ? Number.POSITIVE_INFINITY : unsealedSinceMs + sealAfterMs(retentionMs),
    )
    return Math.max(earliest, this.#notBefore)
  }

  /** Does what is due; at most once at a time. */
  start(at: number): void {
    this.#work ??= this.#do(at).finally(() => {
      this.#work = null
      this.#context.changed()
    })
  }

  /** Nothing begins any more; resolves when what is under way has ended. What was not done is done after the next start. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#work
  }

  async #do(at: number): Promise<void> {
    try {
      await this.#seal(at)
      if (!this.#stopped) await this.#trim(at)
    } catch (error) {
      if (this.#stopped) return
      const isBusy = error instanceof BrokerRefusal && error.code === codes.tooManyRequests
      if (!isBusy) this.#context.report(error)
      this.#notBefore = at + (isBusy ? busyMs : retryMs)
    }
  }

  async #seal(at: number): Promise<void> {
    const { journal } = this.#context
    const since = journal.unsealedSinceMs
    if (since === null || since + sealAfterMs(this.#context.retentionMs()) > at) return
    await journal.checkpoint()
    await journal.seal()
  }

  async #trim(at: number): Promise<void> {
    const { state, journal } = this.#context
    const { ages, index, log } = journal
    const count = expiredSegments(ages, at, this.#context.retentionMs())
    if (count === 0) return
    const below = positionOf(ages[count - 1]!.segment + 1, 0)
    await this.#context.makeWay(below)
    this.#context.beforeTrim(below)
    // An attempt that was broken off may have moved queues that this one finds where they are.
    const compareAll = this.#mayLag
    this.#mayLag = true
    const moved = await index.trimBelow(below)
    await this.#follow([...(compareAll ? state.queues : moved).keys()])
    this.#mayLag = false
    // The log keeps what its last two checkpoints need.
    await journal.checkpoint()
    await journal.checkpoint()
    await log.trim(below)
    await journal.lookups.trimmed()
    while (ages[0] && ages[0].segment < segmentOf(log.first)) ages.shift()
  }

  /** The queues begin where the index says, and their readers go on there. */
  async #follow(queueKeys: readonly number[]): Promise<void> {
    const { state, journal } = this.#context
    for (let from = 0; from < queueKeys.length; from += queuesAtOnce) {
      if (from > 0) await yieldToEventLoop()
      const some = queueKeys.slice(from, from + queuesAtOnce)
      const event = decideTrim(state, some, (queueKey) => journal.index.minimumOffset(queueKey))
      if (!event) continue
      this.#context.commit([event])
      this.#attendTrimmed(event)
    }
  }

  /** What blocked an orderly group's queue may be among the messages taken. */
  #attendTrimmed({ queues }: TrimmedEvent): void {
    const topics = new Set<Topic>()
    for (const { queueKey } of queues) {
      const queue = this.#context.state.queues.get(queueKey)
      if (queue) topics.add(queue.topic)
    }
    for (const { subscriptions } of topics)
      for (const subscription of subscriptions.values()) this.#context.attend(subscription)
  }
}
