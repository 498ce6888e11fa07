/**
 * The terms by which a record of the log is found again: the message id it carries, the keys of a message, and the
 * block of deliveries, of timers or of transactions that it is about. A term is a hash of 48 bits; a look-up
 * reads the record and compares, so a collision costs a read and is never a wrong answer.
 *
 * Terms are read from the record's bytes, without decoding it: this runs once for every record that is written. Records
 * about deliveries come in great numbers, so they are named roughly: one term for 16 neighbouring offsets, and none when
 * the log named the same block less than `neighbourBytes` before. `LookupTerm` positions are therefore where to begin
 * reading, and `neighbourBytes` how far to read.
 */
import type { MessageId, TopicName } from '../../model/ids.ts'
import { decodeText, encodeText } from './structures/bytes.ts'

/** 48 bits: 32 in `high`, 16 in `low`. */
export interface LookupTerm {
  readonly high: number
  readonly low: number
}

export type EmitTerm = (high: number, low: number) => void

export interface TermSources {
  /** First queue key of the topic that the queue belongs to, for a lite topic that of its LITE topic; null when it is gone. */
  scopeOf(queueKey: number): number | null
  /** First queue key of the topic of that name; null when there is none. */
  scopeOfTopic(topicName: TopicName): number | null
  /** Calls `each` with where every key of a stored message begins and ends in `record`; the payload begins at `from`. */
  keysIn(record: Uint8Array, from: number, each: (start: number, end: number) => void): void
}

/** A record about deliveries, timers or transactions lies at most so far behind a position that its term gave. */
export const neighbourBytes = 4 * 1024
/** Of each stretch of the log of so many bytes, the first record that carries a time is found by `timeTerm`. */
export const timeStretchBytes = 64 * 1024
const blockOf = 16
const segmentBytes = 2 ** 32

/** Of ids by themselves; the index files of older programs have it. */
const UNSCOPED_ID = 1
const KEY = 2
const DELIVERY = 3
const TIMER = 4
const TRANSACTION = 5
const TIME = 6
const ID = 7

/** Of a topic's messages, and of dead letters that come from it: no other topic's messages of that id are in the way. */
export const idTerm = (scope: number, messageId: MessageId): LookupTerm => ofText(ID, scope, messageId)

/** As index files of version 1 have it. */
export const unscopedIdTerm = (messageId: MessageId): LookupTerm => ofText(UNSCOPED_ID, 0, messageId)

export const keyTerm = (scope: number, key: string): LookupTerm => ofText(KEY, scope, key)

export const deliveryTerm = (subscriptionId: number, queueId: number, offset: number): LookupTerm =>
  ofNumbers(DELIVERY, subscriptionId, queueId, Math.floor(offset / blockOf))

export const timerTerm = (timerId: number): LookupTerm => ofNumbers(TIMER, 0, 0, Math.floor(timerId / blockOf))

export const transactionTerm = (number: number): LookupTerm =>
  ofNumbers(TRANSACTION, 0, 0, Math.floor(number / blockOf))

/** Of the stretch in which the position lies. */
export const timeTerm = (position: number): LookupTerm =>
  ofNumbers(TIME, 0, Math.floor(position / segmentBytes), Math.floor((position % segmentBytes) / timeStretchBytes))

/** Record types as event-codec.ts numbers them. */
const MESSAGE = 1
const LEASED = 7
const ACKED = 8
const DEADLINE = 9
const LOCKED = 11
const ACKED_OUT_OF_ORDER = 12
const TIMER_STORED = 13
const TIMER_FIRED = 14
const TIMER_RECALLED = 15
const HALF = 16
const TRANSACTION_CHECKED = 17
const TRANSACTION_ENDED = 18
const TIME_RECORD = 24
const PASSED_OVER = 25

const slots = 1024

/** Reads records in the order of the log; remembers which blocks were named lately, so one is needed for each pass over it. */
export class TermReader {
  readonly #sources: TermSources
  /** By a hash of the block: which block was named last, and where. */
  readonly #named = new Float64Array(slots)
  readonly #namedAt = new Float64Array(slots).fill(-1)
  #timeStretch = -1

