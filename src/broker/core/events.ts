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
  /** Of a LITE topic: when a lite topic goes away, after its last message; absent or null is never. */
  readonly liteExpirationMs?: number | null
}

/** What makes a group one of lite consumers. */
export interface LiteBinding {
  /** The LITE topic it reads; it reads no other. */
  readonly topicName: string
  /** At most one client of the group has a lite topic. */
  readonly exclusive: boolean
}

export interface GroupSettings {
  readonly consumerGroupId: string
  readonly generation: number
  readonly orderly: boolean
  readonly maxRetryTimes: number
  readonly retry: RetryPolicy
  readonly deadLetterTopic: string | null
  readonly maxReceiveTps: number | null
  readonly lite?: LiteBinding | null
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

/**
 * As `leased`, to an orderly group: these queues are locked by this batch. `repeated`: the same batch
 * again for the same attempt, under the names it had; it counts as no delivery.
 */
export interface LockedEvent extends Omit<LeasedEvent, 'type'> {
  readonly type: 'locked'
  readonly attemptId: string
  readonly repeated: boolean
}

export type Handout = LeasedEvent | LockedEvent

/** An orderly group acknowledged these; each is done with when everything before it is, and may be delivered again until then. */
export interface KeptEvent {
  readonly type: 'kept'
  readonly subscriptionId: number
  readonly entries: readonly MessageName[]
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

/**
 * A message that waits for its time, or the same one (by `timerId`) written again further on in the log.
 * `queueKey` is that of its topic's first queue; `storeTimeMs` is when this record was written.
 */
export interface TimedEvent {
  readonly type: 'timed'
  readonly timerId: number
  readonly queueKey: number
  readonly dueMs: number
  readonly storeTimeMs: number
  readonly tag: string | null
  readonly messageId: string
  readonly bodyBytes: number
  readonly payload: Uint8Array
}

/** Timed messages came due; those that reach a queue follow as `message` events of the same group. */
export interface FiredEvent {
  readonly type: 'fired'
  readonly at: number
  readonly timerIds: readonly number[]
}

/** Timed messages will not be delivered: their producer took them back, or their topic is gone. */
export interface RecalledEvent {
  readonly type: 'recalled'
  readonly timerIds: readonly number[]
}

export type Resolution = 'commit' | 'rollback' | 'expired'

/** A transactional message arrived; it is in no queue, and the transaction with this number is open. */
export interface HalfEvent {
  readonly type: 'half'
  readonly number: number
  /** What the instance's transaction ids are signed with; the same in every half message. */
  readonly secret: string
  /** First queue key of its topic. */
  readonly topicKey: number
  readonly storeTimeMs: number
  readonly firstCheckMs: number
  readonly owner: string
  readonly tag: string | null
  readonly messageId: string
  readonly bodyBytes: number
  readonly payload: Uint8Array
}

/** Producers are being asked to decide these transactions; each has used up a check, and is asked again at `next`. */
export interface CheckedEvent {
  readonly type: 'checked'
  readonly at: number
  readonly next: number
  readonly numbers: readonly number[]
}

/** These transactions are open no more; the message of a committed one follows in the same record group. */
export interface EndedEvent {
  readonly type: 'ended'
  readonly at: number
  readonly resolution: Resolution
  readonly numbers: readonly number[]
}

/**
 * A group's reading of these queues was moved: it goes on at `next`, and nothing it was given of them before
 * counts any more. `resetId` names the reset of the management API that this carries out, so that it is
 * carried out once; null when a client moved its own offset.
 */
export interface CursorResetEvent {
  readonly type: 'cursor-reset'
  readonly subscriptionId: number
  readonly resetId: string | null
  readonly cursors: ReadonlyArray<{ readonly queueId: number; readonly next: number }>
}

/** A lite topic came to be, with a queue of its own; it is named in the record group of its first message. */
export interface LiteTopicEvent {
  readonly type: 'lite-topic'
  /** First queue key of the LITE topic it is in. */
  readonly topicKey: number
  readonly liteTopic: string
  readonly queueKey: number
  readonly at: number
}

/** These lite topics had no message for too long: they are gone with everything in them. */
export interface LiteExpiredEvent {
  readonly type: 'lite-expired'
  readonly at: number
  readonly queueKeys: readonly number[]
}

/** A group began to read a lite topic, at this offset. */
export interface LiteSubscribedEvent {
  readonly type: 'lite-subscribed'
  readonly subscriptionId: number
  readonly consumerGroupId: string
  readonly queueKey: number
  readonly start: number
}

/** The time, written before events that carry none, at most once a second: message traces need it. */
export interface TimeEvent {
  readonly type: 'time'
  readonly at: number
}

export type BrokerEvent =
  | TimeEvent
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
  | TimedEvent
  | FiredEvent
  | RecalledEvent
  | LockedEvent
  | KeptEvent
  | HalfEvent
  | CheckedEvent
  | EndedEvent
  | CursorResetEvent
  | LiteTopicEvent
  | LiteExpiredEvent
  | LiteSubscribedEvent

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
const TIMED = 13
const FIRED = 14
const RECALLED = 15
const LOCKED = 11
const KEPT = 12
const HALF = 16
const CHECKED = 17
const ENDED = 18
const LITE_TOPIC = 20
const LITE_EXPIRED = 21
const LITE_SUBSCRIBED = 22
const TIME = 24

const resolutions: readonly Resolution[] = ['commit', 'rollback', 'expired']
const CURSOR_RESET = 19

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
    case 'time':
      to.u8(TIME)
      to.whole(event.at)
      break
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
    case 'timed': {
      to.u8(TIMED)
      to.whole(event.timerId)
      to.whole(event.queueKey)
      to.whole(event.dueMs)
      to.whole(event.storeTimeMs)
      to.optionalText(event.tag)
      to.text(event.messageId)
      to.whole(event.bodyBytes)
      const record = to.finish(allocate, event.payload.length)
      record.set(event.payload, to.length)
      return record
    }
    case 'fired':
      to.u8(FIRED)
      to.whole(event.at)
      writeWholes(to, event.timerIds)
      break
    case 'recalled':
      to.u8(RECALLED)
      writeWholes(to, event.timerIds)
      break
    case 'locked':
      to.u8(LOCKED)
      to.text(event.attemptId)
      to.u8(event.repeated ? 1 : 0)
      writeLeased(to, event)
      break
    case 'kept':
      to.u8(KEPT)
      to.whole(event.subscriptionId)
      writeNames(to, event.entries)
      break
    case 'half': {
      to.u8(HALF)
      writeHalf(to, event)
      const record = to.finish(allocate, event.payload.length)
      record.set(event.payload, to.length)
      return record
    }
    case 'checked':
      to.u8(CHECKED)
      to.whole(event.at)
      to.whole(event.next)
      writeWholes(to, event.numbers)
      break
    case 'ended':
      to.u8(ENDED)
      to.whole(event.at)
      to.u8(resolutions.indexOf(event.resolution))
      writeWholes(to, event.numbers)
      break
    case 'cursor-reset':
      to.u8(CURSOR_RESET)
      to.whole(event.subscriptionId)
      to.optionalText(event.resetId)
      to.whole(event.cursors.length)
      for (const { queueId, next } of event.cursors) {
        to.whole(queueId)
        to.whole(next)
      }
      break
    case 'lite-topic':
      to.u8(LITE_TOPIC)
      to.whole(event.topicKey)
      to.text(event.liteTopic)
      to.whole(event.queueKey)
      to.whole(event.at)
      break
    case 'lite-expired':
      to.u8(LITE_EXPIRED)
      to.whole(event.at)
      writeWholes(to, event.queueKeys)
      break
    case 'lite-subscribed':
      to.u8(LITE_SUBSCRIBED)
      to.whole(event.subscriptionId)
      to.text(event.consumerGroupId)
      to.whole(event.queueKey)
      to.whole(event.start)
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
        starts: Array.from({ length: from.count() }, () => from.whole()),
      }
    case LEASED:
      return { type: 'leased', ...readLeased(from) }
    case TIME:
      return { type: 'time', at: from.whole() }
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
        queues: Array.from({ length: from.count() }, () => ({ queueKey: from.whole(), begin: from.whole() })),
      }
    case TIMED:
      return {
        type: 'timed',
        timerId: from.whole(),
        queueKey: from.whole(),
        dueMs: from.whole(),
        storeTimeMs: from.whole(),
        tag: from.optionalText(),
        messageId: from.text(),
        bodyBytes: from.whole(),
        payload: from.rest(),
      }
    case FIRED:
      return { type: 'fired', at: from.whole(), timerIds: readWholes(from) }
    case RECALLED:
      return { type: 'recalled', timerIds: readWholes(from) }
    case LOCKED:
      return { type: 'locked', attemptId: from.text(), repeated: from.u8() === 1, ...readLeased(from) }
    case KEPT:
      return { type: 'kept', subscriptionId: from.whole(), entries: readNames(from) }
    case HALF:
      return readHalf(from)
    case CHECKED:
      return { type: 'checked', at: from.whole(), next: from.whole(), numbers: readWholes(from) }
    case ENDED:
      return {
        type: 'ended',
        at: from.whole(),
        resolution: resolutions[from.u8()] ?? 'rollback',
        numbers: readWholes(from),
      }
    case CURSOR_RESET:
      return {
        type: 'cursor-reset',
        subscriptionId: from.whole(),
        resetId: from.optionalText(),
        cursors: Array.from({ length: from.count() }, () => ({ queueId: from.whole(), next: from.whole() })),
      }
    case LITE_TOPIC:
      return {
        type: 'lite-topic',
        topicKey: from.whole(),
        liteTopic: from.text(),
        queueKey: from.whole(),
        at: from.whole(),
      }
    case LITE_EXPIRED:
      return { type: 'lite-expired', at: from.whole(), queueKeys: readWholes(from) }
    case LITE_SUBSCRIBED:
      return {
        type: 'lite-subscribed',
        subscriptionId: from.whole(),
        consumerGroupId: from.text(),
        queueKey: from.whole(),
        start: from.whole(),
      }
    default:
      throw new RangeError(`The log holds a record of type ${type}, which a later version of Gantry wrote.`)
  }
}

