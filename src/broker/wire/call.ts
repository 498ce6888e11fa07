/**
 * One call on one instance's address: who calls (after the checks every RPC shares, in Apache's order:
 * credentials, client id, then the business of the RPC) and what it may use.
 */
import type { Call } from '../../grpc/transport.ts'
import type { Clock } from '../../world/world.ts'
import { type Broker, BrokerRefusal } from '../broker.ts'
import type { Authenticator } from './authenticate.ts'
import type { Bandwidth } from './bandwidth.ts'
import type { ClientRegistry } from './clients.ts'
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
  bandwidth: Bandwidth
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
  remainingMs(): number
  now(): number
}

const maxClientIdLength = 1024

/** Throws PAYMENT_REQUIRED, UNAUTHORIZED or CLIENT_ID_REQUIRED. */
export function enter(call: Call<InstanceDoor>): WireCall {
  const door = call.context
  const { metadata, connection } = call
  if (!door.serving) {
    throw new BrokerRefusal(
      Code.PAYMENT_REQUIRED,
      `Instance ${door.instanceId} is stopped because its subscription expired; renew it to go on.`,
    )
  }
  door.authenticator?.check(metadata['authorization'], metadata['x-mq-date-time'])
  const clientId = metadata['x-mq-client-id'] ?? ''
  if (clientId.trim() === '')
    throw new BrokerRefusal(Code.CLIENT_ID_REQUIRED, 'The header x-mq-client-id is missing or blank.')
  if (clientId.length > maxClientIdLength) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The client id has ${clientId.length} characters; at most ${maxClientIdLength} are allowed.`,
    )
  }
  return {
    door,
    clientId,
    language: metadata['x-mq-language'],
    version: metadata['x-mq-client-version'],
    storeHost: `${connection.localAddress}:${connection.localPort}`,
    remainingMs: () => call.remainingMs(),
    now: () => door.clock.now(),
  }
}
