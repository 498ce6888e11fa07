/**
 * The interface of one instance's broker: the boundary between `shell/`, which implements it, and `protocols/`, which speak
 * to clients. Plain data both ways; times are milliseconds.
 *
 * A promise of a write (send, ack, invisible duration, dead letter) resolves only after the log has
 * made it durable. Refusals are `BrokerRefusal` values thrown with RocketMQ's own status code.
 */

import type { Cancellation } from '../model/cancellation.ts'
import type { ClientId, ConsumerGroupId, LiteTopicName, MessageId, TopicName } from '../model/ids.ts'
import type { GroupSpec, MessageType, OffsetReset, TopicSpec } from '../model/instances.ts'
import type { MessageStatus, TraceIncident } from '../model/messages.ts'
import type { TopicLag } from '../model/observations.ts'
import type { Elasticity } from './core/capacity.ts'

/** The language of `SqlFilter`, for protocols, which read the properties of a payload. */
export { compileSql, SqlError } from './core/filters/sql.ts'

/**
 * One instance's broker, by roles: a caller declares those it needs. Each role is an object of its own, so that a call
 * is one property read more than a function.
 */
export interface Broker {
  readonly administration: AdministrationRole
  readonly metadata: MetadataRole
  readonly producing: ProducingRole
  readonly consuming: ConsumingRole
  readonly transactions: TransactionsRole
  readonly lite: LiteRole
  readonly offsets: OffsetsRole
  readonly inspection: InspectionRole
  /** Flushes, writes a checkpoint, and ends every waiting receive with nothing. */
  close(): Promise<void>
}

/** Topics, groups and settings as the loop wants them; durable on return. */
export interface AdministrationRole {
  ensureTopics(topics: readonly TopicSpec[]): Promise<void>
  removeTopic(topicName: TopicName): Promise<void>
  ensureGroups(groups: readonly GroupSpec[]): Promise<void>
  removeGroup(consumerGroupId: ConsumerGroupId): Promise<void>
  configure(settings: BrokerSettings): void
}

/** Topics and groups; read with nearly every call. */
export interface MetadataRole {
  topic(topicName: TopicName): TopicView | null
  /** Groups a client made by using them are here too, with `generation` 0. */
  group(consumerGroupId: ConsumerGroupId): GroupView | null
  topics(): TopicView[]
  groups(): GroupView[]
  /** Those of them with `generation` 0, in the order in which they were made. Costs nothing while there are none. */
  unlistedGroups(): readonly ConsumerGroupId[]
  /** How far ahead a delivery time may lie. */
  readonly maxDelayMs: number
}

export interface ProducingRole {
  send(request: SendRequest): Promise<SendReceipt[]>
  /**
   * Takes a timed message back before it is due; durable and idempotent. Refused for a message whose
   * time has come (40400), and for handles that are malformed, of another topic or of another instance (40000).
   */
  recall(request: { topic: TopicName; handle: string }): Promise<{ messageId: MessageId }>
}

export interface ConsumingRole {
  /** The group as stored, made with the defaults when it is new (data-plane.md §0 row 15). Durable before its first delivery. */
  useGroup(consumerGroupId: ConsumerGroupId): GroupView
  /** Long poll: resolves with at least one message, or with none after `waitMs`, or when `signal` aborts. */
  receive(request: ReceiveRequest, signal: Cancellation): Promise<Delivery[]>
  ack(request: AckRequest): Promise<HandleOutcome[]>
  /** Moves the delivery's deadline to now + `invisibleMs`; the answer's handle and the old one both name the delivery. */
  changeInvisible(request: ChangeInvisibleRequest): Promise<HandleOutcome & { handle: string }>
  /**
   * Deliveries that were never written to a client: visible again after `delayMs`, and not counted. One whose handle was given out before (an
   * orderly batch repeated for its attempt id) counts. Handles that name no current delivery are passed over. False when
   * nothing can be written now: the deliveries come again at the end of their time, and count.
   */
  returnDeliveries(request: ReturnRequest): Promise<boolean>
  /** Copies the message to the group's dead letters and passes it over for the group, in one durable step. Idempotent. */
  forwardToDeadLetter(request: ForwardRequest): Promise<void>
  /** The client is alive: its auto-renewed deliveries stay invisible. Called for each heartbeat and open stream. */
  clientAlive(clientId: ClientId): void
  /** The client went away: its auto-renewed deliveries become visible after one second. */
  clientGone(clientId: ClientId): void
}

export interface TransactionsRole {
  /** Decides an open transaction, durably; without effect on one that has ended, whatever this decision is. */
  end(request: EndTransactionRequest): Promise<TransactionOutcome>
  /** Adds a checker: it asks the producers that it knows to decide open transactions. */
  addTransactionChecker(checker: TransactionChecker): void
  /** A producer that declares these topics can be asked from now on. */
  producerConnected(topicNames: readonly TopicName[]): void
}

