/**
 * Instances: reading, listing, changing and deleting them (create-instance.ts makes them). Handlers
 * write what is wanted; the loop makes it true, and a status is computed from both.
 */

import { ApiError, invalid } from '../../catalogue/errors.ts'
import { instanceNotFound, instanceStatusError } from '../../catalogue/rocketmq/errors.ts'
import { limits } from '../../catalogue/rocketmq/limits.ts'
import { findDefaultAccount } from '../../ledger/accounts.ts'
import { countConsumerGroups, deleteConsumerGroupsOf } from '../../ledger/consumer-groups.ts'
import {
  changeInstance,
  type InstanceRow,
  listInstances as readInstances,
  unwantInstance,
} from '../../ledger/instances.ts'
import { removeTags, tagsOf } from '../../ledger/tags.ts'
import { countTopics, deleteTopicsOf } from '../../ledger/topics.ts'
import { instanceStatus } from '../../lifecycle/status.ts'
import type { InstanceId } from '../../model/ids.ts'
import { causeOf, instanceResource } from '../change-names.ts'
import { type Call, type Services, WithMessage, withNotes } from '../handler.ts'
import type { Handler } from './handler.ts'
import { anyInstance, liveInstance, refuseStopped } from './instance-lookup.ts'
import { traceNotes } from './instance-rules.ts'
import { specificationOfRow } from './instance-specification.ts'
import { instanceView, listEntry, type Seen } from './instance-view.ts'
import { pageOf, pageReply } from './page.ts'
import { changeOf } from './update-instance.ts'

export { createInstance } from './create-instance.ts'

export const getInstance: Handler<'GetInstance'> = async (services, call, { instanceId }) => {
  const row = await anyInstance(services.ledger.read, call, instanceId)
  const [account, usage, [seen]] = await Promise.all([
    findDefaultAccount(services.ledger.read, instanceId),
    services.askBriefly(instanceId, 'usage', {}),
    look(services, call, [row]),
  ])
  if (seen === undefined) throw instanceNotFound(instanceId)
  const view = instanceView(row, {
    ...seen,
    host: services.settings.advertisedHost ?? call.reachedHost,
    username: account?.username ?? '',
    softwareVersion: services.settings.softwareVersion,
    usage,
  })
  // The vendor has no status for a failure and no member for its reason: the status says that work is under way, and
  // the reply's message, which clients show and nobody parses, why it takes so long. What is wrong with what a running
  // instance keeps is told there too.
  const note = row.failure ?? usage?.remark ?? null
  return note === null || row.wanted === 'absent' ? view : new WithMessage(view, note)
}

export const listInstances: Handler<'ListInstances'> = async (services, call, input) => {
  const page = pageOf(limits.pages.sizes.ListInstances, input)
  const { totalCount, rows } = await readInstances(services.ledger.read, {
    regionId: call.regionId,
    at: call.at,
    filter: input.filter,
    resourceGroupId: input.resourceGroupId,
    seriesCodes: input.seriesCodes,
    storageSecretKey: input.storageSecretKey,
    tags: input.tags,
    page,
  })
  const seen = await look(services, call, rows)
  return pageReply(
    page,
    totalCount,
    rows.map((row, index) => listEntry(row, seen[index]!)),
  )
}

export const updateInstance: Handler<'UpdateInstance'> = async (services, call, input) => {
  const { instanceId } = input
  const { forLoop, notes } = await services.ledger.change(
    causeOf(call, 'UpdateInstance'),
    async ({ tx, record }): Promise<{ forLoop: boolean; notes: string[] }> => {
      const row = await changeableInstance(tx, call, instanceId)
      const specification = specificationOfRow(row)
      const change = changeOf(row, input, specification)
      const notes = traceNotes(input.productInfo?.traceOn, specification)
      if (change === null) return { forLoop: false, notes }
      await changeInstance(tx, row, change.columns, { at: call.at, specification: change.specification })
      await record(instanceResource(instanceId), { changed: change.columns })
      return { forLoop: change.specification, notes }
    },
  )
  if (forLoop) services.wake(instanceId)
  return withNotes(true, notes)
}

/** The daily window for upgrades. Only Terraform calls this; the value is kept and read back, and the engine is not concerned. */
export const updateInstanceSoftwareConfig: Handler<'UpdateInstanceSoftwareConfig'> = async (
  services,
  call,
  { instanceId, maintainTime },
) => {
  const [from, until] = maintainTime.split('-')
  if (from === until)
    throw invalid('maintainTime', `The window ${maintainTime} is empty; it must end at another time than it begins.`)
  await services.ledger.change(causeOf(call, 'UpdateInstanceSoftwareConfig'), async ({ tx, record }) => {
    const row = await changeableInstance(tx, call, instanceId)
    if (row.maintain_time === maintainTime) return
    await changeInstance(tx, row, { maintain_time: maintainTime }, { at: call.at, specification: false })
    await record(instanceResource(instanceId), { changed: { maintainTime } })
  })
  return true
}

/**
 * Marks the instance as no longer wanted: its topics, groups and tags are gone with the call, its messages as
 * soon as the loop has removed it from the engine. Until then GetInstance answers RELEASED.
 */
export const deleteInstance: Handler<'DeleteInstance'> = async (services, call, { instanceId }) => {
  await services.ledger.change(causeOf(call, 'DeleteInstance'), async ({ tx, record }) => {
    const row = await liveInstance(tx, call, instanceId)
    if (row.payment_type === 'Subscription') throw subscriptionKept(instanceId)
    await unwantInstance(tx, row, call.at)
    await deleteTopicsOf(tx, instanceId)
    await deleteConsumerGroupsOf(tx, instanceId)
    await removeTags(tx, row.region_id, instanceId, null)
    await record(instanceResource(instanceId), { deleted: true })
  })
  services.wake(instanceId)
  return true
}

/** What the view needs besides the rows, read for all of them at once. */
async function look(services: Services, call: Call, rows: readonly InstanceRow[]): Promise<Seen[]> {
  const { read } = services.ledger
  const ids = rows.map((row) => row.instance_id)
  const [topics, groups, tags] = await Promise.all([
    countTopics(read, ids),
    countConsumerGroups(read, ids),
    tagsOf(read, call.regionId, ids),
  ])
  return ids.map((id) => ({
    at: call.at,
    zoneMinutes: services.settings.timeZoneOffsetMinutes,
    accountId: services.settings.accountId,
    topicCount: topics.get(id) ?? 0,
    groupCount: groups.get(id)?.total ?? 0,
    createdGroupCount: groups.get(id)?.created ?? 0,
    tags: tags.get(id) ?? [],
  }))
}

/** Neither released nor expired; a released one still has a name to be refused by. */
async function changeableInstance(tx: Parameters<typeof anyInstance>[0], call: Call, instanceId: InstanceId) {
  const row = await anyInstance(tx, call, instanceId)
  if (instanceStatus(row, call.at) === 'RELEASED') {
    throw instanceStatusError(instanceId, 'RELEASED', 'an instance that is running')
  }
  refuseStopped(row, call)
  return row
}

const subscriptionKept = (instanceId: InstanceId): ApiError =>
  new ApiError(
    400,
    'OrderType.NotSupport',
    `Instance "${instanceId}" is a Subscription, which cannot be deleted: it is released by itself seven days after it expires. Only PayAsYouGo instances can be deleted.`,
    { field: 'instanceId' },
  )
