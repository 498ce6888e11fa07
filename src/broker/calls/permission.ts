/** Whether the account of a call may do what its request asks, and speak for the client it names. */
import { denyUses } from '../../gateway/endpoint.ts'
import type { Use, User } from '../../gateway/grants.ts'
import { Code } from '../../model/codes.ts'
import { BrokerRefusal } from '../../model/refusals.ts'
import { quoted } from '../messages/validation.ts'
import { refuse } from './endpoint.ts'
import type { WireCall } from './wire-call.ts'

/** Throws FORBIDDEN when a custom account may not do what the request asks, or speaks as a client of another account. */
export function authorize<Request>(wire: WireCall, uses: (request: Request) => readonly Use[], request: Request): void {
  if (isFree(wire)) return
  checkClientOwner(wire)
  refuse(denyUses(wire.endpoint, userOf(wire), uses(request)))
}

/** The same for uses that are known. */
export function checkUses(wire: WireCall, uses: readonly Use[]): void {
  if (!isFree(wire)) refuse(denyUses(wire.endpoint, userOf(wire), uses))
}

/** Everybody may do everything, or this account may. */
function isFree({ endpoint, userName }: WireCall): boolean {
  return endpoint.authorizer === null || (userName !== null && endpoint.authorizer.mayDoEverything(userName))
}

const userOf = ({ userName, address }: WireCall): User => ({ username: userName ?? '', address })

/**
 * Commands and settings go to a client by its id, which is no secret: a custom account may not use the id of a client of
 * another account. One that goes on with another account does so over its own connection. Throws FORBIDDEN.
 */
export function checkClientOwner(wire: WireCall, clientId = wire.clientId): void {
  if (isFree(wire)) return
  const { endpoint, userName, connectionId } = wire
  if (endpoint.clients.isCalledBy(clientId, userName, connectionId)) return
  throw new BrokerRefusal(
    Code.FORBIDDEN,
    `The client id ${quoted(clientId)} is in use by a client of another account; give each client an id of its own.`,
  )
}
