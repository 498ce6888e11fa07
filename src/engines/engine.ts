/**
 * The seam: who carries the messages of an instance.
 *
 * The loop is the only caller. Every method is asynchronous, idempotent and exchanges plain data, so
 * an engine may live in another process. An engine is told what is wanted (`InstanceSpec`) and says
 * what is (`InstanceObservation`); it never reads the ledger. What an engine cannot do is a flag in
 * `EngineCapabilities`, and the API refuses the operation naming it.
 * `suite.ts` holds the contract every engine passes.
 */

/** Message types as the vendor names them (CreateTopic `messageType`). */
export type MessageType = 'NORMAL' | 'FIFO' | 'DELAY' | 'TRANSACTION' | 'LITE' | 'PRIORITY'

export interface EngineCapabilities {
  readonly messageTypes: readonly MessageType[]
  /** Ordered delivery (`deliveryOrderType: Orderly`) of consumer groups. */
  readonly orderlyGroups: boolean
  readonly storageEncryption: boolean
}

/** One address on which an instance answers clients. */
export interface ListenSpec {
  readonly kind: 'vpc' | 'internet'
  readonly host: string
  readonly port: number
  /** IPv4 addresses or CIDR blocks that may connect; empty means everyone. */
  readonly allow: readonly string[]
  /** Outbound limit in Mbit/s; null means none. */
  readonly bandwidthMbps: number | null
}

/** A data-plane account. `secret` is the password in clear: it must never reach a log. */
export interface AccountSpec {
  readonly username: string
  readonly secret: string
  readonly enabled: boolean
}

export interface InstanceSpec {
  readonly instanceId: string
  /** Rises with every wanted change of the instance itself (not of its topics and groups). */
  readonly generation: number
  /** A stopped instance (expired, overdue) keeps its data and refuses clients with PAYMENT_REQUIRED. */
  readonly serving: boolean
  readonly listen: readonly ListenSpec[]
  readonly accounts: readonly AccountSpec[]
  /** Clients on the `vpc` address need no credentials (aclInfo.defaultVpcAuthFree). */
  readonly vpcAuthFree: boolean
  readonly retentionHours: number
  /** Messages a second, per direction: base and, with autoScaling, base plus elastic. */
  readonly sendTps: number
  readonly receiveTps: number
  readonly maxConnections: number
  /** Key id (storageSecretKey) when messages are encrypted at rest, else null. */
  readonly encryptionKeyId: string | null
}

export interface TopicSpec {
  readonly topicName: string
  readonly generation: number
  readonly messageType: MessageType
  /** Null means no limit of its own. */
  readonly maxSendTps: number | null
}

export interface GroupSpec {
  readonly consumerGroupId: string
  readonly generation: number
  readonly orderly: boolean
  /** Deliveries of one message are at most `maxRetryTimes + 1`. */
  readonly maxRetryTimes: number
  /** `fixed`: the same pause before every retry; `default`: the vendor's rising list. */
  readonly retry: { readonly kind: 'default' } | { readonly kind: 'fixed'; readonly intervalSeconds: number }
  /** Topic that takes messages after the last retry; null means the group's own `%DLQ%` topic. */
  readonly deadLetterTopic: string | null
  readonly maxReceiveTps: number | null
}

export interface InstanceObservation {
  readonly instanceId: string
  /**
   * Generation of the spec in force. 0 when there is only data: remains of a half-made instance, or one that was
   * not ensured since the engine started; then topics and groups need not be listed, and `ensureInstance` shows them.
   */
  readonly generation: number
  readonly state: 'running' | 'stopped' | 'failed'
  /** Why it failed, as a sentence that says what to do. */
  readonly reason: string | null
  /** Topics and groups in force with the generation of their spec (groups clients made by using them are not listed). */
  readonly topics: ReadonlyArray<{ readonly topicName: string; readonly generation: number }>
  readonly groups: ReadonlyArray<{ readonly consumerGroupId: string; readonly generation: number }>
}

export interface InstanceUsage {
  readonly instanceId: string
  readonly storedBytes: number
  readonly connections: number
}

export interface Engine {
  readonly name: string
  readonly capabilities: EngineCapabilities
  start(): Promise<void>
  /**
   * Called when something the engine held may have changed without being asked: an instance's id, or
   * null when everything is in doubt (the process behind the engine died). Set before `start`.
   */
  onChange(listener: (instanceId: string | null) => void): void
  /** Stops serving and releases everything; what was acknowledged is on disk. */
  stop(): Promise<void>
  /** Everything the engine holds, half-made instances included. */
  observe(): Promise<InstanceObservation[]>
  observeInstance(instanceId: string): Promise<InstanceObservation | null>
  /** Makes or changes the instance; answers what is then in force (a taken port is `failed` with its reason). */
  ensureInstance(spec: InstanceSpec): Promise<InstanceObservation>
  /** Removes the instance with its messages; fine when it is absent. */
  removeInstance(instanceId: string): Promise<void>
  /** These four are refused with `EngineError` `absent` when the instance is. Several at once, because a restart brings hundreds. */
  ensureTopics(instanceId: string, topics: readonly TopicSpec[]): Promise<void>
  removeTopic(instanceId: string, topicName: string): Promise<void>
  ensureGroups(instanceId: string, groups: readonly GroupSpec[]): Promise<void>
  removeGroup(instanceId: string, consumerGroupId: string): Promise<void>
  usage(instanceId: string): Promise<InstanceUsage | null>
}

/** An engine's refusal or failure; the message is a sentence for the operator. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly code: 'absent' | 'unsupported' | 'unavailable' | 'failed'
  constructor(code: EngineError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
