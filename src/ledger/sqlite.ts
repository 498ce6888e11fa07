/**
 * The ledger's store on SQLite: one file, one connection, one writer, exclusive to this process.
 *
 * Changes that arrive while the event loop turns once, or while the last commit ran, share one
 * commit (each in its own savepoint), because a commit costs a sync of the disk and nothing else
 * costs as much. The result of a change is returned after its commit is durable, and so is a refusal that may
 * depend on another change of the same batch. Reads run between transactions, never inside one.
 *
 * The driver is synchronous, so a commit holds the thread for the length of one disk sync.
 */
import { rmdir, stat } from 'node:fs/promises'
import path from 'node:path'
import {
  CompiledQuery,
  type DatabaseConnection,
  DummyDriver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { Clock } from '../world/world.ts'
import { HomeError, LedgerError } from './errors.ts'
import { hasCode, reasonOf, syncDirectory } from './files.ts'
import { openBinding, type SqliteBinding, type SqliteDriverName, sqliteDriverName } from './sqlite-binding.ts'
import { CHANGE_LIMIT_MS, MAX_WAITING_CHANGES, MAX_WAITING_READS, runScoped, type Store } from './store.ts'
import { storedValues } from './values.ts'

export type { SqliteDriverName } from './sqlite-binding.ts'

export const LEDGER_FILE = 'gantry.db'

/** A batch takes no further change once it holds this many, or has run this long. */
const MAX_BATCH = 32
const MAX_BATCH_MS = 8

/** Pragmas of every open. Exclusive locking must come before the first use of the write-ahead log: the WebAssembly build has no shared memory. */
export const PRAGMAS = `
  pragma locking_mode = exclusive;
  pragma journal_mode = wal;
  pragma synchronous = full;
  pragma foreign_keys = on;
  pragma busy_timeout = 2000;
  pragma case_sensitive_like = on;
  pragma trusted_schema = off;
  pragma temp_store = memory;
  pragma cache_size = -8000;
`

/**
 * Opens or creates the file, whose home this process has locked. Never writes to a file that is not
 * a ledger or is damaged: that is a `HomeError`.
 */
export async function openSqliteStore(options: {
  readonly file: string
  readonly clock: Clock
  readonly driver?: SqliteDriverName | undefined
  readonly track: boolean
}): Promise<SqliteStore> {
  const { file, driver = sqliteDriverName() } = options
  // What the WebAssembly build leaves when it is killed; nobody else has the file, we hold the home.
  await removeStaleLock(`${file}.lock`)
  let binding: SqliteBinding | null = null
  try {
    binding = openBinding(file, driver)
    binding.exec(PRAGMAS)
    refuseOtherModes(binding, file)
    await refuseDamaged(binding, file)
    return new SqliteStore(binding, options)
  } catch (error) {
    closeQuietly(binding)
    throw openingError(error, file)
  }
}

interface WaitingChange {
  run(connection: DatabaseConnection): Promise<unknown>
  resolve(result: unknown): void
  reject(error: unknown): void
}

type Outcome = { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly error: unknown }

export class SqliteStore implements Store {
  readonly dialect = 'sqlite'
  get name(): string {
    return this.#binding.name
  }

  readonly kysely = {
    createDriver: () => new DummyDriver(),
    createAdapter: () => new SqliteAdapter(),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createIntrospector: (db: ConstructorParameters<typeof SqliteIntrospector>[0]) => new SqliteIntrospector(db),
  }
  readonly reads: DatabaseConnection
  readonly #file: string
  readonly #binding: SqliteBinding
  readonly #clock: Clock
  readonly #track: boolean
  readonly #direct: DatabaseConnection
  readonly #waiting: WaitingChange[] = []
  #readers: Array<() => void> = []
  /** A batch is between its `begin` and the end of its `commit`. */
  #inTransaction = false
  #scheduled = false
  #closed = false
  #onIdle: (() => void) | null = null

  constructor(
    binding: SqliteBinding,
    options: { readonly file: string; readonly clock: Clock; readonly track: boolean },
  ) {
    this.#file = options.file
    this.#binding = binding
    this.#clock = options.clock
    this.#track = options.track
    this.#direct = { executeQuery: async (query) => this.#execute(query), streamQuery: refuseStream }
    this.reads = { executeQuery: (query) => this.#read(query), streamQuery: refuseStream }
  }

  write<T>(work: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(closed())
    if (this.#waiting.length >= MAX_WAITING_CHANGES) {
      return Promise.reject(
        new LedgerError('busy', `${MAX_WAITING_CHANGES} changes are waiting already; try again in a moment.`),
      )
    }
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ run: work, resolve: resolve as (result: unknown) => void, reject })
      this.#schedule()
    })
  }

  /**
   * Also makes the names of the file and its write-ahead log durable, which the WebAssembly build
   * leaves to us; the write that makes the log exist tells at once whether the disk takes writes.
   */
  async migrate(work: (connection: DatabaseConnection) => Promise<number>): Promise<number> {
    try {
      const applied = await this.write((connection) => work(connection))
      await this.write((connection) => connection.executeQuery(CompiledQuery.raw(TOUCH)))
      await syncDirectory(path.dirname(this.#file))
      return applied
    } catch (error) {
      throw openingError(error, this.#file)
    }
  }

  /** Lets what is waiting finish, then moves the log into the file and closes it. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#inTransaction || this.#waiting.length > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    this.#binding.close()
  }

  /** `setImmediate` gathers what this turn of the event loop brings; it is no timer. */
  #schedule(): void {
    if (this.#scheduled || this.#inTransaction) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      void this.#runBatch()
    })
  }

  async #runBatch(): Promise<void> {
    this.#inTransaction = true
    const taken: WaitingChange[] = []
    const outcomes: Outcome[] = []
    try {
      this.#binding.exec('begin immediate')
      const start = this.#clock.monotonic()
      while (this.#waiting.length > 0 && taken.length < MAX_BATCH) {
        const change = this.#waiting.shift()!
        taken.push(change)
        outcomes.push(await this.#runChange(change))
        if (this.#clock.monotonic() - start > MAX_BATCH_MS) break
      }
      this.#binding.exec(outcomes.some((outcome) => outcome.ok) ? 'commit' : 'rollback')
      settle(taken, outcomes)
    } catch (error) {
      this.#rollBackQuietly()
      const failure = storageError(error)
      // A batch that could not begin still answers the first waiting change.
      if (taken.length === 0) taken.push(...this.#waiting.splice(0, MAX_BATCH))
      for (const change of taken) change.reject(failure)
    } finally {
      this.#inTransaction = false
      this.#afterBatch()
    }
  }

  /** Throws only when the whole transaction is lost. */
  async #runChange(change: WaitingChange): Promise<Outcome> {
    this.#binding.exec('savepoint change')
    try {
      const result = await runScoped(this.#direct, change.run, {
        limit: (expired) => this.#clock.after(CHANGE_LIMIT_MS, expired),
        track: this.#track,
      })
      this.#binding.exec('release change')
      return { ok: true, result }
    } catch (error) {
      // A full disk or a failed write ends the transaction, and with it the other changes of the batch.
      if (!this.#binding.inTransaction) throw error
      this.#binding.exec('rollback to change')
      this.#binding.exec('release change')
      return { ok: false, error: isStorageFailure(error) ? storageError(error) : error }
    }
  }

  #rollBackQuietly(): void {
    try {
      if (this.#binding.inTransaction) this.#binding.exec('rollback')
    } catch {
      // The transaction ended by itself; what is reported is why.
    }
  }

  #afterBatch(): void {
    const readers = this.#readers
    this.#readers = []
    for (const wake of readers) wake()
    if (this.#waiting.length > 0) this.#schedule()
    else this.#onIdle?.()
  }

  async #read<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    // Woken readers run before the next batch begins: it waits for the event loop to turn.
    while (this.#inTransaction) {
      if (this.#readers.length >= MAX_WAITING_READS) {
        throw new LedgerError('busy', `${MAX_WAITING_READS} reads are waiting already; try again in a moment.`)
      }
      await new Promise<void>((resolve) => {
        this.#readers.push(resolve)
      })
    }
    if (this.#closed) throw closed()
    try {
      return this.#execute(query)
    } catch (error) {
      throw storageError(error)
    }
  }

  #execute<R>(query: CompiledQuery): QueryResult<R> {
    const values = storedValues(query.parameters)
    if (answersRows(query)) {
      const rows = this.#binding.all(query.sql, values) as R[]
      return { rows, numAffectedRows: BigInt(rows.length) }
    }
    const { changes, lastInsertRowid } = this.#binding.run(query.sql, values)
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
  }
}

