/** The metadata role: topics and groups as views. */
import type { ConsumerGroupId, TopicName } from '../../model/ids.ts'
import type { GroupView, MetadataRole, TopicView } from '../broker.ts'
import type { BrokerState } from '../core/state.ts'
import { groupView, topicView } from './views.ts'

export interface MetadataContext {
  readonly state: BrokerState
  maxDelayMs(): number
}

export class Metadata implements MetadataRole {
  readonly #context: MetadataContext

  constructor(context: MetadataContext) {
    this.#context = context
  }

  topic(topicName: TopicName): TopicView | null {
    const topic = this.#context.state.topics.get(topicName)
    return topic ? topicView(topic) : null
  }

  group(consumerGroupId: ConsumerGroupId): GroupView | null {
    const group = this.#context.state.groups.get(consumerGroupId)
    return group ? groupView(group) : null
  }

  topics(): TopicView[] {
    return Array.from(this.#context.state.topics.values(), topicView)
  }

  groups(): GroupView[] {
    return Array.from(this.#context.state.groups.values(), groupView)
  }

  unlistedGroups(): readonly ConsumerGroupId[] {
    return [...this.#context.state.unlistedGroups]
  }

  get maxDelayMs(): number {
    return this.#context.maxDelayMs()
  }
}
