/**
 * Ledgers for tests: one list of databases to run a suite over, homes that remove themselves, and a
 * world with the machine's randomness and a clock of the test's choice.
 */
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { mkdtempSync, realpathSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import type { Cause, Ledger } from '../../src/ledger/ledger.ts'
import { type OpenLedgerOptions, openLedger } from '../../src/ledger/open.ts'
import { LEDGER_FILE } from '../../src/ledger/sqlite.ts'
import { openBinding, type SqliteDriverName, sqliteDriverName } from '../../src/ledger/sqlite-binding.ts'
import type { Clock, Random } from '../../src/world/world.ts'
import { postgresMissing, startPostgres, type TestPostgres } from './postgres.ts'

export interface LedgerTarget {
  readonly name: string
  /** Why it cannot run here, or null. */
  readonly missing: string | null
  readonly kind: 'sqlite' | 'postgres'
  readonly sqliteDriver: SqliteDriverName | undefined
}

const sqlite = (driver: SqliteDriverName, missing: string | null): LedgerTarget => ({
  name: driver,
  missing,
  kind: 'sqlite',
  sqliteDriver: driver,
})

/** Every database the ledger runs on, missing ones with their reason. */
export const ledgerTargets: readonly LedgerTarget[] = [
  sqlite('node-sqlite3-wasm', null),
  sqlite(
    'node:sqlite',
    sqliteDriverName() === 'node:sqlite' ? null : `Node ${process.versions.node} has no node:sqlite`,
  ),
  { name: 'PostgreSQL', missing: postgresMissing(), kind: 'postgres', sqliteDriver: undefined },
]

/** The name of a suite that says why it is skipped. */
export function titleOf(target: LedgerTarget): string {
  return target.missing === null ? target.name : `${target.name} (skipped: ${target.missing})`
}

export const testClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

export const testRandom: Random = {
  bytes: (count) => randomBytes(count),
  below: (bound) => randomInt(bound),
  uuid: () => randomUUID().toUpperCase(),
}

export const quietLog = { info: () => {}, warn: () => {} }

export const aCause: Cause = {
  at: 1_770_000_000_000,
  requestId: '3F2504E0-4F89-11D3-9A0C-0305E82C3301',
  principal: 'acs:ram::1234567890123456:root',
  action: 'CreateInstance',
}

/** A place where one ledger lives; it may be opened again and again, as after a restart. */
export interface LedgerPlace {
  readonly home: string
  readonly target: LedgerTarget
  readonly databaseUrl: string | null
  open(more?: Partial<OpenLedgerOptions>): Promise<Ledger>
  /** Runs statements past the ledger, which is closed meanwhile. */
  tamper(sql: string): Promise<void>
}

/** Hands out places and, at the end, closes what is open and removes what was made. */
export class LedgerPlaces {
  #postgres: Promise<TestPostgres> | null = null
  readonly #open = new Set<Ledger>()
  readonly #homes: string[] = []

  async place(target: LedgerTarget): Promise<LedgerPlace> {
    const home = this.home()
    const databaseUrl = target.kind === 'postgres' ? await (await this.#server()).emptyDatabase() : null
    return {
      home,
      target,
      databaseUrl,
      open: async (more = {}) => {
        const ledger = await openLedger({
          home,
          databaseUrl,
          world: { clock: testClock, random: testRandom },
          log: quietLog,
          track: true,
          ...(target.sqliteDriver === undefined ? {} : { sqliteDriver: target.sqliteDriver }),
          ...more,
        })
        this.#open.add(ledger)
        return ledger
      },
      tamper: async (sql) => {
        if (databaseUrl === null) {
          const binding = openBinding(path.join(home, LEDGER_FILE), target.sqliteDriver)
          binding.exec(`pragma locking_mode = exclusive; ${sql}`)
          binding.close()
          return
        }
        const client = new pg.Client({ connectionString: databaseUrl })
        await client.connect()
        await client.query(sql)
        await client.end()
      },
    }
  }

  /** A fresh temporary folder. */
  home(): string {
    const home = mkdtempSync(path.join(realpathSync(tmpdir()), 'gantry-ledger-'))
    this.#homes.push(home)
    return home
  }

  /** Closes ledgers and removes homes; a server, if one was started, stays for the next test. */
  async clean(): Promise<void> {
    for (const ledger of this.#open) await ledger.close()
    this.#open.clear()
    for (const home of this.#homes.splice(0)) await rm(home, { recursive: true, force: true })
  }

  async stop(): Promise<void> {
    await this.clean()
    const server = await this.#postgres
    this.#postgres = null
    await server?.stop()
  }

  #server(): Promise<TestPostgres> {
    this.#postgres ??= startPostgres()
    return this.#postgres
  }
}
