/**
 * One instance's broker: takes commands, lets the core decide, writes what was decided, and replies
 * when it is durable.
 *
 * It builds the modules of the shell, gives each what it may use of the others (its `…Context`), and passes every call
 * to the module that answers it. A module reads the state, asks a `decide…` of the core, commits, and replies:
 * sending.ts, receiving.ts and delivering.ts, acknowledging.ts, dead-letters.ts, configuration.ts, offsets.ts, lite.ts,
 * timers.ts, transactions.ts, retention.ts. This file itself handles what no call causes: messages become visible, the
 * alarm fires, the log fails.
 */

import { BrokenInvariant } from '../../model/assert.ts'
import type { Cancellation } from '../../model/cancellation.ts'
import type { GroupSpec, OffsetReset, TopicSpec } from '../../model/instances.ts'
import type { TopicLag } from '../../model/observations.ts'
import type { Clock } from '../../world/world.ts'
import type {
  Broker,
  BrokerSettings,
  BrowsePage,
  BrowseRequest,
  Delivery,
  EndTransactionRequest,
  FindRequest,
  FoundMessage,
  GroupView,
  HandleOutcome,
  Incident,
  LiteSyncRequest,
  Pulled,
  PullRequest,
  ReceiveRequest,
  SendReceipt,
  SendRequest,
  TopicView,
  TransactionChecker,
  TransactionOutcome,
} from '../broker.ts'
import { expire, sweepDropped } from '../core/consuming/deliveries.ts'
import type { BrokerEvent } from '../core/events.ts'
import type { TermSources } from '../core/lookup-terms.ts'
import { codes, tooMuchUnread } from '../core/refusal.ts'
import type { SegmentAge } from '../core/retention.ts'
import { type BrokerState, LiteTopic, type Subscription, type Topic } from '../core/state.ts'
import type { SegmentLog } from '../log/contract.ts'
import type { LookupIndex } from '../log/lookup/lookup-index.ts'
import type { PersistentQueueIndex } from '../log/queue-index.ts'
import { Alarm } from './alarm.ts'
import { type BrowseContext, browse } from './browse.ts'
import { ClientLiveness } from './client-liveness.ts'
import { Configuration } from './configuration.ts'
import {
  Acknowledging,
  type AckRequest,
  type ChangeInvisibleRequest,
  type ForwardRequest,
} from './consuming/acknowledging.ts'
import { DeadLetters } from './consuming/dead-letters.ts'
import { Delivering } from './consuming/delivering.ts'
import { Offsets } from './consuming/offsets.ts'
import { Receiving } from './consuming/receiving.ts'
import { Subscriptions } from './consuming/subscriptions.ts'
import { ReadAhead } from './filters/read-ahead.ts'
import { SqlEvaluation } from './filters/sql-evaluation.ts'
import { findMessage } from './find-message.ts'
import { historyOf } from './history.ts'
import { Journal } from './journal.ts'
import { LiteShell } from './lite/lite.ts'
import { liteGroup } from './lite/lite-groups.ts'
import { asRefusal, refuse, refused, topicNotFound } from './refusals.ts'
import { Retention } from './retention.ts'
import { Sending } from './sending.ts'
import { Throughput } from './throughput.ts'
import type { SteadyTime } from './time.ts'
import { Timers } from './timers.ts'
import { TransactionShell } from './transactions.ts'
import type { TurnBudget } from './turn-budget.ts'
import { groupView, storedBytesOf, topicView, type Usage, usageOf } from './views.ts'
import { Writing } from './writing.ts'

/** Deliveries that run out, or were dropped, are handled in portions of so many while the turn has time left. */
const EXPIRE_PORTION = 512
const SWEEP_PORTION = 4_096
/** Subscriptions of a topic that are served at once when messages arrive; further ones follow in later turns. */
const SERVED_AT_ONCE = 64

export interface BrokerShellOptions {
  readonly clock: Clock
  readonly time: SteadyTime
  /** The instance's part of the event loop's turns. */
  readonly turns: TurnBudget
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

export class BrokerShell implements Broker {
  readonly state: BrokerState
  readonly #journal: Journal
  readonly #writing: Writing
  readonly #alarm: Alarm
  readonly #throughput: Throughput
  readonly #subscriptions: Subscriptions
  readonly #liveness: ClientLiveness
  readonly #configuration: Configuration
  readonly #sending: Sending
  readonly #receiving: Receiving
  readonly #acknowledging: Acknowledging
  readonly #deadLetters: DeadLetters
  readonly #timers: Timers
  readonly #transactions: TransactionShell
  readonly #offsets: Offsets
  readonly #lite: LiteShell
  readonly #retention: Retention
  readonly #looking: BrowseContext
  readonly #time: SteadyTime
  readonly #turns: TurnBudget
  readonly #report: (error: unknown) => void
  /** Random, drawn at the start and again after each reset, so that redelivered messages have new handles. */
  #session: number
  #settings: BrokerSettings
  #closed: Promise<void> | null = null

