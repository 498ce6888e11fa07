/**
 * Looking at stored messages without consuming them, and at what became of one.
 *
 * Every call does bounded work: so many messages looked at, so many bytes read; where it stopped is in the answer, and
 * the next call goes on from there. Nothing is recorded for this: messages are found through the index by time, and
 * deliveries and acknowledgements are events of the log behind the message. It must never change state.
 */
import type { BrowsePage, BrowseRequest, Incident, StoredMessage } from '../broker.ts'
import type { Entries } from '../core/consuming/take.ts'
import { decodeEvent, isDeliveryRecord } from '../core/event-codec.ts'
import type { MessageEvent } from '../core/events.ts'
import type { BrokerState, LiteTopic, Queue, Topic } from '../core/state.ts'
import type { SegmentLog } from '../log/contract.ts'
import { isDamage } from '../log/errors.ts'
import type { PersistentQueueIndex } from '../log/queue-index.ts'
import type { TurnBudget } from './turn-budget.ts'

/** Messages one call looks at, and bytes it reads, before it says where it stopped. */
const messagesPerCall = 50_000
const bytesPerCall = 128 * 2 ** 20
/** Lite topics one call looks into; where it counts, further ones count with all they have, whatever the time. */
const liteTopicsPerCall = 10_000
/** Index entries of a queue fetched at a time, and messages read at a time. */
const entriesAhead = 256
const messagesAhead = 32
/** Of the log behind a message, looked through for what became of it; and what one answer holds. */
const historyBytes = 512 * 2 ** 20
const incidentsPerMessage = 1_000

export interface BrowseContext {
  readonly state: BrokerState
  readonly log: SegmentLog
  readonly index: PersistentQueueIndex
  readonly turns: TurnBudget
  report(error: unknown): void
}

/** Null when there is no such topic. */
export async function browse(context: BrowseContext, request: BrowseRequest): Promise<BrowsePage | null> {
  const topic = context.state.topics.get(request.topic)
  if (!topic) return null
  return topic.liteTopics ? browseLite(context, topic, request) : browseQueues(context, topic, request)
}

/** Messages stored from `fromMs` to `untilMs`, both included, in order of time. */
async function browseQueues(context: BrowseContext, topic: Topic, request: BrowseRequest): Promise<BrowsePage> {
  const cursors = await Promise.all(topic.queues.map((queue) => cursorOf(context, queue, request)))
  const total = cursors.reduce((sum, { first, end }) => sum + Math.max(0, end - first), 0)
  const found: StoredMessage[] = []
  let skip = request.skip
  let looked = 0
  let bytes = 0
  while (found.length < request.limit && looked < messagesPerCall && bytes < bytesPerCall) {
    if (context.turns.isSpent) await context.turns.pause()
    const batch = await nextEntries(
      context,
      cursors,
      request.matches ? messagesAhead : Math.max(1, Math.min(messagesAhead, skip + request.limit - found.length)),
    )
    if (batch.length === 0) return { messages: found, total, next: null }
    looked += batch.length
    // Without a condition those to be skipped need not be read.
    const unread = request.matches ? 0 : Math.min(skip, batch.length)
    skip -= unread
    const wanted = batch.slice(unread)
    const records = await readEach(
      context,
      wanted.map(({ position }) => position),
    )
    for (let i = 0; i < wanted.length; i++) {
      const record = records[i]!
      if (record === null) continue
      bytes += record.length
      const message = stored(wanted[i]!, decodeEvent(record) as MessageEvent, topic)
      if (request.matches && !request.matches(message)) continue
      if (skip > 0) {
        skip--
        continue
      }
      found.push(message)
      if (found.length === request.limit) {
        // What was fetched behind it belongs to the next page.
        for (const later of wanted.slice(i + 1))
          cursors[later.queueId]!.next = Math.min(cursors[later.queueId]!.next, later.offset)
        break
      }
    }
  }
  const more = cursors.some(({ next, end }) => next < end)
  return { messages: found, total, next: more ? cursors.map(({ next }) => next) : null }
}

