/**
 * The embedded engine: Gantry's own broker, in processes of their own. This file is the management
 * server's side: it passes calls on to the process that an instance belongs to (broker-processes.ts).
 *
 * The lock of an instance's folder (folder-lock.ts) holds even where this server's knowledge fails. A process starts
 * when an instance first needs it.
 */
import type { ConsumerGroupId, InstanceId, TopicName } from '../../model/ids.ts'
import type { GroupSpec, InstanceSpec, OffsetReset, TopicSpec } from '../../model/instances.ts'
import type { InstanceObservation } from '../../model/observations.ts'
import { EngineError } from '../../model/refusals.ts'
import type { Disk } from '../../world/world.ts'
import type { Engine } from '../engine.ts'
import type { ProcessSupervisor } from '../processes/supervisor.ts'
import type { Ask } from '../questions.ts'
import { BrokerProcesses, type BrokerProcessesOptions } from './broker-processes.ts'
import { capabilities, checkGroup, checkTopic } from './capabilities.ts'
import type { HostApi } from './host-api.ts'
import { listFolders, removeLocked, sweepRemoved } from './instance-folders.ts'
import { InstanceSecrets, type StorageKey } from './instance-secrets.ts'
import { createKeyedQueue } from './keyed-queue.ts'
import { observeAll, observeOne, type Sight } from './observing.ts'
import { hostPaths } from './paths.ts'

export interface EmbeddedEngineOptions
  extends Pick<BrokerProcessesOptions, 'clock' | 'launcher' | 'pool' | 'hangSeconds' | 'report'> {
  readonly disk: Disk
  readonly home: string
  readonly storageKey: StorageKey
}

export class EmbeddedEngine implements Engine {
  readonly name = 'embedded'
  readonly capabilities = capabilities
  readonly #options: EmbeddedEngineOptions
  readonly #paths: ReturnType<typeof hostPaths>
  readonly #processes: BrokerProcesses
  readonly #sight: Sight
  readonly #secrets: InstanceSecrets
  // A move has two steps; nothing else may come between.
  readonly #inTurn = createKeyedQueue()
  #changed: (instanceId: InstanceId | null) => void = () => {}
  #started: Promise<void> | null = null
  #stopped = false

  constructor(options: EmbeddedEngineOptions) {
    this.#options = options
    this.#paths = hostPaths(options.home)
    this.#secrets = new InstanceSecrets(options.storageKey)
    this.#processes = new BrokerProcesses({
      ...options,
      file: this.#paths.processes,
      clean: (text) => this.#secrets.redact(text),
      changed: (instanceId) => this.#changed(instanceId),
    })
    this.#sight = {
      processes: this.#processes,
      clock: options.clock,
      folders: () => listFolders(options.disk, this.#paths.instances),
    }
  }

  onChange(listener: (instanceId: InstanceId | null) => void): void {
    this.#changed = listener
  }

  start(): Promise<void> {
    this.#started ??= this.#start().catch((error: unknown) => {
      this.#started = null
      throw error
    })
    return this.#started
  }

  stop(): Promise<void> {
    return this.#settle((supervisor) => supervisor.end())
  }

  /** Instead of `stop`, when a server did not come up: processes that served before it serve on, those it started end. */
  detach(): Promise<void> {
    return this.#settle((supervisor) => supervisor.detach())
  }

  /** Starts the first process of the pool when none runs, so that a first instance need not wait for it. Does not wait. */
  warm(): void {
    if (!this.#stopped) this.#processes.warm()
  }

  // Instances

  async observe(): Promise<InstanceObservation[]> {
    this.#refuseIfStopped()
    return observeAll(this.#sight)
  }

  async observeInstance(instanceId: InstanceId): Promise<InstanceObservation | null> {
    this.#refuseIfStopped()
    return observeOne(this.#sight, instanceId)
  }

  ensureInstance(spec: InstanceSpec): Promise<InstanceObservation> {
    return this.#inTurn(spec.instanceId, async () => {
      this.#refuseIfStopped()
      const storageKey = this.#secrets.remember(spec)
      const { host } = await this.#processes.moveIn(spec)
      return host.ensureInstance({ spec, storageKey })
    })
  }

  removeInstance(instanceId: InstanceId): Promise<void> {
    return this.#inTurn(instanceId, async () => {
      this.#refuseIfStopped()
      const process = this.#processes.runningOf(instanceId)
      if (process === null) await removeLocked(this.#options.disk, this.#paths, instanceId)
      else await process.host.removeInstance({ instanceId })
      this.#secrets.forget(instanceId)
      this.#processes.moveOut(instanceId)
    })
  }

  // What is in one

  async ensureTopics(instanceId: InstanceId, topics: readonly TopicSpec[]): Promise<void> {
    for (const topic of topics) checkTopic(topic)
    await this.#hostOf(instanceId).ensureTopics({ instanceId, topics })
  }

  async removeTopic(instanceId: InstanceId, topicName: TopicName): Promise<void> {
    await this.#hostOf(instanceId).removeTopic({ instanceId, topicName })
  }

  async ensureGroups(instanceId: InstanceId, groups: readonly GroupSpec[]): Promise<void> {
    for (const group of groups) checkGroup(group)
    await this.#hostOf(instanceId).ensureGroups({ instanceId, groups })
  }

  async removeGroup(instanceId: InstanceId, consumerGroupId: ConsumerGroupId): Promise<void> {
    await this.#hostOf(instanceId).removeGroup({ instanceId, consumerGroupId })
  }

  async resetOffsets(instanceId: InstanceId, resets: readonly OffsetReset[]): Promise<void> {
    await this.#hostOf(instanceId).resetOffsets({ instanceId, resets })
  }

  readonly ask: Ask = async (instanceId, question, params) =>
    this.#hostOf(instanceId).ask({ instanceId, question, params })

  // Rest

  async #start(): Promise<void> {
    this.#stopped = false
    await this.#processes.start()
    sweepRemoved(this.#options.disk, this.#paths.instances).catch(this.#options.report)
  }

  async #settle(end: (supervisor: ProcessSupervisor<HostApi>) => Promise<void>): Promise<void> {
    await this.#started?.catch(() => {})
    this.#stopped = true
    this.#started = null
    await this.#processes.settle(end)
  }

  #refuseIfStopped(): void {
    if (this.#stopped) throw new EngineError('unavailable', 'The engine is stopped.')
  }

  #hostOf(instanceId: InstanceId): HostApi {
    this.#refuseIfStopped()
    return this.#processes.hostOf(instanceId)
  }
}
