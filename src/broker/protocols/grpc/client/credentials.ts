/**
 * The credentials of RocketMQ 5's clients: `MQv2-HMAC-SHA1` over the text of `x-mq-date-time`.
 *
 * Nothing but that date is signed, so a captured pair can be used again; TLS is the protection. It ends with the date:
 * one that is written with its offset from UTC (RFC 3339, as Rust's client does) may differ by a quarter of an hour. Most
 * clients write local time with a literal `Z` (data-plane.md §0 row 16), so that a date in that form may be any zone's
 * time, from UTC-12 to UTC+14, give or take the same. Hex is compared without regard to case; `Credential` counts up to
 * its first `/` (Go and C++ append more).
 */
import type { Claim, Credentials } from '../../../../gateway/authenticate.ts'
import type { Metadata } from '../../../../grpc/transport.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
/** How far two clocks may be apart. */
const skewMs = 15 * minuteMs
/** Local time is at most so far behind UTC, and ahead of it. */
const mostBehindMs = 12 * hourMs
const mostAheadMs = 14 * hourMs

export const credentialsOf = (metadata: Metadata): Credentials =>
  new MqCredentials(metadata['authorization'], metadata['x-mq-date-time'])

class MqCredentials implements Credentials {
  readonly text: string
  readonly #authorization: string
  readonly #dateTime: string | undefined

  constructor(authorization: string | undefined, dateTime: string | undefined) {
    this.#authorization = authorization ?? ''
    this.#dateTime = dateTime
    this.text = this.#authorization === '' ? '' : `${dateTime}\n${authorization}`
  }

  claim(): Claim | string {
    const fields = parseAuthorization(this.#authorization)
    const username = userNameIn(fields)
    const signature = fields.get('Signature')
    if (username === null || signature === undefined) {
      return 'The authorization header needs "MQv2-HMAC-SHA1 Credential=…, SignedHeaders=x-mq-date-time, Signature=…".'
    }
    const dateTime = this.#dateTime
    if (dateTime === undefined || dateTime === '') return 'The header x-mq-date-time is missing.'
    if (username === '') return 'The authorization header names no user.'
    return {
      username,
      signed: dateTime,
      // Decoding stops at the first character that is no hex, so the form is evaluated first.
      signature: Buffer.from(/^[0-9a-fA-F]{40}$/.test(signature) ? signature : '', 'hex'),
      goodAt: (now) => goodAt(dateTime, now),
    }
  }
}

function goodAt(dateTime: string, now: number): { readonly until: number } | string {
  const range = rangeOf(dateTime)
  if (range === null) {
    return `The header x-mq-date-time says ${JSON.stringify(dateTime.slice(0, 64))}; a date is written 20260801T120000Z or 2026-08-01T12:00:00+08:00.`
  }
  if (now < range.from || now > range.until) {
    return `The header x-mq-date-time says ${JSON.stringify(dateTime)}, and it is ${new Date(now).toISOString()} here; set the client's clock.`
  }
  return range
}

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

function userNameIn(fields: ReadonlyMap<string, string>): string | null {
  const credential = fields.get('Credential')
  return credential === undefined ? null : credential.split('/', 1)[0]!.trim()
}
