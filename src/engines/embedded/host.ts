/**
 * The broker host: the instances of one broker process, apart from the management API, so that messages
 * flow while the API is busy, restarting or down.
 *
 * The host keeps no specification of its own: the loop brings it at each start. It opens an instance's folder only
 * under its lock, so that no two processes ever write one log. Steps on one instance are serialised; every step
 * is idempotent, and a specification that is in force already changes nothing.
 */
import { isDeepStrictEqual } from 'node:util'
import { type BrokerEndpoint, messagingService, metricsService } from '../../broker/protocols/grpc/index.ts'
import { Gateway } from '../../gateway/gateway.ts'
import { GrpcProtocol } from '../../grpc/protocol.ts'
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceSpec } from '../../model/instances.ts'
import type { InstanceObservation } from '../../model/observations.ts'
import { EngineError } from '../../model/refusals.ts'
import type { World } from '../../world/world.ts'
import type { FolderLock } from '../processes/folder-lock.ts'
import { type AnswerOf, answerOf, type ParamsOf, type QuestionName } from '../questions.ts'
import { answers } from './answers.ts'
import { DiskMarks } from './disk-marks.ts'
import { type HostApi, type HostGreeting, hostProtocol } from './host-api.ts'
import { HostedInstance } from './hosted-instance.ts'
import { probeFolder, removeFolder } from './instance-folders.ts'
import { whyUnopened } from './instance-health.ts'
import { createKeyedQueue } from './keyed-queue.ts'
import { storedElsewhere } from './stored-elsewhere.ts'

export interface HostOptions {
  readonly world: World
  /** Folder that holds one folder per instance. */
  readonly directory: string
  /** What the process is, for its greeting. */
  readonly self: Pick<HostGreeting, 'version' | 'home' | 'name'>
  readonly lingerMinutes: number
  /** Takes the lock of the instance's folder; rejects with a sentence while another process has it. */
  readonly lock: (instanceId: InstanceId) => Promise<FolderLock>
  readonly tls: { readonly key: string; readonly cert: string }
  /** Where unexpected failures are reported. */
  readonly report: (error: unknown) => void
  /** Called by `shutdown` once everything is closed. */
  readonly onShutdown?: () => void
  /** Told of another `lingerMinutes`. */
  readonly onConfigure?: (settings: { readonly lingerMinutes: number }) => void
}

export class BrokerHost implements HostApi {
  readonly #options: HostOptions
  readonly #gateway: Gateway<BrokerEndpoint>
  readonly #diskMarks: DiskMarks
  readonly #instances = new Map<InstanceId, HostedInstance>()
  /** Why instances given to this process could not be opened when that was last tried. */
  readonly #unopened = new Map<InstanceId, string>()
  readonly #inTurn = createKeyedQueue()
  readonly #startedAtMs: number
  readonly #startedAt: number
  #lingerMinutes: number
  #openings = 0

