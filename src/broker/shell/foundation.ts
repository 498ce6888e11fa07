/**
 * What every module of the shell uses: the journal, the one way to write to it, the alarm, the settings in force and
 * the session that handles are of; and `common`, which is made of them and of which each module declares what it uses.
 */
import { BrokenInvariant } from '../../model/assert.ts'
import type { Clock } from '../../world/world.ts'
import type { BrokerSettings } from '../broker.ts'
import type { BrokerEvent } from '../core/events.ts'
import type { TermSources } from '../core/lookup-terms.ts'
import type { SegmentAge } from '../core/retention.ts'
import type { BrokerState, Subscription, Topic } from '../core/state.ts'
import type { SegmentLog } from '../log/contract.ts'
import type { LookupIndex } from '../log/lookup/lookup-index.ts'
import type { PersistentQueueIndex } from '../log/queue-index.ts'
import { Alarm } from './alarm.ts'
import { Journal } from './journal.ts'
import type { SteadyTime } from './time.ts'
import type { TurnBudget } from './turn-budget.ts'
import { Writing } from './writing.ts'

export interface BrokerShellOptions {
  readonly clock: Clock
  readonly time: SteadyTime
  /** The instance's part of the event loop's turns. */
  readonly turns: TurnBudget
  /** Random, drawn at the start and another after each reset, so that redelivered messages have new handles. */
  readonly session: number
  /** Draws what transaction ids are signed with. */
  readonly secret: () => string
  readonly settings: BrokerSettings
  readonly state: BrokerState
  readonly log: SegmentLog
  readonly index: PersistentQueueIndex
  readonly lookups: LookupIndex
  readonly keysIn: TermSources['keysIn']
  readonly ages: SegmentAge[]
  readonly newestMs: number
  readonly unsealedSinceMs: number | null
  readonly report: (error: unknown) => void
}

/** What happens without a call, and the needs of subscriptions that several modules cause (upkeep.ts). */
export interface FoundationHooks {
  arrived(topics: ReadonlySet<Topic>): void
  visible(topics: ReadonlySet<Topic>): void
  logFailed(error: Error): void
  /** The earliest thing due, by the broker's own time. */
  earliest(): number
  ring(): void
  attend(subscription: Subscription): void
  serve(subscription: Subscription): void
  moved(subscription: Subscription): void
  closed(): boolean
}

export function createFoundation(options: BrokerShellOptions, hooks: FoundationHooks) {
  const { clock, index, keysIn, log, lookups, report, state, time, turns } = options
  let { session, settings } = options
  const now = () => time.now()
  const { closed } = hooks
  const journal = new Journal({
    ...{ state, log, index, lookups, report },
    ages: options.ages,
    newestMs: options.newestMs,
    unsealedSinceMs: options.unsealedSinceMs,
    onArrival: hooks.arrived,
    onVisible: hooks.visible,
    onFailure: hooks.logFailed,
  })
  const writing = new Writing({ journal, now, closed, report, writePause: () => settings.writePause ?? null })
  const alarm = new Alarm({
    ...{ clock, now },
    earliest: hooks.earliest,
    ring: () => stopWhenBroken(journal, hooks.ring),
    stopped: () => writing.stopped,
  })
  const common = {
    ...{ state, clock, turns, log, index, lookups, keysIn, report, now, closed },
    commit: (events: readonly BrokerEvent[]) => writing.commit(events),
    commitToTrim: (events: readonly BrokerEvent[]) => writing.commitToTrim(events),
    tryCommit: (events: readonly BrokerEvent[]) => writing.tryCommit(events),
    durable: () => writing.durable(),
    promised: () => journal.durable,
    stopped: () => writing.stopped,
    failed: () => journal.failed !== null,
    refuseWhenFailed: () => writing.refuseWhenFailed(),
    retentionMs: () => settings.retentionMs,
    maxDelayMs: () => settings.maxDelayMs,
    writePause: () => settings.writePause ?? null,
    sendPause: () => settings.sendPause ?? null,
    maxGroupsMadeByUse: () => settings.maxGroupsMadeByUse ?? null,
    session: () => session,
    nextSession: () => {
      session = (session % (2 ** 31 - 1)) + 1
    },
    attend: hooks.attend,
    serve: hooks.serve,
    moved: hooks.moved,
    arm: () => alarm.arm(),
  }
  return {
    ...{ journal, writing, alarm, common },
    /** These settings are in force from now on. */
    use(next: BrokerSettings): void {
      settings = next
    },
  }
}

function stopWhenBroken(journal: Journal, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof BrokenInvariant)) throw error
    journal.stop(error)
  }
}
