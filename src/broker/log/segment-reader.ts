/**
 * Reads records of a log from its segment files: single ones by position, neighbours with one call,
 * and whole stretches in order. Every record's checksum, salt and (in a stretch) number is checked;
 * what is not sound is a `LogError` that names file and byte. Records still in memory are found by log.ts.
 */
import type { Disk } from '../../world/disk.ts'
import type { RecordCipher } from './contract.ts'
import { positionOf, segmentOf } from './contract.ts'
import { corrupt, LogError, noRecord } from './errors.ts'
import type { SegmentHeader } from './format.ts'
import {
  decodeHeader,
  headerBytes,
  payloadAt,
  payloadBytesAt,
  recordHeaderBytes,
  recordIsSound,
  segmentFileName,
  sequenceAt,
} from './format.ts'
import { sharedReadFiles } from './read-files.ts'
import { checkKey } from './recover.ts'

/** Neighbours closer than this are read with one call. */
const readGapBytes = 32 * 1024
const readSpanBytes = 512 * 1024
/** Read with a record whose length is not known yet. */
const readAheadBytes = 4096
const scanBytes = 512 * 1024
const readsAtOnce = 4

let readersMade = 0

export interface ScannedRecord {
  readonly position: number
  readonly payload: Uint8Array
}

interface Span {
  readonly segment: number
  readonly first: number
  last: number
  readonly end: number
  readonly members: number[]
}

export class SegmentReader {
  readonly #disk: Disk
  readonly #directory: string
  readonly #cipher: RecordCipher | null
  /** Where the segment's file ends for a reader; null when there is no such segment. */
  readonly #endOnDisk: (segment: number) => number | null
  /** Names this reader among the shared read files. */
  readonly #owner = String(readersMade++)
  readonly #salts = new Map<number, number>()

  constructor(
    disk: Disk,
    directory: string,
    cipher: RecordCipher | null,
    endOnDisk: (segment: number) => number | null,
  ) {
    this.#disk = disk
    this.#directory = directory
    this.#cipher = cipher
    this.#endOnDisk = endOnDisk
  }

  /** Avoids reading the header of a segment whose header is known. */
  know(header: SegmentHeader): void {
    this.#salts.set(header.segment, header.salt)
  }

