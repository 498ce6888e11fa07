/**
 * A disk in memory with power cuts and faults, all decided by a seed.
 *
 * Each file has what readers see and what a power cut leaves. A write changes the first; `datasync`
 * makes the second equal. A name that was made, renamed or removed survives once its folder is synced.
 * `powerCut()` keeps a random part of what was not synced: nothing, everything, a beginning, or any
 * sectors of it, torn at any byte; of a folder's changes a beginning or any subset, because most
 * file systems journal those in order and none promises to. Files opened before the cut fail every call after it.
 *
 * A `datasync` that fails leaves the bytes readable and forgets that they were never written, as Linux
 * does: a later `datasync` succeeds and does not save them.
 */
import type { Disk, DiskFile, DiskSpace } from './disk.ts'
import type { Clock, Random } from './world.ts'

export type DiskOperation = keyof DiskFile | Exclude<keyof Disk, 'open' | 'space'> | 'open'

export interface DiskFault {
  readonly operation: DiskOperation
  readonly error: 'ENOSPC' | 'EIO' | 'EROFS' | 'EMFILE' | 'short-read'
  /** How many calls go well before the one that fails; 0 unless given. */
  readonly after?: number
  /** How many calls fail from there on; 1 unless given. */
  readonly times?: number
  /** Only calls on paths that contain this. */
  readonly path?: string
  /** A failing write leaves this many of its bytes; 0 unless given. */
  readonly writtenBytes?: number
}

export interface SimulatedDiskOptions {
  readonly random: Random
  /** With a clock each call takes between `min` and `max` of its milliseconds; without one, no time. */
  readonly latency?: { readonly clock: Clock; readonly minMs: number; readonly maxMs: number }
  /** Writes beyond this fill the disk and fail with ENOSPC. */
  readonly capacityBytes?: number
}

export class SimulatedDisk implements Disk {
  readonly #options: SimulatedDiskOptions
  readonly #folders = new Map<string, Folder>()
  #faults: { fault: DiskFault; seen: number }[] = []
  #cuts = 0
  /** Calls by operation, for tests that count them. */
  readonly calls = new Map<DiskOperation, number>()

  constructor(options: SimulatedDiskOptions) {
    this.#options = options
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    await this.#call('open', path)
    const { folder, name } = this.#at(path)
    const there = folder?.seen.get(name)
    if (mode === 'create') {
      if (there) throw diskError('EEXIST', `${path} exists`)
      if (!folder) throw diskError('ENOENT', `the folder of ${path} does not exist`)
      const made = new Content()
      folder.change(name, made)
      return new SimulatedFile(this, path, made)
    }
    if (!there) throw diskError('ENOENT', `${path} does not exist`)
    return new SimulatedFile(this, path, there)
  }

