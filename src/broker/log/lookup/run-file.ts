/**
 * The bytes of a run: where the terms of one stretch of the log lie, sorted. Little-endian.
 *
 *   0  8 bytes "GANTRYLU", u32 version (1), u32 flags: 1 = encrypted, 2 = all terms are as this program makes them
 *  16  f64 position from which on the run knows every record, f64 position below which it does
 *  32  f64 number of entries, u32 first segment, u32 CRC-32 of bytes 0 … 43
 *      pages of 4096 bytes from byte 4096 on, 340 entries each and a u32 CRC-32 at the end; an entry is u32 and u16 of
 *      the term, u16 segment less the first one, u32 offset in it
 *
 * First come the pages of all entries, by term and then by position. The first entry of each of them is an entry of the
 * next level, and so on up to a level of one page: a search reads one page a level, three for up to 39 million entries.
 *
 * Where records are encrypted each page is sealed with the records' cipher, so neither ids nor keys, nor hashes of them
 * that could be tried, lie in clear; the range and the number of entries do. A run is made from the log and can be made
 * again: it holds nothing that the log does not.
 */
import { crc32 } from 'node:zlib'
import type { Disk, DiskFile } from '../../../world/disk.ts'
import type { RecordCipher } from '../contract.ts'
import { positionOf, segmentOf } from '../contract.ts'
import { corrupt, LogError } from '../errors.ts'
import { sharedPages } from '../pages.ts'
import { sharedReadFiles } from '../read-files.ts'

export const runPageBytes = 4096
export const entriesPerPage = 340
const entryBytes = 12
export const runVersion = 1
const magic = Buffer.from('GANTRYLU', 'latin1')
const headerBytes = 48
const ENCRYPTED = 1
const CURRENT_TERMS = 2
/** Pages written with one call, and such calls between syncs: few, so that the log's own syncs never wait long. */
const pagesPerWrite = 64
const writesPerSync = 16

export interface Term {
  readonly high: number
  readonly low: number
}

/** What is looked up: the term, and how older programs made it, whose runs are not made again for it. */
export interface Wanted extends Term {
  readonly before?: Term
}

export interface Entry extends Term {
  readonly position: number
}

export interface Run {
  readonly path: string
  readonly from: number
  readonly to: number
  readonly entries: number
  readonly firstSegment: number
  /** False when an older program made some of its terms. */
  readonly hasCurrentTerms: boolean
  /** Number of pages of each level, the entries' own first. */
  readonly levels: readonly number[]
  /** Names the run among the shared pages. */
  readonly key: number
}

/** Whose files they are. */
export interface RunPlace {
  readonly disk: Disk
  readonly directory: string
  readonly cipher: RecordCipher | null
  readonly owner: string
}

let runsOpened = 0

// Writing ------------------------------------------------------------------------------------------

export interface RunToWrite {
  readonly from: number
  readonly to: number
  readonly hasCurrentTerms: boolean
}

/** Writes a run from entries in sorted order: a whole file under another name, synced, then renamed. */
export class RunWriter {
  readonly #place: RunPlace
  readonly #range: RunToWrite
  readonly #firstSegment: number
  readonly #stride: number
  readonly #file: DiskFile
  readonly #chunk: Buffer
  readonly #page = Buffer.alloc(runPageBytes)
  #inPage = 0
  #inChunk = 0
  #pages = 0
  #writes = 0
  #entries = 0
  #lastKey = -1
  #lastPosition = -1
  /** First entries of the pages of this level. */
  #fences: Buffer[] = []

  static async create(place: RunPlace, range: RunToWrite): Promise<RunWriter> {
    const path = unfinished(place)
    await place.disk.unlink(path)
    return new RunWriter(place, range, await place.disk.open(path, 'create'))
  }

  private constructor(place: RunPlace, range: RunToWrite, file: DiskFile) {
    this.#place = place
    this.#range = range
    this.#firstSegment = segmentOf(range.from)
    this.#stride = strideOf(place.cipher)
    this.#file = file
    this.#chunk = Buffer.allocUnsafe(pagesPerWrite * this.#stride)
  }

