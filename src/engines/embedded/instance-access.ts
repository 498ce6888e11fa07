/** Who may call an instance, and what each account may do, made of its specification: `aclTypes` decides which accounts count. */
import { isDeepStrictEqual } from 'node:util'
import { type Account, type Authenticator, createAuthenticator } from '../../gateway/authenticate.ts'
import { Authorizer } from '../../gateway/grants.ts'
import type { AccountSpec, AclType, InstanceSpec } from '../../model/instances.ts'
import type { Clock } from '../../world/world.ts'

export interface InstanceAccess {
  readonly madeOf: AccessSpec
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
}

type AccessSpec = Pick<InstanceSpec, 'accounts' | 'aclTypes' | 'grants' | 'vpcAuthFree'>

/** `before` itself when nothing of it has changed, with all that it remembers. */
export function accessOf(spec: InstanceSpec, before: InstanceAccess | null, clock: Clock): InstanceAccess {
  const { accounts, aclTypes, grants, vpcAuthFree } = spec
  const madeOf = { accounts, aclTypes, grants, vpcAuthFree }
  if (before !== null && isDeepStrictEqual(before.madeOf, madeOf)) return before
  return {
    madeOf,
    authenticator: createAuthenticator(
      accounts.map((account) => gatewayAccount(account, aclTypes)),
      clock,
    ),
    authorizer: new Authorizer(accounts, grants),
  }
}

function gatewayAccount({ username, secret, enabled, kind }: AccountSpec, aclTypes: readonly AclType[]): Account {
  const account = `The account ${JSON.stringify(username)}`
  const needed = kind === 'default' ? 'default' : 'apache_acl'
  if (!enabled) return { username, secret, refusal: `${account} is disabled (UpdateInstanceAccount enables it).` }
  if (aclTypes.includes(needed)) return { username, secret, refusal: null }
  const what = kind === 'default' ? 'is the default account' : 'has grants of its own'
  return {
    ...{ username, secret },
    refusal: `${account} ${what}, which this instance does not recognise: its aclTypes are ${aclTypes.join(', ')}. Add ${needed} (UpdateInstance), or use another account.`,
  }
}
