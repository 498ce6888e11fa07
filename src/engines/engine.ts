/**
 * The seam: who carries the messages of an instance.
 *
 * The loop is the only caller. Every method is asynchronous, idempotent and exchanges plain data, so
 * an engine may live in another process. An engine is told what is wanted (`InstanceSpec`) and says
 * what is (`InstanceObservation`); it never reads the ledger. What an engine cannot do is a flag in
 * `EngineCapabilities`, and the API refuses the operation naming it.
 * What may be asked of an instance is in `questions.ts`; `suite.ts` holds the contract every engine passes.
 */
import type { ConsumerGroupId, InstanceId, TopicName } from '../model/ids.ts'
import type { GroupSpec, InstanceSpec, MessageType, OffsetReset, TopicSpec } from '../model/instances.ts'
import type { InstanceObservation } from '../model/observations.ts'
import type { Ask } from './questions.ts'

export interface EngineCapabilities {
  readonly messageTypes: readonly MessageType[]
  /** Ordered delivery (`deliveryOrderType: Orderly`) of consumer groups. */
  readonly orderlyGroups: boolean
  readonly storageEncryption: boolean
  /** Of messages in PRIORITY topics: a larger priority counts as this one. */
  readonly highestPriority: number
}

export interface Engine {
  readonly name: string
  readonly capabilities: EngineCapabilities
  start(): Promise<void>
  /**
   * Called when something the engine held may have changed without being asked: an instance's id, or
   * null when everything is in doubt (the process behind the engine died). Set before `start`.
   */
  onChange(listener: (instanceId: InstanceId | null) => void): void
  /** Stops serving and releases everything; what was acknowledged is on disk. */
  stop(): Promise<void>
  /** Everything the engine holds, half-made instances included. */
  observe(): Promise<InstanceObservation[]>
  observeInstance(instanceId: InstanceId): Promise<InstanceObservation | null>
  /** Makes or changes the instance; answers what is then in force (a taken port is `failed` with its reason). */
  ensureInstance(spec: InstanceSpec): Promise<InstanceObservation>
  /** Removes the instance with its messages; fine when it is absent. */
  removeInstance(instanceId: InstanceId): Promise<void>
  /** These five are refused with `EngineError` `absent` when the instance is. Several at once, because a restart brings hundreds. */
  ensureTopics(instanceId: InstanceId, topics: readonly TopicSpec[]): Promise<void>
  removeTopic(instanceId: InstanceId, topicName: TopicName): Promise<void>
  ensureGroups(instanceId: InstanceId, groups: readonly GroupSpec[]): Promise<void>
  /** From then on its clients are refused, for seven days at most, unless it is ensured again; also when the engine did not hold it. */
  removeGroup(instanceId: InstanceId, consumerGroupId: ConsumerGroupId): Promise<void>
  /** Moves the offsets of subscriptions, in the order given; a reset that was carried out before, or whose group or topic is gone, does nothing. */
  resetOffsets(instanceId: InstanceId, resets: readonly OffsetReset[]): Promise<void>
  /** Puts one of `Questions` (questions.ts); nothing changes by asking. */
  readonly ask: Ask
}
