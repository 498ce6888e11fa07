/**
 * Timed messages, live: puts them into queues when they are due, removes them when they are
 * recalled, and writes them again when retention frees their segments.
 *
 * A delivery time is a time of the wall clock, so the wall clock decides what is due (the broker's own
 * time may run ahead of it after the clock was set back). Nothing tells a process that the clock
 * was set or that the machine slept: while messages wait, the clock is looked at once a second. Work is
 * done in portions, each durable before the next begins, so that many messages due at once, or
 * overdue after a restart, do not block other calls. A failure is tried again later, except for
 * a record that is damaged on the disk: it is reported and passed over, or it would block all that follow.
 */

import type { MessageId, TopicName } from '../../model/ids.ts'
import { BrokerRefusal } from '../../model/refusals.ts'
import type { Cancel, Clock } from '../../world/world.ts'
import type { SendRequest } from '../broker.ts'
import { decodeEvent } from '../core/event-codec.ts'
import type { BrokerEvent, MessageEvent, TimerStoredEvent } from '../core/events.ts'
import { codes, type Refusal } from '../core/refusal.ts'
import type { BrokerState, Topic } from '../core/state.ts'
import {
  type DueMessage,
  decideMoved,
  decideTimerFired,
  decideTimerStored,
  formatRecallHandle,
  isNamed,
  nameOfTimer,
  parseRecallHandle,
  refuseTimer,
  type TimerName,
} from '../core/timers.ts'
import type { SegmentLog } from '../log/contract.ts'
import { isDamage, LogError } from '../log/errors.ts'
import { yieldToEventLoop } from '../log/yield.ts'
import { refuse } from './refusals.ts'

/** A portion: messages and bytes put into one record group. */
const PORTION = 512
const PORTION_BYTES = 4 * 2 ** 20
/** Rows of the timer table looked at in one step when segments are to go. */
const ROWS_AT_ONCE = 16_384
/** Records read before their size is known. */
const READ_FIRST = 4
/** How late a clock that was set forward is noticed, at most. */
const LOOK_MS = 1_000
/** Before another try while nothing may be written. */
const PAUSED_MS = 1_000
/** Pause before another try when the log is busy, and when the disk failed to read. */
const BUSY_MS = 20
const FAILED_MS = 10_000

/** What timers may use of the shell around them. */
export interface TimersContext {
  readonly state: BrokerState
  readonly clock: Clock
  readonly log: SegmentLog
  /** The broker's own time, which never goes back. */
  now(): number
  /** Written and applied; throws a `BrokerRefusal` and then has changed nothing. */
  commit(events: readonly BrokerEvent[]): void
  /** As `commit`, for what is written again so that the segment that holds it can go. */
  commitToTrim(events: readonly BrokerEvent[]): void
  /** Why nothing may be written; null when it may. */
  writePause(): string | null
  /** Resolves when everything committed so far is durable. */
  durable(): Promise<void>
  /** Closed, or the log has failed. */
  stopped(): boolean
  report(error: unknown): void
}

export class Timers {
  readonly #context: TimersContext
  readonly #state: BrokerState
  #firing = false
  /** Messages in the next portion; fewer after a group that did not fit into a segment. */
  #portion = PORTION
  /** Nothing is tried before; by the monotonic clock. */
  #pausedUntil = 0
  #cancel: Cancel | null = null
  /** By the monotonic clock. */
  #armedFor = Number.POSITIVE_INFINITY

  constructor(context: TimersContext) {
    this.#context = context
    this.#state = context.state
    this.#arm()
  }

