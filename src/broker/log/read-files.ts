/**
 * Open files for cold reads, shared by all logs of the process: the least recently used is closed
 * when there are too many. A file that is being read is closed when its last reader is done.
 */
import type { Disk, DiskFile } from '../../world/disk.ts'

interface Entry {
  readonly opening: Promise<DiskFile>
  readers: number
  dropped: boolean
}

export class ReadFiles {
  readonly #limit: number
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>()

  constructor(limit: number) {
    this.#limit = limit
  }

  async use<T>(disk: Disk, owner: string, path: string, task: (file: DiskFile) => Promise<T>): Promise<T> {
    const key = `${owner}|${path}`
    let entry = this.#entries.get(key)
    if (entry) this.#entries.delete(key)
    else entry = { opening: disk.open(path, 'read'), readers: 0, dropped: false }
    this.#entries.set(key, entry)
    entry.readers++
    this.#makeRoom()
    try {
      return await task(await entry.opening)
    } catch (error) {
      this.#drop(key, entry)
      throw error
    } finally {
      entry.readers--
      if (entry.dropped && entry.readers === 0) closeQuietly(entry)
    }
  }

  /** Closes the file, or all files of the owner. */
  close(owner: string, path?: string): void {
    const prefix = `${owner}|${path ?? ''}`
    for (const [key, entry] of this.#entries) {
      if (path === undefined ? key.startsWith(prefix) : key === prefix) this.#drop(key, entry)
    }
  }

  #makeRoom(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= this.#limit) return
      if (entry.readers === 0) this.#drop(key, entry)
    }
  }

  #drop(key: string, entry: Entry): void {
    if (entry.dropped) return
    entry.dropped = true
    if (this.#entries.get(key) === entry) this.#entries.delete(key)
    if (entry.readers === 0) closeQuietly(entry)
  }
}

/** A failed close of a file opened for reading loses nothing; a file that did not open needs no close. */
function closeQuietly(entry: Entry): void {
  entry.opening.then((file) => file.close()).catch(() => {})
}

export const sharedReadFiles = new ReadFiles(128)
