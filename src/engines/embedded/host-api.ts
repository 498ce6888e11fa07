/**
 * What the broker host process does for the engine, as plain data: the methods of `Engine` that need
 * the process, and nothing that could not be written as JSON. `link.ts` carries the calls over a Unix
 * socket; tests call a host directly.
 */
import type { GroupSpec, InstanceObservation, InstanceSpec, InstanceUsage, TopicSpec } from '../engine.ts'

export interface HostApi {
  hello(): Promise<HostGreeting>
  observe(): Promise<InstanceObservation[]>
  observeInstance(params: { instanceId: string }): Promise<InstanceObservation | null>
  /** `storageKey` is base64 of the 32 bytes messages are encrypted with, or null. */
  ensureInstance(params: { spec: InstanceSpec; storageKey: string | null }): Promise<InstanceObservation>
  removeInstance(params: { instanceId: string }): Promise<null>
  ensureTopics(params: { instanceId: string; topics: readonly TopicSpec[] }): Promise<null>
  removeTopic(params: { instanceId: string; topicName: string }): Promise<null>
  ensureGroups(params: { instanceId: string; groups: readonly GroupSpec[] }): Promise<null>
  removeGroup(params: { instanceId: string; consumerGroupId: string }): Promise<null>
  usage(params: { instanceId: string }): Promise<InstanceUsage | null>
  /** Closes every instance and ends the process. */
  shutdown(): Promise<null>
}

export interface HostGreeting {
  readonly pid: number
  /** Program version; a server takes over only a host of its own version. */
  readonly version: string
}

export const hostMethods = [
  'hello',
  'observe',
  'observeInstance',
  'ensureInstance',
  'removeInstance',
  'ensureTopics',
  'removeTopic',
  'ensureGroups',
  'removeGroup',
  'usage',
  'shutdown',
] as const satisfies readonly (keyof HostApi)[]
