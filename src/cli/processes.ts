/** The broker processes of this machine's home, as commands show them. The API knows nothing of them: they are no product of the vendor. */

import type { Settings } from '../config.ts'
import { lookAtProcesses, type ProcessSeen } from '../engines/embedded/inspect.ts'
import type { InstanceId } from '../model/ids.ts'
import { realClock } from '../world/real.ts'
import { zoneOfHome } from './client.ts'
import { type OutputOptions, print, say } from './output.ts'
import { counted, table } from './tables.ts'
import { momentText } from './zone.ts'

/** `gantry list processes`. */
export async function listProcesses(settings: Settings, options: OutputOptions): Promise<void> {
  const seen = await lookAtProcesses(settings.home, realClock)
  print(seen.map(plain), options, () => {
    if (seen.length === 0) say('No broker processes.')
    return processTable(seen)
  })
}

export const processTable = (seen: readonly ProcessSeen[]): string =>
  table(['PROCESS', 'PID', 'INSTANCES', 'UP', 'RESTARTS', 'STATE'], seen.map(row))

/** The facts of the process that holds the instance, for `gantry get instance`; none when this home knows of none. */
export async function processOfInstance(
  settings: Settings,
  instanceId: InstanceId,
): Promise<ReadonlyArray<readonly [string, string]>> {
  const seen = await lookAtProcesses(settings.home, realClock)
  const holder =
    seen.find(({ observed }) => observed.some((one) => one.instanceId === instanceId)) ??
    seen.find(({ instances }) => instances.includes(instanceId))
  return holder === undefined ? [] : [[titleOf(holder), processFacts(holder, zoneOfHome(settings))]]
}

/** `broker process 2`, or the instance that has one to itself. */
export const titleOf = ({ name }: Pick<ProcessSeen, 'name'>): string =>
  /^\d+$/.test(name) ? `broker process ${name}` : `broker process of its own, ${name}`

export function processFacts({ greeting, silent, record }: ProcessSeen, zoneMinutes: number): string {
  const restarts = counted(record.restarts, 'restart')
  if (greeting === null) return silent ?? record.failure ?? `does not run, ${restarts}`
  const last =
    record.lastEnd === null
      ? ''
      : ` (it ended ${record.lastEnd.how} at ${momentText(record.lastEnd.atMs, zoneMinutes)})`
  return `process ${greeting.pid}, version ${greeting.version}, ${counted(greeting.instances, 'instance')}, up ${shownDuration(greeting.uptimeMs)}, ${restarts}${last}`
}

function plain({ name, greeting, record, instances }: ProcessSeen): object {
  return {
    name,
    pid: greeting?.pid ?? null,
    instances,
    uptimeMs: greeting?.uptimeMs ?? null,
    restarts: record.restarts,
    lastEnd: record.lastEnd,
    failure: record.failure,
  }
}

function row({ name, greeting, silent, record, instances }: ProcessSeen): string[] {
  const state =
    greeting !== null ? 'running' : silent !== null ? 'silent' : record.failure !== null ? 'failing' : 'ended'
  return [
    name,
    greeting === null ? '' : String(greeting.pid),
    String(greeting?.instances ?? instances.length),
    greeting === null ? '' : shownDuration(greeting.uptimeMs),
    String(record.restarts),
    state,
  ]
}

export function shownDuration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`
  return seconds < 48 * 3600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}
