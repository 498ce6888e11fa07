/**
 * Access keys out of the ledger, with a small cache in front: every request needs its key, and a ledger read
 * plus two decryptions per request is a cost for nothing.
 *
 * What is cached may be `CACHE_MS` old, which bounds how long a disabled key still works in another process;
 * in this process whoever changes a key calls `forget`. Absent keys are not cached, so a key works as soon as it
 * is made. Clear secrets live in this cache and nowhere else.
 */
import { findAccessKey, findRamUser, openSecret, openToken } from '../ledger/access-keys.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Row } from '../ledger/schema.ts'
import type { Clock } from '../world/world.ts'
import type { AccessKey, KeyRing } from './keys.ts'
import type { Principal } from './principal.ts'

export interface LedgerKeyRing extends KeyRing {
  forget(accessKeyId: string): void
}

export const CACHE_MS = 5_000
const CACHE_SIZE = 512
/** The vendor's ids are 16 to 30 letters and digits; `STS.` ids have a dot. Ids of one's own choice may be longer. */
const ACCESS_KEY_ID = /^[\w.@-]{1,128}$/

export function ledgerKeyRing(options: { ledger: Ledger; accountId: string; clock: Clock }): LedgerKeyRing {
  const { ledger, accountId, clock } = options
  const cache = new Map<string, { key: AccessKey; until: number }>()

  return {
    async find(accessKeyId) {
      if (!ACCESS_KEY_ID.test(accessKeyId)) return null
      const cached = cache.get(accessKeyId)
      if (cached !== undefined && clock.monotonic() < cached.until) return cached.key
      cache.delete(accessKeyId)
      const key = await readKey(ledger, accountId, accessKeyId)
      if (key === null) return null
      if (cache.size >= CACHE_SIZE) cache.delete(cache.keys().next().value!)
      // Not under the text that was asked for: it may be a slice of a request's body, and keep all of it in memory.
      cache.set(key.accessKeyId, { key, until: clock.monotonic() + CACHE_MS })
      return key
    },
    forget(accessKeyId) {
      cache.delete(accessKeyId)
    },
  }
}

async function readKey(ledger: Ledger, accountId: string, accessKeyId: string): Promise<AccessKey | null> {
  const row = await findAccessKey(ledger.read, accessKeyId)
  if (row === undefined) return null
  const principal = await principalOf(ledger, accountId, row)
  if (principal === null) return null
  return {
    accessKeyId: row.access_key_id,
    secret: openSecret(ledger.secrets, row),
    publicKeyPem: row.public_key_pem,
    status: row.status,
    securityToken: openToken(ledger.secrets, row),
    expireTimeMs: row.expire_time_ms,
    principal,
  }
}

/** Null when the key's user is gone: such a key counts as absent. */
async function principalOf(ledger: Ledger, accountId: string, row: Row<'access_keys'>): Promise<Principal | null> {
  const accessKeyId = row.access_key_id
  if (row.owner_type === 'account') return accountPrincipal(accountId, accessKeyId)
  const userName = row.user_name
  if (userName === null) return null
  const user = await findRamUser(ledger.read, userName)
  if (user === undefined) return null
  return {
    kind: 'user',
    accountId,
    id: user.user_id,
    name: userName,
    arn: `acs:ram::${accountId}:user/${userName}`,
    accessKeyId,
  }
}

export function accountPrincipal(accountId: string, accessKeyId: string): Principal {
  return { kind: 'account', accountId, id: accountId, name: 'root', arn: `acs:ram::${accountId}:root`, accessKeyId }
}
