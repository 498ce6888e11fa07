/**
 * The segment log: records in order, durable in batches, found again by position.
 *
 * `write` encodes into memory at once and returns the positions; one loop, the pump, takes what has
 * come in, writes it with one call, syncs it with another, and resolves `durable`. What comes in
 * meanwhile is the next commit: the speed of the disk sets the size of batches, not a timer.
 *
 * It must never acknowledge what is not synced, never overwrite what was, and never go on after a
 * failed write or sync: from then on every call is refused with that first error, and only opening
 * the log again (which reads what the disk really holds) ends it. One process owns the folder; the
 * lock is not here. The bytes are in format.ts, reading from the disk in segment-reader.ts, recovery in
 * recover.ts, the reasons in docs/decisions/0001-segment-log.md.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../../model/assert.ts'
import type { Disk, DiskFile } from '../../world/disk.ts'
import { previousCheckpointPosition, saveCheckpoint } from './checkpoint.ts'
import type { OpenedLog, OpenLogOptions, RecordCipher, SealedSegment, SegmentLog } from './contract.ts'
import { positionOf, segmentOf } from './contract.ts'
import { LogError, noRecord } from './errors.ts'
import type { SegmentHeader } from './format.ts'
import {
  encodeHeader,
  finishRecord,
  headerBytes,
  marksOf,
  maxSegment,
  payloadAt,
  payloadBytesAt,
  recordHeaderBytes,
  segmentFileName,
  startRecord,
} from './format.ts'
import { Block, sharedRecentRecords } from './recent.ts'
import type { RecoveredLog } from './recover.ts'
import { keyCheckText, recoverLog } from './recover.ts'
import { SegmentReader } from './segment-reader.ts'
import { aTurnEach } from './yield.ts'

export const defaultSegmentBytes = 64 * 2 ** 20
/** Largest commit in bytes, so that under high load no caller waits for one very long write. */
const maxCommitBytes = 4 * 2 ** 20
const firstBlockBytes = 16 * 1024
const largestBlockBytes = 2 ** 20
/**
 * Opens the log in a folder, which need not exist: the first write makes it. Fails with a `LogError`
 * (`corrupt`, `wrong-key`) that names the file, and then has changed nothing.
 */
export async function openLog(options: OpenLogOptions): Promise<OpenedLog> {
  const segmentBytes = options.segmentBytes ?? defaultSegmentBytes
  if (segmentBytes < 512 || segmentBytes > 2 ** 31) throw new RangeError('segmentBytes must be between 512 and 2^31')
  const recovered = await recoverLog(
    options.disk,
    options.directory,
    options.cipher ?? null,
    options.turns ?? aTurnEach,
  )
  const { checkpoint, report } = recovered
  return {
    log: new Log({ ...options, segmentBytes }, recovered),
    checkpoint: checkpoint && { blob: checkpoint.blob, position: checkpoint.position },
    recovery: report,
  }
}

/** The segment that takes records, or will once the pump has made its file. */
interface Segment {
  readonly header: SegmentHeader
  /** Where the next record goes. */
  end: number
  file: DiskFile | null
  exists: boolean
}

/** What becomes durable together: whole batches, back to back in one segment. */
interface Commit {
  readonly segment: Segment
  readonly from: number
  end: number
  /** Sequence number of the record after the commit. */
  nextSequence: number
  readonly blocks: Block[]
  readonly durable: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

class Log implements SegmentLog {
  readonly #disk: Disk
  readonly #directory: string
  readonly #cipher: RecordCipher | null
  readonly #options: OpenLogOptions & { readonly segmentBytes: number }
  readonly #maxWaitingBytes: number
  readonly #reader: SegmentReader

  /** Every segment before the last, oldest first and without gaps; those from `#newestFile` on are still being written. */
  readonly #sealed: { segment: number; end: number }[]
  #last: Segment
  #newestFile: number
  /** The segment whose file is open for writing. */
  #writing: Segment | null = null
  #nextSequence: number

  readonly #queue: Commit[] = []
  #openCommit: Commit | null = null
  #pumping: Promise<void> | null = null
  #waitingBytes = 0
  #durableEnd: number
  #durableSequence: number
  #failed: LogError | null = null
  #closed: Promise<void> | null = null

  /** Recent blocks per segment, in order of their start. */
  readonly #recent = new Map<number, Block[]>()
  #block: Block | null = null
  #nextBlockBytes = firstBlockBytes

