/**
 * The bytes of an index file: where each queue's messages of one segment lie. Little-endian.
 *
 *   0  8 bytes "GANTRYQI", u32 version (2), u32 segment
 *  16  u32 offset in the segment up to which the file knows everything, u32 number of queues
 *  24  u32 number of entries, u32 CRC-32 of bytes 0 … 27, 32 … 39 and of the directory as it stands
 *  32  u32 flags: 1 = encrypted, u32 zero
 *  40  the directory, 32 bytes a queue, by key: f64 key, f64 offset of its first entry, f64 store time
 *      of that entry, u32 row of it, u32 number of entries
 *      pages of 4096 bytes from the next multiple of 4096 on, 255 entries each and a u32 CRC-32 at
 *      the end; an entry is u32 offset in the segment, u32 tag hash, f64 store time (ms)
 *
 * Entries are grouped by queue, so a consumer's next entries are one read. The file is made from the
 * segment and can be made again: it holds nothing that the segment does not.
 *
 * Where records are encrypted, the directory is sealed as one piece and each page by itself, with the
 * records' cipher, and each is longer by what the cipher adds: queue keys, times and tag hashes are not
 * readable, and a read is still one page. Only the counts in the first 40 bytes stay in clear.
 */
import { crc32 } from 'node:zlib'
import type { RecordCipher } from './contract.ts'

export const pageBytes = 4096
export const entriesPerPage = 255
const entryBytes = 16
const fixedBytes = 40
/** Written in one step: entries, and pages sealed. */
const entriesPerStep = 4_096
const pagesPerStep = 64
const queueBytes = 32
export const indexVersion = 2
const magic = Buffer.from('GANTRYQI', 'latin1')

export interface QueueRun {
  readonly queueKey: number
  readonly firstOffset: number
  readonly firstTimeMs: number
  /** Row of the first entry. */
  readonly row: number
  readonly count: number
}

export interface IndexDirectory {
  readonly segment: number
  readonly upTo: number
  readonly entries: number
  readonly runs: readonly QueueRun[]
  /** Where page 0 starts. */
  readonly pagesAt: number
}

/** What one queue has in the segment. */
export interface RunToWrite {
  readonly queueKey: number
  readonly firstOffset: number
  readonly count: number
  readonly offsets: Uint32Array
  readonly tagHashes: Uint32Array
  readonly timesMs: Float64Array
}

/** In steps, for there may be a hundred thousand queues. */
export function* encodeIndexFile(
  segment: number,
  upTo: number,
  runs: readonly RunToWrite[],
  cipher: RecordCipher | null = null,
): Generator<void, { readonly bytes: Buffer; readonly directory: IndexDirectory }> {
  const entries = runs.reduce((sum, run) => sum + run.count, 0)
  const head = Buffer.alloc(fixedBytes)
  magic.copy(head)
  head.writeUInt32LE(indexVersion, 8)
  head.writeUInt32LE(segment, 12)
  head.writeUInt32LE(upTo, 16)
  head.writeUInt32LE(runs.length, 20)
  head.writeUInt32LE(entries, 24)
  head.writeUInt32LE(cipher ? 1 : 0, 32)
  const { directory, pages, rows } = yield* encodeRuns(runs, Math.ceil(entries / entriesPerPage))
  const sealed = cipher ? cipher.seal(directory) : directory
  head.writeUInt32LE(directoryCrc(head, sealed), 28)
  const pagesAt = pagesStart(sealed.length)
  const stride = strideOf(cipher)
  const bytes = Buffer.alloc(pagesAt + (pages.length / pageBytes) * stride)
  head.copy(bytes)
  bytes.set(sealed, fixedBytes)
  for (let page = 0, at = pagesAt; page < pages.length; page += pageBytes, at += stride) {
    const plain = pages.subarray(page, page + pageBytes)
    plain.writeUInt32LE(crc32(plain.subarray(0, pageBytes - 4)), pageBytes - 4)
    bytes.set(cipher ? cipher.seal(plain) : plain, at)
    if (page % (pagesPerStep * pageBytes) === 0) yield
  }
  return { bytes, directory: { segment, upTo, entries, runs: rows, pagesAt } }
}

