/**
 * What goes wrong below the API, as errors whose message is a sentence for the operator: what
 * happened and what to do. `HomeError` stops a start; `LedgerError` fails one call. Neither message
 * ever holds a secret (a database URL is named without its password).
 */

/** The home directory or what is in it cannot be used; the server must not start on it. */
export class HomeError extends Error {
  override readonly name = 'HomeError'
}

export type LedgerErrorCode =
  /** Too many changes or reads are waiting; try again later. */
  | 'busy'
  /** The disk is full, read-only or failing, or the database server is away; nothing was stored. */
  | 'storage'
  /** A change took longer than its limit and was rolled back. */
  | 'timeout'
  /** The ledger was used in a way that could lose or tear a write; a bug in the caller. */
  | 'misuse'
  /** A value that not every database can store exactly: a NUL, half a surrogate pair, a fraction, a Date. */
  | 'value'
  /** The request that asks for this change has made one before. */
  | 'repeated'
  /** The ledger is closed. */
  | 'closed'

export class LedgerError extends Error {
  override readonly name = 'LedgerError'
  readonly code: LedgerErrorCode
  constructor(code: LedgerErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/**
 * True when a statement broke a primary or unique key, on every database. The transaction is over by
 * then (PostgreSQL aborts it, and SQLite is made to): prefer `onConflict(… doNothing)` with a look at
 * the affected rows, and use this outside the change.
 */
export function isUniqueViolation(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return (error as { code?: unknown }).code === '23505' || /UNIQUE constraint failed/.test(error.message)
}

/** True when a statement named a parent row that is not there, or removed one that is still used. */
export function isForeignKeyViolation(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return (error as { code?: unknown }).code === '23503' || /FOREIGN KEY constraint failed/.test(error.message)
}
