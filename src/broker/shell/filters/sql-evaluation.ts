/**
 * Evaluates SQL92 expressions on stored messages, ahead of the take and outside of it: the take is synchronous
 * and sees only the results (`Entries.passes`, `Lease.matchedBy`).
 *
 * A queue is evaluated in portions, bounded in messages and bytes, until one holds a match; what was passed over
 * on the way is remembered as one stretch, so a million messages that do not match cost their subscription and
 * nothing in the log. Only the latest expression of each subscription is remembered, for it is the rule that
 * a group's members use one. Between two messages the turn of the event loop may end: an expression at its limit
 * takes milliseconds for one message at its limit.
 */
import type { Clock } from '../../../world/world.ts'
import type { Entries } from '../../core/consuming/take.ts'
import type { SqlFilter } from '../../core/filters/filter.ts'
import { limits } from '../../core/limits.ts'
import type { Lease, Queue, Subscription } from '../../core/state.ts'
import { IdleMemory } from '../consuming/idle-memory.ts'
import { messageOf } from '../records.ts'
import type { TurnBudget } from '../turn-budget.ts'

/** Payload bytes read at a time. */
const PORTION_BYTES = 4 * 2 ** 20

export interface SqlEvaluationContext {
  readonly clock: Clock
  readonly turns: TurnBudget
  now(): number
  lookup(queueKey: number, from: number, count: number): Promise<Entries> | Entries
  readMany(positions: readonly number[]): Promise<Uint8Array[]>
}

/** What is known of a queue under one expression: from `from` to where `entries` begin, nothing passes. */
interface Evaluated {
  readonly filter: SqlFilter
  readonly from: number
  readonly end: number
  readonly entries: Required<Entries>
}

export class SqlEvaluation {
  readonly #context: SqlEvaluationContext
  readonly #evaluated: IdleMemory<Map<number, Evaluated>>

  constructor(context: SqlEvaluationContext) {
    this.#context = context
    this.#evaluated = new IdleMemory(() => context.now())
  }

  /** When there is memory to be given back, at the earliest. */
  get due(): number {
    return this.#evaluated.due
  }

  sweep(at: number): void {
    this.#evaluated.sweep(at)
  }

  /** Entries from an offset on that were evaluated; null when they are to be evaluated first. */
  entriesAt(subscription: Subscription, filter: SqlFilter, queueKey: number, from: number): Entries | null {
    const queues = this.#evaluated.get(subscription)
    const evaluated = queues?.get(queueKey)
    if (!queues || !evaluated) return null
    if (evaluated.filter === filter && from >= evaluated.from && from < evaluated.end)
      return after(evaluated.entries, from)
    queues.delete(queueKey)
    if (queues.size === 0) this.#evaluated.delete(subscription)
    return null
  }

  /** Evaluates the queues until `enough` messages pass, no message is left, or `isWanted` answers false. */
  async evaluate(
    subscription: Subscription,
    filter: SqlFilter,
    enough: number,
    isWanted: () => boolean,
  ): Promise<void> {
    const { cursors, roundRobin } = subscription
    let passed = 0
    for (let i = 0; i < cursors.length && passed < enough && (i === 0 || isWanted()); i++) {
      const { queue, next } = cursors[(roundRobin + i) % cursors.length]!
      if (next >= queue.end || this.entriesAt(subscription, filter, queue.key, next)) continue
      passed += await this.#evaluateQueue(subscription, filter, queue, next, isWanted)
    }
  }

