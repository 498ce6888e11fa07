/** A semaphore: at most so many at a time; further callers wait in order. */
export class Semaphore {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await task()
    } finally {
      // The place goes to the first waiting caller, so that the order is kept.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}
