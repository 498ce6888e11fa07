/**
 * Clients by their settings: consumers with their group, producers with the topics they declare. Bounded in clients and in
 * topics; beyond the bound the oldest is forgotten.
 */
import type { ClientId, ConsumerGroupId, TopicName } from '../../model/ids.ts'

export interface ClientInfo {
  readonly clientId: ClientId
  readonly language: string | undefined
  readonly version: string | undefined
  /** The account it calls with; null where none is needed. */
  readonly userName: string | null
  /** Null for a producer. */
  readonly group: ConsumerGroupId | null
  readonly topics: readonly TopicName[]
  /** Resource namespace of its topics, as it writes it. */
  readonly namespace?: string
  /** Address it came from. */
  readonly address?: string
  /** Its settings' request timeout, where they have one. */
  readonly requestTimeoutMs?: number | null
}

const maxClients = 100_000
/** Topics that all clients declare together; beyond it the oldest client is forgotten, as beyond the number of clients. */
const maxDeclaredTopics = 200_000

export class KnownClients {
  readonly #onForgotten: (clientId: ClientId) => void
  /** Oldest first. */
  readonly #all = new Map<string, ClientInfo>()
  #declaredTopics = 0
  /** Ids of producers by topic; the first is next in turn. */
  readonly #producers = new Map<string, Set<string>>()

  /** `onForgotten` hears of each client that is known no more, for whatever reason. */
  constructor(onForgotten: (clientId: ClientId) => void) {
    this.#onForgotten = onForgotten
  }

  has(clientId: ClientId): boolean {
    return this.#all.has(clientId)
  }

  get(clientId: ClientId): ClientInfo | null {
    return this.#all.get(clientId) ?? null
  }

  list(): ClientInfo[] {
    return [...this.#all.values()]
  }

  /** It is new, or says anew what it is. */
  put(info: ClientInfo): void {
    const { clientId, group, topics } = info
    const before = this.#all.get(clientId)
    if (before !== undefined && before.group === group && sameTopics(before.topics, topics)) {
      this.#all.set(clientId, info)
      return
    }
    if (before === undefined && this.#all.size >= maxClients) this.forget(this.#all.keys().next().value!)
    this.#remove(clientId)
    while (this.#all.size > 0 && this.#declaredTopics + topics.length > maxDeclaredTopics)
      this.forget(this.#all.keys().next().value!)
    this.#declaredTopics += topics.length
    this.#all.set(clientId, info)
    if (group !== null) return
    for (const topic of topics) this.#producers.set(topic, (this.#producers.get(topic) ?? new Set()).add(clientId))
  }

  forget(clientId: ClientId): void {
    this.#remove(clientId)
    this.#onForgotten(clientId)
  }

  hasProducer(topicName: TopicName, canBeAsked: (clientId: ClientId) => boolean): boolean {
    for (const clientId of this.#producers.get(topicName) ?? []) if (canBeAsked(clientId)) return true
    return false
  }

  /** The next in turn of those that can be asked, or null. */
  nextProducerOf(topicName: TopicName, canBeAsked: (clientId: ClientId) => boolean): ClientInfo | null {
    const ofTopic = this.#producers.get(topicName)
    if (ofTopic === undefined) return null
    // Each one looked at goes to the end, so that the questions are spread.
    for (let looks = ofTopic.size; looks > 0; looks--) {
      const clientId = ofTopic.values().next().value!
      ofTopic.delete(clientId)
      ofTopic.add(clientId)
      if (canBeAsked(clientId)) return this.#all.get(clientId)!
    }
    return null
  }

  #remove(clientId: ClientId): void {
    const info = this.#all.get(clientId)
    if (info === undefined) return
    this.#all.delete(clientId)
    this.#declaredTopics -= info.topics.length
    if (info.group !== null) return
    for (const topic of info.topics) {
      const ofTopic = this.#producers.get(topic)
      ofTopic?.delete(clientId)
      if (ofTopic?.size === 0) this.#producers.delete(topic)
    }
  }
}

function sameTopics(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((topic, i) => topic === b[i])
}
