/**
 * Reads stored messages by time or by key, without consuming them.
 *
 * Every call does bounded work in bounded memory: so many messages looked at, so many bytes read, a few messages at a
 * time; where it stopped is in the answer, and the next call goes on from there. Messages are found by time through the
 * queues' index and by key through the look-up index, so the cost does not follow what is retained. It must never change
 * state.
 */
import type { BrowsePage, BrowseRequest, StoredMessage } from '../broker.ts'
import type { Entries } from '../core/consuming/take.ts'
import { decodeEvent } from '../core/event-codec.ts'
import type { MessageEvent } from '../core/events.ts'
import { keyTerm, type TermSources } from '../core/lookup-terms.ts'
import type { SegmentAge } from '../core/retention.ts'
import type { LiteTopic, Queue, Topic } from '../core/state.ts'
import { encodeText } from '../core/structures/bytes.ts'
import { positionOf, segmentOf } from '../log/contract.ts'
import type { PersistentQueueIndex } from '../log/queue-index.ts'
import { retained } from './find-message.ts'
import { type LogView, readEach } from './log-view.ts'

/** Messages one call looks at, and bytes it reads, before it says where it stopped. */
const messagesPerCall = 50_000
const bytesPerCall = 128 * 2 ** 20
/** Lite topics one call looks into; where it counts, further ones count with all they have, whatever the time. */
const liteTopicsPerCall = 10_000
/** Index entries of a queue fetched at a time, and messages read at a time. */
const entriesAhead = 256
const messagesAhead = 32
/** Positions of messages with a key fetched at a time. */
const candidatesAhead = 1_024
/** Bytes of messages read at a time, as far as those before tell how large they are. */
const bytesAhead = 4 * 2 ** 20
const readFirst = 4

export interface BrowseContext extends LogView {
  readonly index: PersistentQueueIndex
  readonly keysIn: TermSources['keysIn']
  /** Sealed segments, oldest first, with the time of their newest message. */
  readonly ages: readonly SegmentAge[]
}

/** Null when there is no such topic. */
export async function browse(context: BrowseContext, request: BrowseRequest): Promise<BrowsePage | null> {
  const topic = context.state.topics.get(request.topic)
  if (!topic) return null
  if (request.key != null) return browseKey(context, topic, request, request.key)
  return topic.liteTopics ? browseLite(context, topic, request) : browseQueues(context, topic, request)
}

/** Messages stored from `fromMs` to `untilMs`, both included, in order of time. */
async function browseQueues(context: BrowseContext, topic: Topic, request: BrowseRequest): Promise<BrowsePage> {
  const page = new Page(request)
  const { total, next } = await walk(context, topic, request, page)
  return { messages: page.messages, total, next }
}

/** Puts messages of the topic's queues into the page; `next` says where it stopped, null at the end. */
async function walk(
  context: BrowseContext,
  topic: Topic,
  request: BrowseRequest,
  page: Page,
): Promise<{ readonly total: number; readonly next: readonly number[] | null }> {
  const cursors = await Promise.all(topic.queues.map((queue) => cursorOf(context, queue, request)))
  const total = cursors.reduce((sum, { first, end }) => sum + Math.max(0, end - first), 0)
  while (!page.isOver) {
    if (context.turns.isSpent) await context.turns.pause()
    const batch = await nextEntries(context, cursors, page.skip > 0 ? Math.min(page.skip, entriesAhead) : page.room)
    if (batch.length === 0) return { total, next: null }
    page.looked += batch.length
    // Those to be passed over need not be read.
    if (page.skip > 0) {
      page.skip -= batch.length
      continue
    }
    const records = await readEach(
      context,
      batch.map(({ position }) => position),
    )
    for (let i = 0; i < batch.length; i++) {
      const record = records[i]
      if (record) await page.add(stored(batch[i]!, decodeEvent(record) as MessageEvent, topic), record.length)
    }
  }
  const more = cursors.some(({ next, end }) => next < end)
  return { total, next: more ? cursors.map(({ next }) => next) : null }
}

/** What one call gives, a message at a time. */
class Page {
  readonly messages: StoredMessage[] = []
  readonly #request: BrowseRequest
  /** Messages still to be passed over, and messages looked at. */
  skip: number
  looked = 0
  count = 0
  bytes = 0

  constructor(request: BrowseRequest) {
    this.#request = request
    this.skip = request.skip
  }

  /** Full, or the call has done its share. */
  get isOver(): boolean {
    return this.isFull || this.looked >= messagesPerCall || this.bytes >= bytesPerCall
  }

