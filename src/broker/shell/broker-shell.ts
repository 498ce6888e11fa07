/**
 * One instance's broker: takes commands, lets the core decide, writes what was decided, and replies
 * when it is durable.
 *
 * It owns what is not pure: the log and the index (through the journal), the one timer, and the
 * promises of those who wait. Everything it does is: look at the state, ask a `decide…` of the core,
 * `commit`, answer. The timer is set to the earliest thing due and to nothing when there is none.
 */
import type { GroupSpec, OffsetReset, TopicLag, TopicSpec } from '../../engines/engine.ts'
import type { Cancel, Clock } from '../../world/world.ts'
import {
  type Broker,
  BrokerRefusal,
  type BrokerSettings,
  type BrowsePage,
  type BrowseRequest,
  type Delivery,
  type EndTransactionRequest,
  type GroupView,
  type HandleOutcome,
  type Incident,
  type LiteSyncRequest,
  type ProducerAsker,
  type Pulled,
  type PullRequest,
  type ReceiveBudget,
  type ReceiveRequest,
  type SendReceipt,
  type SendRequest,
  type StoredMessage,
  type TopicView,
  type TransactionOutcome,
} from '../broker.ts'
import { deadLetterTopicName, decideDeadLetter, decideDeadLetterTopic } from '../core/dead-letter.ts'
import { DeadlineHeap, type Due } from '../core/deadline-heap.ts'
import { type BrokerEvent, decodeEvent, type Handout, type MessageEvent, type MessageName } from '../core/events.ts'
import { matches, type SqlFilter, sqlOf } from '../core/filter.ts'
import { decideGroup, decideSubscribe, defaultGroup } from '../core/group.ts'
import { type DeliveryName, formatHandle, parseHandle } from '../core/handle.ts'
import {
  decideDeadline,
  decideTake,
  decideUntouched,
  type Entries,
  enterPhase,
  expire,
  expireNow,
  findDelivery,
  nameOf,
  retriesChanged,
} from '../core/lease.ts'
import { limits } from '../core/limits.ts'
import { sameBinding } from '../core/lite-topics.ts'
import { attemptToTell, decideAck, decideOrderlyTake, isRepeat } from '../core/orderly.ts'
import { decideTopic } from '../core/queue.ts'
import { codes, type Refusal, tooMuchUnread } from '../core/refusal.ts'
import type { SegmentAge } from '../core/retention.ts'
import { maxAttempts, retryDelaysMs } from '../core/retry.ts'
import {
  type BrokerState,
  type Group,
  type Lease,
  LiteTopic,
  type Subscription,
  type Topic,
  type Waiter,
} from '../core/state.ts'
import { typeWeight, units } from '../core/throttle.ts'
import { enter, leaveLine, makeWaiter, reenter, refuseWaiter } from '../core/waiters.ts'
import { positionOf, type SegmentLog, segmentOf } from '../log/contract.ts'
import { isDamage, LogError } from '../log/errors.ts'
import type { PersistentQueueIndex } from '../log/queue-index.ts'
import { type BrowseContext, browse, browseLite, historyOf } from './browse.ts'
import { FilterWatch } from './filter-watch.ts'
import { Journal } from './journal.ts'
import { LiteShell } from './lite.ts'
import { Offsets } from './offsets.ts'
import { Retention } from './retention.ts'
import { Sieve } from './sieve.ts'
import { Throughput } from './throughput.ts'
import type { SteadyTime } from './time.ts'
import { Timers } from './timers.ts'
import { TransactionShell } from './transactions.ts'
import { Turns } from './turns.ts'

/** Deliveries that run out are handled in portions, so that a great many do not hold up everything else. */
const EXPIRE_PORTION = 4_096
/** How soon a receive looks again when the log was busy, or an expiring poll whose index entries are being read. */
const RETRY_MS = 5
/** How long a poll whose time is up waits for an expression to be asked of more messages; the wire leaves 200 ms for the answer to travel. */
const SIFT_MS = 100
/** How often clients that fell silent are forgotten. */
const SWEEP_MS = 60_000
/** How exactly a trace tells when a message was acknowledged. */
const DATED_EVERY_MS = 1_000

export interface BrokerShellOptions {
  readonly clock: Clock
  readonly time: SteadyTime
  readonly session: number
  /** Draws what transaction ids are signed with. */
  readonly secret: () => string
  readonly settings: BrokerSettings
  readonly state: BrokerState
  readonly log: SegmentLog
  readonly index: PersistentQueueIndex
  readonly ages: SegmentAge[]
  readonly newestMs: number
  readonly unsealedSinceMs: number | null
  readonly report: (error: unknown) => void
}

/** A waiting receive with the one who asked. */
interface Poll extends Waiter {
  readonly subscription: Subscription
  /** When it was to end at the latest; `due` may be later while entries are read. */
  readonly until: number
  readonly signal: AbortSignal
  readonly budget: ReceiveBudget | undefined
  readonly onAbort: () => void
  readonly resolve: (deliveries: Delivery[]) => void
  readonly reject: (error: Error) => void
}

/** Index entries as they were found from an offset on. */
interface Loaded {
  readonly askedFrom: number
  readonly entries: Entries
}

/** A subscription to be served again at a time. */
interface Wake extends Due {
  readonly subscription: Subscription
}

export class BrokerShell implements Broker {
  readonly state: BrokerState
  readonly #journal: Journal
  readonly #looking: BrowseContext
  readonly #retention: Retention
  readonly #timers: Timers
  readonly #transactions: TransactionShell
  readonly #offsets: Offsets
  readonly #lite: LiteShell
  readonly #clock: Clock
  readonly #time: SteadyTime
  /** Drawn at the start, and another one after each reset: what is delivered anew has other handles than before. */
  #session: number
  readonly #report: (error: unknown) => void
  readonly #throughput: Throughput
  #settings: BrokerSettings
  #datedAt = 0
  /** Until its creation is durable, a group delivers nothing. */
  readonly #settling = new Map<Group, Promise<void>>()
  readonly #loading = new Set<Subscription>()
  /** Reads for receivers: what each may hold before it is counted is bounded, so their number must be too. */
  readonly #reading = new Turns(8)
  /** Index entries read from files for a subscription, by queue key, until it has passed them. */
  readonly #loaded = new Map<Subscription, Map<number, Loaded>>()
  /** The reading under way that made `entriesAt` say "not in memory". */
  #lookup: Promise<Loaded> | null = null
  readonly #sieve: Sieve
  readonly #filters = new FilterWatch()
  /** Of `#loading`, those whose messages are being asked an expression, which may take longer than a poll. */
  readonly #sifting = new Set<Subscription>()
  readonly #burying = new Set<Subscription>()
  /** Subscriptions to be asked again at a time: throttled, or the log was busy. */
  readonly #wakes = new DeadlineHeap<Wake>()
  readonly #wakeOf = new Map<Subscription, Wake>()
  #cancelTimer: Cancel | null = null
  /** Monotonic, for a wall clock that is set forward does not make a timer fire. */
  #armedFor = Number.POSITIVE_INFINITY
  #sweptAt = 0
  #closed: Promise<void> | null = null