  constructor(options: BrokerShellOptions) {
    const { clock, index, keysIn, log, lookups, report, state, time, turns } = options
    this.state = state
    this.#time = time
    this.#session = options.session
    this.#settings = options.settings
    this.#report = report
    this.#throughput = new Throughput(options.settings, time.now())
    this.#journal = new Journal({
      ...{ state, log, index, lookups, report },
      ages: options.ages,
      newestMs: options.newestMs,
      unsealedSinceMs: options.unsealedSinceMs,
      onArrival: (topics) => this.#wakeTopics(topics),
      onVisible: (topics) => this.#offsets.arrived(topics),
      onFailure: (error) => this.#stop(error),
    })
    this.#turns = turns
    const closed = () => this.#closed !== null
    const now = () => time.now()
    const writing = new Writing({
      ...{ journal: this.#journal, now, closed, report },
      writePause: () => this.#settings.writePause ?? null,
    })
    this.#writing = writing
    this.#alarm = new Alarm({
      clock,
      now,
      earliest: () => this.#earliest(),
      ring: () => {
        try {
          this.#ring()
        } catch (error) {
          if (!(error instanceof BrokenInvariant)) throw error
          this.#journal.stop(error)
        }
      },
      stopped: () => writing.stopped,
    })
    /** What nearly every module of the shell uses; each declares how much of it. */
    const common = {
      ...{ state, clock, turns, log, index, lookups, keysIn, report, now, closed },
      commit: (events: readonly BrokerEvent[]) => writing.commit(events),
      commitToTrim: (events: readonly BrokerEvent[]) => writing.commitToTrim(events),
      tryCommit: (events: readonly BrokerEvent[]) => writing.tryCommit(events),
      durable: () => writing.durable(),
      promised: () => this.#journal.durable,
      stopped: () => writing.stopped,
      failed: () => this.#journal.failed !== null,
      retentionMs: () => this.#settings.retentionMs,
      sendPause: () => this.#settings.sendPause ?? null,
      session: () => this.#session,
      nextSession: () => this.#nextSession(),
      attend: (subscription: Subscription) => this.#attend(subscription),
      serve: (subscription: Subscription) => this.#receiving.serve(subscription),
      moved: (subscription: Subscription) => {
        this.#nextSession()
        this.#receiving.moved(subscription)
      },
      arm: () => this.#alarm.arm(),
    }
    this.#looking = { ...common, ages: this.#journal.ages }
    const throughput = this.#throughput
    const subscriptions = new Subscriptions({
      ...common,
      maxGroupsMadeByUse: () => this.#settings.maxGroupsMadeByUse ?? null,
    })
    this.#subscriptions = subscriptions
    this.#liveness = new ClientLiveness(common)
    this.#timers = new Timers(common)
    this.#transactions = new TransactionShell({
      ...common,
      retentionMs: options.settings.retentionMs,
      secret: options.secret,
      read: (position) => log.read(position),
    })
    const delivering = new Delivering({
      ...common,
      spend: (subscription, units, at) => throughput.spendReceive(subscription, units, at),
    })
    this.#receiving = new Receiving({
      ...{ ...common, subscriptions, throughput, delivering },
      readAhead: new ReadAhead(index, now),
      sqlEvaluation: new SqlEvaluation({
        ...{ clock, now, turns },
        lookup: (queueKey, from, count) => index.lookup(queueKey, from, count),
        readMany: (positions) => log.readMany(positions),
      }),
      liteReady: (subscription) => this.#lite.becameReady(subscription),
      liteUnreadable: (subscription) => this.#lite.unreadable(subscription),
    })
    this.#deadLetters = new DeadLetters(common)
    this.#acknowledging = new Acknowledging({ ...common, subscriptions, deadLetters: this.#deadLetters })
    this.#offsets = new Offsets({ ...common, subscriptions, throughput })
    this.#lite = new LiteShell({ ...common, subscriptions, throughput, delivering, receiving: this.#receiving })
    this.#sending = new Sending({
      ...{ ...common, throughput },
      ...{ timers: this.#timers, transactions: this.#transactions, lite: this.#lite },
    })
    this.#configuration = new Configuration({
      ...common,
      endPolls: (subscription, refusal) => this.#receiving.endPolls(subscription, refusal),
      emptyOfLiteTopics: (topicName) => this.#lite.empty(topicName),
      topicChanged: (topic) => this.#lite.topicChanged(topic),
      topicGone: (topic, refusal) => {
        if (topic.liteTopics) this.#lite.topicGone(topic, refusal)
        this.#offsets.arrived([topic])
      },
      groupGone: (consumerGroupId, refusal) => this.#lite.groupGone(consumerGroupId, refusal),
    })
    this.#retention = new Retention({
      ...common,
      journal: this.#journal,
      beforeTrim: (below) => this.#transactions.endBelow(below),
      makeWay: (below) => this.#timers.moveAbove(below),
      changed: () => this.#alarm.arm(),
    })
    this.#alarm.arm()
  }

  // Topics and groups ----------------------------------------------------------------------------

  ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    return this.#configuration.ensureTopics(topics)
  }

  removeTopic(topicName: string): Promise<void> {
    return this.#configuration.removeTopic(topicName)
  }

  ensureGroups(groups: readonly GroupSpec[]): Promise<void> {
    return this.#configuration.ensureGroups(groups)
  }

  removeGroup(consumerGroupId: string): Promise<void> {
    return this.#configuration.removeGroup(consumerGroupId)
  }

  configure(settings: BrokerSettings): void {
    this.#settings = settings
    this.#throughput.configure(settings, this.#time.now())
    this.#transactions.configure(settings.retentionMs)
    this.#alarm.arm()
  }

  topic(topicName: string): TopicView | null {
    const topic = this.state.topics.get(topicName)
    return topic ? topicView(topic) : null
  }

  group(consumerGroupId: string): GroupView | null {
    const group = this.state.groups.get(consumerGroupId)
    return group ? groupView(group) : null
  }

  topics(): TopicView[] {
    return Array.from(this.state.topics.values(), topicView)
  }

  groups(): GroupView[] {
    return Array.from(this.state.groups.values(), groupView)
  }

  useGroup(consumerGroupId: string): GroupView {
    return groupView(this.#subscriptions.group(consumerGroupId))
  }

  liteGroup(consumerGroupId: string): GroupView {
    return groupView(liteGroup(this.state, consumerGroupId))
  }

  get maxDelayMs(): number {
    return this.#settings.maxDelayMs
  }

  /** The broker's own time: never back, whatever the machine's clock does. */
  now(): number {
    return this.#time.now()
  }

  get log(): SegmentLog {
    return this.#journal.log
  }

  // Messages -------------------------------------------------------------------------------------

  send(request: SendRequest): Promise<SendReceipt[]> {
    return this.#sending.send(request)
  }

  recall(request: { topic: string; handle: string }): Promise<{ messageId: string }> {
    return this.#timers.recall(request)
  }

  async receive(request: ReceiveRequest, signal: Cancellation): Promise<Delivery[]> {
    const topic = this.state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    if (this.#closed || signal.aborted) return []
    this.#refuseWhenFailed()
    if (request.budget?.full()) throw refuse(tooMuchUnread)
    const pause = this.#settings.writePause ?? null
    if (pause !== null) throw refuse({ code: codes.tooManyRequests, message: pause })
    this.#liveness.alive(request.clientId)
    const room = topic.settings.messageType === 'LITE' ? this.#lite : this.#receiving
    return room.receive(topic, request, signal)
  }

  ack(request: AckRequest & { clientId: string }): Promise<HandleOutcome[]> {
    this.#liveness.alive(request.clientId)
    return this.#acknowledging.ack(request)
  }

  changeInvisible(request: ChangeInvisibleRequest & { clientId: string }): Promise<HandleOutcome & { handle: string }> {
    this.#liveness.alive(request.clientId)
    return this.#acknowledging.changeInvisible(request)
  }

  forwardToDeadLetter(request: ForwardRequest): Promise<void> {
    this.#liveness.alive(request.clientId)
    return this.#acknowledging.forwardToDeadLetter(request)
  }

  syncLite(request: LiteSyncRequest): Promise<void> {
    this.#liveness.alive(request.clientId)
    return this.#lite.sync(request).catch(refused)
  }

  onLiteTopicLost(listener: (clientId: string, liteTopic: string) => void): void {
    this.#lite.onLost(listener)
  }

  endTransaction(request: EndTransactionRequest): Promise<TransactionOutcome> {
    return this.#transactions.end(request)
  }

  setTransactionChecker(asker: TransactionChecker): void {
    this.#transactions.setTransactionChecker(asker)
  }

  producerConnected(topicNames: readonly string[]): void {
    this.#transactions.producerConnected(topicNames)
  }

  // Offsets --------------------------------------------------------------------------------------

  resetOffsets(reset: OffsetReset): Promise<void> {
    return this.#offsets.reset(reset).catch(refused)
  }

  lag(consumerGroupId: string): Promise<TopicLag[]> {
    return this.#offsets.lag(consumerGroupId).catch(refused)
  }

  committedOffset(request: { group: string; topic: string; queueId: number }): number | null {
    return this.#offsets.committed(request)
  }

  updateOffset(request: { group: string; topic: string; queueId: number; offset: number }): Promise<void> {
    return this.#offsets.update(request)
  }

  queryOffset(request: { topic: string; queueId: number; at: 'beginning' | 'end' | number }): Promise<number> {
    return this.#offsets.query(request).catch(refused)
  }

  async pull(request: PullRequest, signal: Cancellation): Promise<Pulled> {
    this.#refuseWhenFailed()
    return this.#offsets.pull(request, signal).catch(refused)
  }

  // Clients and what is stored -------------------------------------------------------------------

  clientAlive(clientId: string): void {
    this.#liveness.alive(clientId)
  }

  clientGone(clientId: string): void {
    this.#lite.clientGone(clientId)
    this.#liveness.gone(clientId)
  }

  browse(request: BrowseRequest): Promise<BrowsePage | null> {
    return browse(this.#looking, request).catch(refused)
  }

  findMessage(request: FindRequest): Promise<FoundMessage | null> {
    return findMessage(this.#looking, request).catch(refused)
  }

  historyOf(topicName: string, found: FoundMessage): Promise<Incident[]> {
    return historyOf(this.#looking, topicName, found).catch(refused)
  }

  storedBytes(): number {
    return storedBytesOf(this.log)
  }

  usage(): Usage {
    return usageOf(this.state, this.log)
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
    this.#quiet(null)
    await this.#retention.stop()
    await this.#journal.close()
  }

  /** The log failed: what the disk holds is unknown, so nothing is acknowledged any more. */
  #stop(error: Error): void {
    this.#report(error)
    this.#quiet(error)
  }

  /** Ends everything that waits: no timer and no event would end it later. */
  #refuseWhenFailed(): void {
    const failed = this.#journal.failed ?? this.log.failed
    if (failed) throw refuse(asRefusal(failed))
  }

  /** Stops all timers and ends everything that waits. */
  #quiet(error: Error | null): void {
    const refusal = error === null ? null : asRefusal(error)
    this.#alarm.close()
    this.#timers.close()
    this.#offsets.close()
    this.#lite.close(refusal)
    for (const subscription of this.state.subscriptions.values()) this.#receiving.endPolls(subscription, refusal)
  }

  // What happens by itself -----------------------------------------------------------------------

  #wakeTopics(topics: ReadonlySet<Topic>): void {
    let served = 0
    for (const topic of topics) {
      if (topic instanceof LiteTopic) {
        this.#lite.arrived(topic)
        continue
      }
      for (const subscription of topic.subscriptions.values()) {
        if (subscription.waiters.first === null) continue
        if (served++ < SERVED_AT_ONCE) this.#receiving.serve(subscription)
        else this.#receiving.serveSoon(subscription)
      }
    }
    this.#alarm.arm()
  }

  #earliest(): number {
    return Math.min(
      this.state.dropped.length > 0 ? 0 : this.state.deliveries.earliest,
      this.#receiving.due,
      this.#retention.due(),
      this.#transactions.due,
      this.#lite.due,
    )
  }

  #ring(): void {
    const at = this.#time.now()
    while (sweepDropped(this.state, SWEEP_PORTION) && !this.#turns.isSpent);
    for (let isMore = true; isMore; isMore = this.state.deliveries.earliest <= at && !this.#turns.isSpent) {
      const { events, touched } = expire(this.state, at, EXPIRE_PORTION)
      for (const event of events) this.#writing.tryCommit([event])
      for (const subscription of touched) this.#attend(subscription)
    }
    this.#receiving.tick(at)
    this.#transactions.tick(at)
    this.#lite.tick(at)
    if (this.#retention.due() <= at) this.#retention.start(at)
  }

  /** Whatever the subscription needs after deliveries ran out or its group changed. */
  #attend(subscription: Subscription): void {
    if (subscription.exhausted.first) void this.#deadLetters.moveAllToDeadLetter(subscription)
    this.#receiving.serve(subscription)
  }

  #nextSession(): void {
    this.#session = (this.#session % (2 ** 31 - 1)) + 1
  }
}
