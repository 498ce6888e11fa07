/**
 * The one way from a module of the shell to the log: `commit` writes what was decided, `durable` says when it may be
 * promised. Failures of the log come out as refusals, and a broker that is closed or has failed writes nothing.
 */
import { BrokerRefusal } from '../../model/refusals.ts'
import type { BrokerEvent } from '../core/events.ts'
import { codes } from '../core/refusal.ts'
import type { Journal } from './journal.ts'
import { asRefusal, refuse } from './refusals.ts'

/** How exactly a trace tells when a message was acknowledged. */
const DATED_EVERY_MS = 1_000

/** Events that people are told the time of, and that do not carry it. */
const timeless = new Set<BrokerEvent['type'] | undefined>([
  'acked',
  'acked-out-of-order',
  'passed-over',
  'deadline',
  'timer-recalled',
])

/** What gives space back, or lets retention do so. Everything else may wait while the disk is almost full. */
const freeing = new Set<BrokerEvent['type']>([
  ...(['acked', 'acked-out-of-order', 'passed-over', 'trimmed', 'timer-recalled', 'transaction-ended'] as const),
  ...(['topic-removed', 'group-removed', 'lite-expired', 'time'] as const),
])

export interface WritingContext {
  readonly journal: Journal
  /** Why only what gives space back is written; null while all is. */
  writePause(): string | null
  now(): number
  closed(): boolean
  report(error: unknown): void
}

export class Writing {
  readonly #context: WritingContext
  readonly #journal: Journal
  #datedAt = 0
  /** The journal's promise of what was committed last, and the same with a refusal for those who call. */
  #awaited: Promise<void> | null = null
  #durable: Promise<void> = Promise.resolve()

  constructor(context: WritingContext) {
    this.#context = context
    this.#journal = context.journal
  }

  /** Written and applied as one record group; throws a `BrokerRefusal` and then has changed nothing. */
  commit(events: readonly BrokerEvent[]): void {
    const pause = this.#context.writePause()
    if (pause !== null && !events.every(({ type }) => freeing.has(type)))
      throw refuse({ code: codes.tooManyRequests, message: pause })
    this.#write(events)
  }

  /** As `commit`, for what is written again so that the segment that holds it can go. */
  commitToTrim(events: readonly BrokerEvent[]): void {
    this.#write(events)
  }

  #write(events: readonly BrokerEvent[]): void {
    if (this.#context.closed())
      throw refuse({ code: codes.internal, message: 'the instance is stopping; try again later' })
    if (this.#journal.failed) throw refuse(asRefusal(this.#journal.failed))
    try {
      this.#journal.commit(this.#dated(events))
    } catch (error) {
      throw refuse(asRefusal(error))
    }
  }

  /** For work in the background, which is tried again later. */
  tryCommit(events: readonly BrokerEvent[]): boolean {
    try {
      for (const event of events) this.commit([event])
      return true
    } catch (error) {
      if (!(error instanceof BrokerRefusal && error.code === codes.tooManyRequests)) this.#context.report(error)
      return false
    }
  }

  /** Resolves when everything committed so far is durable; one promise for all that becomes durable together. */
  durable(): Promise<void> {
    const { durable } = this.#journal
    if (durable !== this.#awaited) {
      this.#awaited = durable
      this.#durable = durable.catch((error: unknown) => {
        throw refuse(asRefusal(error))
      })
      // Whoever waits hears of a failure; when nobody does it is reported where it was found.
      this.#durable.catch(() => {})
    }
    return this.#durable
  }

  /** Before work that only reads: what the disk holds of a log that failed is unknown. */
  refuseWhenFailed(): void {
    const failed = this.#journal.failed ?? this.#journal.log.failed
    if (failed) throw refuse(asRefusal(failed))
  }

  /** Nothing can be written any more. */
  get stopped(): boolean {
    return this.#context.closed() || this.#journal.failed !== null
  }

  /** What carries no time is preceded by it, once a second: message traces say when a message was acknowledged. */
  #dated(events: readonly BrokerEvent[]): readonly BrokerEvent[] {
    const type = events[0]?.type
    if (!timeless.has(type)) return events
    const at = this.#context.now()
    if (at - this.#datedAt < DATED_EVERY_MS) return events
    this.#datedAt = at
    return [{ type: 'time', at }, ...events]
  }
}
