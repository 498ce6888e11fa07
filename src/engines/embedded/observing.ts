/**
 * What is there of the instances: what the processes say that hold them open, and for the rest their folders. A process that is
 * silent or busy is not asked; its instances are told as failed with that reason.
 */
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceObservation } from '../../model/observations.ts'
import type { Clock } from '../../world/world.ts'
import { within } from '../processes/time-limit.ts'
import { type BrokerProcesses, observeLimitMs } from './broker-processes.ts'

export interface Sight {
  readonly processes: BrokerProcesses
  readonly clock: Clock
  /** Instances that have a folder. */
  readonly folders: () => Promise<InstanceId[]>
}

export async function observeAll({ processes, clock, folders }: Sight): Promise<InstanceObservation[]> {
  const seen = new Map<InstanceId, InstanceObservation>()
  const silent = new Map<string, string>()
  const asked = processes.running().map(async ({ name, process }) => {
    try {
      const sentence = `Broker process ${name} (process ${process.greeting.pid}) does not answer.`
      const held = await within(clock, observeLimitMs, process.host.observe(), sentence)
      for (const one of held) seen.set(one.instanceId, one)
    } catch (error) {
      silent.set(name, (error as Error).message)
    }
  })
  const [onDisk] = await Promise.all([folders(), ...asked])
  const failureOf = (instanceId: InstanceId): string | null => {
    for (const [name, sentence] of silent) if (processes.isOpenIn(instanceId, name)) return sentence
    return processes.failureOf(instanceId)
  }
  const known = processes.placed().filter((instanceId) => failureOf(instanceId) !== null)
  for (const instanceId of [...onDisk, ...known]) {
    if (!seen.has(instanceId)) seen.set(instanceId, remainsOf(instanceId, failureOf(instanceId)))
  }
  return [...seen.values()]
}

export async function observeOne(
  { processes, folders }: Sight,
  instanceId: InstanceId,
): Promise<InstanceObservation | null> {
  const failure = processes.failureOf(instanceId)
  const running = failure === null ? processes.runningOf(instanceId) : null
  const seen = (await running?.host.observeInstance({ instanceId })) ?? null
  if (seen !== null) return seen
  return failure !== null || (await folders()).includes(instanceId) ? remainsOf(instanceId, failure) : null
}

/** What is there of an instance that no process holds open, or whose process cannot be asked. */
const remainsOf = (instanceId: InstanceId, failure: string | null): InstanceObservation => ({
  instanceId,
  generation: 0,
  state: failure === null ? 'stopped' : 'failed',
  reason: failure,
  topics: [],
  groups: [],
})
