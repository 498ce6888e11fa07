/**
 * What the index keeps of one queue in memory: where its sealed runs lie, and the entries that are not sealed yet. Pure;
 * queue-index.ts reads and writes the files.
 */
import type { IndexEntries } from './contract.ts'
import { positionOf } from './contract.ts'
import type { RunToWrite } from './index-file.ts'

/** Entries of one queue in one segment, in memory. */
export class Chunk {
  readonly segment: number
  readonly first: number
  count = 0
  offsets = new Uint32Array(firstChunkEntries)
  tagHashes = new Uint32Array(firstChunkEntries)
  timesMs = new Float64Array(firstChunkEntries)

  constructor(segment: number, first: number) {
    this.segment = segment
    this.first = first
  }

  add(offsetInSegment: number, tagHash: number, timeMs: number): void {
    if (this.count === this.offsets.length) this.#grow()
    this.offsets[this.count] = offsetInSegment
    this.tagHashes[this.count] = tagHash
    this.timesMs[this.count] = timeMs
    this.count++
  }

  #grow(): void {
    const size = Math.ceil(this.count * 1.5) + 4
    const [offsets, tagHashes, timesMs] = [new Uint32Array(size), new Uint32Array(size), new Float64Array(size)]
    offsets.set(this.offsets)
    tagHashes.set(this.tagHashes)
    timesMs.set(this.timesMs)
    this.offsets = offsets
    this.tagHashes = tagHashes
    this.timesMs = timesMs
  }
}

const firstChunkEntries = 4

/** Sealed runs of one queue, oldest first, as columns; the chunks follow them without a gap. */
export class QueueEntries {
  min: number
  next: number
  readonly runSegments: number[] = []
  readonly runFirsts: number[] = []
  readonly runTimes: number[] = []
  readonly runRows: number[] = []
  readonly chunks: Chunk[] = []

  constructor(first: number) {
    this.min = first
    this.next = first
  }

  addRun(segment: number, first: number, timeMs: number, row: number): void {
    this.runSegments.push(segment)
    this.runFirsts.push(first)
    this.runTimes.push(timeMs)
    this.runRows.push(row)
  }

  removeRuns(count: number): void {
    for (const column of [this.runSegments, this.runFirsts, this.runTimes, this.runRows]) column.splice(0, count)
  }

  /** Where its oldest entry lies; Infinity when it has none. */
  get firstSegment(): number {
    return this.runSegments[0] ?? this.chunks[0]?.segment ?? Number.POSITIVE_INFINITY
  }

  /** Offset after the last sealed entry. */
  get sealedEnd(): number {
    return this.chunks[0]?.first ?? this.next
  }

  runEnd(run: number): number {
    return this.runFirsts[run + 1] ?? this.sealedEnd
  }
}

/** What a lookup found, or has room for. */
export class FoundEntries implements IndexEntries {
  readonly from: number
  readonly count: number
  readonly #positions: Float64Array
  readonly #tagHashes: Uint32Array
  readonly #timesMs: Float64Array

  constructor(from: number, count: number) {
    this.from = from
    this.count = count
    this.#positions = new Float64Array(count)
    this.#tagHashes = new Uint32Array(count)
    this.#timesMs = new Float64Array(count)
  }

  set(i: number, position: number, tagHash: number, timeMs: number): void {
    this.#positions[i] = position
    this.#tagHashes[i] = tagHash
    this.#timesMs[i] = timeMs
  }

  position(i: number): number {
    return this.#positions[i]!
  }

  tagHash(i: number): number {
    return this.#tagHashes[i]!
  }

  storeTimeMs(i: number): number {
    return this.#timesMs[i]!
  }
}

/** Fills `found` from entry `at` on out of the queue's chunks. */
export function gather(queue: QueueEntries, found: FoundEntries, at: number): void {
  let filled = at
  for (const chunk of queue.chunks) {
    if (filled === found.count) return
    let i = found.from + filled - chunk.first
    if (i >= chunk.count) continue
    const base = positionOf(chunk.segment, 0)
    for (; i < chunk.count && filled < found.count; i++, filled++) {
      found.set(filled, base + chunk.offsets[i]!, chunk.tagHashes[i]!, chunk.timesMs[i]!)
    }
  }
}

/** The chunk's entries below an offset in its segment, as they are now: what is added later is not in it. */
export function asRun(queueKey: number, chunk: Chunk, upTo = Number.POSITIVE_INFINITY): RunToWrite {
  return {
    queueKey,
    firstOffset: chunk.first,
    count: upTo === Number.POSITIVE_INFINITY ? chunk.count : lowerBound(chunk.offsets, chunk.count, upTo),
    offsets: chunk.offsets,
    tagHashes: chunk.tagHashes,
    timesMs: chunk.timesMs,
  }
}

/** How many of the first `count` ascending values are below `value`. */
export function lowerBound(values: ArrayLike<number>, count: number, value: number): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >> 1
    if (values[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}

/** The last of ascending values that is at most `value`; the first is. */
export const lastAtMost = (values: readonly number[], value: number): number => {
  const above = lowerBound(values, values.length, value)
  return values[above] === value ? above : above - 1
}
