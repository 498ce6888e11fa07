/** Small file systems of their own, to fill or to make read-only. Needs root and the right to mount. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

export interface Mount {
  readonly folder: string
  readOnly(): void
  /** Fills the rest of it with one file; answers what frees the space again. */
  fill(leaveBytes?: number): () => void
  freeBytes(): number
  remove(): void
}

export const canMount: boolean = tryMount()
/** To stand in a test's name. */
export const whyNoMount = canMount ? '' : ' (skipped: needs root and the right to mount)'

export function mountTmpfs(size: string): Mount {
  const folder = mkdtempSync(path.join(tmpdir(), 'gantry-mount-'))
  must('mount', '-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs', folder)
  return {
    folder,
    readOnly: () => must('mount', '-o', 'remount,ro', folder),
    fill(leaveBytes = 0) {
      const file = path.join(folder, 'filler')
      const { bavail, bsize } = statfsSync(folder)
      try {
        writeFileSync(file, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)))
      } catch (error) {
        // Somebody wrote meanwhile: it is full all the same.
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
      return () => rmSync(file)
    },
    freeBytes() {
      const { bavail, bsize } = statfsSync(folder)
      return bavail * bsize
    },
    remove() {
      // Lazily: a process that is about to end may still hold a file.
      must('umount', '-l', folder)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function tryMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    mountTmpfs('64k').remove()
    return true
  } catch {
    return false
  }
}

function must(command: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error !== undefined || status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`)
}
