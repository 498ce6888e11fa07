/**
 * Serves the receives of lite consumers across all the lite topics that a client subscribes to.
 *
 * A message, an acknowledgement or a deadline makes a lite topic ready for the clients that subscribe to it; a receive
 * takes from what is ready for its client (lite-taking.ts). So a receive never looks at lite topics where nothing
 * happened, however many there are.
 *
 * Must never give a client a lite topic that it does not subscribe to at that moment.
 */
import type { ConsumerGroupId, LiteTopicName } from '../../../model/ids.ts'
import type { Delivery } from '../../broker.ts'
import type { MessageEvent } from '../../core/events.ts'
import { limits } from '../../core/limits.ts'
import type { LiteClient, LiteSubscriptions } from '../../core/lite/lite-subscriptions.ts'
import { tooMuchUnread } from '../../core/refusal.ts'
import type { Group, LiteTopic, Subscription, Topic } from '../../core/state.ts'
import { DeadlineHeap, type Due } from '../../core/structures/deadline-heap.ts'
import { units } from '../../core/throttle.ts'
import { deliveryOf } from '../consuming/delivering.ts'
import { asRefusal } from '../refusals.ts'
import type { Portion } from '../turn-budget.ts'
import type { LiteContext } from './lite-context.ts'
import type { LitePoll, LitePolls } from './lite-polls.ts'
import { type LiteBatch, LiteTaking } from './lite-taking.ts'

/** Clients served at once in one firing of the alarm, or when something became ready: each has an answer to write after it. */
const SERVED_AT_ONCE = 64

/** A client to be served again at a time: its budget is used up, or the log was busy. */
interface Wake extends Due {
  readonly client: LiteClient
}

export interface LiteServingContext extends LiteContext {
  readonly clients: LiteSubscriptions
  readonly polls: LitePolls
  /** Removes expired lite topics and clients that stopped reporting. */
  catchUp(at: number): void
}

export class LiteServing {
  readonly #context: LiteServingContext
  readonly #taking: LiteTaking
  readonly #wakes = new DeadlineHeap<Wake>()
  readonly #wakeOf = new Map<LiteClient, Wake>()

  constructor(context: LiteServingContext) {
    this.#context = context
    this.#taking = new LiteTaking(context, (client, at) => this.#serveLater(client, at))
  }

  /** When `tick` has something to do. */
  get due(): number {
    return this.#wakes.earliest
  }

  tick(at: number): void {
    for (let served = 0; served < SERVED_AT_ONCE; served++) {
      const wake = this.#wakes.pop(at)
      if (!wake) return
      this.#wakeOf.delete(wake.client)
      this.serve(wake.client)
    }
  }

  isLoading(client: LiteClient): boolean {
    return this.#taking.isLoading(client)
  }

