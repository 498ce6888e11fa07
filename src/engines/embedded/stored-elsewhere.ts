/**
 * How much the instances hold whose folders lie beside those that are open in this process: in other processes, or not
 * open at all. The disk itself tells, so it is known while the management server is down, too.
 */
import path from 'node:path'
import { segmentOfFileName } from '../../broker/log/format.ts'
import type { Disk } from '../../world/world.ts'
import type { Stored } from './disk-marks.ts'
import { listFolders } from './instance-folders.ts'

/** Segments that are complete keep their size; only the newest of each instance is asked each time. */
export function storedElsewhere(
  disk: Disk,
  directory: string,
): (own: ReadonlySet<string>) => Promise<readonly Stored[]> {
  let known = new Map<string, number>()
  return async (own) => {
    const stored: Stored[] = []
    const seen = new Map<string, number>()
    for (const instanceId of await listFolders(disk, directory)) {
      if (own.has(instanceId)) continue
      const folder = path.join(directory, instanceId)
      const segments = (await namesIn(disk, folder)).filter((name) => segmentOfFileName(name) !== null)
      let storedBytes = 0
      for (const [i, name] of segments.entries()) {
        const file = path.join(folder, name)
        const isNewest = i === segments.length - 1
        const sizeBytes = (isNewest ? undefined : known.get(file)) ?? (await sizeOf(disk, file))
        if (!isNewest) seen.set(file, sizeBytes)
        storedBytes += sizeBytes
      }
      if (segments.length > 0) stored.push({ instanceId, storedBytes })
    }
    known = seen
    return stored
  }
}

/** None when it is no folder. */
async function namesIn(disk: Disk, folder: string): Promise<string[]> {
  try {
    return await disk.list(folder)
  } catch {
    return []
  }
}

/** 0 when it went meanwhile. */
async function sizeOf(disk: Disk, path: string): Promise<number> {
  try {
    const file = await disk.open(path, 'read')
    try {
      return await file.size()
    } finally {
      await file.close()
    }
  } catch {
    return 0
  }
}
