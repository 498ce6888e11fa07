/**
 * Who is calling the data plane. A protocol takes from a request what its clients show of themselves (`Credentials`): a user,
 * what was signed, the signature, and when that is good. Whose password it is, and whether it is right, is decided here and
 * the same for all of them.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../world/world.ts'

export interface Account {
  readonly username: string
  readonly secret: string
  /** Why it is refused although the password is right, as a sentence for the client; null when it is not. */
  readonly refusal: string | null
}

/** What a client shows of itself, in whatever headers or fields its protocol has. */
export interface Credentials {
  /**
   * Equal texts are equal credentials, so that those of many calls are verified once; empty when there are none. Null where
   * each request is signed for itself, with its fields and its body: each is verified, and nothing is remembered of it.
   */
  readonly text: string | null
  /** Read only when they were not verified before; a string says what is wrong with their form, for the client. */
  claim(): Claim | string
}

export interface Claim {
  readonly username: string
  /** HMAC-SHA1 of this with the account's password as key, 20 bytes, is the signature. */
  readonly signed: string | Uint8Array
  readonly signature: Uint8Array
  /**
   * When they are good, both ends included, in milliseconds since 1970, at `now`; a string says why not, for the client. Asked
   * once the signature is right. Whoever signs no date leaves both ends open.
   */
  goodAt(now: number): { readonly until: number } | string
}

export interface Authenticator {
  /** Null when they are right. */
  check(credentials: Credentials): WrongCredentials | null
  /** Whose credentials these are, of those that `check` found right; null when they name nobody. */
  userNameOf(credentials: Credentials): string | null
  /** Undefined when nobody has this name. */
  accountNamed(username: string): Account | undefined
}

export interface WrongCredentials {
  /** What was wrong, for the client; never with a secret. */
  readonly message: string
  /** The name that was given with a signature that is not its password's, or that nobody has; else null. */
  readonly guessed: string | null
}

interface Verified {
  readonly username: string
  readonly until: number
}

/** Verified credentials kept, so that a client's unary calls within one second cost one HMAC. */
const mostRemembered = 1024

export function createAuthenticator(accounts: readonly Account[], clock: Pick<Clock, 'now'>): Authenticator {
  const byName = new Map(accounts.map((account) => [account.username, account]))
  const verified = new Map<string, Verified>()

  return {
    check(credentials) {
      const { text } = credentials
      if (text === '')
        return wrong('This address needs credentials: give the client the instance account (GetInstanceAccount).')
      const known = text === null ? undefined : verified.get(text)
      if (known !== undefined && known.until >= clock.now()) return null
      const result = verify(byName, credentials.claim(), clock.now())
      if ('message' in result) return result
      if (text === null) return null
      if (verified.size >= mostRemembered) verified.clear()
      verified.set(text, result)
      return null
    },
    userNameOf(credentials) {
      const { text } = credentials
      const known = text === null ? undefined : verified.get(text)
      if (known !== undefined) return known.username
      const claim = text === '' ? '' : credentials.claim()
      return typeof claim === 'string' ? null : claim.username
    },
    accountNamed: (username) => byName.get(username),
  }
}

function verify(
  accounts: ReadonlyMap<string, Account>,
  claim: Claim | string,
  now: number,
): Verified | WrongCredentials {
  if (typeof claim === 'string') return wrong(claim)
  const { username, signed, signature } = claim
  const account = accounts.get(username)
  // An unknown user costs the same as a wrong signature and reads the same.
  const expected = createHmac('sha1', account?.secret ?? 'no such account')
    .update(signed)
    .digest()
  const same = signature.length === expected.length && timingSafeEqual(signature, expected)
  if (account === undefined || !same) {
    return {
      message: `The user ${JSON.stringify(username.slice(0, 64))} is unknown or the signature does not match its password.`,
      guessed: username,
    }
  }
  if (account.refusal !== null) return wrong(account.refusal)
  const good = claim.goodAt(now)
  return typeof good === 'string' ? wrong(good) : { username, until: good.until }
}

const wrong = (message: string): WrongCredentials => ({ message, guessed: null })
