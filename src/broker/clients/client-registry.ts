/**
 * The clients of one instance, over whatever protocol: a client is known from when it says what it is until it says
 * goodbye, or has been silent for too long without a stream.
 *
 * A stream is no precondition for anything else (a restarted server meets clients of gRPC that never reopen
 * theirs), so every call counts as a sign of life. What the broker has to say to a client goes over its newest
 * stream; a client that has none, or that does not read what it was sent, is not told.
 */

import type { ClientMetric } from '../../model/clients.ts'
import type { ClientId, ConsumerGroupId, TopicName } from '../../model/ids.ts'
import type { Cancel, Clock } from '../../world/world.ts'
import type { ConsumingRole } from '../broker.ts'
import { ClientMetrics, type MeasuredPoint, type Rejected } from './client-metrics.ts'
import { type ClientCommand, type ClientStream, ClientStreams } from './client-streams.ts'
import { KeptSettings } from './kept-settings.ts'
import { type ClientInfo, KnownClients } from './known-clients.ts'
import { type Answer, Questions } from './questions.ts'

/** Clients heartbeat every 10 s (Rust every 30 s): a closed stream without a sign of life for this long means a lost client. */
const lostAfterMs = 35_000
/** With its connection gone: a client that lives dials again within a second or two, and its poll or heartbeat comes with it. */
const lostWithConnectionAfterMs = 6_000

export class ClientRegistry {
  /** By stream. */
  readonly settings = new KeptSettings()
  readonly #consuming: Pick<ConsumingRole, 'clientAlive' | 'clientGone'>
  readonly #clock: Clock
  readonly #metrics = new ClientMetrics()
  readonly #known = new KnownClients((clientId) => this.#metrics.forget(clientId))
  readonly #streams: ClientStreams
  readonly #questions: Questions
  readonly #doubts = new Map<string, Doubt>()
  #producerListener: (topics: readonly TopicName[]) => void = () => {}
  #closed = false

  constructor(consuming: Pick<ConsumingRole, 'clientAlive' | 'clientGone'>, clock: Clock) {
    this.#consuming = consuming
    this.#clock = clock
    this.#streams = new ClientStreams(clock)
    this.#questions = new Questions(clock)
  }

  // Who is there ---------------------------------------------------------------------------------

  /** Every authenticated call. */
  alive(clientId: ClientId): void {
    const doubted = this.#doubts.get(clientId)
    if (doubted !== undefined) {
      doubted.heardAt = this.#clock.monotonic()
      doubted.patienceMs = lostAfterMs
    }
    this.#consuming.clientAlive(clientId)
  }

  /** Its settings say what the client is. */
  register(info: ClientInfo): void {
    this.#known.put(info)
    this.#consuming.clientAlive(info.clientId)
    if (info.group === null && this.listening(info.clientId)) this.#producerListener(info.topics)
  }

  streamOpened(clientId: ClientId, stream: ClientStream): void {
    this.#streams.opened(clientId, stream)
    this.#settle(clientId)
  }

  /**
   * When the client has no stream any more, its deliveries are given back unless it is heard of soon; very
   * soon when the whole connection is gone, as when its process died.
   */
  streamClosed(clientId: ClientId, stream: ClientStream, connectionGone: boolean): void {
    const last = this.#streams.closed(clientId, stream)
    // Streams end after the registry when an instance closes: nobody is left to be told.
    if (last && this.#known.has(clientId) && !this.#closed)
      this.#doubt(clientId, connectionGone ? lostWithConnectionAfterMs : lostAfterMs)
  }

  /** It said goodbye. */
  terminated(clientId: ClientId): void {
    this.#forget(clientId)
  }

  list(): ClientInfo[] {
    return this.#known.list()
  }

  get(clientId: ClientId): ClientInfo | null {
    return this.#known.get(clientId)
  }

  /** Whether a call with the account, over the connection, may be the client's: nobody is it yet, or it is this one. */
  isCalledBy(clientId: ClientId, userName: string | null, connectionId: number): boolean {
    const client = this.#known.get(clientId)
    if (client === null || client.userName === userName) return true
    return this.#streams.hasOver(connectionId, clientId, client.userName)
  }

  // What it is told, and asked -------------------------------------------------------------------

  /** Has a stream that reads what it is sent. */
  listening(clientId: ClientId): boolean {
    return this.#streamOf(clientId) !== null
  }

  /** A client asked where a topic is. */
  routeAsked(clientId: ClientId): void {
    this.#streams.newest(clientId)?.routeAsked()
  }

  /** Over the newest stream; resolves when the client reads on, or after five seconds. Whether it was sent at all. */
  async tell(clientId: ClientId, command: ClientCommand): Promise<boolean> {
    const stream = this.#streamOf(clientId)
    if (stream === null) return false
    await this.#streams.send(stream, command)
    return true
  }

  /** Of streams that another account opened under the id of a client, none: what is said to a client may hold messages. */
  #streamOf(clientId: ClientId): ClientStream | null {
    return this.#streams.newest(clientId, this.#known.get(clientId)?.userName)
  }

