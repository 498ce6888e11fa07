/**
 * What one instance's broker promises, seen from above: the boundary between `shell/`, which keeps
 * the promises, and `wire/`, which speaks gRPC. Plain data both ways; times are milliseconds.
 *
 * A promise of a write (send, ack, invisible duration, dead letter) resolves only after the log has
 * made it durable. Refusals are `BrokerRefusal` values thrown with RocketMQ's own status code.
 */
import type { GroupSpec, MessageType, TopicSpec } from '../engines/engine.ts'

export interface Broker {
  /** Topics and groups as the loop wants them; durable on return. */
  ensureTopics(topics: readonly TopicSpec[]): Promise<void>
  removeTopic(topicName: string): Promise<void>
  ensureGroups(groups: readonly GroupSpec[]): Promise<void>
  removeGroup(consumerGroupId: string): Promise<void>
  configure(settings: BrokerSettings): void

  topic(topicName: string): TopicView | null
  /** Groups a client made by using them are here too, with `generation` 0. */
  group(consumerGroupId: string): GroupView | null
  topics(): TopicView[]
  groups(): GroupView[]
  /** The group as stored, made with the defaults when it is new (data-plane.md §0 row 15). Durable before its first delivery. */
  useGroup(consumerGroupId: string): GroupView

  send(request: SendRequest): Promise<SendReceipt[]>
  /** Long poll: resolves with at least one message, or with none after `waitMs`, or when `signal` aborts. */
  receive(request: ReceiveRequest, signal: AbortSignal): Promise<Delivery[]>
  ack(request: { group: string; topic: string; handles: readonly string[]; clientId: string }): Promise<HandleOutcome[]>
  /** Moves the delivery's deadline to now + `invisibleMs`; the answer's handle and the old one both name the delivery. */
  changeInvisible(request: {
    group: string
    topic: string
    handle: string
    invisibleMs: number
    clientId: string
  }): Promise<HandleOutcome & { handle: string }>
  /** Copies the message to the group's dead letters and acknowledges it, in one durable step. An empty handle is found by message id. Fine when already handled. */
  forwardToDeadLetter(request: {
    group: string
    topic: string
    handle: string
    messageId: string
    clientId: string
  }): Promise<void>

  /** The client is alive: its auto-renewed deliveries stay invisible. Called for each heartbeat and open stream. */
  clientAlive(clientId: string): void
  /** The client went away: its auto-renewed deliveries become visible after one second. */
  clientGone(clientId: string): void

  usage(): { storedBytes: number; messages: number; inflight: number }
  /** Flushes, writes a checkpoint, and ends every waiting receive with nothing. */
  close(): Promise<void>
}

export interface BrokerSettings {
  readonly retentionMs: number
  /** Messages a second the instance takes and gives (product-facts.md §4.1 says how they count). */
  readonly sendTps: number
  readonly receiveTps: number
}

export interface TopicView {
  readonly topicName: string
  readonly generation: number
  readonly messageType: MessageType
  readonly maxSendTps: number | null
  /** Number of queues, ids 0 to n−1. */
  readonly queues: number
}

export interface GroupView extends GroupSpec {
  /** maxRetryTimes + 1. */
  readonly maxAttempts: number
  /** Pause before the first, second, … retry; the last one repeats. Sent to clients in their settings (core/retry.ts). */
  readonly retryDelaysMs: readonly number[]
}

export interface SendRequest {
  readonly topic: string
  readonly messages: readonly OutgoingMessage[]
}

/** A message as the wire checked it. `payload` is opaque to the broker and kept byte for byte (wire/message.ts says what is in it). */
export interface OutgoingMessage {
  readonly messageId: string
  readonly tag: string | null
  readonly payload: Uint8Array
  /** Body bytes, for throttling. */
  readonly bodyBytes: number
}

export interface SendReceipt {
  readonly messageId: string
  readonly queueId: number
  readonly offset: number
  readonly storeTimeMs: number
}

export interface ReceiveRequest {
  readonly group: string
  readonly topic: string
  readonly filter: TagFilter
  readonly max: number
  readonly waitMs: number
  readonly invisibleMs: number
  /** The broker itself keeps the delivery invisible while the client lives (at most three hours). */
  readonly autoRenew: boolean
  readonly clientId: string
}

/** Null matches everything; else a message matches when its tag is in the set. */
export type TagFilter = ReadonlySet<string> | null

export interface Delivery {
  readonly messageId: string
  /** As `OutgoingMessage.payload` was stored. */
  readonly payload: Uint8Array
  readonly queueId: number
  readonly offset: number
  /** 1 on the first delivery. */
  readonly attempt: number
  readonly handle: string
  readonly storeTimeMs: number
  readonly invisibleMs: number
  /** For a dead letter: where the message came from (SystemProperties.dead_letter_queue); absent or null for others. */
  readonly deadLetterOf?: { readonly topicName: string; readonly messageId: string } | null
}

export interface HandleOutcome {
  /** `expired` covers malformed and unknown handles too; an already acknowledged delivery is `done`. */
  readonly outcome: 'done' | 'expired'
}

/** A refusal with the code of apache.rocketmq.v2.Code (data-plane.md §8) and a sentence for the user. */
export class BrokerRefusal extends Error {
  override readonly name = 'BrokerRefusal'
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}
