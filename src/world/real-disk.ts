/**
 * The machine's disk behind the `Disk` interface: node:fs, asynchronous on libuv's thread pool.
 *
 * Plain descriptors with callbacks. They cost what `FileHandle` costs (measured: write and fdatasync
 * within the noise of each other), but the garbage collector never closes them and `writev` is direct. A
 * descriptor that is not closed stays open until the process ends: the caller that opens one closes it. Files are made for
 * the owner alone (0600, folders 0700), because they hold customers' messages. Nothing here retries: an error
 * that the machine reports goes to the caller.
 */
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import type { Disk, DiskFile } from './disk.ts'

export function createRealDisk(): Disk {
  return {
    open: async (path, mode) => new RealFile(await openDescriptor(path, flags[mode]), path),
    list: async (directory) => {
      try {
        return (await fs.promises.readdir(directory)).sort()
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return []
        throw error
      }
    },
    makeDirectory,
    unlink: async (path) => {
      try {
        await fs.promises.unlink(path)
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error
      }
    },
    removeDirectory: (directory) => fs.promises.rm(directory, { recursive: true, force: true }),
    rename: (from, to) => fs.promises.rename(from, to),
    syncDirectory,
    space: async (directory) => {
      const { bsize, blocks, bavail } = await fs.promises.statfs(directory)
      // Some file systems without a size of their own (overlays, FUSE) answer zero.
      return blocks === 0 ? null : { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
    },
  }
}

const flags = {
  read: fs.constants.O_RDONLY | noFollow(),
  write: fs.constants.O_RDWR | noFollow(),
  create: fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
} as const

/** Fails with ELOOP on a symbolic link, which would redirect a write to a file elsewhere. Windows has no such flag. */
function noFollow(): number {
  return fs.constants.O_NOFOLLOW ?? 0
}

class RealFile implements DiskFile {
  readonly #descriptor: number
  readonly #path: string
  #closed = false

  constructor(descriptor: number, path: string) {
    this.#descriptor = descriptor
    this.#path = path
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    let rest = chunks.filter((chunk) => chunk.length > 0)
    let at = position
    while (rest.length > 0) {
      const written = await this.#writeSome(rest, at)
      if (written === 0) throw new Error(`${this.#path}: the disk took no bytes at ${at}`)
      at += written
      rest = withoutFirst(rest, written)
    }
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let filled = 0
    while (filled < target.length) {
      const count = await this.#readSome(target, filled, position + filled)
      if (count === 0) break
      filled += count
    }
    return filled
  }

  datasync(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closedError())
      fs.fdatasync(this.#descriptor, (error) => (error ? reject(error) : resolve()))
    })
  }

  truncate(sizeBytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closedError())
      fs.ftruncate(this.#descriptor, sizeBytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closedError())
      fs.fstat(this.#descriptor, (error, stats) => (error ? reject(error) : resolve(stats.size)))
    })
  }

  /** May be called twice: the descriptor is closed once only, because its number may belong to another file afterwards. */
  close(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#closed = true
    return new Promise((resolve, reject) => {
      fs.close(this.#descriptor, (error) => (error ? reject(error) : resolve()))
    })
  }

  #writeSome(chunks: readonly Uint8Array[], position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closedError())
      const done = (error: Error | null, written: number) => (error ? reject(error) : resolve(written))
      const first = chunks[0]!
      if (chunks.length === 1) fs.write(this.#descriptor, first, 0, first.length, position, done)
      else fs.writev(this.#descriptor, chunks.slice(0, maxChunksPerCall), position, done)
    })
  }

  #readSome(target: Uint8Array, from: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closedError())
      fs.read(this.#descriptor, target, from, target.length - from, position, (error, count) =>
        error ? reject(error) : resolve(count),
      )
    })
  }

  #closedError(): Error {
    return Object.assign(new Error(`${this.#path} is closed`), { code: 'EBADF' })
  }
}

/** Linux takes at most 1024 pieces in one writev. */
const maxChunksPerCall = 1024

function withoutFirst(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let left = count
  let index = 0
  while (index < chunks.length && left >= chunks[index]!.length) left -= chunks[index++]!.length
  const rest = chunks.slice(index)
  if (left > 0) rest[0] = rest[0]!.subarray(left)
  return rest
}

/**
 * Makes the folder and its parents, and makes each new one survive a power cut: a folder is an entry
 * of its parent, and that entry needs its own sync.
 */
async function makeDirectory(directory: string): Promise<void> {
  const firstMade = await fs.promises.mkdir(directory, { recursive: true, mode: 0o700 })
  if (firstMade === undefined) return
  for (let made = directory; ; made = dirname(made)) {
    await syncDirectory(dirname(made))
    if (made === firstMade || made === dirname(made)) return
  }
}

async function syncDirectory(directory: string): Promise<void> {
  // Windows has no way to sync a folder; NTFS journals its entries itself.
  if (process.platform === 'win32') return
  const descriptor = await openDescriptor(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    await new Promise<void>((resolve, reject) => fs.fsync(descriptor, (error) => (error ? reject(error) : resolve())))
  } finally {
    fs.close(descriptor, () => {})
  }
}

function openDescriptor(path: string, flag: number): Promise<number> {
  return new Promise((resolve, reject) =>
    fs.open(path, flag, 0o600, (error, descriptor) => (error ? reject(error) : resolve(descriptor))),
  )
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code
