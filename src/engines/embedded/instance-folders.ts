/** The folders of the instances, one each: which there are, and how one goes so that a crash leaves either all of it or rubbish. */

import path from 'node:path'
import type { InstanceId } from '../../model/ids.ts'
import type { Disk } from '../../world/world.ts'
import { lockFolder } from '../processes/folder-lock.ts'

const removedSuffix = '.removed'

/** Ids of the instances that have a folder; one without messages has none yet. */
export async function listFolders(disk: Disk, directory: string): Promise<string[]> {
  return (await disk.list(directory)).filter((name) => !name.endsWith(removedSuffix))
}

/** Only for who holds the instance's lock. Renamed first: what a crash leaves behind is then known to be rubbish. */
export async function removeFolder(disk: Disk, directory: string, instanceId: InstanceId): Promise<void> {
  const removed = path.join(directory, `${instanceId}${removedSuffix}`)
  if ((await disk.list(directory)).includes(instanceId)) {
    await disk.removeDirectory(removed)
    await disk.rename(path.join(directory, instanceId), removed)
    await disk.syncDirectory(directory)
  }
  await disk.removeDirectory(removed)
}

/**
 * Removes the folder of an instance that no known process holds open, under its lock: the lock tells whether a process
 * holds it that this server does not know of. Rejects with a sentence then.
 */
export async function removeLocked(
  disk: Disk,
  { locks, instances }: { readonly locks: string; readonly instances: string },
  instanceId: InstanceId,
): Promise<void> {
  const lock = await lockFolder(`${locks}/${instanceId}`, `Instance ${instanceId}`, { socket: null })
  try {
    await removeFolder(disk, instances, instanceId)
  } catch (error) {
    await lock.release()
    throw error
  }
  await lock.forget()
}

/** Removes what earlier crashes left. Not while an instance is being removed. */
export async function sweepRemoved(disk: Disk, directory: string): Promise<void> {
  await disk.makeDirectory(directory)
  for (const name of await disk.list(directory)) {
    if (name.endsWith(removedSuffix)) await disk.removeDirectory(path.join(directory, name))
  }
}

const probeName = 'probe'
/** Room for so much is there, else opening an instance again would only have its next write refused. */
const probeBytes = 1024 * 1024

/** Whether the disk takes writes in the instance's folder; rejects as it does. Leaves nothing behind. */
export async function probeFolder(disk: Disk, directory: string, instanceId: InstanceId): Promise<void> {
  const folder = path.join(directory, instanceId)
  const probe = path.join(folder, probeName)
  await disk.makeDirectory(folder)
  await disk.unlink(probe)
  const file = await disk.open(probe, 'create')
  try {
    await file.write([new Uint8Array(probeBytes)], 0)
    await file.datasync()
  } finally {
    // It failed already, or has told what was asked.
    await file.close().catch(() => {})
    await disk.unlink(probe)
  }
}
