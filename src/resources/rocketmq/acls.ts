/**
 * Grants: what a custom account may do, or must not do, with a topic or a group, which need not exist yet. A grant is known by
 * instance, account, kind and name of the resource together. What they mean is decided by gateway/grants.ts; here is what may be
 * written. They count where `aclInfo.aclTypes` has `apache_acl`, and may be made before that.
 */

import { ApiError, invalid } from '../../catalogue/errors.ts'
import { accountNotExisted } from '../../catalogue/rocketmq/errors.ts'
import type { DataOf } from '../../catalogue/rocketmq/index.ts'
import { grantedNameProblem, limits } from '../../catalogue/rocketmq/limits.ts'
import { findAccount } from '../../ledger/accounts.ts'
import {
  actionsOf,
  countGrants,
  deleteGrant,
  findGrant,
  type GrantColumns,
  type GrantKey,
  type GrantRow,
  grantsWithAddresses,
  insertGrant,
  ipWhitelistsOf,
  listGrants,
  updateGrant,
} from '../../ledger/grants.ts'
import { asDocument } from '../../ledger/instance-documents.ts'
import { changeInstance } from '../../ledger/instances.ts'
import type { Reader } from '../../ledger/ledger.ts'
import type { InstanceId } from '../../model/ids.ts'
import { causeOf, grantResource } from '../change-names.ts'
import { shown } from '../check.ts'
import type { Handler } from './handler.ts'
import { liveInstance, usableInstance } from './instance-lookup.ts'
import { specificationOfRow } from './instance-specification.ts'
import { checkIpList } from './ip-list.ts'
import { pageOf, pageReply } from './page.ts'

export const createInstanceAcl: Handler<'CreateInstanceAcl'> = async (services, call, input) => {
  const { instanceId, username } = input
  const key = keyOf(input)
  const columns = columnsOf(key, input)
  await services.ledger.change(causeOf(call, 'CreateInstanceAcl'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    await checkAccount(tx, instanceId, username)
    const problem = grantedNameProblem(key.resource_type, key.resource_name, specificationOfRow(instance).nameMaxLength)
    if (problem !== null) throw invalid('resourceName', problem)
    if ((await findGrant(tx, key)) !== undefined) throw grantExisted(key)
    if ((await countGrants(tx, instanceId)) >= limits.grants.perInstance) throw quotaExceeded(instanceId)
    await checkAddressCount(tx, key, columns)
    await insertGrant(tx, { ...key, ...columns, create_time_ms: call.at, update_time_ms: call.at })
    await changeInstance(tx, instance, {}, { at: call.at, specification: true })
    await record(grantResource(instanceId, username), { created: detailOf(key, columns) })
  })
  services.wake(instanceId)
  return true
}

export const getInstanceAcl: Handler<'GetInstanceAcl'> = async (services, call, input) => {
  const { read } = services.ledger
  await liveInstance(read, call, input.instanceId)
  const row = await existing(read, keyOf(input))
  return { ...viewOf(row, call.regionId), aclType: 'apache_acl' }
}

export const listInstanceAcl: Handler<'ListInstanceAcl'> = async (services, call, input) => {
  const { read } = services.ledger
  await liveInstance(read, call, input.instanceId)
  const page = pageOf(limits.pages.sizes.ListInstanceAcl, input)
  const { totalCount, rows } = await listGrants(read, { instanceId: input.instanceId, filter: input.filter, page })
  return pageReply(
    page,
    totalCount,
    rows.map((row) => ({ ...viewOf(row, call.regionId), aclType: 'APACHE' as const })),
  )
}

export const updateInstanceAcl: Handler<'UpdateInstanceAcl'> = async (services, call, input) => {
  const { instanceId, username } = input
  const key = keyOf(input)
  const changed = await services.ledger.change(causeOf(call, 'UpdateInstanceAcl'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    const row = await existing(tx, key)
    const columns = columnsOf(key, {
      actions: input.actions ?? actionsOf(row),
      decision: input.decision ?? row.decision,
      ipWhitelists: input.ipWhitelists ?? ipWhitelistsOf(row) ?? undefined,
    })
    const names = ['actions_json', 'decision', 'ip_whitelists_json'] as const
    if (names.every((name) => columns[name] === row[name])) return false
    await checkAddressCount(tx, key, columns)
    await updateGrant(tx, key, { ...columns, update_time_ms: call.at })
    await changeInstance(tx, instance, {}, { at: call.at, specification: true })
    await record(grantResource(instanceId, username), { changed: detailOf(key, columns) })
    return true
  })
  if (changed) services.wake(instanceId)
  return true
}

export const deleteInstanceAcl: Handler<'DeleteInstanceAcl'> = async (services, call, input) => {
  const { instanceId, username } = input
  const key = keyOf(input)
  await services.ledger.change(causeOf(call, 'DeleteInstanceAcl'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    await existing(tx, key)
    await deleteGrant(tx, key)
    await changeInstance(tx, instance, {}, { at: call.at, specification: true })
    const { resource_type: resourceType, resource_name: resourceName } = key
    await record(grantResource(instanceId, username), { deleted: { resourceType, resourceName } })
  })
  services.wake(instanceId)
  return true
}