export interface LiteRole {
  /** The group, when it is one of lite consumers. It is never made by use: refused with 40403 when nobody created it, 40000 when it is of another kind. */
  group(consumerGroupId: ConsumerGroupId): GroupView
  /**
   * The lite topics that a consumer subscribes to from now on; offsets that this moves are durable on return. Changes nothing
   * when it is refused: names (40020), quotas (42902), and groups that are not bound to the topic (40000).
   */
  sync(request: LiteSyncRequest): Promise<void>
  /** Told when a client loses a lite topic to another client of its exclusive group; each protocol listens for its own clients. */
  onTopicLost(listener: (clientId: ClientId, liteTopic: LiteTopicName) => void): void
}

export interface OffsetsRole {
  /** Moves a group's offsets in a topic, once for each reset id; does nothing when the group or the topic is absent. Durable on return. */
  reset(reset: OffsetReset): Promise<void>
  /** How far the group is behind on each topic it reads; counted at one moment, at a cost that follows the number of queues. */
  lag(consumerGroupId: ConsumerGroupId): Promise<TopicLag[]>
  /** Where the group stands in a queue, everything below being done with; null when it does not read the topic. */
  committed(request: { group: ConsumerGroupId; topic: TopicName; queueId: number }): number | null
  /** The group goes on at this offset of the queue, and what it was given of the queue before no longer counts. */
  update(request: { group: ConsumerGroupId; topic: TopicName; queueId: number; offset: number }): Promise<void>
  /** The first offset, the one after the last, or the first stored at a time or later. */
  query(request: { topic: TopicName; queueId: number; at: 'beginning' | 'end' | number }): Promise<number>
  /** Reads from an offset of one queue without leasing; waits as a receive when nothing matches. */
  pull(request: PullRequest, signal: Cancellation): Promise<Pulled>
}

/** Stored messages and what is stored altogether, without consuming anything. */
export interface InspectionRole {
  /** Stored messages of a topic by time; null when there is no such topic. Bounded work: `next` says where to go on. */
  browse(request: BrowseRequest): Promise<BrowsePage | null>
  /** One message by its id, in a queue or on its way to one, at a cost that does not follow what is retained; null when there is none. */
  findMessage(request: FindRequest): Promise<FoundMessage | null>
  /** The history of a message that `findMessage` found, as far as the log still has it. */
  historyOf(topicName: TopicName, found: FoundMessage): Promise<Incident[]>
  /** Bytes of the log on the disk; its cost grows with the segments alone. */
  storedBytes(): number
  usage(): Usage
}

export interface Usage {
  readonly storedBytes: number
  readonly messages: number
  readonly inflight: number
  /** Messages that wait for their delivery time; they are not among `messages`. */
  readonly timed: number
}

export interface BrowseRequest {
  readonly topic: TopicName
  /** Of a LITE topic: only this lite topic; null or absent: each in turn, in order of time by itself. */
  readonly liteTopic?: LiteTopicName | null
  /** Store time, both ends included. */
  readonly fromMs: number
  readonly untilMs: number
  /** `next` of the page before, or null. */
  readonly after: readonly number[] | null
  /** Only messages with this key, found at a cost that follows their number; null or absent: all. */
  readonly key?: string | null
  /** Messages to pass over. */
  readonly skip: number
  readonly limit: number
  /** Is given each message instead of the page, so that their bodies are not in memory together. */
  readonly each?: (message: StoredMessage) => Promise<void> | void
}

export interface BrowsePage {
  readonly messages: readonly StoredMessage[]
  /** Messages in the time range, at most so many where there are more than ten thousand lite topics; with a key as many as are known so far, and one when there may be more. */
  readonly total: number
  /** Null when everything in the range was looked at. */
  readonly next: readonly number[] | null
}

export interface StoredMessage {
  readonly messageId: MessageId
  readonly tag: string | null
  readonly bodyBytes: number
  readonly storeTimeMs: number
  readonly payload: Uint8Array
  readonly deadLetterOf: { readonly topicName: TopicName; readonly messageId: MessageId } | null
  readonly queueId: number
  readonly offset: number
  /** Empty when it is of none. */
  readonly liteTopic: LiteTopicName
  /** Where it lies in the log. */
  readonly position: number
}

export interface FindRequest {
  readonly topic: TopicName
  readonly messageId: MessageId
  /** Store time, both ends included. */
  readonly fromMs: number
  readonly untilMs: number
}

