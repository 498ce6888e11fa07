/**
 * Remembers what made a signed request unique (its nonce, or its signature where a scheme has none), so that a
 * captured request cannot be sent again.
 *
 * A nonce must be known only as long as its request's date would still be accepted, so nonces live in buckets by
 * date and whole buckets expire. Memory is bounded, and the bound has owners: when there are too many nonces, the
 * owner who holds the most forgets its oldest bucket, and only requests of that owner dated inside it are refused from
 * then on. So nobody can make requests of others look expired, and no replay is let through.
 */
import { createHash } from 'node:crypto'
import type { OneUse } from '../ledger/ledger.ts'

/** A request is accepted this long before and after its date (docs/reference/auth-and-wire.md §1.1). */
export const DATE_WINDOW_MS = 15 * 60_000

export interface NonceUse {
  readonly accessKeyId: string
  /** Whose share of the memory this takes: a user, a role, the account. */
  readonly owner: string
  readonly nonce: string
  /** Date of the request, milliseconds since the epoch. */
  readonly dateMs: number
  readonly now: number
}

export type NonceVerdict =
  /** Not seen before. `use` goes into the change that the request makes; `NonceStore.release` is told when it is over. */
  | { readonly kind: 'fresh'; readonly use: OneUse }
  /** Seen before, `agoMs` ago; infinite when that is not known any more. */
  | { readonly kind: 'used'; readonly agoMs: number }
  /** The date lies in a stretch whose nonces had to be forgotten. */
  | { readonly kind: 'stale' }

export interface NonceStore {
  /** Asks and remembers in one step, so that of two equal requests in flight only one is `fresh`. */
  use(use: NonceUse): Promise<NonceVerdict>
  /** The request is over: nothing of it will be written any more. */
  release(use: OneUse): void
}

const BUCKET_MS = 10_000
/** 15 minutes at 400 signed requests a second, about 40 MB when full. */
const DEFAULT_CAPACITY = 360_000

export class NonceMemory {
  readonly #capacity: number
  readonly #shares = new Map<string, Share>()
  #size = 0
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(options: { capacity?: number } = {}) {
    this.#capacity = options.capacity ?? DEFAULT_CAPACITY
  }

  get size(): number {
    return this.#size
  }

  /** `fresh` is remembered; `used` with the milliseconds since the first use. */
  use(use: NonceUse, key = keyOf(use)): 'fresh' | 'stale' | { readonly usedAgoMs: number } {
    const { owner, dateMs, now } = use
    if (now >= this.#sweptAt + BUCKET_MS || this.#size >= this.#capacity) this.#sweep(now)
    const before = this.#shares.get(owner)?.usedAt(key)
    if (before !== undefined) return { usedAgoMs: Math.max(0, now - before) }
    while (this.#size >= this.#capacity) this.#size -= this.#largest().forgetOldest()
    let share = this.#shares.get(owner)
    if (share === undefined) {
      share = new Share()
      this.#shares.set(owner, share)
    }
    if (!share.add(key, dateMs, now)) return 'stale'
    this.#size++
    return 'fresh'
  }

  /** Drops what the date check refuses by now. Once in `BUCKET_MS`, or when full. */
  #sweep(now: number): void {
    this.#sweptAt = now
    for (const [owner, share] of this.#shares) {
      this.#size -= share.expire(now)
      if (share.isForgotten(now)) this.#shares.delete(owner)
    }
  }

  #largest(): Share {
    let largest: Share | undefined
    for (const share of this.#shares.values()) if (largest === undefined || share.size > largest.size) largest = share
    return largest!
  }
}

/** What one owner's requests were made unique by. */
class Share {
  /** Key → when it was first used, seconds since the epoch. */
  readonly #known = new Map<string, number>()
  /** The known keys again, by the date of their request in steps of `BUCKET_MS`. */
  readonly #buckets = new Map<number, string[]>()
  /** Buckets below this index were forgotten before their time. */
  #floor = 0

  get size(): number {
    return this.#known.size
  }

  usedAt(key: string): number | undefined {
    const seconds = this.#known.get(key)
    return seconds === undefined ? undefined : seconds * 1_000
  }

  /** False when nonces of that date were already forgotten. */
  add(key: string, dateMs: number, now: number): boolean {
    const index = Math.floor(dateMs / BUCKET_MS)
    if (index < this.#floor) return false
    const bucket = this.#buckets.get(index)
    if (bucket === undefined) this.#buckets.set(index, [key])
    else bucket.push(key)
    this.#known.set(key, Math.floor(now / 1_000))
    return true
  }

  /** Drops buckets whose dates the date check refuses; answers how many nonces went. At most 181 buckets exist. */
  expire(now: number): number {
    let gone = 0
    for (const index of this.#buckets.keys()) if (index < deadBefore(now)) gone += this.#drop(index)
    return gone
  }

  forgetOldest(): number {
    const oldest = Math.min(...this.#buckets.keys())
    this.#floor = Math.max(this.#floor, oldest + 1)
    return this.#drop(oldest)
  }

  /** No nonce of this owner is remembered. */
  isForgotten(now: number): boolean {
    return this.#known.size === 0 && this.#floor <= deadBefore(now)
  }

  #drop(index: number): number {
    const keys = this.#buckets.get(index) ?? []
    for (const key of keys) this.#known.delete(key)
    this.#buckets.delete(index)
    return keys.length
  }
}

const deadBefore = (now: number): number => Math.floor((now - DATE_WINDOW_MS) / BUCKET_MS)

/**
 * What is remembered and stored of a use; a nonce belongs to its access key, and two keys may use the same one. A digest
 * has one length whatever the client sends, tells nothing about the access key, and is a text of its own: the nonce is
 * often a slice of the request's body, and keeps all of it in memory as long as it is kept.
 */
function keyOf({ accessKeyId, nonce }: NonceUse): string {
  return createHash('sha256').update(`${accessKeyId}\n${nonce}`).digest('base64url')
}

/** What is stored of a use. */
export function oneUseOf(use: NonceUse, key = keyOf(use)): OneUse {
  return { key, expireTimeMs: use.dateMs + DATE_WINDOW_MS, stored: false }
}

/** A store that forgets everything when the process ends, for tests and the smallest set-ups. */
export function memoryNonces(options: { capacity?: number } = {}): NonceStore {
  const memory = new NonceMemory(options)
  return {
    use: async (use) => verdictOf(memory, use),
    release() {},
  }
}

export function verdictOf(memory: NonceMemory, use: NonceUse): NonceVerdict {
  const key = keyOf(use)
  const found = memory.use(use, key)
  if (found === 'fresh') return { kind: 'fresh', use: oneUseOf(use, key) }
  return found === 'stale' ? { kind: 'stale' } : { kind: 'used', agoMs: found.usedAgoMs }
}
