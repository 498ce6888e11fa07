/** Entries of a stretch of the log in memory, in the order of the log: twelve to sixteen bytes each, until they are written as a run. */
import type { Entry, Term } from './run-file.ts'

const firstCapacity = 256
/** Largest number of entries that are sorted as whole numbers. */
const indexLimit = 2 ** 16

export class EntryTable {
  /** Records from here on are in the table; below `to` all of them, once that is known. */
  readonly from: number
  to = Number.POSITIVE_INFINITY
  count = 0
  #highs = new Uint32Array(firstCapacity)
  #lows = new Uint16Array(firstCapacity)
  #positions = new Float64Array(firstCapacity)

  constructor(from: number) {
    this.from = from
  }

  add(high: number, low: number, position: number): void {
    if (this.count === this.#highs.length) this.#grow()
    this.#highs[this.count] = high
    this.#lows[this.count] = low
    this.#positions[this.count++] = position
  }

  get memoryBytes(): number {
    return this.#highs.length * 14
  }

  /** Positions of the term from `from` on, in order, appended to `found` until it holds `limit`. */
  find({ high, low }: Term, from: number, found: number[], limit: number): void {
    const highs = this.#highs
    const { count } = this
    for (let i = highs.indexOf(high); i >= 0 && i < count && found.length < limit; i = highs.indexOf(high, i + 1))
      if (this.#lows[i] === low && this.#positions[i]! >= from && this.#positions[i] !== found.at(-1))
        found.push(this.#positions[i]!)
  }

  /** By term, and by position within a term; one that was added twice comes once. The entry given is the same object each time. */
  *sorted(): Generator<Entry> {
    const entry = { high: 0, low: 0, position: -1 }
    for (const i of this.#order()) {
      const { high, low, position } = entry
      if (position === this.#positions[i] && high === this.#highs[i] && low === this.#lows[i]) continue
      entry.high = this.#highs[i]!
      entry.low = this.#lows[i]!
      entry.position = this.#positions[i]!
      yield entry
    }
  }

  /** The entries' places in sorted order. Whole numbers sort natively, several times faster than with a comparison of ours. */
  #order(): Uint32Array | number[] {
    const { count } = this
    if (count > indexLimit)
      return Array.from({ length: count }, (_, i) => i).sort(
        (a, b) => this.#highs[a]! - this.#highs[b]! || this.#lows[a]! - this.#lows[b]! || a - b,
      )
    const numbers = new BigUint64Array(count)
    const words = new Uint32Array(numbers.buffer)
    for (let i = 0; i < count; i++) {
      words[2 * i] = ((this.#lows[i]! << 16) | i) >>> 0
      words[2 * i + 1] = this.#highs[i]!
    }
    numbers.sort()
    const order = new Uint32Array(count)
    for (let i = 0; i < count; i++) order[i] = words[2 * i]! & 0xffff
    return order
  }

  #grow(): void {
    const highs = new Uint32Array(this.#highs.length * 2)
    const lows = new Uint16Array(highs.length)
    const positions = new Float64Array(highs.length)
    highs.set(this.#highs)
    lows.set(this.#lows)
    positions.set(this.#positions)
    this.#highs = highs
    this.#lows = lows
    this.#positions = positions
  }
}
