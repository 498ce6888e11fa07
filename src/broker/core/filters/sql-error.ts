/** What an SQL92 expression may be, and what is said of one that is not. */
export const sqlLimits = { characters: 16_384, depth: 100, terms: 2_048 } as const

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
