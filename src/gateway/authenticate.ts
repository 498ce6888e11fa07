/**
 * Who is calling the data plane: `MQv2-HMAC-SHA1` over the text of `x-mq-date-time`.
 *
 * Nothing but that date is signed, so a captured pair can be used again; TLS is the protection. It ends with the date:
 * one that is written with its offset from UTC (RFC 3339, as Rust's client does) may differ by a quarter of an hour. Most
 * clients write local time with a literal `Z` (data-plane.md §0 row 16), so that a date in that form may be any zone's
 * time, from UTC-12 to UTC+14, give or take the same. Hex is compared without regard to case; `Credential` counts up to
 * its first `/` (Go and C++ append more).
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../world/world.ts'

export interface Account {
  readonly username: string
  readonly secret: string
  readonly enabled: boolean
}

export interface Authenticator {
  /** Null when they are right. */
  check(authorization: string | undefined, dateTime: string | undefined): WrongCredentials | null
  /** Whose credentials these are, of those that `check` found right; null when they name nobody. */
  userNameOf(authorization: string | undefined): string | null
}

export interface WrongCredentials {
  /** What was wrong, for the client; never with a secret. */
  readonly message: string
  /** The name that was given with a signature that is not its password's, or that nobody has; else null. */
  readonly guessed: string | null
}

/** Verified pairs kept, so that a client's unary calls within one second cost one HMAC. */
const rememberedPairs = 1024

const minuteMs = 60_000
const hourMs = 60 * minuteMs
/** How far two clocks may be apart. */
const skewMs = 15 * minuteMs
/** Local time is at most so far behind UTC, and ahead of it. */
const mostBehindMs = 12 * hourMs
const mostAheadMs = 14 * hourMs

export function createAuthenticator(accounts: readonly Account[], clock: Pick<Clock, 'now'>): Authenticator {
  const byName = new Map(accounts.map((account) => [account.username, account]))
  /** Until when each is good. */
  const verified = new Map<string, number>()
  const names = new Map<string, string | null>()

  return {
    check(authorization, dateTime) {
      if (authorization === undefined || authorization === '')
        return wrong('This address needs credentials: give the client the instance account (GetInstanceAccount).')
      const pair = `${dateTime}\n${authorization}`
      const until = verified.get(pair)
      if (until !== undefined && until >= clock.now()) return null
      const result = verify(byName, authorization, dateTime, clock.now())
      if (typeof result !== 'number') return result
      if (verified.size >= rememberedPairs) verified.clear()
      verified.set(pair, result)
      return null
    },
    userNameOf(authorization) {
      if (authorization === undefined) return null
      const known = names.get(authorization)
      if (known !== undefined) return known
      if (names.size >= rememberedPairs) names.clear()
      const name = userNameIn(parseAuthorization(authorization))
      names.set(authorization, name)
      return name
    },
  }
}

/** Until when the pair is good, or what is wrong with it. */
function verify(
  accounts: ReadonlyMap<string, Account>,
  authorization: string,
  dateTime: string | undefined,
  now: number,
): number | WrongCredentials {
  const fields = parseAuthorization(authorization)
  const username = userNameIn(fields)
  const signature = fields.get('Signature')
  if (username === null || signature === undefined) {
    return wrong(
      'The authorization header needs "MQv2-HMAC-SHA1 Credential=…, SignedHeaders=x-mq-date-time, Signature=…".',
    )
  }
  if (dateTime === undefined || dateTime === '') return wrong('The header x-mq-date-time is missing.')
  if (username === '') return wrong('The authorization header names no user.')
  const account = accounts.get(username)
  // An unknown user costs the same as a wrong signature and reads the same.
  const expected = createHmac('sha1', account?.secret ?? 'no such account')
    .update(dateTime, 'utf8')
    .digest()
  // Decoding stops at the first character that is no hex, so the form is evaluated first.
  const given = Buffer.from(/^[0-9a-fA-F]{40}$/.test(signature) ? signature : '', 'hex')
  const same = given.length === expected.length && timingSafeEqual(given, expected)
  if (account === undefined || !same) {
    return {
      message: `The user ${JSON.stringify(username.slice(0, 64))} is unknown or the signature does not match its password.`,
      guessed: username,
    }
  }
  if (!account.enabled) return wrong(`The account ${JSON.stringify(username)} is disabled.`)
  const range = rangeOf(dateTime)
  if (range === null) {
    return wrong(
      `The header x-mq-date-time says ${JSON.stringify(dateTime.slice(0, 64))}; a date is written 20260801T120000Z or 2026-08-01T12:00:00+08:00.`,
    )
  }
  if (now < range.from || now > range.until) {
    return wrong(
      `The header x-mq-date-time says ${JSON.stringify(dateTime)}, and it is ${new Date(now).toISOString()} here; set the client's clock.`,
    )
  }
  return range.until
}

function userNameIn(fields: ReadonlyMap<string, string>): string | null {
  const credential = fields.get('Credential')
  return credential === undefined ? null : credential.split('/', 1)[0]!.trim()
}

const wrong = (message: string): WrongCredentials => ({ message, guessed: null })

const compactForm = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/
const longForm = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:?\d{2})$/

/** When credentials with this date are good, both ends included; null for no date. */
function rangeOf(dateTime: string): { readonly from: number; readonly until: number } | null {
  const compact = compactForm.exec(dateTime)
  if (compact !== null) {
    const [, year, month, day, hour, minute, second] = compact.map(Number)
    const local = Date.UTC(year!, month! - 1, day, hour, minute, second)
    return { from: local - mostAheadMs - skewMs, until: local + mostBehindMs + skewMs }
  }
  const at = longForm.test(dateTime) ? Date.parse(dateTime.replace(' ', 'T')) : Number.NaN
  if (Number.isNaN(at)) return null
  // Somebody may write local time with a literal Z in this form too.
  if (/[Zz]$/.test(dateTime)) return { from: at - mostAheadMs - skewMs, until: at + mostBehindMs + skewMs }
  return { from: at - skewMs, until: at + skewMs }
}

function parseAuthorization(header: string): Map<string, string> {
  const blank = header.indexOf(' ')
  const fields = new Map<string, string>()
  if (blank < 0 || header.slice(0, blank) !== 'MQv2-HMAC-SHA1' || header.length > 4096) return fields
  for (const part of header.slice(blank + 1).split(',')) {
    const equals = part.indexOf('=')
    if (equals > 0) fields.set(part.slice(0, equals).trim(), part.slice(equals + 1).trim())
  }
  return fields
}
