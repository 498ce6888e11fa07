/**
 * One endpoint of an instance, as everything that stands between a client and the instance needs it: who may call, and
 * how much may pass. Its owner changes it while it serves. It knows neither a broker nor a protocol: whoever opens it
 * adds what calls are carried out with, and each protocol puts a refusal into its own words.
 */
import type { InstanceId } from '../model/ids.ts'
import type { Account, Authenticator, Credentials } from './authenticate.ts'
import type { Bandwidth } from './bandwidth.ts'
import type { Authorizer, Use, User } from './grants.ts'
import type { OpenCalls } from './open-calls.ts'
import type { Connection } from './protocol.ts'

export interface Endpoint {
  readonly instanceId: InstanceId
  /** Null where clients need no credentials. */
  authenticator: Authenticator | null
  /** What each account may do; null where clients need no credentials, for then everybody may do everything. */
  authorizer: Authorizer | null
  /** To be told when one of the two above has changed. */
  readonly openCalls: OpenCalls
  /** False for an instance that is stopped (expired or overdue). */
  serving: boolean
  /** Connections there may be, over all endpoints of the instance; for the refusal of one over the limit. */
  maxConnections: number
  /** What goes out, and what comes in: the vendor holds both to the bandwidth that was bought. */
  bandwidth: Bandwidth
  inbound: Bandwidth
}

/** Why a call is not let in, with a sentence for the client; it never holds a secret. */
export interface Denial {
  readonly why: 'stopped' | 'over-limit' | 'unauthorized' | 'forbidden'
  readonly message: string
}

/**
 * Lets a call in: null, and its connection is no stranger any more; or says why not. Needs nothing of the request but its
 * credentials.
 */
export function admit(endpoint: Endpoint, connection: Connection, credentials: Credentials): Denial | null {
  const stopped = denyStopped(endpoint)
  if (stopped !== null) return stopped
  const wrong = denyCredentials(endpoint, credentials)
  if (wrong !== null) {
    if (wrong.guessed !== null) connection.guessed(wrong.guessed)
    return wrong
  }
  if (connection.admit()) return null
  return {
    why: 'over-limit',
    message: `Instance ${endpoint.instanceId} has all ${endpoint.maxConnections} connections its specification allows; close clients that are not needed, or choose a larger specification.`,
  }
}

type WrongCredentials = Denial & { readonly guessed: string | null }

/** Null when they are right, or none are needed. */
export function denyCredentials({ authenticator }: Endpoint, credentials: Credentials): WrongCredentials | null {
  const wrong = authenticator?.check(credentials) ?? null
  return wrong === null ? null : { why: 'unauthorized', ...wrong }
}

/** The account of this name; null where none is needed. */
export function accountOf({ authenticator }: Endpoint, username: string | null): Account | null {
  return username === null ? null : (authenticator?.accountNamed(username) ?? null)
}

/**
 * Whether a call that was let in as `before` would still be: its account exists, with the same password, and is recognised. The
 * date of its credentials was right when it began, and is not asked again.
 */
export function denyChanged(endpoint: Endpoint, before: Account | null, credentials: Credentials): Denial | null {
  const { authenticator } = endpoint
  if (authenticator === null) return null
  // It was let in where no credentials were needed.
  if (before === null) return denyCredentials(endpoint, credentials)
  const now = authenticator.accountNamed(before.username)
  const account = `The account ${JSON.stringify(before.username)}`
  if (now === undefined) return unauthorized(`${account} was deleted.`)
  if (now.secret !== before.secret) return unauthorized(`${account} has another password now.`)
  return now.refusal === null ? null : unauthorized(now.refusal)
}

const unauthorized = (message: string): Denial => ({ why: 'unauthorized', message })

/** Why the user may not do all of this; null where everybody may do everything. */
export function denyUses({ authorizer }: Endpoint, user: User, uses: readonly Use[]): Denial | null {
  for (const use of uses) {
    const message = authorizer?.refusal(user, use) ?? null
    if (message !== null) return { why: 'forbidden', message }
  }
  return null
}

/** Of a stopped instance; for calls that went on for a while, also after they began. */
export function denyStopped(endpoint: Endpoint): Denial | null {
  if (endpoint.serving) return null
  return {
    why: 'stopped',
    message: `Instance ${endpoint.instanceId} is stopped because its subscription expired; renew it to go on.`,
  }
}
