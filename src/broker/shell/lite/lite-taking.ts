/**
 * What a lite consumer's receive gets: from the lite topics that are ready for its client, longest first, one orderly
 * batch each; or, asked for again by the attempt whose answer was lost, the same batches.
 *
 * A lite topic that was looked at is ready no longer: whatever happens there next makes it ready again.
 */
import { BrokerRefusal } from '../../../model/refusals.ts'
import { isRepeat } from '../../core/consuming/orderly.ts'
import type { DeliveryEvent } from '../../core/events.ts'
import { limits } from '../../core/limits.ts'
import { isOver, liteCodes } from '../../core/lite/lite.ts'
import type { LiteClient } from '../../core/lite/lite-subscriptions.ts'
import { codes } from '../../core/refusal.ts'
import type { Group, LiteTopic, Subscription, Topic } from '../../core/state.ts'
import type { LiteContext } from './lite-context.ts'
import { liteSubscriptionOf } from './lite-groups.ts'
import type { LitePoll } from './lite-polls.ts'

/** Polls of one client at a time, roughly: official push consumers have one. */
const attemptsRemembered = 16

export interface LiteBatch {
  readonly subscription: Subscription
  readonly leased: DeliveryEvent
}

/** When the client is to be served again, if it is. */
type ServeLater = (client: LiteClient, at: number) => void

export class LiteTaking {
  readonly #context: LiteContext
  readonly #serveLater: ServeLater
  /** What each client's latest attempts got something of, so that the same attempt finds it again. */
  readonly #latest = new WeakMap<LiteClient, Map<string, readonly Subscription[]>>()
  /** Subscriptions whose index entries are being read, by the client that waits for them. */
  readonly #loading = new Map<LiteClient, Set<Subscription>>()

  constructor(context: LiteContext, serveLater: ServeLater) {
    this.#context = context
    this.#serveLater = serveLater
  }

  isLoading(client: LiteClient): boolean {
    const subscriptions = this.#loading.get(client)
    if (!subscriptions) return false
    for (const subscription of subscriptions)
      if (!this.#context.receiving.isLoading(subscription)) subscriptions.delete(subscription)
    if (subscriptions.size === 0) this.#loading.delete(client)
    return subscriptions.size > 0
  }

  forget(client: LiteClient): void {
    this.#loading.delete(client)
  }

  isSubscribed(client: LiteClient, subscription: Subscription): boolean {
    return !subscription.removed && client.subscribed.has(subscription.topic.liteTopic)
  }

  /** Whether the poll asks for batches that its attempt was given before. */
  isRepeated(poll: LitePoll): boolean {
    if (poll.attemptId === '') return false
    const subscriptions = this.#latest.get(poll.client)?.get(poll.attemptId) ?? []
    return subscriptions.some(
      (subscription) => this.isSubscribed(poll.client, subscription) && isRepeat(subscription, poll.attemptId),
    )
  }

  takeRepeated(poll: LitePoll, at: number): LiteBatch[] {
    const batches: LiteBatch[] = []
    for (const subscription of this.#latest.get(poll.client)!.get(poll.attemptId)!) {
      if (!this.isSubscribed(poll.client, subscription) || !isRepeat(subscription, poll.attemptId)) continue
      const { events, leased } = this.#context.receiving.takeLite(subscription, poll, at)
      if (leased && this.#context.tryCommit(events)) batches.push({ subscription, leased })
    }
    return batches
  }

  /** Throws a `BrokerRefusal` (42902) when the group has no room for another lite topic and there is nothing else for it. */
  takeReady(poll: LitePoll, { group, topic, at }: { group: Group; topic: Topic; at: number }): LiteBatch[] {
    const { client } = poll
    const batches: LiteBatch[] = []
    let room = poll.max
    let looks: number = limits.scanStep
    const full: string[] = []
    let refusal: BrokerRefusal | null = null
    for (const liteTopic of client.ready) {
      if (room <= 0 || looks-- <= 0) break
      client.ready.delete(liteTopic)
      const lite = topic.liteTopics!.byName.get(liteTopic)
      if (!lite || isOver(lite, at)) continue
      const taken = this.#take(poll, { group, lite, room, at })
      if (taken === 'nothing') continue
      if (taken === 'later') {
        client.ready.add(liteTopic)
        break
      }
      if (taken instanceof BrokerRefusal) {
        full.push(liteTopic)
        refusal = taken
        continue
      }
      batches.push(taken)
      room -= taken.leased.entries.length
      // The batch of a lost answer is given again alone.
      if (taken.leased.type === 'locked' && taken.leased.repeated) break
    }
    for (const liteTopic of full) client.ready.add(liteTopic)
    if (refusal && batches.length === 0) throw refusal
    if (looks <= 0 && batches.length === 0 && client.ready.size > 0) this.#serveLater(client, at)
    return batches
  }

  /** The batches are what this attempt gets when it asks again. */
  remember({ client, attemptId }: LitePoll, batches: readonly LiteBatch[]): void {
    if (attemptId === '') return
    const latest = this.#latest.get(client) ?? new Map<string, readonly Subscription[]>()
    latest.delete(attemptId)
    latest.set(
      attemptId,
      batches.map(({ subscription }) => subscription),
    )
    if (latest.size > attemptsRemembered) latest.delete(latest.keys().next().value!)
    this.#latest.set(client, latest)
  }

  /** A refusal: there is no room for the subscription. `later`: the lite topic stays ready, the client is served again, and this receive takes no more. */
  #take(
    poll: LitePoll,
    { group, lite, room, at }: { group: Group; lite: LiteTopic; room: number; at: number },
  ): LiteBatch | BrokerRefusal | 'nothing' | 'later' {
    const { client } = poll
    const { receiving } = this.#context
    try {
      const subscription = liteSubscriptionOf(this.#context, group, lite)
      if (receiving.isLoading(subscription)) return 'nothing'
      const taken = receiving.takeLite(subscription, { ...poll, max: room }, at)
      if (taken.events.length > 0 && !this.#context.tryCommit(taken.events)) {
        this.#serveLater(client, at + limits.busyRetryMs)
        return 'later'
      }
      if (taken.leased && taken.leased.entries.length > 0) return { subscription, leased: taken.leased }
      if (taken.missing !== null) {
        this.#loading.set(client, (this.#loading.get(client) ?? new Set()).add(subscription))
        receiving.load(subscription, taken.missing)
      } else if (taken.unfinished) {
        this.#serveLater(client, at)
        return 'later'
      }
      return 'nothing'
    } catch (error) {
      if (error instanceof BrokerRefusal && error.code === liteCodes.tooManySubscriptions) return error
      if (!(error instanceof BrokerRefusal && error.code === codes.tooManyRequests)) this.#context.report(error)
      this.#serveLater(client, at + limits.busyRetryMs)
      return 'later'
    }
  }
}
