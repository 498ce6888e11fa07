/**
 * Where groups stand. A reset is a wish like any other: written down here, carried out by the loop, once,
 * whichever process dies in between.
 */
import type { ResetConsumeOffsetInput } from '../catalogue/consumption.ts'
import { consumerGroupNotFound, invalid, missing, topicNotFound } from '../catalogue/errors.ts'
import { findConsumerGroup } from '../ledger/consumer-groups.ts'
import { touchInstance } from '../ledger/instances.ts'
import { wantOffsetReset } from '../ledger/offset-resets.ts'
import { findTopic } from '../ledger/topics.ts'
import { causeOf, groupResource } from './change-names.ts'
import { isBlank } from './check.ts'
import { readDateText } from './date-text.ts'
import type { Handler, Services } from './handler.ts'
import { usableInstance } from './instance-lookup.ts'

/** The reply has no data. A group that never read the topic will begin where the reset says. */
export const resetConsumeOffset: Handler<ResetConsumeOffsetInput, undefined> = async (services, call, input) => {
  const { instanceId, consumerGroupId, topicName } = input
  const toMs = placeOf(services, input)
  const resetId = services.world.random.uuid()
  await services.ledger.change(causeOf(call, 'ResetConsumeOffset'), async ({ tx, record }) => {
    await usableInstance(tx, call, instanceId)
    if ((await findConsumerGroup(tx, instanceId, consumerGroupId)) === undefined)
      throw consumerGroupNotFound(consumerGroupId)
    if ((await findTopic(tx, instanceId, topicName)) === undefined) throw topicNotFound(topicName)
    await wantOffsetReset(tx, {
      instance_id: instanceId,
      consumer_group_id: consumerGroupId,
      topic_name: topicName,
      reset_id: resetId,
      to_ms: toMs,
      create_time_ms: call.at,
    })
    await touchInstance(tx, instanceId)
    await record(groupResource(instanceId, consumerGroupId), { offsetReset: { topicName, toMs } })
  })
  services.wake(instanceId)
}

/** Milliseconds, or null for the end. Neither member is marked as required, and without them nobody knows where to go. */
function placeOf(services: Services, { resetType, resetTime }: ResetConsumeOffsetInput): number | null {
  if (isBlank(resetType)) throw missing('resetType', 'Accepted: LATEST_OFFSET, SPECIFIED_TIME.')
  if (resetType === 'LATEST_OFFSET') return null
  if (isBlank(resetTime)) throw missing('resetTime', 'SPECIFIED_TIME needs it.')
  const ms = readDateText(resetTime, services.settings.timeZoneOffsetMinutes)
  if (ms === null) throw invalid('resetTime', `"${resetTime}" is no date of the calendar.`)
  return Math.max(0, ms)
}
