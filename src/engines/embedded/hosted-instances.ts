/**
 * The instances that are open in one broker process. A folder is opened only under its lock, so that no two processes ever
 * write one log. Steps on one instance are serialised; every step is idempotent, and a specification that is in force
 * already changes nothing.
 */
import { isDeepStrictEqual } from 'node:util'
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceSpec } from '../../model/instances.ts'
import type { InstanceObservation } from '../../model/observations.ts'
import { EngineError } from '../../model/refusals.ts'
import type { FolderLock } from '../processes/folder-lock.ts'
import type { DiskMarks } from './disk-marks.ts'
import { HostedInstance, type HostedInstanceContext } from './hosted-instance.ts'
import { probeFolder, removeFolder } from './instance-folders.ts'
import { whyUnopened } from './instance-health.ts'
import { createKeyedQueue } from './keyed-queue.ts'

export interface HostedInstancesContext extends HostedInstanceContext {
  /** Takes the lock of the instance's folder; rejects with a sentence while another process has it. */
  readonly lock: (instanceId: InstanceId) => Promise<FolderLock>
  readonly diskMarks: Pick<DiskMarks, 'pauseOf' | 'start'>
}

export class HostedInstances {
  readonly #context: HostedInstancesContext
  readonly #open = new Map<InstanceId, HostedInstance>()
  /** Why instances given to this process could not be opened when that was last tried. */
  readonly #unopened = new Map<InstanceId, string>()
  readonly #inTurn = createKeyedQueue()
  #openings = 0

  constructor(context: HostedInstancesContext) {
    this.#context = context
  }

  list(): HostedInstance[] {
    return [...this.#open.values()]
  }

  get(instanceId: InstanceId): HostedInstance | undefined {
    return this.#open.get(instanceId)
  }

  /** Throws `absent` for one that is not open here. */
  present(instanceId: InstanceId): HostedInstance {
    const found = this.#open.get(instanceId)
    if (found === undefined) throw new EngineError('absent', `The broker process does not hold instance ${instanceId}.`)
    return found
  }

  observe(): InstanceObservation[] {
    return [...this.list().map((instance) => instance.observation()), ...[...this.#unopened].map(unopenedObservation)]
  }

  observeOne(instanceId: InstanceId): InstanceObservation | null {
    const reason = this.#unopened.get(instanceId)
    return (
      this.#open.get(instanceId)?.observation() ??
      (reason === undefined ? null : unopenedObservation([instanceId, reason]))
    )
  }

  ensure(spec: InstanceSpec, storageKey: string | null): Promise<InstanceObservation> {
    const { diskMarks } = this.#context
    return this.#inTurn(spec.instanceId, async () => {
      await this.#closeStopped(spec.instanceId)
      const before = this.#open.get(spec.instanceId)
      // A server that takes this process over tells what is so already: nothing is touched then.
      if (before !== undefined && isDeepStrictEqual(before.inForce, spec)) return before.observation()
      const instance = before ?? (await this.#openOne(spec, storageKey))
      // One that was opened anew, after the disk refused a write, is still to wait while the disk is nearly full.
      if (before === undefined) instance.pause(diskMarks.pauseOf(spec.instanceId))
      diskMarks.start()
      await instance.apply(spec)
      return instance.observation()
    })
  }

  /** Closes the instance and keeps its folder. */
  release(instanceId: InstanceId): Promise<void> {
    return this.#inTurn(instanceId, () => this.#closeAndForget(instanceId))
  }

  remove(instanceId: InstanceId): Promise<void> {
    const { directory, lock: take, world } = this.#context
    return this.#inTurn(instanceId, async () => {
      await this.#closeAndForget(instanceId)
      const lock = await take(instanceId)
      try {
        await removeFolder(world.disk, directory, instanceId)
      } catch (error) {
        await lock.release()
        throw error
      }
      await lock.forget()
    })
  }

  /** Changes what is in the instance. */
  change(instanceId: InstanceId, change: (instance: HostedInstance) => Promise<void>): Promise<void> {
    return this.#inTurn(instanceId, () => change(this.present(instanceId)))
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((id) => this.#inTurn(id, () => this.#close(id))))
  }

  async #openOne(spec: InstanceSpec, storageKey: string | null): Promise<HostedInstance> {
    const { instanceId } = spec
    const lock = await this.#context.lock(instanceId)
    const opening = ++this.#openings
    const instance = await HostedInstance.open(this.#context, { spec, storageKey, lock, opening }).catch(
      async (error: unknown) => {
        await lock.release()
        const reason = whyUnopened(instanceId, error)
        this.#unopened.set(instanceId, reason)
        throw new EngineError('failed', reason, { cause: error })
      },
    )
    this.#unopened.delete(instanceId)
    this.#open.set(instanceId, instance)
    return instance
  }

  async #closeAndForget(instanceId: InstanceId): Promise<void> {
    await this.#close(instanceId)
    this.#unopened.delete(instanceId)
  }

  async #close(instanceId: InstanceId): Promise<void> {
    const instance = this.#open.get(instanceId)
    this.#open.delete(instanceId)
    await instance?.close()
  }

  /** Only opening again goes on after the disk refused a write, and is worth it once the disk takes one. */
  async #closeStopped(instanceId: InstanceId): Promise<void> {
    const stopped = this.#open.get(instanceId)?.health.stopped ?? null
    if (stopped === null) return
    const { world, directory } = this.#context
    await probeFolder(world.disk, directory, instanceId).catch((error: unknown) => {
      throw new EngineError('failed', stopped, { cause: error })
    })
    await this.#close(instanceId)
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
