/**
 * The limits of an SQL92 expression, and its error. Apache has no limits (its parser ends at the stack's depth), so the bounds are ours:
 * far above what people write (the tests of Apache's clients stay below five comparisons), and such that one message with
 * 16 KiB of properties is evaluated in a few milliseconds. A long list of values is one comparison: IN ('a', 'b', …).
 */
export const sqlLimits = { characters: 16_384, depth: 100, terms: 2_048, comparisons: 256 } as const

/** What is wrong with an expression, and where: `position` counts characters from 1. */
export class SqlError extends Error {
  override readonly name = 'SqlError'
  readonly position: number
  constructor(message: string, position: number) {
    super(`${message} (at character ${position})`)
    this.position = position
  }
}

/** A client's text in our sentence: bounded, and without control characters. */
export const named = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
