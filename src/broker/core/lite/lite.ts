/**
 * Lite topics: very many small queues, by name, inside one LITE topic (data-plane §5.7).
 *
 * A lite topic is made by its first message, durably with it, and removed when its last message is older than the
 * expiration, read or not. Each has one queue with a key of its own that is never used again, so retention, the index
 * and the orderly cursors treat it like any queue. A group's subscription to it is made by the group's first receive.
 *
 * Nothing here costs more with more lite topics: they are found by name, and lie in a list by the time of their
 * last message, of which only the head is looked at.
 */

import type { LiteTopicName } from '../../../model/ids.ts'
import { decideReset } from '../consuming/offsets.ts'
import { isYoung } from '../consuming/subscriptions.ts'
import type { BrokerEvent, LiteExpiredEvent, LiteSubscribedEvent, LiteTopicEvent, MessageEvent } from '../events.ts'
import { limits } from '../limits.ts'
import type { Refusal } from '../refusal.ts'
import { messageEvent, type Outgoing } from '../sending.ts'
import { type BrokerState, type Group, LiteTopic, makeSubscription, type Subscription, type Topic } from '../state.ts'
import { addLiteTopic, addSubscription, dropLiteTopic } from './lite-topics.ts'

export const liteCodes = { illegalName: 40020, tooManyTopics: 42901, tooManySubscriptions: 42902 } as const

const NAME = new RegExp(`^[a-zA-Z0-9_-]{1,${limits.liteTopicNameBytes}}$`)

export function refuseLiteName(liteTopic: LiteTopicName): Refusal | null {
  if (NAME.test(liteTopic)) return null
  const shown = JSON.stringify(liteTopic.length > 80 ? `${liteTopic.slice(0, 80)}…` : liteTopic)
  return {
    code: liteCodes.illegalName,
    message: `the lite topic ${shown} needs a name of 1 to ${limits.liteTopicNameBytes} letters, digits, "_" or "-"`,
  }
}

export interface LiteOutgoing extends Outgoing {
  readonly liteTopic: LiteTopicName
}

/** Messages into their lite topics, those made that are not there yet; or why there is no room for more of them. */
export function decideLiteSend(
  state: BrokerState,
  topic: Topic,
  messages: readonly LiteOutgoing[],
  at: number,
): { readonly made: LiteTopicEvent[]; readonly messages: MessageEvent[] } | Refusal {
  const { byName } = topic.liteTopics!
  const places = new Map<string, { readonly lite: LiteTopic; end: number }>()
  const made: LiteTopicEvent[] = []
  const written = messages.map((message) => {
    const { liteTopic } = message
    let place = places.get(liteTopic)
    if (!place) {
      let lite = byName.get(liteTopic)
      if (!lite) {
        const queueKey = state.nextQueueKey + made.length
        made.push({ type: 'lite-topic', topicKey: topic.firstQueueKey, liteTopic, queueKey, at })
        lite = new LiteTopic(topic, liteTopic, queueKey, at)
      }
      place = { lite, end: lite.queues[0].end }
      places.set(liteTopic, place)
    }
    return messageEvent(place.lite.queues[0], place.end++, message, null, at)
  })
  if (state.liteTopicCount + made.length > limits.liteTopics)
    return {
      code: liteCodes.tooManyTopics,
      message: `the instance has ${state.liteTopicCount} lite topics, and ${limits.liteTopics} are allowed; use fewer names, or let them expire sooner (liteTopicExpiration)`,
    }
  return { made, messages: written }
}

/** When the next lite topic of this LITE topic goes away; Infinity when none does. */
export function liteExpiresAt(topic: Topic): number {
  const afterMs = topic.settings.liteExpirationMs ?? null
  const oldest = topic.liteTopics?.byAge.first
  return afterMs === null || !oldest ? Number.POSITIVE_INFINITY : oldest.lastMs + afterMs
}

/** Its last message is old enough for it to go away. */
export function isOver(lite: LiteTopic, at: number): boolean {
  const afterMs = lite.settings.liteExpirationMs ?? null
  return afterMs !== null && lite.lastMs + afterMs <= at
}

