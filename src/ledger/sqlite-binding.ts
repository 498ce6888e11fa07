/**
 * The two ways to SQLite, behind one small synchronous interface: `node:sqlite` where Node has it in
 * a usable form (22.16 and later), else the WebAssembly build, which runs everywhere.
 *
 * Both keep a bounded cache of prepared statements. A statement that failed is thrown away: the
 * WebAssembly build would answer the old error again when it is next used. Values arrive checked
 * (values.ts).
 */
import { createRequire } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import type { Database as WasmDatabase, Statement as WasmStatement } from 'node-sqlite3-wasm'
import type { StoredValue } from './values.ts'

export type SqliteDriverName = 'node:sqlite' | 'node-sqlite3-wasm'

export type SqliteRow = Record<string, unknown>

export interface SqliteBinding {
  readonly name: SqliteDriverName
  /** One or more statements without parameters. */
  exec(sql: string): void
  /** All rows of a statement that answers rows. */
  all(sql: string, values: readonly StoredValue[]): SqliteRow[]
  /** Runs a statement that answers none; gives the number of rows it changed and the last row id. */
  run(sql: string, values: readonly StoredValue[]): { readonly changes: number; readonly lastInsertRowid: number }
  readonly inTransaction: boolean
  close(): void
}

const STATEMENT_CACHE_SIZE = 256

/** The driver this Node gets. */
export function sqliteDriverName(nodeVersion: string = process.versions.node): SqliteDriverName {
  const [major = 0, minor = 0] = nodeVersion.split('.').map(Number)
  return major > 22 || (major === 22 && minor >= 16) ? 'node:sqlite' : 'node-sqlite3-wasm'
}

/** Opens or creates the file; throws the driver's own error. */
export function openBinding(path: string, driver: SqliteDriverName = sqliteDriverName()): SqliteBinding {
  return driver === 'node:sqlite' ? openNative(path) : openWasm(path)
}

// ---- node:sqlite

interface NativeStatement {
  all(...values: StoredValue[]): SqliteRow[]
  run(...values: StoredValue[]): { changes: number | bigint; lastInsertRowid: number | bigint }
}

interface NativeDatabase {
  exec(sql: string): void
  prepare(sql: string): NativeStatement
  readonly isTransaction: boolean
  close(): void
}

function openNative(path: string): SqliteBinding {
  const { DatabaseSync } = requireQuietly('node:sqlite') as {
    DatabaseSync: new (path: string, options: object) => NativeDatabase
  }
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: true, allowExtension: false })
  const statements = new StatementCache<NativeStatement>(
    (sql) => database.prepare(sql),
    () => {},
  )
  return {
    name: 'node:sqlite',
    exec: (sql) => database.exec(sql),
    // Its rows have no prototype; ours are plain objects on every driver.
    all: (sql, values) => statements.use(sql, (statement) => statement.all(...values).map((row) => ({ ...row }))),
    run: (sql, values) =>
      statements.use(sql, (statement) => {
        const { changes, lastInsertRowid } = statement.run(...values)
        return { changes: Number(changes), lastInsertRowid: Number(lastInsertRowid) }
      }),
    get inTransaction() {
      return database.isTransaction
    },
    close: () => {
      statements.clear()
      database.close()
    },
  }
}

/** Node warns once that its SQLite is experimental; the choice is deliberate, so the warning is suppressed. */
function requireQuietly(name: string): unknown {
  const emitWarning = process.emitWarning
  process.emitWarning = ((warning: string | Error, ...rest: never[]) => {
    if (/sqlite/i.test(String(warning))) return
    emitWarning.call(process, warning as string, ...rest)
  }) as typeof process.emitWarning
  try {
    return createRequire(import.meta.url)(name)
  } finally {
    process.emitWarning = emitWarning
  }
}

// ---- node-sqlite3-wasm

function openWasm(path: string): SqliteBinding {
  // V8 compiles hot functions on every thread of its pool, and what each thread's allocator took for it never goes
  // back: 35 MB of resident memory. One at a time is as fast here, because so few functions are hot.
  setFlagsFromString('--wasm-num-compilation-tasks=1')
  const { Database } = createRequire(import.meta.url)('node-sqlite3-wasm') as { Database: typeof WasmDatabase }
  const database = new Database(path)
  const statements = new StatementCache<WasmStatement>(
    (sql) => database.prepare(sql),
    (statement) => statement.finalize(),
  )
  return {
    name: 'node-sqlite3-wasm',
    exec: (sql) => database.exec(sql),
    all: (sql, values) => statements.use(sql, (statement) => statement.all([...values]) as SqliteRow[]),
    run: (sql, values) =>
      statements.use(sql, (statement) => {
        const { changes, lastInsertRowid } = statement.run([...values])
        return { changes, lastInsertRowid: Number(lastInsertRowid) }
      }),
    get inTransaction() {
      return database.inTransaction
    },
    close: () => {
      statements.clear()
      database.close()
    },
  }
}

// ---- prepared statements

/** Least recently used statements go first. */
class StatementCache<S> {
  readonly #prepare: (sql: string) => S
  readonly #finalize: (statement: S) => void
  readonly #statements = new Map<string, S>()

  constructor(prepare: (sql: string) => S, finalize: (statement: S) => void) {
    this.#prepare = prepare
    this.#finalize = finalize
  }

  use<T>(sql: string, work: (statement: S) => T): T {
    const statement = this.#statements.get(sql) ?? this.#prepare(sql)
    this.#statements.delete(sql)
    try {
      const result = work(statement)
      this.#statements.set(sql, statement)
      this.#evict()
      return result
    } catch (error) {
      this.#finalizeQuietly(statement)
      throw error
    }
  }

  clear(): void {
    for (const statement of this.#statements.values()) this.#finalizeQuietly(statement)
    this.#statements.clear()
  }

  #evict(): void {
    if (this.#statements.size <= STATEMENT_CACHE_SIZE) return
    const [oldest] = this.#statements
    if (oldest === undefined) return
    this.#statements.delete(oldest[0])
    this.#finalizeQuietly(oldest[1])
  }

  /** Finalizing repeats the error of the statement's last run, which was thrown already. */
  #finalizeQuietly(statement: S): void {
    try {
      this.#finalize(statement)
    } catch {
      // Reported when it happened.
    }
  }
}
