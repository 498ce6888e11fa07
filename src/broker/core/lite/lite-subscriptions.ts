/**
 * Lite subscriptions: which client subscribes to which lite topics, and which of those are ready, that is, may have a
 * message for it.
 *
 * Volatile: a client repeats its lite subscriptions every 30 seconds; one that does not for three minutes, or that
 * terminates, has none any more (data-plane §5.7). A group's progress in a lite topic is in the state.
 *
 * In an exclusive group a lite topic has one client: the one that subscribed last. The client that lost it does not get
 * it back by repeating an old full list; it has to leave it out of a full list once, or subscribe to it by name again.
 *
 * Cost: a change of a lite topic costs something for each client of a group that subscribes to it, and nothing else.
 */
import type { ClientId, ConsumerGroupId, LiteTopicName, TopicName } from '../../../model/ids.ts'
import { limits } from '../limits.ts'
import type { Refusal } from '../refusal.ts'
import { DeadlineHeap, type Due } from '../structures/deadline-heap.ts'
import { liteCodes, refuseLiteName } from './lite.ts'

export type LiteAction = 'add' | 'remove' | 'replace' | 'clear'

export interface LiteSubscribe {
  readonly action: LiteAction
  readonly liteTopics: readonly LiteTopicName[]
  /** Rises with each full list; an older one that comes late changes nothing. Null: it is the newest. */
  readonly version: number | null
}

/** One client in one group. `due`: when it is forgotten unless it repeats its lite subscriptions. */
export interface LiteClient extends Due {
  readonly clientId: ClientId
  readonly group: LiteGroup
  /** Lite topics it subscribes to. */
  readonly subscribed: Set<string>
  /** Taken by another client, and not left out of a full list since. */
  readonly lost: Set<string>
  /** Of these, what may have something to deliver, longest first. */
  readonly ready: Set<string>
  version: number
}

/** The lite consumers of one group. */
export interface LiteGroup {
  readonly consumerGroupId: ConsumerGroupId
  readonly topicName: TopicName
  readonly clients: Map<string, LiteClient>
  readonly readers: Map<string, Set<LiteClient>>
}

export interface LiteSubscribed {
  /** What the client did not have before. */
  readonly added: readonly string[]
  readonly evicted: ReadonlyArray<{ readonly client: LiteClient; readonly liteTopic: LiteTopicName }>
}

export class LiteSubscriptions {
  readonly #groups = new Map<string, LiteGroup>()
  readonly #groupsOf = new Map<string, Set<LiteGroup>>()
  readonly #byId = new Map<string, Set<LiteClient>>()
  readonly #silence = new DeadlineHeap<LiteClient>()
  /** Lite subscriptions of all clients together. */
  #count = 0

  /** When the next client is to be forgotten. */
  get silentAt(): number {
    return this.#silence.earliest
  }