/** As `browseQueues` over the lite topics, in the order in which they were made, each by time; `next` names a queue and an offset of it. */
async function browseLite(context: BrowseContext, topic: Topic, request: BrowseRequest): Promise<BrowsePage> {
  const [fromKey = 0, offset = 0] = request.after ?? []
  const wanted = [...(topic.liteTopics?.byName.values() ?? [])].filter(
    ({ liteTopic, lastMs }) => lastMs >= request.fromMs && (request.liteTopic ?? liteTopic) === liteTopic,
  )
  const total = await countLite(context, wanted, request)
  const found: StoredMessage[] = []
  const most = request.skip + request.limit
  let looked = 0
  let topics = 0
  for (const lite of wanted) {
    const key = lite.firstQueueKey
    if (key < fromKey) continue
    if (context.turns.isSpent) await context.turns.pause()
    const page = (next: readonly number[]): BrowsePage => ({ messages: found.slice(request.skip), total, next })
    if (found.length >= most || looked >= messagesPerCall || topics++ >= liteTopicsPerCall) return page([key, 0])
    const after = key === fromKey ? [offset] : null
    const some = await browseQueues(context, lite, { ...request, after, skip: 0, limit: most - found.length })
    found.push(...some.messages)
    looked += some.total
    if (some.next) return page([key, some.next[0]!])
  }
  return { messages: found.slice(request.skip), total, next: null }
}

async function countLite(
  context: BrowseContext,
  wanted: readonly LiteTopic[],
  request: BrowseRequest,
): Promise<number> {
  let total = 0
  for (const { queues } of wanted.slice(0, liteTopicsPerCall)) {
    if (context.turns.isSpent) await context.turns.pause()
    const { first, end } = await cursorOf(context, queues[0], { ...request, after: null })
    total += Math.max(0, end - first)
  }
  for (const { queues } of wanted.slice(liteTopicsPerCall)) total += queues[0].visible - queues[0].begin
  return total
}

/** Null for one that is damaged, or that retention took meanwhile: whoever looks for the others finds them. */
async function readEach(context: BrowseContext, positions: readonly number[]): Promise<Array<Uint8Array | null>> {
  try {
    return await context.log.readMany(positions)
  } catch (error) {
    if (!isDamage(error)) throw error
    if (positions.length === 1) {
      context.report(new Error('A message cannot be shown; the others are.', { cause: error }))
      return [null]
    }
    const each: Array<Uint8Array | null> = []
    for (const position of positions) each.push(...(await readEach(context, [position])))
    return each
  }
}

interface Cursor {
  readonly queue: Queue
  readonly first: number
  readonly end: number
  next: number
  entries: Entries | null
}

async function cursorOf({ index }: BrowseContext, queue: Queue, request: BrowseRequest): Promise<Cursor> {
  const bound = async (timeMs: number): Promise<number> =>
    Math.max(queue.begin, Math.min(await index.offsetAtTime(queue.key, timeMs), queue.visible))
  const first = await bound(request.fromMs)
  const end = await bound(request.untilMs + 1)
  const next = Math.max(first, request.after?.[queue.id] ?? first)
  return { queue, first, end, next, entries: null }
}

interface Entry {
  readonly queueId: number
  readonly offset: number
  readonly position: number
  readonly storeTimeMs: number
}

/** The next messages of all queues by time. */
async function nextEntries({ index }: BrowseContext, cursors: readonly Cursor[], count: number): Promise<Entry[]> {
  const batch: Entry[] = []
  while (batch.length < count) {
    let earliest: Cursor | null = null
    let earliestMs = Number.POSITIVE_INFINITY
    for (const cursor of cursors) {
      const at = await timeOf(index, cursor)
      if (at !== null && at < earliestMs) {
        earliest = cursor
        earliestMs = at
      }
    }
    if (earliest === null) break
    const entries = earliest.entries!
    const i = earliest.next - entries.from
    batch.push({
      queueId: earliest.queue.id,
      offset: earliest.next,
      position: entries.position(i),
      storeTimeMs: earliestMs,
    })
    earliest.next++
  }
  return batch
}

