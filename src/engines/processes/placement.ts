/**
 * Which broker process an instance belongs to, as pure functions over what is written down. An instance
 * stays where it is; only a changed size of the pool moves instances, and then as few as make the
 * processes even.
 */
import type { InstanceId } from '../../model/ids.ts'

/** Process by instance id. */
export type Placements = ReadonlyMap<string, string>

/** Instances with a process to themselves; further ones share the pool, for a machine has an end. */
export const maxDedicated = 64

export const poolNames = (pool: number): string[] => Array.from({ length: pool }, (_, index) => String(index + 1))

/** A process of its own is named after its instance. */
export const isDedicated = (instanceId: InstanceId, processName: string): boolean => instanceId === processName

/** Where the instance belongs: where it was, as long as that is right, or else the emptiest of the pool. */
export function placeOf(
  placements: Placements,
  pool: number,
  instance: { readonly instanceId: InstanceId; readonly dedicated: boolean },
): string {
  const { instanceId, dedicated } = instance
  const before = placements.get(instanceId)
  if (dedicated) {
    if (before === instanceId) return before
    const own = [...placements].filter(([id, name]) => isDedicated(id, name)).length
    if (own < maxDedicated) return instanceId
  }
  if (before !== undefined && poolNames(pool).includes(before)) return before
  return emptiest(loads(placements, pool))
}

/** The same placements for a pool of another size. */
export function resize(placements: Placements, pool: number): Map<string, string> {
  const moved = new Map(placements)
  const names = new Set(poolNames(pool))
  const shared = [...placements].filter(([id, name]) => !isDedicated(id, name)).sort(([a], [b]) => (a < b ? -1 : 1))
  const load = loads(placements, pool)
  for (const [id, name] of shared) {
    if (names.has(name)) continue
    const to = emptiest(load)
    moved.set(id, to)
    load.set(to, load.get(to)! + 1)
  }
  for (const [id] of shared) {
    const from = moved.get(id)!
    const to = emptiest(load)
    if (load.get(from)! - load.get(to)! < 2) continue
    moved.set(id, to)
    load.set(from, load.get(from)! - 1)
    load.set(to, load.get(to)! + 1)
  }
  return moved
}

function loads(placements: Placements, pool: number): Map<string, number> {
  const load = new Map(poolNames(pool).map((name) => [name, 0]))
  for (const name of placements.values()) {
    const count = load.get(name)
    if (count !== undefined) load.set(name, count + 1)
  }
  return load
}

function emptiest(load: ReadonlyMap<string, number>): string {
  let best = ''
  for (const [name, count] of load) if (best === '' || count < load.get(best)!) best = name
  return best
}

/** What a process may be named: it becomes part of file names. */
export const isProcessName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(name)
