/**
 * Everything that can happen to a broker, and how it is written down.
 *
 * The log holds these events in order; applying them to an empty state gives the state (`apply.ts`).
 * One log record is one event: a type byte, then its fields. A message's payload is the record's tail
 * and is never interpreted. Types are numbered for good: a number is never used again for something
 * else, and a record of an unknown type stops recovery (it was written by a later version).
 */
import { type Allocate, Reader, Writer } from './bytes.ts'
import { tagHash } from './filter.ts'
import type { RetryPolicy } from './retry.ts'

export interface TopicSettings {
  readonly topicName: string
  readonly generation: number
  readonly messageType: string
  readonly maxSendTps: number | null
}

export interface GroupSettings {
  readonly consumerGroupId: string
  readonly generation: number
  readonly orderly: boolean
  readonly maxRetryTimes: number
  readonly retry: RetryPolicy
  readonly deadLetterTopic: string | null
  readonly maxReceiveTps: number | null
}

/** Where a dead letter came from. */
export interface Origin {
  readonly topicName: string
  readonly messageId: string
}

export interface MessageEvent {
  readonly type: 'message'
  readonly queueKey: number
  readonly offset: number
  readonly storeTimeMs: number
  readonly tag: string | null
  readonly messageId: string
  readonly bodyBytes: number
  readonly origin: Origin | null
  readonly payload: Uint8Array
}

/** A topic was made, or its settings changed; queue keys of a topic are `firstQueueKey` … + `queues` − 1, never used twice. */
export interface TopicEvent extends TopicSettings {
  readonly type: 'topic'
  readonly firstQueueKey: number
  readonly queues: number
}

export interface TopicRemovedEvent {
  readonly type: 'topic-removed'
  readonly topicName: string
}

export interface GroupEvent extends GroupSettings {
  readonly type: 'group'
}

export interface GroupRemovedEvent {
  readonly type: 'group-removed'
  readonly consumerGroupId: string
}

/** A group began to read a topic, at these offsets of its queues. */
export interface SubscribedEvent {
  readonly type: 'subscribed'
  readonly subscriptionId: number
  readonly consumerGroupId: string
  readonly topicName: string
  readonly starts: readonly number[]
}

export interface LeasedEntry {
  readonly queueId: number
  readonly offset: number
  readonly attempt: number
  readonly position: number
  readonly tagHash: number
}

/** Messages were handed to a client. Offsets passed over on the way to `nexts` are done with for this group. */
export interface LeasedEvent {
  readonly type: 'leased'
  readonly subscriptionId: number
  readonly at: number
  readonly deadline: number
  readonly renewable: boolean
  readonly session: number
  readonly owner: string
  readonly nexts: ReadonlyArray<{ readonly queueId: number; readonly next: number }>
  readonly entries: readonly LeasedEntry[]
}

export interface MessageName {
  readonly queueId: number
  readonly offset: number
}

export interface AckedEvent {
  readonly type: 'acked'
  readonly subscriptionId: number
  readonly entries: readonly MessageName[]
}

/**
 * Deliveries got another deadline from outside (a client, or the broker nacking for it); they are no
 * longer renewed. `untouched`: nobody was given them after all, so the attempt does not count.
 */
export interface DeadlineEvent {
  readonly type: 'deadline'
  readonly subscriptionId: number
  readonly deadline: number
  readonly untouched: boolean
  readonly entries: readonly MessageName[]
}

/** Retention took the messages below these offsets. */
export interface TrimmedEvent {
  readonly type: 'trimmed'
  readonly queues: ReadonlyArray<{ readonly queueKey: number; readonly begin: number }>
}

export type BrokerEvent =
  | MessageEvent
  | TopicEvent
  | TopicRemovedEvent
  | GroupEvent
  | GroupRemovedEvent
  | SubscribedEvent
  | LeasedEvent
  | AckedEvent
  | DeadlineEvent
  | TrimmedEvent

const MESSAGE = 1
const TOPIC = 2
const TOPIC_REMOVED = 3
const GROUP = 4
const GROUP_REMOVED = 5
const SUBSCRIBED = 6
const LEASED = 7
const ACKED = 8
const DEADLINE = 9
const TRIMMED = 10

