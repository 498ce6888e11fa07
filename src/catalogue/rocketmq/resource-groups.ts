/** Resource groups (api-semantics §5). All four parameters travel in the query; a body, if any, is empty. */

import { limits } from './limits.ts'
import { operation } from './operation.ts'
import { choice, done, name, regionId } from './schema.ts'

export const changeResourceGroup = operation({
  action: 'ChangeResourceGroup',
  call: 'POST /resourceGroup/change',
  summary: 'Move an instance to another resource group',
  description: 'A policy names the instance that `resourceId` gives.',
  family: 'resource-groups',
  access: ['update', 'instance'],
  query: {
    regionId: regionId(),
    resourceId: name(limits.pathSegment, { description: 'Id of the instance.' }),
    resourceGroupId: name(64, { description: 'Resource group to move to, `rg-…`.' }),
    resourceType: choice(['instance'], { description: 'Always `instance`.' }),
  },
  data: done(),
  errors: ['Instance.NotFound'],
})