  /** The segment is about to be deleted. */
  forget(segment: number): void {
    this.#salts.delete(segment)
    sharedReadFiles.close(this.#owner, this.#path(segment))
  }

  close(): void {
    sharedReadFiles.close(this.#owner)
  }

  /** The records at the positions, in their order. */
  async readMany(positions: readonly number[]): Promise<Uint8Array[]> {
    const found: Uint8Array[] = new Array(positions.length)
    const spans = this.#spans(positions)
    let next = 0
    const worker = async () => {
      for (let span = spans[next++]; span; span = spans[next++]) await this.#readSpan(span, positions, found)
    }
    await Promise.all(Array.from({ length: Math.min(readsAtOnce, spans.length) }, worker))
    return found
  }

  /** Positions close to each other, to be read with one call. */
  #spans(positions: readonly number[]): Span[] {
    const order = positions.map((_, i) => i).sort((a, b) => positions[a]! - positions[b]!)
    const spans: Span[] = []
    for (const i of order) {
      const position = positions[i]!
      const segment = segmentOf(position)
      const offset = position - positionOf(segment, 0)
      const end = this.#endOnDisk(segment)
      if (end === null || offset < headerBytes || offset + recordHeaderBytes > end)
        throw noRecord(this.#directory, position)
      const span = spans.at(-1)
      if (span?.segment === segment && offset - span.last <= readGapBytes && offset - span.first <= readSpanBytes) {
        span.last = offset
        span.members.push(i)
      } else spans.push({ segment, first: offset, last: offset, end, members: [i] })
    }
    return spans
  }

  async #readSpan(span: Span, positions: readonly number[], found: Uint8Array[]): Promise<void> {
    const salt = await this.#saltOf(span.segment)
    const stop = Math.min(span.last + recordHeaderBytes + readAheadBytes, span.end)
    const bytes = await this.#readBytes(span.segment, span.first, stop - span.first)
    for (const i of span.members) {
      const offset = positions[i]! - positionOf(span.segment, 0)
      let from = offset - span.first
      let record = bytes
      const needed = recordHeaderBytes + payloadBytesAt(bytes, from)
      if (from + needed > bytes.length && offset + needed <= span.end) {
        record = await this.#readBytes(span.segment, offset, needed)
        from = 0
      }
      if (!recordIsSound(record, from, salt)) throw this.#unreadable(span.segment, offset)
      found[i] = this.opened(payloadAt(record, from), positions[i]!)
    }
  }

  /** The records of one segment that begin from one position on and below another, many at a time; the segment ends at `end`. */
  async *scan(segment: number, from: number, stop: number, end: number): AsyncGenerator<ScannedRecord[]> {
    const base = positionOf(segment, 0)
    const salt = await this.#saltOf(segment)
    let at = from - base
    let sequence = -1
    /** Bytes of a record of which the last read held only the beginning. */
    let cut = 0
    while (at < stop - base) {
      const bytes = await this.#readBytes(
        segment,
        at,
        Math.min(Math.max(cut, Math.min(scanBytes, stop - base - at)), end - base - at),
      )
      const records: ScannedRecord[] = []
      let local = 0
      cut = 0
      while (local < bytes.length && at + local < stop - base) {
        const left = bytes.length - local
        const needed = left < recordHeaderBytes ? recordHeaderBytes : recordHeaderBytes + payloadBytesAt(bytes, local)
        if (needed > left) {
          if (base + at + local + needed > end) {
            if (records.length > 0) yield records
            throw this.#unreadable(segment, at + local)
          }
          cut = needed
          break
        }
        const isNext = sequence < 0 || sequenceAt(bytes, local) === sequence
        if (!isNext || !recordIsSound(bytes, local, salt)) {
          // The intact records before it are returned first.
          if (records.length > 0) yield records
          throw this.#unreadable(segment, at + local)
        }
        sequence = sequenceAt(bytes, local) + 1
        const position = base + at + local
        records.push({ position, payload: this.opened(payloadAt(bytes, local), position) })
        local += needed
      }
      at += local
      if (records.length > 0) yield records
    }
  }

  async #readBytes(segment: number, offset: number, count: number): Promise<Buffer> {
    const path = this.#path(segment)
    const bytes = Buffer.allocUnsafe(count)
    const read = await sharedReadFiles.use(this.#disk, this.#owner, path, (file) => file.read(bytes, offset))
    if (read < count) throw corrupt(path, offset + read, `the file ends here, and the log goes on`)
    return bytes
  }

  async #saltOf(segment: number): Promise<number> {
    const known = this.#salts.get(segment)
    if (known !== undefined) return known
    const header = decodeHeader(await this.#readBytes(segment, 0, headerBytes), this.#path(segment))
    if (!header) throw corrupt(this.#path(segment), 0, 'its header is unreadable')
    checkKey(this.#path(segment), header, this.#cipher)
    this.#salts.set(segment, header.salt)
    return header.salt
  }

  /** The record as it was written, before the cipher. */
  opened(payload: Buffer, position: number): Uint8Array {
    if (!this.#cipher) return payload
    try {
      return this.#cipher.open(payload)
    } catch (cause) {
      const segment = segmentOf(position)
      const message = `${this.#path(segment)}: the record at byte ${position - positionOf(segment, 0)} cannot be decrypted`
      throw new LogError('wrong-key', message, { cause })
    }
  }

  #path(segment: number): string {
    return `${this.#directory}/${segmentFileName(segment)}`
  }

  #unreadable(segment: number, offset: number): LogError {
    return corrupt(this.#path(segment), offset, 'no whole record starts there')
  }
}
