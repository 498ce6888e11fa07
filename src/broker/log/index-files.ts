/**
 * The index files of sealed segments: reading their directories and rows, writing and removing them. The bytes are in
 * index-file.ts; which rows belong to which queue is known by queue-index.ts. Pages and open files are shared by all
 * indexes of the process.
 */
import type { Disk } from '../../world/disk.ts'
import { positionOf, type RecordCipher } from './contract.ts'
import { corrupt, LogError } from './errors.ts'
import type { IndexDirectory, RunToWrite } from './index-file.ts'
import {
  decodeDirectory,
  directoryBytes,
  encodeIndexFile,
  entriesPerPage,
  entryOffset,
  entryTagHash,
  entryTimeMs,
  indexFileName,
  openPage,
  pageBytes,
  segmentOfIndexFile,
  strideOf,
} from './index-file.ts'
import { sharedPages } from './pages.ts'
import type { FoundEntries } from './queue-entries.ts'
import { sharedReadFiles } from './read-files.ts'
import { inTurns, type LoopBudget } from './yield.ts'

export interface IndexFile {
  /** Where its segment ends, as a position. */
  readonly end: number
  readonly pagesAt: number
}

export interface IndexFilesOptions {
  readonly disk: Disk
  /** The log's folder. */
  readonly directory: string
  readonly cipher: RecordCipher | null
  readonly turns: LoopBudget
}

let opened = 0

export class IndexFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #cipher: RecordCipher | null
  readonly #turns: LoopBudget
  readonly #owner = `index ${opened++}`
  /** Files that can be read, by segment. */
  readonly #files = new Map<number, IndexFile>()

  constructor({ disk, directory, cipher, turns }: IndexFilesOptions) {
    this.#disk = disk
    this.#directory = directory
    this.#cipher = cipher
    this.#turns = turns
  }

  /** Segments that have a file in the folder, readable or not. */
  async list(): Promise<number[]> {
    const names = await this.#disk.list(this.#directory)
    return names.map(segmentOfIndexFile).filter((segment) => segment !== null)
  }

  get(segment: number): IndexFile | undefined {
    return this.#files.get(segment)
  }

  /** From now on its rows can be read. */
  add(segment: number, file: IndexFile): void {
    this.#files.set(segment, file)
  }

  /** From now on its rows cannot be read; the file stays. */
  withdraw(segment: number): void {
    this.#files.delete(segment)
  }

  get count(): number {
    return this.#files.size
  }

  /** Segments that end at the position or before. */
  whollyBelow(position: number): Set<number> {
    return new Set([...this.#files].filter(([, file]) => file.end <= position).map(([segment]) => segment))
  }

  /** Fills `found` from entry `at` on with `count` rows. Rejects with a `LogError` for a file that is damaged or gone. */
  async readRows(segment: number, row: number, count: number, found: FoundEntries, at: number): Promise<void> {
    const firstPage = Math.floor(row / entriesPerPage)
    const lastPage = Math.floor((row + count - 1) / entriesPerPage)
    const base = positionOf(segment, 0)
    const pages = await this.#pages(segment, firstPage, lastPage)
    for (let i = 0; i < count; i++) {
      const page = pages[Math.floor((row + i) / entriesPerPage) - firstPage]!
      found.set(at + i, base + entryOffset(page, row + i), entryTagHash(page, row + i), entryTimeMs(page, row + i))
    }
  }

  async #pages(segment: number, first: number, last: number): Promise<Buffer[]> {
    const known: Buffer[] = []
    for (let page = first; page <= last; page++) {
      const cached = sharedPages.get(this.#owner, segment, page)
      if (!cached) return this.readPages(segment, first, last)
      known.push(cached)
    }
    return known
  }

  /** Pages `first` to `last`, past the cache of pages. */
  async readPages(segment: number, first: number, last: number): Promise<Buffer[]> {
    const file = this.#files.get(segment)
    const path = this.#path(segment)
    if (!file) throw new LogError('no-record', `${path} was removed`)
    const stride = strideOf(this.#cipher)
    const bytes = Buffer.allocUnsafeSlow((last - first + 1) * stride)
    const at = file.pagesAt + first * stride
    const read = await sharedReadFiles.use(this.#disk, this.#owner, path, (open) => open.read(bytes, at))
    const pages: Buffer[] = []
    for (let page = first; page <= last; page++) {
      const from = (page - first) * stride
      const one = from + stride > read ? null : openPage(bytes.subarray(from, from + stride), this.#cipher)
      if (one === null) throw corrupt(path, at + from, 'a page of the index is unreadable')
      // Each page gets its own buffer, so that a cached page does not retain the whole read.
      if (this.#files.get(segment) === file)
        sharedPages.put(this.#owner, segment, page, first === last ? one : Buffer.from(one))
      pages.push(one)
    }
    return pages
  }

  /** Null when the file is damaged, of another version or of another segment. */
  async readDirectory(segment: number): Promise<IndexDirectory | null> {
    const path = this.#path(segment)
    return sharedReadFiles.use(this.#disk, this.#owner, path, async (file) => {
      const size = await file.size()
      let bytes = Buffer.allocUnsafe(Math.min(size, pageBytes))
      bytes = bytes.subarray(0, await file.read(bytes, 0))
      const needed = directoryBytes(bytes, this.#cipher)
      if (needed === null || needed > size) return null
      if (needed > bytes.length) {
        bytes = Buffer.allocUnsafe(needed)
        bytes = bytes.subarray(0, await file.read(bytes, 0))
      }
      const directory = decodeDirectory(bytes, size, this.#cipher)
      return directory?.segment === segment ? directory : null
    })
  }

  /** A whole file under another name, synced, then renamed: a crash leaves the old one or none, and none is made again. */
  async write(segment: number, upTo: number, runs: readonly RunToWrite[]): Promise<IndexDirectory> {
    const { bytes, directory } = await inTurns(this.#turns, encodeIndexFile(segment, upTo, runs, this.#cipher))
    const unfinished = `${this.#directory}/index.new`
    await this.#disk.unlink(unfinished)
    const file = await this.#disk.open(unfinished, 'create')
    try {
      await file.write([bytes], 0)
      await file.datasync()
    } finally {
      await file.close()
    }
    this.forget(segment)
    await this.#disk.rename(unfinished, this.#path(segment))
    this.forget(segment)
    return directory
  }

  async remove(segment: number): Promise<void> {
    this.withdraw(segment)
    this.forget(segment)
    await this.#disk.unlink(this.#path(segment))
  }

  /** Drops the segment's cached pages and closes its file. */
  forget(segment: number): void {
    sharedReadFiles.close(this.#owner, this.#path(segment))
    sharedPages.forget(this.#owner, segment)
  }

  #path(segment: number): string {
    return `${this.#directory}/${indexFileName(segment)}`
  }

  close(): void {
    sharedReadFiles.close(this.#owner)
    sharedPages.forget(this.#owner)
  }
}