  #record: Uint8Array = new Uint8Array(0)
  #position = 0
  #at = 0
  #emit: EmitTerm = () => {}
  #scope = 0
  readonly #key = (start: number, end: number): void => {
    begin(KEY, this.#scope)
    mixBytes(this.#record, start, end)
    finish()
    this.#emit(high, low)
  }

  constructor(sources: TermSources) {
    this.#sources = sources
  }

  /** Throws a `RangeError` for a record that ends too early. */
  read(record: Uint8Array, position: number, emit: EmitTerm): void {
    this.#record = record
    this.#position = position
    this.#at = 1
    this.#emit = emit
    const type = record[0]
    if (type === MESSAGE) this.#message()
    else if (type === LEASED || type === LOCKED) this.#leased(type === LOCKED)
    else if (type === ACKED || type === ACKED_OUT_OF_ORDER) this.#names(this.#whole())
    else if (type === PASSED_OVER) this.#passedOver()
    else if (type === DEADLINE) this.#deadline()
    else if (type === TIMER_STORED) this.#timer()
    else if (type === HALF) this.#half()
    else if (type === TIMER_RECALLED) this.#numbers(TIMER)
    else if (type === TIMER_FIRED) {
      this.#time()
      this.#whole()
      this.#numbers(TIMER)
    } else if (type === TRANSACTION_CHECKED) {
      this.#time()
      this.#whole()
      this.#whole()
      this.#numbers(TRANSACTION)
    } else if (type === TRANSACTION_ENDED) {
      this.#time()
      this.#whole()
      this.#at++
      this.#numbers(TRANSACTION)
    } else if (type === TIME_RECORD) this.#time()
  }

  #message(): void {
    this.#time()
    const scope = this.#sources.scopeOf(this.#whole())
    this.#whole()
    this.#whole()
    this.#at += 4
    const flags = this.#record[this.#at++]!
    if (flags & 1) this.#skipText()
    this.#id(scope)
    this.#whole()
    if (flags & 2) this.#origin()
    if (scope === null) return
    this.#scope = scope
    this.#sources.keysIn(this.#record, this.#at, this.#key)
  }

  /** Of a dead letter: the topic it comes from, and its id there. */
  #origin(): void {
    const length = this.#whole()
    const topicName = decodeText(this.#record, this.#at, this.#at + length)
    this.#at += length
    this.#id(this.#sources.scopeOfTopic(topicName))
  }

  #timer(): void {
    this.#time()
    this.#whole()
    const scope = this.#sources.scopeOf(this.#whole())
    for (let field = 0; field < 2; field++) this.#whole()
    if (this.#record[this.#at++] !== 0) this.#skipText()
    this.#id(scope)
  }

  #half(): void {
    this.#time()
    this.#whole()
    this.#skipText()
    const scope = this.#sources.scopeOf(this.#whole())
    for (let field = 0; field < 2; field++) this.#whole()
    this.#skipText()
    if (this.#record[this.#at++] !== 0) this.#skipText()
    this.#id(scope)
  }

  #leased(isLocked: boolean): void {
    this.#time()
    if (isLocked) {
      this.#skipText()
      this.#at++
    }
    const subscriptionId = this.#whole()
    this.#whole()
    this.#whole()
    this.#at++
    this.#whole()
    this.#skipText()
    for (let count = this.#whole(); count > 0; count--) {
      this.#whole()
      this.#whole()
    }
    let lastQueue = -1
    let lastBlock = -1
    for (let count = this.#whole(); count > 0; count--) {
      const queueId = this.#whole()
      const block = Math.floor(this.#whole() / blockOf)
      this.#whole()
      this.#whole()
      this.#at += 4
      if (queueId === lastQueue && block === lastBlock) continue
      lastQueue = queueId
      lastBlock = block
      this.#block(DELIVERY, subscriptionId, queueId, block)
    }
  }