  constructor(options: BrokerShellOptions) {
    this.state = options.state
    this.#clock = options.clock
    this.#time = options.time
    this.#session = options.session
    this.#settings = options.settings
    this.#report = options.report
    this.#throughput = new Throughput(options.settings, this.#time.now())
    this.#journal = new Journal({
      state: options.state,
      log: options.log,
      index: options.index,
      ages: options.ages,
      newestMs: options.newestMs,
      unsealedSinceMs: options.unsealedSinceMs,
      onVisible: (topics) => this.#wakeTopics(topics),
      onFailure: (error) => this.#stop(error),
      report: options.report,
    })
    this.#looking = { state: options.state, log: options.log, index: options.index, report: options.report }
    this.#timers = new Timers({
      state: options.state,
      clock: options.clock,
      log: options.log,
      now: () => this.#time.now(),
      commit: (events) => this.#commit(events),
      durable: () => this.#durable(),
      stopped: () => this.#closed !== null || this.#journal.failed !== null,
      report: options.report,
    })
    this.#transactions = new TransactionShell({
      state: options.state,
      retentionMs: options.settings.retentionMs,
      secret: options.secret,
      now: () => this.#time.now(),
      commit: (events) => this.#commit(events),
      durable: () => this.#durable(),
      read: (position) => this.#journal.log.read(position),
      arm: () => this.#arm(),
      stopped: () => this.#closed !== null || this.#journal.failed !== null,
      report: options.report,
    })
    this.#retention = new Retention({
      state: options.state,
      journal: this.#journal,
      retentionMs: () => this.#settings.retentionMs,
      commit: (events) => {
        this.#commit(events)
        // What blocked an orderly group's queue may be among the messages taken.
        for (const topic of this.#trimmedBy(events))
          for (const subscription of topic.subscriptions.values()) this.#attend(subscription)
      },
      beforeTrim: (below) => this.#transactions.endBelow(below),
      report: options.report,
      makeWay: (below) => this.#timers.moveAbove(below),
      changed: () => this.#arm(),
    })
    this.#offsets = new Offsets({
      state: options.state,
      clock: options.clock,
      index: options.index,
      log: options.log,
      now: () => this.#time.now(),
      retentionMs: () => this.#settings.retentionMs,
      group: (consumerGroupId) => this.#group(consumerGroupId),
      settled: async (group) => this.#settling.get(group),
      checkBudget: (group) => {
        const refusal = this.#throughput.refuseReceive({ group }, this.#time.now())
        if (refusal) throw refuse(refusal)
      },
      spend: (reading, messages) => {
        let cost = 0
        for (const { bodyBytes } of messages) cost += units(bodyBytes)
        this.#spendForReceive(reading, cost, this.#time.now())
      },
      commit: (events) => this.#commit(events),
      durable: () => this.#durable(),
      moved: (subscription) => this.#moved(subscription),
      stopped: () => this.#closed !== null || this.#journal.failed !== null,
    })
    this.#lite = new LiteShell({
      state: options.state,
      index: options.index,
      now: () => this.#time.now(),
      commit: (events) => this.#commit(events),
      tryCommit: (events) => this.#tryCommit(events),
      durable: () => this.#durable(),
      take: (reading, want, at) =>
        decideOrderlyTake(reading, want, at, {
          session: this.#session,
          oldestMs: at - this.#settings.retentionMs,
          entriesAt: (queueKey, from, count) => this.#entriesAt(reading, queueKey, from, count),
        }),
      isLoading: (reading) => this.#loading.has(reading),
      load: (reading, queueKey) => this.#load(reading, queueKey),
      read: (poll, leased) => this.#reading.run(() => this.#read(poll, leased)),
      deliveryOf: delivery,
      giveBack: (reading, leased, from) => this.#giveBack(reading, leased, from),
      setAside: (reading, leased) => this.#setAside(reading, leased),
      forget: (reading) => this.#endPolls(reading, null),
      moved: (reading) => this.#moved(reading),
      settled: (group) => this.#settling.get(group),
      refuseReceive: (group, at) => this.#throughput.refuseReceive({ group }, at),
      receivesAt: (group, at) => this.#throughput.receivesAt({ group }, at),
      spendForReceive: (reading, cost, at) => this.#spendForReceive(reading, cost, at),
      spendForSend: (topic, request, at) => this.#spendForSend(topic, request, at),
      arm: () => this.#arm(),
      stopped: () => this.#closed !== null || this.#journal.failed !== null,
      report: options.report,
      asRefusal,
    })
    this.#sieve = new Sieve({
      clock: options.clock,
      lookup: (queueKey, from, count) => options.index.lookup(queueKey, from, count),
      readMany: (positions) => options.log.readMany(positions),
    })
    this.#arm()
  }

  // Topics and groups ----------------------------------------------------------------------------

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const spec of topics) {
      const event = decideTopic(this.state, spec)
      if (!event) continue
      this.#commit([event])
      this.#lite.topicChanged(this.state.topics.get(spec.topicName)!)
    }
    await this.#durable()
  }

  async removeTopic(topicName: string): Promise<void> {
    const topic = this.state.topics.get(topicName)
    if (topic) {
      const lites = [...(topic.liteTopics?.byName.values() ?? [])]
      const readers = [topic, ...lites].flatMap(({ subscriptions }) => [...subscriptions.values()])
      this.#commit([{ type: 'topic-removed', topicName }])
      if (topic.liteTopics) this.#lite.topicGone(topic, topicNotFound(topicName))
      for (const subscription of readers) this.#endPolls(subscription, topicNotFound(topicName))
      this.#offsets.arrived([topic])
    }
    await this.#durable()
  }

  async ensureGroups(groups: readonly GroupSpec[]): Promise<void> {
    for (const spec of groups) {
      const event = decideGroup(this.state, spec)
      if (!event) continue
      const before = this.state.groups.get(spec.consumerGroupId)
      const readings = [...(before?.subscriptions.values() ?? [])]
      const isBoundAnew = before !== undefined && !sameBinding(before.settings.lite ?? null, event.lite ?? null)
      this.#commit([event])
      if (isBoundAnew) {
        this.#lite.groupGone(spec.consumerGroupId)
        for (const reading of readings) if (reading.removed) this.#endPolls(reading, null)
      }
      const group = this.state.groups.get(spec.consumerGroupId)!
      retriesChanged(group)
      for (const subscription of group.subscriptions.values()) this.#attend(subscription)
    }
    await this.#durable()
  }

  async removeGroup(consumerGroupId: string): Promise<void> {
    const group = this.state.groups.get(consumerGroupId)
    if (group) {
      const readings = [...group.subscriptions.values()]
      this.#commit([{ type: 'group-removed', consumerGroupId }])
      this.#lite.groupGone(consumerGroupId)
      // Who still waits may come again, and then makes the group anew.
      for (const subscription of readings) this.#endPolls(subscription, null)
    }
    await this.#durable()
  }

  configure(settings: BrokerSettings): void {
    this.#settings = settings
    this.#throughput.configure(settings, this.#time.now())
    this.#transactions.configure(settings.retentionMs)
    this.#arm()
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
    return groupView(this.#group(consumerGroupId))
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

  async send(request: SendRequest): Promise<SendReceipt[]> {
    const topic = this.state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    if (request.messages.length > limits.messagesPerSend)
      throw refuse({
        code: codes.badRequest,
        message: `a send carries at most ${limits.messagesPerSend} messages; this one has ${request.messages.length}`,
      })
    const at = this.#time.now()
    if (topic.settings.messageType === 'LITE') return this.#lite.send(topic, request, at)
    if (request.messages.some(({ transactional }) => transactional)) {
      this.#spendForSend(topic, request, at)
      return this.#transactions.send(topic, request, at)
    }
    const events = this.#timers.decideSend(topic, request, at)
    this.#spendForSend(topic, request, at)
    this.#commit(events)
    const recallHandles = this.#timers.sent(events)
    await this.#durable()
    // Segments may have been filled with nothing that wakes anybody.
    if (recallHandles.some((handle) => handle !== null)) this.#arm()
    return events.map((event, i) => ({
      messageId: event.messageId,
      queueId: event.queueKey - topic.firstQueueKey,
      offset: event.type === 'message' ? event.offset : 0,
      storeTimeMs: at,
      recallHandle: recallHandles[i]!,
    }))
  }

  recall(request: { topic: string; handle: string }): Promise<{ messageId: string }> {
    return this.#timers.recall(request)
  }

  async receive(request: ReceiveRequest, signal: AbortSignal): Promise<Delivery[]> {
    const topic = this.state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    if (this.#closed || signal.aborted) return []
    if (request.budget?.full()) throw refuse(tooMuchUnread)
    if (topic.settings.messageType === 'LITE') {
      this.clientAlive(request.clientId)
      return this.#lite.receive(topic, request, signal)
    }
    const group = this.#group(request.group)
    if (group.settings.lite) throw refuse(boundToLite(group, request.topic))
    const subscription = this.#subscription(group, topic)
    this.clientAlive(request.clientId)
    const differ = this.#filters.saw(subscription, request.filter, request.clientId, (id) => this.state.heard.has(id))
    if (differ !== null) this.#report(new Error(differ))
    const at = this.#time.now()
    const refusal = this.#throughput.refuseReceive(subscription, at) ?? refuseWaiter(this.state, subscription)
    if (refusal) throw refuse(refusal)
    return new Promise((resolve, reject) => {
      const poll: Poll = Object.assign(makeWaiter(request), {
        subscription,
        until: at + Math.max(0, request.waitMs),
        signal,
        budget: request.budget,
        onAbort: () => {
          if (poll.linked) this.#endPoll(poll)
        },
        resolve,
        reject,
      })
      enter(this.state, subscription, poll, poll.until)
      signal.addEventListener('abort', poll.onAbort, { once: true })
      if (isRepeat(subscription, poll.attemptId)) this.#serveOne(subscription, poll)
      this.#serve(subscription)
      // A short poll need not wait for a timer to hear that there is nothing.
      if (request.waitMs <= 0 && poll.linked && !this.#loading.has(subscription)) this.#endPoll(poll)
      this.#arm()
    })
  }

  async ack(request: {
    group: string
    topic: string
    handles: readonly string[]
    liteTopics?: readonly (string | null)[]
    clientId: string
  }): Promise<HandleOutcome[]> {
    if (request.handles.length > limits.handlesPerAck)
      throw refuse({
        code: codes.badRequest,
        message: `an acknowledgement names at most ${limits.handlesPerAck} deliveries; this one names ${request.handles.length}`,
      })
    this.clientAlive(request.clientId)
    const at = this.#time.now()
    const live = new Map<Subscription, Lease[]>()
    const found = request.handles.map((handle, i) => {
      const name = parseHandle(handle)
      const each = findDelivery(this.#find(request, name, request.liteTopics?.[i]), name, at)
      if (each.kind !== 'live') return each
      const { subscription } = each.lease
      const leases = live.get(subscription)
      if (leases) leases.push(each.lease)
      else live.set(subscription, [each.lease])
      return each
    })
    if (live.size > 0) {
      const wasFull = [...live.keys()].filter(isFull)
      this.#commit(Array.from(live, ([subscription, leases]) => decideAck(subscription, leases)))
      // In an orderly group the queue may be free again, or its next message out of retries.
      for (const subscription of live.keys())
        if (wasFull.includes(subscription) || subscription.group.settings.orderly) this.#attend(subscription)
      await this.#durable()
    } else if (found.some((each) => each.kind === 'done')) await this.#durable()
    return found.map((each) => ({ outcome: each.kind === 'expired' ? 'expired' : 'done' }))
  }

  async changeInvisible(request: {
    group: string
    topic: string
    handle: string
    invisibleMs: number
    liteTopic?: string | null
    suspend?: boolean
    clientId: string
  }): Promise<HandleOutcome & { handle: string }> {
    this.clientAlive(request.clientId)
    const at = this.#time.now()
    const name = parseHandle(request.handle)
    const subscription = this.#find(request, name, request.liteTopic)
    const suspends = request.suspend === true && subscription !== undefined && subscription.topic.parent !== null
    if (suspends && isSuspended(subscription, name)) {
      await this.#durable()
      return { outcome: 'done', handle: request.handle }
    }
    const found = findDelivery(subscription, name, at)
    if (found.kind === 'live') {
      const deadline = at + Math.max(0, request.invisibleMs)
      if (suspends) {
        this.#commit([decideUntouched(subscription, [found.lease], deadline)])
        // The next delivery has this one's attempt, and must not have its name.
        this.#nextSession()
      } else this.#commit(decideDeadline([found.lease], deadline))
      this.#arm()
      await this.#durable()
    } else if (found.kind === 'done') await this.#durable()
    return { outcome: found.kind === 'expired' ? 'expired' : 'done', handle: request.handle }
  }

  async forwardToDeadLetter(request: {
    group: string
    topic: string
    handle: string
    messageId: string
    liteTopic?: string | null
    clientId: string
  }): Promise<void> {
    this.clientAlive(request.clientId)
    try {
      const lease =
        request.handle === ''
          ? await this.#ownedByMessageId(request)
          : this.#leaseOf(this.#find(request, parseHandle(request.handle), request.liteTopic), request.handle)
      if (lease) await this.#bury(lease)
      if (lease?.subscription.group.settings.orderly) this.#attend(lease.subscription)
    } catch (error) {
      throw refuse(asRefusal(error))
    }
    await this.#durable()
  }

  syncLite(request: LiteSyncRequest): Promise<void> {
    this.clientAlive(request.clientId)
    return this.#lite.sync(request)
  }

  onLiteTopicLost(listener: (clientId: string, liteTopic: string) => void): void {
    this.#lite.onLost(listener)
  }

  endTransaction(request: EndTransactionRequest): Promise<TransactionOutcome> {
    return this.#transactions.end(request)
  }

  askProducersBy(asker: ProducerAsker): void {
    this.#transactions.askProducersBy(asker)
  }

  producerCame(topicNames: readonly string[]): void {
    this.#transactions.producerCame(topicNames)
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

  pull(request: PullRequest, signal: AbortSignal): Promise<Pulled> {
    return this.#offsets.pull(request, signal).catch(refused)
  }

  // Clients --------------------------------------------------------------------------------------

  clientAlive(clientId: string): void {
    const { heard } = this.state
    const at = this.#time.now()
    if (at - this.#sweptAt >= SWEEP_MS) this.#forgetSilentClients(at)
    if (heard.size < limits.clients || heard.has(clientId)) heard.set(clientId, at)
  }

  clientGone(clientId: string): void {
    this.state.heard.delete(clientId)
    this.#lite.clientGone(clientId)
    const leases = this.state.owned.get(clientId)
    if (!leases || this.#journal.failed || this.#closed) return
    this.#tryCommit(decideDeadline([...leases], this.#time.now() + limits.goneVisibleMs))
    this.#arm()
  }

  async browse(request: BrowseRequest): Promise<BrowsePage | null> {
    const topic = this.state.topics.get(request.topic)
    if (!topic) return null
    return topic.liteTopics ? browseLite(this.#looking, topic, request) : browse(this.#looking, topic, request)
  }

  async historyOf(topicName: string, message: StoredMessage): Promise<Incident[]> {
    const topic = this.state.topics.get(topicName)
    const read = topic?.liteTopics?.byName.get(message.liteTopic) ?? topic
    return read ? historyOf(this.#looking, read, message) : []
  }

  usage(): { storedBytes: number; messages: number; inflight: number; timed: number } {
    const { log } = this.#journal
    let storedBytes = log.end - positionOf(segmentOf(log.end), 0)
    for (const segment of log.segments()) storedBytes += segment.bytes
    let messages = 0
    for (const { begin, end } of this.state.queues.values()) messages += end - begin
    return { storedBytes, messages, inflight: this.state.unacknowledged, timed: this.#timers.waiting }
  }

  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  /** Writes a checkpoint now; closing does it too. */
  checkpoint(): Promise<void> {
    return this.#journal.checkpoint()
  }

  async #end(): Promise<void> {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#timers.close()
    this.#offsets.close()
    this.#lite.close(null)
    for (const subscription of this.state.subscriptions.values()) this.#endPolls(subscription, null)
    await this.#retention.stop()
    await this.#journal.close()
  }

  // Serving those who wait -----------------------------------------------------------------------

  #wakeTopics(topics: ReadonlySet<Topic>): void {
    for (const topic of topics) {
      if (topic instanceof LiteTopic) this.#lite.arrived(topic)
      else for (const subscription of topic.subscriptions.values()) this.#serve(subscription)
    }
    this.#offsets.arrived(topics)
    this.#arm()
  }

  #trimmedBy(events: readonly BrokerEvent[]): ReadonlySet<Topic> {
    const topics = new Set<Topic>()
    for (const event of events)
      if (event.type === 'trimmed')
        for (const { queueKey } of event.queues) {
          const queue = this.state.queues.get(queueKey)
          if (queue) topics.add(queue.topic)
        }
    return topics
  }

  #nextSession(): void {
    this.#session = (this.#session % (2 ** 31 - 1)) + 1
  }

  #moved(subscription: Subscription): void {
    this.#nextSession()
    this.#loaded.delete(subscription)
    this.#sieve.forget(subscription)
    this.#serve(subscription)
    this.#arm()
  }

  /** Gives waiting receives what there is, first come first served, until one of the two runs out. */
  #serve(subscription: Subscription): void {
    if (this.#loading.has(subscription) || this.#closed) return
    if (subscription.topic.parent !== null) {
      this.#lite.news(subscription)
      return
    }
    let served = true
    while (served) {
      const poll = subscription.waiters.first as Poll | null
      served = poll !== null && this.#serveOne(subscription, poll)
    }
  }

  /** Whether the poll got something; otherwise the subscription is served again when that can help. */
  #serveOne(subscription: Subscription, poll: Poll): boolean {
    const at = this.#time.now()
    if (this.#holdBack(subscription, at)) return false
    const sql = sqlOf(poll.filter)
    const decide = subscription.group.settings.orderly ? decideOrderlyTake : decideTake
    const taken = decide(subscription, poll, at, {
      session: this.#session,
      oldestMs: at - this.#settings.retentionMs,
      entriesAt: (queueKey, from, count) =>
        sql
          ? this.#sieve.entriesAt(subscription, sql, queueKey, from)
          : this.#entriesAt(subscription, queueKey, from, count),
    })
    if (taken.events.length > 0 && !this.#tryCommit(taken.events)) {
      this.#serveLater(subscription, at + RETRY_MS)
      return false
    }
    if (taken.leased && taken.leased.entries.length > 0) {
      leaveLine(this.state, subscription, poll)
      if (sql) markPassed(subscription, taken.leased, sql)
      this.#spendForReceive(subscription, taken.leased.entries.length, at)
      void this.#deliver(poll, taken.leased)
      return true
    }
    if (sql && taken.unjudged.length > 0) this.#sift(subscription, this.#sieve.judge(taken.unjudged, sql))
    else if (sql && taken.missing !== null) this.#sift(subscription, this.#siftQueues(subscription, sql, poll.max))
    else if (taken.missing !== null) this.#load(subscription, taken.missing)
    else if (taken.unfinished) this.#serveLater(subscription, at)
    return false
  }

  async #deliver(poll: Poll, leased: Handout): Promise<void> {
    const { subscription } = poll
    try {
      const messages = await this.#reading.run(() => this.#read(poll, leased))
      await this.#settling.get(subscription.group)
      if (messages.length < leased.entries.length) this.#giveBack(subscription, leased, messages.length)
      if (messages.length === 0 && leased.entries.length > 0) {
        this.#fail(poll, tooMuchUnread)
        return
      }
      if (poll.signal.aborted) {
        this.#giveBack(subscription, leased, 0)
        this.#answer(poll, [])
        return
      }
      const deliveries = this.#wanted(poll, leased, messages)
      if (deliveries.length === 0) this.#waitOn(poll)
      else this.#answer(poll, deliveries)
    } catch (error) {
      if (this.#closed) {
        this.#answer(poll, [])
        return
      }
      if (!this.#journal.failed && !isHeld(subscription, leased, leased.entries[0]!)) {
        // Retention, a reset or a removal took it while it was being read.
        this.#giveBack(subscription, leased, 1)
        this.#waitOn(poll)
        return
      }
      this.#report(error)
      this.#setAside(subscription, leased)
      this.#fail(poll, asRefusal(error))
    }
  }

  /** What it was to get is not for it after all: it waits for as long as it wanted to. */
  #waitOn(poll: Poll): void {
    const { subscription } = poll
    if (subscription.removed || this.#closed || this.#time.now() >= poll.due) {
      this.#answer(poll, [])
      return
    }
    reenter(this.state, subscription, poll)
    this.#serve(subscription)
    this.#arm()
  }

  /** The first one could not be read: not again before a while has passed. The others are given back. */
  #setAside(subscription: Subscription, leased: Handout): void {
    if (this.#journal.failed || this.#closed) return
    const [first] = stillHeld(subscription, { ...leased, entries: leased.entries.slice(0, 1) }, 0)
    if (first) this.#tryCommit(decideDeadline([first], this.#time.now() + limits.unreadableRetryMs))
    this.#giveBack(subscription, leased, 1)
  }

  /**
   * The messages leased, or as many of the first ones as memory should hold at a time; none for one who does not take
   * what it got. Those behind one that cannot be read are left out with it; rejects when that is the first.
   */
  async #read({ budget, signal }: Pick<Poll, 'budget' | 'signal'>, leased: Handout): Promise<MessageEvent[]> {
    const positions = leased.entries.map((entry) => entry.position)
    const messages: MessageEvent[] = []
    let bytes = 0
    for (let next: number = limits.messagesReadFirst; messages.length < positions.length && next > 0; ) {
      if (budget?.full() && !signal.aborted) break
      const wanted = positions.slice(messages.length, messages.length + next)
      const records = await this.#readAhead(wanted, messages.length > 0)
      for (const record of records) {
        bytes += record.length
        budget?.add(record.length)
        messages.push(messageOf(record))
      }
      if (records.length < wanted.length) break
      next = Math.floor((limits.bytesPerReceive - bytes) / (bytes / messages.length))
    }
    return messages
  }

  /** All of them, or when one cannot be read those before it. */
  async #readAhead(positions: readonly number[], mayBeNone: boolean): Promise<Uint8Array[]> {
    const { log } = this.#journal
    try {
      return await log.readMany(positions)
    } catch (error) {
      const records: Uint8Array[] = []
      for (const position of positions) {
        const record = await log.read(position).catch(() => null)
        if (record === null) break
        records.push(record)
      }
      if (records.length === 0 && !mayBeNone) throw error
      return records
    }
  }

  /** What matches the filter by its exact tag; the group is done with the rest. */
  #wanted(poll: Poll, leased: Handout, messages: readonly MessageEvent[]): Delivery[] {
    const { subscription } = poll
    const deliveries: Delivery[] = []
    const unwanted: MessageName[] = []
    let extra = 0
    messages.forEach((message, i) => {
      const entry = leased.entries[i]!
      if (matches(poll.filter, message)) deliveries.push(delivery(subscription, leased, entry, message))
      else if (isHeld(subscription, leased, entry)) unwanted.push(nameOf(entry))
      extra += units(message.bodyBytes) - 1
    })
    this.#spendForReceive(subscription, extra, this.#time.now())
    // When the log has no room for it they come again, and are passed over then.
    if (unwanted.length > 0 && !subscription.removed && !this.#journal.failed)
      this.#tryCommit([{ type: 'acked', subscriptionId: subscription.id, entries: unwanted }])
    return deliveries
  }

  /** Nobody was given the deliveries from `from` on: they are visible again as if they had not been made. */
  #giveBack(subscription: Subscription, leased: Handout, from: number): void {
    // The first answer may have arrived after all: a batch handed out again stays with its client.
    if (leased.type === 'locked' && leased.repeated) return
    if (subscription.removed || this.#journal.failed || this.#closed) return
    const mine = stillHeld(subscription, leased, from)
    if (mine.length === 0 || !this.#tryCommit([decideUntouched(subscription, mine, this.#time.now())])) return
    expireNow(this.state, mine)
    this.#attend(subscription)
    this.#arm()
  }

  #entriesAt(subscription: Subscription, queueKey: number, from: number, count: number): Entries | null {
    const loaded = this.#loaded.get(subscription)
    const known = loaded?.get(queueKey)
    if (loaded && known) {
      const { entries } = known
      // They may begin beyond what was asked for: retention took the rest, and the queue is about to hear of it.
      if (from >= known.askedFrom && from < Math.max(entries.from + entries.count, known.askedFrom + 1))
        return tail(entries, from - entries.from)
      loaded.delete(queueKey)
      if (loaded.size === 0) this.#loaded.delete(subscription)
    }
    const found = this.#journal.index.lookup(queueKey, from, count)
    if (!(found instanceof Promise)) return found
    // When the take got something elsewhere nobody waits for this one, and it may fail unheard.
    this.#lookup = found.then((entries) => ({ askedFrom: from, entries }))
    this.#lookup.catch(() => {})
    return null
  }

  /** Entries of sealed segments come from files; the subscription is served when they are here. */
  #load(subscription: Subscription, queueKey: number): void {
    this.#resume(
      subscription,
      this.#lookup!.then((known) => {
        if (subscription.removed) return
        const loaded = this.#loaded.get(subscription) ?? new Map<number, Loaded>()
        this.#loaded.set(subscription, loaded.set(queueKey, known))
      }),
    )
  }

  /** What an expression says is known from the messages alone; the subscription is served when they were asked. */
  #sift(subscription: Subscription, work: Promise<void>): void {
    this.#sifting.add(subscription)
    this.#resume(subscription, work)
  }

  #siftQueues(subscription: Subscription, filter: SqlFilter, max: number): Promise<void> {
    const isWanted = () => !this.#closed && !subscription.removed && subscription.waiters.first?.filter === filter
    return this.#sieve.sift(subscription, filter, max, isWanted)
  }

  #resume(subscription: Subscription, work: Promise<void>): void {
    this.#loading.add(subscription)
    const ended = () => {
      this.#loading.delete(subscription)
      this.#sifting.delete(subscription)
      if (subscription.removed || this.#closed) this.#sieve.forget(subscription)
    }
    work.then(
      () => {
        ended()
        if (subscription.removed || this.#closed) return
        this.#serve(subscription)
        // A short poll waited for nothing but this.
        this.#endOverduePolls(this.#time.now())
        this.#arm()
      },
      (error: unknown) => {
        ended()
        if (!this.#closed) this.#report(error)
        if (subscription.topic.parent !== null) this.#lite.unreadable(subscription)
        this.#endPolls(subscription, asRefusal(error))
      },
    )
  }

  #serveLater(subscription: Subscription, at: number): void {
    let wake = this.#wakeOf.get(subscription)
    if (!wake) {
      wake = { due: at, heapIndex: -1, subscription }
      this.#wakeOf.set(subscription, wake)
    }
    this.#wakes.set(wake, at)
    this.#arm()
  }

  #answer(poll: Poll, deliveries: Delivery[]): void {
    poll.signal.removeEventListener('abort', poll.onAbort)
    poll.resolve(deliveries)
  }

  #fail(poll: Poll, refusal: Refusal): void {
    poll.signal.removeEventListener('abort', poll.onAbort)
    poll.reject(refuse(refusal))
  }

  #endPoll(poll: Poll): void {
    leaveLine(this.state, poll.subscription, poll)
    this.#answer(poll, [])
  }

  #endPolls(subscription: Subscription, refusal: Refusal | null): void {
    this.#loaded.delete(subscription)
    this.#sieve.forget(subscription)
    const wake = this.#wakeOf.get(subscription)
    if (wake) this.#wakes.remove(wake)
    this.#wakeOf.delete(subscription)
    for (let poll = subscription.waiters.first as Poll | null; poll; poll = subscription.waiters.first as Poll | null) {
      leaveLine(this.state, subscription, poll)
      if (refusal) this.#fail(poll, refusal)
      else this.#answer(poll, [])
    }
  }

  // Throttles ------------------------------------------------------------------------------------

  #spendForSend(topic: Topic, request: SendRequest, at: number): void {
    const refusal = this.#throughput.refuseSend(topic, at)
    if (refusal) throw refuse(refusal)
    let cost = 0
    const weight = typeWeight(topic.settings.messageType)
    for (const message of request.messages) cost += units(message.bodyBytes, weight)
    this.#throughput.spendSend(topic, cost, at)
  }

  /** A receive that waited when the budget ran out goes on waiting until there is some again. */
  #holdBack(subscription: Subscription, at: number): boolean {
    const opens = this.#throughput.receivesAt(subscription, at)
    if (opens <= at) return false
    if (opens < Number.POSITIVE_INFINITY) this.#serveLater(subscription, opens)
    return true
  }

  #spendForReceive(reading: Pick<Subscription, 'group' | 'topic'>, units: number, at: number): void {
    this.#throughput.spendReceive(reading, units * typeWeight(reading.topic.settings.messageType), at)
  }

  // Dead letters ---------------------------------------------------------------------------------

  /** Whatever the subscription needs after deliveries ran out or its group changed. */
  #attend(subscription: Subscription): void {
    if (subscription.dying.first) void this.#buryAll(subscription)
    this.#serve(subscription)
  }

  async #buryAll(subscription: Subscription): Promise<void> {
    if (this.#burying.has(subscription)) return
    this.#burying.add(subscription)
    try {
      for (let lease = subscription.dying.first; lease; lease = subscription.dying.first) {
        if (this.#closed || this.#journal.failed) return
        try {
          await this.#bury(lease)
        } catch (error) {
          this.#report(error)
          if (lease.phase !== 'dying') continue
          // One that is damaged can neither be delivered nor buried, and would hold up an orderly queue for ever.
          const isOver = isDamage(error) && this.#tryCommit([ackedBy(lease)])
          if (!isOver) this.#tryLater(lease)
        }
      }
    } finally {
      this.#burying.delete(subscription)
    }
    // What an orderly group has behind the buried ones is free now.
    this.#serve(subscription)
    this.#arm()
  }

  #tryLater(lease: Lease): void {
    const at = this.#time.now() + limits.unreadableRetryMs
    if (!this.#tryCommit(decideDeadline([lease], at))) {
      // There is no room in the log either: what the state says of it stays as it is.
      lease.subscription.dying.remove(lease)
      enterPhase(lease, 'leased')
      this.state.deliveries.set(lease, at)
    }
    this.#arm()
  }

  /** Copies the message to the dead letters and acknowledges it, in one record group. Resolves when decided, not when durable. */
  async #bury(lease: Lease): Promise<void> {
    const { attempt, session, subscription } = lease
    const record = await this.#journal.log.read(lease.position).catch((error: unknown) => {
      // Retention may have taken it while it was being read.
      if (lease.phase === 'gone') return null
      throw error
    })
    if (record === null) return
    const message = messageOf(record)
    if (lease.phase === 'gone' || lease.attempt !== attempt || lease.session !== session) return
    if (subscription.topic.settings.topicName === deadLetterTopicName(this.state, subscription.group)) {
      // Already where it would go: the group is done with it, and it stays there for others.
      this.#commit([ackedBy(lease)])
      return
    }
    const topic = decideDeadLetterTopic(this.state, subscription.group)
    if (topic) this.#commit([topic])
    this.#commit(decideDeadLetter(this.state, lease, message, this.#time.now()))
  }

  /** The delivery a handle names, also when its time ran out but nobody else has got it since. */
  #leaseOf(subscription: Subscription | undefined, handle: string): Lease | null {
    const name = parseHandle(handle)
    if (!name || name.subscriptionId !== subscription?.id) return null
    const lease = subscription.cursors[name.queueId]?.leases.get(name.offset)
    return lease && !lease.acked && lease.attempt === name.attempt && lease.session === name.session ? lease : null
  }

  /** Only the C++ client names a message by its id alone; what is searched is what that client holds now. */
  async #ownedByMessageId(request: {
    group: string
    topic: string
    messageId: string
    clientId: string
  }): Promise<Lease | null> {
    const { messageId } = request
    const held = [...(this.state.owned.get(request.clientId) ?? [])].filter(({ subscription: { group, topic } }) => {
      return group.settings.consumerGroupId === request.group && topic.settings.topicName === request.topic
    })
    for (let from = 0; from < held.length; from += limits.messagesPerReceive) {
      const some = held.slice(from, from + limits.messagesPerReceive)
      const records = await this.#journal.log.readMany(some.map((lease) => lease.position))
      const index = records.findIndex((record) => messageOf(record).messageId === messageId)
      if (index >= 0) return some[index]!
    }
    return null
  }

  // Time -----------------------------------------------------------------------------------------

  #arm(): void {
    if (this.#closed || this.#journal.failed) return
    const earliest = Math.min(
      this.state.deliveries.earliest,
      this.state.waiting.earliest,
      this.#retention.due(),
      this.#wakes.earliest,
      this.#transactions.due,
      this.#lite.due,
    )
    if (earliest === Number.POSITIVE_INFINITY) return
    const waitMs = Math.max(0, earliest - this.#time.now())
    const fires = this.#clock.monotonic() + waitMs
    if (fires >= this.#armedFor) return
    this.#cancelTimer?.()
    this.#armedFor = fires
    this.#cancelTimer = this.#clock.after(waitMs, () => this.#tick())
  }

  #tick(): void {
    this.#cancelTimer = null
    this.#armedFor = Number.POSITIVE_INFINITY
    if (this.#closed || this.#journal.failed) return
    const at = this.#time.now()
    const woken: Subscription[] = []
    const { events, touched } = expire(this.state, at, EXPIRE_PORTION)
    for (const event of events) this.#tryCommit([event])
    for (const subscription of touched) this.#attend(subscription)
    for (let wake = this.#wakes.pop(at); wake; wake = this.#wakes.pop(at)) {
      this.#wakeOf.delete(wake.subscription)
      woken.push(wake.subscription)
    }
    for (const subscription of woken) if (!subscription.removed) this.#serve(subscription)
    this.#endOverduePolls(at)
    this.#transactions.tick(at)
    this.#lite.tick(at)
    if (this.#retention.due() <= at) this.#retention.start(at)
    this.#arm()
  }

  #endOverduePolls(at: number): void {
    for (let poll = this.state.waiting.pop(at) as Poll | null; poll; poll = this.state.waiting.pop(at) as Poll | null) {
      if (this.#loading.has(poll.subscription) && !(this.#sifting.has(poll.subscription) && at >= poll.until + SIFT_MS))
        this.state.waiting.set(poll, at + RETRY_MS)
      else this.#endPoll(poll)
    }
  }

  #forgetSilentClients(at: number): void {
    this.#sweptAt = at
    for (const [clientId, heardAt] of this.state.heard)
      if (at - heardAt > 2 * limits.ownerSilenceMs && !this.state.owned.has(clientId)) this.state.heard.delete(clientId)
  }

  // Groups and commits ---------------------------------------------------------------------------

  #group(consumerGroupId: string): Group {
    const known = this.state.groups.get(consumerGroupId)
    if (known) return known
    const most = Math.min(limits.groupsMadeByUse, this.#settings.maxGroups ?? Number.POSITIVE_INFINITY)
    if (this.state.groups.size >= most)
      throw refuse({
        code: codes.tooManyRequests,
        message: `the instance has ${this.state.groups.size} consumer groups, and its specification allows ${most}; delete groups that are not needed, or use one of them`,
      })
    this.#commit([{ type: 'group', ...defaultGroup(consumerGroupId) }])
    const group = this.state.groups.get(consumerGroupId)!
    const settled = this.#journal.durable
    this.#settling.set(group, settled)
    settled.then(
      () => this.#settling.delete(group),
      () => {},
    )
    return group
  }

  #subscription(group: Group, topic: Topic): Subscription {
    const known = topic.subscriptions.get(group.settings.consumerGroupId)
    if (known) return known
    this.#commit([decideSubscribe(this.state, group, topic)])
    return topic.subscriptions.get(group.settings.consumerGroupId)!
  }

  /** The reading that a handle is of: of a LITE topic the group has many, and the handle says which. */
  #find(
    request: { group: string; topic: string },
    name: DeliveryName | null,
    liteTopic: string | null = null,
  ): Subscription | undefined {
    const topic = this.state.topics.get(request.topic)
    if (!topic?.liteTopics) return topic?.subscriptions.get(request.group)
    const reading = name ? this.state.subscriptions.get(name.subscriptionId) : undefined
    if (!reading || reading.topic.parent !== topic || reading.group.settings.consumerGroupId !== request.group) return
    return liteTopic === null || liteTopic === reading.topic.liteTopic ? reading : undefined
  }

  /** Written and applied; `#durable()` says when it may be promised. */
  #commit(events: readonly BrokerEvent[]): void {
    if (this.#closed) throw refuse({ code: codes.internal, message: 'the instance is stopping; try again later' })
    if (this.#journal.failed) throw refuse(asRefusal(this.#journal.failed))
    try {
      this.#journal.commit(this.#dated(events))
    } catch (error) {
      throw refuse(asRefusal(error))
    }
  }

  /** What carries no time is preceded by it, once a second: message traces say when a message was acknowledged. */
  #dated(events: readonly BrokerEvent[]): readonly BrokerEvent[] {
    const type = events[0]?.type
    if (type !== 'acked' && type !== 'kept' && type !== 'deadline') return events
    const at = this.#time.now()
    if (at - this.#datedAt < DATED_EVERY_MS) return events
    this.#datedAt = at
    return [{ type: 'time', at }, ...events]
  }

  /** For work nobody waits for; it is done again later. */
  #tryCommit(events: readonly BrokerEvent[]): boolean {
    try {
      for (const event of events) this.#commit([event])
      return true
    } catch (error) {
      if (!(error instanceof BrokerRefusal && error.code === codes.tooManyRequests)) this.#report(error)
      return false
    }
  }

  /** Resolves when everything committed so far is durable. */
  async #durable(): Promise<void> {
    try {
      await this.#journal.durable
    } catch (error) {
      throw refuse(asRefusal(error))
    }
  }

  #stop(error: Error): void {
    this.#report(error)
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#timers.close()
    this.#offsets.close()
    this.#lite.close(asRefusal(error))
    for (const subscription of this.state.subscriptions.values()) this.#endPolls(subscription, asRefusal(error))
  }
}

