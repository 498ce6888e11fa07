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
}

/** Messages a second: by how much and how far capacity grows, how long a step takes, and when it goes again. */
export interface ElasticitySpec {
  readonly stepTps: number
  readonly maxTps: number
  readonly scaleMs: number
  readonly lookBackMs: number
}

export interface InstanceSpec {
  readonly instanceId: string
  /** Rises with every wanted change of the instance itself (not of its topics and groups). */
  readonly generation: number
  /** A stopped instance (expired, overdue) keeps its data and refuses clients with PAYMENT_REQUIRED. */
  readonly serving: boolean
  readonly listen: readonly ListenSpec[]
  /** IPv4 addresses or CIDR blocks that may connect, to whichever address; nobody else may, so nobody when it is empty. */
  readonly ipWhitelist: readonly string[]
  readonly accounts: readonly AccountSpec[]
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
  /** Consumer groups there may be, those included that clients make by using them. */
  readonly maxGroups: number
  /** Nobody else's load may be felt: the instance is to have a process to itself (Platinum). */
  readonly dedicated: boolean
  /** Key id (storageSecretKey) when messages are encrypted at rest, else null. */
  readonly encryptionKeyId: string | null
}

export interface TopicSpec {
  readonly topicName: string
  readonly generation: number
  readonly messageType: MessageType
  /** Null means no limit of its own. */
  readonly maxSendTps: number | null
  /** LITE: how long after its last message a lite topic goes away; null or absent is never. */
  readonly liteExpirationMs?: number | null
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
  /** A group of lite consumers: the LITE topic it reads, and whether a lite topic has one client of it at most. */
  readonly lite?: { readonly topicName: string; readonly exclusive: boolean } | null
}

/** A group's reading of a topic is to be moved, once: the id tells this reset from every other. */
export interface OffsetReset {
  readonly resetId: string
  readonly consumerGroupId: string
  readonly topicName: string
  /** To the first message stored at this time or later; null to the end. */
  readonly toMs: number | null
}

export interface InstanceObservation {
  readonly instanceId: string
  /**
   * Generation of the spec in force. 0 when there is only data: remains of a half-made instance, or one that was
   * not ensured since the engine started; then topics and groups need not be listed, and `ensureInstance` shows them.
   */
  readonly generation: number
  readonly state: 'running' | 'stopped' | 'failed'
  /** Why it failed, as a sentence that says what to do; while it runs, what is wrong with what it keeps, or null. */
  readonly reason: string | null
  /** Topics and groups in force with the generation of their spec (groups clients made by using them are not listed). */
  readonly topics: ReadonlyArray<{ readonly topicName: string; readonly generation: number }>
  readonly groups: ReadonlyArray<{ readonly consumerGroupId: string; readonly generation: number }>
  /** Some, at most `madeByUseTold`, of the groups that clients made by using them and that nobody ensured; absent means none. */
  readonly groupsMadeByUse?: readonly string[]
}

export const madeByUseTold = 500

export interface InstanceUsage {
  readonly instanceId: string
  readonly storedBytes: number
  readonly connections: number
  /** Consumer groups that exist only because a client used them. */
  readonly groupsMadeByUse: number
  /** What is wrong with what it keeps though it runs, as a sentence that says what to do; null when nothing is known to be. */
  readonly remark: string | null
}

/** Stored messages of a topic: one by its id, or by key and time, in order of time. */
export interface MessageQuery {
  readonly topicName: string
  readonly messageId: string | null
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
  readonly messageId: string
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
  readonly deadLetterOf: { readonly topicName: string; readonly messageId: string } | null
  /** In order of time. */
  readonly incidents: readonly TraceIncident[]
  readonly orderlyGroups: readonly string[]
}

export type TraceIncident =
  | {
      readonly what: 'delivered'
      readonly group: string
      readonly at: number
      readonly attempt: number
      readonly clientId: string
      readonly untilMs: number
    }
  | { readonly what: 'deadline'; readonly group: string; readonly at: number; readonly untilMs: number }
  | { readonly what: 'acknowledged'; readonly group: string; readonly at: number }
  | { readonly what: 'dead-letter'; readonly group: null; readonly at: number; readonly topic: string | null }

/** How far a group is behind on one topic, as of one moment. */
export interface TopicLag {
  readonly topicName: string
  /** Of a LITE topic, the lite topic that this is about: each is counted by itself. */
  readonly liteTopic?: string | null
  /** Messages that could be given now, whatever the filter says of them. */
  readonly readyCount: number
  /** Messages with clients. */
  readonly inflightCount: number
  /** When the message the group was done with last was stored; null when there is none any more. */
  readonly lastConsumeMs: number | null
  /** Since when the oldest message that could be given has been there; null when there is none. */
  readonly readySinceMs: number | null
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
  /** These five are refused with `EngineError` `absent` when the instance is. Several at once, because a restart brings hundreds. */
  ensureTopics(instanceId: string, topics: readonly TopicSpec[]): Promise<void>
  removeTopic(instanceId: string, topicName: string): Promise<void>
  ensureGroups(instanceId: string, groups: readonly GroupSpec[]): Promise<void>
  removeGroup(instanceId: string, consumerGroupId: string): Promise<void>
  /** Moves readings, in the order given; a reset that was carried out before, or whose group or topic is gone, does nothing. */
  resetOffsets(instanceId: string, resets: readonly OffsetReset[]): Promise<void>
  usage(instanceId: string): Promise<InstanceUsage | null>
  /** Of each topic the group reads; null when the instance is not there. */
  lag(instanceId: string, consumerGroupId: string): Promise<readonly TopicLag[] | null>
  /** Looking at what is stored; null when the instance or the topic is not there. */
  findMessages(instanceId: string, query: MessageQuery): Promise<MessagePage | null>
  traceMessage(instanceId: string, query: TraceQuery): Promise<MessageTrace | null>
  /** Absent in an engine that cannot reach clients. */
  readonly clients?: EngineClients
}

export type TraceQuery = Pick<MessageQuery, 'topicName' | 'fromMs' | 'untilMs'> & { readonly messageId: string }

/**
 * What may be asked about connected clients, and of them, by an engine that knows them. A client that cannot or does not
 * answer is refused with `unsupported` and a sentence that names its language.
 */
export interface EngineClients {
  /** Clients of a group, or every client when `group` is null. */
  connections(instanceId: string, group: string | null): Promise<ClientConnection[]>
  /** Runs one message through the listener of one consumer; the group's progress does not change. */
  verifyMessage(instanceId: string, clientId: string, message: MessageToVerify): Promise<VerifiedMessage>
  /** The client's own account of its threads. */
  stackTrace(instanceId: string, clientId: string): Promise<string>
  /** Asks the client to dial again; whether it does, its language decides (Java and Node.js do). */
  reconnect(instanceId: string, clientId: string): Promise<void>
  /** The latest of what clients measured themselves. */
  metrics(instanceId: string): Promise<ClientMetric[]>
}

export interface ClientConnection {
  readonly clientId: string
  /** As people call it: Java, Node.js, …; null when the client did not say. */
  readonly language: string | null
  readonly version: string | null
  /** Null for a producer. */
  readonly group: string | null
  readonly topics: readonly string[]
  readonly address: string | null
  /** It can be asked things. */
  readonly listening: boolean
}

/** One message for a client's listener; `body` is base64. */
export interface MessageToVerify {
  readonly topicName: string
  readonly messageId: string
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
  readonly clientId: string
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

/** An engine's refusal or failure; the message is a sentence for the operator. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly code: 'absent' | 'unsupported' | 'unavailable' | 'failed'
  constructor(code: EngineError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
