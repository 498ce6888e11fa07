/**
 * One instance's broker: takes commands, lets the core decide, writes what was decided, and replies
 * when it is durable.
 *
 * This file builds the modules of the shell and gives each what it may use of the others (its `…Context`). A module reads
 * the state, asks a `decide…` of the core, commits, and replies; those that answer calls are the roles of `Broker`.
 * What every module stands on is foundation.ts; what no call causes is upkeep.ts.
 */
import type {
  AdministrationRole,
  Broker,
  ConsumingRole,
  InspectionRole,
  LiteRole,
  MetadataRole,
  OffsetsRole,
  ProducingRole,
  TransactionsRole,
} from '../broker.ts'
import type { BrokerState } from '../core/state.ts'
import type { SegmentLog } from '../log/contract.ts'
import { ClientLiveness } from './client-liveness.ts'
import { Configuration } from './configuration.ts'
import { Acknowledging } from './consuming/acknowledging.ts'
import { Consuming } from './consuming/consuming.ts'
import { DeadLetters } from './consuming/dead-letters.ts'
import { Delivering } from './consuming/delivering.ts'
import { HandOver } from './consuming/hand-over.ts'
import { Offsets } from './consuming/offsets.ts'
import { ReadAhead } from './consuming/read-ahead.ts'
import { Receiving } from './consuming/receiving.ts'
import { Subscriptions } from './consuming/subscriptions.ts'
import { SqlEvaluation } from './filters/sql-evaluation.ts'
import { type BrokerShellOptions, createFoundation } from './foundation.ts'
import { Inspection } from './inspection.ts'
import type { Journal } from './journal.ts'
import { LiteShell } from './lite/lite.ts'
import { LiteCalls } from './lite/lite-calls.ts'
import { Metadata } from './metadata.ts'
import { Retention } from './retention.ts'
import { Sending } from './sending.ts'
import { Throughput } from './throughput.ts'
import type { SteadyTime } from './time.ts'
import { Timers } from './timers.ts'
import { TransactionShell } from './transactions.ts'
import { Upkeep } from './upkeep.ts'

export class BrokerShell implements Broker {
  readonly administration: AdministrationRole
  readonly metadata: MetadataRole
  readonly producing: ProducingRole
  readonly consuming: ConsumingRole
  readonly transactions: TransactionsRole
  readonly lite: LiteRole
  readonly offsets: OffsetsRole
  readonly inspection: InspectionRole
  readonly state: BrokerState
  readonly #journal: Journal
  readonly #retention: Retention
  readonly #upkeep: Upkeep
  readonly #time: SteadyTime
  #closed: Promise<void> | null = null

  constructor(options: BrokerShellOptions) {
    const { clock, index, log, state, time, turns } = options
    this.state = state
    this.#time = time
    const foundation = createFoundation(options, {
      arrived: (topics) => upkeep.arrived(topics),
      visible: (topics) => offsets.arrived(topics),
      logFailed: (error) => {
        options.report(error)
        upkeep.stop(error)
      },
      earliest: () => upkeep.earliest(),
      ring: () => upkeep.ring(),
      attend: (subscription) => upkeep.attend(subscription),
      serve: (subscription) => receiving.serve(subscription),
      moved: (subscription) => upkeep.moved(subscription),
      closed: () => this.#closed !== null,
    })
    const { alarm, common, journal, writing } = foundation
    const throughput = new Throughput(options.settings, time.now())
    const subscriptions = new Subscriptions(common)
    const liveness = new ClientLiveness(common)
    const timers = new Timers(common)
    const transactions = new TransactionShell({
      ...common,
      retentionMs: options.settings.retentionMs,
      secret: options.secret,
      read: (position) => log.read(position),
    })
    const delivering = new Delivering({
      ...common,
      spend: (subscription, units, at) => throughput.spendReceive(subscription, units, at),
    })
    const handOver = new HandOver(turns)
    const receiving: Receiving = new Receiving({
      ...{ ...common, subscriptions, throughput, delivering, handOver },
      readAhead: new ReadAhead(index, common.now),
      sqlEvaluation: new SqlEvaluation({
        ...{ clock, now: common.now, turns },
        lookup: (queueKey, from, count) => index.lookup(queueKey, from, count),
        readMany: (positions) => log.readMany(positions),
      }),
      liteReady: (subscription) => lite.becameReady(subscription),
      liteUnreadable: (subscription) => lite.unreadable(subscription),
    })
    const deadLetters = new DeadLetters(common)
    const acknowledging = new Acknowledging({ ...common, subscriptions, deadLetters })
    const offsets: Offsets = new Offsets({ ...common, subscriptions, throughput })
    const lite: LiteShell = new LiteShell({ ...common, subscriptions, throughput, delivering, handOver, receiving })
    const retention = new Retention({
      ...{ ...common, journal },
      beforeTrim: (below) => transactions.endBelow(below),
      makeWay: (below) => timers.moveAbove(below),
      changed: () => alarm.arm(),
    })
    const upkeep: Upkeep = new Upkeep({
      ...{ ...common, writing, alarm, receiving, deadLetters, offsets },
      ...{ lite, timers, transactions, retention },
    })

    this.administration = new Configuration({
      ...common,
      configure: (settings) => {
        foundation.use(settings)
        throughput.configure(settings, time.now())
        transactions.configure(settings.retentionMs)
      },
      endPolls: (subscription, refusal) => receiving.endPolls(subscription, refusal),
      emptyOfLiteTopics: (topicName) => lite.empty(topicName),
      topicChanged: (topic) => lite.topicChanged(topic),
      topicGone: (topic, refusal) => {
        if (topic.liteTopics) lite.topicGone(topic, refusal)
        offsets.arrived([topic])
      },
      groupGone: (consumerGroupId, refusal) => lite.groupGone(consumerGroupId, refusal),
    })
    this.metadata = new Metadata(common)
    this.producing = new Sending({ ...common, throughput, timers, transactions, lite })
    this.consuming = new Consuming({ ...common, subscriptions, liveness, receiving, acknowledging, lite })
    this.transactions = transactions
    this.lite = new LiteCalls({ state, liveness, lite })
    this.offsets = offsets
    this.inspection = new Inspection({ ...common, ages: journal.ages })
    this.#journal = journal
    this.#retention = retention
    this.#upkeep = upkeep
    alarm.arm()
  }

  /** The broker's own time: never back, whatever the machine's clock does. */
  now(): number {
    return this.#time.now()
  }

  get log(): SegmentLog {
    return this.#journal.log
  }

  /** Writes a checkpoint now; closing does it too. */
  checkpoint(): Promise<void> {
    return this.#journal.checkpoint()
  }

  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  async #end(): Promise<void> {
    this.#upkeep.stop(null)
    await this.#retention.stop()
    await this.#journal.close()
  }
}