function delivery(
  subscription: Subscription,
  leased: Handout,
  entry: Handout['entries'][number],
  message: MessageEvent,
): Delivery {
  return {
    messageId: message.messageId,
    payload: message.payload,
    queueId: entry.queueId,
    offset: entry.offset,
    attempt: attemptToTell(subscription, entry),
    handle: formatHandle({
      subscriptionId: leased.subscriptionId,
      queueId: entry.queueId,
      offset: entry.offset,
      attempt: entry.attempt,
      session: leased.session,
    }),
    storeTimeMs: message.storeTimeMs,
    invisibleMs: leased.deadline - leased.at,
    deadLetterOf: message.origin,
  }
}

function ackedBy(lease: Lease): BrokerEvent {
  return { type: 'acked', subscriptionId: lease.subscription.id, entries: [nameOf(lease)] }
}

/** So that a redelivery under the same expression need not ask again. */
function markPassed(subscription: Subscription, leased: Handout, filter: SqlFilter): void {
  for (const { queueId, offset } of leased.entries) {
    const lease = subscription.cursors[queueId]?.leases.get(offset)
    if (lease) lease.passedBy = filter
  }
}

const isFull = (subscription: Subscription): boolean =>
  subscription.unacknowledged >= limits.unacknowledgedPerSubscription