  readonly #sealedListeners: ((segment: SealedSegment) => void)[] = []
  #joining: (() => void) | null = null
  #maintenance: Promise<unknown> = Promise.resolve()
  #checkpointPosition: number | null
  #checkpointFrom: 'current' | 'previous' | 'none'
  /** Undefined until it is first asked for. */
  #previousCheckpointPosition: number | null | undefined

  constructor(options: OpenLogOptions & { readonly segmentBytes: number }, recovered: RecoveredLog) {
    this.#options = options
    this.#disk = options.disk
    this.#directory = options.directory
    this.#cipher = options.cipher ?? null
    this.#maxWaitingBytes = options.maxWaitingBytes ?? 64 * 2 ** 20
    this.#sealed = [...recovered.sealed]
    this.#nextSequence = recovered.nextSequence
    this.#durableSequence = recovered.nextSequence
    this.#last = recovered.last
      ? { header: recovered.last.header, end: recovered.last.end, file: null, exists: true }
      : this.#segmentAfter(null)
    this.#newestFile = recovered.last?.header.segment ?? 0
    this.#reader = new SegmentReader(this.#disk, this.#directory, this.#cipher, (segment) => this.#endOnDisk(segment))
    this.#reader.know(this.#last.header)
    this.#durableEnd = this.end
    this.#checkpointPosition = recovered.checkpoint?.position ?? null
    this.#checkpointFrom = recovered.checkpointFrom
    this.#previousCheckpointPosition = recovered.checkpointFrom === 'current' ? undefined : this.#checkpointPosition
  }