function* encodeRuns(
  runs: readonly RunToWrite[],
  pageCount: number,
): Generator<void, { directory: Buffer; pages: Buffer; rows: readonly QueueRun[] }> {
  const directory = Buffer.alloc(runs.length * queueBytes)
  const pages = Buffer.alloc(pageCount * pageBytes)
  const rows: QueueRun[] = []
  let row = 0
  for (const [i, run] of runs.entries()) {
    const { queueKey, firstOffset, count } = run
    const at = i * queueBytes
    rows.push({ queueKey, firstOffset, firstTimeMs: run.timesMs[0] ?? 0, row, count })
    directory.writeDoubleLE(run.queueKey, at)
    directory.writeDoubleLE(run.firstOffset, at + 8)
    directory.writeDoubleLE(run.timesMs[0] ?? 0, at + 16)
    directory.writeUInt32LE(row, at + 24)
    directory.writeUInt32LE(run.count, at + 28)
    for (let j = 0; j < run.count; j++, row++) {
      const entry = Math.floor(row / entriesPerPage) * pageBytes + (row % entriesPerPage) * entryBytes
      pages.writeUInt32LE(run.offsets[j]!, entry)
      pages.writeUInt32LE(run.tagHashes[j]!, entry + 4)
      pages.writeDoubleLE(run.timesMs[j]!, entry + 8)
      if (row % entriesPerStep === 0) yield
    }
  }
  return { directory, pages, rows }
}

/** Bytes from the start of one page to the start of the next. */
export const strideOf = (cipher: RecordCipher | null): number => pageBytes + (cipher?.overheadBytes ?? 0)

/** Bytes of the beginning that hold the whole directory, as far as the first 40 bytes tell; null when they are no index file. */
export function directoryBytes(bytes: Buffer, cipher: RecordCipher | null = null): number | null {
  if (bytes.length < fixedBytes || !bytes.subarray(0, 8).equals(magic) || bytes.readUInt32LE(8) !== indexVersion)
    return null
  return fixedBytes + bytes.readUInt32LE(20) * queueBytes + (cipher?.overheadBytes ?? 0)
}

/** Null when damaged, of another version, not as long as it says, or sealed otherwise than with this cipher. */
export function decodeDirectory(
  bytes: Buffer,
  fileBytes: number,
  cipher: RecordCipher | null = null,
): IndexDirectory | null {
  const needed = directoryBytes(bytes, cipher)
  if (needed === null || bytes.length < needed || bytes.readUInt32LE(32) !== (cipher ? 1 : 0)) return null
  const sealed = bytes.subarray(fixedBytes, needed)
  if (bytes.readUInt32LE(28) !== directoryCrc(bytes, sealed)) return null
  const entries = bytes.readUInt32LE(24)
  const pagesAt = pagesStart(sealed.length)
  if (fileBytes !== pagesAt + Math.ceil(entries / entriesPerPage) * strideOf(cipher)) return null
  const directory = opened(sealed, cipher)
  if (directory === null) return null
  const runs = Array.from({ length: bytes.readUInt32LE(20) }, (_, i) => {
    const at = i * queueBytes
    return {
      queueKey: directory.readDoubleLE(at),
      firstOffset: directory.readDoubleLE(at + 8),
      firstTimeMs: directory.readDoubleLE(at + 16),
      row: directory.readUInt32LE(at + 24),
      count: directory.readUInt32LE(at + 28),
    }
  })
  return { segment: bytes.readUInt32LE(12), upTo: bytes.readUInt32LE(16), entries, runs, pagesAt }
}

/** The page in clear, or null when it is damaged. */
export function openPage(stored: Buffer, cipher: RecordCipher | null): Buffer | null {
  const page = opened(stored, cipher)
  return page !== null && pageIsSound(page) ? page : null
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

const pageIsSound = (page: Buffer): boolean =>
  page.length === pageBytes && page.readUInt32LE(pageBytes - 4) === crc32(page.subarray(0, pageBytes - 4))

export const entryOffset = (page: Buffer, row: number): number => page.readUInt32LE((row % entriesPerPage) * entryBytes)
export const entryTagHash = (page: Buffer, row: number): number =>
  page.readUInt32LE((row % entriesPerPage) * entryBytes + 4)
export const entryTimeMs = (page: Buffer, row: number): number =>
  page.readDoubleLE((row % entriesPerPage) * entryBytes + 8)

export const indexFileName = (segment: number): string => `${String(segment).padStart(7, '0')}.index`

/** Null for other files. */
export function segmentOfIndexFile(name: string): number | null {
  const match = /^(\d{7})\.index$/.exec(name)
  return match ? Number(match[1]) : null
}

const pagesStart = (directoryLength: number): number =>
  Math.ceil((fixedBytes + directoryLength) / pageBytes) * pageBytes

const directoryCrc = (head: Buffer, directory: Uint8Array): number =>
  crc32(directory, crc32(head.subarray(32, fixedBytes), crc32(head.subarray(0, 28))))