const HAS_TAG = 1
const HAS_ORIGIN = 2

/** One scratch for all: encoding never yields, and `finish` copies out of it. */
const scratch = new Writer(4_096)

export function encodeEvent(event: BrokerEvent, allocate?: Allocate): Uint8Array {
  const to = scratch
  to.reset()
  switch (event.type) {
    case 'message': {
      to.u8(MESSAGE)
      to.whole(event.queueKey)
      to.whole(event.offset)
      to.whole(event.storeTimeMs)
      to.u32(tagHash(event.tag))
      to.u8((event.tag === null ? 0 : HAS_TAG) | (event.origin ? HAS_ORIGIN : 0))
      if (event.tag !== null) to.text(event.tag)
      to.text(event.messageId)
      to.whole(event.bodyBytes)
      if (event.origin) {
        to.text(event.origin.topicName)
        to.text(event.origin.messageId)
      }
      const record = to.finish(allocate, event.payload.length)
      record.set(event.payload, to.length)
      return record
    }
    case 'topic':
      to.u8(TOPIC)
      writeTopic(to, event)
      break
    case 'topic-removed':
      to.u8(TOPIC_REMOVED)
      to.text(event.topicName)
      break
    case 'group':
      to.u8(GROUP)
      writeGroup(to, event)
      break
    case 'group-removed':
      to.u8(GROUP_REMOVED)
      to.text(event.consumerGroupId)
      break
    case 'subscribed':
      to.u8(SUBSCRIBED)
      to.whole(event.subscriptionId)
      to.text(event.consumerGroupId)
      to.text(event.topicName)
      to.whole(event.starts.length)
      for (const start of event.starts) to.whole(start)
      break
    case 'leased':
      to.u8(LEASED)
      writeLeased(to, event)
      break
    case 'acked':
      to.u8(ACKED)
      to.whole(event.subscriptionId)
      writeNames(to, event.entries)
      break
    case 'deadline':
      to.u8(DEADLINE)
      to.whole(event.subscriptionId)
      to.whole(event.deadline)
      to.u8(event.untouched ? 1 : 0)
      writeNames(to, event.entries)
      break
    case 'trimmed':
      to.u8(TRIMMED)
      to.whole(event.queues.length)
      for (const queue of event.queues) {
        to.whole(queue.queueKey)
        to.whole(queue.begin)
      }
      break
  }
  return to.finish(allocate)
}

/** The payload of a message shares memory with `record`. */
export function decodeEvent(record: Uint8Array): BrokerEvent {
  const from = new Reader(record)
  const type = from.u8()
  switch (type) {
    case MESSAGE:
      return decodeMessage(from)
    case TOPIC:
      return { type: 'topic', ...readTopic(from) }
    case TOPIC_REMOVED:
      return { type: 'topic-removed', topicName: from.text() }
    case GROUP:
      return { type: 'group', ...readGroup(from) }
    case GROUP_REMOVED:
      return { type: 'group-removed', consumerGroupId: from.text() }
    case SUBSCRIBED:
      return {
        type: 'subscribed',
        subscriptionId: from.whole(),
        consumerGroupId: from.text(),
        topicName: from.text(),
        starts: Array.from({ length: from.whole() }, () => from.whole()),
      }
    case LEASED:
      return readLeased(from)
    case ACKED:
      return { type: 'acked', subscriptionId: from.whole(), entries: readNames(from) }
    case DEADLINE:
      return {
        type: 'deadline',
        subscriptionId: from.whole(),
        deadline: from.whole(),
        untouched: from.u8() === 1,
        entries: readNames(from),
      }
    case TRIMMED:
      return {
        type: 'trimmed',
        queues: Array.from({ length: from.whole() }, () => ({ queueKey: from.whole(), begin: from.whole() })),
      }
    default:
      throw new RangeError(`The log holds a record of type ${type}, which a later version of Gantry wrote.`)
  }
}