function settle(changes: readonly WaitingChange[], outcomes: readonly Outcome[]): void {
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.ok) changes[index]!.resolve(outcome.result)
    else changes[index]!.reject(outcome.error)
  }
}

function answersRows(query: CompiledQuery): boolean {
  const node = query.query
  if (node.kind === 'SelectQueryNode') return true
  if (node.kind === 'RawNode') return /^\s*(select|with|pragma|explain|values)\b|\breturning\b/i.test(query.sql)
  return 'returning' in node && node.returning !== undefined
}

// biome-ignore lint/correctness/useYield: the interface wants a generator; streaming is refused.
async function* refuseStream(): AsyncIterableIterator<never> {
  throw new LedgerError('misuse', 'The ledger does not stream; read a page at a time.')
}

/** Any write will do. */
const TOUCH = `insert into meta (key, value) values ('opened', '1') on conflict (key) do update set value = value + 1`

async function removeStaleLock(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) {
      throw new HomeError(`${directory} is in the way (${reasonOf(error)}). Remove it; nothing of Gantry's is in it.`, {
        cause: error,
      })
    }
  }
}

/** The driver answers a pragma it cannot follow with what it does instead, and without an error. */
function refuseOtherModes(binding: SqliteBinding, file: string): void {
  const value = (pragma: string): unknown => Object.values(binding.all(`pragma ${pragma}`, [])[0] ?? {})[0]
  for (const [pragma, wanted] of [
    ['journal_mode', 'wal'],
    ['synchronous', 2],
    ['foreign_keys', 1],
  ] as const) {
    if (value(pragma) !== wanted) {
      throw new HomeError(
        `SQLite runs ${file} with ${pragma} = ${value(pragma)} instead of ${wanted}, which would not keep what it promised. Put the home on a local disk.`,
      )
    }
  }
}

