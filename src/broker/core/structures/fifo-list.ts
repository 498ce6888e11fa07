/**
 * A first-in first-out list whose items can also leave from the middle, each in O(1): waiting
 * receives leave when their client hangs up, deliveries when they are acknowledged.
 */
export interface Linked<T> {
  previous: T | null
  next: T | null
  linked: boolean
}

export class FifoList<T extends Linked<T>> {
  first: T | null = null
  #last: T | null = null
  size = 0

  push(item: T): void {
    item.previous = this.#last
    item.next = null
    if (this.#last) this.#last.next = item
    else this.first = item
    this.#last = item
    item.linked = true
    this.size++
  }

  /** Back to the head, for one that was served nothing after all. */
  unshift(item: T): void {
    item.previous = null
    item.next = this.first
    if (this.first) this.first.previous = item
    else this.#last = item
    this.first = item
    item.linked = true
    this.size++
  }

  /** Lets all items go at once; none of them may be removed by itself afterwards. */
  clear(): void {
    this.first = null
    this.#last = null
    this.size = 0
  }

  remove(item: T): void {
    if (!item.linked) return
    if (item.previous) item.previous.next = item.next
    else this.first = item.next
    if (item.next) item.next.previous = item.previous
    else this.#last = item.previous
    item.previous = null
    item.next = null
    item.linked = false
    this.size--
  }
}
