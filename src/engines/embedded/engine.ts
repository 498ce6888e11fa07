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
import { lockFolder } from '../processes/folder-lock.ts'
import type { ProcessSupervisor } from '../processes/supervisor.ts'
import type { Ask } from '../questions.ts'
import { BrokerProcesses, type BrokerProcessesOptions } from './broker-processes.ts'
import { capabilities, checkGroup, checkTopic } from './capabilities.ts'
import type { HostApi } from './host-api.ts'
import { listFolders, removeFolder, sweepRemoved } from './instance-folders.ts'
import { createKeyedQueue } from './keyed-queue.ts'
import { observeAll, observeOne, type Sight } from './observing.ts'
import { hostPaths } from './paths.ts'

export interface EmbeddedEngineOptions
  extends Pick<BrokerProcessesOptions, 'clock' | 'launcher' | 'pool' | 'hangSeconds' | 'report'> {
  readonly disk: Disk
  readonly home: string
  /** 32 bytes that the instance's messages are encrypted with under the key id its owner named. */
  readonly storageKey: (instanceId: InstanceId, keyId: string) => Uint8Array
}

export class EmbeddedEngine implements Engine {
  readonly name = 'embedded'
  readonly capabilities = capabilities
  readonly #options: EmbeddedEngineOptions
  readonly #paths: ReturnType<typeof hostPaths>
  readonly #processes: BrokerProcesses
  readonly #sight: Sight
  /** Texts to be removed from a process's last output before it is shown. */
  readonly #secrets = new Map<InstanceId, readonly string[]>()
  // A move has two steps; nothing else may come between.
  readonly #inTurn = createKeyedQueue()
  #changed: (instanceId: InstanceId | null) => void = () => {}
  #started: Promise<void> | null = null
  #stopped = false

  constructor(options: EmbeddedEngineOptions) {
    this.#options = options
    this.#paths = hostPaths(options.home)
    this.#processes = new BrokerProcesses({
      ...options,
      file: this.#paths.processes,
      clean: (text) => this.#withoutSecrets(text),
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
      const storageKey = this.#storageKeyOf(spec)
      const secrets = [...spec.accounts.map(({ secret }) => secret), storageKey ?? '']
      this.#secrets.set(
        spec.instanceId,
        secrets.filter((value) => value !== ''),
      )
      const { host } = await this.#processes.moveIn(spec)
      return host.ensureInstance({ spec, storageKey })
    })
  }

  removeInstance(instanceId: InstanceId): Promise<void> {
    return this.#inTurn(instanceId, async () => {
      this.#refuseIfStopped()
      const process = this.#processes.runningOf(instanceId)
      if (process === null) await this.#removeWithoutProcess(instanceId)
      else await process.host.removeInstance({ instanceId })
      this.#secrets.delete(instanceId)
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

  /** Refused for a process that hangs: further questions would only pile up. */
  #hostOf(instanceId: InstanceId): HostApi {
    this.#refuseIfStopped()
    const failure = this.#processes.failureOf(instanceId)
    if (failure !== null) throw new EngineError('unavailable', failure)
    const process = this.#processes.runningOf(instanceId)
    if (process === null) throw new EngineError('absent', `No broker process holds instance ${instanceId}.`)
    return process.host
  }

  /** Also what no process could open is to go. The lock says whether one has it that this server lost sight of. */
  async #removeWithoutProcess(instanceId: InstanceId): Promise<void> {
    const lock = await lockFolder(`${this.#paths.locks}/${instanceId}`, `Instance ${instanceId}`, { socket: null })
    try {
      await removeFolder(this.#options.disk, this.#paths.instances, instanceId)
    } catch (error) {
      await lock.release()
      throw error
    }
    await lock.forget()
  }

  #storageKeyOf({ instanceId, encryptionKeyId }: InstanceSpec): string | null {
    if (encryptionKeyId === null) return null
    return Buffer.from(this.#options.storageKey(instanceId, encryptionKeyId)).toString('base64')
  }

  #withoutSecrets(text: string): string {
    let clean = text
    for (const values of this.#secrets.values()) {
      for (const value of values) clean = clean.replaceAll(value, '[secret]')
    }
    return clean
  }
}
