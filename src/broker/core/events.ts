/**
 * The events of a broker: every change of its state. The log holds them in order; applying them to an empty
 * state gives the state (`apply.ts`). Their bytes are in `event-codec.ts`.
 */
import type { ConsumerGroupId, LiteTopicName, MessageId, TopicName } from '../../model/ids.ts'
import type { RetryPolicy } from './consuming/retry.ts'

export interface TopicSettings {
  readonly topicName: TopicName
  readonly generation: number
  readonly messageType: string
  readonly maxSendTps: number | null
  /** Of a LITE topic: when a lite topic goes away, after its last message; absent or null is never. */
  readonly liteExpirationMs?: number | null
}

/** What makes a group one of lite consumers. */
export interface LiteBinding {
  /** The LITE topic it reads; it reads no other. */
  readonly topicName: TopicName
  /** At most one client of the group has a lite topic. */
  readonly exclusive: boolean
}

export interface GroupSettings {
  readonly consumerGroupId: ConsumerGroupId
  readonly generation: number
  readonly orderly: boolean
  readonly maxRetryTimes: number
  readonly retry: RetryPolicy
  readonly deadLetterTopic: string | null
  readonly maxReceiveTps: number | null
  /** Made by a client's use, and not created or changed by the management API since; absent: no. */
  readonly madeByUse?: boolean
  readonly lite?: LiteBinding | null
}

/** Where a dead letter came from. */
export interface Origin {
  readonly topicName: TopicName
  readonly messageId: MessageId
}

export interface MessageEvent {
  readonly type: 'message'
  readonly queueKey: number
  readonly offset: number
  readonly storeTimeMs: number
  readonly tag: string | null
  readonly messageId: MessageId
  readonly bodyBytes: number
  readonly origin: Origin | null
  readonly payload: Uint8Array
}

/** A topic was made, or its settings changed; queue keys of a topic are `firstQueueKey` … + `queues` − 1, never used twice. */
export interface TopicEvent extends TopicSettings {
  readonly type: 'topic'
  readonly firstQueueKey: number
  readonly queues: number
}

export interface TopicRemovedEvent {
  readonly type: 'topic-removed'
  readonly topicName: TopicName
}

export interface GroupEvent extends GroupSettings {
  readonly type: 'group'
}

export interface GroupRemovedEvent {
  readonly type: 'group-removed'
  readonly consumerGroupId: ConsumerGroupId
}

/** A group began to read a topic, at these offsets of its queues. */
export interface SubscribedEvent {
  readonly type: 'subscribed'
  readonly subscriptionId: number
  readonly consumerGroupId: ConsumerGroupId
  readonly topicName: TopicName
  readonly starts: readonly number[]
}

export interface LeasedEntry {
  readonly queueId: number
  readonly offset: number
  readonly attempt: number
  readonly position: number
  readonly tagHash: number
}

/** Messages were delivered to a client. Offsets passed over on the way to `nexts` are done with for this group. */
export interface LeasedEvent {
  readonly type: 'leased'
  readonly subscriptionId: number
  readonly at: number
  readonly deadline: number
  readonly renewable: boolean
  readonly session: number
  readonly owner: string
  /** The account the client called with; null where it needed none, and in records of older programs. */
  readonly userName: string | null
  readonly nexts: ReadonlyArray<{ readonly queueId: number; readonly next: number }>
  readonly entries: readonly LeasedEntry[]
}

/**
 * As `leased`, to an orderly group: these queues are locked by this batch. `repeated`: the same batch
 * again for the same attempt, under the names it had; it counts as no delivery.
 */
export interface LockedEvent extends Omit<LeasedEvent, 'type'> {
  readonly type: 'locked'
  readonly attemptId: string
  readonly repeated: boolean
}

export type DeliveryEvent = LeasedEvent | LockedEvent

/** An orderly group acknowledged these; each is done with when everything before it is, and may be delivered again until then. */
export interface AckedOutOfOrderEvent {
  readonly type: 'acked-out-of-order'
  readonly subscriptionId: number
  readonly entries: readonly MessageName[]
}

export interface MessageName {
  readonly queueId: number
  readonly offset: number
}

export interface AckedEvent {
  readonly type: 'acked'
  readonly subscriptionId: number
  readonly entries: readonly MessageName[]
}

/** Why a group is done with messages that were not acknowledged. */
export type PassedOverReason = 'dead-letter' | 'retries-used-up' | 'filtered' | 'damaged'

/**
 * A group is done with these, and no client acknowledged them: a copy is in the dead-letter topic (`dead-letter`, which
 * follows the copy in its record group), there is no further topic for a dead letter (`retries-used-up`), the client's filter
 * does not match (`filtered`), or they cannot be read (`damaged`). Older programs wrote `acked` for it.
 */
