/**
 * The state as bytes: what a checkpoint holds, and what "replayed equals live" compares.
 *
 * Exactly the fields that events set, in the order in which they were set; nothing volatile. Format
 * version 4; version 3, which has no deleted groups, is read too.
 *
 * A snapshot is of one moment, the one at which it was made, and is written piece by piece while events go on: it is
 * told of each event before that is applied (`before`), and puts aside what the event is about to change and was not
 * written yet. What is small is encoded at once: topics, groups, counters. What may be large is not: of lite topics and
 * transactions the few fields that change are copied, deliveries are put aside a queue at a time, timed
 * messages a chunk of their table at a time. So no step of it is long, whatever the size of the state.
 */

import { noteGroup } from './consumer-groups.ts'
import { newLease, own } from './consuming/deliveries.ts'
import { applyAckedOutOfOrderTo } from './consuming/orderly.ts'
import type { BrokerEvent, MessageName } from './events.ts'
import { addLiteTopic, addSubscription } from './lite/lite-topics.ts'
import { type OpenTransaction, openTransaction } from './open-transactions.ts'
import { readGroup, readTopic, writeGroup, writeTopic } from './settings-codec.ts'
import {
  type BrokerState,
  type Cursor,
  emptyState,
  type Lease,
  type LiteTopic,
  makeGroup,
  makeSubscription,
  makeTopic,
  type Queue,
  type QueueLock,
  type Subscription,
} from './state.ts'
import { NewerFormat, Reader, Writer } from './structures/bytes.ts'
import type { TimerCapture } from './structures/timer-table.ts'

export const stateVersion = 4
/** The oldest that is read. */
const oldestVersion = 3

const RENEWABLE = 1
const RETURNED = 2
const ACKED = 4

/** A piece is given out when it has grown to this. */
const PIECE_BYTES = 128 * 1_024
/** Deliveries of one queue up to this many are written at once, without being put aside first. */
const AT_ONCE = 256
/** Things read in one step. */
const STEP = 512
/** Fields of a delivery that may change, its owner not counted. */
const LEASE_FIELDS = 6

/** The whole at once. */
export function encodeState(state: BrokerState): Uint8Array {
  const snapshot = new Snapshot(state)
  const to = new Writer(65_536)
  for (const piece of snapshot.pieces()) to.raw(piece)
  snapshot.end()
  return to.finish()
}

export class Snapshot {
  readonly #state: BrokerState
  readonly #pieceBytes: number
  readonly #atOnce: number
  readonly #to: Writer
  /** Lite topics by LITE topic; of each when its last message was stored, and where its queue begins and ends. */
  readonly #lites: Array<{ readonly topics: readonly LiteTopic[]; readonly numbers: Float64Array }> = []
  readonly #subscriptions: readonly Subscription[]
  readonly #nextSubscriptionId: number
  /** Of each its checks and when the next one is due. */
  readonly #transactions: { readonly open: readonly OpenTransaction[]; readonly numbers: Float64Array }
  readonly #timers: TimerCapture
  readonly #written = new Set<Cursor>()
  readonly #aside = new Map<Cursor, CursorCopy | CursorAsItWas>()

