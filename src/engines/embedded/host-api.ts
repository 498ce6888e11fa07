/**
 * What the broker host process does for the engine, as plain data: the methods of `Engine` that need
 * the process, and nothing that could not be written as JSON. `link.ts` carries the calls over a Unix
 * socket; tests call a host directly.
 */
import type {
  ClientConnection,
  ClientMetric,
  GroupSpec,
  InstanceObservation,
  InstanceSpec,
  InstanceUsage,
  MessagePage,
  MessageQuery,
  MessageToVerify,
  MessageTrace,
  OffsetReset,
  TopicLag,
  TopicSpec,
  TraceQuery,
  VerifiedMessage,
} from '../engine.ts'

export interface HostApi {
  hello(): Promise<HostGreeting>
  /** Only what is open here; folders are looked at by the engine. */
  observe(): Promise<InstanceObservation[]>
  observeInstance(params: { instanceId: string }): Promise<InstanceObservation | null>
  /** `storageKey` is base64 of the 32 bytes messages are encrypted with, or null. */
  ensureInstance(params: { spec: InstanceSpec; storageKey: string | null }): Promise<InstanceObservation>
  /** Closes the instance and keeps its folder: another process is to open it. */
  releaseInstance(params: { instanceId: string }): Promise<null>
  removeInstance(params: { instanceId: string }): Promise<null>
  ensureTopics(params: { instanceId: string; topics: readonly TopicSpec[] }): Promise<null>
  removeTopic(params: { instanceId: string; topicName: string }): Promise<null>
  ensureGroups(params: { instanceId: string; groups: readonly GroupSpec[] }): Promise<null>
  removeGroup(params: { instanceId: string; consumerGroupId: string }): Promise<null>
  resetOffsets(params: { instanceId: string; resets: readonly OffsetReset[] }): Promise<null>
  lag(params: { instanceId: string; consumerGroupId: string }): Promise<readonly TopicLag[] | null>
  usage(params: { instanceId: string }): Promise<InstanceUsage | null>
  findMessages(params: { instanceId: string; query: MessageQuery }): Promise<MessagePage | null>
  traceMessage(params: { instanceId: string; query: TraceQuery }): Promise<MessageTrace | null>
  /** Clients of a group as they are connected, or of all groups and producers when `group` is null. */
  connections(params: { instanceId: string; group: string | null }): Promise<ClientConnection[]>
  /** These three ask one connected client; one that cannot or does not answer is refused with a sentence naming its language. */
  verifyMessage(params: { instanceId: string; clientId: string; message: MessageToVerify }): Promise<VerifiedMessage>
  stackTrace(params: { instanceId: string; clientId: string }): Promise<string>
  reconnectClient(params: { instanceId: string; clientId: string }): Promise<null>
  /** The latest of what clients measured themselves (OTLP). */
  clientMetrics(params: { instanceId: string }): Promise<ClientMetric[]>
  /** Changes what a process is started with and can be changed while it runs. */
  configure(params: { lingerMinutes: number }): Promise<null>
  /** Closes every instance and ends the process. */
  shutdown(): Promise<null>
}

/** Raised when the meaning of a method changes; a process that speaks another is replaced. */
export const hostProtocol = 4

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
  /**
   * Those of them that are to be looked at again: their log has stopped, so that they have to be opened anew, or clients
   * made groups by using them. `token` is another one when there is something new.
   */
  readonly news: ReadonlyArray<{ readonly instanceId: string; readonly token: string }>
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
  'lag',
  'usage',
  'findMessages',
  'traceMessage',
  'connections',
  'verifyMessage',
  'stackTrace',
  'reconnectClient',
  'clientMetrics',
  'configure',
  'shutdown',
] as const satisfies readonly (keyof HostApi)[]
