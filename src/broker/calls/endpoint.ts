/**
 * The endpoint of an instance, as calls on it are carried out, whatever protocol carries them: the broker, its clients, who
 * may call. A refusal of the gateway is thrown as the status that RocketMQ's clients know.
 */

import { type Denial, denyStopped, type Endpoint } from '../../gateway/endpoint.ts'
import { Code } from '../../model/codes.ts'
import type { ClientId } from '../../model/ids.ts'
import { BrokerRefusal } from '../../model/refusals.ts'
import type { Clock } from '../../world/world.ts'
import type { Broker } from '../broker.ts'
import type { ClientRegistry } from '../clients/client-registry.ts'

/** An endpoint with what its calls are carried out with: the context its port is opened with. */
export interface BrokerEndpoint<Roles extends keyof Broker = keyof Broker> extends Endpoint {
  /** The roles of the broker that the holder of the endpoint uses. */
  readonly broker: Pick<Broker, Roles>
  readonly clients: ClientRegistry
  readonly clock: Clock
  /** Where an unexpected failure is reported. */
  report(error: unknown): void
}

/** Official clients name themselves host@pid@n@random, with a host of at most 64 characters. Ids of 100,000 clients are remembered. */
const maxClientIdLength = 255

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
export function checkClientId(clientId: ClientId): void {
  if (clientId.trim() === '')
    throw new BrokerRefusal(
      Code.CLIENT_ID_REQUIRED,
      'The client id (with gRPC the header x-mq-client-id) is missing or blank.',
    )
  if (clientId.length > maxClientIdLength) {
    throw new BrokerRefusal(
      Code.BAD_REQUEST,
      `The client id has ${clientId.length} characters; at most ${maxClientIdLength} are allowed.`,
    )
  }
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
