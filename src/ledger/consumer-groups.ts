/**
 * Consumer groups in the ledger. A deleted group stays as a row that is wanted absent until the loop
 * has removed it from the engine; `findConsumerGroup` does not see such rows, `findConsumerGroupRow` does.
 */
import type { ConsumerGroupId, InstanceId } from '../model/ids.ts'
import type { Reader, Writer } from './ledger.ts'
import type { ConsumerGroupTable, NewRow, Row } from './schema.ts'
import { containsText, type Page } from './search.ts'

export type ConsumerGroupRow = Row<'consumer_groups'>

/** What a group is created with. */
export type ConsumerGroupColumns = Pick<
  ConsumerGroupTable,
  | 'delivery_order_type'
  | 'consume_retry_policy_json'
  | 'max_receive_tps'
  | 'remark'
  | 'message_model'
  | 'topic_name'
  | 'create_time_ms'
  | 'update_time_ms'
> &
  Pick<Row<'consumer_groups'>, 'exclusive' | 'made_by_use'>

/** A group that is wanted. */
export async function findConsumerGroup(
  reader: Reader,
  instanceId: InstanceId,
  consumerGroupId: ConsumerGroupId,
): Promise<ConsumerGroupRow | undefined> {
  const row = await findConsumerGroupRow(reader, instanceId, consumerGroupId)
  return row?.wanted === 'present' ? row : undefined
}

/** Also a group that is being removed. */
export function findConsumerGroupRow(
  reader: Reader,
  instanceId: InstanceId,
  consumerGroupId: ConsumerGroupId,
): Promise<ConsumerGroupRow | undefined> {
  return reader
    .selectFrom('consumer_groups')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .where('consumer_group_id', '=', consumerGroupId)
    .executeTakeFirst()
}

export async function insertConsumerGroup(writer: Writer, row: NewRow<'consumer_groups'>): Promise<void> {
  await writer.insertInto('consumer_groups').values(row).execute()
}

export async function updateConsumerGroup(
  writer: Writer,
  row: Pick<ConsumerGroupRow, 'instance_id' | 'consumer_group_id'>,
  columns: Partial<ConsumerGroupColumns> &
    Partial<Pick<ConsumerGroupRow, 'wanted' | 'generation' | 'applied_generation'>>,
): Promise<void> {
  await writer
    .updateTable('consumer_groups')
    .set(columns)
    .where('instance_id', '=', row.instance_id)
    .where('consumer_group_id', '=', row.consumer_group_id)
    .execute()
}

/** The instance goes as a whole, so its groups need no removal of their own. */
export async function deleteConsumerGroupsOf(writer: Writer, instanceId: InstanceId): Promise<void> {
  await writer.deleteFrom('consumer_groups').where('instance_id', '=', instanceId).execute()
}

export interface GroupCount {
  readonly total: number
  /** Without those that clients made by using them: these count against the instance's quota. */
  readonly created: number
}

/** How many groups are wanted; an instance that is missing in the answer has none. */
export async function countConsumerGroups(
  reader: Reader,
  instanceIds: readonly InstanceId[],
): Promise<Map<string, GroupCount>> {
  const counts = new Map<string, GroupCount>()
  if (instanceIds.length === 0) return counts
  const counted = await reader
    .selectFrom('consumer_groups')
    .select((of) => ['instance_id', 'made_by_use', of.fn.countAll<number>().as('count')])
    .where('instance_id', 'in', instanceIds)
    .where('wanted', '=', 'present')
    .groupBy(['instance_id', 'made_by_use'])
    .execute()
  for (const { instance_id, made_by_use, count } of counted) {
    const { total, created } = counts.get(instance_id) ?? { total: 0, created: 0 }
    const own = Number(count)
    counts.set(instance_id, { total: total + own, created: created + (made_by_use === 0 ? own : 0) })
  }
  return counts
}

/** Newest first, the id deciding between groups of the same millisecond. */
export async function listConsumerGroups(
  reader: Reader,
  query: { readonly instanceId: InstanceId; readonly filter?: string | undefined; readonly page: Page },
): Promise<{ totalCount: number; rows: ConsumerGroupRow[] }> {
  let matching = reader
    .selectFrom('consumer_groups')
    .where('instance_id', '=', query.instanceId)
    .where('wanted', '=', 'present')
  const { filter } = query
  if (filter) matching = matching.where((of) => containsText(of.ref('consumer_group_id'), filter))
  const counted = await matching.select((of) => of.fn.countAll<number>().as('count')).executeTakeFirstOrThrow()
  const rows = await matching
    .selectAll()
    .orderBy('create_time_ms', 'desc')
    .orderBy('consumer_group_id', 'desc')
    .limit(query.page.size)
    .offset((query.page.number - 1) * query.page.size)
    .execute()
  return { totalCount: Number(counted.count), rows }
}
