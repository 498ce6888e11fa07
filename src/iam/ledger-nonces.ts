/**
 * A nonce store that remembers across restarts: the memory of nonces.ts in front, the ledger's `used_nonces` behind.
 *
 * The ledger is written in batches, off the request's path. It is read only for requests dated so early that a
 * nonce of the previous run could be theirs; with clocks in step that is nobody. A kill -9 forgets at most the
 * batch being gathered (`flushDelayMs`); an orderly stop forgets nothing.
 */
import { createHash } from 'node:crypto'
import type { Ledger } from '../ledger/ledger.ts'
import { insertNonces, pruneNonces } from '../ledger/nonces.ts'
import type { Cancel, Clock } from '../world/world.ts'
import { DATE_WINDOW_MS, NonceMemory, type NonceStore, nonceKey } from './nonces.ts'

export interface LedgerNonces extends NonceStore {
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
  let cleanedAt = Number.NEGATIVE_INFINITY
  let closed = false

  const flush = (): Promise<void> => {
    timer?.()
    timer = null
    const batch = pending
    if (batch.size === 0) return writing
    pending = new Map()
    writing = writing.then(() => write(batch))
    return writing
  }
  const write = async (batch: Map<string, number>): Promise<void> => {
    const now = clock.now()
    const clean = now - cleanedAt >= CLEANING_INTERVAL_MS
    try {
      await save(ledger, batch, now, clean)
      if (clean) cleanedAt = now
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
      const key = nonceKey(use)
      const verdict = memory.use(key, use.dateMs, use.now)
      if (verdict !== 'fresh') return verdict
      const expireTimeMs = use.dateMs + DATE_WINDOW_MS
      const stored = digestOf(key)
      if (expireTimeMs <= horizonMs && (await isStored(ledger, stored))) return 'used'
      pending.set(stored, expireTimeMs)
      schedule()
      return 'fresh'
    },
    async close() {
      closed = true
      await flush()
    },
  }
}

/** The row's key has one length whatever the client sends, and tells nothing about the access key. */
function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('base64url')
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

async function save(ledger: Ledger, batch: Map<string, number>, now: number, clean: boolean): Promise<void> {
  const rows = [...batch].map(([nonce_key, expire_time_ms]) => ({ nonce_key, expire_time_ms }))
  const cause = { at: now, requestId: 'none', principal: 'system', action: 'RememberNonces' }
  await ledger.change(cause, async ({ tx }) => {
    await insertNonces(tx, rows)
    if (clean) await pruneNonces(tx, now)
  })
}
