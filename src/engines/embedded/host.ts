/**
 * The broker host: one broker process, apart from the management API, so that messages flow while the API is busy,
 * restarting or down. Its instances are in hosted-instances.ts.
 *
 * The host keeps no specification of its own: the loop brings it at each start.
 */
import type { BrokerEndpoint } from '../../broker/calls/endpoint.ts'
import { protocols } from '../../broker/protocols/index.ts'
import { Gateway } from '../../gateway/gateway.ts'
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceObservation } from '../../model/observations.ts'
import type { World } from '../../world/world.ts'
import type { FolderLock } from '../processes/folder-lock.ts'
import { type AnswerOf, answerOf, type ParamsOf, type QuestionName } from '../questions.ts'
import { answers } from './answers.ts'
import { DiskMarks } from './disk-marks.ts'
import type { HostApi, HostGreeting } from './host-api.ts'
import { HostFacts } from './host-facts.ts'
import type { HostedInstance } from './hosted-instance.ts'
import { HostedInstances } from './hosted-instances.ts'
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
  readonly #instances: HostedInstances
  readonly #facts: HostFacts

  constructor(options: HostOptions) {
    const { world, directory, report, lock, tls } = options
    this.#options = options
    this.#facts = new HostFacts(world.clock, options.self, options.lingerMinutes)
    const common = { clock: world.clock, onError: report }
    this.#gateway = new Gateway({ ...common, protocols: protocols.map((protocol) => protocol(common)), tls })
    this.#diskMarks = new DiskMarks({
      ...{ disk: world.disk, clock: world.clock, directory, report },
      instances: () => this.#instances.list().map(storedIn),
      elsewhere: storedElsewhere(world.disk, directory),
      changed: (instanceId) => this.#instances.get(instanceId)?.pause(this.#diskMarks.pauseOf(instanceId)),
    })
    this.#instances = new HostedInstances({
      ...{ world, directory, lock, report },
      ...{ gateway: this.#gateway, diskMarks: this.#diskMarks },
    })
  }

  // The process

  async hello(): Promise<HostGreeting> {
    const open = this.#instances.list()
    return this.#facts.greeting({
      instances: open.length,
      attention: open.flatMap((instance) => instance.attention() ?? []),
    })
  }

  async configure(settings: { lingerMinutes: number }): Promise<null> {
    this.#facts.lingerMinutes = settings.lingerMinutes
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
    await this.#instances.closeAll()
    await this.#gateway.close()
  }

  // Instances

  async observe(): Promise<InstanceObservation[]> {
    return this.#instances.observe()
  }

  readonly observeInstance: HostApi['observeInstance'] = async ({ instanceId }) =>
    this.#instances.observeOne(instanceId)

  readonly ensureInstance: HostApi['ensureInstance'] = ({ spec, storageKey }) =>
    this.#instances.ensure(spec, storageKey)

  readonly releaseInstance: HostApi['releaseInstance'] = async ({ instanceId }) => {
    await this.#instances.release(instanceId)
    return null
  }

  readonly removeInstance: HostApi['removeInstance'] = async ({ instanceId }) => {
    await this.#instances.remove(instanceId)
    return null
  }

  async ask<Name extends QuestionName>(asked: {
    instanceId: InstanceId
    question: Name
    params: ParamsOf<Name>
  }): Promise<AnswerOf<Name>> {
    const { instanceId, question, params } = asked
    return answerOf(answers, this.#instances.present(instanceId), question, params)
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

  async #change(instanceId: InstanceId, change: (instance: HostedInstance) => Promise<void>): Promise<null> {
    await this.#instances.change(instanceId, change)
    return null
  }
}

const storedIn = ({ instanceId, broker }: HostedInstance) => ({
  instanceId,
  storedBytes: broker.inspection.storedBytes(),
})
