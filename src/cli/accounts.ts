/** `gantry accounts`: with which user names and passwords clients connect. A password is shown only when it is asked for. */

import type { Settings } from '../config.ts'
import type { InstanceId } from '../model/ids.ts'
import { instanceIdOf } from './arguments.ts'
import { callData, findTarget, type Target } from './client.ts'
import { type OutputOptions, print } from './output.ts'
import { facts, table } from './tables.ts'

export interface Account {
  readonly username: string
  readonly password: string
  readonly accountStatus: string
  readonly remark?: string
}

export interface ListedAccount extends Omit<Account, 'password'> {
  readonly accountType: string
  /** When it was asked for. */
  readonly password?: string
}

/** One account, or all of the instance, the default one first. */
export async function accounts(
  settings: Settings,
  instance: string,
  options: OutputOptions & { readonly username?: string; readonly showPassword?: boolean },
): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const { username, showPassword = false } = options
  if (username !== undefined) {
    const account = await read(target, instanceId, username)
    print(account, options, () => accountFacts(account, showPassword))
    return
  }
  const all = await listed(target, instanceId)
  const shown = showPassword ? await Promise.all(all.map((account) => withPassword(target, instanceId, account))) : all
  print(shown, options, () => accountTable(shown))
}

const read = (target: Target, instanceId: InstanceId, username: string): Promise<Account> =>
  callData<Account>(target, 'GetInstanceAccount', { instanceId, username })

/** An instance has fewer accounts than a page may hold. */
async function listed(target: Target, instanceId: InstanceId): Promise<ListedAccount[]> {
  type Entry = ListedAccount & { readonly instanceId: InstanceId; readonly regionId: string }
  const page = await callData<{ list: readonly Entry[] }>(target, 'ListInstanceAccount', {
    instanceId,
    pageSize: 10_000,
  })
  const all = page.list.map(({ instanceId: _instance, regionId: _region, ...account }) => account)
  const rank = ({ accountType }: ListedAccount): number => (accountType === 'DEFAULT' ? 0 : 1)
  return all.sort((one, other) => rank(one) - rank(other) || (one.username < other.username ? -1 : 1))
}

async function withPassword(target: Target, instanceId: InstanceId, account: ListedAccount): Promise<ListedAccount> {
  return { ...account, password: (await read(target, instanceId, account.username)).password }
}

export const accountFacts = ({ username, password, accountStatus, remark }: Account, showPassword: boolean): string =>
  facts([
    ['user', username],
    ['password', showPassword ? password : 'hidden; --show-password shows it'],
    ['status', accountStatus],
    ...(remark === undefined ? [] : [['remark', remark] as const]),
  ])

export const accountTable = (all: readonly ListedAccount[]): string =>
  table(
    ['USER', 'PASSWORD', 'TYPE', 'STATUS', 'REMARK'],
    all.map(({ username, password, accountType, accountStatus, remark }) => [
      ...[username, password ?? 'hidden; --show-password shows it', accountType, accountStatus, remark ?? ''],
    ]),
  )
