/**
 * An index from a whole-number id to a row, for rows that the caller keeps in typed arrays.
 *
 * Open addressing over 32-bit words, five to eleven bytes an entry. The ids are spread over sixty-four small tables
 * by their low bits, so that growing copies one of them and takes no long pause. The keys
 * themselves are not stored: `idOf` reads them back from the rows.
 */
const SHARDS = 64
const SMALLEST = 8

export class IdIndex {
  readonly #idOf: (row: number) => number
  /** Row + 1; 0 is an empty slot. Each is a power of two long. */
  #slots: Array<Int32Array | undefined> = []
  #sizes = new Int32Array(SHARDS)

  constructor(idOf: (row: number) => number) {
    this.#idOf = idOf
  }

  clear(): void {
    this.#slots = []
    this.#sizes = new Int32Array(SHARDS)
  }

  /** Makes room for so many at once, in an empty index. */
  reserve(count: number): void {
    const length = 2 ** Math.ceil(Math.log2(Math.max(SMALLEST, (count / SHARDS) * 1.5)))
    for (let shard = 0; shard < SHARDS && count > 0; shard++) this.#slots[shard] = new Int32Array(length)
  }

  /** −1 when it is not there. */
  find(id: number): number {
    const slots = this.#slots[id % SHARDS]
    if (slots === undefined) return -1
    return slots[this.#slotOf(slots, id)]! - 1
  }

  /** The id lies in this row from now on. */
  set(id: number, row: number): void {
    const shard = id % SHARDS
    let slots = this.#slots[shard]
    if (slots === undefined) {
      slots = new Int32Array(SMALLEST)
      this.#slots[shard] = slots
    }
    let slot = this.#slotOf(slots, id)
    if (slots[slot] === 0) {
      // Three quarters full is where probing begins to cost.
      if (4 * (this.#sizes[shard]! + 1) > 3 * slots.length) {
        slots = this.#resize(shard, slots, slots.length * 2)
        slot = this.#slotOf(slots, id)
      }
      this.#sizes[shard]!++
    }
    slots[slot] = row + 1
  }

  /** Call while the row still holds its id. */
  delete(id: number): void {
    const shard = id % SHARDS
    const slots = this.#slots[shard]
    if (slots === undefined) return
    const mask = slots.length - 1
    let hole = this.#slotOf(slots, id)
    if (slots[hole] === 0) return
    // Later entries of the run move up, so that no mark of what was here is left behind.
    for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = homeOf(this.#idOf(slots[slot]! - 1), mask)
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue
      slots[hole] = slots[slot]!
      hole = slot
    }
    slots[hole] = 0
    const size = --this.#sizes[shard]!
    if (slots.length > SMALLEST && size * 8 < slots.length) this.#resize(shard, slots, slots.length / 2)
  }

  /** Where the id is, or the empty slot where it would be. */
  #slotOf(slots: Int32Array, id: number): number {
    const mask = slots.length - 1
    let slot = homeOf(id, mask)
    while (slots[slot] !== 0 && this.#idOf(slots[slot]! - 1) !== id) slot = (slot + 1) & mask
    return slot
  }

  #resize(shard: number, from: Int32Array, length: number): Int32Array {
    const slots = new Int32Array(length)
    for (const entry of from) if (entry !== 0) slots[this.#slotOf(slots, this.#idOf(entry - 1))] = entry
    this.#slots[shard] = slots
    return slots
  }
}

function homeOf(id: number, mask: number): number {
  const within = Math.floor(id / SHARDS)
  const mixed = Math.imul((within | 0) ^ Math.floor(within / 2 ** 32), 0x9e3779b1)
  return (mixed ^ (mixed >>> 15)) & mask
}
