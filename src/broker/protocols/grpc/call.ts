/**
 * One call on one instance's address: who calls (after the checks every RPC shares, in Apache's order:
 * credentials, client id, then the business of the RPC) and what it may use.
 */

import { admit, type Denial, denyCredentials, denyStopped, type Endpoint } from '../../../gateway/endpoint.ts'
import type { Call } from '../../../grpc/transport.ts'
import type { Cancellation } from '../../../model/cancellation.ts'
import { Code } from '../../../model/codes.ts'
import { BrokerRefusal } from '../../../model/refusals.ts'
import type { Clock } from '../../../world/world.ts'
import type { Broker } from '../../broker.ts'
import type { ClientRegistry } from '../../clients/client-registry.ts'
import { credentialsOf } from './client/credentials.ts'

/** An endpoint with what its calls are carried out with: the context its port is opened with. */
export interface BrokerEndpoint<Roles extends keyof Broker = keyof Broker> extends Endpoint {
  /** Of the broker, the roles that whoever has the endpoint uses. */
  readonly broker: Pick<Broker, Roles>
  readonly clients: ClientRegistry
  readonly clock: Clock
  /** Where an unexpected failure is reported. */
  report(error: unknown): void
}

/** A handler says which roles of the broker it uses: `WireCall<'producing'>`. */
export interface WireCall<Roles extends keyof Broker = never> {
  readonly endpoint: BrokerEndpoint<Roles>
  readonly clientId: string
  /** `x-mq-language`, as sent. */
  readonly language: string | undefined
  /** `x-mq-client-version`, as sent. */
  readonly version: string | undefined
  /** The account whose credentials the call was let in with; null where none are needed. */
  readonly userName: string | null
  /** Address the client calls from, without its port. */
  readonly address: string
  /** Number of its connection. */
  readonly connectionId: number
  /** Address the client arrived at, `host:port`. */
  readonly storeHost: string
  /** Aborts when nobody will read the answer. */
  readonly signal: Cancellation
  remainingMs(): number
  now(): number
  /** Throws UNAUTHORIZED when its account was changed since it came; for calls that waited. */
  checkCaller(): void
}

const maxClientIdLength = 1024

/**
 * What every RPC asks of a call's headers, in Apache's order, before its request is read. Throws PAYMENT_REQUIRED,
 * UNAUTHORIZED or TOO_MANY_REQUESTS (over the connection limit), or NOT_FOUND
 * for a namespace of another instance.
 */
export function checkCaller(call: Call<BrokerEndpoint>): void {
  refuse(admit(call.context, call.connection, credentialsOf(call.metadata)))
  checkInstance(call.context, call.metadata['x-mq-namespace'] ?? '')
}

/**
 * Clients of the cloud may give the instance's id as their namespace. One that names another instance dials the
 * address of an instance that is gone, which this one has now: its messages belong elsewhere. Throws NOT_FOUND.
 */
export function checkInstance({ instanceId }: Endpoint, namespace: string): void {
  if (namespace === instanceId || !/^rmq-cn-[a-z0-9]{11}$/.test(namespace)) return
  throw new BrokerRefusal(
    Code.NOT_FOUND,
    `The client's namespace names instance ${namespace}, but this is an address of instance ${instanceId}. Ask GetInstance for the addresses of ${namespace}, or leave the namespace empty.`,
  )
}

/** Throws CLIENT_ID_REQUIRED, or BAD_REQUEST for one that is too long. */
export function checkClientId(clientId: string): void {
  if (clientId.trim() === '')
    throw new BrokerRefusal(Code.CLIENT_ID_REQUIRED, 'The header x-mq-client-id is missing or blank.')
  if (clientId.length > maxClientIdLength) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The client id has ${clientId.length} characters; at most ${maxClientIdLength} are allowed.`,
    )
  }
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

/** Throws PAYMENT_REQUIRED; for calls that went on for a while, also after they began. */
export function refuseWhenStopped(endpoint: Endpoint): void {
  refuse(denyStopped(endpoint))
}

const codes: Readonly<Record<Denial['why'], number>> = {
  stopped: Code.PAYMENT_REQUIRED,
  'over-limit': Code.TOO_MANY_REQUESTS,
  unauthorized: Code.UNAUTHORIZED,
  forbidden: Code.FORBIDDEN,
}

/** Throws it as the status that clients know. */
export function refuse(denial: Denial | null): void {
  if (denial !== null) throw new BrokerRefusal(codes[denial.why], denial.message)
}

/** Made for every call, so what most calls never ask for (an abort signal, above all) is made when it is asked for. */
class OpenedCall implements WireCall<keyof Broker> {
  readonly endpoint: BrokerEndpoint
  readonly clientId: string
  readonly #call: Call<BrokerEndpoint>
  /** Undefined before it is asked for. */
  #userName: string | null | undefined

  constructor(call: Call<BrokerEndpoint>, clientId: string) {
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

  get userName(): string | null {
    const { authenticator } = this.endpoint
    // It may need credentials later, when it is looked at again.
    if (authenticator === null) return null
    if (this.#userName === undefined) this.#userName = authenticator.userNameOf(credentialsOf(this.#call.metadata))
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
    refuse(denyCredentials(this.endpoint, credentialsOf(this.#call.metadata)))
  }
}
