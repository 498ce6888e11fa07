/** What the broker processes of a home are doing, for commands and tests: looks from outside and changes nothing. */

import type { InstanceObservation } from '../../model/observations.ts'
import type { Clock } from '../../world/world.ts'
import { readProcessesFile } from '../processes/placement-file.ts'
import { newRecord, type ProcessRecord } from '../processes/supervisor.ts'
import { within } from '../processes/time-limit.ts'
import type { HostGreeting } from './host-api.ts'
import { connectToHost } from './link.ts'
import { hostPaths, processPaths } from './paths.ts'
import { linkToPulse } from './pulse.ts'
import { namesWithSocket } from './socket-folder.ts'

export interface ProcessSeen {
  readonly name: string
  readonly log: string
  readonly record: ProcessRecord
  /** Instances that belong to it, as written down. */
  readonly instances: readonly string[]
  /** Null when it does not run. */
  readonly greeting: HostGreeting | null
  /** Why it was not heard though its socket took the call. */
  readonly silent: string | null
  readonly observed: readonly InstanceObservation[]
}

const answerLimitMs = 2_000

/** Every process that runs, or that an instance belongs to; the pool first. */
export async function lookAtProcesses(home: string, clock: Clock): Promise<ProcessSeen[]> {
  const places = hostPaths(home)
  const { instances, processes } = readProcessesFile(places.processes)
  const names = [...new Set([...namesWithSocket(places), ...instances.values()])].sort(byPlace)
  return Promise.all(
    names.map(async (name) => ({
      name,
      log: processPaths(home, name).log,
      record: processes.get(name) ?? newRecord,
      instances: [...instances].filter(([, at]) => at === name).map(([instanceId]) => instanceId),
      ...(await lookAtOne(home, name, clock)),
    })),
  ).then((all) => all.filter(({ greeting, silent, instances: own }) => greeting ?? silent ?? own.length > 0))
}

async function lookAtOne(
  home: string,
  name: string,
  clock: Clock,
): Promise<Pick<ProcessSeen, 'greeting' | 'silent' | 'observed'>> {
  const paths = processPaths(home, name)
  const link = await connectToHost(paths.socket, clock).catch(() => null)
  if (link === null) return { greeting: null, silent: null, observed: [] }
  const pulse = linkToPulse(paths.pulse)
  try {
    pulse.ask().catch(() => {})
    const greeting = await within(
      clock,
      answerLimitMs,
      link.host.hello(),
      `it did not answer within ${answerLimitMs / 1000} s`,
    )
    const observed = await within(clock, answerLimitMs, link.host.observe(), 'it did not say what it holds')
    return { greeting, silent: null, observed }
  } catch (error) {
    const busyMs = await within(clock, answerLimitMs, pulse.ask(), 'silent').catch(() => 0)
    const busy = busyMs === 0 ? '' : `; it is busy: its event loop has not turned for ${Math.round(busyMs / 1000)} s`
    return { greeting: null, silent: `${(error as Error).message}${busy}`, observed: [] }
  } finally {
    link.close()
    pulse.close()
  }
}

const byPlace = (one: string, other: string): number => one.localeCompare(other, 'en', { numeric: true })
