/**
 * Finds one message by its id: in a queue, a waiting timed message, an open half message, recalled or rolled back. Found
 * through the look-up index at a cost that does not grow with what is retained. It must never change state.
 */
import type { MessageId, TopicName } from '../../model/ids.ts'
import type { FoundMessage, MessageStatus, StoredMessage } from '../broker.ts'
import type { BrokerEvent, HalfEvent, MessageEvent, TimerStoredEvent } from '../core/events.ts'
import { idTerm, timerTerm, transactionTerm, unscopedIdTerm } from '../core/lookup-terms.ts'
import type { Topic } from '../core/state.ts'
import { type LogView, neighbours, type ReadContext, recordsAt, timeBefore } from './log-view.ts'
import { formatTransactionId } from './transactions.ts'

/** Records that name one id of one topic: a message that waited or was undecided has several, and dead letters keep theirs. */
const recordsOfOneId = 256
const neighboursLooked = 64

/** As the log names it, with its record. */
type Named = { readonly position: number; readonly event: MessageEvent | TimerStoredEvent | HalfEvent }

/** Null when the topic has no message of that id that is still retained and was stored from `fromMs` to `untilMs`, both included. */
export async function findMessage(
  context: LogView,
  request: {
    readonly topic: TopicName
    readonly messageId: MessageId
    readonly fromMs: number
    readonly untilMs: number
  },
): Promise<FoundMessage | null> {
  const topic = context.state.topics.get(request.topic)
  if (!topic) return null
  const named = await recordsNaming(context, topic, request.messageId)
  const deadLetters = named
    .filter(({ event }) => isDeadLetterOf(event, topic, request.messageId))
    .map(({ position }) => position)
  const inRange = named.filter(
    ({ event }) => event.storeTimeMs >= request.fromMs && event.storeTimeMs <= request.untilMs,
  )
  const timer = lastOf(named, 'timer-stored', ({ queueKey }) => queueKey === topic.firstQueueKey)
  const half = lastOf(named, 'half', ({ topicKey }) => topicKey === topic.firstQueueKey)
  const transactionId = half ? formatTransactionId(half.event) : null
  const before = {
    transactionId,
    dueMs: timer?.event.dueMs ?? null,
    storedFirstMs: firstStored(named, topic),
    deadLetters,
  }
  for (const { position, event } of inRange) {
    if (event.type !== 'message') continue
    const message = retained(context, topic, position, event)
    if (message) return { message, status: { state: 'stored' }, ...before }
  }
  const waiting = [half, timer].find((one) => one !== null && inRange.includes(one))
  if (!waiting) return null
  const status =
    waiting.event.type === 'half'
      ? await statusOfHalf(context, waiting.event)
      : await statusOfTimer(context, waiting.event)
  return status && { message: inNoQueue(waiting), status, ...before }
}

async function recordsNaming(context: LogView, topic: Topic, messageId: MessageId): Promise<Named[]> {
  const term = { ...idTerm(topic.firstQueueKey, messageId), before: unscopedIdTerm(messageId) }
  const positions = await context.lookups.find(term, context.log.first, recordsOfOneId)
  const named: Named[] = []
  for (const { position, event } of await recordsAt(context, positions))
    if (
      (event.type === 'message' || event.type === 'timer-stored' || event.type === 'half') &&
      event.messageId === messageId
    )
      named.push({ position, event })
  return named
}

/** A message of the topic, or of a lite topic in it, that no retention has taken and that is durable. */
export function retained(
  { state }: ReadContext,
  topic: Topic,
  position: number,
  event: MessageEvent,
): StoredMessage | null {
  const queue = state.queues.get(event.queueKey)
  if (!queue || (queue.topic.parent ?? queue.topic) !== topic) return null
  if (event.offset < queue.begin || event.offset >= queue.visible) return null
  return {
    messageId: event.messageId,
    tag: event.tag,
    bodyBytes: event.bodyBytes,
    storeTimeMs: event.storeTimeMs,
    payload: event.payload,
    deadLetterOf: event.origin,
    queueId: queue.id,
    offset: event.offset,
    liteTopic: queue.topic.liteTopic,
    position,
  }
}

/** A message that waits or is undecided; queue and offset say nothing. */
const inNoQueue = ({ position, event }: Named): StoredMessage => ({
  messageId: event.messageId,
  tag: event.tag,
  bodyBytes: event.bodyBytes,
  storeTimeMs: event.storeTimeMs,
  payload: event.payload,
  deadLetterOf: null,
  queueId: 0,
  offset: 0,
  liteTopic: '',
  position,
})

/** Null when its time came: what became of it then is another record, or retention has taken that. */
async function statusOfTimer(context: LogView, { timerId, dueMs }: TimerStoredEvent): Promise<MessageStatus | null> {
  if (context.state.timers.has(timerId)) return { state: 'waiting', dueMs }
  const end = await lastNeighbour(context, timerTerm(timerId), (event) =>
    event.type === 'timer-fired' || event.type === 'timer-recalled' ? event.timerIds.includes(timerId) : false,
  )
  return end?.event.type === 'timer-recalled'
    ? { state: 'recalled', at: await timeBefore(context, end.position) }
    : null
}

/** Null when it was committed: what became of it then is another record, or retention has taken that. */
async function statusOfHalf(context: LogView, { number }: HalfEvent): Promise<MessageStatus | null> {
  const open = context.state.transactions.open.get(number)
  if (open) return { state: 'undecided', checks: open.checks }
  const end = await lastNeighbour(context, transactionTerm(number), (event) =>
    event.type === 'transaction-ended' ? event.numbers.includes(number) : false,
  )
  if (end?.event.type !== 'transaction-ended' || end.event.resolution === 'commit') return null
  return { state: end.event.resolution === 'rollback' ? 'rolled-back' : 'expired', at: end.event.at }
}

async function lastNeighbour(
  context: LogView,
  term: ReturnType<typeof timerTerm>,
  isIt: (event: BrokerEvent) => boolean,
): Promise<{ readonly position: number; readonly event: BrokerEvent } | null> {
  const positions = await context.lookups.find(term, context.log.first, neighboursLooked)
  for (const from of positions.reverse())
    for await (const each of neighbours(context, from)) if (isIt(each.event)) return each
  return null
}

function firstStored(named: readonly Named[], topic: Topic): number | null {
  const first = named.find(({ event }) => event.type !== 'message' && keyOf(event) === topic.firstQueueKey)
  return first?.event.storeTimeMs ?? null
}

const keyOf = (event: TimerStoredEvent | HalfEvent): number => (event.type === 'half' ? event.topicKey : event.queueKey)

/** The latest record of the type: a message that waits is written again when retention wants its segment. */
function lastOf<T extends Named['event']['type']>(
  named: readonly Named[],
  type: T,
  isOfTopic: (event: Extract<Named['event'], { type: T }>) => boolean,
): (Named & { readonly event: Extract<Named['event'], { type: T }> }) | null {
  type Wanted = Named & { readonly event: Extract<Named['event'], { type: T }> }
  const of = named.filter((one): one is Wanted => one.event.type === type && isOfTopic((one as Wanted).event))
  return of.at(-1) ?? null
}

const isDeadLetterOf = (event: Named['event'], topic: Topic, messageId: MessageId): boolean =>
  event.type === 'message' &&
  event.origin?.messageId === messageId &&
  event.origin.topicName === topic.settings.topicName
