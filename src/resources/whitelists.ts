/**
 * The whitelist of an instance, read. The vendor's new instance lets everyone in (`0.0.0.0/0`), and as long as this
 * server refuses to change the list (CreateInstanceIpWhitelist answers 501) every instance has exactly that.
 * Terraform reads it with every instance. `internetInfo.ipWhitelist` is another list, of the public endpoint alone.
 */
import { ApiError } from '../catalogue/errors.ts'
import { limits } from '../catalogue/limits.ts'
import type {
  GetInstanceIpWhitelistData,
  GetInstanceIpWhitelistInput,
  ListInstanceIpWhitelistData,
  ListInstanceIpWhitelistInput,
} from '../catalogue/whitelists.ts'
import type { Handler } from './handler.ts'
import { liveInstance } from './instance-lookup.ts'
import { pageOf, pageReply } from './page.ts'

const everyone = ['0.0.0.0/0']

export const getInstanceIpWhitelist: Handler<GetInstanceIpWhitelistInput, GetInstanceIpWhitelistData> = async (
  services,
  call,
  { instanceId, ipWhitelists },
) => {
  const row = await liveInstance(services.ledger.read, call, instanceId)
  const absent = (ipWhitelists ?? []).find((entry) => !everyone.includes(entry))
  if (absent !== undefined) throw notExisted(absent)
  return { instanceId, regionId: row.region_id, ipWhitelists: [...everyone] }
}

export const listInstanceIpWhitelist: Handler<ListInstanceIpWhitelistInput, ListInstanceIpWhitelistData> = async (
  services,
  call,
  { instanceId, ipWhitelist, ...asked },
) => {
  await liveInstance(services.ledger.read, call, instanceId)
  const page = pageOf(limits.pages.sizes.ListInstanceIpWhitelist, asked)
  const found = everyone.filter((entry) => entry.includes(ipWhitelist ?? ''))
  const start = (page.number - 1) * page.size
  return pageReply(page, found.length, found.slice(start, start + page.size))
}

const notExisted = (entry: string): ApiError =>
  new ApiError(404, 'InstanceIpOrCidr.NotExisted', `The whitelist has no such entry. "${entry}" is not in it.`, {
    field: 'ipWhitelists',
  })
