/**
 * What is wanted of an instance, as the loop tells an engine: its endpoints and limits, its topics and consumer groups.
 * Plain data that could be written as JSON.
 */
import type { ConsumerGroupId, InstanceId, TopicName } from './ids.ts'

/** Message types as the vendor names them (CreateTopic `messageType`). */
export type MessageType = 'NORMAL' | 'FIFO' | 'DELAY' | 'TRANSACTION' | 'LITE' | 'PRIORITY'

/** One address on which an instance answers clients. */
export interface ListenSpec {
  readonly kind: 'vpc' | 'internet'
  readonly host: string
  readonly port: number
  /** IPv4 addresses or CIDR blocks that may connect here, of those in `ipWhitelist`; empty means all of them. */
  readonly allow: readonly string[]
  /** Outbound limit in Mbit/s; null means none. */
  readonly bandwidthMbps: number | null
}

/** A data-plane account. `secret` is the password in clear: it must never reach a log. */
export interface AccountSpec {
  readonly username: string
  readonly secret: string
  readonly enabled: boolean
  /** The default account may do everything, a custom one what its grants allow. */
  readonly kind: 'default' | 'custom'
}

/** Which accounts an instance recognises: its default account, and custom ones (aclInfo.aclTypes). */
export type AclType = 'default' | 'apache_acl'

/** What one custom account may do, or must not do, with one topic or group, or several. */
export interface GrantSpec {
  readonly username: string
  readonly resourceType: 'Topic' | 'Group'
  /** A name, the beginning of names followed by `*`, or `*` for all of them. */
  readonly resourceName: string
  readonly actions: readonly GrantAction[]
  readonly decision: 'Allow' | 'Deny'
  /** IPv4 addresses or CIDR blocks it counts for; empty means all of them. */
  readonly addresses: readonly string[]
}

export type GrantAction = 'Pub' | 'Sub'

/** Messages a second: by how much and how far capacity grows, how long a step takes, and when it goes again. */
export interface ElasticitySpec {
  readonly stepTps: number
  readonly maxTps: number
  readonly scaleMs: number
  readonly lookBackMs: number
}

export interface InstanceSpec {
  readonly instanceId: InstanceId
  /** Rises with every wanted change of the instance itself (not of its topics and groups). */
  readonly generation: number
  /** A stopped instance (expired, overdue) keeps its data and refuses clients with PAYMENT_REQUIRED. */
  readonly serving: boolean
  readonly listen: readonly ListenSpec[]
  /** IPv4 addresses or CIDR blocks that may connect, to whichever address; nobody else may, so nobody when it is empty. */
  readonly ipWhitelist: readonly string[]
  readonly accounts: readonly AccountSpec[]
  /** Accounts of other kinds are refused, whatever their password. */
  readonly aclTypes: readonly AclType[]
  readonly grants: readonly GrantSpec[]
  /** Clients on the `vpc` address need no credentials (aclInfo.defaultVpcAuthFree). */
  readonly vpcAuthFree: boolean
  readonly retentionHours: number
  /** Messages a second, per direction: base and, with autoScaling, base plus elastic. */
  readonly sendTps: number
  readonly receiveTps: number
  /** How the sum of the two grows with the traffic (serverless); null: not at all. */
  readonly elasticity: ElasticitySpec | null
  readonly maxConnections: number
  /** How far ahead the delivery time of a timed message may lie. */
  readonly maxDelayMs: number
  /** Consumer groups that clients may make by using them, beside those that the management API creates. */
  readonly maxGroupsMadeByUse: number
  /** Nobody else's load may be felt: the instance is to have a process to itself (Platinum). */
  readonly dedicated: boolean
  /** Key id (storageSecretKey) when messages are encrypted at rest, else null. */
  readonly encryptionKeyId: string | null
}

export interface TopicSpec {
  readonly topicName: TopicName
  readonly generation: number
  readonly messageType: MessageType
  /** Null means no limit of its own. */
  readonly maxSendTps: number | null
  /** LITE: how long after its last message a lite topic goes away; null or absent is never. */
  readonly liteExpirationMs?: number | null
}

export interface GroupSpec {
  readonly consumerGroupId: ConsumerGroupId
  readonly generation: number
  readonly orderly: boolean
  /** Deliveries of one message are at most `maxRetryTimes + 1`. */
  readonly maxRetryTimes: number
  /** `fixed`: the same pause before every retry; `default`: the vendor's rising list. */
  readonly retry: { readonly kind: 'default' } | { readonly kind: 'fixed'; readonly intervalSeconds: number }
  /** Topic that takes messages after the last retry; null means the group's own `%DLQ%` topic. */
  readonly deadLetterTopic: TopicName | null
  readonly maxReceiveTps: number | null
  /** A client made it by using it, and nobody has created or changed it since; absent: no. */
  readonly madeByUse?: boolean
  /** A group of lite consumers: the LITE topic it reads, and whether a lite topic has one client of it at most. */
  readonly lite?: { readonly topicName: TopicName; readonly exclusive: boolean } | null
}

/** Moves a group's offsets in a topic to a time, once for each `resetId`. */
export interface OffsetReset {
  readonly resetId: string
  readonly consumerGroupId: ConsumerGroupId
  readonly topicName: TopicName
  /** To the first message stored at this time or later; null to the end. */
  readonly toMs: number | null
}
