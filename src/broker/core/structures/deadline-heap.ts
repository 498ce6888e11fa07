/**
 * Items with a deadline, earliest first: a binary heap in which each item holds its own index, so
 * that an item is moved or removed in O(log n) without a search, and no stale entry remains.
 */
export interface Due {
  /** Milliseconds since the epoch. Change it only through `set`. */
  due: number
  /** Place in the heap, −1 when it is in none. */
  heapIndex: number
}

export class DeadlineHeap<T extends Due> {
  readonly #items: T[] = []

  get size(): number {
    return this.#items.length
  }

  /** When the first item is due; Infinity when there is none. */
  get earliest(): number {
    return this.#items.length > 0 ? this.#items[0]!.due : Number.POSITIVE_INFINITY
  }

  /** Puts the item in, or moves it, so that it is due then. */
  set(item: T, due: number): void {
    item.due = due
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length
      this.#items.push(item)
      this.#rise(item)
    } else if (!this.#rise(item)) this.#sink(item)
  }

  remove(item: T): void {
    const hole = item.heapIndex
    if (hole < 0) return
    item.heapIndex = -1
    const last = this.#items.pop()!
    if (last === item) return
    last.heapIndex = hole
    this.#items[hole] = last
    if (!this.#rise(last)) this.#sink(last)
  }

  /** Takes out the first item when it is due at `at`. */
  pop(at: number): T | null {
    const first = this.#items[0]
    if (first === undefined || first.due > at) return null
    this.remove(first)
    return first
  }

  #rise(item: T): boolean {
    const items = this.#items
    let index = item.heapIndex
    const start = index
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = items[parentIndex]!
      if (parent.due <= item.due) break
      items[index] = parent
      parent.heapIndex = index
      index = parentIndex
    }
    items[index] = item
    item.heapIndex = index
    return index !== start
  }

  #sink(item: T): void {
    const items = this.#items
    const size = items.length
    let index = item.heapIndex
    for (let child = 2 * index + 1; child < size; child = 2 * index + 1) {
      if (child + 1 < size && items[child + 1]!.due < items[child]!.due) child++
      const smaller = items[child]!
      if (smaller.due >= item.due) break
      items[index] = smaller
      smaller.heapIndex = index
      index = child
    }
    items[index] = item
    item.heapIndex = index
  }
}
