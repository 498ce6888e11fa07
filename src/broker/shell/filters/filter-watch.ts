/**
 * Reports when members of one group receive one topic by different filters: a message that one of them passes over is
 * passed over for the whole group, so the others miss it (data-plane §4.8). Nothing is refused, because a
 * rolling upgrade looks the same; it is logged once for each group.
 */
import type { ClientId } from '../../../model/ids.ts'
import type { Filter } from '../../core/filters/filter.ts'
import type { Group, Subscription } from '../../core/state.ts'

interface Seen {
  readonly filter: Filter
  readonly clientId: ClientId
}

export class FilterWatch {
  readonly #latest = new WeakMap<Subscription, Seen>()
  readonly #said = new WeakSet<Group>()

  /** The sentence to be said, the first time members differ; else null. `isHere` tells which members are still connected. */
  saw(
    subscription: Subscription,
    filter: Filter,
    clientId: ClientId,
    isHere: (clientId: ClientId) => boolean,
  ): string | null {
    const { group, topic } = subscription
    const before = this.#latest.get(subscription)
    if (before?.filter === filter && before.clientId === clientId) return null
    this.#latest.set(subscription, { filter, clientId })
    if (!before || before.clientId === clientId || this.#said.has(group)) return null
    if (same(before.filter, filter) || !isHere(before.clientId)) return null
    this.#said.add(group)
    return `Members of group ${group.settings.consumerGroupId} receive topic ${topic.settings.topicName} by different filters (${described(before.filter)}; ${described(filter)}): what one of them passes over is lost to the others. Let all members of a group subscribe alike.`
  }
}

function same(one: Filter, other: Filter): boolean {
  if (one === other) return true
  if (one === null || other === null) return false
  if ('sql' in one || 'sql' in other) return 'sql' in one && 'sql' in other && one.sql === other.sql
  return one.size === other.size && [...one].every((tag) => other.has(tag))
}

function described(filter: Filter): string {
  const text = filter === null ? '*' : 'sql' in filter ? filter.sql : [...filter].join(' || ')
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
