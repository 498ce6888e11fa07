/**
 * Simulates a killed process: from one moment on, its clock and disk stop answering.
 *
 * Code under test cannot be stopped from outside, so a killed broker goes on computing, but nothing it
 * does reaches the disk and none of its timers runs. What the machine itself had begun (a write under
 * way) finishes, as it does under a real kill.
 */
import type { Disk, DiskFile } from '../../src/world/disk.ts'
import type { Clock } from '../../src/world/world.ts'

export class Mortal {
  #dead = false
  /** Calls of the disk that have not returned. */
  #under = 0
  #rests: (() => void) | null = null
  readonly clock: Clock
  readonly disk: Disk

  constructor(clock: Clock, disk: Disk) {
    this.clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: (delayMs, task) =>
        clock.after(delayMs, () => {
          if (!this.#dead) task()
        }),
    }
    this.disk = {
      open: async (path, mode) => this.#file(await this.#alive(() => disk.open(path, mode))),
      list: (directory) => this.#alive(() => disk.list(directory)),
      makeDirectory: (directory) => this.#alive(() => disk.makeDirectory(directory)),
      unlink: (path) => this.#alive(() => disk.unlink(path)),
      removeDirectory: (directory) => this.#alive(() => disk.removeDirectory(directory)),
      rename: (from, to) => this.#alive(() => disk.rename(from, to)),
      syncDirectory: (directory) => this.#alive(() => disk.syncDirectory(directory)),
      space: (directory) => this.#alive(() => disk.space(directory)),
    }
  }

  kill(): void {
    this.#dead = true
  }

  /** Resolves when every call that was under way has returned: only then is a killed process gone. */
  atRest(): Promise<void> {
    return new Promise((resolve) => {
      this.#rests = resolve
      if (this.#under === 0) resolve()
    })
  }

  #file(file: DiskFile): DiskFile {
    return {
      write: (chunks, position) => this.#alive(() => file.write(chunks, position)),
      read: (target, position) => this.#alive(() => file.read(target, position)),
      datasync: () => this.#alive(() => file.datasync()),
      truncate: (sizeBytes) => this.#alive(() => file.truncate(sizeBytes)),
      size: () => this.#alive(() => file.size()),
      close: () => file.close(),
    }
  }

  async #alive<T>(task: () => Promise<T>): Promise<T> {
    if (this.#dead) throw new Error('the process was killed')
    this.#under++
    try {
      const result = await task()
      if (this.#dead) throw new Error('the process was killed')
      return result
    } finally {
      if (--this.#under === 0) this.#rests?.()
    }
  }
}
