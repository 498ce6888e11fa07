/**
 * Tags in the ledger: one row per resource and key. Only instances carry tags in this API
 * (`resource_type` `instance`).
 */
import type { InstanceId } from '../model/ids.ts'
import type { Reader, Writer } from './ledger.ts'
import type { Row } from './schema.ts'

export type TagRow = Row<'tags'>

export interface Tag {
  readonly key: string
  readonly value: string
}

const INSTANCE = 'instance'

/** Tags by instance, each list by key; an instance that is missing in the answer has none. */
export async function tagsOf(
  reader: Reader,
  regionId: string,
  instanceIds: readonly InstanceId[],
): Promise<Map<string, Tag[]>> {
  const found = new Map<string, Tag[]>()
  if (instanceIds.length === 0) return found
  const rows = await reader
    .selectFrom('tags')
    .select(['resource_id', 'tag_key', 'tag_value'])
    .where('region_id', '=', regionId)
    .where('resource_type', '=', INSTANCE)
    .where('resource_id', 'in', instanceIds)
    .orderBy('resource_id')
    .orderBy('tag_key')
    .execute()
  for (const row of rows) {
    const tags = found.get(row.resource_id) ?? []
    if (tags.length === 0) found.set(row.resource_id, tags)
    tags.push({ key: row.tag_key, value: row.tag_value })
  }
  return found
}

/** Sets the value of a key that is there, adds one that is not. */
export async function putTags(
  writer: Writer,
  where: { readonly regionId: string; readonly instanceId: InstanceId; readonly at: number },
  tags: readonly Tag[],
): Promise<void> {
  if (tags.length === 0) return
  await writer
    .insertInto('tags')
    .values(
      tags.map(({ key, value }) => ({
        region_id: where.regionId,
        resource_type: INSTANCE,
        resource_id: where.instanceId,
        tag_key: key,
        tag_value: value,
        create_time_ms: where.at,
      })),
    )
    .onConflict((conflict) =>
      conflict
        .columns(['region_id', 'resource_type', 'resource_id', 'tag_key'])
        .doUpdateSet((of) => ({ tag_value: of.ref('excluded.tag_value') })),
    )
    .execute()
}

/** Removes the named keys, or every tag when `keys` is null; keys that are not there do not matter. */
export async function removeTags(
  writer: Writer,
  regionId: string,
  instanceId: InstanceId,
  keys: readonly string[] | null,
): Promise<void> {
  if (keys !== null && keys.length === 0) return
  const ofInstance = writer
    .deleteFrom('tags')
    .where('region_id', '=', regionId)
    .where('resource_type', '=', INSTANCE)
    .where('resource_id', '=', instanceId)
  await (keys === null ? ofInstance : ofInstance.where('tag_key', 'in', keys)).execute()
}

export interface TagQuery {
  readonly regionId: string
  /** Tags of instances released by this time are left out. */
  readonly at: number
  readonly instanceIds?: readonly InstanceId[] | undefined
  readonly resourceGroupId?: string | undefined
  /** Instances that carry every pair; only the tags with these keys are listed. */
  readonly tags?: ReadonlyArray<{ readonly key: string; readonly value?: string | undefined }> | undefined
  /** Tags of instances that come after this one. */
  readonly afterInstanceId?: string | undefined
  readonly limit: number
}

/** Tags in the order of instance id and key, which a new tag does not disturb. */
export function listTags(reader: Reader, query: TagQuery): Promise<TagRow[]> {
  let found = reader
    .selectFrom('tags')
    .innerJoin('instances', 'instances.instance_id', 'tags.resource_id')
    .selectAll('tags')
    .where('tags.region_id', '=', query.regionId)
    .where('tags.resource_type', '=', INSTANCE)
    .where('instances.wanted', '=', 'present')
    .where('instances.release_time_ms', '>', query.at)
  const { instanceIds, resourceGroupId, tags, afterInstanceId } = query
  if (instanceIds) found = found.where('tags.resource_id', 'in', instanceIds)
  if (resourceGroupId) found = found.where('instances.resource_group_id', '=', resourceGroupId)
  if (tags && tags.length > 0) {
    const keys = tags.map((tag) => tag.key)
    found = found.where('tags.tag_key', 'in', keys)
    for (const tag of tags) {
      found = found.where((of) => {
        const carrying = of
          .selectFrom('tags as other')
          .select('other.tag_key')
          .whereRef('other.resource_id', '=', 'tags.resource_id')
          .where('other.region_id', '=', query.regionId)
          .where('other.resource_type', '=', INSTANCE)
          .where('other.tag_key', '=', tag.key)
        return of.exists(tag.value === undefined ? carrying : carrying.where('other.tag_value', '=', tag.value))
      })
    }
  }
  if (afterInstanceId) found = found.where('tags.resource_id', '>', afterInstanceId)
  return found.orderBy('tags.resource_id').orderBy('tags.tag_key').limit(query.limit).execute()
}