/** The delivery was suspended, by a call whose answer did not arrive. */
function isSuspended(subscription: Subscription, name: DeliveryName | null): boolean {
  const lease = name ? subscription.cursors[name.queueId]?.leases.get(name.offset) : undefined
  return lease?.untouched === true && lease.attempt + 1 === name!.attempt && lease.session === name!.session
}

/** Still as the take left it, and not acknowledged, delivered anew or reset since. */
function isHeld(subscription: Subscription, leased: Handout, entry: Handout['entries'][number]): boolean {
  const lease = subscription.cursors[entry.queueId]?.leases.get(entry.offset)
  return lease?.attempt === entry.attempt && lease.session === leased.session
}

/** Of a take's deliveries, from `from` on, those that are still as the take left them. */
function stillHeld(subscription: Subscription, leased: Handout, from: number): Lease[] {
  return leased.entries.slice(from).flatMap((entry) => {
    const lease = subscription.cursors[entry.queueId]?.leases.get(entry.offset)
    return lease && lease.attempt === entry.attempt && lease.session === leased.session ? [lease] : []
  })
}

function messageOf(record: Uint8Array): MessageEvent {
  const event = decodeEvent(record)
  if (event.type !== 'message') throw new Error(`The index names a record that is a ${event.type}, not a message.`)
  return event
}