/** Those that go away now, so many at a time; null when none does. */
export function decideLiteExpired(topic: Topic, at: number): LiteExpiredEvent | null {
  const afterMs = topic.settings.liteExpirationMs ?? null
  if (afterMs === null) return null
  const queueKeys: number[] = []
  let lite = topic.liteTopics?.byAge.first ?? null
  for (; lite && lite.lastMs + afterMs <= at && queueKeys.length < limits.liteTopicsPerStep; lite = lite.next)
    queueKeys.push(lite.firstQueueKey)
  return queueKeys.length === 0 ? null : { type: 'lite-expired', at, queueKeys }
}

/** Some lite topics of a LITE topic that is about to be removed; null when it is soon enough to remove the rest with it. */
export function decideLiteRemoved(topic: Topic, at: number): LiteExpiredEvent | null {
  const { byName, byAge } = topic.liteTopics!
  if (byName.size <= limits.liteTopicsPerStep) return null
  const queueKeys: number[] = []
  for (let lite = byAge.first; lite && queueKeys.length < limits.liteTopicsPerStep; lite = lite.next)
    queueKeys.push(lite.firstQueueKey)
  return { type: 'lite-expired', at, queueKeys }
}

/** Where a group begins in a lite topic: at the first message while it is young, as in any topic. */
export function decideLiteSubscribe(state: BrokerState, group: Group, lite: LiteTopic): LiteSubscribedEvent {
  const [queue] = lite.queues
  return {
    type: 'lite-subscribed',
    subscriptionId: state.nextSubscriptionId,
    consumerGroupId: group.settings.consumerGroupId,
    queueKey: queue.key,
    start: isYoung(lite) ? queue.begin : queue.visible,
  }
}

/**
 * The group's subscription of these lite topics moved, `places` saying where to by queue key; a subscription that is not
 * there begins there. A lite topic that is gone is passed over.
 */
export function decideLiteReset(
  state: BrokerState,
  group: Group,
  places: ReadonlyMap<number, number>,
): { readonly events: readonly BrokerEvent[]; readonly moved: readonly Subscription[] } {
  const { consumerGroupId, lite: binding } = group.settings
  const events: BrokerEvent[] = []
  const moved: Subscription[] = []
  let subscriptionId = state.nextSubscriptionId
  for (const [queueKey, place] of places) {
    const queue = state.queues.get(queueKey)
    if (!queue || binding?.topicName !== queue.topic.settings.topicName) continue
    const next = Math.min(Math.max(place, queue.begin), queue.end)
    const subscription = queue.topic.subscriptions.get(consumerGroupId)
    if (subscription) {
      moved.push(subscription)
      events.push(decideReset(subscription, null, new Map([[0, next]]))!)
    } else {
      events.push({ type: 'lite-subscribed', subscriptionId, consumerGroupId, queueKey, start: next })
      subscriptionId++
    }
  }
  return { events, moved }
}

/** Queues that are gone once the event is applied. */
export function queueKeysGoneBy(state: BrokerState, event: BrokerEvent): readonly number[] {
  if (event.type === 'lite-expired') return event.queueKeys
  if (event.type !== 'topic-removed') return []
  const topic = state.topics.get(event.topicName)
  const keys = topic?.queues.map(({ key }) => key) ?? []
  for (const lite of topic?.liteTopics?.byName.values() ?? []) keys.push(lite.firstQueueKey)
  return keys
}

export function applyLiteTopic(state: BrokerState, event: LiteTopicEvent): void {
  state.nextQueueKey = Math.max(state.nextQueueKey, event.queueKey + 1)
  const topic = state.queues.get(event.topicKey)?.topic
  if (topic?.liteTopics && !topic.liteTopics.byName.has(event.liteTopic))
    addLiteTopic(state, topic, event.liteTopic, event.queueKey, event.at)
}

export function applyLiteExpired(state: BrokerState, event: LiteExpiredEvent): void {
  if (event.at > state.lastAt) state.lastAt = event.at
  for (const key of event.queueKeys) {
    const lite = state.queues.get(key)?.topic
    if (lite instanceof LiteTopic) dropLiteTopic(state, lite)
  }
}

export function applyLiteSubscribed(state: BrokerState, event: LiteSubscribedEvent): void {
  state.nextSubscriptionId = Math.max(state.nextSubscriptionId, event.subscriptionId + 1)
  const group = state.groups.get(event.consumerGroupId)
  const lite = state.queues.get(event.queueKey)?.topic
  if (group && lite) addSubscription(state, makeSubscription(event.subscriptionId, group, lite, [event.start]))
}