  constructor(state: BrokerState, { pieceBytes = PIECE_BYTES, atOnce = AT_ONCE } = {}) {
    this.#state = state
    this.#pieceBytes = pieceBytes
    this.#atOnce = atOnce
    this.#to = new Writer(Math.max(1_024, Math.min(pieceBytes, 16_384)))
    writeHead(this.#to, state)
    for (const { liteTopics } of state.topics.values()) {
      if (!liteTopics) continue
      const topics: LiteTopic[] = []
      for (let lite = liteTopics.byAge.first; lite; lite = lite.next) topics.push(lite)
      this.#lites.push({
        topics,
        numbers: numbersOfLites(topics),
      })
    }
    this.#subscriptions = [...state.subscriptions.values()]
    this.#nextSubscriptionId = state.nextSubscriptionId
    const open = [...state.transactions.open.values()]
    this.#transactions = { open, numbers: numbersOfTransactions(open) }
    this.#timers = state.timers.capture()
  }

  /** The bytes, in order; each piece is the caller's. Others may run between two of them. */
  *pieces(): Generator<Uint8Array, void> {
    yield* this.#writeLites()
    yield* this.#writeSubscriptions()
    yield* this.#writeTransactions()
    yield this.#piece()
    yield* this.#timers.pieces(this.#pieceBytes)
  }

  /** Called for each event right before it is applied. */
  before(event: BrokerEvent): void {
    const drops = dropsAll(event)
    changedBy(this.#state, event, (cursor, subscription) => {
      if (subscription.id >= this.#nextSubscriptionId) return
      if (this.#written.has(cursor) || this.#aside.has(cursor)) return
      this.#aside.set(cursor, drops ? { ...cursor } : copyOf(cursor))
    })
  }

  /** It is written, or will not be: nothing is put aside any more. */
  end(): void {
    this.#timers.end()
    this.#aside.clear()
  }

  *#writeLites(): Generator<Uint8Array, void> {
    const to = this.#to
    for (const { topics, numbers } of this.#lites) {
      to.whole(topics.length)
      for (let i = 0; i < topics.length; i++) {
        to.text(topics[i]!.liteTopic)
        to.whole(topics[i]!.firstQueueKey)
        for (let field = 0; field < 3; field++) to.whole(numbers[i * 3 + field]!)
        if (to.length >= this.#pieceBytes) yield this.#piece()
      }
    }
  }

  *#writeSubscriptions(): Generator<Uint8Array, void> {
    const to = this.#to
    to.whole(this.#subscriptions.length)
    for (const { id, group, topic, cursors } of this.#subscriptions) {
      to.whole(id)
      to.text(group.settings.consumerGroupId)
      to.whole(topic.firstQueueKey)
      for (const cursor of cursors) {
        this.#written.add(cursor)
        const aside = this.#aside.get(cursor)
        this.#aside.delete(cursor)
        if (!aside && cursor.leases.size <= this.#atOnce) writeCursor(to, cursor)
        else yield* this.#writeAside(aside ?? copyOf(cursor))
        if (to.length >= this.#pieceBytes) yield this.#piece()
      }
    }
  }

  *#writeAside(aside: CursorCopy | CursorAsItWas): Generator<Uint8Array, void> {
    if ('numbers' in aside) return yield* this.#writeCopy(aside)
    const to = this.#to
    writeProgress(to, aside.next, aside.lock, aside.leases.size)
    for (const lease of aside.leases.values()) {
      fill(one, 0, lease)
      writeLease(to, lease, one, 0, lease.owner)
      if (to.length >= this.#pieceBytes) yield this.#piece()
    }
  }

  *#writeCopy(copy: CursorCopy): Generator<Uint8Array, void> {
    const to = this.#to
    writeProgress(to, copy.next, copy.lock, copy.leases.length)
    for (let i = 0; i < copy.leases.length; i++) {
      writeLease(to, copy.leases[i]!, copy.numbers, i * LEASE_FIELDS, copy.owners[i]!)
      if (to.length >= this.#pieceBytes) yield this.#piece()
    }
  }

  *#writeTransactions(): Generator<Uint8Array, void> {
    const to = this.#to
    const { open, numbers } = this.#transactions
    to.whole(open.length)
    for (let i = 0; i < open.length; i++) {
      const one = open[i]!
      to.whole(one.number)
      to.whole(one.topicKey)
      to.whole(one.position)
      to.text(one.messageId)
      to.text(one.owner)
      to.whole(one.storedAt)
      to.whole(numbers[2 * i]!)
      to.whole(numbers[2 * i + 1]!)
      if (to.length >= this.#pieceBytes) yield this.#piece()
    }
  }

  #piece(): Uint8Array {
    const piece = this.#to.finish()
    this.#to.reset()
    return piece
  }
}

/** The whole at once. */
export function decodeState(bytes: Uint8Array): BrokerState {
  const steps = decodeStateInSteps(bytes)
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/** The version that an encoded state says it has. */
export const stateVersionOf = (bytes: Uint8Array): number => new Reader(bytes).u8()

/** A step is some hundred things at most, so that others can run between two: there may be a million deliveries. */
export function* decodeStateInSteps(bytes: Uint8Array): Generator<void, BrokerState> {
  const from = new Reader(bytes)
  const version = from.u8()
  if (version > stateVersion)
    throw new NewerFormat(
      `The checkpoint was written by a newer Gantry: its state has format ${version}, and this program knows formats up to ${stateVersion}`,
    )
  if (version < oldestVersion)
    throw new RangeError(
      `The checkpoint's state has format ${version}; this program reads formats from ${oldestVersion} on.`,
    )
  const state = emptyState()
  const resets = readHead(from, state, version)
  yield* readLites(from, state)
  for (let count = from.whole(); count > 0; count--) {
    yield* readSubscription(from, state, resets)
    if (count % STEP === 0) yield
  }
  yield* readTransactions(from, state)
  yield* state.timers.read(from)
  return state
}

// What is small ------------------------------------------------------------------------------------

function writeHead(to: Writer, state: BrokerState): void {
  to.u8(stateVersion)
  to.whole(state.nextQueueKey)
  to.whole(state.nextSubscriptionId)
  to.whole(state.lastAt)
  to.whole(state.nextTimerId)
  to.whole(state.firedDueMs)
  to.whole(state.transactions.next)
  to.text(state.transactions.secret)
  to.whole(state.topics.size)
  for (const topic of state.topics.values()) {
    writeTopic(to, { ...topic.settings, firstQueueKey: topic.firstQueueKey, queues: topic.queues.length })
    for (const queue of topic.queues) writeQueue(to, queue)
  }
  to.whole(state.groups.size)
  for (const group of state.groups.values()) writeGroup(to, group.settings)
  to.whole(state.deletedGroups.size)
  for (const [name, deletedAt] of state.deletedGroups) {
    to.text(name)
    to.whole(deletedAt)
  }
  writeResets(to, state)
}

function readHead(from: Reader, state: BrokerState, version: number): ReadonlyMap<number, readonly string[]> {
  state.nextQueueKey = from.whole()
  state.nextSubscriptionId = from.whole()
  state.lastAt = from.whole()
  state.nextTimerId = from.whole()
  state.firedDueMs = from.whole()
  state.transactions.next = from.whole()
  state.transactions.secret = from.text()
  for (let count = from.whole(); count > 0; count--) {
    const { firstQueueKey, queues, ...settings } = readTopic(from)
    const topic = makeTopic(settings, firstQueueKey, queues)
    for (const queue of topic.queues) {
      readQueue(from, queue)
      state.queues.set(queue.key, queue)
    }
    state.topics.set(settings.topicName, topic)
  }
  for (let count = from.whole(); count > 0; count--) {
    const settings = readGroup(from)
    state.groups.set(settings.consumerGroupId, makeGroup(settings))
    noteGroup(state, undefined, settings)
  }
  if (version >= 4)
    for (let count = from.whole(); count > 0; count--) state.deletedGroups.set(from.text(), from.whole())
  return readResets(from)
}

function writeQueue(to: Writer, { begin, end }: Queue): void {
  to.whole(begin)
  to.whole(end)
}

function readQueue(from: Reader, queue: Queue): void {
  queue.begin = from.whole()
  queue.end = from.whole()
}

/** Which resets each subscription carried out; most have none. */
function writeResets(to: Writer, state: BrokerState): void {
  const reset: Subscription[] = []
  for (const subscription of state.subscriptions.values())
    if (subscription.resetIds.length > 0) reset.push(subscription)
  to.whole(reset.length)
  for (const { id, resetIds } of reset) {
    to.whole(id)
    to.whole(resetIds.length)
    for (const resetId of resetIds) to.text(resetId)
  }
}

function readResets(from: Reader): ReadonlyMap<number, readonly string[]> {
  const resets = new Map<number, readonly string[]>()
  for (let count = from.whole(); count > 0; count--)
    resets.set(
      from.whole(),
      Array.from({ length: from.count() }, () => from.text()),
    )
  return resets
}

function* readLites(from: Reader, state: BrokerState): Generator<void, void> {
  for (const topic of state.topics.values()) {
    if (!topic.liteTopics) continue
    for (let count = from.whole(); count > 0; count--) {
      readQueue(from, addLiteTopic(state, topic, from.text(), from.whole(), from.whole()).queues[0])
      if (count % STEP === 0) yield
    }
  }
}

function* readTransactions(from: Reader, { transactions }: BrokerState): Generator<void, void> {
  for (let count = from.whole(); count > 0; count--) {
    openTransaction(transactions, {
      number: from.whole(),
      topicKey: from.whole(),
      position: from.whole(),
      messageId: from.text(),
      owner: from.text(),
      storedAt: from.whole(),
      checks: from.whole(),
      nextCheck: from.whole(),
    })
    if (count % STEP === 0) yield
  }
}

// A group's progress in a queue --------------------------------------------------------------------

/** What a cursor held whose deliveries were dropped since: nothing changes them any more (deliveries.ts, `forgetDelivered`). */
type CursorAsItWas = Pick<Cursor, 'next' | 'lock' | 'leases'>

/** As it was; of its deliveries what may have changed since. */
interface CursorCopy {
  readonly next: number
  readonly lock: QueueLock | null
  readonly leases: readonly Lease[]
  readonly numbers: Float64Array
  readonly owners: readonly string[]
}

function copyOf({ next, lock, leases: live }: Cursor): CursorCopy {
  const leases = [...live.values()]
  const numbers = new Float64Array(leases.length * LEASE_FIELDS)
  const owners: string[] = []
  for (let i = 0; i < leases.length; i++) {
    fill(numbers, i * LEASE_FIELDS, leases[i]!)
    owners.push(leases[i]!.owner)
  }
  return { next, lock, leases, numbers, owners }
}

function fill(numbers: Float64Array, at: number, lease: Lease): void {
  numbers[at] = lease.attempt
  numbers[at + 1] = lease.failures
  numbers[at + 2] = lease.session
  numbers[at + 3] = lease.at
  numbers[at + 4] = lease.deadline
  numbers[at + 5] = (lease.renewable ? RENEWABLE : 0) | (lease.returned ? RETURNED : 0) | (lease.acked ? ACKED : 0)
}

const one = new Float64Array(LEASE_FIELDS)

function writeCursor(to: Writer, { next, lock, leases }: Cursor): void {
  writeProgress(to, next, lock, leases.size)
  for (const lease of leases.values()) {
    fill(one, 0, lease)
    writeLease(to, lease, one, 0, lease.owner)
  }
}

function writeProgress(to: Writer, next: number, lock: QueueLock | null, leases: number): void {
  to.whole(next)
  to.optionalText(lock ? lock.attemptId : null)
  if (lock) {
    to.whole(lock.last)
    to.whole(lock.repeats)
  }
  to.whole(leases)
}

function writeLease(to: Writer, lease: Lease, numbers: Float64Array, at: number, owner: string): void {
  to.whole(lease.offset)
  to.whole(lease.position)
  to.u32(lease.tagHash)
  for (let field = 0; field < LEASE_FIELDS; field++) to.whole(numbers[at + field]!)
  to.text(owner)
}

function* readSubscription(
  from: Reader,
  state: BrokerState,
  resets: ReadonlyMap<number, readonly string[]>,
): Generator<void, void> {
  const id = from.whole()
  const group = state.groups.get(from.text())!
  const { topic } = state.queues.get(from.whole())!
  const subscription = makeSubscription(id, group, topic, [])
  subscription.resetIds = resets.get(id) ?? []
  for (const cursor of subscription.cursors) {
    cursor.next = from.whole()
    const attemptId = from.optionalText()
    cursor.lock = attemptId === null ? null : { attemptId, last: from.whole(), repeats: from.whole() }
    for (let count = from.whole(); count > 0; count--) {
      readLease(from, state, subscription, cursor)
      if (count % STEP === 0) yield
    }
  }
  addSubscription(state, subscription)
}

function readLease(from: Reader, state: BrokerState, subscription: Subscription, cursor: Cursor): void {
  const offset = from.whole()
  const position = from.whole()
  const tagHash = from.u32()
  const attempt = from.whole()
  const lease = newLease(state, subscription, cursor, { queueId: cursor.queue.id, offset, position, tagHash, attempt })
  lease.failures = from.whole()
  lease.session = from.whole()
  lease.at = from.whole()
  lease.deadline = from.whole()
  const flags = from.whole()
  lease.renewable = (flags & RENEWABLE) !== 0
  lease.returned = (flags & RETURNED) !== 0
  lease.owner = from.text()
  if ((flags & ACKED) !== 0) {
    applyAckedOutOfOrderTo(state, lease)
    return
  }
  if (lease.renewable) own(state, lease)
  state.deliveries.set(lease, lease.deadline)
}

// What an event changes ----------------------------------------------------------------------------

/** Whether the event drops all deliveries of the cursors that it changes. */
function dropsAll({ type }: BrokerEvent): boolean {
  return type === 'cursor-reset' || type === 'topic-removed' || type === 'group-removed' || type === 'lite-expired'
}

type Tell = (cursor: Cursor, subscription: Subscription) => void

/** Every group's progress in a queue that applying the event may touch. */
function changedBy(state: BrokerState, event: BrokerEvent, tell: Tell): void {
  switch (event.type) {
    case 'leased':
    case 'locked':
      ofSubscription(state, event.subscriptionId, event.nexts, tell)
      ofSubscription(state, event.subscriptionId, event.entries, tell)
      break
    case 'acked':
    case 'passed-over':
    case 'acked-out-of-order':
    case 'deadline':
      ofSubscription(state, event.subscriptionId, event.entries, tell)
      break
    case 'cursor-reset':
      ofSubscription(state, event.subscriptionId, event.cursors, tell)
      break
    case 'trimmed':
      for (const { queueKey } of event.queues) {
        const queue = state.queues.get(queueKey)
        for (const subscription of queue?.topic.subscriptions.values() ?? [])
          tell(subscription.cursors[queue!.id]!, subscription)
      }
      break
    case 'topic-removed': {
      const topic = state.topics.get(event.topicName)
      for (const each of topic ? [topic, ...(topic.liteTopics?.byName.values() ?? [])] : [])
        for (const subscription of each.subscriptions.values()) whole(subscription, tell)
      break
    }
    case 'lite-expired':
      for (const key of event.queueKeys)
        for (const subscription of state.queues.get(key)?.topic.subscriptions.values() ?? []) whole(subscription, tell)
      break
    case 'group':
    case 'group-removed':
      for (const subscription of state.groups.get(event.consumerGroupId)?.subscriptions.values() ?? [])
        whole(subscription, tell)
      break
    case 'time':
    case 'message':
    case 'topic':
    case 'subscribed':
    case 'timer-stored':
    case 'timer-fired':
    case 'timer-recalled':
    case 'half':
    case 'transaction-checked':
    case 'transaction-ended':
    case 'lite-topic':
    case 'lite-subscribed':
      break
    default:
      event satisfies never
  }
}

function ofSubscription(
  state: BrokerState,
  subscriptionId: number,
  names: ReadonlyArray<Pick<MessageName, 'queueId'>>,
  tell: Tell,
): void {
  const subscription = state.subscriptions.get(subscriptionId)
  if (!subscription) return
  for (const { queueId } of names) {
    const cursor = subscription.cursors[queueId]
    if (cursor) tell(cursor, subscription)
  }
}

function whole(subscription: Subscription, tell: Tell): void {
  for (const cursor of subscription.cursors) tell(cursor, subscription)
}

// Of a hundred thousand each, copied at one moment: no array or call for each.

function numbersOfLites(topics: readonly LiteTopic[]): Float64Array {
  const numbers = new Float64Array(topics.length * 3)
  let at = 0
  for (const { lastMs, queues } of topics) {
    numbers[at++] = lastMs
    numbers[at++] = queues[0].begin
    numbers[at++] = queues[0].end
  }
  return numbers
}

function numbersOfTransactions(open: readonly OpenTransaction[]): Float64Array {
  const numbers = new Float64Array(open.length * 2)
  let at = 0
  for (const { checks, nextCheck } of open) {
    numbers[at++] = checks
    numbers[at++] = nextCheck
  }
  return numbers
}
