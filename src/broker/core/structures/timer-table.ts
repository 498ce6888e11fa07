/**
 * Timed messages that wait: when each is due, its id, and where its record lies in the log.
 *
 * A waiting message is a row of three numbers in typed arrays (24 bytes), a place in a binary heap by
 * (due, id) and back (8 bytes), and an entry of the index by id (5 to 11 bytes): about 40 MB for a
 * million, and nothing for the garbage collector to walk. Adding and removing is O(log n), whatever
 * is removed: the first, one that was recalled, or one whose record moved. Arrays grow in chunks, so
 * that growing copies nothing large; rows stay dense, so that they shrink again.
 *
 * The layout depends on the order of the calls alone. A capture gives out the arrays as they are (in the machine's own
 * byte order), and a replay from it ends in the same bytes.
 */
import { type Reader, Writer } from './bytes.ts'
import { IdIndex } from './id-index.ts'

const CHUNK_BITS = 16
const CHUNK_ROWS = 2 ** CHUNK_BITS
const MASK = CHUNK_ROWS - 1
const FIRST_ROWS = 16
const DUE = 0
const ID = 1
const POSITION = 2
const ROW_BYTES = 24
/** Rows read in one step. */
const STEP = 4_096
const HEAP_BYTES = 4

/** What one waiting message is, as a copy. */
export interface Timer {
  readonly timerId: number
  readonly dueMs: number
  readonly position: number
}

export class TimerTable {
  #size = 0
  /** Rows of (due, id, position). */
  #rows: Float64Array[] = []
  /** Place in the heap → row. */
  #heap: Int32Array[] = []
  /** Row → place in the heap. */
  #places: Int32Array[] = []
  readonly #index = new IdIndex((row) => this.#field(row, ID))
  /** Told of a chunk before it changes. Hardly ever more than one. */
  readonly #captures = new Set<TimerCapture>()

  get size(): number {
    return this.#size
  }

  /** When the first is due; Infinity when none waits. */
  get earliest(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#field(this.#rowAt(0), DUE)
  }

  has(timerId: number): boolean {
    return this.#index.find(timerId) >= 0
  }

  /** Where its record lies; null when it does not wait. */
  positionOf(timerId: number): number | null {
    const row = this.#index.find(timerId)
    return row < 0 ? null : this.#field(row, POSITION)
  }

  /** When it is due; null when it does not wait. */
  dueOf(timerId: number): number | null {
    const row = this.#index.find(timerId)
    return row < 0 ? null : this.#field(row, DUE)
  }

  /** A new one, or a known one whose record lies elsewhere now; the due time of a known one stays. */
  set({ timerId, dueMs, position }: Timer): void {
    const known = this.#index.find(timerId)
    if (known >= 0) {
      this.#beforeChange(known >>> CHUNK_BITS)
      this.#rows[known >>> CHUNK_BITS]![(known & MASK) * 3 + POSITION] = position
      return
    }
    const row = this.#size++
    this.#room(row)
    this.#beforeChange(row >>> CHUNK_BITS)
    const rows = this.#rows[row >>> CHUNK_BITS]!
    const at = (row & MASK) * 3
    rows[at + DUE] = dueMs
    rows[at + ID] = timerId
    rows[at + POSITION] = position
    this.#index.set(timerId, row)
    this.#put(row, row)
    this.#rise(row)
  }

  /** Whether it waited. */
  remove(timerId: number): boolean {
    const row = this.#index.find(timerId)
    if (row < 0) return false
    this.#index.delete(timerId)
    const last = --this.#size
    const place = this.#places[row >>> CHUNK_BITS]![row & MASK]!
    const tail = this.#rowAt(last)
    if (place !== last) {
      this.#put(place, tail)
      this.#sink(place)
      this.#rise(place)
    }
    if (row !== last) this.#moveRow(last, row)
    this.#release()
    return true
  }

