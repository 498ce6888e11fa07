/**
 * Events as records of the log.
 *
 * One log record is one event: a type byte, then its fields. A message's payload is the record's tail
 * and is never interpreted. A type number is never given another meaning. A record of an unknown type, written by a later
 * version, stops recovery.
 */

import type {
  BrokerEvent,
  DeliveryEvent,
  HalfEvent,
  LeasedEvent,
  MessageEvent,
  MessageName,
  PassedOverReason,
  Resolution,
} from './events.ts'
import { tagHash } from './filters/filter.ts'
import { readGroup, readTopic, writeGroup, writeTopic } from './settings-codec.ts'
import { type Allocate, NewerFormat, Reader, Writer } from './structures/bytes.ts'

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
const LOCKED = 11
const KEPT = 12
const TIMED = 13
const FIRED = 14
const RECALLED = 15
const HALF = 16
const CHECKED = 17
const ENDED = 18
const CURSOR_RESET = 19
const LITE_TOPIC = 20
const LITE_EXPIRED = 21
const LITE_SUBSCRIBED = 22
const TIME = 24
const PASSED_OVER = 25

/** Raised with each new type: a home says up to which its records go, and an older program refuses it by that. */
export const newestEventType = PASSED_OVER

/** Flags of a message. */
const HAS_TAG = 1
const HAS_ORIGIN = 2

/** Flags of a delivery. */
const RENEWABLE = 1
const HAS_USER = 2

/** By their numbers in a record. */
const resolutions: readonly Resolution[] = ['commit', 'rollback', 'expired']
const passedOverReasons: readonly PassedOverReason[] = ['dead-letter', 'retries-used-up', 'filtered', 'damaged']

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
    case 'passed-over':
      to.u8(PASSED_OVER)
      to.whole(event.subscriptionId)
      to.u8(passedOverReasons.indexOf(event.reason))
      writeNames(to, event.entries)
      break
    case 'deadline':
      to.u8(DEADLINE)
      to.whole(event.subscriptionId)
      to.whole(event.deadline)
      to.u8(event.returned ? 1 : 0)
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
    case 'timer-stored': {
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
    case 'timer-fired':
      to.u8(FIRED)
      to.whole(event.at)
      writeWholes(to, event.timerIds)
      break
    case 'timer-recalled':
      to.u8(RECALLED)
      writeWholes(to, event.timerIds)
      break
    case 'locked':
      to.u8(LOCKED)
      to.text(event.attemptId)
      to.u8(event.repeated ? 1 : 0)
      writeLeased(to, event)
      break
    case 'acked-out-of-order':
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
    case 'transaction-checked':
      to.u8(CHECKED)
      to.whole(event.at)
      to.whole(event.next)
      writeWholes(to, event.numbers)
      break
    case 'transaction-ended':
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
        returned: from.u8() === 1,
        entries: readNames(from),
      }
    case TRIMMED:
      return {
        type: 'trimmed',
        queues: Array.from({ length: from.count() }, () => ({ queueKey: from.whole(), begin: from.whole() })),
      }
    case TIMED:
      return {
        type: 'timer-stored',
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
      return { type: 'timer-fired', at: from.whole(), timerIds: readWholes(from) }
    case RECALLED:
      return { type: 'timer-recalled', timerIds: readWholes(from) }
    case LOCKED:
      return { type: 'locked', attemptId: from.text(), repeated: from.u8() === 1, ...readLeased(from) }
    case PASSED_OVER:
      return {
        type: 'passed-over',
        subscriptionId: from.whole(),
        reason: namedBy(passedOverReasons, from.u8()),
        entries: readNames(from),
      }
    case KEPT:
      return { type: 'acked-out-of-order', subscriptionId: from.whole(), entries: readNames(from) }
    case HALF:
      return readHalf(from)
    case CHECKED:
      return { type: 'transaction-checked', at: from.whole(), next: from.whole(), numbers: readWholes(from) }
    case ENDED:
      return {
        type: 'transaction-ended',
        at: from.whole(),
        resolution: namedBy(resolutions, from.u8()),
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
      if (type > newestEventType)
        throw new NewerFormat(
          `The log holds a record of type ${type}, which a newer Gantry wrote; this program knows types up to ${newestEventType}`,
        )
      throw new RangeError(`The log holds a record of type ${type}, and there is no such type.`)
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

function writeLeased(to: Writer, event: DeliveryEvent): void {
  to.whole(event.subscriptionId)
  to.whole(event.at)
  to.whole(event.deadline)
  to.u8((event.renewable ? RENEWABLE : 0) | (event.userName === null ? 0 : HAS_USER))
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
  if (event.userName !== null) to.text(event.userName)
}

function readLeased(from: Reader): Omit<LeasedEvent, 'type'> {
  const subscriptionId = from.whole()
  const at = from.whole()
  const deadline = from.whole()
  const flags = from.u8()
  return {
    subscriptionId,
    at,
    deadline,
    renewable: (flags & RENEWABLE) !== 0,
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
    userName: flags & HAS_USER ? from.text() : null,
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

function namedBy<T>(values: readonly T[], number: number): T {
  const value = values[number]
  if (value === undefined)
    throw new RangeError(`The log holds a record of kind ${number}, which a later version of Gantry wrote.`)
  return value
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