  #deadline(): void {
    const subscriptionId = this.#whole()
    this.#whole()
    this.#at++
    this.#names(subscriptionId)
  }

  #passedOver(): void {
    const subscriptionId = this.#whole()
    this.#at++
    this.#names(subscriptionId)
  }

  #names(subscriptionId: number): void {
    let lastQueue = -1
    let lastBlock = -1
    for (let count = this.#whole(); count > 0; count--) {
      const queueId = this.#whole()
      const block = Math.floor(this.#whole() / blockOf)
      if (queueId === lastQueue && block === lastBlock) continue
      lastQueue = queueId
      lastBlock = block
      this.#block(DELIVERY, subscriptionId, queueId, block)
    }
  }

  #numbers(kind: number): void {
    let lastBlock = -1
    for (let count = this.#whole(); count > 0; count--) {
      const block = Math.floor(this.#whole() / blockOf)
      if (block === lastBlock) continue
      lastBlock = block
      this.#block(kind, 0, 0, block)
    }
  }

  #id(scope: number | null): void {
    const length = this.#whole()
    this.#at += length
    if (scope === null) return
    begin(ID, scope)
    mixBytes(this.#record, this.#at - length, this.#at)
    finish()
    this.#emit(high, low)
  }

  #block(kind: number, a: number, b: number, c: number): void {
    hashNumbers(kind, a, b, c)
    const term = high * 2 ** 16 + low
    const slot = low & (slots - 1)
    const distance = this.#position - this.#namedAt[slot]!
    // In another segment the distance is greater by far.
    if (this.#named[slot] === term && distance >= 0 && distance < neighbourBytes) return
    this.#named[slot] = term
    this.#namedAt[slot] = this.#position
    this.#emit(high, low)
  }

  /** The record carries a time. */
  #time(): void {
    const stretch = Math.floor(this.#position / timeStretchBytes)
    if (stretch === this.#timeStretch) return
    this.#timeStretch = stretch
    const { high, low } = timeTerm(this.#position)
    this.#emit(high, low)
  }

  #skipText(): void {
    const length = this.#whole()
    this.#at += length
  }

  #whole(): number {
    const record = this.#record
    let byte = record[this.#at++]!
    if (byte < 128) return byte
    let value = byte & 127
    for (let scale = 128; scale <= 2 ** 49; scale *= 128) {
      byte = record[this.#at++]!
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
    throw new RangeError('The record ends before its last field.')
  }
}

// Hashing ------------------------------------------------------------------------------------------
// Two lanes of 32 bits over the same bytes, mixed at the end as MurmurHash3 does; numbers stored depend on it.

let first = 0
let second = 0
let high = 0
let low = 0

function begin(kind: number, scope: number): void {
  first = 0x811c9dc5
  second = 0x9747b28c ^ kind
  mixNumber(scope)
}

function mixNumber(value: number): void {
  mixWord(value >>> 0)
  mixWord(Math.floor(value / 2 ** 32))
}

function mixWord(word: number): void {
  first = Math.imul(first ^ word, 0x85ebca6b)
  first ^= first >>> 15
  second = Math.imul(second ^ word, 0xc2b2ae35)
  second ^= second >>> 13
}

function mixBytes(bytes: Uint8Array, from: number, to: number): void {
  if (to > bytes.length) throw new RangeError('The record ends before its last field.')
  let one = first
  let two = second
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!
    one = Math.imul(one ^ byte, 0x01000193)
    two = Math.imul(two ^ byte, 0x5bd1e995)
    two ^= two >>> 15
  }
  first = one
  second = two
  mixWord(to - from)
}

function finish(): void {
  high = scramble(first ^ scramble(second)) >>> 0
  low = scramble(second + Math.imul(first, 0x9e3779b1)) & 0xffff
}

function scramble(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

function hashNumbers(kind: number, a: number, b: number, c: number): void {
  begin(kind, a)
  mixNumber(b)
  mixNumber(c)
  finish()
}

function ofNumbers(kind: number, a: number, b: number, c: number): LookupTerm {
  hashNumbers(kind, a, b, c)
  return { high, low }
}

function ofText(kind: number, scope: number, text: string): LookupTerm {
  const bytes = encodeText(text)
  begin(kind, scope)
  mixBytes(bytes, 0, bytes.length)
  finish()
  return { high, low }
}
