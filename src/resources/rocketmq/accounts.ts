/**
 * Data-plane accounts of an instance: the default one, made with it, and custom ones, whose grants (acls.ts) say what they may
 * do. Which of them count is `aclInfo.aclTypes`'s to say. In this API's way the password is read back in clear by whoever may
 * call; it stands in no record of a change.
 */

import { ApiError, invalid } from '../../catalogue/errors.ts'
import { accountNotExisted } from '../../catalogue/rocketmq/errors.ts'
import { limits } from '../../catalogue/rocketmq/limits.ts'
import {
  countAccounts,
  deleteAccount,
  findAccount,
  findDefaultAccount,
  insertAccount,
  listAccounts,
  openPassword,
  updateAccount,
} from '../../ledger/accounts.ts'
import { changeInstance } from '../../ledger/instances.ts'
import type { InstanceId } from '../../model/ids.ts'
import { accountResource, causeOf } from '../change-names.ts'
import type { Handler } from './handler.ts'
import { liveInstance, usableInstance } from './instance-lookup.ts'
import { pageOf, pageReply } from './page.ts'

export const createInstanceAccount: Handler<'CreateInstanceAccount'> = async (services, call, input) => {
  const { instanceId, username, password } = input
  const { ledger } = services
  await ledger.change(causeOf(call, 'CreateInstanceAccount'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    if ((await findAccount(tx, instanceId, username)) !== undefined) throw accountExisted(username)
    const { perInstance } = limits.account
    if ((await countAccounts(tx, instanceId)) >= perInstance) throw quotaExceeded(instanceId)
    const remark = input.remark || null
    await insertAccount(tx, ledger.secrets, {
      instance_id: instanceId,
      username,
      password,
      account_type: 'CUSTOMER',
      account_status: 'ENABLE',
      remark,
      create_time_ms: call.at,
      update_time_ms: call.at,
    })
    await changeInstance(tx, instance, {}, { at: call.at, specification: true })
    await record(accountResource(instanceId, username), { created: { remark } })
  })
  services.wake(instanceId)
  return true
}

export const getInstanceAccount: Handler<'GetInstanceAccount'> = async (services, call, { instanceId, username }) => {
  const { read, secrets } = services.ledger
  await liveInstance(read, call, instanceId)
  const row = await (username ? findAccount(read, instanceId, username) : findDefaultAccount(read, instanceId))
  if (row === undefined) throw accountNotExisted(username ?? 'DEFAULT')
  return {
    username: row.username,
    password: openPassword(secrets, row),
    accountStatus: row.account_status,
    ...(row.remark === null ? {} : { remark: row.remark }),
  }
}

export const listInstanceAccount: Handler<'ListInstanceAccount'> = async (services, call, input) => {
  const { instanceId, username, accountStatus, accountType } = input
  const { read } = services.ledger
  await liveInstance(read, call, instanceId)
  const page = pageOf(limits.pages.sizes.ListInstanceAccount, input)
  const { totalCount, rows } = await listAccounts(read, { instanceId, username, accountStatus, accountType, page })
  return pageReply(
    page,
    totalCount,
    rows.map((row) => ({
      instanceId,
      regionId: call.regionId,
      username: row.username,
      accountStatus: row.account_status,
      accountType: row.account_type,
      ...(row.remark === null ? {} : { remark: row.remark }),
    })),
  )
}

export const updateInstanceAccount: Handler<'UpdateInstanceAccount'> = async (services, call, input) => {
  const { instanceId, username, password } = input
  const { ledger } = services
  const concernsEngine = await ledger.change(causeOf(call, 'UpdateInstanceAccount'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    const row = await findAccount(tx, instanceId, username)
    if (row === undefined) throw accountNotExisted(username)
    const account_status = input.accountStatus ?? row.account_status
    const remark = input.remark === undefined ? row.remark : input.remark || null
    const hasNewPassword = password !== undefined && password !== openPassword(ledger.secrets, row)
    const specification = hasNewPassword || account_status !== row.account_status
    if (!specification && remark === row.remark) return false
    await updateAccount(tx, ledger.secrets, row, {
      ...{ account_status, remark, at: call.at },
      ...(hasNewPassword ? { password } : {}),
    })
    if (specification) await changeInstance(tx, instance, {}, { at: call.at, specification })
    await record(accountResource(instanceId, username), {
      changed: { accountStatus: account_status, remark, password: hasNewPassword ? 'changed' : 'unchanged' },
    })
    return specification
  })
  if (concernsEngine) services.wake(instanceId)
  return true
}

export const deleteInstanceAccount: Handler<'DeleteInstanceAccount'> = async (
  services,
  call,
  { instanceId, username },
) => {
  await services.ledger.change(causeOf(call, 'DeleteInstanceAccount'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    const row = await findAccount(tx, instanceId, username)
    if (row === undefined) throw accountNotExisted(username)
    if (row.account_type === 'DEFAULT') throw defaultStays(username)
    await deleteAccount(tx, row)
    await changeInstance(tx, instance, {}, { at: call.at, specification: true })
    await record(accountResource(instanceId, username), { deleted: true })
  })
  services.wake(instanceId)
  return true
}

const accountExisted = (username: string): ApiError =>
  new ApiError(
    400,
    'InstanceAccount.Existed',
    `The account already exists. The instance has an account "${username}" already; change it with UpdateInstanceAccount.`,
    { field: 'username' },
  )

const defaultStays = (username: string): ApiError =>
  invalid(
    'username',
    `"${username}" is the default account, which stays as long as its instance. UpdateInstanceAccount can disable it.`,
  )

const quotaExceeded = (instanceId: InstanceId): ApiError =>
  new ApiError(
    400,
    'QuotaExceeded.InstanceAccount',
    `Instance "${instanceId}" has all ${limits.account.perInstance} accounts that an instance may have, the default one included. Delete one that is not used.`,
    { field: 'username' },
  )