/** Costs 2 to 6 ms a megabyte, so a larger file is not searched for damage before somebody meets it. */
const MAX_CHECKED_BYTES = 8_000_000

async function refuseDamaged(binding: SqliteBinding, file: string): Promise<void> {
  if ((await stat(file)).size > MAX_CHECKED_BYTES) return
  const [found] = binding.all('pragma quick_check(1)', [])
  const verdict = Object.values(found ?? {})[0]
  if (verdict !== 'ok') throw new Error(`malformed: ${verdict}`)
}

function closeQuietly(binding: SqliteBinding | null): void {
  try {
    binding?.close()
  } catch {
    // The error that made us close is the one to report.
  }
}

function openingError(error: unknown, file: string): unknown {
  if (error instanceof HomeError || !(error instanceof Error)) return error
  const text = error instanceof LedgerError && error.cause instanceof Error ? error.cause.message : error.message
  if (/not a database|malformed|encrypted/i.test(text)) {
    return new HomeError(
      `${file} is not a sound ledger (${text}). It was left as it is: restore it from a copy, or move it and ${file}-wal away to start empty.`,
      { cause: error },
    )
  }
  if (/locked|busy/i.test(text)) {
    return new HomeError(`Another program holds ${file}. Close it and start again.`, { cause: error })
  }
  if (/readonly|read-only|full|I\/O|unable to open|Could not open|could not open/i.test(text)) {
    return new HomeError(
      `The ledger ${file} cannot be opened for writing (${text}). Check that its folder is there, is yours, and has space.`,
      { cause: error },
    )
  }
  return error
}

const TROUBLE: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /disk is full|ENOSPC/i,
    'The disk of the home directory is full. Nothing of this change was stored; free some space.',
  ],
  [/readonly|read-only|EROFS/i, 'The ledger file is read-only. Nothing of this change was stored; make it writable.'],
  [
    /disk I\/O error|unable to open database/i,
    'The disk of the home directory refused a write or a read (full, read-only or failing). Nothing of this change was stored.',
  ],
  [
    /malformed|not a database/i,
    'The ledger file is damaged. Stop the server and restore gantry.db from a copy; nothing was written over it.',
  ],
  [/database is locked/i, 'Another program holds the ledger file. Close it; nothing of this change was stored.'],
]

function isStorageFailure(error: unknown): boolean {
  return error instanceof Error && TROUBLE.some(([pattern]) => pattern.test(error.message))
}

function storageError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof LedgerError) return error
  const known = TROUBLE.find(([pattern]) => pattern.test(error.message))
  return known === undefined ? error : new LedgerError('storage', known[1], { cause: error })
}

function closed(): LedgerError {
  return new LedgerError('closed', 'The ledger is closed: the server is stopping.')
}
