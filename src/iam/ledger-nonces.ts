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
  const { ledger, clock } = options
  const flushDelayMs = options.flushDelayMs ?? DEFAULT_FLUSH_DELAY_MS
  const memory = new NonceMemory(options.capacity === undefined ? {} : { capacity: options.capacity })
  const horizonMs = await newestExpiry(ledger)
  /** Key → expiry; bounded because what is pending is also in memory, which is bounded. */
  let pending = new Map<string, number>()
  let timer: Cancel | null = null
  let writing: Promise<void> = Promise.resolve()
  let cleanAfterMs = Number.NEGATIVE_INFINITY
  let closed = false

  const flush = (): Promise<void> => {
    timer?.()
    timer = null
    const batch = pending
    if (batch.size === 0 && clock.now() < cleanAfterMs) return writing
    pending = new Map()
    writing = writing.then(() => write(batch))
    return writing
  }
  const write = async (batch: Map<string, number>): Promise<void> => {
    const now = clock.now()
    try {
      const removed = await save(ledger, batch, now, now >= cleanAfterMs)
      // With more to remove, the next batch removes more: rows go as fast as they come.
      if (removed !== null) cleanAfterMs = removed < NONCE_PRUNE_LIMIT ? now + CLEANING_INTERVAL_MS : now
    } catch (error) {
      for (const [key, expireTimeMs] of batch) if (expireTimeMs > now) pending.set(key, expireTimeMs)
      options.onError?.(error)
      schedule()
    }
  }
  const schedule = (): void => {
    if (timer === null && !closed) timer = clock.after(flushDelayMs, () => void flush())
  }

  return {
    async use(use) {
      const verdict = verdictOf(memory, use)
      if (verdict.kind !== 'fresh') return verdict
      const { key, expireTimeMs } = verdict.use
      const isUsed = expireTimeMs <= horizonMs && (await isStored(ledger, key))
      return isUsed ? { kind: 'used', agoMs: Number.POSITIVE_INFINITY } : verdict
    },
    release({ key, expireTimeMs, stored }) {
      if (!stored) pending.set(key, expireTimeMs)
      if (!stored || clock.now() >= cleanAfterMs) schedule()
    },
    written: () => writing,
    async close() {
      closed = true
      await flush()
    },
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
