/**
 * What a database must do for the ledger, and nothing more: answer reads of committed work, and run
 * a piece of work as one durable, serialisable transaction. `sqlite.ts` and `postgres.ts` are the
 * two stores; `open.ts` makes a `Ledger` of either.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { CompiledQuery, DatabaseConnection, Dialect, QueryResult } from 'kysely'
import { LedgerError } from './errors.ts'

export interface Store {
  readonly dialect: 'sqlite' | 'postgres'
  /** For the log: the driver, or the server without its password. */
  readonly name: string
  /** Compiles queries and describes the database; its driver is never used. */
  readonly kysely: Dialect
  /** Sees committed work only; each query stands alone. */
  readonly reads: DatabaseConnection
  /**
   * Runs `work` in a transaction that is durable when the promise resolves and has left nothing when
   * it rejects. Changes run one after another. PostgreSQL may run the work again when it
   * conflicts with a transaction of another program.
   */
  write<T>(work: (connection: DatabaseConnection) => Promise<T>): Promise<T>
  /** Runs `work` alone, under a lock that other programs respect, in one transaction. */
  migrate(work: (connection: DatabaseConnection) => Promise<number>): Promise<number>
  close(): Promise<void>
}

/** How long one change may take before it is rolled back. */
export const CHANGE_LIMIT_MS = 30_000
/** How many changes may wait for their turn. */
export const MAX_WAITING_CHANGES = 2_000
/** How many reads may wait for a transaction to end or a connection to be free. */
export const MAX_WAITING_READS = 4_000

/**
 * The connection as one change sees it: usable until the change is over, and dead after its first
 * failed statement, as PostgreSQL would have it. A query that was left running, or started late by
 * forgotten code, can so never land in somebody else's transaction.
 */
export class ChangeScope implements DatabaseConnection {
  readonly #connection: DatabaseConnection
  readonly #running = new Set<Promise<unknown>>()
  #over = false
  #failure: { readonly error: unknown } | null = null

  constructor(connection: DatabaseConnection) {
    this.#connection = connection
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#over) {
      throw new LedgerError('misuse', 'A query was sent through a change that is over; await every query inside it.')
    }
    if (this.#failure !== null) {
      throw new LedgerError('misuse', 'An earlier statement of this change failed; the change is being rolled back.', {
        cause: this.#failure.error,
      })
    }
    const running = this.#connection.executeQuery<R>(query)
    this.#running.add(running)
    try {
      return await running
    } catch (error) {
      this.#failure ??= { error }
      throw error
    } finally {
      this.#running.delete(running)
    }
  }

  // biome-ignore lint/correctness/useYield: the interface wants a generator; streaming is refused.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new LedgerError('misuse', 'The ledger does not stream; read a page at a time.')
  }

  /** Ends the change: no further query is taken, and those under way are waited for. Answers the first failure. */
  async end(): Promise<{ readonly error: unknown } | null> {
    const unfinished = this.#running.size > 0
    this.#over = true
    if (unfinished) {
      await Promise.allSettled(this.#running)
      this.#failure ??= { error: new LedgerError('misuse', 'A change returned while a query of it was under way.') }
    }
    return this.#failure
  }

  get isOver(): boolean {
    return this.#over
  }
}

/**
 * The change that the running code belongs to, if any. With it a call that would wait for its own change is
 * refused at once; without it the change's time limit ends the wait. Before Node 24 tracking it adds
 * 0.1 µs to every promise of the process (it doubles an `await`), so it is used from Node 24 on, and in tests.
 */
const currentScope = new AsyncLocalStorage<ChangeScope>()

export const TRACKING_IS_FREE = Number(process.versions.node.split('.')[0]) >= 24

function insideChange(): boolean {
  const scope = currentScope.getStore()
  return scope !== undefined && !scope.isOver
}

/**
 * Runs `work` over `connection` as one change, within a time limit. Resolves with its result, rejects with
 * its error, with the first failed statement even when the work swallowed it, or when time is up.
 */
export async function runScoped<T>(
  connection: DatabaseConnection,
  work: (connection: DatabaseConnection) => Promise<T>,
  options: {
    /** Calls back when the change's time is over; answers how to cancel that. */
    readonly limit: (expired: () => void) => () => void
    readonly track: boolean
  },
): Promise<T> {
  const scope = new ChangeScope(connection)
  let cancel = (): void => {}
  const expiry = new Promise<never>((_, reject) => {
    cancel = options.limit(() => reject(tookTooLong()))
  })
  try {
    const working = options.track ? currentScope.run(scope, () => work(scope)) : work(scope)
    const result = await Promise.race([working, expiry])
    const failure = await scope.end()
    if (failure !== null) throw failure.error
    return result
  } catch (error) {
    await scope.end()
    throw error
  } finally {
    cancel()
  }
}

function tookTooLong(): LedgerError {
  return new LedgerError(
    'timeout',
    `A change took longer than ${CHANGE_LIMIT_MS / 1_000} s and was rolled back. (Does it wait for a read or a change outside its transaction?)`,
  )
}

export function refuseReadInsideChange(): void {
  if (insideChange()) {
    throw new LedgerError('misuse', 'Inside a change read through its transaction: `ledger.read` would wait for it.')
  }
}

export function refuseChangeInsideChange(): void {
  if (insideChange()) throw new LedgerError('misuse', 'A change was started inside a change; do both in one.')
}
