/**
 * What the broker host process does for the engine, as plain data: the methods of `Engine` that need
 * the process, and nothing that could not be written as JSON. `link.ts` carries the calls over a Unix
 * socket; tests call a host directly.
 */
import type { ConsumerGroupId, InstanceId, TopicName } from '../../model/ids.ts'
import type { GroupSpec, InstanceSpec, OffsetReset, TopicSpec } from '../../model/instances.ts'
import type { InstanceObservation } from '../../model/observations.ts'
import type { AnswerOf, ParamsOf, QuestionName } from '../questions.ts'

export interface HostApi {
  hello(): Promise<HostGreeting>
  /** Only what is open here; folders are looked at by the engine. */
  observe(): Promise<InstanceObservation[]>
  observeInstance(params: { instanceId: InstanceId }): Promise<InstanceObservation | null>
  /** `storageKey` is base64 of the 32 bytes messages are encrypted with, or null. */
  ensureInstance(params: { spec: InstanceSpec; storageKey: string | null }): Promise<InstanceObservation>
  /** Closes the instance and keeps its folder: another process is to open it. */
  releaseInstance(params: { instanceId: InstanceId }): Promise<null>
  removeInstance(params: { instanceId: InstanceId }): Promise<null>
  ensureTopics(params: { instanceId: InstanceId; topics: readonly TopicSpec[] }): Promise<null>
  removeTopic(params: { instanceId: InstanceId; topicName: TopicName }): Promise<null>
  ensureGroups(params: { instanceId: InstanceId; groups: readonly GroupSpec[] }): Promise<null>
  removeGroup(params: { instanceId: InstanceId; consumerGroupId: ConsumerGroupId }): Promise<null>
  resetOffsets(params: { instanceId: InstanceId; resets: readonly OffsetReset[] }): Promise<null>
  /** Puts one of `Questions` (../questions.ts) to an open instance. */
  ask<Name extends QuestionName>(params: {
    instanceId: InstanceId
    question: Name
    params: ParamsOf<Name>
  }): Promise<AnswerOf<Name>>
  /** Changes what a process is started with and can be changed while it runs. */
  configure(params: { lingerMinutes: number }): Promise<null>
  /** Closes every instance and ends the process. */
  shutdown(): Promise<null>
}

/** Raised when the meaning of a method changes; a process that speaks another is replaced. */
export const hostProtocol = 7

export interface HostGreeting {
  readonly pid: number
  /** Program version and protocol; a server takes over only a process that has its own. */
  readonly version: string
  readonly protocol: number
  /** The home and the name it was started for. */
  readonly home: string
  readonly name: string
  /** Milliseconds since the epoch, and since the start. */
  readonly startedAtMs: number
  readonly uptimeMs: number
  readonly lingerMinutes: number
  /** Instances that are open in it. */
  readonly instances: number
  /** Those of them that the loop is to look at again. */
  readonly attention: readonly Attention[]
}

/** Its log has stopped, so that it has to be opened anew, or clients made groups by using them. */
export interface Attention {
  readonly instanceId: InstanceId
  /** Another one when there is something new. */
  readonly changeToken: string
}

export const hostMethods = [
  'hello',
  'observe',
  'observeInstance',
  'ensureInstance',
  'releaseInstance',
  'removeInstance',
  'ensureTopics',
  'removeTopic',
  'ensureGroups',
  'removeGroup',
  'resetOffsets',
  'ask',
  'configure',
  'shutdown',
] as const satisfies readonly (keyof HostApi)[]
