/**
 * SyncLiteSubscription: what a lite consumer subscribes to from now on, and at which offset its group continues.
 *
 * All or nothing: when the log has no room for what it moves, the client's lite subscriptions are as before.
 */
import type { ClientId, LiteTopicName } from '../../../model/ids.ts'
import type { LiteOffset, LiteSyncRequest } from '../../broker.ts'
import { decideReset, lowWater } from '../../core/consuming/offsets.ts'
import { isYoung } from '../../core/consuming/subscriptions.ts'
import type { LiteClient, LiteSubscriptions } from '../../core/lite/lite-subscriptions.ts'
import type { Group, Subscription, Topic } from '../../core/state.ts'
import { refuse, topicNotFound } from '../refusals.ts'
import { Semaphore } from '../semaphore.ts'
import type { LiteContext } from './lite-context.ts'
import { boundGroup, liteSubscriptionOf } from './lite-groups.ts'

export interface LiteSubscribingContext extends LiteContext {
  readonly clients: LiteSubscriptions
  catchUp(at: number): void
  /** The client of these names, made when it is new; throws a `BrokerRefusal` when there are too many. */
  client(group: Group, topic: Topic, clientId: ClientId, at: number): LiteClient
  serve(client: LiteClient): void
  /** Another client of its exclusive group has the lite topic now. */
  lost(clientId: ClientId, liteTopic: LiteTopicName): void
}

export class LiteSubscribing {
  readonly #context: LiteSubscribingContext
  /** Requests that wait for a later turn go on in the order in which they came: a full list has two thousand names, and many may come at once. */
  readonly #inOrder = new Semaphore(1)
  #queued = 0

  constructor(context: LiteSubscribingContext) {
    this.#context = context
  }

  /** Throws a `BrokerRefusal`: names (40020), quotas (42902), groups that are not bound to the topic (40000, 40403). */
  async sync(request: LiteSyncRequest): Promise<void> {
    const { turns } = this.#context
    if (this.#queued > 0 || turns.isSpent) {
      this.#queued++
      await this.#inOrder.run(() => turns.pause())
      this.#queued--
    }
    await this.#sync(request)
    await this.#context.durable()
  }

  async #sync(request: LiteSyncRequest): Promise<void> {
    const { clients, state } = this.#context
    const topic = state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    const group = boundGroup(state, topic, request.group)
    const { exclusive } = group.settings.lite!
    const at = this.#context.now()
    this.#context.catchUp(at)
    const client = this.#context.client(group, topic, request.clientId, at)
    const subscribed = clients.subscribe(client, request, exclusive, at)
    if ('code' in subscribed) throw refuse(subscribed)
    for (const { client: loser, liteTopic } of subscribed.evicted) this.#context.lost(loser.clientId, liteTopic)
    try {
      this.#begin(client, group, topic, subscribed.added)
      if (request.action === 'add' && request.offset !== null)
        for (const liteTopic of new Set(request.liteTopics)) await this.#place(group, topic, liteTopic, request.offset)
    } catch (error) {
      // The client repeats the request; the lite topics must then count as new, because only new ones are looked at.
      clients.subscribe(client, { action: 'remove', liteTopics: subscribed.added, version: null }, exclusive, at)
      throw error
    }
    this.#context.serve(client)
    this.#context.arm()
  }

  #begin(client: LiteClient, group: Group, topic: Topic, liteTopics: readonly LiteTopicName[]): void {
    for (const liteTopic of liteTopics) {
      const lite = topic.liteTopics!.byName.get(liteTopic)
      if (!lite) continue
      // An old lite topic is read from its end on: that is the end as it is now, not at the first receive.
      if (!isYoung(lite)) liteSubscriptionOf(this.#context, group, lite)
      client.ready.add(liteTopic)
    }
  }

  /** Moves the group's subscription to where a client asked for; a lite topic that is not there yet begins at its beginning anyway. */
  async #place(group: Group, topic: Topic, liteTopic: LiteTopicName, offset: LiteOffset): Promise<void> {
    const { index, state, turns } = this.#context
    const lite = topic.liteTopics!.byName.get(liteTopic)
    if (!lite) return
    const [queue] = lite.queues
    const { consumerGroupId } = group.settings
    const atTime = offset.from === 'time' ? await index.offsetAtTime(queue.key, offset.timeMs) : 0
    if (turns.isSpent) await turns.pause()
    if (state.queues.get(queue.key) !== queue || state.groups.get(consumerGroupId) !== group) return
    const wanted = placeOf(offset, queue, lite.subscriptions.get(consumerGroupId), atTime)
    if (wanted === null) return
    const next = Math.min(Math.max(wanted, queue.begin), queue.end)
    const subscription = liteSubscriptionOf(this.#context, group, lite)
    const [cursor] = subscription.cursors
    if (cursor!.next !== next || cursor!.leases.size > 0) {
      this.#context.commit([decideReset(subscription, null, new Map([[0, next]]))!])
      this.#context.moved(subscription)
    }
  }
}

/** Null where there is nothing to count from. */
function placeOf(
  offset: LiteOffset,
  queue: { readonly begin: number; readonly end: number },
  before: Subscription | undefined,
  atTime: number,
): number | null {
  switch (offset.from) {
    case 'first':
      return queue.begin
    case 'last':
      return queue.end
    case 'offset':
      return offset.offset
    case 'time':
      return atTime
    case 'tail':
      // Counted back from what the group is done with.
      return before ? lowWater(before.cursors[0]!) - offset.count : null
  }
}
