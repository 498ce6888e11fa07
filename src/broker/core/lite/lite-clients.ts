/**
 * Which client wants which lite topics, and which of those may have something for it.
 *
 * Volatile: subscriptions live with their clients, who repeat them every 30 seconds; a client that does not
 * for three minutes, or ends its session, has none any more (data-plane §5.7). What a group has read is in the state.
 *
 * In an exclusive group a lite topic has one client: who subscribes takes it from whoever had it. The one who lost
 * it does not get it back by repeating what it does not know to be old; it has to leave it out of a full
 * list once, or subscribe to it by name again.
 *
 * Cost: when a lite topic becomes ready, the work depends on how many clients of a group want that lite
 * topic, and on nothing else.
 */

import { limits } from '../limits.ts'
import type { Refusal } from '../refusal.ts'
import { DeadlineHeap, type Due } from '../structures/deadline-heap.ts'
import { liteCodes, refuseLiteName } from './lite.ts'

export type LiteAction = 'add' | 'remove' | 'replace' | 'clear'

export interface LiteSubscribe {
  readonly action: LiteAction
  readonly liteTopics: readonly string[]
  /** Rises with each full list; an older one that comes late changes nothing. Null: it is the newest. */
  readonly version: number | null
}

/** One client in one group. `due`: when it is forgotten unless it repeats its subscriptions. */
export interface LiteClient extends Due {
  readonly clientId: string
  readonly party: LiteParty
  readonly wants: Set<string>
  /** Taken by another client, and not left out of a full list since. */
  readonly lost: Set<string>
  /** Of what it wants, what may have something to deliver, longest first. */
  readonly ready: Set<string>
  version: number
}

/** The lite consumers of one group. */
export interface LiteParty {
  readonly group: string
  readonly topicName: string
  readonly clients: Map<string, LiteClient>
  readonly readers: Map<string, Set<LiteClient>>
}

export interface LiteSubscribed {
  /** What the client did not have before. */
  readonly added: readonly string[]
  readonly evicted: ReadonlyArray<{ readonly client: LiteClient; readonly liteTopic: string }>
}

export class LiteClients {
  readonly #parties = new Map<string, LiteParty>()
  readonly #partiesOf = new Map<string, Set<LiteParty>>()
  readonly #byId = new Map<string, Set<LiteClient>>()
  readonly #silence = new DeadlineHeap<LiteClient>()
  /** What all clients want together. */
  #wanted = 0

  /** When the next client is to be forgotten. */
  get silentAt(): number {
    return this.#silence.earliest
  }

  /** The client, made when it is new: it has three minutes to say what it wants. Null when there are too many. */
  client(group: string, topicName: string, clientId: string, at: number): LiteClient | null {
    const known = this.#parties.get(group)?.clients.get(clientId)
    if (known) return known
    if (this.#byId.size >= limits.clients) return null
    const party = this.#party(group, topicName)
    const made: LiteClient = {
      clientId,
      party,
      wants: new Set(),
      lost: new Set(),
      ready: new Set(),
      version: 0,
      due: 0,
      heapIndex: -1,
    }
    party.clients.set(clientId, made)
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
        for (const liteTopic of client.wants) this.#unwant(client, liteTopic)
        client.lost.clear()
        return NOTHING
      case 'remove':
        for (const liteTopic of asked) {
          this.#unwant(client, liteTopic)
          client.lost.delete(liteTopic)
        }
        return NOTHING
      case 'add':
        for (const liteTopic of asked) client.lost.delete(liteTopic)
        return this.#want(client, asked, exclusive)
      case 'replace':
        if (request.version !== null && request.version < client.version) return NOTHING
        if (request.version !== null) client.version = request.version
        for (const liteTopic of client.wants) if (!asked.has(liteTopic)) this.#unwant(client, liteTopic)
        for (const liteTopic of client.lost) if (!asked.delete(liteTopic)) client.lost.delete(liteTopic)
        return this.#want(client, asked, exclusive)
    }
  }

  /** Clients of the group that want the lite topic; who was served longest ago first. */
  readersOf(group: string, liteTopic: string): ReadonlySet<LiteClient> {
    return this.#parties.get(group)?.readers.get(liteTopic) ?? NOBODY
  }

  /** The groups that have clients on this LITE topic. */
  partiesOf(topicName: string): ReadonlySet<LiteParty> {
    return this.#partiesOf.get(topicName) ?? NO_PARTIES
  }

