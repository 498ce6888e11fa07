/**
 * Grants: which account may send to or receive from which topic or group (api-semantics §11). A grant is known by
 * instance, user name, kind and name of the resource together.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  choice,
  done,
  filter,
  instanceId,
  list,
  maybe,
  name,
  object,
  page,
  paging,
  regionId,
  username,
} from './schema.ts'

const family = 'acls'

export const resourceTypes = ['Topic', 'Group'] as const
export const decisions = ['Allow', 'Deny'] as const

const path = () => ({ instanceId: instanceId(), username: username() })

const resource = () => ({
  resourceType: choice(resourceTypes, { description: 'Kind of the resource.' }),
  resourceName: name(limits.pathSegment, {
    description:
      'Name of the topic or id of the group, whether it exists or not; `*` at its end stands for whatever follows.',
  }),
})

/** Sources write `["Pub","Sub"]`, `["Pub|Sub"]` and a plain text; all are taken, and answered as they came. */
const actions = () =>
  list(choice(['Pub', 'Sub', 'Pub|Sub']), 4, {
    minItems: 1,
    'x-single': true,
    description: 'What is decided about: topics `Pub`, `Sub` or both, groups `Sub`.',
  })

const decision = () => choice(decisions, { description: 'Whether the actions are allowed.' })

const ipWhitelists = () =>
  list(name(limits.ipWhitelist.entryMaxLength), limits.ipWhitelist.maximum, {
    description: 'IPv4 addresses or CIDR blocks the grant counts for; everywhere when left out.',
  })

const grant = () => ({
  instanceId: instanceId(),
  regionId: regionId(),
  username: Type.String(),
  resourceType: choice(resourceTypes),
  resourceName: Type.String(),
  actions: Type.Array(Type.String()),
  decision: choice(decisions),
  ipWhitelists: maybe(Type.Array(Type.String())),
})

const absent = ['Instance.NotFound', 'InstanceAccount.NotExisted', 'InstanceAcl.NotExisted']

export const createInstanceAcl = operation({
  action: 'CreateInstanceAcl',
  call: 'POST /instances/{instanceId}/acl/account/{username}',
  summary: 'Grant an account a topic or a group',
  description: 'Counts where `aclTypes` has `apache_acl`. A grant that denies is stronger than all that allow.',
  family,
  access: ['create', 'instance'],
  path: path(),
  body: object({ ...resource(), actions: actions(), decision: decision(), ipWhitelists: maybe(ipWhitelists()) }),
  data: done(),
  errors: [
    'Instance.NotFound',
    'InstanceStatus.Error',
    'InstanceAccount.NotExisted',
    'InstanceAcl.Existed',
    'QuotaExceeded.InstanceAcl',
  ],
  modelsAccessDenied: true,
})

export const getInstanceAcl = operation({
  action: 'GetInstanceAcl',
  call: 'GET /instances/{instanceId}/acl/account/{username}',
  summary: 'Read a grant',
  family,
  access: ['get', 'instance'],
  path: path(),
  query: resource(),
  data: object({ ...grant(), aclType: choice(['apache_acl', 'default']) }),
  errors: absent,
})

export const listInstanceAcl = operation({
  action: 'ListInstanceAcl',
  call: 'GET /instances/{instanceId}/acl',
  summary: 'List the grants of an instance',
  family,
  access: ['list', 'instance'],
  path: { instanceId: instanceId() },
  query: { filter: filter('the user name or the name of the resource'), ...paging(limits.pages.sizes.ListInstanceAcl) },
  data: page(object({ ...grant(), aclType: choice(['APACHE'], { description: 'Spelt unlike GetInstanceAcl.' }) })),
  errors: ['Instance.NotFound'],
  modelsAccessDenied: true,
})

export const updateInstanceAcl = operation({
  action: 'UpdateInstanceAcl',
  call: 'PATCH /instances/{instanceId}/acl/account/{username}',
  summary: 'Change a grant',
  description: 'The resource says which grant; what else is left out stays as it is.',
  family,
  access: ['update', 'instance'],
  path: path(),
  body: object({
    ...resource(),
    actions: maybe(actions()),
    decision: maybe(decision()),
    ipWhitelists: maybe(ipWhitelists()),
  }),
  data: done(),
  errors: ['InstanceStatus.Error', ...absent],
  modelsAccessDenied: true,
})

export const deleteInstanceAcl = operation({
  action: 'DeleteInstanceAcl',
  call: 'DELETE /instances/{instanceId}/acl/account/{username}',
  summary: 'Take a grant back',
  family,
  access: ['delete', 'instance'],
  path: path(),
  query: resource(),
  data: done(),
  errors: ['InstanceStatus.Error', ...absent],
  modelsAccessDenied: true,
})
