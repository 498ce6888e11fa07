/**
 * A gRPC call on one instance's address: who calls, after the checks every RPC shares, in Apache's order: credentials,
 * client id, then the business of the RPC.
 */

import type { Credentials } from '../../../gateway/authenticate.ts'
import { admit, denyCredentials } from '../../../gateway/endpoint.ts'
import type { Call } from '../../../grpc/transport.ts'
import type { Cancellation } from '../../../model/cancellation.ts'
import type { ClientId } from '../../../model/ids.ts'
import type { Broker } from '../../broker.ts'
import { type BrokerEndpoint, checkInstance, refuse, refuseWhenStopped } from '../../calls/endpoint.ts'
import type { WireCall } from '../../calls/wire-call.ts'
import { credentialsOf } from './client/credentials.ts'

/**
 * What every RPC asks of a call's headers, in Apache's order, before its request is read. Throws PAYMENT_REQUIRED,
 * UNAUTHORIZED or TOO_MANY_REQUESTS (over the connection limit), or NOT_FOUND
 * for a namespace of another instance.
 */
export function checkCaller(call: Call<BrokerEndpoint>): void {
  refuse(admit(call.context, call.connection, credentialsOf(call.metadata)))
  checkInstance(call.context, call.metadata['x-mq-namespace'] ?? '')
}

export const clientIdOf = (call: Call<BrokerEndpoint>): string => call.metadata['x-mq-client-id'] ?? ''

/**
 * A call whose headers were found right. Throws PAYMENT_REQUIRED when the instance was stopped while its request came, and
 * UNAUTHORIZED when its account was changed meanwhile.
 */
export function openCall(call: Call<BrokerEndpoint>): WireCall<keyof Broker> {
  refuseWhenStopped(call.context)
  const opened = new OpenedCall(call, clientIdOf(call))
  opened.checkCaller()
  return opened
}

/** Made for every call, so what most calls never ask for (an abort signal, above all) is made when it is asked for. */
class OpenedCall implements WireCall<keyof Broker> {
  readonly endpoint: BrokerEndpoint
  readonly clientId: ClientId
  readonly #call: Call<BrokerEndpoint>
  /** Undefined before it is asked for. */
  #userName: string | null | undefined

  constructor(call: Call<BrokerEndpoint>, clientId: ClientId) {
    this.endpoint = call.context
    this.clientId = clientId
    this.#call = call
  }

  get language(): string | undefined {
    return this.#call.metadata['x-mq-language']
  }

  get version(): string | undefined {
    return this.#call.metadata['x-mq-client-version']
  }

  get credentials(): Credentials {
    return credentialsOf(this.#call.metadata)
  }

  get userName(): string | null {
    const { authenticator } = this.endpoint
    // It may need credentials later, when it is looked at again.
    if (authenticator === null) return null
    if (this.#userName === undefined) this.#userName = authenticator.userNameOf(this.credentials)
    return this.#userName
  }

  get address(): string {
    return this.#call.connection.remoteAddress
  }

  get connectionId(): number {
    return this.#call.connection.id
  }

  get storeHost(): string {
    const { localAddress, localPort } = this.#call.connection
    return `${localAddress}:${localPort}`
  }

  get signal(): Cancellation {
    return this.#call.signal
  }

  remainingMs(): number {
    return this.#call.remainingMs()
  }

  now(): number {
    return this.endpoint.clock.now()
  }

  checkCaller(): void {
    // What was judged when its headers came still counts.
    if (this.#call.arrivedAt > this.endpoint.openCalls.changedAt) return
    refuse(denyCredentials(this.endpoint, this.credentials))
  }
}
