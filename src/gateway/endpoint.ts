/**
 * One endpoint of an instance, as everything that stands between a client and the instance needs it: who may call, and
 * how much may pass. Its owner changes it while it serves. It knows neither a broker nor a protocol: whoever opens it
 * adds what calls are carried out with, and each protocol puts a refusal into its own words.
 */
import type { Authenticator, Credentials } from './authenticate.ts'
import type { Bandwidth } from './bandwidth.ts'
import type { Connection } from './protocol.ts'

export interface Endpoint {
  readonly instanceId: string
  /** Null where clients need no credentials. */
  authenticator: Authenticator | null
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
  readonly why: 'stopped' | 'over-limit' | 'unauthorized'
  readonly message: string
}

/**
 * Lets a call in: null, and its connection is no stranger any more; or says why not. Needs nothing of the request but its
 * credentials.
 */
export function admit(endpoint: Endpoint, connection: Connection, credentials: Credentials): Denial | null {
  const stopped = denyStopped(endpoint)
  if (stopped !== null) return stopped
  const wrong = endpoint.authenticator?.check(credentials) ?? null
  if (wrong !== null) {
    if (wrong.guessed !== null) connection.guessed(wrong.guessed)
    return { why: 'unauthorized', message: wrong.message }
  }
  if (connection.admit()) return null
  return {
    why: 'over-limit',
    message: `Instance ${endpoint.instanceId} has all ${endpoint.maxConnections} connections its specification allows; close clients that are not needed, or choose a larger specification.`,
  }
}

/** Of a stopped instance; for calls that went on for a while, also after they began. */
export function denyStopped(endpoint: Endpoint): Denial | null {
  if (endpoint.serving) return null
  return {
    why: 'stopped',
    message: `Instance ${endpoint.instanceId} is stopped because its subscription expired; renew it to go on.`,
  }
}