  /** It was given something: others who share the lite topic come first next time. */
  served(client: LiteClient, liteTopic: string): void {
    const readers = client.party.readers.get(liteTopic)
    if (readers && readers.size > 1 && readers.delete(client)) readers.add(client)
  }

  /** Forgets one that was silent too long; null when there is none (any more) at this time. */
  forgetSilent(at: number): LiteClient | null {
    const client = this.#silence.pop(at)
    if (client) this.forget(client)
    return client
  }

  byId(clientId: string): readonly LiteClient[] {
    return [...(this.#byId.get(clientId) ?? [])]
  }

  ofGroup(group: string): readonly LiteClient[] {
    return [...(this.#parties.get(group)?.clients.values() ?? [])]
  }

  all(): readonly LiteClient[] {
    return [...this.#byId.values()].flatMap((clients) => [...clients])
  }

  forget(client: LiteClient): void {
    const { party, clientId } = client
    for (const liteTopic of client.wants) this.#unwant(client, liteTopic)
    this.#silence.remove(client)
    const same = this.#byId.get(clientId)
    same?.delete(client)
    if (same?.size === 0) this.#byId.delete(clientId)
    if (party.clients.get(clientId) === client) party.clients.delete(clientId)
    if (party.clients.size > 0 || this.#parties.get(party.group) !== party) return
    this.#parties.delete(party.group)
    const parties = this.#partiesOf.get(party.topicName)
    parties?.delete(party)
    if (parties?.size === 0) this.#partiesOf.delete(party.topicName)
  }

  #party(group: string, topicName: string): LiteParty {
    const known = this.#parties.get(group)
    if (known) return known
    const made: LiteParty = { group, topicName, clients: new Map(), readers: new Map() }
    this.#parties.set(group, made)
    this.#partiesOf.set(topicName, (this.#partiesOf.get(topicName) ?? new Set()).add(made))
    return made
  }

  #refuse(client: LiteClient, asked: ReadonlySet<string>, action: 'add' | 'replace'): Refusal | null {
    for (const liteTopic of asked) {
      const refusal = refuseLiteName(liteTopic)
      if (refusal) return refusal
    }
    let added = 0
    for (const liteTopic of asked) if (!client.wants.has(liteTopic)) added++
    const then = action === 'add' ? client.wants.size + added : asked.size
    const most = limits.liteSubscriptionsPerClient
    if (then > most)
      return {
        code: liteCodes.tooManySubscriptions,
        message: `client ${client.clientId} would subscribe to ${then} lite topics, and group ${client.party.group} allows a client ${most}; unsubscribe from some, or share them among more clients`,
      }
    if (this.#wanted + added > limits.liteSubscriptions)
      return {
        code: liteCodes.tooManySubscriptions,
        message: `the clients of this instance subscribe to ${this.#wanted} lite topics, and ${limits.liteSubscriptions} are allowed; unsubscribe from some first`,
      }
    return null
  }

  #want(client: LiteClient, asked: ReadonlySet<string>, exclusive: boolean): LiteSubscribed {
    const added: string[] = []
    const evicted: Array<{ client: LiteClient; liteTopic: string }> = []
    const { readers } = client.party
    for (const liteTopic of asked) {
      if (client.wants.has(liteTopic)) continue
      if (exclusive)
        for (const other of [...(readers.get(liteTopic) ?? [])]) {
          this.#unwant(other, liteTopic)
          other.lost.add(liteTopic)
          evicted.push({ client: other, liteTopic })
        }
      client.wants.add(liteTopic)
      readers.set(liteTopic, (readers.get(liteTopic) ?? new Set()).add(client))
      this.#wanted++
      added.push(liteTopic)
    }
    return { added, evicted }
  }

  #unwant(client: LiteClient, liteTopic: string): void {
    if (!client.wants.delete(liteTopic)) return
    client.ready.delete(liteTopic)
    this.#wanted--
    const same = client.party.readers.get(liteTopic)
    same?.delete(client)
    if (same?.size === 0) client.party.readers.delete(liteTopic)
  }
}

const NOTHING: LiteSubscribed = { added: [], evicted: [] }
const NOBODY: ReadonlySet<LiteClient> = new Set()
const NO_PARTIES: ReadonlySet<LiteParty> = new Set()
