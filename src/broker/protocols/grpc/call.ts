/**
 * One call on one instance's address: who calls (after the checks every RPC shares, in Apache's order:
 * credentials, client id, then the business of the RPC) and what it may use.
 */
import type { Call } from '../../../grpc/transport.ts'
import type { Clock } from '../../../world/world.ts'
import { type Broker, BrokerRefusal } from '../../broker.ts'
import type { Authenticator } from './authenticate.ts'
import type { Bandwidth } from './bandwidth.ts'
import type { ClientRegistry } from './client/clients.ts'
import { Code } from './code.ts'

/** One address of one instance: the context every port is opened with. Its owner may change it while it serves. */
export interface InstanceDoor {
  readonly instanceId: string
  readonly broker: Broker
  readonly clients: ClientRegistry
  readonly clock: Clock
  /** Null where clients need no credentials. */
  authenticator: Authenticator | null
  /** False for an instance that is stopped (expired or overdue). */
  serving: boolean
  /** Connections there may be, over all addresses of the instance; for the refusal of one too many. */
  maxConnections: number
  /** What goes out, and what comes in: the vendor holds both to the bandwidth that was bought. */
  bandwidth: Bandwidth
  inbound: Bandwidth
  /** Where an unexpected failure is reported. */
  report(error: unknown): void
}

export interface WireCall {
  readonly door: InstanceDoor
  readonly clientId: string
  /** `x-mq-language`, as sent. */
  readonly language: string | undefined
  /** `x-mq-client-version`, as sent. */
  readonly version: string | undefined
  /** Address the client arrived at, `host:port`. */
  readonly storeHost: string
  /** Aborts when nobody will read the answer. */
  readonly signal: AbortSignal
  remainingMs(): number
  now(): number
}

const maxClientIdLength = 1024

/** Throws PAYMENT_REQUIRED, TOO_MANY_REQUESTS (one connection too many), UNAUTHORIZED or CLIENT_ID_REQUIRED. */
export function enter(call: Call<InstanceDoor>, clientId: string = call.metadata['x-mq-client-id'] ?? ''): WireCall {
  const door = call.context
  const { metadata, connection } = call
  refuseWhenStopped(door)
  if (connection.surplus) {
    throw new BrokerRefusal(
      Code.TOO_MANY_REQUESTS,
      `Instance ${door.instanceId} has all ${door.maxConnections} connections its specification allows; close clients that are not needed, or choose a larger specification.`,
    )
  }
  door.authenticator?.check(metadata['authorization'], metadata['x-mq-date-time'])
  if (clientId.trim() === '')
    throw new BrokerRefusal(Code.CLIENT_ID_REQUIRED, 'The header x-mq-client-id is missing or blank.')
  if (clientId.length > maxClientIdLength) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The client id has ${clientId.length} characters; at most ${maxClientIdLength} are allowed.`,
    )
  }
  return new EnteredCall(call, clientId)
}

/** Throws PAYMENT_REQUIRED; for calls that went on for a while, also after they began. */
export function refuseWhenStopped(door: InstanceDoor): void {
  if (door.serving) return
  throw new BrokerRefusal(
    Code.PAYMENT_REQUIRED,
    `Instance ${door.instanceId} is stopped because its subscription expired; renew it to go on.`,
  )
}

/** Made for every call, so what most calls never ask for (an abort signal, above all) is made when it is asked for. */
class EnteredCall implements WireCall {
  readonly door: InstanceDoor
  readonly clientId: string
  readonly #call: Call<InstanceDoor>

  constructor(call: Call<InstanceDoor>, clientId: string) {
    this.door = call.context
    this.clientId = clientId
    this.#call = call
  }

  get language(): string | undefined {
    return this.#call.metadata['x-mq-language']
  }

  get version(): string | undefined {
    return this.#call.metadata['x-mq-client-version']
  }

  get storeHost(): string {
    const { localAddress, localPort } = this.#call.connection
    return `${localAddress}:${localPort}`
  }

  get signal(): AbortSignal {
    return this.#call.signal
  }

  remainingMs(): number {
    return this.#call.remainingMs()
  }

  now(): number {
    return this.door.clock.now()
  }
}
