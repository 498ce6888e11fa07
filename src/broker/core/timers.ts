/**
 * Timed messages (DELAY topics): kept apart until they are due, then put into a queue like any other
 * message (data-plane §5.1, §5.2).
 *
 * While it waits, a message is a `timer-stored` record in the log and a row in the timer table. When it is due, one
 * atomic group takes the row out and writes the message into a queue chosen at that moment; a recall
 * takes the row out and writes nothing. The topic is named by its first queue's key, which is never used
 * twice: what waits for a topic that was removed is passed over when it is due, also when a topic of
 * that name was made again.
 */
import type { MessageEvent, TimerFiredEvent, TimerRecalledEvent, TimerStoredEvent } from './events.ts'
import { tagHash } from './filters/filter.ts'
import { limits } from './limits.ts'
import { codes, type Refusal } from './refusal.ts'
import { decideSend, type Outgoing } from './sending.ts'
import type { BrokerState, Topic } from './state.ts'

export interface OutgoingTimer extends Outgoing {
  /** By the wall clock; null or absent: at once. */
  readonly deliverAtMs?: number | null
}

/** A timed message appears at the first whole second at or after its time (§5.1): never early, at most a second late. */
export function dueAt(deliverAtMs: number): number {
  return Math.ceil(deliverAtMs / 1_000) * 1_000
}

/**
 * One event a message, in their order: those whose time has come go into a queue, the others wait. `at` is the broker's
 * time, `wallMs` the wall clock, which is what a delivery time means.
 */
export function decideTimerStored(
  state: BrokerState,
  topic: Topic,
  messages: readonly OutgoingTimer[],
  { at, wallMs }: { readonly at: number; readonly wallMs: number },
): Array<MessageEvent | TimerStoredEvent> {
  const waits = (message: OutgoingTimer) => message.deliverAtMs != null && message.deliverAtMs > wallMs
  if (!messages.some(waits)) return decideSend(topic, messages, at)
  const now = decideSend(
    topic,
    messages.filter((message) => !waits(message)),
    at,
  )
  let next = 0
  let timerId = state.nextTimerId
  return messages.map((message) =>
    waits(message)
      ? {
          type: 'timer-stored',
          timerId: timerId++,
          queueKey: topic.firstQueueKey,
          dueMs: dueAt(message.deliverAtMs!),
          storeTimeMs: at,
          tag: message.tag,
          messageId: message.messageId,
          bodyBytes: message.bodyBytes,
          payload: message.payload,
        }
      : now[next++]!,
  )
}

/** Null when so many more may wait. */
export function refuseTimer(state: BrokerState, more: number): Refusal | null {
  if (state.timers.size + more <= limits.timedMessages) return null
  return {
    code: codes.tooManyRequests,
    message: `${state.timers.size} timed messages wait already, and the broker keeps at most ${limits.timedMessages}; send again when some were delivered`,
  }
}

/** Null stands for a record that is damaged and cannot be read. */
export interface DueMessage {
  readonly timerId: number
  readonly message: TimerStoredEvent | null
}

/** What takes the messages that still wait out of the table and into queues; empty when none of them does. */
export function decideTimerFired(
  state: BrokerState,
  due: readonly DueMessage[],
  at: number,
): Array<TimerFiredEvent | MessageEvent> {
  const still = due.filter(({ timerId }) => state.timers.has(timerId))
  if (still.length === 0) return []
  const byTopic = new Map<Topic, TimerStoredEvent[]>()
  for (const { message } of still) {
    const topic = message && state.queues.get(message.queueKey)?.topic
    if (!topic) continue
    const messages = byTopic.get(topic)
    if (messages) messages.push(message)
    else byTopic.set(topic, [message])
  }
  const fired: TimerFiredEvent = { type: 'timer-fired', at, timerIds: still.map(({ timerId }) => timerId) }
  return [fired, ...[...byTopic].flatMap(([topic, messages]) => decideSend(topic, messages, at))]
}

/**
 * The same messages written once more, so that the segments where they lie may go. What waits for a topic that is
 * gone, or cannot be read, is dropped instead.
 */
export function decideMoved(
  state: BrokerState,
  moving: readonly DueMessage[],
  at: number,
): Array<TimerStoredEvent | TimerRecalledEvent> {
  const still = moving.filter(({ timerId }) => state.timers.has(timerId))
  const events: Array<TimerStoredEvent | TimerRecalledEvent> = []
  const gone: number[] = []
  for (const { timerId, message } of still)
    if (message && state.queues.has(message.queueKey)) events.push({ ...message, storeTimeMs: at })
    else gone.push(timerId)
  if (gone.length > 0) events.push({ type: 'timer-recalled', timerIds: gone })
  return events
}

export function applyTimerStored(state: BrokerState, event: TimerStoredEvent, position: number): void {
  state.timers.set({ timerId: event.timerId, dueMs: event.dueMs, position })
  state.nextTimerId = Math.max(state.nextTimerId, event.timerId + 1)
  if (event.storeTimeMs > state.lastAt) state.lastAt = event.storeTimeMs
}

export function applyTimerFired(state: BrokerState, event: TimerFiredEvent): void {
  for (const timerId of event.timerIds) {
    state.firedDueMs = Math.max(state.firedDueMs, state.timers.dueOf(timerId) ?? 0)
    state.timers.remove(timerId)
  }
  if (event.at > state.lastAt) state.lastAt = event.at
}

export function applyTimerRecalled(state: BrokerState, event: TimerRecalledEvent): void {
  for (const timerId of event.timerIds) state.timers.remove(timerId)
}

// Recall handles -----------------------------------------------------------------------------------

/** What a recall handle says. All of it is compared with the record before anything is changed. */
export interface TimerName {
  readonly timerId: number
  readonly dueMs: number
  /** Where the record lay when it was written; it may lie elsewhere by now. */
  readonly position: number
  /** Of message id and topic. */
  readonly check: number
}

const SHAPE = /^t1\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{1,7})$/

export function nameOfTimer(event: TimerStoredEvent, position: number): TimerName {
  return { timerId: event.timerId, dueMs: event.dueMs, position, check: checkOf(event) }
}

/** Opaque to clients (data-plane §1.14). */
export function formatRecallHandle(name: TimerName): string {
  return `t1.${name.timerId.toString(36)}.${name.dueMs.toString(36)}.${name.position.toString(36)}.${name.check.toString(36)}`
}

/** Null for anything `formatRecallHandle` did not make. */
export function parseRecallHandle(handle: string): TimerName | null {
  const parts = SHAPE.exec(handle)
  if (!parts) return null
  const [timerId, dueMs, position, check] = parts.slice(1).map((part) => Number.parseInt(part, 36)) as [
    number,
    number,
    number,
    number,
  ]
  const sound = [timerId, dueMs, position].every(Number.isSafeInteger) && check < 2 ** 32
  return sound ? { timerId, dueMs, position, check } : null
}

/** Whether the record is the one the handle was made for. */
export function isNamed(name: TimerName, event: TimerStoredEvent): boolean {
  return event.timerId === name.timerId && event.dueMs === name.dueMs && checkOf(event) === name.check
}

function checkOf(event: TimerStoredEvent): number {
  return tagHash(`${event.queueKey} ${event.messageId}`) >>> 0
}