  async list(directory: string): Promise<string[]> {
    await this.#call('list', directory)
    const files = [...(this.#folders.get(directory)?.seen.keys() ?? [])]
    const inside = `${directory}/`
    const folders = [...this.#folders.keys()].filter((path) => path.startsWith(inside))
    return [...new Set([...files, ...folders.map((path) => path.slice(inside.length).split('/')[0]!)])].sort()
  }

  async space(): Promise<DiskSpace | null> {
    const totalBytes = this.#options.capacityBytes
    return totalBytes === undefined ? null : { totalBytes, freeBytes: Math.max(0, totalBytes - this.usedBytes) }
  }

  /** Survives a power cut at once, as on the real disk, which syncs the parents itself. */
  async makeDirectory(directory: string): Promise<void> {
    await this.#call('makeDirectory', directory)
    let path = directory
    while (path.length > 0 && !this.#folders.has(path)) {
      this.#folders.set(path, new Folder())
      path = path.slice(0, Math.max(path.lastIndexOf('/'), 0))
    }
  }

  async unlink(path: string): Promise<void> {
    await this.#call('unlink', path)
    const { folder, name } = this.#at(path)
    if (folder?.seen.has(name)) folder.change(name, null)
  }

  async removeDirectory(directory: string): Promise<void> {
    await this.#call('removeDirectory', directory)
    for (const path of this.#folders.keys()) {
      if (path === directory || path.startsWith(`${directory}/`)) this.#folders.delete(path)
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#call('rename', from)
    const source = this.#at(from)
    const target = this.#at(to)
    const content = source.folder?.seen.get(source.name)
    if (!content || !source.folder) throw diskError('ENOENT', `${from} does not exist`)
    if (source.folder !== target.folder) throw diskError('EXDEV', 'the simulated disk renames within one folder only')
    source.folder.rename(source.name, target.name, content)
  }

  async syncDirectory(directory: string): Promise<void> {
    await this.#call('syncDirectory', directory)
    const folder = this.#folders.get(directory)
    if (!folder) throw diskError('ENOENT', `${directory} does not exist`)
    folder.sync()
  }

  // For tests ----------------------------------------------------------------------------------

  /**
   * The disk as one run of the machine sees it: every call after the next power cut fails. For
   * code that may still be running when the power is cut: a real cut ends the process too.
   */
  boot(): Disk {
    const cuts = this.#cuts
    const alive = async <T>(task: () => Promise<T>): Promise<T> => {
      if (cuts !== this.#cuts) throw diskError('EIO', 'the power was cut')
      return task()
    }
    return {
      open: (path, mode) => alive(() => this.open(path, mode)),
      list: (directory) => alive(() => this.list(directory)),
      makeDirectory: (directory) => alive(() => this.makeDirectory(directory)),
      unlink: (path) => alive(() => this.unlink(path)),
      removeDirectory: (directory) => alive(() => this.removeDirectory(directory)),
      rename: (from, to) => alive(() => this.rename(from, to)),
      syncDirectory: (directory) => alive(() => this.syncDirectory(directory)),
      space: () => alive(() => this.space()),
    }
  }

  /** The machine loses power and comes back: a random part of the unsynced work survives. */
  powerCut(): void {
    this.#cuts++
    for (const folder of this.#folders.values()) folder.powerCut(this.#options.random)
  }

  inject(fault: DiskFault): void {
    this.#faults.push({ fault, seen: 0 })
  }

  healFaults(): void {
    this.#faults = []
  }

  /** What readers see now; null when there is no such file. */
  contentOf(path: string): Uint8Array | null {
    const { folder, name } = this.#at(path)
    return folder?.seen.get(name)?.seenBytes().slice() ?? null
  }

  /** Puts bytes there as if they had always been: to damage a file, or to begin with one. */
  plant(path: string, bytes: Uint8Array): void {
    const { folder, name } = this.#at(path)
    if (!folder) throw diskError('ENOENT', `the folder of ${path} does not exist`)
    const content = folder.seen.get(name) ?? new Content()
    content.plant(bytes)
    folder.seen.set(name, content)
    folder.kept.set(name, content)
  }

  get usedBytes(): number {
    let used = 0
    for (const folder of this.#folders.values()) for (const content of folder.seen.values()) used += content.size
    return used
  }

  // For open files -----------------------------------------------------------------------------

  /** Waits for the operation's latency; fails when a fault is set for it. */
  async #call(operation: DiskOperation, path: string): Promise<void> {
    await this.pass(operation, path)
    const fault = this.faultFor(operation, path)
    if (fault) throw diskError(fault.error, `${fault.error}: ${operation} ${path}`)
  }

  async pass(operation: DiskOperation, path: string): Promise<void> {
    this.calls.set(operation, (this.calls.get(operation) ?? 0) + 1)
    const cuts = this.#cuts
    const { latency, random } = this.#options
    if (latency) {
      const delayMs = latency.minMs + random.below(latency.maxMs - latency.minMs + 1)
      await new Promise<void>((resolve) => latency.clock.after(delayMs, resolve))
    } else await null
    if (cuts !== this.#cuts) throw diskError('EIO', `${operation} ${path}: the power was cut`)
  }

  faultFor(operation: DiskOperation, path: string): DiskFault | null {
    for (const entry of this.#faults) {
      const { fault } = entry
      if (fault.operation !== operation || (fault.path !== undefined && !path.includes(fault.path))) continue
      const number = entry.seen++
      const after = fault.after ?? 0
      if (number >= after && number < after + (fault.times ?? 1)) return fault
    }
    return null
  }

  get cuts(): number {
    return this.#cuts
  }

  freeBytes(): number {
    return (this.#options.capacityBytes ?? Number.POSITIVE_INFINITY) - this.usedBytes
  }

  #at(path: string): { folder: Folder | undefined; name: string } {
    const slash = path.lastIndexOf('/')
    return { folder: this.#folders.get(path.slice(0, Math.max(slash, 0))), name: path.slice(slash + 1) }
  }
}

class SimulatedFile implements DiskFile {
  readonly #disk: SimulatedDisk
  readonly #path: string
  readonly #content: Content
  readonly #cuts: number
  #closed = false

  constructor(disk: SimulatedDisk, path: string, content: Content) {
    this.#disk = disk
    this.#path = path
    this.#content = content
    this.#cuts = disk.cuts
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    // Copied now: the caller may go on appending to the same memory while this write is on its way.
    const bytes = Buffer.concat(chunks)
    await this.#pass('write')
    const fault = this.#disk.faultFor('write', this.#path)
    const growth = Math.max(position + bytes.length - this.#content.size, 0)
    const lacking = Math.max(growth - this.#disk.freeBytes(), 0)
    if (!fault && lacking === 0) return this.#content.write(bytes, position)
    const left = fault ? (fault.writtenBytes ?? 0) : Math.max(bytes.length - lacking, 0)
    if (left > 0) this.#content.write(bytes.subarray(0, left), position)
    const error = fault?.error ?? 'ENOSPC'
    throw diskError(error, `${error}: write ${this.#path}`)
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    await this.#pass('read')
    const fault = this.#disk.faultFor('read', this.#path)
    if (fault && fault.error !== 'short-read') throw diskError(fault.error, `${fault.error}: read ${this.#path}`)
    const bytes = this.#content.seenBytes().subarray(position, position + target.length)
    const given = fault ? bytes.subarray(0, bytes.length >> 1) : bytes
    target.set(given)
    return given.length
  }

  async datasync(): Promise<void> {
    await this.#pass('datasync')
    const fault = this.#disk.faultFor('datasync', this.#path)
    if (!fault) return this.#content.sync()
    this.#content.forgetUnsynced()
    throw diskError(fault.error, `${fault.error}: datasync ${this.#path}`)
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#passOrFail('truncate')
    this.#content.truncate(sizeBytes)
  }

  async size(): Promise<number> {
    await this.#passOrFail('size')
    return this.#content.size
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#disk.pass('close', this.#path)
  }

  async #passOrFail(operation: DiskOperation): Promise<void> {
    await this.#pass(operation)
    const fault = this.#disk.faultFor(operation, this.#path)
    if (fault) throw diskError(fault.error, `${fault.error}: ${operation} ${this.#path}`)
  }

  async #pass(operation: DiskOperation): Promise<void> {
    if (this.#closed) throw diskError('EBADF', `${this.#path} is closed`)
    await this.#disk.pass(operation, this.#path)
    if (this.#cuts !== this.#disk.cuts) throw diskError('EIO', `${this.#path} was opened before the power cut`)
  }
}

/** Names in a folder: as seen, as kept by a power cut, and the changes between the two. */
class Folder {
  seen = new Map<string, Content>()
  kept = new Map<string, Content>()
  #changes: ((names: Map<string, Content>) => void)[] = []

  change(name: string, content: Content | null): void {
    this.#do((names) => (content ? names.set(name, content) : names.delete(name)))
  }

  rename(from: string, to: string, content: Content): void {
    this.#do((names) => {
      names.delete(from)
      names.set(to, content)
    })
  }

  sync(): void {
    for (const change of this.#changes.splice(0)) change(this.kept)
  }

  powerCut(random: Random): void {
    const changes = this.#changes.splice(0)
    const inOrder = random.below(2) === 0
    const surviving = random.below(changes.length + 1)
    changes.forEach((change, i) => {
      if (inOrder ? i < surviving : random.below(2) === 0) change(this.kept)
    })
    for (const content of new Set([...this.kept.values(), ...this.seen.values()])) content.powerCut(random)
    this.seen = new Map(this.kept)
  }

  #do(change: (names: Map<string, Content>) => void): void {
    change(this.seen)
    this.#changes.push(change)
  }
}

type Unsynced = { readonly at: number; readonly bytes: Uint8Array } | { readonly size: number }

class Content {
  #seen = new Growing()
  #kept = new Growing()
  #unsynced: Unsynced[] = []
  /** After a failed sync the system treats the written bytes as saved. */
  #forgotten = false

  get size(): number {
    return this.#seen.size
  }

  seenBytes(): Uint8Array {
    return this.#seen.view()
  }

  write(bytes: Uint8Array, at: number): void {
    this.#seen.write(bytes, at)
    this.#unsynced.push({ at, bytes })
  }

  truncate(size: number): void {
    this.#seen.truncate(size)
    this.#unsynced.push({ size })
  }

  sync(): void {
    for (const change of this.#unsynced.splice(0)) apply(this.#kept, change)
    // The size of the file survives independently of its bytes.
    if (this.#forgotten) this.#kept.truncate(this.#seen.size)
  }

  forgetUnsynced(): void {
    this.#forgotten = true
    this.#unsynced = []
  }

  plant(bytes: Uint8Array): void {
    this.#unsynced = []
    for (const state of [this.#seen, this.#kept]) {
      state.truncate(0)
      state.write(bytes, 0)
    }
  }

  powerCut(random: Random): void {
    const unsynced = this.#unsynced.splice(0)
    const mood = random.below(4)
    if (mood === 1) for (const change of unsynced) apply(this.#kept, change)
    if (mood === 2) this.#keepBeginning(unsynced, random)
    if (mood === 3) for (const change of unsynced) this.#keepSectors(change, random)
    this.#forgotten = false
    this.#seen = this.#kept.copy()
  }

  #keepBeginning(unsynced: readonly Unsynced[], random: Random): void {
    const whole = random.below(unsynced.length + 1)
    for (const change of unsynced.slice(0, whole)) apply(this.#kept, change)
    const torn = unsynced[whole]
    if (torn && 'bytes' in torn) {
      this.#kept.write(torn.bytes.subarray(0, random.below(torn.bytes.length + 1)), torn.at)
    }
  }

  #keepSectors(change: Unsynced, random: Random): void {
    if (!('bytes' in change)) {
      if (random.below(2) === 0) apply(this.#kept, change)
      return
    }
    for (let from = 0; from < change.bytes.length; ) {
      const to = Math.min(from + sectorBytes - ((change.at + from) % sectorBytes), change.bytes.length)
      const sector = change.bytes.subarray(from, to)
      const luck = random.below(8)
      if (luck < 4) this.#kept.write(sector, change.at + from)
      if (luck === 4) this.#kept.write(sector.subarray(0, random.below(sector.length + 1)), change.at + from)
      from = to
    }
  }
}

const sectorBytes = 512

function apply(state: Growing, change: Unsynced): void {
  if ('bytes' in change) state.write(change.bytes, change.at)
  else state.truncate(change.size)
}

class Growing {
  #bytes = new Uint8Array(0)
  size = 0

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.size)
  }

  write(bytes: Uint8Array, at: number): void {
    if (bytes.length === 0) return
    const end = at + bytes.length
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2))
      grown.set(this.view())
      this.#bytes = grown
    }
    this.#bytes.set(bytes, at)
    this.size = Math.max(this.size, end)
  }

  truncate(size: number): void {
    if (size < this.size) this.#bytes.fill(0, size, this.size)
    else this.write(new Uint8Array(size - this.size), this.size)
    this.size = size
  }

  copy(): Growing {
    const twin = new Growing()
    twin.write(this.view(), 0)
    return twin
  }
}

function diskError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