/** Whether the record says what became of messages, or when. */
export function isDeliveryRecord(record: Uint8Array): boolean {
  const type = record[0]!
  return type === LEASED || type === LOCKED || type === ACKED || type === KEPT || type === DEADLINE || type === TIME
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
  to.optionalWhole(topic.liteExpirationMs ?? null)
  to.whole(topic.firstQueueKey)
  to.whole(topic.queues)
}

export function readTopic(from: Reader): Omit<TopicEvent, 'type'> {
  return {
    topicName: from.text(),
    generation: from.whole(),
    messageType: from.text(),
    maxSendTps: from.optionalWhole(),
    liteExpirationMs: from.optionalWhole(),
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
  to.optionalText(group.lite?.topicName ?? null)
  if (group.lite) to.u8(group.lite.exclusive ? 1 : 0)
}

export function readGroup(from: Reader): GroupSettings {
  const consumerGroupId = from.text()
  const generation = from.whole()
  const orderly = from.u8() === 1
  const maxRetryTimes = from.whole()
  const intervalSeconds = from.optionalWhole()
  const deadLetterTopic = from.optionalText()
  const maxReceiveTps = from.optionalWhole()
  const liteTopicName = from.optionalText()
  return {
    consumerGroupId,
    generation,
    orderly,
    maxRetryTimes,
    retry: intervalSeconds === null ? { kind: 'default' } : { kind: 'fixed', intervalSeconds },
    deadLetterTopic,
    maxReceiveTps,
    lite: liteTopicName === null ? null : { topicName: liteTopicName, exclusive: from.u8() === 1 },
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

function writeLeased(to: Writer, event: Handout): void {
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

function readLeased(from: Reader): Omit<LeasedEvent, 'type'> {
  return {
    subscriptionId: from.whole(),
    at: from.whole(),
    deadline: from.whole(),
    renewable: from.u8() === 1,
    session: from.whole(),
    owner: from.text(),
    nexts: Array.from({ length: from.count() }, () => ({ queueId: from.whole(), next: from.whole() })),
    entries: Array.from({ length: from.count() }, () => ({
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
  return Array.from({ length: from.count() }, () => ({ queueId: from.whole(), offset: from.whole() }))
}

function writeWholes(to: Writer, values: readonly number[]): void {
  to.whole(values.length)
  for (const value of values) to.whole(value)
}

function readWholes(from: Reader): number[] {
  return Array.from({ length: from.count() }, () => from.whole())
}

function writeHalf(to: Writer, event: HalfEvent): void {
  to.whole(event.number)
  to.text(event.secret)
  to.whole(event.topicKey)
  to.whole(event.storeTimeMs)
  to.whole(event.firstCheckMs)
  to.text(event.owner)
  to.optionalText(event.tag)
  to.text(event.messageId)
  to.whole(event.bodyBytes)
}

function readHalf(from: Reader): HalfEvent {
  return {
    type: 'half',
    number: from.whole(),
    secret: from.text(),
    topicKey: from.whole(),
    storeTimeMs: from.whole(),
    firstCheckMs: from.whole(),
    owner: from.text(),
    tag: from.optionalText(),
    messageId: from.text(),
    bodyBytes: from.whole(),
    payload: from.rest(),
  }
}
