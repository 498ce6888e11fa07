/**
 * Substring search and pages, the same on SQLite and PostgreSQL.
 *
 * Letters A–Z match without regard to case on both (left alone, LIKE does so on one and not on the
 * other); the wildcards of LIKE in what a caller asks for mean themselves.
 */
import { type Expression, type SqlBool, sql } from 'kysely'

export interface Page {
  /** From 1. */
  readonly number: number
  readonly size: number
}

export function containsText(column: Expression<string>, part: string): Expression<SqlBool> {
  return sql<SqlBool>`lower(${column}) like ${likePattern(part)} escape '!'`
}

function likePattern(part: string): string {
  const lowered = part.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  return `%${lowered.replace(/[!%_]/g, (wildcard) => `!${wildcard}`)}%`
}
