/** Stored messages as an operator looks for and at them, and what became of one. */
import type { ClientId, ConsumerGroupId, MessageId, TopicName } from './ids.ts'

/** Stored messages of a topic: one by its id, or by key and time, in order of time. */
export interface MessageQuery {
  readonly topicName: TopicName
  readonly messageId: MessageId | null
  readonly messageKey: string | null
  /** Of a LITE topic, only this lite topic; null or absent: all of them, one after another. */
  readonly liteTopic?: string | null
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
  readonly liteTopic: string | null
  readonly userProperties: Readonly<Record<string, string>>
  readonly deliverAtMs: number | null
  readonly queueId: number
  readonly queueOffset: number
}

export interface MessageTrace {
  readonly message: MessageView
  readonly deadLetterOf: { readonly topicName: TopicName; readonly messageId: MessageId } | null
  /** In order of time. */
  readonly incidents: readonly TraceIncident[]
  readonly orderlyGroups: readonly string[]
}

export type TraceIncident =
  | {
      readonly what: 'delivered'
      readonly group: ConsumerGroupId
      readonly at: number
      readonly attempt: number
      readonly clientId: ClientId
      readonly untilMs: number
    }
  | { readonly what: 'deadline'; readonly group: ConsumerGroupId; readonly at: number; readonly untilMs: number }
  | { readonly what: 'acknowledged'; readonly group: ConsumerGroupId; readonly at: number }
  | { readonly what: 'dead-letter'; readonly group: null; readonly at: number; readonly topic: string | null }