/** Store time of the cursor's next message; null at its end. Moves on where retention took messages meanwhile. */
async function timeOf(index: PersistentQueueIndex, cursor: Cursor): Promise<number | null> {
  if (cursor.next >= cursor.end) return null
  let { entries } = cursor
  if (!entries || cursor.next < entries.from || cursor.next >= entries.from + entries.count) {
    entries = await index.lookup(cursor.queue.key, cursor.next, Math.min(entriesAhead, cursor.end - cursor.next))
    cursor.entries = entries
    if (entries.count === 0) {
      cursor.next = cursor.end
      return null
    }
    cursor.next = Math.max(cursor.next, entries.from)
  }
  return entries.storeTimeMs(cursor.next - entries.from)
}

const stored = ({ queueId, offset, position }: Entry, message: MessageEvent, { liteTopic }: Topic): StoredMessage => ({
  messageId: message.messageId,
  tag: message.tag,
  bodyBytes: message.bodyBytes,
  storeTimeMs: message.storeTimeMs,
  payload: message.payload,
  deadLetterOf: message.origin,
  queueId,
  offset,
  liteTopic,
  position,
})

/**
 * What became of a message, in order: deliveries, other deadlines, acknowledgements, and its dead letter. A time that
 * is not part of an event is the latest one known when it was written, which the log says at least each second.
 */
export async function historyOf(
  context: BrowseContext,
  topicName: string,
  message: StoredMessage,
): Promise<Incident[]> {
  const named = context.state.topics.get(topicName)
  const topic = named?.liteTopics?.byName.get(message.liteTopic) ?? named
  if (!topic) return []
  const groups = new Map([...topic.subscriptions.values()].map(({ id, group }) => [id, group.settings.consumerGroupId]))
  const names = ({ queueId, offset }: { queueId: number; offset: number }): boolean =>
    queueId === message.queueId && offset === message.offset
  const id = Buffer.from(message.messageId)
  const incidents: Incident[] = []
  let known = message.storeTimeMs
  let bytes = 0
  for await (const { payload } of context.log.scan(message.position)) {
    bytes += payload.length
    if (bytes > historyBytes || incidents.length >= incidentsPerMessage) break
    const bytesOf = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
    if (!isDeliveryRecord(payload) && !bytesOf.includes(id)) continue
    const event = decodeEvent(payload)
    if (event.type === 'time') known = Math.max(known, event.at)
    else if (event.type === 'message') {
      known = Math.max(known, event.storeTimeMs)
      const { origin } = event
      if (origin?.messageId === message.messageId && origin.topicName === topic.settings.topicName)
        incidents.push({
          what: 'dead-letter',
          group: null,
          at: event.storeTimeMs,
          topic: topicOf(context, event.queueKey),
        })
    } else if (event.type === 'leased' || event.type === 'locked') {
      known = Math.max(known, event.at)
      const entry = event.entries.find(names)
      const group = groups.get(event.subscriptionId)
      if (entry && group !== undefined)
        incidents.push({
          what: 'delivered',
          group,
          at: event.at,
          attempt: entry.attempt,
          clientId: event.owner,
          untilMs: event.deadline,
        })
    } else if (event.type === 'acked' || event.type === 'acked-out-of-order' || event.type === 'deadline') {
      const group = groups.get(event.subscriptionId)
      if (group === undefined || !event.entries.some(names)) continue
      if (event.type === 'deadline') incidents.push({ what: 'deadline', group, at: known, untilMs: event.deadline })
      else incidents.push({ what: 'acknowledged', group, at: known })
    }
  }
  return incidents
}

const topicOf = ({ state }: BrowseContext, queueKey: number): string | null =>
  state.queues.get(queueKey)?.topic.settings.topicName ?? null
