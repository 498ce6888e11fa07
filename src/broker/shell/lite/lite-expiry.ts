/**
 * Removes expired lite topics (core/lite/lite.ts): each LITE topic has a deadline, the earliest time at
 * which its oldest lite topic may have expired.
 *
 * Must never block the event loop, however many expire at once: they are removed in portions.
 */

import type { LiteExpiredEvent } from '../../core/events.ts'
import { limits } from '../../core/limits.ts'
import { decideLiteExpired, decideLiteRemoved, liteExpiresAt } from '../../core/lite/lite.ts'
import type { Topic } from '../../core/state.ts'
import { DeadlineHeap, type Due } from '../../core/structures/deadline-heap.ts'
import type { LiteContext } from './lite-context.ts'

export type ExpiryContext = Pick<LiteContext, 'state' | 'turns' | 'now' | 'commit' | 'tryCommit' | 'receiving' | 'arm'>

interface Expiry extends Due {
  readonly topic: Topic
}

export class LiteExpiry {
  readonly #context: ExpiryContext
  readonly #expiries = new DeadlineHeap<Expiry>()
  readonly #expiryOf = new Map<Topic, Expiry>()

  constructor(context: ExpiryContext) {
    this.#context = context
    for (const topic of context.state.topics.values()) this.watch(topic)
  }

  get due(): number {
    return this.#expiries.earliest
  }

  /** It is new, has its first lite topic, or expires at other times. */
  watch(topic: Topic): void {
    if (!topic.liteTopics) return
    const at = liteExpiresAt(topic)
    if (at === Number.POSITIVE_INFINITY) {
      this.forget(topic)
      return
    }
    let expiry = this.#expiryOf.get(topic)
    if (!expiry) {
      expiry = { topic, due: 0, heapIndex: -1 }
      this.#expiryOf.set(topic, expiry)
    }
    this.#expiries.set(expiry, at)
  }

  forget(topic: Topic): void {
    const expiry = this.#expiryOf.get(topic)
    if (expiry) this.#expiries.remove(expiry)
    this.#expiryOf.delete(topic)
  }

  /** All but a few lite topics of a LITE topic that is about to be removed: one event could hold up everything. */
  async empty(topic: Topic): Promise<void> {
    const { state, turns } = this.#context
    for (;;) {
      if (turns.isSpent) await turns.pause()
      if (state.topics.get(topic.settings.topicName) !== topic || !topic.liteTopics) return
      const event = decideLiteRemoved(topic, this.#context.now())
      if (!event) return
      this.#endPolls(event)
      this.#context.commit([event])
    }
  }

  #endPolls({ queueKeys }: LiteExpiredEvent): void {
    const { state, receiving } = this.#context
    for (const key of queueKeys)
      for (const subscription of state.queues.get(key)!.topic.subscriptions.values())
        receiving.endPolls(subscription, null)
  }

  /** One portion of what is over by now, with the polls that wait there. */
  expire(at: number): void {
    for (let expiry = this.#expiries.pop(at); expiry; expiry = this.#expiries.pop(at)) {
      const { topic } = expiry
      const event = decideLiteExpired(topic, at)
      if (event) {
        this.#endPolls(event)
        if (!this.#context.tryCommit([event])) {
          this.#expiries.set(expiry, at + limits.busyRetryMs)
          return
        }
      }
      this.watch(topic)
      this.#context.arm()
      if (event) return
    }
  }
}