function keyOf(input: {
  readonly instanceId: InstanceId
  readonly username: string
  readonly resourceType: GrantKey['resource_type']
  readonly resourceName: string
}): GrantKey {
  const { instanceId, username, resourceType, resourceName } = input
  return { instance_id: instanceId, username, resource_type: resourceType, resource_name: resourceName }
}

const isSame = (row: GrantKey, key: GrantKey): boolean =>
  row.username === key.username && row.resource_type === key.resource_type && row.resource_name === key.resource_name

interface WantedGrant {
  readonly actions: readonly string[]
  readonly decision: GrantRow['decision']
  readonly ipWhitelists?: readonly string[] | undefined
}

/** Throws `InvalidActions` or `InvalidIpWhitelists`. */
function columnsOf(key: GrantKey, { actions, decision, ipWhitelists }: WantedGrant): GrantColumns {
  const more = actions.find((action) => action !== 'Sub')
  if (key.resource_type === 'Group' && more !== undefined)
    throw invalid('actions', `It has ${shown(more)}; what is decided about a group is "Sub" only.`)
  if (ipWhitelists !== undefined) checkIpList('ipWhitelists', ipWhitelists)
  return {
    actions_json: asDocument(actions),
    decision,
    ip_whitelists_json: ipWhitelists === undefined ? null : asDocument(ipWhitelists),
  }
}

/** 404 for an account that does not exist; the default one may do everything, so that a grant to it would mean nothing. */
async function checkAccount(reader: Reader, instanceId: InstanceId, username: string): Promise<void> {
  const account = await findAccount(reader, instanceId, username)
  if (account === undefined) throw accountNotExisted(username)
  if (account.account_type !== 'DEFAULT') return
  throw invalid(
    'username',
    `"${username}" is the default account, which may do everything; grants are for accounts made with CreateInstanceAccount.`,
  )
}

/** Refuses more addresses in all grants of an instance than its broker process is to keep in memory. */
async function checkAddressCount(reader: Reader, key: GrantKey, columns: GrantColumns): Promise<void> {
  const own = ipWhitelistsOf(columns)?.length ?? 0
  if (own === 0) return
  const others = (await grantsWithAddresses(reader, key.instance_id)).filter((other) => !isSame(other, key))
  const count = others.reduce((sum, other) => sum + (ipWhitelistsOf(other)?.length ?? 0), own)
  const { addressesPerInstance } = limits.grants
  if (count <= addressesPerInstance) return
  throw invalid(
    'ipWhitelists',
    `The grants of the instance would have ${count} addresses and blocks together; at most ${addressesPerInstance} are allowed. Name larger blocks.`,
  )
}

async function existing(reader: Reader, key: GrantKey): Promise<GrantRow> {
  const row = await findGrant(reader, key)
  if (row !== undefined) return row
  if ((await findAccount(reader, key.instance_id, key.username)) === undefined) throw accountNotExisted(key.username)
  throw new ApiError(404, 'InstanceAcl.NotExisted', `The grant does not exist. ${wording(key)} has none.`, {
    field: 'resourceName',
  })
}

const wording = ({ username, resource_type, resource_name }: GrantKey): string =>
  `Account "${username}" with ${resource_type} ${shown(resource_name)}`

function viewOf(row: GrantRow, regionId: string): Omit<DataOf<'GetInstanceAcl'>, 'aclType'> {
  const ipWhitelists = ipWhitelistsOf(row)
  return {
    instanceId: row.instance_id,
    regionId,
    username: row.username,
    resourceType: row.resource_type,
    resourceName: row.resource_name,
    actions: actionsOf(row),
    decision: row.decision,
    ...(ipWhitelists === null ? {} : { ipWhitelists }),
  }
}

const detailOf = (key: GrantKey, columns: GrantColumns) => ({
  resourceType: key.resource_type,
  resourceName: key.resource_name,
  actions: actionsOf(columns),
  decision: columns.decision,
  ipWhitelists: ipWhitelistsOf(columns),
})

const grantExisted = (key: GrantKey): ApiError =>
  new ApiError(
    400,
    'InstanceAcl.Existed',
    `The grant already exists. ${wording(key)} has one already; change it with UpdateInstanceAcl.`,
    { field: 'resourceName' },
  )

const quotaExceeded = (instanceId: InstanceId): ApiError =>
  new ApiError(
    400,
    'QuotaExceeded.InstanceAcl',
    `Instance "${instanceId}" has all ${limits.grants.perInstance} grants that an instance may have. Grant several topics or groups at once: "orders-*" is all whose names begin so, "*" is all.`,
    { field: 'resourceName' },
  )