export interface FoundMessage {
  readonly message: StoredMessage
  readonly status: MessageStatus
  /** Of a message sent in a transaction, where the log still has its half message. */
  readonly transactionId: string | null
  /** Of a timed message, where the log still has it as it was stored first. */
  readonly dueMs: number | null
  /** When a timed or transactional message was stored first; null for others. */
  readonly storedFirstMs: number | null
  /** Positions of its copies among dead letters. */
  readonly deadLetters: readonly number[]
}

/** `deadline`: a client, or the broker nacking for one, gave the delivery another deadline. */
export type Incident = TraceIncident
export type { MessageStatus }

export interface BrokerSettings {
  readonly retentionMs: number
  /** Messages a second the instance takes and gives (product-facts.md §4.1 says how they count). */
  readonly sendTps: number
  readonly receiveTps: number
  /** The farthest delivery time of a timed message: 7 or 40 days by the edition (product-facts.md §1.3). */
  readonly maxDelayMs: number
  /** How the two budgets grow together (serverless); absent or null: not at all. */
  readonly elasticity?: Elasticity | null
  /** Consumer groups that clients may make by using them; absent: as many as the broker bears. */
  readonly maxGroupsMadeByUse?: number
  /** Why no messages are taken for now, as a sentence for producers; absent or null: they are. */
  readonly sendPause?: string | null
  /** Why nothing is written but what gives space back (acknowledgements, deletions, retention); null or absent: all is. */
  readonly writePause?: string | null
}

export interface TopicView {
  readonly topicName: TopicName
  readonly generation: number
  readonly messageType: MessageType
  readonly maxSendTps: number | null
  /** Number of queues, ids 0 to n−1. */
  readonly queues: number
}

export interface GroupView extends GroupSpec {
  /** maxRetryTimes + 1. */
  readonly maxAttempts: number
  /** Pause before the first, second, … retry; the last one repeats. Sent to clients in their settings (core/consuming/retry.ts). */
  readonly retryDelaysMs: readonly number[]
  /** Lite topics a client of the group may subscribe to, and the longest name of one. */
  readonly liteSubscriptionsPerClient: number
  readonly liteTopicNameBytes: number
}

export interface SendRequest {
  readonly topic: TopicName
  readonly messages: readonly OutgoingMessage[]
  /** Who sends; kept with transactional messages. */
  readonly clientId?: ClientId
}

/** A message as a protocol checked it. `payload` is opaque to the broker and kept byte for byte (`messages/stored-message.ts` says what is in it). */
export interface OutgoingMessage {
  readonly messageId: MessageId
  readonly tag: string | null
  readonly payload: Uint8Array
  /** Body bytes, for throttling. */
  readonly bodyBytes: number
  /** Wall-clock time of a timed message; null, absent, past or present: it is delivered at once. */
  readonly deliverAtMs?: number | null
  /** FIFO: messages of one group are delivered in the order in which they were sent. */
  readonly messageGroup?: string | null
  /** PRIORITY: at least 0, larger is more urgent. */
  readonly priority?: number | null
  /** LITE: the lite topic it goes to; made by its first message. */
  readonly liteTopic?: LiteTopicName | null
  /** A half message: nobody receives it before `endTransaction` commits it. All messages of a send or none. */
  readonly transactional?: boolean
  /** When the producer of a half message is first asked, from now; null or absent means the usual time. */
  readonly recoveryMs?: number | null
}

export interface SendReceipt {
  readonly messageId: MessageId
  readonly queueId: number
  readonly offset: number
  readonly storeTimeMs: number
  /** Of a timed message that waits: what `recall` takes. */
  readonly recallHandle?: string | null
  /** Names the transaction of a half message; opaque. A half message is in no queue yet: its queue and offset are 0. */
  readonly transactionId?: string
}

export interface EndTransactionRequest {
  readonly topic: TopicName
  readonly transactionId: string
  /** `unknown` leaves it open until the next check. */
  readonly resolution: 'commit' | 'rollback' | 'unknown'
}

export interface TransactionOutcome {
  /**
   * What this call found or did: it `committed` or `rolled-back` the transaction, left it `open`, or the transaction
   * had `ended` before it (`as` says how, when that is remembered).
   */
  readonly outcome: 'committed' | 'rolled-back' | 'open' | 'ended'
  readonly as?: 'commit' | 'rollback' | 'expired' | null
}

/** A transaction whose producer is asked to decide, with the half message as it was stored. */
export interface Orphan {
  readonly topicName: TopicName
  readonly transactionId: string
  readonly messageId: MessageId
  readonly payload: Uint8Array
  readonly storeTimeMs: number
}

/** Reaches the producers of a topic. */
export interface TransactionChecker {
  /** Whether a live producer that declared the topic can be asked. */
  canAsk(topicName: TopicName): boolean
  /** Asks one of them, in turn; resolves when the question is on its way, or cannot be put. */
  ask(orphan: Orphan): Promise<void>
}

