/** Connected clients of an instance, what can be asked of one, and what they measured themselves. */
import type { ClientId, ConsumerGroupId, MessageId, TopicName } from './ids.ts'

export interface ClientConnection {
  readonly clientId: ClientId
  /** As people call it: Java, Node.js, …; null when the client did not say. */
  readonly language: string | null
  readonly version: string | null
  /** Null for a producer. */
  readonly group: ConsumerGroupId | null
  readonly topics: readonly TopicName[]
  readonly address: string | null
  /** It can be asked things. */
  readonly listening: boolean
}

/** One message for a client's listener; `body` is base64. */
export interface MessageToVerify {
  readonly topicName: TopicName
  readonly messageId: MessageId
  readonly tag: string | null
  readonly keys: readonly string[]
  readonly userProperties: Readonly<Record<string, string>>
  readonly body: string
  readonly bornTimeMs: number
}

export interface VerifiedMessage {
  readonly consumed: boolean
  /** What the client said, or null. */
  readonly reason: string | null
}

export interface ClientMetric {
  readonly clientId: ClientId
  readonly name: string
  readonly unit: string
  readonly labels: Readonly<Record<string, string>>
  /** When it was received, ms. */
  readonly at: number
  readonly value: MetricValue
}

export type MetricValue =
  | { readonly kind: 'gauge' | 'sum'; readonly value: number }
  | {
      readonly kind: 'histogram'
      readonly count: number
      readonly sum: number
      /** Upper bounds of all buckets but the last. */
      readonly bounds: readonly number[]
      readonly counts: readonly number[]
    }
