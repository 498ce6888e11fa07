/**
 * The index of each queue: from offset to position in the log, tag hash and store time.
 *
 * Entries of the segment being written are in memory, in typed arrays of sixteen bytes an entry.
 * When the segment is sealed they go to its index file, and memory keeps 32 bytes a queue and
 * segment, however many messages that is. A lookup is a search among those and one read of a page,
 * or none when the page was read lately.
 *
 * An index file holds nothing that its segment does not: one that is missing or damaged is
 * made again from its segment, with `decode`. What must never happen is an entry that is skipped, so
 * adding with a gap is refused, and adding to a sealed segment too.
 */
import type { Disk } from '../../world/disk.ts'
import type { IndexEntries, OpenedIndex, QueueIndex, RecordCipher, SealedSegment, SegmentLog } from './contract.ts'
import { positionOf, segmentOf } from './contract.ts'
import { LogError } from './errors.ts'
import type { IndexDirectory, RunToWrite } from './index-file.ts'
import { entriesPerPage, entryOffset, entryTagHash, entryTimeMs } from './index-file.ts'
import { IndexFiles } from './index-files.ts'
import { asRun, Chunk, FoundEntries, gather, lastAtMost, lowerBound, QueueEntries } from './queue-entries.ts'
import { aTurnEach, type LoopBudget } from './yield.ts'

/** What a record says about the queues it adds to. */
export interface DecodedEntry {
  readonly queueKey: number
  readonly offset: number
  /** An unsigned 32-bit number. */
  readonly tagHash: number
  readonly storeTimeMs: number
}

export interface OpenQueueIndexOptions {
  readonly disk: Disk
  /** The log's folder; index files lie beside the segments. */
  readonly directory: string
  readonly log: SegmentLog
  /** The entries of one record of the log, for making a lost index file again; none for records that are no messages. */
  readonly decode: (payload: Uint8Array) => readonly DecodedEntry[]
  /** The log's, so that what an index file says about encrypted records is encrypted too. */
  readonly cipher?: RecordCipher | null
  /** A turn for each portion unless given. */
  readonly turns?: LoopBudget
}

/** What `openQueueIndex` gives: the contract, and what only a persistent index can do. */
export interface PersistentQueueIndex extends QueueIndex {
  /**
   * Saves what is in memory of the unsealed segment and durable in the log, so that the next opening
   * need not read that segment. Worth calling with each checkpoint and before `close`.
   */
  flush(): Promise<void>
  /** The first offset stored at `timeMs` or later; the offset after the last when there is none. Store times must not fall within a queue. */
  offsetAtTime(queueKey: number, timeMs: number): Promise<number>
  /** Time of the first message in a segment that is not sealed; null when none is known. */
  firstTimeMs(segment: number): number | null
  /** Memory held, in bytes, without the shared page cache. */
  memoryBytes(): number
  close(): Promise<void>
}

/** Queues looked at before others run. */
const queuesPerYield = 2_048
/** Records of a segment whose index file is made again, before others run. */
const recordsPerYield = 512
/** Entries taken back at opening before others run. */
const entriesPerYield = 2_048

export async function openQueueIndex(
  options: OpenQueueIndexOptions,
): Promise<OpenedIndex & { readonly index: PersistentQueueIndex }> {
  const index = new Index(options)
  const sealedBelow = await index.open()
  return { index, sealedBelow }
}

