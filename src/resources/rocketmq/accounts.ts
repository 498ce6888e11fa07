/** Data-plane accounts of an instance. In this API's way the password is read back in clear by whoever may call. */

import { accountNotExisted } from '../../catalogue/rocketmq/errors.ts'
import type { Action } from '../../catalogue/rocketmq/index.ts'
import { findAccount, findDefaultAccount, openPassword } from '../../ledger/accounts.ts'
import type { Handler } from './handler.ts'
import { liveInstance } from './instance-lookup.ts'

/** Operations of this family that answer 501. */
export const notYet = [
  'CreateInstanceAccount',
  'DeleteInstanceAccount',
  'ListInstanceAccount',
  'UpdateInstanceAccount',
] as const satisfies readonly Action[]

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