export interface ReceiveRequest {
  readonly group: ConsumerGroupId
  readonly topic: TopicName
  readonly filter: Filter
  readonly max: number
  readonly waitMs: number
  readonly invisibleMs: number
  /** The broker itself keeps the delivery invisible while the client lives (at most three hours). */
  readonly autoRenew: boolean
  readonly clientId: ClientId
  /** The account that the client called with, for message traces; null or absent where it needed none. */
  readonly userName?: string | null
  /** The client's name for this poll: an orderly group answers it again with the batch whose reply was lost. */
  readonly attemptId?: string | null
  /** Bounds the memory of messages that were read for a consumer and that it does not take; absent: no bound. */
  readonly budget?: ReceiveBudget
}

export interface ReceiveBudget {
  /** True when nothing more should be read for this consumer. */
  full(): boolean
  /** So many bytes were read for it. */
  add(bytes: number): void
}

export interface AckRequest {
  readonly group: ConsumerGroupId
  readonly topic: TopicName
  readonly handles: readonly string[]
  /** The lite topic that each handle is said to be of; null where nothing is said. */
  readonly liteTopics?: readonly (string | null)[]
  readonly clientId: ClientId
}

export interface ChangeInvisibleRequest {
  readonly group: ConsumerGroupId
  readonly topic: TopicName
  readonly handle: string
  readonly invisibleMs: number
  readonly liteTopic?: LiteTopicName | null
  /** Of a lite topic: it pauses until then, and this delivery counts as none; its handle names nothing any more. */
  readonly suspend?: boolean
  readonly clientId: ClientId
}

export interface ReturnRequest {
  readonly group: ConsumerGroupId
  readonly topic: TopicName
  readonly handles: readonly string[]
  readonly delayMs: number
}

export interface ForwardRequest {
  readonly group: ConsumerGroupId
  readonly topic: TopicName
  /** Empty: the message is found by its id among what the client holds. */
  readonly handle: string
  readonly messageId: MessageId
  readonly liteTopic?: LiteTopicName | null
  readonly clientId: ClientId
}

/** `replace` is a full list, `clear` an empty one for good; the others change what was said before. */
export interface LiteSyncRequest {
  readonly group: ConsumerGroupId
  readonly topic: TopicName
  readonly clientId: ClientId
  readonly action: 'add' | 'remove' | 'replace' | 'clear'
  readonly liteTopics: readonly LiteTopicName[]
  /** Of a full list: an older one than the last changes nothing. */
  readonly version: number | null
  /** Where the group goes on in lite topics that are added; null: where it is. */
  readonly offset: LiteOffset | null
}

export type LiteOffset =
  | { readonly from: 'first' | 'last' }
  | { readonly from: 'offset'; readonly offset: number }
  /** So many messages before what the group is done with. */
  | { readonly from: 'tail'; readonly count: number }
  | { readonly from: 'time'; readonly timeMs: number }

export interface PullRequest {
  readonly group: ConsumerGroupId
  readonly topic: TopicName
  readonly queueId: number
  readonly offset: number
  readonly filter: Filter
  readonly max: number
  readonly waitMs: number
  /** As of a receive. */
  readonly budget?: ReceiveBudget
}

export interface Pulled {
  /** With empty handles: there is nothing to acknowledge. */
  readonly deliveries: readonly Delivery[]
  /** Where to go on; what does not match is passed over. */
  readonly nextOffset: number
}

/** Null matches everything; a set, the messages whose tag is in it; else what the expression says of each message. */
export type Filter = TagFilter | SqlFilter

export type TagFilter = ReadonlySet<string> | null

/** An SQL92 expression. The same text must be the same object for as long as it is in use: what it said of a message is remembered by it. */
export interface SqlFilter {
  readonly sql: string
  /** Whether a stored message (`OutgoingMessage.payload`) passes. Pure, and never throws. */
  passes(payload: Uint8Array): boolean
}

export interface Delivery {
  readonly messageId: MessageId
  /** As `OutgoingMessage.payload` was stored. */
  readonly payload: Uint8Array
  readonly queueId: number
  readonly offset: number
  /** 1 on the first delivery; the group's `maxAttempts` only when that is the last one. */
  readonly attempt: number
  readonly handle: string
  readonly storeTimeMs: number
  readonly invisibleMs: number
  /** For a dead letter: where the message came from (SystemProperties.dead_letter_queue); absent or null for others. */
  readonly deadLetterOf?: { readonly topicName: TopicName; readonly messageId: MessageId } | null
}

export interface HandleOutcome {
  /** `expired` covers malformed and unknown handles too; an already acknowledged delivery is `done`. */
  readonly outcome: 'done' | 'expired'
}
