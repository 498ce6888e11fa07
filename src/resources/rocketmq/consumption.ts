/**
 * Offsets and lag of groups. A reset is recorded here as wanted and carried out by the loop, exactly once,
 * whichever process dies in between.
 */

import { ApiError, invalid, missing } from '../../catalogue/errors.ts'
import { consumerGroupNotFound, topicNotFound } from '../../catalogue/rocketmq/errors.ts'
import type { Action, DataOf, InputOf } from '../../catalogue/rocketmq/index.ts'
import { findConsumerGroup } from '../../ledger/consumer-groups.ts'
import { touchInstance } from '../../ledger/instances.ts'
import { wantOffsetReset } from '../../ledger/offset-resets.ts'
import { findTopic } from '../../ledger/topics.ts'
import type { TopicLag } from '../../model/observations.ts'
import { causeOf, groupResource } from '../change-names.ts'
import { isBlank } from '../check.ts'
import { readDateText } from '../date-text.ts'
import type { Services } from '../handler.ts'
import type { Handler } from './handler.ts'
import { liveInstance, usableInstance } from './instance-lookup.ts'

/** The reply has no data. A group that never read the topic will begin where the reset says. */
/** Operations of this family that answer 501. */
export const notYet = [
  'GetConsumeTimespan',
  'GetConsumerStack',
  'ListConsumerConnections',
] as const satisfies readonly Action[]

export const resetConsumeOffset: Handler<'ResetConsumeOffset'> = async (services, call, input) => {
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

/**
 * It reads, so it may ask the engine. Every topic the group reads is in the map, and `totalLag` is their sum; with
 * `topicName` only that one. A duration is how long the oldest message that could be given now has been there.
 */
export const getConsumerGroupLag: Handler<'GetConsumerGroupLag'> = async (services, call, input) => {
  const { instanceId, consumerGroupId, topicName, liteTopicName } = input
  const { read } = services.ledger
  await liveInstance(read, call, instanceId)
  if ((await findConsumerGroup(read, instanceId, consumerGroupId)) === undefined)
    throw consumerGroupNotFound(consumerGroupId)
  if (!isBlank(topicName) && (await findTopic(read, instanceId, topicName)) === undefined)
    throw topicNotFound(topicName)
  const lags = await services.askBriefly(instanceId, 'lag', { consumerGroupId })
  if (lags === null) {
    throw new ApiError(
      503,
      'ServiceUnavailable',
      `The broker of instance "${instanceId}" does not answer now, so nobody knows the lag. Try again in a moment.`,
    )
  }
  const wanted = lags.filter(
    (lag) =>
      (isBlank(topicName) || lag.topicName === topicName) &&
      (isBlank(liteTopicName) || lag.liteTopic === liteTopicName),
  )
  const lites = wanted.filter((lag) => lag.liteTopic != null)
  return {
    instanceId,
    consumerGroupId,
    regionId: call.regionId,
    ...(isBlank(topicName) ? {} : { topicName }),
    totalLag: lagView(wanted, call.at),
    topicLagMap: Object.fromEntries(
      Array.from(byTopic(wanted), ([name, ofTopic]) => [name, lagView(ofTopic, call.at)]),
    ),
    ...(lites.length === 0
      ? {}
      : { liteTopicLagMap: Object.fromEntries(lites.map((lag) => [lag.liteTopic!, liteLagView(lag, call.at)])) }),
  }
}

/** A LITE topic's lag is that of its lite topics together. */
function byTopic(lags: readonly TopicLag[]): ReadonlyMap<string, TopicLag[]> {
  const found = new Map<string, TopicLag[]>()
  for (const lag of lags) {
    const before = found.get(lag.topicName)
    if (before) before.push(lag)
    else found.set(lag.topicName, [lag])
  }
  return found
}

function liteLagView(lag: TopicLag, at: number): { readyCount: number; deliveryDuration: number } {
  const { readyCount, deliveryDuration } = lagView([lag], at)
  return { readyCount, deliveryDuration }
}

function lagView(lags: readonly TopicLag[], at: number): DataOf<'GetConsumerGroupLag'>['totalLag'] {
  const sum = (of: (lag: TopicLag) => number): number => lags.reduce((total, lag) => total + of(lag), 0)
  const since = lags.reduce((earliest, { readySinceMs }) => Math.min(earliest, readySinceMs ?? at), at)
  const last = lags.reduce((latest, { lastConsumeMs }) => Math.max(latest, lastConsumeMs ?? 0), 0)
  return {
    readyCount: sum(({ readyCount }) => readyCount),
    inflightCount: sum(({ inflightCount }) => inflightCount),
    deliveryDuration: Math.floor((at - since) / 1000),
    ...(last === 0 ? {} : { lastConsumeTimestamp: last }),
  }
}

/** Milliseconds, or null for the end. Neither member is marked as required, and without them there is no position. */
function placeOf(services: Services, { resetType, resetTime }: InputOf<'ResetConsumeOffset'>): number | null {
  if (isBlank(resetType)) throw missing('resetType', 'Accepted: LATEST_OFFSET, SPECIFIED_TIME.')
  if (resetType === 'LATEST_OFFSET') return null
  if (isBlank(resetTime)) throw missing('resetTime', 'SPECIFIED_TIME needs it.')
  const ms = readDateText(resetTime, services.settings.timeZoneOffsetMinutes)
  if (ms === null) throw invalid('resetTime', `"${resetTime}" is no date of the calendar.`)
  return Math.max(0, ms)
}
