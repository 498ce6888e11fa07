/**
 * A file of the home that only takes up space, so that a full disk can still be emptied: DeleteInstance is a change
 * of the ledger, and SQLite cannot write one where there is no byte left. When such a change meets a full disk, the
 * file goes, the change is made, and the file comes back once there is room. Only changes that give space back may
 * use it, so that clients cannot use it up by creating resources.
 */
import { open, rename, rm, statfs } from 'node:fs/promises'
import path from 'node:path'
import type { Cancel, Clock, Random } from '../world/world.ts'
import { hasCode } from './files.ts'

export const RESERVE_FILE = 'space.reserve'

/** Pages of the write-ahead log for some hundred deletions. */
const RESERVE_BYTES = 1024 * 1024
/** On a disk with less free than so many reserves, the ledger needs the room more. */
const ROOMY = 16
const REFILL_MS = 60_000

export class SpaceReserve {
  readonly #file: string
  readonly #clock: Clock
  readonly #random: Random
  #cancel: Cancel | null = null
  #filling: Promise<void> | null = null
  #closed = false

  constructor(home: string, { clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#file = path.join(home, RESERVE_FILE)
    this.#clock = clock
    this.#random = random
  }

  /** Makes the file if it is not there; tries again later where the disk has no room for it. Never rejects. */
  fill(): Promise<void> {
    this.#filling ??= this.#make().finally(() => {
      this.#filling = null
    })
    return this.#filling
  }

  /** Gives the space back; false when there was none to give. */
  async release(): Promise<boolean> {
    await this.#filling
    try {
      await rm(this.#file)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
    this.#later()
    return true
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancel?.()
    await this.#filling
  }

  async #make(): Promise<void> {
    const fresh = `${this.#file}.new`
    try {
      if (await this.#isThere()) return
      const { bavail, bsize } = await statfs(path.dirname(this.#file))
      if (bavail * bsize < RESERVE_BYTES * ROOMY) return this.#later()
      const handle = await open(fresh, 'w', 0o600)
      try {
        // Random bytes: some file systems store zeros as nothing.
        await handle.writeFile(this.#random.bytes(RESERVE_BYTES))
      } finally {
        await handle.close()
      }
      await rename(fresh, this.#file)
    } catch {
      // No space for it now: tried again later.
      await rm(fresh, { force: true }).catch(() => {})
      this.#later()
    }
  }

  async #isThere(): Promise<boolean> {
    try {
      const handle = await open(this.#file, 'r')
      const { size } = await handle.stat()
      await handle.close()
      return size >= RESERVE_BYTES
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  #later(): void {
    this.#cancel?.()
    if (!this.#closed) this.#cancel = this.#clock.after(REFILL_MS, () => void this.fill())
  }
}
