/**
 * Topics and groups as the management API wants them: made, changed and removed durably. Receives that wait on
 * what is removed end at once.
 */
import type { ConsumerGroupId, TopicName } from '../../model/ids.ts'
import type { GroupSpec, TopicSpec } from '../../model/instances.ts'
import type { AdministrationRole, BrokerSettings } from '../broker.ts'
import { decideGroup } from '../core/consumer-groups.ts'
import { retriesChanged } from '../core/consuming/deliveries.ts'
import { refuseDeleted } from '../core/deleted-groups.ts'
import type { BrokerEvent } from '../core/events.ts'
import { sameBinding } from '../core/lite/lite-topics.ts'
import type { Refusal } from '../core/refusal.ts'
import type { BrokerState, Subscription, Topic } from '../core/state.ts'
import { decideTopic } from '../core/topics.ts'
import { topicNotFound } from './refusals.ts'

export interface ConfigurationContext {
  readonly state: BrokerState
  now(): number
  commit(events: readonly BrokerEvent[]): void
  durable(): Promise<void>
  /** Deliveries of the subscription may be visible, or out of retries, that were not. */
  attend(subscription: Subscription): void
  /** Ends the receives that wait on the subscription: refused, or with nothing. */
  endPolls(subscription: Subscription, refusal: Refusal | null): void
  configure(settings: BrokerSettings): void
  /** There is more to do later than before. */
  arm(): void
  /** Removes most lite topics of a LITE topic that is about to be removed, a portion at a time. */
  emptyOfLiteTopics(topicName: TopicName): Promise<void>
  /** A LITE topic was made or changed. */
  topicChanged(topic: Topic): void
  topicGone(topic: Topic, refusal: Refusal): void
  /** The group is gone, or reads another LITE topic: `refusal` is for its clients that wait; null: they end with nothing. */
  groupGone(consumerGroupId: ConsumerGroupId, refusal: Refusal | null): void
}

export class Configuration implements AdministrationRole {
  readonly #context: ConfigurationContext
  readonly #state: BrokerState

  constructor(context: ConfigurationContext) {
    this.#context = context
    this.#state = context.state
  }

  configure(settings: BrokerSettings): void {
    this.#context.configure(settings)
    this.#context.arm()
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const spec of topics) {
      const event = decideTopic(this.#state, spec)
      if (!event) continue
      this.#context.commit([event])
      this.#context.topicChanged(this.#state.topics.get(spec.topicName)!)
    }
    await this.#context.durable()
  }

  async removeTopic(topicName: TopicName): Promise<void> {
    await this.#context.emptyOfLiteTopics(topicName)
    const topic = this.#state.topics.get(topicName)
    if (topic) {
      const lites = [...(topic.liteTopics?.byName.values() ?? [])]
      const readers = [topic, ...lites].flatMap(({ subscriptions }) => [...subscriptions.values()])
      this.#context.commit([{ type: 'topic-removed', topicName }])
      this.#context.topicGone(topic, topicNotFound(topicName))
      for (const subscription of readers) this.#context.endPolls(subscription, topicNotFound(topicName))
      this.#context.arm()
    }
    await this.#context.durable()
  }

  async ensureGroups(groups: readonly GroupSpec[]): Promise<void> {
    for (const spec of groups) {
      const event = decideGroup(this.#state, spec)
      if (!event) continue
      const before = this.#state.groups.get(spec.consumerGroupId)
      const subscriptions = [...(before?.subscriptions.values() ?? [])]
      const isBoundAnew = before !== undefined && !sameBinding(before.settings.lite ?? null, event.lite ?? null)
      this.#context.commit([event])
      if (isBoundAnew) {
        this.#context.groupGone(spec.consumerGroupId, null)
        for (const subscription of subscriptions) if (subscription.removed) this.#context.endPolls(subscription, null)
      }
      const group = this.#state.groups.get(spec.consumerGroupId)!
      retriesChanged(group)
      this.#context.arm()
      for (const subscription of group.subscriptions.values()) this.#context.attend(subscription)
    }
    await this.#context.durable()
  }

  async removeGroup(consumerGroupId: ConsumerGroupId): Promise<void> {
    const at = this.#context.now()
    const group = this.#state.groups.get(consumerGroupId)
    // A group that is not here may have been deleted before its making came this far: its name is refused all the same.
    if (group || !refuseDeleted(this.#state, consumerGroupId, at)) {
      const subscriptions = [...(group?.subscriptions.values() ?? [])]
      this.#context.commit([
        { type: 'time', at },
        { type: 'group-removed', consumerGroupId },
      ])
      const refusal = refuseDeleted(this.#state, consumerGroupId, at)
      this.#context.groupGone(consumerGroupId, refusal)
      for (const subscription of subscriptions) this.#context.endPolls(subscription, refusal)
      this.#context.arm()
    }
    await this.#context.durable()
  }
}