  get isFull(): boolean {
    return this.count >= this.#request.limit
  }

  /** How many messages to read next. */
  get room(): number {
    const size = this.count === 0 ? bytesAhead / readFirst : Math.max(1, this.bytes / this.count)
    return Math.max(1, Math.min(this.#request.limit - this.count, messagesAhead, Math.floor(bytesAhead / size)))
  }

  async add(message: StoredMessage, recordBytes: number): Promise<void> {
    this.count++
    this.bytes += recordBytes
    if (this.#request.each) await this.#request.each(message)
    else this.messages.push(message)
  }
}

/** Messages with the key, in the order of the log, which is that of time; `next` is a position. */
async function browseKey(
  context: BrowseContext,
  topic: Topic,
  request: BrowseRequest,
  key: string,
): Promise<BrowsePage> {
  const term = keyTerm(topic.firstQueueKey, key)
  const wanted = encodeText(key)
  const page = new Page(request)
  let from = request.after?.[0] ?? firstSince(context, request.fromMs)
  const answer = (next: number | null): BrowsePage => {
    const known = request.skip - page.skip + page.count
    return { messages: page.messages, total: known + (next === null ? 0 : 1), next: next === null ? null : [next] }
  }
  for (;;) {
    const positions = await context.lookups.find(term, from, candidatesAhead)
    for (let at = 0; at < positions.length; ) {
      if (context.turns.isSpent) await context.turns.pause()
      if (page.isOver) return answer(positions[at]!)
      const some = positions.slice(at, at + (page.skip > 0 ? Math.min(page.skip, messagesAhead) : page.room))
      page.looked += some.length
      const records = await readEach(context, some)
      for (let i = 0; i < some.length; i++) {
        const record = records[i]
        const message = record ? withKey(context, topic, request, some[i]!, record, wanted) : null
        if (message === 'later') return answer(null)
        if (message === null) continue
        if (page.skip > 0) page.skip--
        else await page.add(message, record!.length)
      }
      at += some.length
    }
    if (positions.length < candidatesAhead) return answer(null)
    from = positions.at(-1)! + 1
  }
}

/** Null when it is not wanted, whatever its term said; `later` when it and all behind it are too new. */
function withKey(
  context: BrowseContext,
  topic: Topic,
  request: BrowseRequest,
  position: number,
  record: Uint8Array,
  wanted: Uint8Array,
): StoredMessage | 'later' | null {
  const event = decodeEvent(record)
  if (event.type !== 'message' || event.storeTimeMs < request.fromMs) return null
  if (event.storeTimeMs > request.untilMs) return 'later'
  let hasKey = false
  const { payload } = event
  context.keysIn(payload, 0, (start, end) => {
    if (end - start === wanted.length && wanted.every((byte, i) => payload[start + i] === byte)) hasKey = true
  })
  const message = hasKey ? retained(context, topic, position, event) : null
  return message && (request.liteTopic ?? message.liteTopic) === message.liteTopic ? message : null
}

/** A position before which everything is older than `fromMs`. */
function firstSince({ ages, log }: BrowseContext, fromMs: number): number {
  const since = ages.find(({ newestMs }) => newestMs >= fromMs) ?? { segment: segmentOf(log.end) }
  return Math.max(log.first, positionOf(since.segment, 0))
}

/** As `browseQueues` over the lite topics, in the order in which they were made, each by time; `next` names a queue and an offset of it. */
async function browseLite(context: BrowseContext, topic: Topic, request: BrowseRequest): Promise<BrowsePage> {
  const [fromKey = 0, offset = 0] = request.after ?? []
  const wanted = [...(topic.liteTopics?.byName.values() ?? [])].filter(
    ({ liteTopic, lastMs }) => lastMs >= request.fromMs && (request.liteTopic ?? liteTopic) === liteTopic,
  )
  const total = await countLite(context, wanted, request)
  const page = new Page(request)
  let topics = 0
  for (const lite of wanted) {
    const key = lite.firstQueueKey
    if (key < fromKey) continue
    if (context.turns.isSpent) await context.turns.pause()
    if (page.isOver || topics++ >= liteTopicsPerCall) return { messages: page.messages, total, next: [key, 0] }
    const after = key === fromKey ? [offset] : null
    const { next } = await walk(context, lite, { ...request, after }, page)
    if (next) return { messages: page.messages, total, next: [key, next[0]!] }
  }
  return { messages: page.messages, total, next: null }
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
