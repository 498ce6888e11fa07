/**
 * Lite consumers: their subscriptions, and receives that are served across all the lite topics a client wants
 * (core/lite/lite.ts, core/lite/lite-clients.ts).
 *
 * Each client has a list of the lite topics that may have something for it. A message, an acknowledgement
 * or a deadline puts a lite topic on the lists of those who want it; a receive takes from the head of its client's
 * list, one orderly batch a lite topic, and takes off what it looked at: whatever happens there next puts it back on.
 * So a receive never looks at lite topics that are not ready, however many there are.
 *
 * Must never give a client a lite topic it does not want at that moment.
 */

import { BrokerRefusal } from '../../../model/refusals.ts'
import type {
  Delivery,
  LiteOffset,
  LiteSyncRequest,
  ReceiveBudget,
  ReceiveRequest,
  SendReceipt,
  SendRequest,
} from '../../broker.ts'
import { decideReset, lowWater } from '../../core/consuming/offsets.ts'
import { isRepeat } from '../../core/consuming/orderly.ts'
import type { Taken } from '../../core/consuming/take.ts'
import { makeWaiter } from '../../core/consuming/waiters.ts'
import type { BrokerEvent, DeliveryEvent, MessageEvent } from '../../core/events.ts'
import { isYoung } from '../../core/group.ts'
import { limits } from '../../core/limits.ts'
import { decideLiteSend, decideLiteSubscribe, isOver, type LiteOutgoing, refuseLiteName } from '../../core/lite/lite.ts'
import { type LiteClient, LiteClients } from '../../core/lite/lite-clients.ts'
import { codes, type Refusal, tooMuchUnread } from '../../core/refusal.ts'
import type { BrokerState, Group, LiteTopic, Subscription, Topic, Waiter } from '../../core/state.ts'
import { DeadlineHeap, type Due } from '../../core/structures/deadline-heap.ts'
import { FifoList } from '../../core/structures/fifo-list.ts'
import { units } from '../../core/throttle.ts'
import type { PersistentQueueIndex } from '../../log/queue-index.ts'
import { type Delivering, deliveryOf } from '../consuming/delivering.ts'
import type { Receiving } from '../consuming/receiving.ts'
import type { Subscriptions } from '../consuming/subscriptions.ts'
import { asRefusal, refuse, topicNotFound } from '../refusals.ts'
import type { Throughput } from '../throughput.ts'
import type { TurnBudget } from '../turn-budget.ts'
import { LiteExpiry } from './lite-expiry.ts'

/** Polls of one client at a time, roughly: official push consumers have one. */
const attemptsRemembered = 16
/** What lite consumers may use of the shell around them. */
export interface LiteContext {
  readonly state: BrokerState
  readonly turns: TurnBudget
  readonly index: Pick<PersistentQueueIndex, 'offsetAtTime'>
  /** The broker's own time, which never goes back. */
  now(): number
  /** Written and applied; throws a `BrokerRefusal` and then has changed nothing. */
  commit(events: readonly BrokerEvent[]): void
  tryCommit(events: readonly BrokerEvent[]): boolean
  durable(): Promise<void>
  readonly subscriptions: Pick<Subscriptions, 'settled'>
  readonly throughput: Pick<Throughput, 'refuseReceive' | 'receivesAt' | 'spendReceive' | 'send'>
  readonly delivering: Pick<Delivering, 'read' | 'giveBack' | 'setAside'>
  readonly receiving: Pick<Receiving, 'takeLite' | 'isLoading' | 'load' | 'endPolls'>
  moved(subscription: Subscription): void
  arm(): void
  closed(): boolean
  /** Closed, or the log has failed. */
  stopped(): boolean
  report(error: unknown): void
}

interface LitePoll extends Waiter {
  readonly client: LiteClient
  readonly budget: ReceiveBudget | undefined
  readonly signal: AbortSignal
  readonly onAbort: () => void
  readonly resolve: (deliveries: Delivery[]) => void
  readonly reject: (error: Error) => void
}

/** What is done later for a client: its budget is used up, or the log was busy. */
interface Wake extends Due {
  readonly client: LiteClient
}

interface Batch {
  readonly subscription: Subscription
  readonly leased: DeliveryEvent
}