class Index implements PersistentQueueIndex {
  readonly #directory: string
  readonly #log: SegmentLog
  readonly #decode: OpenQueueIndexOptions['decode']
  readonly #turns: LoopBudget
  readonly #queues = new Map<number, QueueEntries>()
  readonly #files: IndexFiles
  readonly #remaking = new Map<number, Promise<void>>()
  #sealedThrough = 0
  /** Sealed segments whose index file is still to be written; more than one only after failed writes. */
  readonly #toSeal: SealedSegment[] = []
  #work: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(options: OpenQueueIndexOptions) {
    this.#directory = options.directory
    this.#log = options.log
    this.#decode = options.decode
    this.#turns = options.turns ?? aTurnEach
    const { disk, directory, cipher = null } = options
    this.#files = new IndexFiles({ disk, directory, cipher, turns: this.#turns })
  }

  /** Answers the position from which on entries must be added again. */
  async open(): Promise<number> {
    const segments = this.#log.segments()
    const last = segmentOf(this.#log.end)
    const found = new Set<number>()
    for (const segment of await this.#files.list()) {
      if (segment >= segmentOf(this.#log.first) && segment <= last) found.add(segment)
      else await this.#files.remove(segment)
    }
    for (const { segment, end } of segments) {
      const upTo = end - positionOf(segment, 0)
      const directory = found.has(segment) ? await this.#files.readDirectory(segment) : null
      this.#takeDirectory(end, directory?.upTo === upTo ? directory : await this.#remake(segment, end))
    }
    return found.has(last) ? this.#loadUnsealed(last) : positionOf(last, 0)
  }

  add(queueKey: number, offset: number, position: number, tagHash: number, storeTimeMs: number): void {
    const segment = segmentOf(position)
    let queue = this.#queues.get(queueKey)
    if (!queue) {
      queue = new QueueEntries(offset)
      this.#queues.set(queueKey, queue)
    }
    if (offset < queue.next) return
    if (offset > queue.next) throw new Error(`Offset ${offset} of queue ${queueKey} does not follow ${queue.next - 1}`)
    if (segment <= this.#sealedThrough) {
      throw new Error(`Offset ${offset} of queue ${queueKey} lies in segment ${segment}, which is sealed`)
    }
    let chunk = queue.chunks.at(-1)
    if (chunk?.segment !== segment) {
      chunk = new Chunk(segment, offset)
      queue.chunks.push(chunk)
    }
    chunk.add(position - positionOf(segment, 0), tagHash, storeTimeMs)
    queue.next = offset + 1
  }

  lookup(queueKey: number, from: number, count: number): Promise<IndexEntries> | IndexEntries {
    const queue = this.#queues.get(queueKey)
    if (!queue) return new FoundEntries(from, 0)
    const start = Math.max(from, queue.min)
    const found = new FoundEntries(start, Math.max(0, Math.min(count, queue.next - start)))
    if (found.count === 0) return found
    if (start >= queue.sealedEnd) {
      gather(queue, found, 0)
      return found
    }
    return this.#lookupSealed(queueKey, from, count)
  }

  drop(queueKey: number): void {
    this.#queues.delete(queueKey)
  }

  minimumOffset(queueKey: number): number {
    return this.#queues.get(queueKey)?.min ?? 0
  }

  trimBelow(position: number): Promise<Map<number, number>> {
    return this.#inTurn(async () => {
      const minimums = new Map<number, number>()
      const wholly = this.#files.whollyBelow(position)
      let looked = 0
      for (const [queueKey, queue] of this.#queues) {
        if (++looked % queuesPerYield === 0) await this.#yieldWhenSpent()
        if (positionOf(queue.firstSegment, 0) >= position) continue
        const found = this.#firstFrom(queue, position)
        const min = typeof found === 'number' ? found : await found
        const kept = queue.runSegments.findIndex((segment) => !wholly.has(segment))
        queue.removeRuns(kept < 0 ? queue.runSegments.length : kept)
        if (min <= queue.min) continue
        queue.min = min
        minimums.set(queueKey, min)
      }
      for (const segment of wholly) await this.#files.remove(segment)
      return minimums
    })
  }

  /** A failed write loses nothing: the entries stay in memory, and the next call retries. */
  seal(sealed: SealedSegment): Promise<void> {
    if (sealed.segment > this.#sealedThrough) {
      this.#sealedThrough = sealed.segment
      this.#toSeal.push(sealed)
    }
    return this.#inTurn(async () => {
      for (let next = this.#toSeal[0]; next; next = this.#toSeal[0]) {
        await this.#seal(next)
        this.#toSeal.shift()
      }
    })
  }

  flush(): Promise<void> {
    return this.#inTurn(async () => {
      const durable = this.#log.durableEnd
      const segment = segmentOf(durable)
      if (segment <= this.#sealedThrough) return
      const upTo = durable - positionOf(segment, 0)
      const runs = await this.#runsOf(segment, upTo)
      if (runs.length > 0) await this.#files.write(segment, upTo, runs)
    })
  }

  async offsetAtTime(queueKey: number, timeMs: number): Promise<number> {
    const queue = this.#queues.get(queueKey)
    if (!queue) return 0
    for (const chunk of queue.chunks.toReversed()) {
      if (chunk.timesMs[0]! >= timeMs && chunk.first > queue.min) continue
      return Math.max(queue.min, chunk.first + lowerBound(chunk.timesMs, chunk.count, timeMs))
    }
    const run = lowerBound(queue.runTimes, queue.runTimes.length, timeMs) - 1
    if (run < 0) return queue.min
    let low = Math.max(queue.runFirsts[run]!, queue.min)
    let high = queue.runEnd(run)
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const entry = await this.lookup(queueKey, middle, 1)
      if (entry.count > 0 && entry.from === middle && entry.storeTimeMs(0) < timeMs) low = middle + 1
      else high = middle
    }
    return low
  }

  firstTimeMs(segment: number): number | null {
    let first: number | null = null
    for (const queue of this.#queues.values()) {
      const time = queue.chunks.find((chunk) => chunk.segment === segment)?.timesMs[0]
      if (time !== undefined && (first === null || time < first)) first = time
    }
    return first
  }

  memoryBytes(): number {
    let bytes = 0
    for (const queue of this.#queues.values()) {
      bytes += 200 + queue.runSegments.length * 32
      for (const chunk of queue.chunks) bytes += 150 + chunk.offsets.length * 16
    }
    return bytes + this.#files.count * 100
  }

  async close(): Promise<void> {
    await this.#work
    this.#closed = true
    this.#files.close()
    this.#queues.clear()
  }

  // Sealed entries ------------------------------------------------------------------------------

  async #lookupSealed(queueKey: number, from: number, count: number): Promise<IndexEntries> {
    for (let attempt = 0; ; attempt++) {
      const queue = this.#queues.get(queueKey)
      if (!queue) return new FoundEntries(from, 0)
      const start = Math.max(from, queue.min)
      const found = new FoundEntries(start, Math.max(0, Math.min(count, queue.next - start)))
      let filled = 0
      let segment = 0
      try {
        while (filled < found.count && start + filled < queue.sealedEnd) {
          const run = lastAtMost(queue.runFirsts, start + filled)
          if (run < 0) throw new LogError('no-record', `Queue ${queueKey} was trimmed`)
          segment = queue.runSegments[run]!
          const length = Math.min(queue.runEnd(run) - start - filled, found.count - filled)
          await this.#files.readRows(
            segment,
            queue.runRows[run]! + start + filled - queue.runFirsts[run]!,
            length,
            found,
            filled,
          )
          filled += length
        }
        if (this.#queues.get(queueKey) === queue && queue.min <= start) {
          if (filled < found.count) gather(queue, found, filled)
          return found
        }
      } catch (error) {
        // Trimmed while it was read: the next round sees the new minimum. Damaged: made again from its segment.
        if (attempt >= 2 || this.#closed) throw error
        if (this.#files.get(segment) || this.#remaking.has(segment)) await this.#mend(segment)
      }
    }
  }

  /** At most one rebuild per file; concurrent callers await the same one. */
  #mend(segment: number): Promise<void> {
    const running = this.#remaking.get(segment)
    if (running) return running
    const mending = this.#inTurn(() => this.#mendNow(segment)).finally(() => this.#remaking.delete(segment))
    this.#remaking.set(segment, mending)
    return mending
  }

  /**
   * Row numbers may change, because queues that were dropped since are still in the segment: no read may happen
   * between the new file and the new rows.
   */
  async #mendNow(segment: number): Promise<void> {
    const file = this.#files.get(segment)
    if (!file) return
    this.#files.withdraw(segment)
    try {
      const { pagesAt, runs } = await this.#remake(segment, file.end)
      for (const { queueKey, row, firstOffset } of runs) {
        const queue = this.#queues.get(queueKey)
        const run = queue?.runSegments.indexOf(segment) ?? -1
        if (queue && queue.runFirsts[run] === firstOffset) queue.runRows[run] = row
      }
      this.#files.add(segment, { end: file.end, pagesAt })
    } catch (error) {
      this.#files.add(segment, file)
      throw error
    }
  }

  async #seal({ segment, end }: SealedSegment): Promise<void> {
    const runs = await this.#runsOf(segment, Number.POSITIVE_INFINITY)
    const directory = await this.#files.write(segment, end - positionOf(segment, 0), runs)
    this.#files.add(segment, { end, pagesAt: directory.pagesAt })
    let moved = 0
    for (const run of directory.runs) {
      if (++moved % queuesPerYield === 0) await this.#yieldWhenSpent()
      const queue = this.#queues.get(run.queueKey)
      // Dropped meanwhile, or dropped and begun anew.
      if (queue?.chunks[0]?.segment !== segment || queue.chunks[0].first !== run.firstOffset) continue
      queue.chunks.shift()
      queue.addRun(segment, run.firstOffset, run.firstTimeMs, run.row)
    }
  }

  #takeDirectory(end: number, directory: IndexDirectory): void {
    const { segment } = directory
    this.#sealedThrough = Math.max(this.#sealedThrough, segment)
    this.#files.add(segment, { end, pagesAt: directory.pagesAt })
    for (const run of directory.runs) {
      let queue = this.#queues.get(run.queueKey)
      // One that was dropped and begun anew under the same key: only the newest part counts.
      if (queue?.next !== run.firstOffset) {
        queue = new QueueEntries(run.firstOffset)
        this.#queues.set(run.queueKey, queue)
      }
      queue.addRun(segment, run.firstOffset, run.firstTimeMs, run.row)
      queue.next = run.firstOffset + run.count
    }
  }

  /** Takes back what `flush` saved of the segment being written. */
  async #loadUnsealed(segment: number): Promise<number> {
    const start = positionOf(segment, 0)
    const directory = await this.#files.readDirectory(segment)
    if (!directory || start + directory.upTo > this.#log.end) return start
    this.#files.add(segment, { end: this.#log.end, pagesAt: directory.pagesAt })
    try {
      const pages =
        directory.entries === 0
          ? []
          : await this.#files.readPages(segment, 0, Math.floor((directory.entries - 1) / entriesPerPage))
      let added = 0
      for (const { queueKey, firstOffset, row, count } of directory.runs) {
        for (let i = 0; i < count; i++) {
          if (++added % entriesPerYield === 0) await this.#yieldWhenSpent()
          const page = pages[Math.floor((row + i) / entriesPerPage)]!
          this.add(
            queueKey,
            firstOffset + i,
            start + entryOffset(page, row + i),
            entryTagHash(page, row + i),
            entryTimeMs(page, row + i),
          )
        }
      }
    } catch (error) {
      if (!(error instanceof LogError)) throw error
      return start
    } finally {
      this.#files.withdraw(segment)
      this.#files.forget(segment)
    }
    return start + directory.upTo
  }

  /** Makes the index file of a sealed segment again, from the segment. */
  async #remake(segment: number, end: number): Promise<IndexDirectory> {
    const chunks = new Map<number, Chunk>()
    let scanned = 0
    for await (const { position, payload } of this.#log.scan(positionOf(segment, 0))) {
      if (position >= end) break
      if (++scanned % recordsPerYield === 0) await this.#yieldWhenSpent()
      for (const { queueKey, offset, tagHash, storeTimeMs } of this.#decode(payload)) {
        let chunk = chunks.get(queueKey)
        if (!chunk || offset !== chunk.first + chunk.count) {
          chunk = new Chunk(segment, offset)
          chunks.set(queueKey, chunk)
        }
        chunk.add(position - positionOf(segment, 0), tagHash, storeTimeMs)
      }
    }
    const runs = Array.from(chunks, ([queueKey, chunk]) => asRun(queueKey, chunk))
    return this.#files.write(segment, end - positionOf(segment, 0), inOrder(runs))
  }

  async #runsOf(segment: number, upTo: number): Promise<RunToWrite[]> {
    const runs: RunToWrite[] = []
    let looked = 0
    for (const [queueKey, queue] of this.#queues) {
      if (++looked % queuesPerYield === 0) await this.#yieldWhenSpent()
      const chunk = queue.chunks.find((one) => one.segment === segment)
      const run = chunk && asRun(queueKey, chunk, upTo)
      if (run && run.count > 0) runs.push(run)
    }
    return inOrder(runs)
  }

  async #yieldWhenSpent(): Promise<void> {
    if (this.#turns.isSpent) await this.#turns.pause()
  }

  /** The first offset of the queue at `position` or later; read from a file only when a segment is cut in two. */
  #firstFrom(queue: QueueEntries, position: number): Promise<number> | number {
    const runs = queue.runSegments.length
    for (let run = 0; run < runs; run++) {
      const segment = queue.runSegments[run]!
      if (this.#files.get(segment)!.end <= position) continue
      if (positionOf(segment, 0) >= position) return Math.max(queue.min, queue.runFirsts[run]!)
      return this.#firstInRun(queue, run, position)
        .catch(async () => {
          await this.#mendNow(segment)
          return this.#firstInRun(queue, run, position)
        })
        .then((first) => Math.max(queue.min, first))
    }
    for (const chunk of queue.chunks) {
      const start = positionOf(chunk.segment, 0)
      const below = lowerBound(chunk.offsets, chunk.count, position - start)
      if (below < chunk.count) return Math.max(queue.min, chunk.first + below)
    }
    return queue.next
  }

  async #firstInRun(queue: QueueEntries, run: number, position: number): Promise<number> {
    let low = queue.runFirsts[run]!
    let high = queue.runEnd(run)
    const segment = queue.runSegments[run]!
    const found = new FoundEntries(0, 1)
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      await this.#files.readRows(segment, queue.runRows[run]! + middle - queue.runFirsts[run]!, 1, found, 0)
      if (found.position(0) < position) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Sealing, trimming and rebuilding change files and summaries, so they run one at a time. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new LogError('closed', `The index in ${this.#directory} is closed`))
    const run = this.#work.then(task)
    this.#work = run.catch(() => {})
    return run
  }
}

/** By queue key, as the directory of an index file has them. */
const inOrder = (runs: RunToWrite[]): RunToWrite[] => runs.sort((a, b) => a.queueKey - b.queueKey)
