/**
 * Small helpers for the files of the home that need modes, links or facts of processes, which the
 * interface `Disk` does not have.
 */
import { link, open, rename } from 'node:fs/promises'
import path from 'node:path'

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes((error as { code?: string } | null)?.code ?? '')
}

/** Why a file operation failed, for the middle of a sentence. */
export function reasonOf(error: unknown): string {
  switch ((error as { code?: string } | null)?.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full'
    case 'EROFS':
      return 'the disk is read-only'
    case 'EACCES':
    case 'EPERM':
      return 'permission denied'
    case 'EIO':
      return 'the disk reports an input/output error'
    default:
      return error instanceof Error ? error.message : String(error)
  }
}

/** Makes names that were created, renamed or removed in the folder survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  // Windows does not open folders; its file systems keep names in order by themselves.
  if (process.platform === 'win32') return
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Makes `file` hold `bytes` durably, whole or not at all, with mode 0600; fails with EEXIST when the
 * name is taken. `workshop` is a folder of the caller's own on the same disk, for the unfinished file.
 */
export async function createWhole(file: string, bytes: Uint8Array, workshop: string): Promise<void> {
  const fresh = path.join(workshop, 'whole')
  const handle = await open(fresh, 'wx', 0o600)
  try {
    await handle.chmod(0o600)
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await linkOnce(fresh, file)
}

/** `link` fails when the name is taken, where `rename` would replace what is there. */
async function linkOnce(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'ENOSYS', 'EOPNOTSUPP')) throw error
    // A file system without links (FAT): reserve the name, then move over it.
    const reserved = await open(to, 'wx', 0o600)
    await reserved.close()
    await rename(from, to)
  }
}