  /** As `tell`, and waits for the answer: null when none came within five seconds or too much is being asked. */
  ask(clientId: ClientId, command: (nonce: string) => ClientCommand): Promise<Answer | null> {
    const stream = this.#streamOf(clientId)
    if (stream === null || !this.#questions.mayAsk(clientId)) return Promise.resolve(null)
    return this.#questions.ask(clientId, (nonce) => void this.#streams.send(stream, command(nonce)))
  }

  /** A client's answer to a question. */
  answered(clientId: ClientId, nonce: string, answer: Answer): void {
    this.#questions.answered(clientId, nonce, answer)
  }

  /** These groups' settings changed: their clients hear of it. */
  groupsChanged(groups: ReadonlySet<ConsumerGroupId>): void {
    for (const { clientId, group } of this.#known.list()) {
      if (group === null || !groups.has(group)) continue
      for (const stream of this.#streams.readStreams(clientId)) stream.refresh()
    }
  }

  // Producers ------------------------------------------------------------------------------------

  /** Whether `nextProducerOf` would find one. */
  hasProducer(topicName: TopicName): boolean {
    return this.#known.hasProducer(topicName, (clientId) => this.listening(clientId))
  }

  /** A listening producer that declared the topic: the next in turn, or null. */
  nextProducerOf(topicName: TopicName): ClientInfo | null {
    return this.#known.nextProducerOf(topicName, (clientId) => this.listening(clientId))
  }

  /** Called with the topics of each producer that can be asked from now on; set once. */
  onProducer(listener: (topics: readonly TopicName[]) => void): void {
    this.#producerListener = listener
  }

  // What clients measure -------------------------------------------------------------------------

  /** What a client measured; what of it could not be kept. */
  measured(clientId: ClientId, points: Iterable<() => MeasuredPoint>): Rejected | null {
    // One that nobody knows could never be forgotten.
    if (!this.#known.has(clientId)) return this.#metrics.refuse(points, 'the client has not said what it is')
    return this.#metrics.take(clientId, points, this.#clock.now())
  }

  metrics(): ClientMetric[] {
    return this.#metrics.list()
  }

  close(): void {
    this.#closed = true
    for (const { cancel } of this.#doubts.values()) cancel()
    this.#doubts.clear()
    this.#questions.give({ on: 'everybody' })
  }

  // Doubts ---------------------------------------------------------------------------------------

  #doubt(clientId: ClientId, patienceMs: number): void {
    this.#settle(clientId)
    this.#doubts.set(clientId, {
      heardAt: this.#clock.monotonic(),
      patienceMs,
      cancel: this.#lookAgain(clientId, patienceMs),
    })
  }

  /** One timer a doubted client, however often it is heard: when it fires it asks whether there was silence. */
  #lookAgain(clientId: ClientId, afterMs: number): Cancel {
    return this.#clock.after(afterMs, () => {
      const doubted = this.#doubts.get(clientId)!
      const leftMs = doubted.heardAt + doubted.patienceMs - this.#clock.monotonic()
      if (leftMs > 0) doubted.cancel = this.#lookAgain(clientId, leftMs)
      else this.#forget(clientId)
    })
  }

  #settle(clientId: ClientId): void {
    this.#doubts.get(clientId)?.cancel()
    this.#doubts.delete(clientId)
  }

  #forget(clientId: ClientId): void {
    this.#settle(clientId)
    this.#known.forget(clientId)
    this.#questions.give({ on: clientId })
    this.#consuming.clientGone(clientId)
  }
}

/** A client without a stream: it may come back, or go on without one as the C# client does. */
interface Doubt {
  /** Monotonic, ms. */
  heardAt: number
  /** Silence for so long means that it is gone. */
  patienceMs: number
  cancel: Cancel
}
