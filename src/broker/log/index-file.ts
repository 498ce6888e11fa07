/**
 * The bytes of an index file: where each queue's messages of one segment lie. Little-endian.
 *
 *   0  8 bytes "GANTRYQI", u32 version (1), u32 segment
 *  16  u32 offset in the segment up to which the file knows everything, u32 number of queues
 *  24  u32 number of entries, u32 CRC-32 of bytes 0 … 27 and of the directory
 *  32  the directory, 32 bytes a queue, by key: f64 key, f64 offset of its first entry, f64 store time
 *      of that entry, u32 row of it, u32 number of entries
 *      pages of 4096 bytes from the next multiple of 4096 on, 255 entries each and a u32 CRC-32 at
 *      the end; an entry is u32 offset in the segment, u32 tag hash, f64 store time (ms)
 *
 * Entries are grouped by queue, so a consumer's next entries are one read. The file is made from the
 * segment and can be made again: it is never the only place where something stands. Tag hashes and
 * times are in clear, also when the records are encrypted.
 */
import { crc32 } from 'node:zlib'

export const pageBytes = 4096
export const entriesPerPage = 255
const entryBytes = 16
const fixedBytes = 32
const queueBytes = 32
const version = 1
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

export function encodeIndexFile(segment: number, upTo: number, runs: readonly RunToWrite[]): Buffer {
  const entries = runs.reduce((sum, run) => sum + run.count, 0)
  const pagesAt = pagesStart(runs.length)
  const bytes = Buffer.alloc(pagesAt + Math.ceil(entries / entriesPerPage) * pageBytes)
  magic.copy(bytes)
  bytes.writeUInt32LE(version, 8)
  bytes.writeUInt32LE(segment, 12)
  bytes.writeUInt32LE(upTo, 16)
  bytes.writeUInt32LE(runs.length, 20)
  bytes.writeUInt32LE(entries, 24)
  let row = 0
  runs.forEach((run, i) => {
    const at = fixedBytes + i * queueBytes
    bytes.writeDoubleLE(run.queueKey, at)
    bytes.writeDoubleLE(run.firstOffset, at + 8)
    bytes.writeDoubleLE(run.timesMs[0] ?? 0, at + 16)
    bytes.writeUInt32LE(row, at + 24)
    bytes.writeUInt32LE(run.count, at + 28)
    for (let j = 0; j < run.count; j++, row++) {
      const entry = pagesAt + Math.floor(row / entriesPerPage) * pageBytes + (row % entriesPerPage) * entryBytes
      bytes.writeUInt32LE(run.offsets[j]!, entry)
      bytes.writeUInt32LE(run.tagHashes[j]!, entry + 4)
      bytes.writeDoubleLE(run.timesMs[j]!, entry + 8)
    }
  })
  for (let page = pagesAt; page < bytes.length; page += pageBytes) {
    bytes.writeUInt32LE(crc32(bytes.subarray(page, page + pageBytes - 4)), page + pageBytes - 4)
  }
  bytes.writeUInt32LE(directoryCrc(bytes, runs.length), 28)
  return bytes
}

/** Bytes of the beginning that hold the whole directory, as far as the first 32 bytes tell; null when they are no index file. */
export function directoryBytes(bytes: Buffer): number | null {
  if (bytes.length < fixedBytes || !bytes.subarray(0, 8).equals(magic) || bytes.readUInt32LE(8) !== version) return null
  return fixedBytes + bytes.readUInt32LE(20) * queueBytes
}

/** Null when damaged, of another version, or not as long as it says. */
export function decodeDirectory(bytes: Buffer, fileBytes: number): IndexDirectory | null {
  const needed = directoryBytes(bytes)
  if (needed === null || bytes.length < needed) return null
  const queues = bytes.readUInt32LE(20)
  if (bytes.readUInt32LE(28) !== directoryCrc(bytes, queues)) return null
  const entries = bytes.readUInt32LE(24)
  const pagesAt = pagesStart(queues)
  if (fileBytes !== pagesAt + Math.ceil(entries / entriesPerPage) * pageBytes) return null
  const runs = Array.from({ length: queues }, (_, i) => {
    const at = fixedBytes + i * queueBytes
    return {
      queueKey: bytes.readDoubleLE(at),
      firstOffset: bytes.readDoubleLE(at + 8),
      firstTimeMs: bytes.readDoubleLE(at + 16),
      row: bytes.readUInt32LE(at + 24),
      count: bytes.readUInt32LE(at + 28),
    }
  })
  return { segment: bytes.readUInt32LE(12), upTo: bytes.readUInt32LE(16), entries, runs, pagesAt }
}

export const pageIsSound = (page: Buffer): boolean =>
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

const pagesStart = (queues: number): number => Math.ceil((fixedBytes + queues * queueBytes) / pageBytes) * pageBytes

const directoryCrc = (bytes: Buffer, queues: number): number =>
  crc32(bytes.subarray(fixedBytes, fixedBytes + queues * queueBytes), crc32(bytes.subarray(0, 28)))
