/**
 * SQL92 filter expressions (data-plane §5.5): compiled once, then asked of each message's properties.
 *
 * Properties are texts; what a literal is decides what a text is compared as. Logic has three values,
 * and only TRUE lets a message through. An expression that cannot be evaluated for a message (a text
 * that is no number compared with one) does not match it, whatever stands around the comparison. Where
 * Apache's evaluator is odd this one does the same, and a comment at the line says so: a filter that is tried here must do
 * the same in production.
 *
 * Bounded in length, depth, terms and comparisons, and linear in all of them, without backtracking. Tokens are
 * in `sql-tokens.ts`, the grammar in `sql-parser.ts`, values and their comparison in `sql-values.ts`.
 */
import { SqlError, sqlLimits } from './sql-error.ts'
import { Parser } from './sql-parser.ts'
import { tokensOf } from './sql-tokens.ts'
import type { Property } from './sql-values.ts'

export { SqlError, sqlLimits } from './sql-error.ts'
export type { Property } from './sql-values.ts'

export interface SqlExpression {
  readonly text: string
  /** Properties the expression looks at. */
  readonly names: ReadonlySet<string>
  matches(property: Property): boolean
}

/** Throws `SqlError`. */
export function compileSql(text: string): SqlExpression {
  if (text.length > sqlLimits.characters)
    throw new SqlError(
      `The expression has ${text.length} characters; at most ${sqlLimits.characters} are allowed`,
      sqlLimits.characters + 1,
    )
  const parser = new Parser(tokensOf(text))
  const { evaluate } = parser.whole()
  return { text, names: parser.names, matches: (property) => evaluate(property) === true }
}
