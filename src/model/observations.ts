/** What an engine says is so: which instances it holds, how much is in them, how far groups are behind. */
import type { ConsumerGroupId, InstanceId, LiteTopicName, TopicName } from './ids.ts'

export interface InstanceObservation {
  readonly instanceId: InstanceId
  /**
   * Generation of the spec in force. 0 when there is only data: remains of a half-made instance, or one that was
   * not ensured since the engine started; then topics and groups need not be listed, and `ensureInstance` shows them.
   */
  readonly generation: number
  readonly state: 'running' | 'stopped' | 'failed'
  /** Why it failed, as a sentence that says what to do; while it runs, what is wrong with what it keeps, or null. */
  readonly reason: string | null
  /** Topics and groups in force with the generation of their spec (groups clients made by using them are not listed). */
  readonly topics: ReadonlyArray<{ readonly topicName: TopicName; readonly generation: number }>
  readonly groups: ReadonlyArray<{ readonly consumerGroupId: ConsumerGroupId; readonly generation: number }>
  /** Some, at most `madeByUseTold`, of the groups that clients made by using them and that nobody ensured; absent means none. */
  readonly groupsMadeByUse?: readonly string[]
}

export const madeByUseTold = 500

export interface InstanceUsage {
  readonly instanceId: InstanceId
  readonly storedBytes: number
  readonly connections: number
  /** Consumer groups that exist only because a client used them. */
  readonly groupsMadeByUse: number
  /** What is wrong with what it keeps though it runs, as a sentence that says what to do; null when nothing is known to be. */
  readonly remark: string | null
}

/** How far a group is behind on one topic, as of one moment. */
export interface TopicLag {
  readonly topicName: TopicName
  /** Of a LITE topic, the lite topic that this is about: each is counted by itself. */
  readonly liteTopic?: LiteTopicName | null
  /** Messages that could be given now, whatever the filter says of them. */
  readonly readyCount: number
  /** Messages with clients. */
  readonly inflightCount: number
  /** When the message the group was done with last was stored; null when there is none any more. */
  readonly lastConsumeMs: number | null
  /** Since when the oldest message that could be given has been there; null when there is none. */
  readonly readySinceMs: number | null
}
