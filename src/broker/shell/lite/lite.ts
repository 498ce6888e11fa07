/**
 * LITE topics, live: sends into lite topics, lite subscriptions (lite-subscribing.ts), receives of lite consumers
 * (lite-serving.ts), and lite topics that expire (lite-expiry.ts). The rules are in core/lite/.
 *
 * What is here are the calls, and what ends with a client, a group or a topic.
 */

import type { Cancellation } from '../../../model/cancellation.ts'
import type { ClientId, ConsumerGroupId, LiteTopicName, TopicName } from '../../../model/ids.ts'
import type { Delivery, LiteSyncRequest, ReceiveRequest, SendReceipt, SendRequest } from '../../broker.ts'
import { limits } from '../../core/limits.ts'
import { decideLiteSend, type LiteOutgoing, refuseLiteName } from '../../core/lite/lite.ts'
import { type LiteClient, LiteSubscriptions } from '../../core/lite/lite-subscriptions.ts'
import { codes, type Refusal } from '../../core/refusal.ts'
import type { BrokerState, Group, LiteTopic, Subscription, Topic } from '../../core/state.ts'
import { refuse } from '../refusals.ts'
import type { Portion } from '../turn-budget.ts'
import type { LiteContext } from './lite-context.ts'
import { LiteExpiry } from './lite-expiry.ts'
import { boundGroup } from './lite-groups.ts'
import { LitePolls } from './lite-polls.ts'
import { LiteServing } from './lite-serving.ts'
import { LiteSubscribing } from './lite-subscribing.ts'

export class LiteShell {
  readonly #context: LiteContext
  readonly #state: BrokerState
  readonly #clients = new LiteSubscriptions()
  readonly #polls: LitePolls
  readonly #serving: LiteServing
  readonly #subscribing: LiteSubscribing
  readonly #expiry: LiteExpiry
  readonly #lostListeners: Array<(clientId: ClientId, liteTopic: LiteTopicName) => void> = []

  constructor(context: LiteContext) {
    this.#context = context
    this.#state = context.state
    this.#polls = new LitePolls(context.state, context.handOver)
    this.#expiry = new LiteExpiry(context)
    const common = { ...context, clients: this.#clients, catchUp: (at: number) => this.#catchUp(at) }
    this.#serving = new LiteServing({ ...common, polls: this.#polls })
    this.#subscribing = new LiteSubscribing({
      ...common,
      client: (group, topic, clientId, at) => this.#client(group, topic, clientId, at),
      serve: (client) => this.#serving.serve(client),
      lost: (clientId, liteTopic) => {
        for (const listener of this.#lostListeners) listener(clientId, liteTopic)
      },
    })
  }

  /** The earliest thing to do. */
  get due(): number {
    return Math.min(this.#polls.due, this.#serving.due, this.#expiry.due, this.#clients.silentAt)
  }

  onLost(listener: (clientId: ClientId, liteTopic: LiteTopicName) => void): void {
    this.#lostListeners.push(listener)
  }

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

  receive(topic: Topic, request: ReceiveRequest, signal: Cancellation): Promise<Delivery[]> {
    const group = boundGroup(this.#state, topic, request.group)
    if (request.filter !== null)
      throw refuse({
        code: codes.illegalFilter,
        message: 'a lite consumer gets every message of the lite topics it subscribes to; its filter expression is "*"',
      })
    const at = this.#context.now()
    this.#catchUp(at)
    const client = this.#client(group, topic, request.clientId, at)
    const refusal = this.#context.throughput.refuseReceive({ group }, at) ?? this.#polls.refuse(client)
    if (refusal) throw refuse(refusal)
    return new Promise((resolve, reject) => {
      const poll = this.#polls.enter(client, request, signal, { resolve, reject }, at)
      this.#serving.serveRepeated(poll)
      this.#serving.serve(client)
      // A short poll need not wait for a timer to hear that there is nothing.
      if (request.waitMs <= 0 && poll.linked && !this.#serving.isWorkingFor(client)) this.#polls.end(poll)
      this.#context.arm()
    })
  }

  sync(request: LiteSyncRequest): Promise<void> {
    return this.#subscribing.sync(request)
  }

  /** Something about the subscription changed: there may be something to deliver. */
  becameReady(subscription: Subscription): void {
    this.#serving.becameReady(subscription)
  }

  /** New messages of the lite topic may be taken. */
  arrived(lite: LiteTopic, portion: Portion): void {
    this.#serving.arrived(lite, portion)
  }

  unreadable(subscription: Subscription): void {
    this.#serving.unreadable(subscription)
  }

  // Ends -----------------------------------------------------------------------------------------

  /** The client went away: its lite subscriptions end, and its waiting receives are answered with nothing. */
  clientGone(clientId: ClientId): void {
    for (const client of this.#clients.byId(clientId)) this.#forget(client, null)
  }

  /** The group is gone or reads another LITE topic: its clients have to subscribe anew. */
  groupGone(consumerGroupId: ConsumerGroupId, refusal: Refusal | null): void {
    for (const client of this.#clients.ofGroup(consumerGroupId)) this.#forget(client, refusal)
  }

  topicGone(topic: Topic, refusal: Refusal): void {
    for (const { consumerGroupId } of [...this.#clients.groupsOf(topic.settings.topicName)])
      for (const client of this.#clients.ofGroup(consumerGroupId)) this.#polls.endAll(client, refusal)
    this.#expiry.forget(topic)
  }

  /** All but a few lite topics of a LITE topic that is about to be removed go, a portion at a time. */
  async empty(topicName: TopicName): Promise<void> {
    const topic = this.#state.topics.get(topicName)
    if (topic?.liteTopics) await this.#expiry.empty(topic)
  }

  /** It is new, has its first lite topic, or expires at other times. */
  topicChanged(topic: Topic): void {
    this.#expiry.watch(topic)
    this.#context.arm()
  }

  tick(at: number): void {
    this.#catchUp(at)
    this.#serving.tick(at)
    this.#polls.endOverdue(at, (client) => this.#serving.isLoading(client))
  }

  close(refusal: Refusal | null): void {
    for (const client of this.#clients.all()) this.#polls.endAll(client, refusal)
  }

  /** Ends what has expired. The timer may be late for it: a clock that is set forward does not make it fire. */
  #catchUp(at: number): void {
    if (this.#context.stopped()) return
    while (this.#clients.silentAt <= at && !this.#context.turns.isSpent) {
      const silent = this.#clients.forgetSilent(at)
      if (silent) this.#forget(silent, null)
    }
    this.#expiry.expire(at)
  }

  #client(group: Group, topic: Topic, clientId: ClientId, at: number): LiteClient {
    const client = this.#clients.client(group.settings.consumerGroupId, topic.settings.topicName, clientId, at)
    if (client) return client
    throw refuse({
      code: codes.tooManyRequests,
      message: `the instance has ${limits.clients} lite consumers already; close some, or use one for more lite topics`,
    })
  }

  #forget(client: LiteClient, refusal: Refusal | null): void {
    this.#clients.forget(client)
    this.#polls.endAll(client, refusal)
    this.#polls.forget(client)
    this.#serving.forget(client)
  }
}
