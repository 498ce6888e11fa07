/**
 * The ledger's store on PostgreSQL, for when one file on one machine is outgrown.
 *
 * Changes run one after another, as on SQLite: in this process through a queue, among processes
 * through an advisory lock of the database and schema. So a change may check and then write as if it
 * were alone. SERIALIZABLE transactions were tried instead: 16 in flight on small tables starved each
 * other (ten attempts were not enough), where the lock carries 600 changes a second.
 *
 * Reads use the other connections and wait for no change. The pool is bounded, and every wait
 * has a limit. The URL's password reaches no log and no message.
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  DummyDriver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from 'kysely'
import type { Pool, PoolClient } from 'pg'
import type { Clock, Random } from '../world/world.ts'
import { HomeError, LedgerError } from './errors.ts'
import { CHANGE_LIMIT_MS, MAX_WAITING_CHANGES, MAX_WAITING_READS, runScoped, type Store } from './store.ts'
import { storedValues } from './values.ts'

const MAX_CONNECTIONS = 10
const CONNECT_LIMIT_MS = 10_000
const STATEMENT_LIMIT_MS = 20_000
const MAX_ATTEMPTS = 5
/**
 * One round trip: the transaction, and the lock that makes it the only one of this database and
 * schema. READ COMMITTED, because each statement must see what the lock's last holder did.
 */
const BEGIN_ALONE =
  "begin isolation level read committed; select pg_advisory_xact_lock(hashtext('gantry ledger'), hashtext(current_schema()))"

export async function openPostgresStore(options: {
  readonly databaseUrl: string
  readonly world: { readonly clock: Clock; readonly random: Random }
  readonly log: { warn(fields: object, message: string): void }
  readonly track: boolean
}): Promise<Store> {
  const name = nameOf(options.databaseUrl)
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    statement_timeout: STATEMENT_LIMIT_MS,
    query_timeout: STATEMENT_LIMIT_MS + 5_000,
    lock_timeout: STATEMENT_LIMIT_MS,
    idle_in_transaction_session_timeout: CHANGE_LIMIT_MS + 5_000,
    application_name: 'gantry',
    allowExitOnIdle: true,
    types: { getTypeParser: wholeNumbers(pg.types.getTypeParser as unknown as GetTypeParser) } as never,
  })
  // A connection that breaks while nobody uses it, or between two statements, must not end the process.
  const report = (error: Error): void =>
    options.log.warn({ database: name, error: error.message }, 'a database connection broke')
  pool.on('error', report)
  pool.on('connect', (client) => client.on('error', report))
  try {
    await refuseForgetfulServer(pool, name, options.log)
  } catch (error) {
    await pool.end()
    throw openingError(error, name)
  }
  return new PostgresStore(pool, name, options)
}

/** What is acknowledged must be durable: a server configured otherwise is refused, or named in the log. */
async function refuseForgetfulServer(pool: Pool, name: string, log: { warn(fields: object, message: string): void }) {
  const { rows } = await pool.query(
    "select current_setting('synchronous_commit') as commit, current_setting('fsync') as fsync, current_schema() as schema",
  )
  if (rows[0].commit === 'off') {
    throw new HomeError(
      `The PostgreSQL database ${name} runs with synchronous_commit = off and would forget acknowledged changes. Set it to on for this database or user.`,
    )
  }
  if (rows[0].schema === null) {
    throw new HomeError(
      `The PostgreSQL database ${name} has no schema of the search_path. Create it, or mend search_path.`,
    )
  }
  if (rows[0].fsync === 'off')
    log.warn({ database: name }, 'the database server runs with fsync = off: a power cut loses data')
}

class PostgresStore implements Store {
  readonly dialect = 'postgres'
  readonly name: string
  readonly kysely = {
    createDriver: () => new DummyDriver(),
    createAdapter: () => new PostgresAdapter(),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createIntrospector: (db: ConstructorParameters<typeof PostgresIntrospector>[0]) => new PostgresIntrospector(db),
  }
  readonly reads: DatabaseConnection
  readonly #pool: Pool
  readonly #track: boolean
  readonly #world: { readonly clock: Clock; readonly random: Random }
  /** Ends when the change before has ended. */
  #turn: Promise<unknown> = Promise.resolve()
  #changes = 0
  #reads = 0
  #closed = false
  #onIdle: (() => void) | null = null

  constructor(
    pool: Pool,
    name: string,
    options: { readonly world: { readonly clock: Clock; readonly random: Random }; readonly track: boolean },
  ) {
    this.#pool = pool
    this.name = name
    this.#world = options.world
    this.#track = options.track
    this.reads = { executeQuery: (query) => this.#read(query), streamQuery: refuseStream }
  }

  async write<T>(work: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    if (this.#closed) throw closed()
    if (this.#changes >= MAX_WAITING_CHANGES) {
      throw new LedgerError('busy', `${MAX_WAITING_CHANGES} changes are waiting already; try again in a moment.`)
    }
    this.#changes++
    const mine = this.#turn.then(() => this.#retried(work))
    this.#turn = mine.catch(() => {})
    try {
      return await mine
    } finally {
      this.#changes--
      this.#left()
    }
  }

  async migrate(work: (connection: DatabaseConnection) => Promise<number>): Promise<number> {
    try {
      return await this.write(work)
    } catch (error) {
      throw openingError(error, this.name)
    }
  }

  /** Lets what is under way finish; all of it has a limit. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#changes + this.#reads > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    await this.#pool.end()
  }

  #left(): void {
    if (this.#changes + this.#reads === 0) this.#onIdle?.()
  }

  async #retried<T>(work: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(work)
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !isConflict(error)) throw storageError(error)
        await this.#pause(attempt)
      }
    }
  }

  /** A random pause before another attempt, so that two conflicting changes do not conflict again. */
  #pause(attempt: number): Promise<void> {
    const delayMs = 1 + this.#world.random.below(Math.min(2 ** attempt, 64))
    return new Promise((resolve) => {
      this.#world.clock.after(delayMs, resolve)
    })
  }

  async #once<T>(work: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect()
    let broken: Error | undefined
    try {
      await client.query(BEGIN_ALONE)
      const result = await runScoped(connectionOver(client), work, {
        limit: (expired) => this.#world.clock.after(CHANGE_LIMIT_MS, expired),
        track: this.#track,
      })
      await client.query('commit')
      return result
    } catch (error) {
      broken = await client.query('rollback').then(
        () => undefined,
        (failure: Error) => failure,
      )
      throw error
    } finally {
      client.release(broken)
    }
  }

