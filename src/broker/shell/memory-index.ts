/**
 * A queue index that lives in memory alone: for tests, and for measuring the core without a disk.
 *
 * It keeps twenty bytes a message, so it is not for instances that retain.
 */
import type { IndexEntries, QueueIndex } from '../log/contract.ts'

export class MemoryIndex implements QueueIndex {
  readonly #queues = new Map<number, Column>()

  add(queueKey: number, offset: number, position: number, tagHash: number, storeTimeMs: number): void {
    let column = this.#queues.get(queueKey)
    if (!column) {
      column = new Column(offset)
      this.#queues.set(queueKey, column)
    }
    column.add(offset, position, tagHash, storeTimeMs)
  }

  lookup(queueKey: number, from: number, count: number): IndexEntries {
    const column = this.#queues.get(queueKey) ?? new Column(0)
    const start = Math.max(from, column.begin)
    const base = start - column.first
    return {
      from: start,
      count: Math.max(0, Math.min(count, column.end - start)),
      position: (i) => column.positions[base + i]!,
      tagHash: (i) => column.tagHashes[base + i]!,
      storeTimeMs: (i) => column.storeTimes[base + i]!,
    }
  }

  drop(queueKey: number): void {
    this.#queues.delete(queueKey)
  }

  async trimBelow(position: number): Promise<Map<number, number>> {
    const minimums = new Map<number, number>()
    for (const [queueKey, column] of this.#queues) {
      const before = column.begin
      while (column.begin < column.end && column.positions[column.begin - column.first]! < position) column.begin++
      if (column.begin !== before) minimums.set(queueKey, column.begin)
    }
    return minimums
  }

  async seal(): Promise<void> {}

  minimumOffset(queueKey: number): number {
    return this.#queues.get(queueKey)?.begin ?? 0
  }
}

class Column {
  readonly first: number
  begin: number
  end: number
  positions = new Float64Array(64)
  storeTimes = new Float64Array(64)
  tagHashes = new Uint32Array(64)

  constructor(first: number) {
    this.first = first
    this.begin = first
    this.end = first
  }

  add(offset: number, position: number, tagHash: number, storeTimeMs: number): void {
    if (offset !== this.end) throw new Error(`Offset ${offset} does not follow ${this.end - 1}.`)
    const i = offset - this.first
    if (i === this.positions.length) this.#grow()
    this.positions[i] = position
    this.tagHashes[i] = tagHash
    this.storeTimes[i] = storeTimeMs
    this.end = offset + 1
  }

  #grow(): void {
    const size = this.positions.length * 2
    const positions = new Float64Array(size)
    positions.set(this.positions)
    this.positions = positions
    const storeTimes = new Float64Array(size)
    storeTimes.set(this.storeTimes)
    this.storeTimes = storeTimes
    const tagHashes = new Uint32Array(size)
    tagHashes.set(this.tagHashes)
    this.tagHashes = tagHashes
  }
}
