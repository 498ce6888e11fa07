/**
 * Remembers signature nonces so that a captured request cannot be sent again.
 *
 * A nonce must be known only as long as its request's date would still be accepted, so nonces live in buckets by
 * date and whole buckets expire. Memory is bounded: when there are too many, the oldest bucket goes and requests
 * dated inside it are refused from then on. That narrows the window for clients whose clock is behind, under a
 * load no single server has seen; it never lets a replay through.
 */

/** A request is accepted this long before and after its date (auth-and-wire §1.1). */
export const DATE_WINDOW_MS = 15 * 60_000

export interface NonceUse {
  readonly accessKeyId: string
  readonly nonce: string
  /** Date of the request, milliseconds since the epoch. */
  readonly dateMs: number
  readonly now: number
}

/** `stale`: the date lies in a stretch whose nonces had to be forgotten. */
export type NonceVerdict = 'fresh' | 'used' | 'stale'

export interface NonceStore {
  /** Asks and remembers in one step, so that of two equal requests in flight only one is `fresh`. */
  use(use: NonceUse): Promise<NonceVerdict>
}

const BUCKET_MS = 10_000
/** 15 minutes at 400 signed requests a second, about 40 MB when full. */
const DEFAULT_CAPACITY = 360_000

export class NonceMemory {
  readonly #capacity: number
  readonly #known = new Set<string>()
  /** The known nonces again, by the date of their request in steps of `BUCKET_MS`. */
  readonly #buckets = new Map<number, string[]>()
  /** Buckets below this index were forgotten before their time. */
  #floor = 0

  constructor(options: { capacity?: number } = {}) {
    this.#capacity = options.capacity ?? DEFAULT_CAPACITY
  }

  get size(): number {
    return this.#known.size
  }

  use(key: string, dateMs: number, now: number): NonceVerdict {
    this.#expire(now)
    if (this.#known.has(key)) return 'used'
    if (this.#known.size >= this.#capacity) this.#forgetOldest()
    const index = Math.floor(dateMs / BUCKET_MS)
    if (index < this.#floor) return 'stale'
    const bucket = this.#buckets.get(index)
    if (bucket === undefined) this.#buckets.set(index, [key])
    else bucket.push(key)
    this.#known.add(key)
    return 'fresh'
  }

  /** Drops buckets whose dates the date check refuses. At most 181 buckets exist, so the walk is short. */
  #expire(now: number): void {
    const dead = Math.floor((now - DATE_WINDOW_MS) / BUCKET_MS)
    for (const index of this.#buckets.keys()) if (index < dead) this.#drop(index)
  }

  #forgetOldest(): void {
    const oldest = Math.min(...this.#buckets.keys())
    this.#drop(oldest)
    this.#floor = Math.max(this.#floor, oldest + 1)
  }

  #drop(index: number): void {
    for (const key of this.#buckets.get(index) ?? []) this.#known.delete(key)
    this.#buckets.delete(index)
  }
}

/** A nonce belongs to its access key: two keys may use the same one. */
export function nonceKey(use: Pick<NonceUse, 'accessKeyId' | 'nonce'>): string {
  return `${use.accessKeyId}\n${use.nonce}`
}

/** A store that forgets everything when the process ends, for tests and the smallest set-ups. */
export function memoryNonces(options: { capacity?: number } = {}): NonceStore {
  const memory = new NonceMemory(options)
  return { use: async (use) => memory.use(nonceKey(use), use.dateMs, use.now) }
}
