/** Stored messages as an operator looks for and at them, and what became of one. */
import type { ClientId, ConsumerGroupId, LiteTopicName, MessageId, TopicName } from './ids.ts'

/** Stored messages of a topic: one by its id, or by key and time, in order of time. */
export interface MessageQuery {
  readonly topicName: TopicName
  readonly messageId: MessageId | null
  readonly messageKey: string | null
  /** Of a LITE topic, only this lite topic; null or absent: all of them, one after another. */
  readonly liteTopic?: LiteTopicName | null
  /** Store time, both ends included. */
  readonly fromMs: number
  readonly untilMs: number
  /** `scroll` of the page before, or null. */
  readonly scroll: string | null
  readonly skip: number
  readonly limit: number
}

export type TraceQuery = Pick<MessageQuery, 'topicName' | 'fromMs' | 'untilMs'> & { readonly messageId: MessageId }

export interface MessagePage {
  readonly messages: readonly MessageView[]
  /**
   * By time: how many there are (at most, beyond ten thousand lite topics). By key: how many are known, one more
   * when not everything was looked at.
   */
  readonly total: number
  /** Null when everything was looked at. One call does bounded work, so a page may be short and still have one. */
  readonly scroll: string | null
}

export interface MessageView {
  readonly messageId: MessageId
  readonly tag: string | null
  readonly keys: readonly string[]
  /** As text; null where a page has no room for it. */
  readonly body: string | null
  readonly bodyBytes: number
  readonly bornHost: string
  readonly bornMs: number
  readonly storeHost: string
  readonly storeMs: number
  readonly messageType: string
  readonly messageGroup: string | null
  readonly liteTopic: LiteTopicName | null
  readonly userProperties: Readonly<Record<string, string>>
  readonly deliverAtMs: number | null
  /** PRIORITY topics; null for others. */
  readonly priority: number | null
  readonly status: MessageStatus
  /** Of a message that was sent in a transaction, where the log still has its half message. */
  readonly transactionId: string | null
  /** Of a message that is in no queue both are 0. */
  readonly queueId: number
  readonly queueOffset: number
}

export interface MessageTrace {
  readonly message: MessageView
  /** The account that the producer called with; null where it needed none, or the log does not say. */
  readonly userName: string | null
  readonly deadLetterOf: { readonly topicName: TopicName; readonly messageId: MessageId } | null
  /** When a timed or transactional message reached the instance, before it was put into a queue; null for others. */
  readonly storedFirstMs: number | null
  /** In order of time. */
  readonly incidents: readonly TraceIncident[]
  readonly orderlyGroups: readonly ConsumerGroupId[]
}

export type TraceIncident =
  | {
      readonly what: 'delivered'
      readonly group: ConsumerGroupId
      readonly at: number
      readonly attempt: number
      readonly clientId: ClientId
      /** The account that the client called with; null where it needed none, or the log does not say. */
      readonly userName: string | null
      readonly untilMs: number
      /** Names the delivery, as its receipt handle does, without what lets one acknowledge with it. */
      readonly handle: string
    }
  /** A delivery that nobody got after all; it counts as none. */
  | { readonly what: 'returned'; readonly group: ConsumerGroupId; readonly at: number }
  | { readonly what: 'deadline'; readonly group: ConsumerGroupId; readonly at: number; readonly untilMs: number }
  | { readonly what: 'acknowledged'; readonly group: ConsumerGroupId; readonly at: number }
  /** The group is done with it, and no client acknowledged it. */
  | {
      readonly what: 'passed-over'
      readonly group: ConsumerGroupId
      readonly at: number
      readonly reason: 'retries-used-up' | 'filtered' | 'damaged'
    }
  /** The group whose retries were used up, where the log still says; and the topic that the copy is in. */
  | {
      readonly what: 'dead-letter'
      readonly group: ConsumerGroupId | null
      readonly at: number
      readonly topic: TopicName | null
    }

/** Where a message is: in its queue, or not there yet, or never to be. Times are null where the log does not say any more. */
export type MessageStatus =
  | { readonly state: 'stored' }
  /** For its delivery time. */
  | { readonly state: 'waiting'; readonly dueMs: number }
  | { readonly state: 'recalled'; readonly at: number | null }
  /** An open transaction; its producer was asked so often. */
  | { readonly state: 'undecided'; readonly checks: number }
  | { readonly state: 'rolled-back' | 'expired'; readonly at: number | null }
