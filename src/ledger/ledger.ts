/**
 * The ledger as its users see it. `open.ts` makes one over SQLite or PostgreSQL.
 *
 * A write is one `change`: a serialised, durable transaction whose cause (who, which request, when)
 * is recorded with it. The work may run twice when PostgreSQL asks for it, so it must have no effect
 * outside the transaction. It runs alone, so it must be short, and it must wait for nothing but its
 * own queries: a read through `read`, or another change, would wait for it (store.ts). Its first failed
 * statement ends it. Per-resource queries live in files named after the resource
 * (instances.ts, topics.ts, …) and take a `Reader` or a `Writer` first.
 */
import type { Kysely, Transaction } from 'kysely'
import type { Schema } from './schema.ts'
import type { Secrets } from './secrets.ts'

/** Anything one can select from: the ledger itself or a transaction. */
export type Reader = Kysely<Schema>

export interface Writer extends Transaction<Schema> {}

/** What made a signed request unique: it may cause one change. */
export interface OneUse {
  /** Of `used_nonces`. */
  readonly key: string
  readonly expireTimeMs: number
  /** True once a committed change has stored it. */
  stored: boolean
}

export interface Cause {
  readonly at: number
  readonly requestId: string
  readonly principal: string
  readonly action: string
  /** Stored in the same transaction; a change whose use is stored already is refused as `repeated`. */
  readonly once?: OneUse
}

export interface ChangeContext {
  readonly tx: Writer
  readonly cause: Cause
  /** Notes what changed, in the same transaction. `detail` must hold no secret. */
  record(resource: string, detail: Readonly<Record<string, unknown>>): Promise<void>
}

export interface Ledger {
  readonly dialect: 'sqlite' | 'postgres'
  readonly read: Reader
  readonly secrets: Secrets
  change<T>(cause: Cause, work: (context: ChangeContext) => Promise<T>): Promise<T>
  close(): Promise<void>
}
