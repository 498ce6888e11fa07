/**
 * A nonce store that remembers across restarts: the memory of nonces.ts in front, the ledger's `used_nonces` behind.
 *
 * The nonce of a request that changes something is written by the ledger in the transaction of that change
 * (`Cause.once`), so the same signed bytes are never carried out twice, not even across kill -9. The others are
 * written in batches, off the request's path, once their request is over; a kill -9 forgets at most the batch being
 * gathered (`flushDelayMs`), and a replay of those changes nothing. An orderly stop forgets nothing.
 *
 * The ledger is read only for requests dated so early that a nonce of the previous run could be theirs; with
 * synchronised clocks there are none.
 */
import type { Ledger } from '../ledger/ledger.ts'
import { insertNonces, NONCE_PRUNE_LIMIT, pruneNonces } from '../ledger/nonces.ts'
import type { Cancel, Clock } from '../world/world.ts'
import { NonceMemory, type NonceStore, verdictOf } from './nonces.ts'

export interface LedgerNonces extends NonceStore {
  /** Resolves when the batches begun so far are written. */
  written(): Promise<void>
  /** Writes what is gathered; call before the ledger closes. */
  close(): Promise<void>
}

interface Options {
  readonly ledger: Ledger
  readonly clock: Clock
  readonly capacity?: number
  readonly flushDelayMs?: number
  /** Told when a batch could not be written; the nonces stay in memory and are tried again with the next batch. */
  readonly onError?: (error: unknown) => void
}

const DEFAULT_FLUSH_DELAY_MS = 250
const CLEANING_INTERVAL_MS = 60_000

export async function openLedgerNonces(options: Options): Promise<LedgerNonces> {
  return new StoredNonces(options, await newestExpiry(options.ledger))
}

class StoredNonces implements LedgerNonces {
  readonly #ledger: Ledger
  readonly #clock: Clock
  readonly #flushDelayMs: number
  readonly #onError: ((error: unknown) => void) | undefined
  readonly #memory: NonceMemory
  /** Newest expiry of what a previous run wrote: only a nonce that expires no later can be one of its. */
  readonly #horizonMs: number
  /** Key → expiry; bounded because what is pending is also in memory, which is bounded. */
  #pending = new Map<string, number>()
  #timer: Cancel | null = null
  #writing: Promise<void> = Promise.resolve()
  #cleanAfterMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor({ ledger, clock, capacity, flushDelayMs, onError }: Options, horizonMs: number) {
    this.#ledger = ledger
    this.#clock = clock
    this.#flushDelayMs = flushDelayMs ?? DEFAULT_FLUSH_DELAY_MS
    this.#onError = onError
    this.#memory = new NonceMemory(capacity === undefined ? {} : { capacity })
    this.#horizonMs = horizonMs
  }

  async use(use: Parameters<NonceStore['use']>[0]): ReturnType<NonceStore['use']> {
    const verdict = verdictOf(this.#memory, use)
    if (verdict.kind !== 'fresh') return verdict
    const { key, expireTimeMs } = verdict.use
    const isUsed = expireTimeMs <= this.#horizonMs && (await isStored(this.#ledger, key))
    return isUsed ? { kind: 'used', agoMs: Number.POSITIVE_INFINITY } : verdict
  }

  release({ key, expireTimeMs, stored }: Parameters<NonceStore['release']>[0]): void {
    if (!stored) this.#pending.set(key, expireTimeMs)
    if (!stored || this.#clock.now() >= this.#cleanAfterMs) this.#schedule()
  }

  written(): Promise<void> {
    return this.#writing
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#flush()
  }

  #schedule(): void {
    if (this.#timer === null && !this.#closed)
      this.#timer = this.#clock.after(this.#flushDelayMs, () => void this.#flush())
  }

  #flush(): Promise<void> {
    this.#timer?.()
    this.#timer = null
    const batch = this.#pending
    if (batch.size === 0 && this.#clock.now() < this.#cleanAfterMs) return this.#writing
    this.#pending = new Map()
    this.#writing = this.#writing.then(() => this.#write(batch))
    return this.#writing
  }

  async #write(batch: Map<string, number>): Promise<void> {
    const now = this.#clock.now()
    try {
      const removed = await save(this.#ledger, batch, now, now >= this.#cleanAfterMs)
      // With more to remove, the next batch removes more: rows go as fast as they come.
      if (removed !== null) this.#cleanAfterMs = removed < NONCE_PRUNE_LIMIT ? now + CLEANING_INTERVAL_MS : now
    } catch (error) {
      for (const [key, expireTimeMs] of batch) if (expireTimeMs > now) this.#pending.set(key, expireTimeMs)
      this.#onError?.(error)
      this.#schedule()
    }
  }
}

async function newestExpiry(ledger: Ledger): Promise<number> {
  const row = await ledger.read
    .selectFrom('used_nonces')
    .select((expression) => expression.fn.max('expire_time_ms').as('newest'))
    .executeTakeFirst()
  return Number(row?.newest ?? Number.NEGATIVE_INFINITY)
}

async function isStored(ledger: Ledger, key: string): Promise<boolean> {
  const row = await ledger.read
    .selectFrom('used_nonces')
    .select('nonce_key')
    .where('nonce_key', '=', key)
    .executeTakeFirst()
  return row !== undefined
}

/** Answers how many expired ones were removed, null when none were looked for. */
function save(ledger: Ledger, batch: Map<string, number>, now: number, clean: boolean): Promise<number | null> {
  const rows = [...batch].map(([nonce_key, expire_time_ms]) => ({ nonce_key, expire_time_ms }))
  const cause = { at: now, requestId: 'none', principal: 'system', action: 'RememberNonces' }
  return ledger.change(cause, async ({ tx }) => {
    await insertNonces(tx, rows)
    return clean ? pruneNonces(tx, now) : null
  })
}