  /** A receive of the client need not wait for the alarm: entries are being read, or it is served in a later turn. */
  isWorkingFor(client: LiteClient): boolean {
    return this.isLoading(client) || (this.#wakeOf.get(client)?.due ?? Number.POSITIVE_INFINITY) <= this.#context.now()
  }

  /** Something about the subscription changed: there may be something to deliver. */
  becameReady(subscription: Subscription): void {
    if (subscription.removed || this.#context.stopped()) return
    const portion = { left: SERVED_AT_ONCE }
    this.#makeReady(subscription.group.settings.consumerGroupId, subscription.topic.liteTopic, portion)
  }

  /** New messages of the lite topic may be taken. Clients beyond the portion are served in later turns. */
  arrived(lite: LiteTopic, portion: Portion): void {
    for (const { consumerGroupId } of this.#context.clients.groupsOf(lite.settings.topicName))
      this.#makeReady(consumerGroupId, lite.liteTopic, portion)
  }

  /** Entries of its queue could not be read: its clients are served again after `limits.unreadableRetryMs`. */
  unreadable({ group, topic }: Subscription): void {
    const { clients } = this.#context
    for (const client of clients.readersOf(group.settings.consumerGroupId, topic.liteTopic)) {
      client.ready.add(topic.liteTopic)
      this.#serveLater(client, this.#context.now() + limits.unreadableRetryMs)
    }
  }

  /** Gives the client's receives what there is, first come first served, until one of the two runs out. */
  serve(client: LiteClient): void {
    const { polls, turns } = this.#context
    let served = 0
    for (let poll = polls.first(client); poll && client.ready.size > 0; poll = polls.first(client)) {
      if (this.#context.stopped()) return
      // One is served in any case: others may spend every turn's budget before this one is asked.
      if (served++ > 0 && turns.isSpent) {
        this.#serveLater(client, this.#context.now())
        return
      }
      if (!this.#serveOne(poll)) return
    }
  }

  /** An attempt whose answer was lost need not wait in the queue for what it was given before. */
  serveRepeated(poll: LitePoll): void {
    if (this.#taking.isRepeated(poll)) this.#serveOne(poll)
  }

  forget(client: LiteClient): void {
    this.#taking.forget(client)
    const wake = this.#wakeOf.get(client)
    if (wake) this.#wakes.remove(wake)
    this.#wakeOf.delete(client)
  }

  #makeReady(consumerGroupId: ConsumerGroupId, liteTopic: LiteTopicName, portion: Portion): void {
    // A copy: serving changes the order of those who share a lite topic.
    for (const client of [...this.#context.clients.readersOf(consumerGroupId, liteTopic)]) {
      client.ready.add(liteTopic)
      if (!this.#context.polls.first(client)) continue
      if (portion.left-- > 0) this.serve(client)
      else this.#serveLater(client, this.#context.now())
    }
  }

  /** Whether the poll got something; otherwise its client is served again when that can help. */
  #serveOne(poll: LitePoll): boolean {
    const { clients, polls, state, throughput } = this.#context
    const { client } = poll
    const at = this.#context.now()
    this.#context.catchUp(at)
    if (!poll.linked) return false
    const group = state.groups.get(client.group.consumerGroupId)
    const topic = state.topics.get(client.group.topicName)
    if (!group || !topic?.liteTopics) return false
    const opens = throughput.receivesAt({ group }, at)
    if (opens > at) {
      if (opens < Number.POSITIVE_INFINITY) this.#serveLater(client, opens)
      return false
    }
    const batches = this.#take(poll, { group, topic, at })
    if (batches.length === 0) return false
    polls.leaveQueue(poll)
    this.#taking.remember(poll, batches)
    for (const { subscription, leased } of batches) {
      clients.served(client, subscription.topic.liteTopic)
      throughput.spendReceive(subscription, leased.entries.length, at)
    }
    void this.#deliver(poll, group, batches)
    return true
  }

  #take(poll: LitePoll, from: { group: Group; topic: Topic; at: number }): LiteBatch[] {
    try {
      if (this.#taking.isRepeated(poll)) return this.#taking.takeRepeated(poll, from.at)
      return this.#taking.takeReady(poll, from)
    } catch (error) {
      this.#context.polls.leaveQueue(poll)
      this.#context.polls.fail(poll, asRefusal(error))
      return []
    }
  }

  /** In order, so that a lite topic's messages are never behind those of its later batch. */
  async #deliver(poll: LitePoll, group: Group, batches: readonly LiteBatch[]): Promise<void> {
    const { delivering, handOver, polls, subscriptions } = this.#context
    // As in consuming/receiving.ts: a delivery that is handed over counts.
    const durable = this.#context.promised()
    try {
      const read = await this.#read(poll, batches)
      await durable
      await subscriptions.settled(group)
      const turn = handOver.turn()
      if (turn) await turn
      this.#context.catchUp(this.#context.now())
      const deliveries = batches.flatMap((batch, i) => this.#toGive(poll, batch, read[i] ?? []))
      if (read.every((messages) => messages.length === 0)) polls.fail(poll, tooMuchUnread)
      else polls.answer(poll, deliveries)
    } catch (error) {
      const turn = handOver.turn()
      if (turn) await turn
      if (this.#context.closed()) {
        polls.answer(poll, [])
        return
      }
      if (this.#context.stopped()) {
        polls.fail(poll, asRefusal(error))
        return
      }
      this.#context.report(error)
      const [broken, ...others] = batches
      delivering.setAside(broken!.subscription, broken!.leased)
      for (const { subscription, leased } of others) delivering.giveBack(subscription, leased, 0)
      polls.fail(poll, asRefusal(error))
    }
  }

  /** The messages of the first batches, as many as memory should hold at a time; rejects when the first cannot be read. */
  async #read(poll: LitePoll, batches: readonly LiteBatch[]): Promise<MessageEvent[][]> {
    const read: MessageEvent[][] = []
    let bytes = 0
    for (const { leased } of batches) {
      if (bytes >= limits.bytesPerReceive) break
      const messages = await this.#context.delivering.read(poll, leased).catch((error: unknown) => {
        if (this.#context.stopped() || read.length === 0) throw error
        // The batches before it are delivered; its failure is reported when it is the first.
        return []
      })
      for (const { payload } of messages) bytes += payload.length
      read.push(messages)
      if (messages.length < leased.entries.length) break
    }
    return read
  }

  /** What of the batch the client still gets: nothing once it disconnected, or lost the lite topic while the messages were read. */
  #toGive(poll: LitePoll, { subscription, leased }: LiteBatch, messages: readonly MessageEvent[]): Delivery[] {
    const { delivering, state, throughput } = this.#context
    const given = poll.signal.aborted || !this.#taking.isSubscribed(poll.client, subscription) ? [] : messages
    if (given.length < leased.entries.length) delivering.giveBack(subscription, leased, given.length)
    let extra = 0
    for (const { bodyBytes } of given) extra += units(bodyBytes) - 1
    throughput.spendReceive(subscription, extra, this.#context.now())
    return given.map((message, i) => deliveryOf(subscription, leased, leased.entries[i]!, message, state.handleKey))
  }

  /** By `at`, or before: what holds one lite topic back holds no other, and the client is served for all of them. */
  #serveLater(client: LiteClient, at: number): void {
    let wake = this.#wakeOf.get(client)
    if (wake && wake.due <= at) return
    if (!wake) {
      wake = { client, due: at, heapIndex: -1 }
      this.#wakeOf.set(client, wake)
    }
    this.#wakes.set(wake, at)
    this.#context.arm()
  }
}
