/**
 * One instance's broker: takes commands, lets the core decide, writes what was decided, and replies
 * when it is durable.
 *
 * It owns what is not pure: the log and the index (through the journal), the one timer, and the
 * promises of those who wait. Everything it does is: look at the state, ask a `decide…` of the core,
 * `commit`, answer. The timer is set to the earliest thing due and to nothing when there is none.
 */
import type { GroupSpec, TopicSpec } from '../../engines/engine.ts'
import type { Cancel, Clock } from '../../world/world.ts'
import {
  type Broker,
  BrokerRefusal,
  type BrokerSettings,
  type Delivery,
  type GroupView,
  type HandleOutcome,
  type ReceiveRequest,
  type SendReceipt,
  type SendRequest,
  type TopicView,
} from '../broker.ts'
import { deadLetterTopicName, decideDeadLetter, decideDeadLetterTopic } from '../core/dead-letter.ts'
import { DeadlineHeap, type Due } from '../core/deadline-heap.ts'
import { type BrokerEvent, decodeEvent, type LeasedEvent, type MessageEvent, type MessageName } from '../core/events.ts'
import { matches } from '../core/filter.ts'
import { decideGroup, decideSubscribe, defaultGroup } from '../core/group.ts'
import { formatHandle, parseHandle } from '../core/handle.ts'
import {
  decideDeadline,
  decideTake,
  decideUntouched,
  type Entries,
  expire,
  expireNow,
  findDelivery,
  nameOf,
  retriesChanged,
} from '../core/lease.ts'
import { limits } from '../core/limits.ts'
import { decideSend, decideTopic, retained } from '../core/queue.ts'
import { codes, type Refusal } from '../core/refusal.ts'
import { decideTrim, expiredSegments, type SegmentAge } from '../core/retention.ts'
import { maxAttempts, retryDelaysMs } from '../core/retry.ts'
import type { BrokerState, Group, Lease, Subscription, Topic, Waiter } from '../core/state.ts'
import { type Bucket, makeBucket, open, opensAt, sendWeight, setRate, spend, units } from '../core/throttle.ts'
import { enter, leaveLine, makeWaiter, reenter, refuseWaiter } from '../core/waiters.ts'
import { positionOf, type SegmentLog, segmentOf } from '../log/contract.ts'
import { LogError } from '../log/errors.ts'
import type { PersistentQueueIndex } from '../log/queue-index.ts'
import { Journal } from './journal.ts'
import type { SteadyTime } from './time.ts'

/** Deliveries that run out are handled in portions, so that a great many do not hold up everything else. */
const EXPIRE_PORTION = 4_096
/** How soon a receive looks again when the log was busy, or an expiring poll whose index entries are being read. */
const RETRY_MS = 5
/** How often clients that fell silent are forgotten. */
const SWEEP_MS = 60_000

export interface BrokerShellOptions {
  readonly clock: Clock
  readonly time: SteadyTime
  readonly session: number
  readonly settings: BrokerSettings
  readonly state: BrokerState
  readonly log: SegmentLog
  readonly index: PersistentQueueIndex
  readonly ages: SegmentAge[]
  readonly newestMs: number
  readonly report: (error: unknown) => void
}

/** A waiting receive with the one who asked. */
interface Poll extends Waiter {
  readonly subscription: Subscription
  readonly signal: AbortSignal
  readonly onAbort: () => void
  readonly resolve: (deliveries: Delivery[]) => void
  readonly reject: (error: Error) => void
}

/** A subscription to be served again at a time. */
interface Wake extends Due {
  readonly subscription: Subscription
}