export class LiteShell {
  readonly #context: LiteContext
  readonly #state: BrokerState
  readonly #clients = new LiteClients()
  readonly #lines = new Map<LiteClient, FifoList<Waiter>>()
  readonly #polls = new DeadlineHeap<LitePoll>()
  readonly #wakes = new DeadlineHeap<Wake>()
  readonly #wakeOf = new Map<LiteClient, Wake>()
  readonly #expiry: LiteExpiry
  /** What each client's latest attempts got something of, so that the same attempt finds it again. */
  readonly #latest = new WeakMap<LiteClient, Map<string, readonly Subscription[]>>()
  readonly #loading = new Map<LiteClient, Set<Subscription>>()
  #lost: (clientId: string, liteTopic: string) => void = () => {}

  constructor(context: LiteContext) {
    this.#context = context
    this.#state = context.state
    this.#expiry = new LiteExpiry(context)
  }

  /** The earliest thing to do. */
  get due(): number {
    return Math.min(this.#polls.earliest, this.#wakes.earliest, this.#expiry.due, this.#clients.silentAt)
  }

  onLost(listener: (clientId: string, liteTopic: string) => void): void {
    this.#lost = listener
  }

  // Messages -------------------------------------------------------------------------------------

  async send(topic: Topic, request: SendRequest, at: number): Promise<SendReceipt[]> {
    const messages = request.messages.map((message): LiteOutgoing => {
      const refusal = refuseLiteName(message.liteTopic ?? '')
      if (refusal) throw refuse(refusal)
      return { ...message, liteTopic: message.liteTopic! }
    })
    this.#catchUp(at)
    const decided = decideLiteSend(this.#state, topic, messages, at)
    if ('code' in decided) throw refuse(decided)
    this.#context.throughput.send(topic, request.messages, at)
    this.#context.commit([...decided.made, ...decided.messages])
    if (decided.made.length > 0) this.topicChanged(topic)
    await this.#context.durable()
    return decided.messages.map(({ messageId, offset }) => ({ messageId, queueId: 0, offset, storeTimeMs: at }))
  }

  receive(topic: Topic, request: ReceiveRequest, signal: AbortSignal): Promise<Delivery[]> {
    const group = this.#bound(topic, request.group)
    if (request.filter !== null)
      throw refuse({
        code: codes.illegalFilter,
        message: 'a lite consumer gets every message of the lite topics it subscribes to; its filter expression is "*"',
      })
    const at = this.#context.now()
    this.#catchUp(at)
    const client = this.#client(group, topic, request.clientId, at)
    const line = this.#lineOf(client)
    const refusal = this.#context.throughput.refuseReceive({ group }, at) ?? this.#refusePoll(line)
    if (refusal) throw refuse(refusal)
    return new Promise((resolve, reject) => {
      const poll: LitePoll = Object.assign(makeWaiter(request), {
        client,
        budget: request.budget,
        signal,
        onAbort: () => {
          if (poll.linked) this.#end(poll)
        },
        resolve,
        reject,
      })
      line.push(poll)
      this.#polls.set(poll, at + Math.max(0, request.waitMs))
      signal.addEventListener('abort', poll.onAbort, { once: true })
      if (this.#repeated(poll)) this.#serveOne(poll)
      this.#serve(client)
      // A short poll need not wait for a timer to hear that there is nothing.
      if (request.waitMs <= 0 && poll.linked && !this.#isLoading(client)) this.#end(poll)
      this.#context.arm()
    })
  }

  /** Something about the subscription changed: there may be something to deliver. */
  becameReady(subscription: Subscription): void {
    if (subscription.removed || this.#context.stopped()) return
    this.#tell(subscription.group.settings.consumerGroupId, subscription.topic.liteTopic)
  }

  /** Messages of the lite topic became visible. */
  arrived(lite: LiteTopic): void {
    for (const { group } of [...this.#clients.partiesOf(lite.settings.topicName)]) this.#tell(group, lite.liteTopic)
  }

  /** Its index could not be read: it stays ready, and is tried again later. */
  unreadable(subscription: Subscription): void {
    for (const client of this.#clients.readersOf(
      subscription.group.settings.consumerGroupId,
      subscription.topic.liteTopic,
    )) {
      client.ready.add(subscription.topic.liteTopic)
      this.#serveLater(client, this.#context.now() + limits.unreadableRetryMs)
    }
  }

  // Subscriptions --------------------------------------------------------------------------------

  async sync(request: LiteSyncRequest): Promise<void> {
    const topic = this.#state.topics.get(request.topic)
    if (!topic) throw refuse(topicNotFound(request.topic))
    const group = this.#bound(topic, request.group)
    const at = this.#context.now()
    this.#catchUp(at)
    const client = this.#client(group, topic, request.clientId, at)
    const granted = this.#clients.subscribe(client, request, group.settings.lite!.exclusive, at)
    if ('code' in granted) throw refuse(granted)
    for (const { client: loser, liteTopic } of granted.evicted) this.#lost(loser.clientId, liteTopic)
    try {
      this.#beginSubscription(client, group, topic, granted.added)
      if (request.action === 'add' && request.offset !== null)
        for (const liteTopic of new Set(request.liteTopics)) await this.#place(group, topic, liteTopic, request.offset)
    } catch (error) {
      // The client will repeat itself, and what it wants must be new to it then: what is not new is not looked at.
      const takenBack = { action: 'remove', liteTopics: granted.added, version: null } as const
      this.#clients.subscribe(client, takenBack, group.settings.lite!.exclusive, at)
      throw error
    }
    this.#serve(client)
    this.#context.arm()
    await this.#context.durable()
  }

  /** The client went away: it wants nothing any more, and what it waits for ends. */
  clientGone(clientId: string): void {
    for (const client of this.#clients.byId(clientId)) this.#forget(client, null)
  }

  /** The group is gone or reads another LITE topic: its clients have to say anew what they want. */
  groupGone(consumerGroupId: string, refusal: Refusal | null): void {
    for (const client of this.#clients.ofGroup(consumerGroupId)) this.#forget(client, refusal)
  }

  topicGone(topic: Topic, refusal: Refusal): void {
    for (const { group } of [...this.#clients.partiesOf(topic.settings.topicName)])
      for (const client of this.#clients.ofGroup(group)) this.#endLine(client, refusal)
    this.#expiry.forget(topic)
  }

  /** All but a few lite topics of a LITE topic that is about to be removed go, a portion at a time. */
  async empty(topicName: string): Promise<void> {
    const topic = this.#state.topics.get(topicName)
    if (topic?.liteTopics) await this.#expiry.empty(topic)
  }

  /** It is new, has its first lite topic, or expires at other times. */
  topicChanged(topic: Topic): void {
    this.#expiry.watch(topic)
    this.#context.arm()
  }

  // Time -----------------------------------------------------------------------------------------

  tick(at: number): void {
    this.#catchUp(at)
    for (let wake = this.#wakes.pop(at); wake; wake = this.#wakes.pop(at)) {
      this.#wakeOf.delete(wake.client)
      this.#serve(wake.client)
    }
    for (let poll = this.#polls.pop(at); poll; poll = this.#polls.pop(at)) {
      if (this.#isLoading(poll.client)) this.#polls.set(poll, at + limits.busyRetryMs)
      else this.#end(poll)
    }
  }

  close(refusal: Refusal | null): void {
    for (const client of this.#clients.all()) this.#endLine(client, refusal)
  }

  /** What is over by now. The timer may be late for it: a clock that is set forward does not make it fire. */
  #catchUp(at: number): void {
    if (this.#context.stopped()) return
    for (let silent = this.#clients.forgetSilent(at); silent; silent = this.#clients.forgetSilent(at))
      this.#forget(silent, null)
    this.#expiry.expire(at)
  }

  // Serving those who wait -----------------------------------------------------------------------

  #tell(group: string, liteTopic: string): void {
    for (const client of [...this.#clients.readersOf(group, liteTopic)]) {
      client.ready.add(liteTopic)
      this.#serve(client)
    }
  }

  /** Gives the client's receives what there is, first come first served, until one of the two runs out. */
  #serve(client: LiteClient): void {
    if (this.#context.stopped()) return
    const line = this.#lines.get(client)
    while (line?.first && client.ready.size > 0 && this.#serveOne(line.first as LitePoll));
  }

  /** Whether the poll got something; otherwise its client is served again when that can help. */
  #serveOne(poll: LitePoll): boolean {
    const { client } = poll
    const at = this.#context.now()
    this.#catchUp(at)
    if (!poll.linked) return false
    const group = this.#state.groups.get(client.party.group)
    const topic = this.#state.topics.get(client.party.topicName)
    if (!group || !topic?.liteTopics) return false
    const opens = this.#context.throughput.receivesAt({ group }, at)
    if (opens > at) {
      if (opens < Number.POSITIVE_INFINITY) this.#serveLater(client, opens)
      return false
    }
    const batches = this.#repeated(poll) ? this.#takeRepeated(poll, at) : this.#takeReady(poll, { group, topic, at })
    if (batches.length === 0) return false
    this.#leaveQueue(poll)
    this.#remember(poll, batches)
    for (const { subscription, leased } of batches) {
      this.#clients.served(client, subscription.topic.liteTopic)
      this.#context.throughput.spendReceive(subscription, leased.entries.length, at)
    }
    void this.#deliver(poll, group, batches)
    return true
  }

  #remember({ client, attemptId }: LitePoll, batches: readonly Batch[]): void {
    if (attemptId === '') return
    const latest = this.#latest.get(client) ?? new Map<string, readonly Subscription[]>()
    latest.delete(attemptId)
    latest.set(
      attemptId,
      batches.map(({ subscription }) => subscription),
    )
    if (latest.size > attemptsRemembered) latest.delete(latest.keys().next().value!)
    this.#latest.set(client, latest)
  }

  #repeated(poll: LitePoll): boolean {
    if (poll.attemptId === '') return false
    const subscriptions = this.#latest.get(poll.client)?.get(poll.attemptId) ?? []
    return subscriptions.some(
      (subscription) => this.#isWanted(poll.client, subscription) && isRepeat(subscription, poll.attemptId),
    )
  }

  #isWanted(client: LiteClient, subscription: Subscription): boolean {
    return !subscription.removed && client.wants.has(subscription.topic.liteTopic)
  }

  #takeRepeated(poll: LitePoll, at: number): Batch[] {
    const batches: Batch[] = []
    for (const subscription of this.#latest.get(poll.client)!.get(poll.attemptId)!) {
      if (!this.#isWanted(poll.client, subscription) || !isRepeat(subscription, poll.attemptId)) continue
      const { events, leased } = this.#context.receiving.takeLite(subscription, poll, at)
      if (leased && this.#context.tryCommit(events)) batches.push({ subscription, leased })
    }
    return batches
  }

  #takeReady(poll: LitePoll, { group, topic, at }: { group: Group; topic: Topic; at: number }): Batch[] {
    const { client } = poll
    const batches: Batch[] = []
    let room = poll.max
    let looks: number = limits.scanStep
    for (const liteTopic of client.ready) {
      if (room <= 0 || looks-- <= 0) break
      const lite = topic.liteTopics!.byName.get(liteTopic)
      // What happens there next puts it back.
      client.ready.delete(liteTopic)
      if (!lite || isOver(lite, at)) continue
      let taken: Taken
      let subscription: Subscription
      try {
        subscription = this.#subscriptionOf(group, lite)
        if (this.#context.receiving.isLoading(subscription)) continue
        taken = this.#context.receiving.takeLite(subscription, { ...poll, max: room }, at)
      } catch (error) {
        client.ready.add(liteTopic)
        this.#later(client, at, error)
        break
      }
      if (taken.events.length > 0 && !this.#context.tryCommit(taken.events)) {
        client.ready.add(liteTopic)
        this.#serveLater(client, at + limits.busyRetryMs)
        break
      }
      if (taken.leased && taken.leased.entries.length > 0) {
        batches.push({ subscription, leased: taken.leased })
        room -= taken.leased.entries.length
        // The batch of a lost answer is given again alone.
        if (taken.leased.type === 'locked' && taken.leased.repeated) break
      } else if (taken.missing !== null) {
        this.#loading.set(client, (this.#loading.get(client) ?? new Set()).add(subscription))
        this.#context.receiving.load(subscription, taken.missing)
      } else if (taken.unfinished) {
        client.ready.add(liteTopic)
        this.#serveLater(client, at)
        break
      }
    }
    if (looks <= 0 && batches.length === 0 && client.ready.size > 0) this.#serveLater(client, at)
    return batches
  }

  #later(client: LiteClient, at: number, error: unknown): void {
    if (!(error instanceof BrokerRefusal && error.code === codes.tooManyRequests)) this.#context.report(error)
    this.#serveLater(client, at + limits.busyRetryMs)
  }

  /** In order, so that a lite topic's messages are never behind those of its later batch. */
  async #deliver(poll: LitePoll, group: Group, batches: readonly Batch[]): Promise<void> {
    const read: MessageEvent[][] = []
    let bytes = 0
    try {
      for (const { leased } of batches) {
        if (bytes >= limits.bytesPerReceive) break
        const messages = await this.#context.delivering.read(poll, leased).catch((error: unknown) => {
          if (this.#context.stopped() || read.length === 0) throw error
          // What came before is given; this one is told of when it is the first.
          return []
        })
        for (const { payload } of messages) bytes += payload.length
        read.push(messages)
        if (messages.length < leased.entries.length) break
      }
      await this.#context.subscriptions.settled(group)
      this.#catchUp(this.#context.now())
      const deliveries = batches.flatMap((batch, i) => this.#toGive(poll, batch, read[i] ?? []))
      if (read.every((messages) => messages.length === 0)) this.#fail(poll, tooMuchUnread)
      else this.#answer(poll, deliveries)
    } catch (error) {
      if (this.#context.closed()) {
        this.#answer(poll, [])
        return
      }
      this.#context.report(error)
      const [broken, ...others] = batches
      this.#context.delivering.setAside(broken!.subscription, broken!.leased)
      for (const { subscription, leased } of others) this.#context.delivering.giveBack(subscription, leased, 0)
      this.#fail(poll, asRefusal(error))
    }
  }

  /** What of the batch the client still gets: nothing once it hung up, or lost the lite topic while the messages were read. */
  #toGive(poll: LitePoll, { subscription, leased }: Batch, messages: readonly MessageEvent[]): Delivery[] {
    const given = poll.signal.aborted || !this.#isWanted(poll.client, subscription) ? [] : messages
    if (given.length < leased.entries.length) this.#context.delivering.giveBack(subscription, leased, given.length)
    let extra = 0
    for (const { bodyBytes } of given) extra += units(bodyBytes) - 1
    this.#context.throughput.spendReceive(subscription, extra, this.#context.now())
    return given.map((message, i) => deliveryOf(subscription, leased, leased.entries[i]!, message))
  }

  #subscriptionOf(group: Group, lite: LiteTopic): Subscription {
    const { consumerGroupId } = group.settings
    const known = lite.subscriptions.get(consumerGroupId)
    if (known) return known
    this.#context.commit([decideLiteSubscribe(this.#state, group, lite)])
    return lite.subscriptions.get(consumerGroupId)!
  }

  #beginSubscription(client: LiteClient, group: Group, topic: Topic, liteTopics: readonly string[]): void {
    for (const liteTopic of liteTopics) {
      const lite = topic.liteTopics!.byName.get(liteTopic)
      if (!lite) continue
      // An old lite topic is read from its end on: that is the end as it is now, not at the first receive.
      if (!isYoung(lite)) this.#subscriptionOf(group, lite)
      client.ready.add(liteTopic)
    }
  }

  /** Moves the group's subscription to where a subscriber asked for; a lite topic that is not there yet begins at its beginning anyway. */
  async #place(group: Group, topic: Topic, liteTopic: string, offset: LiteOffset): Promise<void> {
    const lite = topic.liteTopics!.byName.get(liteTopic)
    if (!lite) return
    const [queue] = lite.queues
    const atTime = offset.from === 'time' ? await this.#context.index.offsetAtTime(queue.key, offset.timeMs) : 0
    if (this.#state.queues.get(queue.key) !== queue || this.#state.groups.get(group.settings.consumerGroupId) !== group)
      return
    const before = lite.subscriptions.get(group.settings.consumerGroupId)
    const wanted = {
      first: () => queue.begin,
      last: () => queue.end,
      offset: () => (offset.from === 'offset' ? offset.offset : 0),
      time: () => atTime,
      // Counted back from what the group is done with; without a past there is nothing to count back from.
      tail: () => (before && offset.from === 'tail' ? lowWater(before.cursors[0]!) - offset.count : null),
    }[offset.from]()
    if (wanted === null) return
    const next = Math.min(Math.max(wanted, queue.begin), queue.end)
    const subscription = this.#subscriptionOf(group, lite)
    const [cursor] = subscription.cursors
    if (cursor!.next !== next || cursor!.leases.size > 0) {
      this.#context.commit([decideReset(subscription, null, new Map([[0, next]]))!])
      this.#context.moved(subscription)
    }
  }

  // Clients and their polls ----------------------------------------------------------------------

  /** The group, when it is one of lite consumers of this topic. */
  #bound(topic: Topic, consumerGroupId: string): Group {
    const { topicName, messageType } = topic.settings
    if (!topic.liteTopics || messageType !== 'LITE')
      throw refuse({
        code: codes.badRequest,
        message: `topic ${topicName} takes ${messageType} messages and has no lite topics; lite consumers need a LITE topic`,
      })
    const group = this.#state.groups.get(consumerGroupId)
    const bound = group?.settings.lite ?? null
    if (group && bound?.topicName === topicName) return group
    // One that was merely made by use does not count: what binds a group to its topic is creating it.
    if (!group || (group.settings.generation === 0 && !bound))
      throw refuse({
        code: codes.consumerGroupNotFound,
        message: `consumer group ${consumerGroupId} was never created, and lite consumers need one that is bound to their topic; create it with messageModel LITE_SELECTIVE and topicName ${topicName}`,
      })
    throw refuse({
      code: codes.badRequest,
      message: `group ${consumerGroupId} ${bound ? `is bound to LITE topic ${bound.topicName}` : 'is not one of lite consumers'}, so it does not read LITE topic ${topicName}; create a group with messageModel LITE_SELECTIVE and topicName ${topicName}`,
    })
  }

  #client(group: Group, topic: Topic, clientId: string, at: number): LiteClient {
    const client = this.#clients.client(group.settings.consumerGroupId, topic.settings.topicName, clientId, at)
    if (client) return client
    throw refuse({
      code: codes.tooManyRequests,
      message: `the instance has ${limits.clients} lite consumers already; close some, or use one for more lite topics`,
    })
  }

  #lineOf(client: LiteClient): FifoList<Waiter> {
    const known = this.#lines.get(client)
    if (known) return known
    const made = new FifoList<Waiter>()
    this.#lines.set(client, made)
    return made
  }

  #refusePoll(line: FifoList<Waiter>): Refusal | null {
    const waiting = this.#polls.size + this.#state.waiting.size
    if (line.size < limits.waitersPerSubscription && waiting < limits.waiters) return null
    return {
      code: codes.tooManyRequests,
      message: `polling full: ${line.size} receives of this client wait already; receive with shorter polls`,
    }
  }

  #isLoading(client: LiteClient): boolean {
    const subscriptions = this.#loading.get(client)
    if (!subscriptions) return false
    for (const subscription of subscriptions)
      if (!this.#context.receiving.isLoading(subscription)) subscriptions.delete(subscription)
    if (subscriptions.size === 0) this.#loading.delete(client)
    return subscriptions.size > 0
  }

  #serveLater(client: LiteClient, at: number): void {
    let wake = this.#wakeOf.get(client)
    if (!wake) {
      wake = { client, due: at, heapIndex: -1 }
      this.#wakeOf.set(client, wake)
    }
    this.#wakes.set(wake, at)
    this.#context.arm()
  }

  #forget(client: LiteClient, refusal: Refusal | null): void {
    this.#clients.forget(client)
    this.#endLine(client, refusal)
    this.#lines.delete(client)
    this.#loading.delete(client)
    const wake = this.#wakeOf.get(client)
    if (wake) this.#wakes.remove(wake)
    this.#wakeOf.delete(client)
  }

  #endLine(client: LiteClient, refusal: Refusal | null): void {
    const line = this.#lines.get(client)
    for (let poll = line?.first as LitePoll | null; poll; poll = line?.first as LitePoll | null) {
      this.#leaveQueue(poll)
      if (refusal) this.#fail(poll, refusal)
      else this.#answer(poll, [])
    }
  }

  #end(poll: LitePoll): void {
    this.#leaveQueue(poll)
    this.#answer(poll, [])
  }

  #leaveQueue(poll: LitePoll): void {
    this.#lines.get(poll.client)?.remove(poll)
    this.#polls.remove(poll)
  }

  #answer(poll: LitePoll, deliveries: Delivery[]): void {
    poll.signal.removeEventListener('abort', poll.onAbort)
    poll.resolve(deliveries)
  }

  #fail(poll: LitePoll, refusal: Refusal): void {
    poll.signal.removeEventListener('abort', poll.onAbort)
    poll.reject(refuse(refusal))
  }
}