  /** The client, made when it is new: it has three minutes to subscribe. Null when there are too many. */
  client(consumerGroupId: ConsumerGroupId, topicName: TopicName, clientId: ClientId, at: number): LiteClient | null {
    const known = this.#groups.get(consumerGroupId)?.clients.get(clientId)
    if (known) return known
    if (this.#byId.size >= limits.clients) return null
    const group = this.#groupOf(consumerGroupId, topicName)
    const made: LiteClient = {
      clientId,
      group,
      subscribed: new Set(),
      lost: new Set(),
      ready: new Set(),
      version: 0,
      due: 0,
      heapIndex: -1,
    }
    group.clients.set(clientId, made)
    this.#byId.set(clientId, (this.#byId.get(clientId) ?? new Set()).add(made))
    this.#silence.set(made, at + limits.liteSilenceMs)
    return made
  }

  /** All or nothing. */
  subscribe(client: LiteClient, request: LiteSubscribe, exclusive: boolean, at: number): LiteSubscribed | Refusal {
    const { action } = request
    const asked = new Set(request.liteTopics)
    if (action === 'add' || action === 'replace') {
      const refusal = this.#refuse(client, asked, action)
      if (refusal) return refusal
    }
    this.#silence.set(client, at + limits.liteSilenceMs)
    switch (action) {
      case 'clear':
        for (const liteTopic of client.subscribed) this.#remove(client, liteTopic)
        client.lost.clear()
        return NOTHING
      case 'remove':
        for (const liteTopic of asked) {
          this.#remove(client, liteTopic)
          client.lost.delete(liteTopic)
        }
        return NOTHING
      case 'add':
        for (const liteTopic of asked) client.lost.delete(liteTopic)
        return this.#add(client, asked, exclusive)
      case 'replace':
        if (request.version !== null && request.version < client.version) return NOTHING
        if (request.version !== null) client.version = request.version
        for (const liteTopic of client.subscribed) if (!asked.has(liteTopic)) this.#remove(client, liteTopic)
        for (const liteTopic of client.lost) if (!asked.delete(liteTopic)) client.lost.delete(liteTopic)
        return this.#add(client, asked, exclusive)
    }
  }

  /** Clients of the group that subscribe to the lite topic; who was served longest ago first. */
  readersOf(consumerGroupId: ConsumerGroupId, liteTopic: LiteTopicName): ReadonlySet<LiteClient> {
    return this.#groups.get(consumerGroupId)?.readers.get(liteTopic) ?? NOBODY
  }

  /** The groups that have clients on this LITE topic. */
  groupsOf(topicName: TopicName): ReadonlySet<LiteGroup> {
    return this.#groupsOf.get(topicName) ?? NO_GROUPS
  }

  /** It was given something: others who share the lite topic come first next time. */
  served(client: LiteClient, liteTopic: LiteTopicName): void {
    const readers = client.group.readers.get(liteTopic)
    if (readers && readers.size > 1 && readers.delete(client)) readers.add(client)
  }

  /** Forgets one that was silent too long; null when there is none (any more) at this time. */
  forgetSilent(at: number): LiteClient | null {
    const client = this.#silence.pop(at)
    if (client) this.forget(client)
    return client
  }

  byId(clientId: ClientId): readonly LiteClient[] {
    return [...(this.#byId.get(clientId) ?? [])]
  }

  ofGroup(consumerGroupId: ConsumerGroupId): readonly LiteClient[] {
    return [...(this.#groups.get(consumerGroupId)?.clients.values() ?? [])]
  }

  all(): readonly LiteClient[] {
    return [...this.#byId.values()].flatMap((clients) => [...clients])
  }

  forget(client: LiteClient): void {
    const { group, clientId } = client
    for (const liteTopic of client.subscribed) this.#remove(client, liteTopic)
    this.#silence.remove(client)
    const same = this.#byId.get(clientId)
    same?.delete(client)
    if (same?.size === 0) this.#byId.delete(clientId)
    if (group.clients.get(clientId) === client) group.clients.delete(clientId)
    if (group.clients.size > 0 || this.#groups.get(group.consumerGroupId) !== group) return
    this.#groups.delete(group.consumerGroupId)
    const others = this.#groupsOf.get(group.topicName)
    others?.delete(group)
    if (others?.size === 0) this.#groupsOf.delete(group.topicName)
  }

  #groupOf(consumerGroupId: ConsumerGroupId, topicName: TopicName): LiteGroup {
    const known = this.#groups.get(consumerGroupId)
    if (known) return known
    const made: LiteGroup = { consumerGroupId, topicName, clients: new Map(), readers: new Map() }
    this.#groups.set(consumerGroupId, made)
    this.#groupsOf.set(topicName, (this.#groupsOf.get(topicName) ?? new Set()).add(made))
    return made
  }

  #refuse(client: LiteClient, asked: ReadonlySet<string>, action: 'add' | 'replace'): Refusal | null {
    for (const liteTopic of asked) {
      const refusal = refuseLiteName(liteTopic)
      if (refusal) return refusal
    }
    let added = 0
    for (const liteTopic of asked) if (!client.subscribed.has(liteTopic)) added++
    const then = action === 'add' ? client.subscribed.size + added : asked.size
    const most = limits.liteSubscriptionsPerClient
    if (then > most)
      return {
        code: liteCodes.tooManySubscriptions,
        message: `client ${client.clientId} would subscribe to ${then} lite topics, and group ${client.group.consumerGroupId} allows a client ${most}; unsubscribe from some, or share them among more clients`,
      }
    if (this.#count + added > limits.liteSubscriptions)
      return {
        code: liteCodes.tooManySubscriptions,
        message: `the clients of this instance subscribe to ${this.#count} lite topics, and ${limits.liteSubscriptions} are allowed; unsubscribe from some first`,
      }
    return null
  }

  #add(client: LiteClient, asked: ReadonlySet<string>, exclusive: boolean): LiteSubscribed {
    const added: string[] = []
    const evicted: Array<{ client: LiteClient; liteTopic: LiteTopicName }> = []
    const { readers } = client.group
    for (const liteTopic of asked) {
      if (client.subscribed.has(liteTopic)) continue
      if (exclusive)
        for (const other of [...(readers.get(liteTopic) ?? [])]) {
          this.#remove(other, liteTopic)
          other.lost.add(liteTopic)
          evicted.push({ client: other, liteTopic })
        }
      client.subscribed.add(liteTopic)
      readers.set(liteTopic, (readers.get(liteTopic) ?? new Set()).add(client))
      this.#count++
      added.push(liteTopic)
    }
    return { added, evicted }
  }

  #remove(client: LiteClient, liteTopic: LiteTopicName): void {
    if (!client.subscribed.delete(liteTopic)) return
    client.ready.delete(liteTopic)
    this.#count--
    const same = client.group.readers.get(liteTopic)
    same?.delete(client)
    if (same?.size === 0) client.group.readers.delete(liteTopic)
  }
}

const NOTHING: LiteSubscribed = { added: [], evicted: [] }
const NOBODY: ReadonlySet<LiteClient> = new Set()
const NO_GROUPS: ReadonlySet<LiteGroup> = new Set()