export interface PassedOverEvent {
  readonly type: 'passed-over'
  readonly subscriptionId: number
  readonly reason: PassedOverReason
  readonly entries: readonly MessageName[]
}

/**
 * Deliveries got another deadline from outside (a client, or the broker nacking for it); they are no
 * longer renewed. `returned`: no client was sent them, so the attempt does not count.
 */
export interface DeadlineEvent {
  readonly type: 'deadline'
  readonly subscriptionId: number
  readonly deadline: number
  readonly returned: boolean
  readonly entries: readonly MessageName[]
}

/** Retention took the messages below these offsets. */
export interface TrimmedEvent {
  readonly type: 'trimmed'
  readonly queues: ReadonlyArray<{ readonly queueKey: number; readonly begin: number }>
}

/**
 * A message that waits for its time, or the same one (by `timerId`) written again further on in the log.
 * `queueKey` is that of its topic's first queue; `storeTimeMs` is when this record was written.
 */
export interface TimerStoredEvent {
  readonly type: 'timer-stored'
  readonly timerId: number
  readonly queueKey: number
  readonly dueMs: number
  readonly storeTimeMs: number
  readonly tag: string | null
  readonly messageId: MessageId
  readonly bodyBytes: number
  readonly payload: Uint8Array
}

/** Timed messages came due; those that reach a queue follow as `message` events of the same group. */
export interface TimerFiredEvent {
  readonly type: 'timer-fired'
  readonly at: number
  readonly timerIds: readonly number[]
}

/** Timed messages will not be delivered: their producer took them back, or their topic is gone. */
export interface TimerRecalledEvent {
  readonly type: 'timer-recalled'
  readonly timerIds: readonly number[]
}

export type Resolution = 'commit' | 'rollback' | 'expired'

/** A transactional message arrived; it is in no queue, and the transaction with this number is open. */
export interface HalfEvent {
  readonly type: 'half'
  readonly number: number
  /** What the instance's transaction ids are signed with; the same in every half message. */
  readonly secret: string
  /** First queue key of its topic. */
  readonly topicKey: number
  readonly storeTimeMs: number
  readonly firstCheckMs: number
  readonly owner: string
  readonly tag: string | null
  readonly messageId: MessageId
  readonly bodyBytes: number
  readonly payload: Uint8Array
}

/** Producers are being asked to decide these transactions; each has used up a check, and is asked again at `next`. */
export interface TransactionCheckedEvent {
  readonly type: 'transaction-checked'
  readonly at: number
  readonly next: number
  readonly numbers: readonly number[]
}

/** These transactions are open no more; the message of a committed one follows in the same record group. */
export interface TransactionEndedEvent {
  readonly type: 'transaction-ended'
  readonly at: number
  readonly resolution: Resolution
  readonly numbers: readonly number[]
}

/**
 * A group's subscription to these queues was moved: it goes on at `next`, and nothing it was given of them before
 * counts any more. `resetId` names the reset of the management API that this carries out, so that it is
 * carried out once; null when a client moved its own offset.
 */
export interface CursorResetEvent {
  readonly type: 'cursor-reset'
  readonly subscriptionId: number
  readonly resetId: string | null
  readonly cursors: ReadonlyArray<{ readonly queueId: number; readonly next: number }>
}

/** A lite topic came to be, with a queue of its own; it is named in the record group of its first message. */
export interface LiteTopicEvent {
  readonly type: 'lite-topic'
  /** First queue key of the LITE topic it is in. */
  readonly topicKey: number
  readonly liteTopic: LiteTopicName
  readonly queueKey: number
  readonly at: number
}

/** These lite topics had no message for too long: they are gone with everything in them. */
export interface LiteExpiredEvent {
  readonly type: 'lite-expired'
  readonly at: number
  readonly queueKeys: readonly number[]
}

/** A group began to read a lite topic, at this offset. */
export interface LiteSubscribedEvent {
  readonly type: 'lite-subscribed'
  readonly subscriptionId: number
  readonly consumerGroupId: ConsumerGroupId
  readonly queueKey: number
  readonly start: number
}

/** The time, written before events that carry none, at most once a second: message traces need it. */
export interface TimeEvent {
  readonly type: 'time'
  readonly at: number
}

export type BrokerEvent =
  | TimeEvent
  | MessageEvent
  | TopicEvent
  | TopicRemovedEvent
  | GroupEvent
  | GroupRemovedEvent
  | SubscribedEvent
  | LeasedEvent
  | AckedEvent
  | PassedOverEvent
  | DeadlineEvent
  | TrimmedEvent
  | TimerStoredEvent
  | TimerFiredEvent
  | TimerRecalledEvent
  | LockedEvent
  | AckedOutOfOrderEvent
  | HalfEvent
  | TransactionCheckedEvent
  | TransactionEndedEvent
  | CursorResetEvent
  | LiteTopicEvent
  | LiteExpiredEvent
  | LiteSubscribedEvent