  get first(): number {
    return positionOf(this.#sealed[0]?.segment ?? this.#last.header.segment, headerBytes)
  }

  get end(): number {
    return positionOf(this.#last.header.segment, this.#last.end)
  }

  get durableEnd(): number {
    return this.#durableEnd
  }

  get failed(): Error | null {
    return this.#failed
  }

  segments(): readonly (SealedSegment & { readonly bytes: number })[] {
    return this.#sealed
      .filter(({ segment }) => segment < this.#newestFile)
      .map(({ segment, end }) => ({ ...sealedSegment(segment, end), bytes: end }))
  }

  onSealed(listener: (segment: SealedSegment) => void): void {
    this.#sealedListeners.push(listener)
  }

  beforeCommit(join: () => void): void {
    this.#joining = join
  }

  async append(records: readonly Uint8Array[]): Promise<readonly number[]> {
    const { positions, durable } = this.write(records)
    await durable
    return positions
  }

  write(records: readonly Uint8Array[]): { positions: readonly number[]; durable: Promise<void> } {
    this.#refuseWhenOver()
    if (records.length === 0) return { positions: [], durable: this.#allDurable() }
    const payloads = this.#cipher ? records.map((record) => this.#cipher!.seal(record)) : records
    let bytes = 0
    for (const payload of payloads) bytes += recordHeaderBytes + payload.length
    this.#refuseTooMuch(bytes)
    if (this.#last.end + bytes > this.#options.segmentBytes) this.#roll()
    const commit = this.#commitFor(bytes)
    const positions = this.#encode(payloads, commit)
    this.#waitingBytes += bytes
    this.#pumping ??= this.#pump()
    return { positions, durable: commit.durable }
  }

  async read(position: number): Promise<Uint8Array> {
    this.#refuseWhenOver()
    return this.#fromMemory(position) ?? (await this.#reader.readMany([position]))[0]!
  }

  async readMany(positions: readonly number[]): Promise<Uint8Array[]> {
    this.#refuseWhenOver()
    const found: Uint8Array[] = new Array(positions.length)
    const cold: number[] = []
    for (let i = 0; i < positions.length; i++) {
      const recent = this.#fromMemory(positions[i]!)
      if (recent) found[i] = recent
      else cold.push(i)
    }
    if (cold.length === 0) return found
    const read = await this.#reader.readMany(cold.map((i) => positions[i]!))
    for (let i = 0; i < cold.length; i++) found[cold[i]!] = read[i]!
    return found
  }

  async *scan(from: number): AsyncGenerator<{ readonly position: number; readonly payload: Uint8Array }> {
    for await (const records of this.scanChunks(from)) yield* records
  }

  /** As `scan`, many records at a time, those that begin below a position: several times faster for millions of them. */
  async *scanChunks(
    from: number,
    below: number = this.end,
  ): AsyncGenerator<{ readonly position: number; readonly payload: Uint8Array }[]> {
    this.#refuseWhenOver()
    if (below > this.#durableEnd) await this.#allDurable()
    const start = Math.max(from, this.first)
    for (const { segment, end } of [...this.#sealed, { segment: this.#last.header.segment, end: this.#last.end }]) {
      const segmentStart = positionOf(segment, headerBytes)
      const stop = Math.min(below, positionOf(segment, end))
      if (stop <= start || stop <= segmentStart) continue
      yield* this.#reader.scan(segment, Math.max(start, segmentStart), stop, positionOf(segment, end))
    }
  }

  checkpoint(blob: Uint8Array | Iterable<Uint8Array>, position: number): Promise<void> {
    return this.#maintain(async () => {
      if (position > this.end) throw new RangeError(`A checkpoint at ${position} lies beyond the log's end ${this.end}`)
      if (position > this.#durableEnd) await this.#allDurable()
      if (this.#checkpointFrom === 'none') await this.#disk.makeDirectory(this.#directory)
      const now = {
        pieces: blob instanceof Uint8Array ? [blob] : blob,
        position,
        durableEnd: this.#durableEnd,
        sequence: this.#durableSequence,
        sealed: this.#sealed.filter(({ segment }) => segment < segmentOf(this.#durableEnd)),
      }
      await saveCheckpoint(this.#disk, this.#directory, now, {
        cipher: this.#cipher,
        replaces: this.#checkpointFrom === 'current',
      })
      if (this.#checkpointFrom === 'current') this.#previousCheckpointPosition = this.#checkpointPosition
      this.#checkpointFrom = 'current'
      this.#checkpointPosition = position
    })
  }

  trim(position: number): Promise<void> {
    return this.#maintain(async () => {
      const below = Math.min(position, await this.#neededByCheckpoints())
      while (this.#sealed.length > 0) {
        const { segment, end } = this.#sealed[0]!
        if (positionOf(segment, end) > below || segment >= this.#newestFile) return
        // Oldest first, each made durable before the next: a power cut must not leave a gap.
        const path = this.#path(segment)
        this.#sealed.shift()
        for (const block of this.#recent.get(segment) ?? []) sharedRecentRecords.remove(block)
        this.#recent.delete(segment)
        this.#reader.forget(segment)
        await this.#disk.unlink(path)
        await this.#disk.syncDirectory(this.#directory)
      }
    })
  }

  async seal(): Promise<void> {
    this.#refuseWhenOver()
    if (this.#last.end === headerBytes) return this.#allDurable()
    this.#roll()
    // A commit without records: making the next segment's file is all there is to do.
    const { durable } = this.#commitFor(0)
    this.#pumping ??= this.#pump()
    await durable
  }

  close(): Promise<void> {
    this.#closed ??= this.#end()
    return this.#closed
  }

  forgetBlock(block: Block): void {
    if (this.#block === block) {
      this.#block = null
      this.#nextBlockBytes = firstBlockBytes
    }
    const blocks = this.#recent.get(block.segment)
    if (!blocks) return
    const at = blocks.indexOf(block)
    if (at >= 0) blocks.splice(at, 1)
    if (blocks.length === 0) this.#recent.delete(block.segment)
  }

  // Writing ------------------------------------------------------------------------------------

  #refuseWhenOver(): void {
    if (this.#failed) throw this.#failed
    if (this.#closed) throw new LogError('closed', `The log in ${this.#directory} is closed`)
  }

  #refuseTooMuch(bytes: number): void {
    const most = this.#options.segmentBytes - headerBytes
    if (bytes > most) {
      throw new LogError('too-large', `A batch of ${bytes} bytes does not fit in a segment, which holds ${most}`)
    }
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > this.#maxWaitingBytes) {
      throw new LogError(
        'busy',
        `${this.#waitingBytes} bytes wait for the disk; no more is taken before some of it is durable`,
      )
    }
  }

  #roll(): void {
    const { header, end } = this.#last
    const next = this.#segmentAfter(this.#last)
    this.#sealed.push({ segment: header.segment, end })
    this.#last = next
    this.#reader.know(next.header)
    this.#openCommit = null
    this.#block = null
  }

  #segmentAfter(previous: Segment | null): Segment {
    const segment = (previous?.header.segment ?? 0) + 1
    if (segment > maxSegment) throw new LogError('too-large', 'The log has used all its segment numbers')
    const keyCheck = this.#cipher ? this.#cipher.seal(keyCheckText) : null
    const header = {
      segment,
      salt: this.#salt(segment),
      firstSequence: this.#nextSequence,
      previousEnd: previous?.end ?? 0,
      keyCheck,
    }
    return { header, end: headerBytes, file: null, exists: false }
  }

  #salt(segment: number): number {
    const { random, clock } = this.#options
    if (random) return Buffer.from(random.bytes(4)).readUInt32LE(0)
    return crc32(`${this.#directory} ${segment} ${clock.now()} ${clock.monotonic()}`)
  }

  #commitFor(bytes: number): Commit {
    const open = this.#openCommit
    if (open && open.end - open.from + bytes <= maxCommitBytes) return open
    let resolve!: () => void
    let reject!: (error: Error) => void
    const durable = new Promise<void>((yes, no) => {
      resolve = yes
      reject = no
    })
    // A caller that does not await `durable` must not cause an unhandled rejection.
    durable.catch(() => {})
    const from = this.#last.end
    const nextSequence = this.#nextSequence
    const commit = { segment: this.#last, from, end: from, nextSequence, blocks: [], durable, resolve, reject }
    this.#queue.push(commit)
    this.#openCommit = commit
    return commit
  }

  #encode(payloads: readonly Uint8Array[], commit: Commit): number[] {
    const segment = this.#last
    const { salt } = segment.header
    const positions: number[] = new Array(payloads.length)
    const base = positionOf(segment.header.segment, 0)
    for (let i = 0; i < payloads.length; i++) {
      const payload = payloads[i]!
      const bytes = recordHeaderBytes + payload.length
      const block = this.#blockFor(bytes)
      if (commit.blocks.at(-1) !== block) commit.blocks.push(block)
      startRecord(block.bytes, block.used, payload, this.#nextSequence++, marksOf(salt, i === payloads.length - 1))
      block.used += bytes
      positions[i] = base + segment.end
      segment.end += bytes
    }
    commit.end = segment.end
    commit.nextSequence = this.#nextSequence
    return positions
  }

  #blockFor(bytes: number): Block {
    if (this.#block && this.#block.bytes.length - this.#block.used >= bytes) return this.#block
    const { header, end } = this.#last
    const block = new Block(this, header.segment, end, Math.max(this.#nextBlockBytes, bytes))
    this.#nextBlockBytes = Math.min(this.#nextBlockBytes * 2, largestBlockBytes)
    const blocks = this.#recent.get(header.segment)
    if (blocks) blocks.push(block)
    else this.#recent.set(header.segment, [block])
    this.#block = block
    sharedRecentRecords.add(block)
    return block
  }

  /** Runs while there is something to commit. Never rejects: a failure stops the log. */
  async #pump(): Promise<void> {
    // Writes of the same turn of the event loop belong to the same commit.
    await null
    try {
      for (let commit = this.#queue[0]; commit; commit = this.#queue[0]) {
        this.#joining?.()
        if (this.#openCommit === commit) this.#openCommit = null
        await this.#commit(commit)
        this.#queue.shift()
        commit.resolve()
      }
    } catch (cause) {
      this.#fail(cause)
    } finally {
      this.#pumping = null
    }
  }

  async #commit(commit: Commit): Promise<void> {
    const { segment, from, end } = commit
    assert(positionOf(segment.header.segment, from) >= this.#durableEnd, 'what is written lies behind what is durable')
    assert(end >= from && end <= this.#options.segmentBytes, 'a commit lies within its segment')
    const chunks = commit.blocks.map((block) => {
      const first = Math.max(from - block.start, 0)
      const stop = Math.min(end - block.start, block.used)
      for (let at = first; at < stop; ) at = finishRecord(block.bytes, at, from, segment.header.salt)
      return block.bytes.subarray(first, stop)
    })
    const file = segment.file ?? (await this.#openForWriting(segment))
    if (end > from) {
      await file.write(chunks, from)
      await file.datasync()
    }
    for (const block of commit.blocks) block.durable = Math.min(end - block.start, block.bytes.length)
    this.#waitingBytes -= end - from
    assert(this.#waitingBytes >= 0, 'no fewer than no bytes wait for the disk')
    assert(commit.nextSequence >= this.#durableSequence, 'sequence numbers of records increase')
    this.#durableEnd = positionOf(segment.header.segment, end)
    this.#durableSequence = commit.nextSequence
  }

  async #openForWriting(segment: Segment): Promise<DiskFile> {
    const path = this.#path(segment.header.segment)
    const previous = this.#writing
    this.#writing = segment
    if (segment.exists) {
      segment.file = await this.#disk.open(path, 'write')
      return segment.file
    }
    // All of the previous segment is durable: the pump finishes a segment before it begins the next.
    await previous?.file?.close()
    if (this.#newestFile === 0) await this.#disk.makeDirectory(this.#directory)
    const file = await this.#disk.open(path, 'create')
    segment.file = file
    segment.exists = true
    // The header first: a file with more than a header has a durable one, which recovery relies on.
    await file.write([encodeHeader(segment.header)], 0)
    await Promise.all([file.datasync(), this.#disk.syncDirectory(this.#directory)])
    this.#newestFile = segment.header.segment
    if (segment.header.previousEnd > 0) {
      this.#announce(sealedSegment(segment.header.segment - 1, segment.header.previousEnd))
    }
    return file
  }

  /** A listener that throws is a programming error: it is rethrown outside the log, which continues. */
  #announce(sealed: SealedSegment): void {
    for (const listener of this.#sealedListeners) {
      try {
        listener(sealed)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  #fail(cause: unknown): void {
    if (this.#failed) return
    const { code, message } = cause as { code?: string; message?: string }
    const advice = code === 'ENOSPC' ? 'The disk is full: free some space' : 'Check the disk'
    this.#failed = new LogError(
      'failed',
      `The log in ${this.#directory} has stopped, because the disk refused a write: ${message}. ${advice}; the instance then goes on by itself, and nothing acknowledged is lost.`,
      { cause },
    )
    for (const commit of this.#queue.splice(0)) commit.reject(this.#failed)
    this.#openCommit = null
    void this.#release()
  }

  #allDurable(): Promise<void> {
    if (this.#failed) return Promise.reject(this.#failed)
    return this.#queue.at(-1)?.durable ?? Promise.resolve()
  }

  async #end(): Promise<void> {
    while (this.#pumping) await this.#pumping
    await this.#maintenance
    await this.#release()
  }

  async #release(): Promise<void> {
    this.#reader.close()
    for (const blocks of this.#recent.values()) for (const block of blocks) sharedRecentRecords.remove(block)
    this.#recent.clear()
    this.#block = null
    const file = this.#writing?.file
    this.#writing = null
    // Everything was synced before, so a failed close is ignored.
    await file?.close().catch(() => {})
  }

  /** Checkpoints and trims run one after another. */
  #maintain<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new LogError('closed', `The log in ${this.#directory} is closed`))
    const run = this.#maintenance.then(() => {
      if (this.#failed) throw this.#failed
      return task()
    })
    this.#maintenance = run.catch(() => {})
    return run
  }

  /** Both checkpoints on disk must stay replayable, for opening may have to fall back to the older one. */
  async #neededByCheckpoints(): Promise<number> {
    if (this.#checkpointPosition === null) return Number.POSITIVE_INFINITY
    if (this.#previousCheckpointPosition === undefined) {
      this.#previousCheckpointPosition = await previousCheckpointPosition(
        this.#disk,
        this.#directory,
        this.#cipher,
        this.#options.turns ?? aTurnEach,
      )
    }
    return Math.min(this.#checkpointPosition, this.#previousCheckpointPosition ?? Number.POSITIVE_INFINITY)
  }

  // Reading ------------------------------------------------------------------------------------

  #fromMemory(position: number): Uint8Array | null {
    const segment = segmentOf(position)
    const blocks = this.#recent.get(segment)
    if (!blocks) return null
    const offset = position - positionOf(segment, 0)
    let low = 0
    let high = blocks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (blocks[middle]!.start <= offset) low = middle
      else high = middle - 1
    }
    const block = blocks[low]!
    const at = offset - block.start
    if (at < 0 || at + recordHeaderBytes > block.used) return null
    if (at + recordHeaderBytes + payloadBytesAt(block.bytes, at) > block.used) throw noRecord(this.#directory, position)
    return this.#reader.opened(payloadAt(block.bytes, at), position)
  }

  /** Where the segment's durable records end; null when it is not there. */
  #endOf(segment: number): number | null {
    if (segment === this.#last.header.segment) return this.#last.end
    const first = this.#sealed[0]
    return first === undefined ? null : (this.#sealed[segment - first.segment]?.end ?? null)
  }

  /** Where the segment's file may end for a reader: what is not durable yet is in memory only, and reading ahead into it would find nothing. */
  #endOnDisk(segment: number): number | null {
    const end = this.#endOf(segment)
    return end !== null && segment === segmentOf(this.#durableEnd)
      ? Math.min(end, this.#durableEnd - positionOf(segment, 0))
      : end
  }

  #path(segment: number): string {
    return `${this.#directory}/${segmentFileName(segment)}`
  }
}

const sealedSegment = (segment: number, end: number): SealedSegment => ({
  segment,
  first: positionOf(segment, headerBytes),
  end: positionOf(segment, end),
})
