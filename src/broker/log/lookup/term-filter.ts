/** A Bloom filter over the terms of a run: one byte of memory per entry, a false-positive rate of 1 in 40. */
import type { Term } from './run-file.ts'

const bitsPerEntry = 8
const bitsSet = 4

export class TermFilter {
  readonly #words: Uint32Array
  readonly #bits: number

  constructor(entries: number) {
    this.#words = new Uint32Array(Math.ceil((entries * bitsPerEntry) / 32) + 1)
    this.#bits = this.#words.length * 32
  }

  get memoryBytes(): number {
    return this.#words.byteLength
  }

  add({ high, low }: Term): void {
    const step = stepOf(high, low)
    for (let i = 0, at = high; i < bitsSet; i++, at = (at + step) >>> 0) {
      const bit = Math.floor((at / 2 ** 32) * this.#bits)
      this.#words[bit >>> 5]! |= 1 << (bit & 31)
    }
  }

  mayHave({ high, low }: Term): boolean {
    const step = stepOf(high, low)
    for (let i = 0, at = high; i < bitsSet; i++, at = (at + step) >>> 0) {
      const bit = Math.floor((at / 2 ** 32) * this.#bits)
      if ((this.#words[bit >>> 5]! & (1 << (bit & 31))) === 0) return false
    }
    return true
  }
}

const stepOf = (high: number, low: number): number => (Math.imul(low ^ (high << 7), 0x9e3779b1) | 1) >>> 0