  async #read<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#closed) throw closed()
    if (this.#reads >= MAX_WAITING_READS) {
      throw new LedgerError('busy', `${MAX_WAITING_READS} reads are waiting already; try again in a moment.`)
    }
    this.#reads++
    try {
      return await execute<R>(this.#pool, query)
    } catch (error) {
      throw storageError(error)
    } finally {
      this.#reads--
      this.#left()
    }
  }
}

function connectionOver(client: PoolClient): DatabaseConnection {
  return { executeQuery: (query) => execute(client, query), streamQuery: refuseStream }
}

async function execute<R>(client: Pool | PoolClient, query: CompiledQuery): Promise<QueryResult<R>> {
  const { rows, rowCount } = await client.query(query.sql, storedValues(query.parameters))
  return { rows: rows as R[], numAffectedRows: BigInt(rowCount ?? 0) }
}

// biome-ignore lint/correctness/useYield: the interface wants a generator; streaming is refused.
async function* refuseStream(): AsyncIterableIterator<never> {
  throw new LedgerError('misuse', 'The ledger does not stream; read a page at a time.')
}

type GetTypeParser = (oid: number, format?: string) => (text: string) => unknown

/** `bigint` as a number: every value of the ledger is below 2^53 (schema.ts). */
function wholeNumbers(getTypeParser: GetTypeParser): GetTypeParser {
  const INT8 = 20
  const NUMERIC = 1700
  return (oid, format) =>
    oid === INT8 || (oid === NUMERIC && format !== 'binary') ? wholeNumber : getTypeParser(oid, format)
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new LedgerError('value', `The database answered ${text}, beyond what can be held exactly.`)
  }
  return value
}

/** 40001 serialization failure, 40P01 deadlock: only programs that do not take our lock can cause them. */
function isConflict(error: unknown): boolean {
  return ['40001', '40P01'].includes(codeOf(error))
}

/** Connection lost or refused, server stopping, out of disk, out of memory, statement cancelled by its limit. */
function storageError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof LedgerError) return error
  const code = codeOf(error)
  if (code === '53100') {
    return new LedgerError('storage', 'The disk of the database server is full. Nothing of this change was stored.', {
      cause: error,
    })
  }
  if (code === '40001' || code === '40P01' || code === '55P03') {
    return new LedgerError('busy', 'Other programs hold the rows of this change; try again.', { cause: error })
  }
  const away =
    /^(08|53|57|58|25P03)/.test(code) ||
    /^E(CONN|PIPE|HOST|TIMEDOUT|NET|NOTFOUND|AI)/.test(code) ||
    /timeout|terminated|not queryable/i.test(error.message)
  if (!away) return error
  return new LedgerError(
    'storage',
    'The database server is away or too slow. Whether this change was stored is not known if it was being committed; look before trying again.',
    { cause: error },
  )
}

function openingError(error: unknown, name: string): unknown {
  if (!(error instanceof Error) || error instanceof HomeError) return error
  const cause = error instanceof LedgerError && error.cause instanceof Error ? error.cause : error
  const text = causeText(cause)
  const todo: Readonly<Record<string, string>> = {
    '28P01': 'Check the user and the password in GANTRY_DATABASE_URL.',
    '28000': 'Check the user in GANTRY_DATABASE_URL and the server’s pg_hba.conf.',
    '3D000': 'Create the database first, or name another in GANTRY_DATABASE_URL.',
    '42501': 'Let the user create tables in the database’s schema.',
    '53300': 'The server takes no more connections; raise max_connections or close others.',
  }
  const advice = todo[codeOf(cause)] ?? 'Check that the server runs and that GANTRY_DATABASE_URL names it.'
  return new HomeError(`The PostgreSQL database ${name} cannot be used (${text}). ${advice}`, { cause: error })
}

/** Several addresses of one host fail with an AggregateError whose own message is empty. */
function causeText(error: Error): string {
  const errors = (error as { errors?: unknown }).errors
  if (Array.isArray(errors) && errors[0] instanceof Error) return errors[0].message
  return error.message
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

/** `host:port/database`, without user and password. */
function nameOf(databaseUrl: string): string {
  try {
    // `user@/database?host=/run/postgresql` is usual for a socket, though no URL by the book.
    const url = new URL(databaseUrl.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)\//, '$1local-socket/'))
    if (/^postgres(ql)?:$/.test(url.protocol)) return `${url.searchParams.get('host') ?? url.host}${url.pathname}`
  } catch {
    // Reported below.
  }
  throw new HomeError('GANTRY_DATABASE_URL is not a URL like postgres://user:password@host:5432/database.')
}

function closed(): LedgerError {
  return new LedgerError('closed', 'The ledger is closed: the server is stopping.')
}