  /** Those due at a time, earliest first, at most so many; they stay. */
  due(atMs: number, most: number): Timer[] {
    const found: Timer[] = []
    if (this.#size === 0) return found
    // The next one is always a child of one already found: a small heap of places to look at.
    const places: number[] = [0]
    while (places.length > 0 && found.length < most) {
      const place = this.#takeFirst(places)
      const timer = this.#timerIn(this.#rowAt(place))
      if (timer.dueMs > atMs) break
      found.push(timer)
      if (2 * place + 1 < this.#size) this.#addPlace(places, 2 * place + 1)
      if (2 * place + 2 < this.#size) this.#addPlace(places, 2 * place + 2)
    }
    return found
  }

  /**
   * Ids of those whose record lies below a position, among `rows` rows; asked first from `size` on, then from `next` on
   * until that is 0, all of them are found. Rows are looked at from the last on: what is removed meanwhile makes room for
   * one that was looked at already, and what is new lies behind.
   */
  below(position: number, from: number, rows: number): { readonly timerIds: number[]; readonly next: number } {
    const next = Math.max(0, Math.min(from, this.#size) - rows)
    const timerIds: number[] = []
    for (let row = Math.min(from, this.#size) - 1; row >= next; row--)
      if (this.#field(row, POSITION) < position) timerIds.push(this.#field(row, ID))
    return { timerIds, next }
  }

  /** The table as it is now, to be written while it changes. `end` it. */
  capture(): TimerCapture {
    const capture = new TimerCapture(this.#size, this.#rows, this.#heap, () => this.#captures.delete(capture))
    this.#captures.add(capture)
    return capture
  }

  /** What a capture wrote, into an empty table, in steps. */
  *read(from: Reader): Generator<void, void> {
    const size = from.whole()
    for (let start = 0; start < size; start += CHUNK_ROWS) {
      const rows = Math.min(CHUNK_ROWS, size - start)
      const chunk = start >>> CHUNK_BITS
      // From the first row on, for the first chunk grows by doubling.
      for (let row = start; row < start + rows; row = Math.max(row + 1, start + this.#capacity(chunk))) this.#room(row)
      bytesOf(this.#rows[chunk]!).set(from.raw(rows * ROW_BYTES))
      bytesOf(this.#heap[chunk]!).set(from.raw(rows * HEAP_BYTES))
    }
    this.#size = size
    this.#index.reserve(size)
    for (let place = 0; place < size; place++) {
      const row = this.#rowAt(place)
      this.#places[row >>> CHUNK_BITS]![row & MASK] = place
      if (place % STEP === 0) yield
    }
    for (let row = 0; row < size; row++) {
      this.#index.set(this.#field(row, ID), row)
      if (row % STEP === 0) yield
    }
  }

  #beforeChange(chunk: number): void {
    if (this.#captures.size === 0) return
    for (const capture of this.#captures) capture.beforeChange(chunk, this.#rows[chunk], this.#heap[chunk])
  }

  // Rows -----------------------------------------------------------------------------------------

  #field(row: number, field: number): number {
    return this.#rows[row >>> CHUNK_BITS]![(row & MASK) * 3 + field]!
  }

  #timerIn(row: number): Timer {
    return { timerId: this.#field(row, ID), dueMs: this.#field(row, DUE), position: this.#field(row, POSITION) }
  }

  #moveRow(from: number, to: number): void {
    const source = this.#rows[from >>> CHUNK_BITS]!
    this.#beforeChange(to >>> CHUNK_BITS)
    const target = this.#rows[to >>> CHUNK_BITS]!
    for (let field = 0; field < 3; field++) target[(to & MASK) * 3 + field] = source[(from & MASK) * 3 + field]!
    this.#index.set(this.#field(to, ID), to)
    this.#put(this.#places[from >>> CHUNK_BITS]![from & MASK]!, to)
  }

  #capacity(chunk: number): number {
    return this.#heap[chunk]?.length ?? 0
  }

  /** Makes room for a row, the ones before it being there. */
  #room(row: number): void {
    const chunk = row >>> CHUNK_BITS
    const capacity = this.#capacity(chunk)
    if ((row & MASK) < capacity) return
    const rows = chunk > 0 ? CHUNK_ROWS : Math.max(FIRST_ROWS, capacity * 2)
    const grownRows = new Float64Array(rows * 3)
    const grownHeap = new Int32Array(rows)
    const grownPlaces = new Int32Array(rows)
    if (capacity > 0) {
      grownRows.set(this.#rows[chunk]!)
      grownHeap.set(this.#heap[chunk]!)
      grownPlaces.set(this.#places[chunk]!)
    }
    this.#rows[chunk] = grownRows
    this.#heap[chunk] = grownHeap
    this.#places[chunk] = grownPlaces
  }

  /** Gives back what is empty, but for one chunk in hand. */
  #release(): void {
    const chunks = this.#size === 0 ? 0 : (this.#size >>> CHUNK_BITS) + 2
    if (this.#rows.length <= chunks) return
    this.#rows.length = chunks
    this.#heap.length = chunks
    this.#places.length = chunks
    if (chunks === 0) this.#index.clear()
  }

  // The heap -------------------------------------------------------------------------------------

  #rowAt(place: number): number {
    return this.#heap[place >>> CHUNK_BITS]![place & MASK]!
  }

  #put(place: number, row: number): void {
    this.#beforeChange(place >>> CHUNK_BITS)
    this.#heap[place >>> CHUNK_BITS]![place & MASK] = row
    this.#places[row >>> CHUNK_BITS]![row & MASK] = place
  }

  #before(row: number, other: number): boolean {
    const due = this.#field(row, DUE)
    const otherDue = this.#field(other, DUE)
    return due < otherDue || (due === otherDue && this.#field(row, ID) < this.#field(other, ID))
  }

  #rise(from: number): void {
    const row = this.#rowAt(from)
    let place = from
    while (place > 0) {
      const parentPlace = (place - 1) >>> 1
      const parent = this.#rowAt(parentPlace)
      if (!this.#before(row, parent)) break
      this.#put(place, parent)
      place = parentPlace
    }
    if (place !== from) this.#put(place, row)
  }

  #sink(from: number): void {
    const row = this.#rowAt(from)
    let place = from
    for (let child = 2 * place + 1; child < this.#size; child = 2 * place + 1) {
      if (child + 1 < this.#size && this.#before(this.#rowAt(child + 1), this.#rowAt(child))) child++
      const smaller = this.#rowAt(child)
      if (!this.#before(smaller, row)) break
      this.#put(place, smaller)
      place = child
    }
    if (place !== from) this.#put(place, row)
  }

  #addPlace(places: number[], place: number): void {
    let at = places.length
    places.push(place)
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!this.#before(this.#rowAt(place), this.#rowAt(places[parent]!))) break
      places[at] = places[parent]!
      at = parent
    }
    places[at] = place
  }

  #takeFirst(places: number[]): number {
    const first = places[0]!
    const last = places.pop()!
    if (places.length === 0) return first
    let at = 0
    for (let child = 1; child < places.length; child = 2 * at + 1) {
      const right = child + 1
      if (right < places.length && this.#before(this.#rowAt(places[right]!), this.#rowAt(places[child]!))) child = right
      if (!this.#before(this.#rowAt(places[child]!), this.#rowAt(last))) break
      places[at] = places[child]!
      at = child
    }
    places[at] = last
    return first
  }
}

/**
 * The table at one moment. It shares the table's chunks until one is about to change, and then has a copy of that one
 * (a fifth of a millisecond or so); of what it gave out already it needs none.
 */
export class TimerCapture {
  readonly #size: number
  readonly #rows: Array<Float64Array | null>
  readonly #heap: Array<Int32Array | null>
  readonly #onEnd: () => void

  constructor(size: number, rows: readonly Float64Array[], heap: readonly Int32Array[], onEnd: () => void) {
    this.#size = size
    this.#rows = [...rows]
    this.#heap = [...heap]
    this.#onEnd = onEnd
  }

  beforeChange(chunk: number, rows: Float64Array | undefined, heap: Int32Array | undefined): void {
    if (rows && this.#rows[chunk] === rows) this.#rows[chunk] = rows.slice()
    if (heap && this.#heap[chunk] === heap) this.#heap[chunk] = heap.slice()
  }

  /** Copies, of about `pieceBytes` each, for `TimerTable.read`. */
  *pieces(pieceBytes: number): Generator<Uint8Array, void> {
    const to = new Writer(16)
    to.whole(this.#size)
    yield to.finish()
    for (let from = 0; from < this.#size; from += CHUNK_ROWS) {
      const rows = Math.min(CHUNK_ROWS, this.#size - from)
      const chunk = from >>> CHUNK_BITS
      yield* slices(() => this.#rows[chunk]!, rows * ROW_BYTES, pieceBytes)
      this.#rows[chunk] = null
      yield* slices(() => this.#heap[chunk]!, rows * HEAP_BYTES, pieceBytes)
      this.#heap[chunk] = null
    }
  }

  /** The table need not tell of changes any more. */
  end(): void {
    this.#onEnd()
    this.#rows.length = 0
    this.#heap.length = 0
  }
}

/** Asked for the array each time: between two slices it may have been replaced by a copy. */
function* slices(
  array: () => Float64Array | Int32Array,
  bytes: number,
  sliceBytes: number,
): Generator<Uint8Array, void> {
  for (let at = 0; at < bytes; at += sliceBytes) yield bytesOf(array()).slice(at, Math.min(bytes, at + sliceBytes))
}

function bytesOf(array: Float64Array | Int32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}
