/**
 * The whitelist of an instance: who may connect to it, through whichever endpoint. A new instance lets everyone in
 * (`0.0.0.0/0`); the first entry of another kind takes that one's place, for "once others are set only those may
 * connect" (the vendor's page). Removing an entry cuts whoever it let in, the last one too: an empty list lets nobody
 * in. `internetInfo.ipWhitelist` is another list, of the public endpoint alone.
 */

import { ApiError, invalid, missing } from '../../catalogue/errors.ts'
import { limits } from '../../catalogue/rocketmq/limits.ts'
import { asDocument, ipWhitelistOf } from '../../ledger/instance-documents.ts'
import { changeInstance } from '../../ledger/instances.ts'
import type { InstanceId } from '../../model/ids.ts'
import { causeOf, instanceResource } from '../change-names.ts'
import type { Call, Services } from '../handler.ts'
import type { Handler } from './handler.ts'
import { liveInstance, usableInstance } from './instance-lookup.ts'
import { checkIpList } from './ip-list.ts'
import { pageOf, pageReply } from './page.ts'

const everyone = '0.0.0.0/0'
const field = 'ipWhitelists'

export const createInstanceIpWhitelist: Handler<'CreateInstanceIpWhitelist'> = async (
  services,
  call,
  { instanceId, ipWhitelists },
) => {
  const added = [...new Set(checkIpList(field, ipWhitelists))]
  await changeList(services, call, { action: 'CreateInstanceIpWhitelist', instanceId }, (list) => {
    const existing = added.find((entry) => list.includes(entry))
    if (existing !== undefined) throw existed(existing)
    const kept = list.length === 1 && list[0] === everyone ? [] : list
    const whole = [...kept, ...added]
    const { maximum } = limits.ipWhitelist
    if (whole.length > maximum)
      throw invalid(field, `The whitelist would have ${whole.length} entries; at most ${maximum} are allowed.`)
    return whole
  })
  return true
}

export const deleteInstanceIpWhitelist: Handler<'DeleteInstanceIpWhitelist'> = async (
  services,
  call,
  { instanceId, ipWhitelists, ipWhitelist },
) => {
  const removed = new Set([...(ipWhitelists ?? []), ...(ipWhitelist ? [ipWhitelist] : [])])
  if (removed.size === 0) throw missing(field, 'It names the entries to take off.')
  await changeList(services, call, { action: 'DeleteInstanceIpWhitelist', instanceId }, (list) => {
    for (const entry of removed) if (!list.includes(entry)) throw notExisted(entry)
    return list.filter((entry) => !removed.has(entry))
  })
  return true
}

export const getInstanceIpWhitelist: Handler<'GetInstanceIpWhitelist'> = async (
  services,
  call,
  { instanceId, ipWhitelists },
) => {
  const row = await liveInstance(services.ledger.read, call, instanceId)
  const list = ipWhitelistOf(row)
  for (const entry of ipWhitelists ?? []) if (!list.includes(entry)) throw notExisted(entry)
  return { instanceId, regionId: row.region_id, ipWhitelists: ipWhitelists ? [...new Set(ipWhitelists)] : list }
}

export const listInstanceIpWhitelist: Handler<'ListInstanceIpWhitelist'> = async (
  services,
  call,
  { instanceId, ipWhitelist, ...asked },
) => {
  const row = await liveInstance(services.ledger.read, call, instanceId)
  const page = pageOf(limits.pages.sizes.ListInstanceIpWhitelist, asked)
  const found = ipWhitelistOf(row).filter((entry) => entry.includes(ipWhitelist ?? ''))
  const start = (page.number - 1) * page.size
  return pageReply(page, found.length, found.slice(start, start + page.size))
}

async function changeList(
  services: Services,
  call: Call,
  what: { readonly action: string; readonly instanceId: InstanceId },
  change: (list: readonly string[]) => readonly string[],
): Promise<void> {
  const { action, instanceId } = what
  await services.ledger.change(causeOf(call, action), async ({ tx, record }) => {
    const row = await usableInstance(tx, call, instanceId)
    const ipWhitelists = change(ipWhitelistOf(row))
    const columns = { ip_whitelist_json: asDocument(ipWhitelists) }
    await changeInstance(tx, row, columns, { at: call.at, specification: true })
    await record(instanceResource(instanceId), { changed: { ipWhitelists } })
  })
  services.wake(instanceId)
}

const existed = (entry: string): ApiError =>
  new ApiError(400, 'InstanceIpOrCidr.Existed', `The whitelist has this entry already: "${entry}".`, { field })

const notExisted = (entry: string): ApiError =>
  new ApiError(404, 'InstanceIpOrCidr.NotExisted', `The whitelist has no such entry. "${entry}" is not in it.`, {
    field,
  })
