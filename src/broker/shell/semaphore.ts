/** A few at a time: whoever comes when all places are taken waits in wait queue. */
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
      // The place is handed on, so that nobody overtakes.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}
