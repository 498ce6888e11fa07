/** `gantry create / list / update group`. */

import type { Settings } from '../config.ts'
import type { ConsumerGroupId } from '../model/ids.ts'
import { instanceIdOf, wholeNumber } from './arguments.ts'
import { callAndNote, callData, findTarget, type Target } from './client.ts'
import { UsageError } from './errors.ts'
import { type Columns, type ListOptions, list } from './lists.ts'
import { given, type Members, refuseNothing, when } from './members.ts'
import { type OutputOptions, print, step } from './output.ts'
import { partFacts } from './parts.ts'
import { shown } from './safe-text.ts'
import { untilPartRuns } from './waiting.ts'

export interface GroupOptions extends OutputOptions {
  readonly retries?: string
  readonly retryPolicy?: string
  readonly retryInterval?: string
  readonly deadLetterTopic?: string
  readonly remark?: string
  readonly maxReceiveTps?: string
}

export interface NewGroupOptions extends GroupOptions {
  readonly order: string
  readonly liteOf?: string
  readonly exclusive?: boolean
}

/** The vendor's pairs: ordered delivery retries after a fixed pause, concurrent delivery by the growing table. */
const orderlyPolicy = { retryPolicy: 'FixedRetryPolicy', fixedIntervalRetryTime: 3 }

export async function createGroup(
  settings: Settings,
  instance: string,
  consumerGroupId: ConsumerGroupId,
  options: NewGroupOptions,
): Promise<void> {
  const policy = {
    ...(options.order === 'Orderly' ? orderlyPolicy : { retryPolicy: 'DefaultRetryPolicy' }),
    ...policyMembers(options),
  }
  refuseUnusedInterval(policy.retryPolicy, options)
  if (options.exclusive === true && options.liteOf === undefined)
    throw new UsageError('--exclusive counts for a group of lite consumers; name its LITE topic with --lite-of.')
  const members = groupMembers(options)
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await step(`CreateConsumerGroup ${consumerGroupId}`, () =>
    callData(target, 'CreateConsumerGroup', {
      instanceId,
      consumerGroupId,
      deliveryOrderType: options.order,
      consumeRetryPolicy: policy,
      ...members,
      ...(options.liteOf === undefined ? {} : { messageModel: 'LITE_SELECTIVE', topicName: options.liteOf }),
      ...(options.exclusive === true ? { exclusive: true } : {}),
    }),
  )
  await groupRuns(target, { instanceId, consumerGroupId }, options)
}

/** The API takes the retry policy whole: what is not changed is sent as it is stored. */
export async function updateGroup(
  settings: Settings,
  instance: string,
  consumerGroupId: ConsumerGroupId,
  options: GroupOptions,
): Promise<void> {
  const policy = policyMembers(options)
  const members = groupMembers(options)
  refuseNothing('group', { ...policy, ...members })
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const { consumeRetryPolicy } = await callAndNote<{ consumeRetryPolicy: Members }>(target, 'GetConsumerGroup', {
    instanceId,
    consumerGroupId,
  })
  refuseUnusedInterval(policy.retryPolicy ?? consumeRetryPolicy.retryPolicy, options)
  await step(`UpdateConsumerGroup ${consumerGroupId}`, () =>
    callData(target, 'UpdateConsumerGroup', {
      instanceId,
      consumerGroupId,
      consumeRetryPolicy: changedPolicy(consumeRetryPolicy, policy),
      ...members,
    }),
  )
  await groupRuns(target, { instanceId, consumerGroupId }, options)
}

/** The API keeps an interval under every policy, and it counts under the fixed one. */
function refuseUnusedInterval(retryPolicy: unknown, { retryInterval }: GroupOptions): void {
  if (retryInterval === undefined || retryPolicy === 'FixedRetryPolicy') return
  throw new UsageError(
    `--retry-interval counts with --retry-policy FixedRetryPolicy, and the policy is ${shown(String(retryPolicy))}.`,
  )
}

/** The fixed interval belongs to the fixed policy alone. */
function changedPolicy(stored: Members, changes: Members): Members {
  const { fixedIntervalRetryTime, ...rest } = { ...stored, ...changes }
  return rest.retryPolicy === 'FixedRetryPolicy' ? given({ ...rest, fixedIntervalRetryTime }) : rest
}

const policyMembers = (options: GroupOptions): Members =>
  given({
    maxRetryTimes: when(options.retries, (text) => wholeNumber('--retries', text)),
    retryPolicy: options.retryPolicy,
    fixedIntervalRetryTime: when(options.retryInterval, (text) => wholeNumber('--retry-interval', text)),
    deadLetterTargetTopic: options.deadLetterTopic,
  })

const groupMembers = (options: GroupOptions): Members =>
  given({
    remark: options.remark,
    maxReceiveTps: when(options.maxReceiveTps, (text) => wholeNumber('--max-receive-tps', text)),
  })

async function groupRuns(target: Target, place: Record<string, string>, options: OutputOptions): Promise<void> {
  const group = await step('waiting until it runs', () => untilPartRuns(target, 'GetConsumerGroup', place))
  print(group, options, () => partFacts(group, target.zoneMinutes))
}

export const groupColumns: Columns = [
  ['CONSUMER GROUP', 'consumerGroupId'],
  ['STATUS', 'status'],
  ['CREATED', 'createTime'],
  ['REMARK', 'remark'],
]

export async function listGroups(settings: Settings, instance: string, options: ListOptions): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const place = { action: 'ListConsumerGroups', input: { instanceId }, pageSize: 100 }
  await list(target, { ...place, things: 'consumer groups', columns: groupColumns }, options)
}