/** The four fields recovery needs of a message that its checkpoint already counts; null for other records. */
export function decodeForIndex(
  record: Uint8Array,
): { queueKey: number; offset: number; storeTimeMs: number; tagHash: number } | null {
  if (record[0] !== MESSAGE) return null
  const from = new Reader(record, 1)
  return { queueKey: from.whole(), offset: from.whole(), storeTimeMs: from.whole(), tagHash: from.u32() }
}

export function writeTopic(to: Writer, topic: Omit<TopicEvent, 'type'>): void {
  to.text(topic.topicName)
  to.whole(topic.generation)
  to.text(topic.messageType)
  to.optionalWhole(topic.maxSendTps)
  to.whole(topic.firstQueueKey)
  to.whole(topic.queues)
}

export function readTopic(from: Reader): Omit<TopicEvent, 'type'> {
  return {
    topicName: from.text(),
    generation: from.whole(),
    messageType: from.text(),
    maxSendTps: from.optionalWhole(),
    firstQueueKey: from.whole(),
    queues: from.whole(),
  }
}

export function writeGroup(to: Writer, group: GroupSettings): void {
  to.text(group.consumerGroupId)
  to.whole(group.generation)
  to.u8(group.orderly ? 1 : 0)
  to.whole(group.maxRetryTimes)
  to.optionalWhole(group.retry.kind === 'fixed' ? group.retry.intervalSeconds : null)
  to.optionalText(group.deadLetterTopic)
  to.optionalWhole(group.maxReceiveTps)
}

export function readGroup(from: Reader): GroupSettings {
  const consumerGroupId = from.text()
  const generation = from.whole()
  const orderly = from.u8() === 1
  const maxRetryTimes = from.whole()
  const intervalSeconds = from.optionalWhole()
  return {
    consumerGroupId,
    generation,
    orderly,
    maxRetryTimes,
    retry: intervalSeconds === null ? { kind: 'default' } : { kind: 'fixed', intervalSeconds },
    deadLetterTopic: from.optionalText(),
    maxReceiveTps: from.optionalWhole(),
  }
}

function decodeMessage(from: Reader): MessageEvent {
  const queueKey = from.whole()
  const offset = from.whole()
  const storeTimeMs = from.whole()
  from.at += 4
  const flags = from.u8()
  return {
    type: 'message',
    queueKey,
    offset,
    storeTimeMs,
    tag: flags & HAS_TAG ? from.text() : null,
    messageId: from.text(),
    bodyBytes: from.whole(),
    origin: flags & HAS_ORIGIN ? { topicName: from.text(), messageId: from.text() } : null,
    payload: from.rest(),
  }
}

function writeLeased(to: Writer, event: LeasedEvent): void {
  to.whole(event.subscriptionId)
  to.whole(event.at)
  to.whole(event.deadline)
  to.u8(event.renewable ? 1 : 0)
  to.whole(event.session)
  to.text(event.owner)
  to.whole(event.nexts.length)
  for (const { queueId, next } of event.nexts) {
    to.whole(queueId)
    to.whole(next)
  }
  to.whole(event.entries.length)
  for (const entry of event.entries) {
    to.whole(entry.queueId)
    to.whole(entry.offset)
    to.whole(entry.attempt)
    to.whole(entry.position)
    to.u32(entry.tagHash)
  }
}

function readLeased(from: Reader): LeasedEvent {
  return {
    type: 'leased',
    subscriptionId: from.whole(),
    at: from.whole(),
    deadline: from.whole(),
    renewable: from.u8() === 1,
    session: from.whole(),
    owner: from.text(),
    nexts: Array.from({ length: from.whole() }, () => ({ queueId: from.whole(), next: from.whole() })),
    entries: Array.from({ length: from.whole() }, () => ({
      queueId: from.whole(),
      offset: from.whole(),
      attempt: from.whole(),
      position: from.whole(),
      tagHash: from.u32(),
    })),
  }
}

function writeNames(to: Writer, names: readonly MessageName[]): void {
  to.whole(names.length)
  for (const name of names) {
    to.whole(name.queueId)
    to.whole(name.offset)
  }
}

function readNames(from: Reader): MessageName[] {
  return Array.from({ length: from.whole() }, () => ({ queueId: from.whole(), offset: from.whole() }))
}
