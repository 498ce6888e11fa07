/**
 * A clock that moves only when a test moves it, and randomness that a seed repeats.
 *
 * Tasks run in the order of their times, one after another; the promises that one settles run before the
 * next. An hour of a whole broker takes milliseconds, and the same seed repeats it.
 */
import type { Cancel, Clock, Random } from './world.ts'

/** 2026-01-01T00:00:00Z. */
const START_MS = Date.UTC(2026, 0, 1)

/** Tasks at one moment after which the program counts as looping without end. */
const STILL = 100_000

interface Task {
  readonly dueMs: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

export class SimulatedClock implements Clock {
  #elapsedMs = 0
  #skewMs = 0
  #order = 0
  readonly #startMs: number
  #tasks: Task[] = []

  constructor(startMs: number = START_MS) {
    this.#startMs = startMs
  }

  now(): number {
    return this.#startMs + this.#elapsedMs + this.#skewMs
  }

  monotonic(): number {
    return this.#elapsedMs
  }

  after(delayMs: number, run: () => void): Cancel {
    const task: Task = {
      dueMs: this.#elapsedMs + Math.max(0, delayMs),
      order: this.#order++,
      run,
      cancelled: false,
    }
    this.#tasks.push(task)
    return () => {
      task.cancelled = true
    }
  }

  /** Sets the wall clock forward or back without time passing, as an administrator may. */
  jump(byMs: number): void {
    this.#skewMs += byMs
  }

  /** How many timers are set: an idle broker should hold none. */
  get pending(): number {
    this.#tasks = this.#tasks.filter((task) => !task.cancelled)
    return this.#tasks.length
  }

  /** Lets `byMs` pass, running what falls due on the way. */
  async advance(byMs: number): Promise<void> {
    const until = this.#elapsedMs + byMs
    await settle()
    let still = 0
    for (let task = this.#next(until); task; task = this.#next(until)) {
      still = task.dueMs > this.#elapsedMs ? 0 : still + 1
      if (still > STILL) throw new Error(`Time does not get on: ${STILL} tasks ran at one moment, and there are more.`)
      this.#elapsedMs = Math.max(this.#elapsedMs, task.dueMs)
      task.run()
      await settle()
    }
    this.#elapsedMs = until
  }

  #next(until: number): Task | null {
    let best = -1
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[i]!
      if (task.cancelled || task.dueMs > until) continue
      const known = best < 0 ? null : this.#tasks[best]!
      if (!known || task.dueMs < known.dueMs || (task.dueMs === known.dueMs && task.order < known.order)) best = i
    }
    if (best < 0) return null
    const [task] = this.#tasks.splice(best, 1)
    this.#tasks = this.#tasks.filter((other) => !other.cancelled)
    return task!
  }
}

/** Lets promise chains run: every turn of the event loop drains all microtasks. */
export async function settle(turns = 3): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

export class SimulatedRandom implements Random {
  #state: number

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0
  }

  /** mulberry32: small, fast, and good enough for the choices of a simulation. */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count)
    for (let i = 0; i < count; i++) bytes[i] = this.#next() & 0xff
    return bytes
  }

  below(bound: number): number {
    return Math.floor((this.#next() / 2 ** 32) * bound)
  }

  uuid(): string {
    const bytes = this.bytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))
    return [hex.slice(0, 4), hex.slice(4, 6), hex.slice(6, 8), hex.slice(8, 10), hex.slice(10)]
      .map((part) => part.join(''))
      .join('-')
      .toUpperCase()
  }
}