export class BrokerShell implements Broker {
  readonly state: BrokerState
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #time: SteadyTime
  readonly #session: number
  readonly #report: (error: unknown) => void
  readonly #sendBucket: Bucket
  readonly #receiveBucket: Bucket
  #settings: BrokerSettings
  /** Until its creation is durable, a group delivers nothing. */
  readonly #settling = new Map<Group, Promise<void>>()
  readonly #loading = new Set<Subscription>()
  /** Index entries read from files for a subscription, by queue key, until it has passed them. */
  readonly #loaded = new Map<Subscription, Map<number, Entries>>()
  /** The reading under way that made `entriesAt` say "not in memory". */
  #lookup: Promise<Entries> | null = null
  readonly #burying = new Set<Subscription>()
  /** Subscriptions to be asked again at a time: throttled, or the log was busy. */
  readonly #wakes = new DeadlineHeap<Wake>()
  readonly #wakeOf = new Map<Subscription, Wake>()
  #trimming = false
  #cancelTimer: Cancel | null = null
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
    const at = this.#time.now()
    this.#sendBucket = makeBucket(options.settings.sendTps, at)
    this.#receiveBucket = makeBucket(options.settings.receiveTps, at)
    this.#journal = new Journal({
      state: options.state,
      log: options.log,
      index: options.index,
      ages: options.ages,
      newestMs: options.newestMs,
      onVisible: (topics) => this.#wakeTopics(topics),
      onFailure: (error) => this.#stop(error),
      report: options.report,
    })
    this.#arm()
  }

  // Topics and groups ----------------------------------------------------------------------------

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const spec of topics) {
      const event = decideTopic(this.state, spec)
      if (event) this.#commit([event])
    }
    await this.#durable()
  }

  async removeTopic(topicName: string): Promise<void> {
    const topic = this.state.topics.get(topicName)
    if (topic) {
      const readers = [...topic.subscriptions.values()]
      this.#commit([{ type: 'topic-removed', topicName }])
      for (const subscription of readers) this.#endPolls(subscription, topicNotFound(topicName))
    }
    await this.#durable()
  }

  async ensureGroups(groups: readonly GroupSpec[]): Promise<void> {
    for (const spec of groups) {
      const event = decideGroup(this.state, spec)
      if (!event) continue
      this.#commit([event])
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
      // Who still waits may come again, and then makes the group anew.
      for (const subscription of readings) this.#endPolls(subscription, null)
    }
    await this.#durable()
  }

  configure(settings: BrokerSettings): void {
    const at = this.#time.now()
    this.#settings = settings
    setRate(this.#sendBucket, settings.sendTps, at)
    setRate(this.#receiveBucket, settings.receiveTps, at)
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
    this.#spendForSend(topic, request, at)
    const events = decideSend(topic, request.messages, at)
    this.#commit(events)
    await this.#durable()
    return events.map((event) => ({
      messageId: event.messageId,
      queueId: event.queueKey - topic.firstQueueKey,
      offset: event.offset,
      storeTimeMs: at,
    }))
  }

  async receive(request: ReceiveRequest, signal: AbortSignal): Promise<Delivery[]> {
    const topic = this.state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    if (this.#closed || signal.aborted) return []
    const subscription = this.#subscription(this.#group(request.group), topic)
    this.clientAlive(request.clientId)
    const at = this.#time.now()
    const refusal = this.#refuseReceive(subscription, at) ?? refuseWaiter(this.state, subscription)
    if (refusal) throw refuse(refusal)
    return new Promise((resolve, reject) => {
      const poll: Poll = Object.assign(makeWaiter(request), {
        subscription,
        signal,
        onAbort: () => {
          if (poll.linked) this.#endPoll(poll)
        },
        resolve,
        reject,
      })
      enter(this.state, subscription, poll, at + Math.max(0, request.waitMs))
      signal.addEventListener('abort', poll.onAbort, { once: true })
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
    clientId: string
  }): Promise<HandleOutcome[]> {
    if (request.handles.length > limits.handlesPerAck)
      throw refuse({
        code: codes.badRequest,
        message: `an acknowledgement names at most ${limits.handlesPerAck} deliveries; this one names ${request.handles.length}`,
      })
    this.clientAlive(request.clientId)
    const subscription = this.#find(request)
    const at = this.#time.now()
    const found = request.handles.map((handle) => findDelivery(subscription, parseHandle(handle), at))
    const leases = found.flatMap((each) => (each.kind === 'live' ? [each.lease] : []))
    if (subscription && leases.length > 0) {
      const full = subscription.unacknowledged >= limits.unacknowledgedPerSubscription
      this.#commit([{ type: 'acked', subscriptionId: subscription.id, entries: leases.map(nameOf) }])
      if (full) this.#serve(subscription)
      await this.#durable()
    } else if (found.some((each) => each.kind === 'done')) await this.#durable()
    return found.map((each) => ({ outcome: each.kind === 'expired' ? 'expired' : 'done' }))
  }

  async changeInvisible(request: {
    group: string
    topic: string
    handle: string
    invisibleMs: number
    clientId: string
  }): Promise<HandleOutcome & { handle: string }> {
    this.clientAlive(request.clientId)
    const at = this.#time.now()
    const found = findDelivery(this.#find(request), parseHandle(request.handle), at)
    if (found.kind === 'live') {
      this.#commit(decideDeadline([found.lease], at + Math.max(0, request.invisibleMs)))
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
    clientId: string
  }): Promise<void> {
    this.clientAlive(request.clientId)
    const subscription = this.#find(request)
    if (!subscription) return
    try {
      const lease =
        request.handle === ''
          ? await this.#ownedByMessageId(subscription, request.clientId, request.messageId)
          : this.#leaseOf(subscription, request.handle)
      if (lease) await this.#bury(lease)
    } catch (error) {
      throw refuse(asRefusal(error))
    }
    await this.#durable()
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
    const leases = this.state.owned.get(clientId)
    if (!leases || this.#journal.failed || this.#closed) return
    this.#tryCommit(decideDeadline([...leases], this.#time.now() + limits.goneVisibleMs))
    this.#arm()
  }

  usage(): { storedBytes: number; messages: number; inflight: number } {
    const { log } = this.#journal
    let storedBytes = log.end - positionOf(segmentOf(log.end), 0)
    for (const segment of log.segments()) storedBytes += segment.bytes
    let messages = 0
    for (const topic of this.state.topics.values()) messages += retained(topic)
    return { storedBytes, messages, inflight: this.state.unacknowledged }
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
    for (const subscription of this.state.subscriptions.values()) this.#endPolls(subscription, null)
    await this.#journal.close()
  }

  // Serving those who wait -----------------------------------------------------------------------

  #wakeTopics(topics: ReadonlySet<Topic>): void {
    for (const topic of topics) for (const subscription of topic.subscriptions.values()) this.#serve(subscription)
    this.#arm()
  }

  /** Gives waiting receives what there is, first come first served, until one of the two runs out. */
  #serve(subscription: Subscription): void {
    if (this.#loading.has(subscription) || this.#closed) return
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
    const taken = decideTake(subscription, poll, at, {
      session: this.#session,
      oldestMs: at - this.#settings.retentionMs,
      entriesAt: (queueKey, from, count) => this.#entriesAt(subscription, queueKey, from, count),
    })
    if (taken.events.length > 0 && !this.#tryCommit(taken.events)) {
      this.#serveLater(subscription, at + RETRY_MS)
      return false
    }
    if (taken.leased && taken.leased.entries.length > 0) {
      leaveLine(this.state, subscription, poll)
      this.#spendForReceive(subscription, taken.leased.entries.length)
      void this.#deliver(poll, taken.leased)
      return true
    }
    if (taken.missing !== null) this.#load(subscription, taken.missing)
    else if (taken.unfinished) this.#serveLater(subscription, at)
    return false
  }

  async #deliver(poll: Poll, leased: LeasedEvent): Promise<void> {
    const { subscription } = poll
    try {
      const messages = await this.#read(leased)
      await this.#settling.get(subscription.group)
      if (messages.length < leased.entries.length) this.#giveBack(subscription, leased, messages.length)
      if (poll.signal.aborted) {
        this.#giveBack(subscription, leased, 0)
        this.#answer(poll, [])
        return
      }
      const deliveries = this.#wanted(poll, leased, messages)
      if (deliveries.length === 0 && !subscription.removed && !this.#closed && this.#time.now() < poll.due) {
        reenter(this.state, subscription, poll)
        this.#serve(subscription)
        this.#arm()
      } else this.#answer(poll, deliveries)
    } catch (error) {
      if (this.#closed) {
        this.#answer(poll, [])
        return
      }
      this.#report(error)
      if (!this.#journal.failed)
        this.#tryCommit(decideDeadline(stillHeld(subscription, leased, 0), this.#time.now() + limits.unreadableRetryMs))
      this.#fail(poll, asRefusal(error))
    }
  }

  /** The messages leased, or as many of the first ones as memory should hold at a time. */
  async #read(leased: LeasedEvent): Promise<MessageEvent[]> {
    const positions = leased.entries.map((entry) => entry.position)
    const messages: MessageEvent[] = []
    let bytes = 0
    for (let next: number = limits.messagesReadFirst; messages.length < positions.length && next > 0; ) {
      const records = await this.#journal.log.readMany(positions.slice(messages.length, messages.length + next))
      for (const record of records) {
        bytes += record.length
        messages.push(messageOf(record))
      }
      next = Math.floor((limits.bytesPerReceive - bytes) / (bytes / messages.length))
    }
    return messages
  }

  /** What matches the filter by its exact tag; the group is done with the rest. */
  #wanted(poll: Poll, leased: LeasedEvent, messages: readonly MessageEvent[]): Delivery[] {
    const { subscription } = poll
    const deliveries: Delivery[] = []
    const unwanted: MessageName[] = []
    let extra = 0
    messages.forEach((message, i) => {
      const entry = leased.entries[i]!
      if (matches(poll.filter, message.tag)) deliveries.push(delivery(leased, entry, message))
      else unwanted.push(nameOf(entry))
      extra += units(message.bodyBytes) - 1
    })
    this.#spendForReceive(subscription, extra)
    if (unwanted.length > 0 && !subscription.removed)
      this.#commit([{ type: 'acked', subscriptionId: subscription.id, entries: unwanted }])
    return deliveries
  }

  /** Nobody was given the deliveries from `from` on: they are visible again as if they had not been made. */
  #giveBack(subscription: Subscription, leased: LeasedEvent, from: number): void {
    if (subscription.removed || this.#journal.failed || this.#closed) return
    const mine = stillHeld(subscription, leased, from)
    if (mine.length === 0 || !this.#tryCommit([decideUntouched(subscription, mine, this.#time.now())])) return
    expireNow(this.state, mine)
    this.#attend(subscription)
    this.#arm()
  }

  #entriesAt(subscription: Subscription, queueKey: number, from: number, count: number): Entries | null {
    const loaded = this.#loaded.get(subscription)
    const entries = loaded?.get(queueKey)
    if (loaded && entries) {
      if (from >= entries.from && from < entries.from + entries.count) return tail(entries, from - entries.from)
      loaded.delete(queueKey)
      if (loaded.size === 0) this.#loaded.delete(subscription)
    }
    const found = this.#journal.index.lookup(queueKey, from, count)
    if (!(found instanceof Promise)) return found
    // When the take got something elsewhere nobody waits for this one, and it may fail unheard.
    found.catch(() => {})
    this.#lookup = found
    return null
  }

  /** Entries of sealed segments come from files; the subscription is served when they are here. */
  #load(subscription: Subscription, queueKey: number): void {
    this.#loading.add(subscription)
    this.#lookup!.then(
      (entries) => {
        this.#loading.delete(subscription)
        if (subscription.removed || this.#closed) return
        const loaded = this.#loaded.get(subscription) ?? new Map<number, Entries>()
        this.#loaded.set(subscription, loaded.set(queueKey, entries))
        this.#serve(subscription)
        this.#arm()
      },
      (error: unknown) => {
        this.#loading.delete(subscription)
        if (!this.#closed) this.#report(error)
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
    if (!open(this.#sendBucket, at)) throw refuse(instanceThrottled('sends', this.#settings.sendTps))
    if (!open(topic.sendBucket, at))
      throw refuse({
        code: codes.tooManyRequests,
        message: `topic ${request.topic} takes ${topic.settings.maxSendTps} messages a second (maxSendTps); send slower or raise it`,
      })
    let cost = 0
    const weight = sendWeight(topic.settings.messageType)
    for (const message of request.messages) cost += units(message.bodyBytes, weight)
    spend(this.#sendBucket, cost)
    spend(topic.sendBucket, cost)
  }

  #refuseReceive(subscription: Subscription, at: number): Refusal | null {
    if (!open(this.#receiveBucket, at)) return instanceThrottled('receives', this.#settings.receiveTps)
    const { receiveBucket, settings } = subscription.group
    if (open(receiveBucket, at)) return null
    return {
      code: codes.tooManyRequests,
      message: `group ${settings.consumerGroupId} gets ${settings.maxReceiveTps} messages a second (maxReceiveTps); receive slower or raise it`,
    }
  }

  /** A receive that waited when the budget ran out goes on waiting until there is some again. */
  #holdBack(subscription: Subscription, at: number): boolean {
    const opens = Math.max(opensAt(this.#receiveBucket, at), opensAt(subscription.group.receiveBucket, at))
    if (opens <= at) return false
    if (opens < Number.POSITIVE_INFINITY) this.#serveLater(subscription, opens)
    return true
  }

  #spendForReceive(subscription: Subscription, cost: number): void {
    spend(this.#receiveBucket, cost)
    spend(subscription.group.receiveBucket, cost)
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
          if (lease.phase === 'dying') this.#tryLater(lease)
        }
      }
    } finally {
      this.#burying.delete(subscription)
    }
  }

  #tryLater(lease: Lease): void {
    lease.subscription.dying.remove(lease)
    lease.phase = 'leased'
    lease.renewable = false
    this.state.deliveries.set(lease, this.#time.now() + limits.unreadableRetryMs)
    this.#arm()
  }

  /** Copies the message to the dead letters and acknowledges it, in one record group. Resolves when decided, not when durable. */
  async #bury(lease: Lease): Promise<void> {
    const { attempt, session, subscription } = lease
    const message = messageOf(await this.#journal.log.read(lease.position))
    if (lease.phase === 'gone' || lease.attempt !== attempt || lease.session !== session) return
    const acked: BrokerEvent = { type: 'acked', subscriptionId: subscription.id, entries: [nameOf(lease)] }
    if (subscription.topic.settings.topicName === deadLetterTopicName(this.state, subscription.group)) {
      // Already where it would go: the group is done with it, and it stays there for others.
      this.#commit([acked])
      return
    }
    const topic = decideDeadLetterTopic(this.state, subscription.group)
    if (topic) this.#commit([topic])
    this.#commit(decideDeadLetter(this.state, lease, message, this.#time.now()))
  }

  /** The delivery a handle names, also when its time ran out but nobody else has got it since. */
  #leaseOf(subscription: Subscription, handle: string): Lease | null {
    const name = parseHandle(handle)
    if (!name || name.subscriptionId !== subscription.id) return null
    const lease = subscription.cursors[name.queueId]?.leases.get(name.offset)
    return lease && lease.attempt === name.attempt && lease.session === name.session ? lease : null
  }

  /** Only the C++ client names a message by its id alone; what is searched is what that client holds now. */
  async #ownedByMessageId(subscription: Subscription, clientId: string, messageId: string): Promise<Lease | null> {
    const held = [...(this.state.owned.get(clientId) ?? [])].filter((lease) => lease.subscription === subscription)
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
      this.#trimming ? Number.POSITIVE_INFINITY : this.#retentionDue(),
      this.#wakes.earliest,
    )
    if (earliest >= this.#armedFor) return
    this.#cancelTimer?.()
    this.#armedFor = earliest
    this.#cancelTimer = this.#clock.after(Math.max(0, earliest - this.#time.now()), () => this.#tick())
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
    if (this.#retentionDue() <= at) void this.#trim(at)
    this.#arm()
  }

  #endOverduePolls(at: number): void {
    for (let poll = this.state.waiting.pop(at) as Poll | null; poll; poll = this.state.waiting.pop(at) as Poll | null) {
      if (this.#loading.has(poll.subscription)) this.state.waiting.set(poll, at + RETRY_MS)
      else this.#endPoll(poll)
    }
  }

  #retentionDue(): number {
    const oldest = this.#journal.ages[0]
    return oldest ? oldest.newestMs + this.#settings.retentionMs : Number.POSITIVE_INFINITY
  }

  /** Unlinks what retention no longer keeps: queues first, then a checkpoint that needs none of it, then the files. */
  async #trim(at: number): Promise<void> {
    if (this.#trimming) return
    this.#trimming = true
    const { ages, index, log } = this.#journal
    try {
      const count = expiredSegments(ages, at, this.#settings.retentionMs)
      if (count === 0) return
      const below = positionOf(ages[count - 1]!.segment + 1, 0)
      const event = decideTrim(this.state, await index.trimBelow(below))
      if (event) this.#commit([event])
      // The log keeps what its last two checkpoints need.
      await this.#journal.checkpoint()
      await this.#journal.checkpoint()
      await log.trim(below)
      ages.splice(0, count)
    } catch (error) {
      this.#report(error)
      // A full or failing disk: again at the next sealed segment or in an hour, whichever timer comes first.
      const oldest = ages[0]
      if (oldest) ages[0] = { segment: oldest.segment, newestMs: at - this.#settings.retentionMs + 3_600_000 }
    } finally {
      this.#trimming = false
      this.#arm()
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
    if (this.state.groups.size >= limits.groupsMadeByUse)
      throw refuse({
        code: codes.tooManyRequests,
        message: `there are ${this.state.groups.size} consumer groups already; no more are made by use. Create the group, or remove groups`,
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

  #find(request: { group: string; topic: string }): Subscription | undefined {
    return this.state.topics.get(request.topic)?.subscriptions.get(request.group)
  }

  /** Written and applied; `#durable()` says when it may be promised. */
  #commit(events: readonly BrokerEvent[]): void {
    if (this.#closed) throw refuse({ code: codes.internal, message: 'the instance is stopping; try again later' })
    if (this.#journal.failed) throw refuse(asRefusal(this.#journal.failed))
    try {
      this.#journal.commit(events)
    } catch (error) {
      throw refuse(asRefusal(error))
    }
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
    for (const subscription of this.state.subscriptions.values()) this.#endPolls(subscription, asRefusal(error))
  }
}

function delivery(leased: LeasedEvent, entry: LeasedEvent['entries'][number], message: MessageEvent): Delivery {
  return {
    messageId: message.messageId,
    payload: message.payload,
    queueId: entry.queueId,
    offset: entry.offset,
    attempt: entry.attempt,
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

/** Of a take's deliveries, from `from` on, those that are still as the take left them. */
function stillHeld(subscription: Subscription, leased: LeasedEvent, from: number): Lease[] {
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
  if (skipped === 0) return entries
  return {
    from: entries.from + skipped,
    count: entries.count - skipped,
    position: (i) => entries.position(i + skipped),
    tagHash: (i) => entries.tagHash(i + skipped),
    storeTimeMs: (i) => entries.storeTimeMs(i + skipped),
  }
}

function topicView(topic: Topic): TopicView {
  const { topicName, generation, messageType, maxSendTps } = topic.settings
  return {
    topicName,
    generation,
    messageType: messageType as TopicView['messageType'],
    maxSendTps,
    queues: topic.queues.length,
  }
}

function groupView(group: Group): GroupView {
  const { settings } = group
  return {
    ...settings,
    maxAttempts: maxAttempts(settings.maxRetryTimes),
    retryDelaysMs: retryDelaysMs(settings.retry),
  }
}

function topicNotFound(topicName: string): Refusal {
  return {
    code: codes.topicNotFound,
    message: `topic ${topicName} does not exist; create it with CreateTopic before clients use it`,
  }
}

function instanceThrottled(what: 'sends' | 'receives', tps: number): Refusal {
  return {
    code: codes.tooManyRequests,
    message: `the instance's budget of ${tps} ${what} a second is used up (a message counts once for each 4 KiB); slow down or choose a larger specification`,
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

function refuse(refusal: Refusal): BrokerRefusal {
  return refusal instanceof BrokerRefusal ? refusal : new BrokerRefusal(refusal.code, refusal.message)
}
