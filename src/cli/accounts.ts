/** `gantry accounts`: with which user name and password clients connect. A password is shown only when it is asked for. */
import type { Settings } from '../config.ts'
import { instanceIdOf } from './arguments.ts'
import { callData, findTarget } from './client.ts'
import { given } from './members.ts'
import { type OutputOptions, print } from './output.ts'
import { facts } from './tables.ts'

export interface Account {
  readonly username: string
  readonly password: string
  readonly accountStatus: string
  readonly remark?: string
}

export async function accounts(
  settings: Settings,
  instance: string,
  options: OutputOptions & { readonly username?: string; readonly showPassword?: boolean },
): Promise<void> {
  const target = findTarget(settings)
  const account = await callData<Account>(target, 'GetInstanceAccount', {
    instanceId: await instanceIdOf(target, instance),
    ...given({ username: options.username }),
  })
  print(account, options, () => accountFacts(account, options.showPassword === true))
}

export const accountFacts = ({ username, password, accountStatus, remark }: Account, showPassword: boolean): string =>
  facts([
    ['user', username],
    ['password', showPassword ? password : 'hidden; --show-password shows it'],
    ['status', accountStatus],
    ...(remark === undefined ? [] : [['remark', remark] as const]),
  ])
