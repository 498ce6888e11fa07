/**
 * The history of a message, read from the log: deliveries, other deadlines, acknowledgements, and its dead letters.
 *
 * Nothing is recorded for this. The look-up index says where deliveries of the message's neighbourhood lie, and only
 * those places are read: the cost follows what happened to the message and its neighbours, not what is retained. It must
 * never change state.
 */
import type { TopicName } from '../../model/ids.ts'
import type { FoundMessage, Incident } from '../broker.ts'
import { formatName } from '../core/consuming/handle.ts'
import type { BrokerEvent, MessageName } from '../core/events.ts'
import { deliveryTerm, neighbourBytes } from '../core/lookup-terms.ts'
import type { Subscription, Topic } from '../core/state.ts'
import { type LogView, neighbours, type Recorded, timeBefore, timeOf } from './log-view.ts'

/** What one answer holds, and places of the log that are read for one group. */
const incidentsPerMessage = 1_000
const placesPerGroup = 4_096
const placesAtOnce = 8

interface Happened {
  readonly position: number
  readonly incident: Incident
}

/**
 * In the order of the log. The time of an acknowledgement is the latest that the log says before it, at most a second
 * earlier. Of a message to which more happened than a thousand things, the first thousand.
 */
export async function historyOf(context: LogView, topicName: TopicName, found: FoundMessage): Promise<Incident[]> {
  const { message } = found
  const named = context.state.topics.get(topicName)
  const topic = named?.liteTopics?.byName.get(message.liteTopic) ?? named
  if (!topic || found.status.state !== 'stored') return []
  const happened = new Map<number, Incident>()
  const moves = new Set<number>()
  for (const position of found.deadLetters) {
    const moved = await deadLetterAt(context, topic, message, position)
    if (!moved) continue
    happened.set(position, moved.incident)
    if (moved.position !== null) moves.add(moved.position)
  }
  for (const subscription of topic.subscriptions.values())
    for (const { position, incident } of await deliveriesOf(context, subscription, message, moves))
      if (happened.size < incidentsPerMessage) happened.set(position, incident)
  return [...happened].sort(([a], [b]) => a - b).map(([, incident]) => incident)
}

/**
 * The copy among the dead letters, and the record right behind it: that which says that the group is done with the
 * message. It is no acknowledgement of a client.
 */
async function deadLetterAt(
  context: LogView,
  topic: Topic,
  message: MessageName,
  position: number,
): Promise<{ readonly incident: Incident; readonly position: number | null } | null> {
  const records: Recorded[] = []
  for await (const each of neighbours(context, position)) if (records.push(each) === 2) break
  const [copy, done] = records
  if (copy?.event.type !== 'message') return null
  const event = done?.event
  const subscription =
    // Older programs wrote an acknowledgement there.
    (event?.type === 'passed-over' || event?.type === 'acked') && event.entries.some((name) => isNamed(message, name))
      ? subscriptionOf(topic, event.subscriptionId)
      : null
  return {
    incident: {
      what: 'dead-letter',
      group: subscription?.group.settings.consumerGroupId ?? null,
      at: copy.event.storeTimeMs,
      topic: context.state.queues.get(copy.event.queueKey)?.topic.settings.topicName ?? null,
    },
    position: subscription ? done!.position : null,
  }
}

async function deliveriesOf(
  context: LogView,
  subscription: Subscription,
  message: MessageName & { readonly position: number },
  moves: ReadonlySet<number>,
): Promise<Happened[]> {
  const term = deliveryTerm(subscription.id, message.queueId, message.offset)
  // A place may lie before the message: its neighbours were delivered there.
  const places = await context.lookups.find(term, message.position - neighbourBytes, placesPerGroup)
  const found: Happened[] = []
  for (let at = 0; at < places.length && found.length < incidentsPerMessage; at += placesAtOnce) {
    const some = places.slice(at, at + placesAtOnce)
    found.push(
      ...(await Promise.all(some.map((place) => deliveriesAt(context, subscription, message, moves, place)))).flat(),
    )
  }
  return found
}

async function deliveriesAt(
  context: LogView,
  subscription: Subscription,
  message: MessageName,
  moves: ReadonlySet<number>,
  place: number,
): Promise<Happened[]> {
  const found: Happened[] = []
  let known: number | null = null
  for await (const { position, event } of neighbours(context, place)) {
    known = timeOf(event) ?? known
    if (!isAbout(event, subscription.id, message) || moves.has(position)) continue
    known ??= await timeBefore(context, position)
    const incident = incidentOf(event, subscription, message, known)
    if (incident) found.push({ position, incident })
  }
  return found
}

function isAbout(event: BrokerEvent, subscriptionId: number, message: MessageName): boolean {
  switch (event.type) {
    case 'leased':
    case 'locked':
    case 'acked':
    case 'acked-out-of-order':
    case 'passed-over':
    case 'deadline':
      return event.subscriptionId === subscriptionId && event.entries.some((name) => isNamed(message, name))
    default:
      return false
  }
}

function incidentOf(
  event: BrokerEvent,
  { group, id }: Subscription,
  message: MessageName & { readonly storeTimeMs?: number },
  known: number | null,
): Incident | null {
  const consumerGroupId = group.settings.consumerGroupId
  const at = known ?? message.storeTimeMs ?? 0
  switch (event.type) {
    case 'leased':
    case 'locked': {
      const { attempt } = event.entries.find((name) => isNamed(message, name))!
      const { queueId, offset } = message
      return {
        what: 'delivered',
        group: consumerGroupId,
        at: event.at,
        attempt,
        clientId: event.owner,
        userName: event.userName,
        untilMs: event.deadline,
        handle: formatName({ subscriptionId: id, queueId, offset, attempt, session: event.session }),
      }
    }
    case 'deadline':
      return event.returned
        ? { what: 'returned', group: consumerGroupId, at }
        : { what: 'deadline', group: consumerGroupId, at, untilMs: event.deadline }
    case 'acked':
    case 'acked-out-of-order':
      return { what: 'acknowledged', group: consumerGroupId, at }
    case 'passed-over':
      // The copy is not there any more, or it would be among the dead letters found.
      return event.reason === 'dead-letter'
        ? { what: 'dead-letter', group: consumerGroupId, at, topic: null }
        : { what: 'passed-over', group: consumerGroupId, at, reason: event.reason }
    default:
      return null
  }
}

const isNamed = (message: MessageName, { queueId, offset }: MessageName): boolean =>
  queueId === message.queueId && offset === message.offset

function subscriptionOf(topic: Topic, subscriptionId: number): Subscription | null {
  for (const subscription of topic.subscriptions.values()) if (subscription.id === subscriptionId) return subscription
  return null
}
