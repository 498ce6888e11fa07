/**
 * Offset resets that are wanted and not carried out yet. The latest one for a group and a topic counts;
 * the loop takes rows away, and so does whoever deletes the group or the topic.
 */
import type { ConsumerGroupId, InstanceId, TopicName } from '../model/ids.ts'
import type { Writer } from './ledger.ts'
import type { NewRow } from './schema.ts'

/** In place of an earlier one that was not carried out yet. */
export async function wantOffsetReset(writer: Writer, row: NewRow<'offset_resets'>): Promise<void> {
  await writer
    .insertInto('offset_resets')
    .values(row)
    .onConflict((conflict) =>
      conflict.columns(['instance_id', 'consumer_group_id', 'topic_name']).doUpdateSet({
        reset_id: row.reset_id,
        to_ms: row.to_ms ?? null,
        create_time_ms: row.create_time_ms,
      }),
    )
    .execute()
}

/** A topic or a group that is made again under the name must not inherit a reset. */
export async function dropOffsetResets(
  writer: Writer,
  instanceId: InstanceId,
  of: { readonly topicName: TopicName } | { readonly consumerGroupId: ConsumerGroupId },
): Promise<void> {
  const mine = writer.deleteFrom('offset_resets').where('instance_id', '=', instanceId)
  await ('topicName' in of
    ? mine.where('topic_name', '=', of.topicName)
    : mine.where('consumer_group_id', '=', of.consumerGroupId)
  ).execute()
}
