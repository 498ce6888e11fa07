/**
 * Opens the ledger: picks the database, brings its schema up to date, checks that the key file
 * belongs to it, and returns a `Ledger`.
 *
 * The caller holds the home's lock (home.ts) first: this removes what a killed WebAssembly SQLite
 * left behind, and nobody else may have the file open. Whatever is wrong with the file or the server
 * is a `HomeError`; a file that is not ours or is damaged is never written to.
 */
import path from 'node:path'
import {
  type CompiledQuery,
  type ConnectionProvider,
  type DatabaseConnection,
  DummyDriver,
  Kysely,
  type KyselyProps,
  Transaction,
} from 'kysely'
import type { Clock, Random } from '../world/world.ts'
import { LedgerError } from './errors.ts'
import { checkKeyFile, keyIsLost, lostKey } from './key-check.ts'
import type { Cause, ChangeContext, Ledger, Reader, Writer } from './ledger.ts'
import { type Migration, migrate, migrations } from './migrations.ts'
import { insertOneUse } from './nonces.ts'
import type { Schema } from './schema.ts'
import { openSecrets, type Secrets } from './secrets.ts'
import { SpaceReserve } from './space-reserve.ts'
import { LEDGER_FILE, openSqliteStore, type SqliteDriverName } from './sqlite.ts'
import { refuseChangeInsideChange, refuseReadInsideChange, type Store, TRACKING_IS_FREE } from './store.ts'

/** The part of a pino logger the ledger uses. */
export interface LedgerLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface OpenLedgerOptions {
  readonly home: string
  /** `postgres://…`, or null for SQLite in the home. */
  readonly databaseUrl: string | null
  readonly world: { readonly clock: Clock; readonly random: Random }
  readonly log: LedgerLog
  /** For tests: another SQLite driver than the one this Node gets. */
  readonly sqliteDriver?: SqliteDriverName
  /** Refuses at once a read or a change that would wait for the change it is called in; by default from Node 24 on, where tracking costs nothing. */
  readonly track?: boolean
  /** For tests: another list of migrations. */
  readonly migrations?: readonly Migration[]
}

export async function openLedger(options: OpenLedgerOptions): Promise<Ledger> {
  const { home, world, log } = options
  const started = world.clock.monotonic()
  const secrets = (await keyIsLost(options)) ? null : await openSecrets({ home, world })
  const store = await openStore(options)
  try {
    const applied = await store.migrate((connection) =>
      migrate(connection, store.dialect, world.clock.now(), options.migrations ?? migrations),
    )
    // Reported only now: a foreign or damaged database is the more useful reason.
    if (secrets === null) throw lostKey(home)
    const reserve = options.databaseUrl === null ? new SpaceReserve(home, world) : null
    // Not waited for: a start does not need it.
    void reserve?.fill()
    const ledger = ledgerOver(store, secrets, reserve)
    await checkKeyFile(store, secrets)
    log.info(
      { database: store.name, migrations: applied, ms: Math.round(world.clock.monotonic() - started) },
      'the ledger is open',
    )
    return ledger
  } catch (error) {
    await store.close()
    throw error
  }
}

async function openStore(options: OpenLedgerOptions): Promise<Store> {
  const { home, databaseUrl, world, log, track = TRACKING_IS_FREE } = options
  if (databaseUrl !== null) {
    const { openPostgresStore } = await import('./postgres.ts')
    return openPostgresStore({ databaseUrl, world, log, track })
  }
  return openSqliteStore({
    file: path.join(home, LEDGER_FILE),
    clock: world.clock,
    driver: options.sqliteDriver,
    track,
  })
}

/** What gives space back, or records that it was given: these may use the reserve of a full disk. */
const freesSpace = ({ action }: Cause): boolean => /^Delete/.test(action) || action === 'Reconcile'

/** A `Ledger` over any store. */
export function ledgerOver(store: Store, secrets: Secrets, reserve: SpaceReserve | null = null): Ledger {
  const reads: DatabaseConnection = {
    executeQuery: async (query) => {
      refuseReadInsideChange()
      refuseWrite(query)
      return store.reads.executeQuery(query)
    },
    streamQuery: store.reads.streamQuery,
  }
  const prototype = new Kysely<Schema>({ dialect: store.kysely })
  const read: Reader = new Kysely<Schema>(bound(prototype, store, reads))

  return {
    dialect: store.dialect,
    read,
    secrets,
    change: async (cause, work) => {
      refuseChangeInsideChange()
      const { once } = cause
      const storesUse = once !== undefined && !once.stored
      const write = async () => {
        const result = await store.write(async (connection) => {
          const tx: Writer = new Transaction<Schema>(bound(prototype, store, connection))
          if (storesUse) await insertOneUse(tx, once)
          return work(contextOf(tx, cause))
        })
        if (storesUse) once.stored = true
        return result
      }
      try {
        return await write()
      } catch (error) {
        const isFull = error instanceof LedgerError && error.code === 'storage'
        if (!isFull || !freesSpace(cause) || !(await reserve?.release())) throw error
        return write()
      }
    },
    close: async () => {
      await reserve?.close()
      await store.close()
    },
  }
}

function contextOf(tx: Writer, cause: Cause): ChangeContext {
  return {
    tx,
    cause,
    record: async (resource, detail) => {
      await tx
        .insertInto('changes')
        .values({
          at_ms: cause.at,
          request_id: cause.requestId,
          principal: cause.principal,
          action: cause.action,
          resource,
          detail_json: JSON.stringify(detail),
        })
        .execute()
    },
  }
}

/** Kysely over exactly this connection; its own driver, which would open transactions, refuses. */
function bound(prototype: Kysely<Schema>, store: Store, connection: DatabaseConnection): KyselyProps {
  const provider: ConnectionProvider = { provideConnection: (consumer) => consumer(connection) }
  return {
    config: { dialect: store.kysely },
    dialect: store.kysely,
    driver: new RefusingDriver(),
    executor: prototype.getExecutor().withConnectionProvider(provider),
  }
}

class RefusingDriver extends DummyDriver {
  override beginTransaction(): Promise<void> {
    return Promise.reject(new LedgerError('misuse', 'Use `ledger.change` for a transaction.'))
  }
}

function refuseWrite(query: CompiledQuery): void {
  const { kind } = query.query
  if (kind !== 'SelectQueryNode' && kind !== 'RawNode') {
    throw new LedgerError('misuse', 'Use `ledger.change` to write: every change has a cause.')
  }
}