function tail(entries: Entries, skipped: number): Entries {
  if (skipped <= 0) return entries
  return {
    from: entries.from + skipped,
    count: entries.count - skipped,
    position: (i) => entries.position(i + skipped),
    tagHash: (i) => entries.tagHash(i + skipped),
    storeTimeMs: (i) => entries.storeTimeMs(i + skipped),
  }
}

/** Asked for with every call, so kept for as long as the settings are in force. */
const topicViews = new WeakMap<Topic['settings'], TopicView>()
const groupViews = new WeakMap<Group['settings'], GroupView>()

function topicView({ settings, queues }: Topic): TopicView {
  const known = topicViews.get(settings)
  if (known) return known
  const view = makeTopicView(settings, queues.length)
  topicViews.set(settings, view)
  return view
}

function groupView({ settings }: Group): GroupView {
  const known = groupViews.get(settings)
  if (known) return known
  const view = makeGroupView(settings)
  groupViews.set(settings, view)
  return view
}

function makeTopicView(
  { topicName, generation, messageType, maxSendTps }: Topic['settings'],
  queues: number,
): TopicView {
  return {
    topicName,
    generation,
    messageType: messageType as TopicView['messageType'],
    maxSendTps,
    queues,
  }
}

function makeGroupView(settings: Group['settings']): GroupView {
  return {
    ...settings,
    maxAttempts: maxAttempts(settings.maxRetryTimes),
    retryDelaysMs: retryDelaysMs(settings.retry),
    liteSubscriptionsPerClient: limits.liteSubscriptionsPerClient,
    liteTopicNameBytes: limits.liteTopicNameBytes,
  }
}

function boundToLite(group: Group, topicName: string): Refusal {
  const { consumerGroupId, lite } = group.settings
  return {
    code: codes.badRequest,
    message: `group ${consumerGroupId} is bound to LITE topic ${lite!.topicName} and reads no other; use another group for topic ${topicName}`,
  }
}

function topicNotFound(topicName: string): Refusal {
  return {
    code: codes.topicNotFound,
    message: `topic ${topicName} does not exist; create it with CreateTopic before clients use it`,
  }
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof BrokerRefusal) return error
  if (error instanceof LogError && error.code === 'busy') return { code: codes.tooManyRequests, message: error.message }
  if (error instanceof LogError && error.code === 'too-large')
    return { code: codes.payloadTooLarge, message: `${error.message}; send fewer messages at a time` }
  return {
    code: codes.internal,
    message: `the broker cannot use its log: ${error instanceof Error ? error.message : String(error)}`,
  }
}

/** For calls that read the log and answer nobody else. */
function refused(error: unknown): never {
  throw refuse(asRefusal(error))
}

function refuse(refusal: Refusal): BrokerRefusal {
  return refusal instanceof BrokerRefusal ? refusal : new BrokerRefusal(refusal.code, refusal.message)
}
