/**
 * Tags of instances. A call over several instances does all or nothing.
 */

import { ApiError, invalid, missing } from '../../catalogue/errors.ts'
import { limits } from '../../catalogue/rocketmq/limits.ts'
import { listTags, putTags, removeTags, tagsOf } from '../../ledger/tags.ts'
import type { InstanceId } from '../../model/ids.ts'
import { causeOf, instanceResource } from '../change-names.ts'
import type { Handler } from './handler.ts'
import { liveInstance } from './instance-lookup.ts'
import { checkRegion } from './region-check.ts'
import { checkTags } from './tag-rules.ts'

export const tagResources: Handler<'TagResources'> = async (services, call, input) => {
  checkRegion(call, input.regionId)
  const tags = checkTags('tag', input.tag)
  await services.ledger.change(causeOf(call, 'TagResources'), async ({ tx, record }) => {
    for (const instanceId of new Set(input.resourceId)) {
      await liveInstance(tx, call, instanceId)
      const present = (await tagsOf(tx, call.regionId, [instanceId])).get(instanceId) ?? []
      const keys = new Set([...present, ...tags].map((tag) => tag.key))
      if (keys.size > limits.tags.perResource) throw tooManyTags(instanceId, keys.size)
      await putTags(tx, { regionId: call.regionId, instanceId, at: call.at }, tags)
      await record(instanceResource(instanceId), { tagged: tags })
    }
  })
  return true
}

export const untagResources: Handler<'UntagResources'> = async (services, call, input) => {
  checkRegion(call, input.regionId)
  const named = input.tagKey ?? []
  if (named.length === 0 && input.all !== true) {
    throw missing('tagKey', 'Name the keys to take off, or send all=true to take off every tag.')
  }
  const keys = named.length === 0 ? null : named
  await services.ledger.change(causeOf(call, 'UntagResources'), async ({ tx, record }) => {
    for (const instanceId of new Set(input.resourceId)) {
      await liveInstance(tx, call, instanceId)
      await removeTags(tx, call.regionId, instanceId, keys)
      await record(instanceResource(instanceId), { untagged: keys ?? 'all' })
    }
  })
  return true
}

/**
 * One entry a tag, in the order of instance id and key. With `tag`, the instances must have every one of
 * them, and only those keys are listed (the platform's way).
 */
export const listTagResources: Handler<'ListTagResources'> = async (services, call, input) => {
  checkRegion(call, input.regionId)
  const reader = services.ledger.read
  for (const instanceId of new Set(input.resourceId ?? [])) await liveInstance(reader, call, instanceId)
  const rows = await listTags(reader, {
    regionId: call.regionId,
    at: call.at,
    instanceIds: input.resourceId,
    resourceGroupId: input.resourceGroupId || undefined,
    tags: input.tag,
    afterInstanceId: input.nextToken ? readCursor(input.nextToken) : undefined,
    limit: ENTRIES_PER_REPLY + 1,
  })
  const more = rows.length > ENTRIES_PER_REPLY
  // A reply ends with the last instance that is complete in it, so that the cursor is an instance's id.
  const cutOff = more ? rows.at(-1)?.resource_id : undefined
  const shownRows = rows.filter((row) => row.resource_id !== cutOff)
  return {
    ...(more ? { nextToken: cursorAfter(shownRows.at(-1)?.resource_id ?? '') } : {}),
    requestId: call.requestId,
    tagResources: shownRows.map((row) => ({
      aliUid: Number(services.settings.accountId),
      category: 'custom',
      resourceId: row.resource_id,
      resourceType: 'instance',
      scope: 'public',
      tagKey: row.tag_key,
      tagValue: row.tag_value,
    })),
  }
}

/** Above twice the tags of one instance, so that a reply always holds a whole instance. */
const ENTRIES_PER_REPLY = 50

/** Opaque to callers: the id of the last instance of a reply, so what comes or goes does not disturb the rest. */
const cursorAfter = (instanceId: InstanceId): string => Buffer.from(`after ${instanceId}`).toString('base64url')

function readCursor(token: string): string {
  const text = /^[A-Za-z0-9_-]+$/.test(token) ? Buffer.from(token, 'base64url').toString('latin1') : ''
  const found = /^after ([a-z0-9-]{1,64})$/.exec(text)
  if (found?.[1] === undefined) {
    throw invalid('nextToken', 'It is not a token of an earlier reply; leave it out to begin again.')
  }
  return found[1]
}

const tooManyTags = (instanceId: InstanceId, count: number): ApiError =>
  new ApiError(
    400,
    'InvalidTag',
    `Parameter tag is invalid. Instance "${instanceId}" would have ${count} tags; at most ${limits.tags.perResource} are accepted. Take some off first.`,
    { field: 'tag' },
  )