  /** Events of a send in the order of its messages; `sent` must hear of them once they are committed. Throws a `BrokerRefusal`. */
  decideSend(topic: Topic, { messages }: SendRequest, at: number): Array<MessageEvent | TimerStoredEvent> {
    const wallMs = this.#context.clock.now()
    const events = decideTimerStored(this.#state, topic, messages, { at, wallMs })
    if (!events.some(isStored)) return events
    const refusal = refuseTimer(this.#state, events.filter(isStored).length)
    if (refusal) throw refuse(refusal)
    return events
  }

  /** The recall handles of what was just committed, null for what does not wait; null when nothing of it does. */
  sent(events: ReadonlyArray<MessageEvent | TimerStoredEvent>): Array<string | null> | null {
    if (!events.some(isStored)) return null
    const handles = events.map((event) => {
      if (event.type !== 'timer-stored') return null
      return formatRecallHandle(nameOfTimer(event, this.#state.timers.positionOf(event.timerId)!))
    })
    this.#arm()
    return handles
  }

  /**
   * Takes a waiting message back, durably; answers its message id, also when that was done before.
   * Refused: malformed or foreign handles and those of another topic (40000), and messages whose time has come (40400).
   */
  async recall(request: { topic: TopicName; handle: string }): Promise<{ messageId: MessageId }> {
    const topic = this.#state.topics.get(request.topic)
    if (!topic)
      throw refuse({
        code: codes.topicNotFound,
        message: `topic ${request.topic} does not exist; there is nothing to recall`,
      })
    const name = parseRecallHandle(request.handle)
    if (!name) throw refuse(foreign('is malformed; take it from the result of the send as it is'))
    const record = await this.#recordOf(name)
    if (!record || !isNamed(name, record))
      throw refuse(foreign('names no message of this instance; take it from the result of the send'))
    if (record.queueKey !== topic.firstQueueKey)
      throw refuse(foreign(`is of another topic than ${request.topic}, or of one of that name that was removed`))
    if (this.#state.timers.has(name.timerId))
      this.#context.commit([{ type: 'timer-recalled', timerIds: [name.timerId] }])
    else if (this.#hasPassed(name)) throw refuse(tooLate())
    await this.#context.durable()
    return { messageId: record.messageId }
  }

  /**
   * Before the segments below a position go: what waits in them is written again. Rejects when some of it could not be.
   * However many wait, the table is looked through a stretch at a time.
   */
  async moveAbove(position: number): Promise<void> {
    const { timers } = this.#state
    for (let from = timers.size; from > 0; ) {
      const { timerIds, next } = timers.below(position, from, ROWS_AT_ONCE)
      await this.#move(timerIds, position)
      from = next
      if (from > 0) await yieldToEventLoop()
    }
  }

  async #move(ids: readonly number[], position: number): Promise<void> {
    const { timers } = this.#state
    for (let next = 0, most = PORTION; next < ids.length; ) {
      const some: number[] = []
      let end = next
      for (; end < ids.length && some.length < most; end++) {
        const where = timers.positionOf(ids[end]!)
        if (where !== null && where < position) some.push(ids[end]!)
      }
      const read = await this.#read(some)
      if (this.#context.stopped()) throw new LogError('closed', 'The broker stopped while timed messages were moved')
      const outcome = this.#try(decideMoved(this.#state, read, this.#context.now()), (events) =>
        this.#context.commitToTrim(events),
      )
      if (outcome === 'busy') await this.#pause(BUSY_MS)
      else if (outcome === 'too-large') {
        if (read.length === 1) throw new Error('A timed message does not fit into a segment of the log any more.')
        most = smaller(read.length)
      } else {
        most = Math.min(PORTION, 2 * most)
        next = read.length < some.length ? ids.indexOf(some[read.length]!, next) : end
        await this.#context.durable()
      }
    }
  }

  close(): void {
    this.#cancel?.()
    this.#cancel = null
  }

  // Firing ---------------------------------------------------------------------------------------

  #arm(): void {
    const { clock } = this.#context
    if (this.#firing || this.#state.timers.size === 0 || this.#context.stopped()) return
    const now = clock.monotonic()
    const wait = Math.min(Math.max(0, this.#state.timers.earliest - clock.now()), LOOK_MS)
    const when = Math.max(now + wait, this.#pausedUntil)
    if (when >= this.#armedFor) return
    this.#cancel?.()
    this.#armedFor = when
    this.#cancel = clock.after(when - now, () => {
      this.#cancel = null
      this.#armedFor = Number.POSITIVE_INFINITY
      if (this.#state.timers.earliest <= clock.now()) void this.#fire()
      else this.#arm()
    })
  }

  /** Until none is due any more. */
  async #fire(): Promise<void> {
    if (this.#firing || this.#context.stopped()) return
    this.#firing = true
    try {
      while (await this.#firePortion());
    } catch (error) {
      if (!this.#context.stopped()) {
        this.#context.report(error)
        this.#pauseFor(FAILED_MS)
      }
    } finally {
      this.#firing = false
      this.#arm()
    }
  }

  /** Whether there may be more to do at once. */
  async #firePortion(): Promise<boolean> {
    const { clock } = this.#context
    const due = this.#state.timers.due(clock.now(), this.#portion)
    if (due.length === 0) return false
    // What is due would be read each time for nothing, from a disk that has no room.
    if (this.#context.writePause() !== null) {
      this.#pauseFor(PAUSED_MS)
      return false
    }
    const read = await this.#read(due.map(({ timerId }) => timerId))
    if (this.#context.stopped()) return false
    // The clock may have been set back since; what is not due any more waits on.
    const wallMs = clock.now()
    const still = read.filter((_, i) => due[i]!.dueMs <= wallMs)
    const outcome = this.#try(decideTimerFired(this.#state, still, this.#context.now()), (events) =>
      this.#context.commit(events),
    )
    if (outcome === 'busy') {
      this.#pauseFor(BUSY_MS)
      return false
    }
    if (outcome === 'too-large') {
      if (still.length === 1) throw new Error(`A timed message that is due does not fit into a segment of the log.`)
      this.#portion = smaller(still.length)
      return true
    }
    this.#portion = Math.min(PORTION, 2 * this.#portion)
    await this.#context.durable()
    return still.length > 0
  }

  #try(
    events: readonly BrokerEvent[],
    commit: (events: readonly BrokerEvent[]) => void,
  ): 'done' | 'busy' | 'too-large' {
    if (events.length === 0) return 'done'
    try {
      commit(events)
      return 'done'
    } catch (error) {
      if (error instanceof BrokerRefusal && error.code === codes.tooManyRequests) return 'busy'
      if (error instanceof BrokerRefusal && error.code === codes.payloadTooLarge) return 'too-large'
      throw error
    }
  }

  #pauseFor(ms: number): void {
    this.#pausedUntil = this.#context.clock.monotonic() + ms
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#context.clock.after(ms, resolve)
    })
  }

  // Records --------------------------------------------------------------------------------------

  /** The messages of the first so many ids, as many as one portion should hold, in order. At least one. */
  async #read(timerIds: readonly number[]): Promise<DueMessage[]> {
    const found: DueMessage[] = []
    let bytes = 0
    for (let next = READ_FIRST; found.length < timerIds.length && next > 0; ) {
      for (const each of await this.#readAll(timerIds.slice(found.length, found.length + next))) {
        bytes += each.message?.payload.length ?? 0
        found.push(each)
      }
      next = Math.floor((PORTION_BYTES - bytes) / (bytes / found.length + 1))
    }
    return found
  }

  async #readAll(timerIds: readonly number[]): Promise<DueMessage[]> {
    const positions = timerIds.map((timerId) => this.#state.timers.positionOf(timerId))
    try {
      const records = await this.#context.log.readMany(positions.map((position) => position!))
      return records.map((record, i) => ({ timerId: timerIds[i]!, message: timedOf(record) }))
    } catch {
      // One of them is damaged, or has gone meanwhile: each by itself.
      const found: DueMessage[] = []
      for (const timerId of timerIds) found.push({ timerId, message: await this.#readOne(timerId) })
      return found
    }
  }

  /** Null when it does not wait any more, or is damaged. Rejects when the disk could not be read now. */
  async #readOne(timerId: number): Promise<TimerStoredEvent | null> {
    for (;;) {
      const position = this.#state.timers.positionOf(timerId)
      if (position === null) return null
      try {
        return timedOf(await this.#context.log.read(position))
      } catch (error) {
        if (this.#context.stopped()) throw error
        // It was moved while it was read, and its old segment was removed.
        if (this.#state.timers.positionOf(timerId) !== position) continue
        if (!isDamage(error)) throw error
        this.#context.report(
          new Error('A timed message cannot be read any more; it is passed over, and the others go on.', {
            cause: error,
          }),
        )
        return null
      }
    }
  }

  /** The record a recall handle was made for; null when there is none. */
  async #recordOf(name: TimerName): Promise<TimerStoredEvent | null> {
    try {
      if (this.#state.timers.has(name.timerId)) {
        const record = await this.#readOne(name.timerId)
        if (record) return record
      }
      if (this.#hasPassed(name) || this.#isForgotten(name)) throw refuse(tooLate())
      return timedOf(await this.#context.log.read(name.position))
    } catch (error) {
      if (error instanceof BrokerRefusal) throw error
      if (error instanceof LogError && (error.code === 'failed' || error.code === 'closed'))
        throw refuse({ code: codes.internal, message: `the broker cannot use its log: ${error.message}` })
      // Any record may lie at a position that a client made up.
      if (!this.#state.timers.has(name.timerId)) return null
      throw refuse({ code: codes.internal, message: 'the message could not be read from the disk; try again later' })
    }
  }

  /** Retention took the record, so the handle cannot be compared; it is taken only for a message that did not wait. */
  #isForgotten({ timerId, position }: TimerName): boolean {
    return timerId < this.#state.nextTimerId && position < this.#context.log.first
  }

  /**
   * What does not wait any more was either recalled or delivered. When nothing as late as it was ever delivered it was
   * recalled; otherwise it is unknown, and the answer is that its time has come, which is true.
   */
  #hasPassed(name: TimerName): boolean {
    return name.dueMs <= this.#state.firedDueMs
  }
}

function timedOf(record: Uint8Array): TimerStoredEvent {
  const event = decodeEvent(record)
  if (event.type !== 'timer-stored') throw new Error(`The timer table names a record that is a ${event.type}.`)
  return event
}

function smaller(count: number): number {
  return Math.max(1, Math.floor(count / 2))
}

function foreign(what: string): Refusal {
  return { code: codes.badRequest, message: `the recall handle ${what}` }
}

/**
 * Not MESSAGE_NOT_FOUND (40401): the Python client takes that for an empty poll's success whatever was asked, and would
 * tell its user that the message was recalled.
 */
function tooLate(): Refusal {
  return {
    code: codes.notFound,
    message:
      'the message cannot be recalled any more: its delivery time has come, and it was delivered or is about to be, or it was recalled long ago',
  }
}

const isStored = ({ type }: MessageEvent | TimerStoredEvent): boolean => type === 'timer-stored'