  constructor(options: HostOptions) {
    const { world, directory, report, tls } = options
    this.#options = options
    this.#lingerMinutes = options.lingerMinutes
    this.#startedAtMs = world.clock.now()
    this.#startedAt = world.clock.monotonic()
    const common = { clock: world.clock, onError: report }
    const grpc = new GrpcProtocol<BrokerEndpoint>({ ...common, services: [messagingService, metricsService] })
    this.#gateway = new Gateway<BrokerEndpoint>({ ...common, protocols: [grpc], tls })
    this.#diskMarks = new DiskMarks({
      ...{ disk: world.disk, clock: world.clock, directory, report },
      instances: () =>
        [...this.#instances.values()].map(({ instanceId, broker }) => ({
          instanceId,
          storedBytes: broker.inspection.storedBytes(),
        })),
      elsewhere: storedElsewhere(world.disk, directory),
      changed: (instanceId) => this.#instances.get(instanceId)?.pause(this.#diskMarks.pauseOf(instanceId)),
    })
  }

  // The process

  async hello(): Promise<HostGreeting> {
    return {
      ...this.#options.self,
      pid: process.pid,
      protocol: hostProtocol,
      startedAtMs: this.#startedAtMs,
      uptimeMs: Math.round(this.#options.world.clock.monotonic() - this.#startedAt),
      lingerMinutes: this.#lingerMinutes,
      instances: this.#instances.size,
      attention: [...this.#instances.values()].flatMap((instance) => instance.attention() ?? []),
    }
  }

  async configure(settings: { lingerMinutes: number }): Promise<null> {
    this.#lingerMinutes = settings.lingerMinutes
    this.#options.onConfigure?.(settings)
    return null
  }

  async shutdown(): Promise<null> {
    await this.close()
    this.#options.onShutdown?.()
    return null
  }

  async close(): Promise<void> {
    this.#diskMarks.close()
    await Promise.all([...this.#instances.keys()].map((id) => this.#inTurn(id, () => this.#closeInstance(id))))
    await this.#gateway.close()
  }

  // Instances

  async observe(): Promise<InstanceObservation[]> {
    return [
      ...[...this.#instances.values()].map((instance) => instance.observation()),
      ...[...this.#unopened].map(unopenedObservation),
    ]
  }

  async observeInstance({ instanceId }: { instanceId: InstanceId }): Promise<InstanceObservation | null> {
    const reason = this.#unopened.get(instanceId)
    return (
      this.#instances.get(instanceId)?.observation() ??
      (reason === undefined ? null : unopenedObservation([instanceId, reason]))
    )
  }

  ensureInstance({
    spec,
    storageKey,
  }: {
    spec: InstanceSpec
    storageKey: string | null
  }): Promise<InstanceObservation> {
    return this.#inTurn(spec.instanceId, async () => {
      await this.#closeStopped(spec.instanceId)
      const before = this.#instances.get(spec.instanceId)
      // A server that takes this process over tells what is so already: nothing is touched then.
      if (before !== undefined && isDeepStrictEqual(before.inForce, spec)) return before.observation()
      const instance = before ?? (await this.#open(spec, storageKey))
      // One that was opened anew, after the disk refused a write, is still to wait while the disk is nearly full.
      if (before === undefined) instance.pause(this.#diskMarks.pauseOf(spec.instanceId))
      this.#diskMarks.start()
      await instance.apply(spec)
      return instance.observation()
    })
  }

  releaseInstance({ instanceId }: { instanceId: InstanceId }): Promise<null> {
    return this.#inTurn(instanceId, async () => {
      await this.#closeInstance(instanceId)
      this.#unopened.delete(instanceId)
      return null
    })
  }

  removeInstance({ instanceId }: { instanceId: InstanceId }): Promise<null> {
    const { world, directory } = this.#options
    return this.#inTurn(instanceId, async () => {
      await this.#closeInstance(instanceId)
      this.#unopened.delete(instanceId)
      const lock = await this.#options.lock(instanceId)
      try {
        await removeFolder(world.disk, directory, instanceId)
      } catch (error) {
        await lock.release()
        throw error
      }
      await lock.forget()
      return null
    })
  }

  async ask<Name extends QuestionName>(asked: {
    instanceId: InstanceId
    question: Name
    params: ParamsOf<Name>
  }): Promise<AnswerOf<Name>> {
    const { instanceId, question, params } = asked
    return answerOf(answers, this.#present(instanceId), question, params)
  }

  // What is in one

  readonly ensureTopics: HostApi['ensureTopics'] = ({ instanceId, topics }) =>
    this.#change(instanceId, ({ broker }) => broker.administration.ensureTopics(topics))

  readonly removeTopic: HostApi['removeTopic'] = ({ instanceId, topicName }) =>
    this.#change(instanceId, ({ broker }) => broker.administration.removeTopic(topicName))

  readonly ensureGroups: HostApi['ensureGroups'] = ({ instanceId, groups }) =>
    this.#change(instanceId, async ({ broker, clients }) => {
      await broker.administration.ensureGroups(groups)
      clients.groupsChanged(new Set(groups.map(({ consumerGroupId }) => consumerGroupId)))
    })

  readonly removeGroup: HostApi['removeGroup'] = ({ instanceId, consumerGroupId }) =>
    this.#change(instanceId, ({ broker }) => broker.administration.removeGroup(consumerGroupId))

  readonly resetOffsets: HostApi['resetOffsets'] = ({ instanceId, resets }) =>
    this.#change(instanceId, async ({ broker }) => {
      for (const reset of resets) await broker.offsets.reset(reset)
    })

  #change(instanceId: InstanceId, change: (instance: HostedInstance) => Promise<void>): Promise<null> {
    return this.#inTurn(instanceId, async () => {
      await change(this.#present(instanceId))
      return null
    })
  }

  #present(instanceId: InstanceId): HostedInstance {
    const found = this.#instances.get(instanceId)
    if (found === undefined) throw new EngineError('absent', `The broker process does not hold instance ${instanceId}.`)
    return found
  }

  async #open(spec: InstanceSpec, storageKey: string | null): Promise<HostedInstance> {
    const { instanceId } = spec
    const lock = await this.#options.lock(instanceId)
    const context = { ...this.#options, gateway: this.#gateway }
    const opening = ++this.#openings
    const instance = await HostedInstance.open(context, { spec, storageKey, lock, opening }).catch(
      async (error: unknown) => {
        await lock.release()
        const reason = whyUnopened(instanceId, error)
        this.#unopened.set(instanceId, reason)
        throw new EngineError('failed', reason, { cause: error })
      },
    )
    this.#unopened.delete(instanceId)
    this.#instances.set(instanceId, instance)
    return instance
  }

  async #closeInstance(instanceId: InstanceId): Promise<void> {
    const instance = this.#instances.get(instanceId)
    this.#instances.delete(instanceId)
    await instance?.close()
  }

  /** Only opening again goes on after the disk refused a write, and is worth it once the disk takes one. */
  async #closeStopped(instanceId: InstanceId): Promise<void> {
    const stopped = this.#instances.get(instanceId)?.health.stopped ?? null
    if (stopped === null) return
    const { world, directory } = this.#options
    await probeFolder(world.disk, directory, instanceId).catch((error: unknown) => {
      throw new EngineError('failed', stopped, { cause: error })
    })
    await this.#closeInstance(instanceId)
  }
}

const unopenedObservation = ([instanceId, reason]: readonly [InstanceId, string]): InstanceObservation => ({
  instanceId,
  generation: 0,
  state: 'failed',
  reason,
  topics: [],
  groups: [],
})
