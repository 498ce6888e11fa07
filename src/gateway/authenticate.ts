/**
 * Who is calling the data plane: `MQv2-HMAC-SHA1` over the text of `x-mq-date-time`.
 *
 * The date is opaque: clients send local time with a literal Z, or RFC 3339, so its skew is never
 * evaluated (a captured pair replays for ever; TLS is the protection). Hex is compared without regard to
 * case; `Credential` counts up to its first `/` (Go and C++ append more).
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

export interface Account {
  readonly username: string
  readonly secret: string
  readonly enabled: boolean
}

export interface Authenticator {
  /** Null when they are right; else a sentence that says what was wrong, never with a secret. */
  check(authorization: string | undefined, dateTime: string | undefined): string | null
}

/** Verified pairs kept, so that a client's unary calls within one second cost one HMAC. */
const rememberedPairs = 1024

export function createAuthenticator(accounts: readonly Account[]): Authenticator {
  const byName = new Map(accounts.map((account) => [account.username, account]))
  const verified = new Set<string>()

  return {
    check(authorization, dateTime) {
      if (authorization === undefined || authorization === '') {
        return 'This address needs credentials: give the client the instance account (GetInstanceAccount).'
      }
      const pair = `${dateTime}\n${authorization}`
      if (verified.has(pair)) return null
      const wrong = verify(byName, authorization, dateTime)
      if (wrong !== null) return wrong
      if (verified.size >= rememberedPairs) verified.clear()
      verified.add(pair)
      return null
    },
  }
}

function verify(
  accounts: ReadonlyMap<string, Account>,
  authorization: string,
  dateTime: string | undefined,
): string | null {
  const fields = parseAuthorization(authorization)
  const credential = fields.get('Credential')
  const signature = fields.get('Signature')
  if (credential === undefined || signature === undefined) {
    return 'The authorization header needs "MQv2-HMAC-SHA1 Credential=…, SignedHeaders=x-mq-date-time, Signature=…".'
  }
  if (dateTime === undefined || dateTime === '') return 'The header x-mq-date-time is missing.'
  const username = credential.split('/', 1)[0]!.trim()
  if (username === '') return 'The authorization header names no user.'
  const account = accounts.get(username)
  // An unknown user costs the same as a wrong signature and reads the same.
  const expected = createHmac('sha1', account?.secret ?? 'no such account')
    .update(dateTime, 'utf8')
    .digest()
  // Decoding stops at the first character that is no hex, so the form is evaluated first.
  const given = Buffer.from(/^[0-9a-fA-F]{40}$/.test(signature) ? signature : '', 'hex')
  const same = given.length === expected.length && timingSafeEqual(given, expected)
  if (account === undefined || !same) {
    return `The user ${JSON.stringify(username.slice(0, 64))} is unknown or the signature does not match its password.`
  }
  return account.enabled ? null : `The account ${JSON.stringify(username)} is disabled.`
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
