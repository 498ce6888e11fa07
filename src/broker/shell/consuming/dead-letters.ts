/**
 * Moves messages that have used all retries to the dead-letter topic (core/consuming/dead-letters.ts), one at a time for
 * each subscription; copy and passing over are one record group. A failed move is tried again later. A message
 * that is damaged on the disk can neither be delivered nor moved; it is passed over, or it would block an orderly queue.
 */
import { BrokerRefusal } from '../../../model/refusals.ts'
import { deadLetterTopicName, decideDeadLetter, decideDeadLetterTopic } from '../../core/consuming/dead-letters.ts'
import { decideDeadline, enterPhase, isGone, nameOf } from '../../core/consuming/deliveries.ts'
import type { BrokerEvent, PassedOverReason } from '../../core/events.ts'
import { limits } from '../../core/limits.ts'
import { codes } from '../../core/refusal.ts'
import type { BrokerState, Lease, Subscription } from '../../core/state.ts'
import type { SegmentLog } from '../../log/contract.ts'
import { isDamage } from '../../log/errors.ts'
import { messageOf } from '../records.ts'
import type { TurnBudget } from '../turn-budget.ts'

export interface DeadLettersContext {
  readonly state: BrokerState
  readonly log: Pick<SegmentLog, 'read'>
  readonly turns: TurnBudget
  now(): number
  commit(events: readonly BrokerEvent[]): void
  tryCommit(events: readonly BrokerEvent[]): boolean
  /** In an orderly group the messages behind those that were moved can be delivered now. */
  serve(subscription: Subscription): void
  arm(): void
  stopped(): boolean
  report(error: unknown): void
}

export class DeadLetters {
  readonly #context: DeadLettersContext
  readonly #moving = new Set<Subscription>()

  constructor(context: DeadLettersContext) {
    this.#context = context
  }

  /** Everything of the subscription that is out of retries. */
  async moveAllToDeadLetter(subscription: Subscription): Promise<void> {
    const { turns } = this.#context
    if (this.#moving.has(subscription)) return
    this.#moving.add(subscription)
    try {
      for (let lease = subscription.exhausted.first; lease; lease = subscription.exhausted.first) {
        // What is in memory is read without a pause.
        if (turns.isSpent) await turns.pause()
        if (this.#context.stopped()) return
        if (isGone(lease) || lease.phase !== 'exhausted') continue
        try {
          await this.moveToDeadLetter(lease)
        } catch (error) {
          if (!(error instanceof BrokerRefusal && error.code === codes.tooManyRequests)) this.#context.report(error)
          if (isGone(lease) || lease.phase !== 'exhausted') continue
          const isOver = isDamage(error) && this.#context.tryCommit([passedOver(lease, 'damaged')])
          if (!isOver) this.#tryLater(lease)
        }
      }
    } finally {
      this.#moving.delete(subscription)
    }
    this.#context.serve(subscription)
    this.#context.arm()
  }

  /** Copies the message to the dead letters and passes it over for the group, in one record group. Resolves when decided, not when durable. */
  async moveToDeadLetter(lease: Lease): Promise<void> {
    const { state } = this.#context
    const { attempt, session, subscription } = lease
    const record = await this.#context.log.read(lease.position).catch((error: unknown) => {
      // Retention may have taken it while it was being read.
      if (isGone(lease)) return null
      throw error
    })
    if (record === null) return
    const message = messageOf(record)
    if (isGone(lease) || lease.attempt !== attempt || lease.session !== session) return
    if (subscription.topic.settings.topicName === deadLetterTopicName(state, subscription.group)) {
      // It is in the dead-letter topic already: done with for this group, kept for others.
      this.#context.commit([passedOver(lease, 'retries-used-up')])
      return
    }
    const topic = decideDeadLetterTopic(state, subscription.group)
    if (topic) this.#context.commit([topic])
    this.#context.commit(decideDeadLetter(state, lease, message, this.#context.now()))
  }

  #tryLater(lease: Lease): void {
    const at = this.#context.now() + limits.unreadableRetryMs
    if (!this.#context.tryCommit(decideDeadline([lease], at))) {
      // The log has no room for this either: the state stays as it is.
      lease.subscription.exhausted.remove(lease)
      enterPhase(lease, 'leased')
      this.#context.state.deliveries.set(lease, at)
    }
    this.#context.arm()
  }
}

function passedOver(lease: Lease, reason: PassedOverReason): BrokerEvent {
  return { type: 'passed-over', subscriptionId: lease.subscription.id, reason, entries: [nameOf(lease)] }
}
