/** A call on an endpoint of an instance, of any protocol, as its handler sees it. */

import type { Credentials } from '../../gateway/authenticate.ts'
import type { Cancellation } from '../../model/cancellation.ts'
import type { ClientId } from '../../model/ids.ts'
import type { Broker } from '../broker.ts'
import type { BrokerEndpoint } from './endpoint.ts'

/** One call that was let in. A handler says which roles of the broker it uses: `WireCall<'producing'>`. */
export interface WireCall<Roles extends keyof Broker = never> {
  readonly endpoint: BrokerEndpoint<Roles>
  readonly clientId: ClientId
  /** What the client says its language is: with gRPC `x-mq-language`, as sent. */
  readonly language: string | undefined
  /** What it says its version is: `x-mq-client-version`, as sent. */
  readonly version: string | undefined
  /** What it was let in with. */
  readonly credentials: Credentials
  /** The account whose credentials the call was let in with; null where none are needed. */
  readonly userName: string | null
  /** Address the client calls from, without its port. */
  readonly address: string
  /** Number of its connection. */
  readonly connectionId: number
  /** Address the client arrived at, `host:port`. */
  readonly storeHost: string
  /** Aborts when the client no longer waits for the answer. */
  readonly signal: Cancellation
  remainingMs(): number
  now(): number
  /** Throws UNAUTHORIZED when its account was changed since it came; for calls that waited. */
  checkCaller(): void
}