  /** Until a portion holds a match, the queue ends, or a take has passed over enough. Answers how many passed. */
  async #evaluateQueue(
    subscription: Subscription,
    filter: SqlFilter,
    queue: Queue,
    from: number,
    isWanted: () => boolean,
  ): Promise<number> {
    let at = from
    let entries: Required<Entries> | null = null
    let passed = 0
    while (at < queue.end && at - from < limits.scanBudget && entries === null) {
      if (at > from) {
        // What is in memory is read without a pause, and others want to run too.
        await new Promise<void>((resolve) => this.#context.clock.after(0, resolve))
        if (!isWanted()) break
      }
      const found = await this.#context.lookup(queue.key, at, Math.min(queue.end - at, limits.scanStep))
      if (found.count === 0 && found.from <= at)
        throw new Error(`Queue ${queue.key} has no entry for its offset ${at}.`)
      const positions = Array.from({ length: found.count }, (_, i) => found.position(i))
      const passes = await this.#ask(filter, positions, isWanted)
      if (passes === null) return passed
      for (const one of passes) passed += one
      if (passed > 0) entries = evaluated(found, passes)
      else at = found.from + found.count
    }
    entries ??= nothingFrom(at)
    const queues = this.#evaluated.get(subscription) ?? new Map<number, Evaluated>()
    this.#evaluated.set(
      subscription,
      queues.set(queue.key, { filter, from, end: entries.from + entries.count, entries }),
    )
    return passed
  }

  /** Evaluates the expression for messages that were delivered before; the result is kept in their leases. */
  async evaluateDelivered(leases: readonly Lease[], filter: SqlFilter, isWanted: () => boolean): Promise<void> {
    const positions = leases.map((lease) => lease.position)
    const passes = await this.#ask(filter, positions, isWanted)
    if (passes === null) return
    leases.forEach((lease, i) => {
      if (passes[i] === 1) lease.matchedBy = filter
      else lease.refusedBy = filter
    })
  }

  forget(subscription: Subscription): void {
    this.#evaluated.delete(subscription)
  }

  /** 1 for each message that matches, else 0; null when `isWanted` answers false. */
  async #ask(filter: SqlFilter, positions: readonly number[], isWanted: () => boolean): Promise<Uint8Array | null> {
    const { turns } = this.#context
    const passes = new Uint8Array(positions.length)
    let bytes = 0
    // The size of a message shows when it is read: a few first, then by the size of those.
    for (let next: number = limits.messagesReadFirst, done = 0; done < positions.length; ) {
      const records = await this.#read(positions.slice(done, done + next))
      for (const record of records) {
        if (turns.isSpent) {
          await turns.pause()
          if (!isWanted()) return null
        }
        bytes += record?.length ?? 0
        passes[done++] = record === null || filter.passes(messageOf(record).payload) ? 1 : 0
      }
      next = Math.max(1, Math.floor(PORTION_BYTES / (bytes / done + 1)))
    }
    return passes
  }

  /** One that cannot be read passes: its delivery fails then, and is tried again later, as without a filter. */
  async #read(positions: readonly number[]): Promise<Array<Uint8Array | null>> {
    try {
      return await this.#context.readMany(positions)
    } catch {
      if (positions.length === 1) return [null]
      const each: Array<Uint8Array | null> = []
      for (const position of positions) each.push(...(await this.#read([position])))
      return each
    }
  }
}

function evaluated(found: Entries, passes: Uint8Array): Required<Entries> {
  return {
    from: found.from,
    count: found.count,
    position: (i) => found.position(i),
    tagHash: (i) => found.tagHash(i),
    storeTimeMs: (i) => found.storeTimeMs(i),
    passes: (i) => passes[i] === 1,
  }
}

function nothingFrom(from: number): Required<Entries> {
  return { from, count: 0, position: none, tagHash: none, storeTimeMs: none, passes: none }
}

function none(): never {
  throw new Error('There are no entries in a stretch that was passed over.')
}

function after(entries: Required<Entries>, from: number): Entries {
  const skipped = from - entries.from
  if (skipped <= 0) return entries
  return {
    from,
    count: entries.count - skipped,
    position: (i) => entries.position(i + skipped),
    tagHash: (i) => entries.tagHash(i + skipped),
    storeTimeMs: (i) => entries.storeTimeMs(i + skipped),
    passes: (i) => entries.passes(i + skipped),
  }
}
