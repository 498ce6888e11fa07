/** Ids of resource groups. */
import { identifier } from '../check.ts'

/** Resource groups belong to another product, so any identifier is taken. */
export const checkResourceGroupId = (id: string): string => identifier('resourceGroupId', id, 64)

/** The group of whoever names none. The vendor gives each account one; here its id follows from the account's. */
export const defaultResourceGroupId = (accountId: string): string =>
  `rg-acfm${BigInt(accountId.replace(/\D/g, '') || '0')
    .toString(36)
    .padStart(11, '0')
    .slice(-11)}`
