/** Why the log refuses. Each message is a sentence for the operator; the code tells programs apart. */
export class LogError extends Error {
  override readonly name = 'LogError'
  readonly code: 'failed' | 'corrupt' | 'newer' | 'closed' | 'busy' | 'too-large' | 'no-record' | 'wrong-key'
  /** What is damaged, where that is known. */
  readonly place: { readonly file: string; readonly offset: number } | null
  constructor(code: LogError['code'], message: string, options: { cause?: unknown; place?: LogError['place'] } = {}) {
    super(message, options)
    this.code = code
    this.place = options.place ?? null
  }
}

export const corrupt = (path: string, offset: number, what: string): LogError =>
  new LogError(
    'corrupt',
    `${path} is damaged at byte ${offset}: ${what}. Nothing was changed; restore the file from a copy, or remove the instance's data.`,
    { place: { file: path, offset } },
  )

/** The file is of a format that a later version of the program introduced; it is read no further, and nothing is changed. */
export const newer = (path: string, version: number, known: number): LogError =>
  new LogError(
    'newer',
    `${path} was written by a newer Gantry: it has format ${version}, and this program knows formats up to ${known}`,
  )

/** The record itself is invalid; a retry fails in the same way. */
export function isDamage(error: unknown): boolean {
  if (error instanceof LogError) return error.code === 'corrupt' || error.code === 'no-record'
  return error instanceof RangeError
}

export const noRecord = (directory: string, position: number): LogError =>
  new LogError('no-record', `The log in ${directory} has no record at position ${position}`)
