/** Moving an instance to another resource group: a label for people and policies; the engine never hears of it. */

import { changeInstance } from '../../ledger/instances.ts'
import { causeOf, instanceResource } from '../change-names.ts'
import type { Handler } from './handler.ts'
import { liveInstance } from './instance-lookup.ts'
import { checkRegion } from './region-check.ts'
import { checkResourceGroupId } from './resource-group-ids.ts'

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
