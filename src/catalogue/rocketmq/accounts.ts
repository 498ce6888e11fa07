/**
 * Accounts of an instance, with which clients sign their messages (api-semantics §11). A password is a secret:
 * it is marked as one, and no refusal repeats it.
 */
import Type from 'typebox'
import { secretFormat } from '../keywords.ts'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  choice,
  done,
  instanceId,
  maybe,
  name,
  object,
  page,
  paging,
  regionId,
  remark,
  secret,
  text,
  username,
} from './schema.ts'

const family = 'accounts'
const accountStatuses = ['ENABLE', 'DISABLE'] as const
const accountTypes = ['DEFAULT', 'CUSTOMER'] as const

const password = () =>
  secret(limits.account.password.minLength, limits.account.password.maxLength, {
    description: 'Password with which clients sign.',
  })

const status = (description: string) => choice(accountStatuses, { description })

const path = () => ({ instanceId: instanceId(), username: username() })

export const createInstanceAccount = operation({
  action: 'CreateInstanceAccount',
  call: 'POST /instances/{instanceId}/accounts',
  summary: 'Create an account',
  family,
  access: ['create', 'instance'],
  path: { instanceId: instanceId() },
  body: object({
    username: Type.String({
      minLength: limits.account.username.minLength,
      maxLength: limits.account.username.maxLength,
      pattern: limits.account.username.pattern,
      'x-rule': limits.account.username.rule,
      description: 'Name of the account.',
    }),
    password: password(),
    remark: maybe(remark()),
  }),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'InstanceAccount.Existed', 'QuotaExceeded.InstanceAccount'],
  modelsAccessDenied: true,
})

export const getInstanceAccount = operation({
  action: 'GetInstanceAccount',
  call: 'GET /instances/{instanceId}/account',
  summary: 'Read an account',
  description: 'Without a user name: the default account, made with the instance.',
  family,
  access: ['get', 'instance'],
  path: { instanceId: instanceId() },
  query: { username: maybe(name(limits.pathSegment, { description: 'Name of the account.' })) },
  data: object({
    username: Type.String(),
    password: Type.String({ format: secretFormat }),
    accountStatus: choice(accountStatuses),
    remark: maybe(Type.String()),
  }),
  errors: ['Instance.NotFound', 'InstanceAccount.NotExisted'],
})

export const listInstanceAccount = operation({
  action: 'ListInstanceAccount',
  call: 'GET /instances/{instanceId}/accounts',
  summary: 'List the accounts of an instance',
  family,
  access: ['list', 'instance'],
  path: { instanceId: instanceId() },
  query: {
    username: maybe(text(limits.filter.maxLength, { description: 'Only accounts with this text in their name.' })),
    accountStatus: maybe(status('Only accounts in this state.')),
    accountType: maybe(choice(accountTypes, { description: 'Only the default account, or only those made later.' })),
    ...paging(limits.pages.sizes.ListInstanceAccount),
  },
  data: page(
    object({
      instanceId: instanceId(),
      regionId: regionId(),
      username: Type.String(),
      accountStatus: choice(accountStatuses),
      accountType: choice(accountTypes),
      remark: maybe(Type.String()),
    }),
  ),
  errors: ['Instance.NotFound'],
  modelsAccessDenied: true,
})

export const updateInstanceAccount = operation({
  action: 'UpdateInstanceAccount',
  call: 'PATCH /instances/{instanceId}/accounts/{username}',
  summary: 'Change an account',
  description: 'Travels in the query, the password too: keep the address of this call out of logs.',
  family,
  access: ['update', 'instance'],
  path: path(),
  query: {
    accountStatus: maybe(status('New state; a disabled account is refused by the instance.')),
    password: maybe(
      secret(limits.account.password.minLength, limits.account.password.maxLength, {
        'x-empty-counts': true,
        description: 'New password.',
      }),
    ),
    remark: maybe(text(limits.remark.maxLength, { 'x-empty-counts': true, description: 'New note.' })),
  },
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'InstanceAccount.NotExisted'],
  modelsAccessDenied: true,
})

export const deleteInstanceAccount = operation({
  action: 'DeleteInstanceAccount',
  call: 'DELETE /instances/{instanceId}/accounts/{username}',
  summary: 'Delete an account',
  description: 'With its grants. The default account stays as long as its instance.',
  family,
  access: ['delete', 'instance'],
  path: path(),
  data: done(),
  errors: ['Instance.NotFound', 'InstanceStatus.Error', 'InstanceAccount.NotExisted'],
  modelsAccessDenied: true,
})
