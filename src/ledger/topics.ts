/**
 * Topics in the ledger. A deleted topic stays as a row that is wanted absent until the loop has
 * removed it from the engine; `findTopic` does not see such rows, `findTopicRow` does.
 */
import type { InstanceId, TopicName } from '../model/ids.ts'
import type { Reader, Writer } from './ledger.ts'
import type { NewRow, Row, TopicTable } from './schema.ts'
import { containsText, type Page } from './search.ts'

export type TopicRow = Row<'topics'>

/** What a topic is created with. */
export type TopicColumns = Pick<
  TopicTable,
  'message_type' | 'remark' | 'max_send_tps' | 'lite_topic_expiration' | 'create_time_ms' | 'update_time_ms'
>

/** A topic that is wanted. */
export async function findTopic(
  reader: Reader,
  instanceId: InstanceId,
  topicName: TopicName,
): Promise<TopicRow | undefined> {
  const row = await findTopicRow(reader, instanceId, topicName)
  return row?.wanted === 'present' ? row : undefined
}

/** Also a topic that is being removed. */
export function findTopicRow(
  reader: Reader,
  instanceId: InstanceId,
  topicName: TopicName,
): Promise<TopicRow | undefined> {
  return reader
    .selectFrom('topics')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .where('topic_name', '=', topicName)
    .executeTakeFirst()
}

export async function insertTopic(writer: Writer, row: NewRow<'topics'>): Promise<void> {
  await writer.insertInto('topics').values(row).execute()
}

export async function updateTopic(
  writer: Writer,
  row: Pick<TopicRow, 'instance_id' | 'topic_name'>,
  columns: Partial<TopicColumns> & Partial<Pick<TopicRow, 'wanted' | 'generation' | 'applied_generation'>>,
): Promise<void> {
  await writer
    .updateTable('topics')
    .set(columns)
    .where('instance_id', '=', row.instance_id)
    .where('topic_name', '=', row.topic_name)
    .execute()
}

/** The instance goes as a whole, so its topics need no removal of their own. */
export async function deleteTopicsOf(writer: Writer, instanceId: InstanceId): Promise<void> {
  await writer.deleteFrom('topics').where('instance_id', '=', instanceId).execute()
}

/** How many topics are wanted; an instance that is missing in the answer has none. */
export async function countTopics(reader: Reader, instanceIds: readonly InstanceId[]): Promise<Map<string, number>> {
  if (instanceIds.length === 0) return new Map()
  const counted = await reader
    .selectFrom('topics')
    .select((of) => ['instance_id', of.fn.countAll<number>().as('count')])
    .where('instance_id', 'in', instanceIds)
    .where('wanted', '=', 'present')
    .groupBy('instance_id')
    .execute()
  return new Map(counted.map((row) => [row.instance_id, Number(row.count)]))
}

/** Newest first, the name deciding between topics of the same millisecond. */
export async function listTopics(
  reader: Reader,
  query: {
    readonly instanceId: InstanceId
    readonly filter?: string | undefined
    readonly messageTypes?: readonly string[] | undefined
    readonly page: Page
  },
): Promise<{ totalCount: number; rows: TopicRow[] }> {
  let matching = reader.selectFrom('topics').where('instance_id', '=', query.instanceId).where('wanted', '=', 'present')
  const { filter, messageTypes } = query
  if (filter) matching = matching.where((of) => containsText(of.ref('topic_name'), filter))
  if (messageTypes && messageTypes.length > 0) matching = matching.where('message_type', 'in', messageTypes)
  const counted = await matching.select((of) => of.fn.countAll<number>().as('count')).executeTakeFirstOrThrow()
  const rows = await matching
    .selectAll()
    .orderBy('create_time_ms', 'desc')
    .orderBy('topic_name', 'desc')
    .limit(query.page.size)
    .offset((query.page.number - 1) * query.page.size)
    .execute()
  return { totalCount: Number(counted.count), rows }
}
