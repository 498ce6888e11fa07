/** Moving an instance to another resource group: a label for people and policies; the engine never hears of it. */

import { changeInstance } from '../../ledger/instances.ts'
import { causeOf, instanceResource } from '../change-names.ts'
import { identifier } from '../check.ts'
import type { Handler } from './handler.ts'
import { liveInstance } from './instance-lookup.ts'
import { checkRegion } from './region-check.ts'

export const changeResourceGroup: Handler<'ChangeResourceGroup'> = async (services, call, input) => {
  checkRegion(call, input.regionId)
  const resourceGroupId = checkResourceGroupId(input.resourceGroupId)
  await services.ledger.change(causeOf(call, 'ChangeResourceGroup'), async ({ tx, record }) => {
    const row = await liveInstance(tx, call, input.resourceId)
    if (row.resource_group_id === resourceGroupId) return
    await changeInstance(tx, row, { resource_group_id: resourceGroupId }, { at: call.at, specification: false })
    await record(instanceResource(row.instance_id), { changed: { resourceGroupId } })
  })
  return true
}

/** Resource groups belong to another product, so any identifier is taken. */
export const checkResourceGroupId = (id: string): string => identifier('resourceGroupId', id, 64)

/** The group of whoever names none. The vendor gives each account one; here its id follows from the account's. */
export const defaultResourceGroupId = (accountId: string): string =>
  `rg-acfm${BigInt(accountId.replace(/\D/g, '') || '0')
    .toString(36)
    .padStart(11, '0')
    .slice(-11)}`
