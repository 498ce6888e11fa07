/**
 * Finds the subscription that a request names. A group's subscription is made on first use, and so is the group. A new
 * group delivers nothing until it is durable, because a power cut could undo it.
 */

import type { ConsumerGroupId, LiteTopicName, TopicName } from '../../../model/ids.ts'
import { defaultGroup } from '../../core/consumer-groups.ts'
import type { DeliveryName } from '../../core/consuming/handle.ts'
import { decideSubscribe } from '../../core/consuming/subscriptions.ts'
import { refuseDeleted } from '../../core/deleted-groups.ts'
import type { BrokerEvent } from '../../core/events.ts'
import { limits } from '../../core/limits.ts'
import { codes } from '../../core/refusal.ts'
import type { BrokerState, Group, Subscription, Topic } from '../../core/state.ts'
import { refuseSubscription } from '../../core/subscription-limits.ts'
import { refuse } from '../refusals.ts'

export interface SubscriptionsContext {
  readonly state: BrokerState
  now(): number
  /** How many groups the specification lets clients make by using them; null when it names no number. */
  maxGroupsMadeByUse(): number | null
  commit(events: readonly BrokerEvent[]): void
  /** The promise of what was committed last. */
  promised(): Promise<void>
}

export class Subscriptions {
  readonly #context: SubscriptionsContext
  readonly #state: BrokerState
  readonly #settling = new Map<Group, Promise<void>>()

  constructor(context: SubscriptionsContext) {
    this.#context = context
    this.#state = context.state
  }

  /** Made when it is new; throws a `BrokerRefusal` when it was deleted, and when there is no room for more. */
  group(consumerGroupId: ConsumerGroupId): Group {
    const known = this.#state.groups.get(consumerGroupId)
    if (known) return known
    const deleted = refuseDeleted(this.#state, consumerGroupId, this.#context.now())
    if (deleted) throw refuse(deleted)
    const most = Math.min(limits.groupsMadeByUse, this.#context.maxGroupsMadeByUse() ?? Number.POSITIVE_INFINITY)
    const { groupsMadeByUse } = this.#state
    if (groupsMadeByUse >= most)
      throw refuse({
        code: codes.tooManyRequests,
        message: `clients have made ${groupsMadeByUse} consumer groups by using them, and the instance's specification allows ${most} of that kind; create group ${consumerGroupId} with CreateConsumerGroup, use a group that exists, or delete groups that are not needed`,
      })
    this.#context.commit([{ type: 'group', ...defaultGroup(consumerGroupId) }])
    const group = this.#state.groups.get(consumerGroupId)!
    const settled = this.#context.promised()
    this.#settling.set(group, settled)
    settled.then(
      () => this.#settling.delete(group),
      () => {},
    )
    return group
  }

  /** Resolves when the group's creation is durable; nothing to wait for when it is. */
  settled(group: Group): Promise<void> | undefined {
    return this.#settling.get(group)
  }

  of(group: Group, topic: Topic): Subscription {
    const known = topic.subscriptions.get(group.settings.consumerGroupId)
    if (known) return known
    const refusal = refuseSubscription(this.#state, group)
    if (refusal) throw refuse(refusal)
    this.#context.commit([decideSubscribe(this.#state, group, topic)])
    return topic.subscriptions.get(group.settings.consumerGroupId)!
  }

  /** The subscription that a handle is of: of a LITE topic the group has many, and the handle says which. */
  find(
    request: { group: ConsumerGroupId; topic: TopicName },
    name: DeliveryName | null,
    liteTopic: LiteTopicName | null = null,
  ): Subscription | undefined {
    const topic = this.#state.topics.get(request.topic)
    if (!topic?.liteTopics) return topic?.subscriptions.get(request.group)
    const subscription = name ? this.#state.subscriptions.get(name.subscriptionId) : undefined
    if (
      !subscription ||
      subscription.topic.parent !== topic ||
      subscription.group.settings.consumerGroupId !== request.group
    )
      return
    return liteTopic === null || liteTopic === subscription.topic.liteTopic ? subscription : undefined
  }
}