  /** True when `write` must be waited for before the next entry. */
  add({ high, low, position }: Entry): boolean {
    const key = high * 2 ** 16 + low
    if (key < this.#lastKey || (key === this.#lastKey && position <= this.#lastPosition))
      throw new Error(`Entries of a run must be sorted; ${position} follows ${this.#lastPosition}`)
    this.#lastKey = key
    this.#lastPosition = position
    const at = this.#inPage * entryBytes
    this.#page.writeUInt32LE(high, at)
    this.#page.writeUInt16LE(low, at + 4)
    const segment = segmentOf(position)
    this.#page.writeUInt16LE(segment - this.#firstSegment, at + 6)
    this.#page.writeUInt32LE(position - positionOf(segment, 0), at + 8)
    this.#entries++
    this.#inPage++
    if (this.#inPage === entriesPerPage) this.#endPage()
    return this.#inChunk === pagesPerWrite
  }

  async write(): Promise<void> {
    if (this.#inChunk === 0) return
    const at = runPageBytes + (this.#pages - this.#inChunk) * this.#stride
    await this.#file.write([this.#chunk.subarray(0, this.#inChunk * this.#stride)], at)
    this.#inChunk = 0
    if (++this.#writes % writesPerSync === 0) await this.#file.datasync()
  }

  async finish(): Promise<Run> {
    if (this.#inPage > 0) this.#endPage()
    await this.write()
    const entries = this.#entries
    let fences = this.#fences
    while (fences.length > 1) {
      this.#fences = []
      for (const fence of fences) {
        fence.copy(this.#page, this.#inPage * entryBytes)
        this.#inPage++
        if (this.#inPage === entriesPerPage) this.#endPage()
        if (this.#inChunk === pagesPerWrite) await this.write()
      }
      if (this.#inPage > 0) this.#endPage()
      await this.write()
      fences = this.#fences
    }
    const { disk, directory, cipher } = this.#place
    const { from, to, hasCurrentTerms } = this.#range
    const run = { from, to, hasCurrentTerms, entries, firstSegment: this.#firstSegment }
    await this.#file.write([encodeHeader(run, cipher)], 0)
    await this.#file.datasync()
    await this.#file.close()
    const path = `${directory}/${runFileName(run)}`
    await disk.rename(unfinished(this.#place), path)
    return { ...run, path, levels: levelsOf(entries), key: runsOpened++ }
  }

  /** Instead of `finish`. */
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => {})
    await this.#place.disk.unlink(unfinished(this.#place)).catch(() => {})
  }

  #endPage(): void {
    const { cipher } = this.#place
    this.#fences.push(Buffer.from(this.#page.subarray(0, entryBytes)))
    this.#page.fill(0, this.#inPage * entryBytes)
    this.#page.writeUInt32LE(crc32(this.#page.subarray(0, runPageBytes - 4)), runPageBytes - 4)
    this.#chunk.set(cipher ? cipher.seal(this.#page) : this.#page, this.#inChunk * this.#stride)
    this.#inChunk++
    this.#pages++
    this.#inPage = 0
  }
}

const unfinished = ({ directory }: RunPlace): string => `${directory}/lookup.new`

function encodeHeader(run: Omit<Run, 'path' | 'levels' | 'key'>, cipher: RecordCipher | null): Buffer {
  const head = Buffer.alloc(runPageBytes)
  magic.copy(head)
  head.writeUInt32LE(runVersion, 8)
  head.writeUInt32LE((cipher ? ENCRYPTED : 0) | (run.hasCurrentTerms ? CURRENT_TERMS : 0), 12)
  head.writeDoubleLE(run.from, 16)
  head.writeDoubleLE(run.to, 24)
  head.writeDoubleLE(run.entries, 32)
  head.writeUInt32LE(run.firstSegment, 40)
  head.writeUInt32LE(crc32(head.subarray(0, 44)), 44)
  return head
}

/** Pages of each level: as many as hold the entries, then as many as hold the first entries of those, down to one. */
function levelsOf(entries: number): number[] {
  const levels = [Math.ceil(entries / entriesPerPage)]
  while (levels.at(-1)! > 1) levels.push(Math.ceil(levels.at(-1)! / entriesPerPage))
  return levels
}

// Reading ------------------------------------------------------------------------------------------

/** Null when the file is no run, damaged at its beginning, of another version, or sealed otherwise than with this cipher. */
export async function readRun(place: RunPlace, name: string): Promise<Run | null> {
  const path = `${place.directory}/${name}`
  return sharedReadFiles.use(place.disk, place.owner, path, async (file) => {
    const head = Buffer.alloc(headerBytes)
    if ((await file.read(head, 0)) < headerBytes || !head.subarray(0, 8).equals(magic)) return null
    if (head.readUInt32LE(44) !== crc32(head.subarray(0, 44)) || head.readUInt32LE(8) !== runVersion) return null
    const flags = head.readUInt32LE(12)
    if ((flags & ENCRYPTED) !== (place.cipher ? ENCRYPTED : 0)) return null
    const run = {
      path,
      from: head.readDoubleLE(16),
      to: head.readDoubleLE(24),
      entries: head.readDoubleLE(32),
      firstSegment: head.readUInt32LE(40),
      hasCurrentTerms: (flags & CURRENT_TERMS) !== 0,
      key: runsOpened++,
    }
    const levels = levelsOf(run.entries)
    const pages = levels.reduce((sum, count) => sum + count, 0)
    const isWhole = (await file.size()) === runPageBytes + pages * strideOf(place.cipher)
    return isWhole && name === runFileName(run) ? { ...run, levels } : null
  })
}

/** Positions of the term from `from` on, in order, at most `limit`. Rejects with a `LogError` (`corrupt`) for a damaged page. */
export async function findInRun(place: RunPlace, run: Run, term: Term, from: number, limit: number): Promise<number[]> {
  const found: number[] = []
  if (run.entries === 0 || run.to <= from) return found
  let page = 0
  for (let level = run.levels.length - 1; level > 0; level--) {
    const bytes = await fencePage(place, run, level, page)
    const count = Math.min(entriesPerPage, run.levels[level - 1]! - page * entriesPerPage)
    page = page * entriesPerPage + Math.max(0, lowerBound(bytes, count, run, term, from + 1) - 1)
  }
  for (; page < run.levels[0]! && found.length < limit; page++) {
    const bytes = (await readPages(place, run, page, 1))[0]!
    const count = Math.min(entriesPerPage, run.entries - page * entriesPerPage)
    for (let i = lowerBound(bytes, count, run, term, from); i < count; i++) {
      if (!isOf(bytes, i, term) || found.length >= limit) return found
      found.push(positionAt(bytes, i, run))
    }
  }
  return found
}

/** The entries of a run one after another, read many pages at a time. */
export class RunCursor {
  readonly #place: RunPlace
  readonly #run: Run
  #pages: Buffer[] = []
  #firstPage = 0
  #row = 0
  high = 0
  low = 0
  position = 0

  constructor(place: RunPlace, run: Run) {
    this.#place = place
    this.#run = run
  }

  /** True when `read` must be waited for before `next`. */
  get mustRead(): boolean {
    return this.#row < this.#run.entries && this.#row >= (this.#firstPage + this.#pages.length) * entriesPerPage
  }

  async read(): Promise<void> {
    const first = this.#firstPage + this.#pages.length
    const count = Math.min(pagesPerRead, this.#run.levels[0]! - first)
    this.#pages = await readPages(this.#place, this.#run, first, count)
    this.#firstPage = first
  }

  /** False at the end. */
  next(): boolean {
    if (this.#row >= this.#run.entries) return false
    const page = this.#pages[Math.floor(this.#row / entriesPerPage) - this.#firstPage]!
    const at = (this.#row % entriesPerPage) * entryBytes
    this.high = page.readUInt32LE(at)
    this.low = page.readUInt16LE(at + 4)
    this.position = positionAt(page, this.#row % entriesPerPage, this.#run)
    this.#row++
    return true
  }
}

const pagesPerRead = 16

async function fencePage(place: RunPlace, run: Run, level: number, page: number): Promise<Buffer> {
  let number = page
  for (let below = 0; below < level; below++) number += run.levels[below]!
  const known = sharedPages.get(place.owner, run.key, number)
  if (known) return known
  const [bytes] = await readPages(place, run, number, 1)
  sharedPages.put(place.owner, run.key, number, bytes!)
  return bytes!
}

async function readPages(place: RunPlace, run: Run, first: number, count: number): Promise<Buffer[]> {
  const { cipher, disk, owner } = place
  const stride = strideOf(cipher)
  const bytes = Buffer.allocUnsafeSlow(count * stride)
  const at = runPageBytes + first * stride
  const read = await sharedReadFiles.use(disk, owner, run.path, (file) => file.read(bytes, at))
  return Array.from({ length: count }, (_, i) => {
    const stored = bytes.subarray(i * stride, (i + 1) * stride)
    const page = (i + 1) * stride <= read ? opened(stored, cipher) : null
    if (page?.length !== runPageBytes || page.readUInt32LE(runPageBytes - 4) !== crc32(page.subarray(0, -4)))
      throw corrupt(run.path, at + i * stride, 'a page of the look-up index is unreadable')
    return page
  })
}

function opened(stored: Buffer, cipher: RecordCipher | null): Buffer | null {
  if (!cipher) return stored
  try {
    const plain = cipher.open(stored)
    return Buffer.from(plain.buffer, plain.byteOffset, plain.length)
  } catch {
    return null
  }
}

/** The first entry that is not before the term at the position. */
function lowerBound(page: Buffer, count: number, run: Run, { high, low }: Term, position: number): number {
  let from = 0
  let to = count
  while (from < to) {
    const middle = (from + to) >> 1
    const at = middle * entryBytes
    const order = page.readUInt32LE(at) - high || page.readUInt16LE(at + 4) - low
    if (order < 0 || (order === 0 && positionAt(page, middle, run) < position)) from = middle + 1
    else to = middle
  }
  return from
}

const isOf = (page: Buffer, row: number, { high, low }: Term): boolean =>
  page.readUInt32LE(row * entryBytes) === high && page.readUInt16LE(row * entryBytes + 4) === low

const positionAt = (page: Buffer, row: number, run: Run): number =>
  positionOf(run.firstSegment + page.readUInt16LE(row * entryBytes + 6), page.readUInt32LE(row * entryBytes + 8))

const strideOf = (cipher: RecordCipher | null): number => runPageBytes + (cipher?.overheadBytes ?? 0)

// Names --------------------------------------------------------------------------------------------

export const runFileName = ({ from, to }: { readonly from: number; readonly to: number }): string =>
  `${placeOf(from)}-${placeOf(to)}.lookup`

export const isRunFileName = (name: string): boolean => /^\d{7}\.[0-9a-f]{8}-\d{7}\.[0-9a-f]{8}\.lookup$/.test(name)

function placeOf(position: number): string {
  const segment = segmentOf(position)
  const offset = position - positionOf(segment, 0)
  return `${String(segment).padStart(7, '0')}.${offset.toString(16).padStart(8, '0')}`
}

/** Closes what is open of the run and forgets its pages. */
export function forgetRun(place: RunPlace, run: Run): void {
  sharedReadFiles.close(place.owner, run.path)
  sharedPages.forget(place.owner, run.key)
}

export const isMissing = (error: unknown): boolean =>
  (error as { code?: string }).code === 'ENOENT' || (error instanceof LogError && error.code === 'corrupt')
