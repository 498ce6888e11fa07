/** `gantry create / list / update group`. */
import type { Settings } from '../config.ts'
import { instanceIdOf, wholeNumber } from './arguments.ts'
import { callData, findTarget, type Target } from './client.ts'
import { type Columns, type ListOptions, list } from './lists.ts'
import { given, type Members, refuseNothing, when } from './members.ts'
import { type OutputOptions, print, step } from './output.ts'
import { anyTable } from './tables.ts'
import { untilPartRuns } from './waiting.ts'

export interface GroupOptions extends OutputOptions {
  readonly order: string
  readonly retries?: string
  readonly retryPolicy?: string
  readonly retryInterval?: string
  readonly deadLetterTopic?: string
  readonly remark?: string
  readonly maxReceiveTps?: string
}

/** The vendor's pairs: ordered delivery retries after a fixed pause, concurrent delivery by the growing table. */
const orderlyPolicy = { retryPolicy: 'FixedRetryPolicy', fixedIntervalRetryTime: 3 }

export async function createGroup(
  settings: Settings,
  instance: string,
  consumerGroupId: string,
  options: GroupOptions,
): Promise<void> {
  const policy = {
    ...(options.order === 'Orderly' ? orderlyPolicy : { retryPolicy: 'DefaultRetryPolicy' }),
    ...policyMembers(options),
  }
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
    }),
  )
  await groupRuns(target, { instanceId, consumerGroupId }, options)
}

/** The API takes the retry policy whole: what is not changed is sent as it is stored. */
export async function updateGroup(
  settings: Settings,
  instance: string,
  consumerGroupId: string,
  options: Omit<GroupOptions, 'order'>,
): Promise<void> {
  const policy = policyMembers(options)
  const members = groupMembers(options)
  refuseNothing('group', { ...policy, ...members })
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const { consumeRetryPolicy } = await callData<{ consumeRetryPolicy: Members }>(target, 'GetConsumerGroup', {
    instanceId,
    consumerGroupId,
  })
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

/** The fixed interval belongs to the fixed policy alone. */
function changedPolicy(stored: Members, changes: Members): Members {
  const { fixedIntervalRetryTime, ...rest } = { ...stored, ...changes }
  return rest.retryPolicy === 'FixedRetryPolicy' || changes.fixedIntervalRetryTime !== undefined
    ? given({ ...rest, fixedIntervalRetryTime })
    : rest
}

const policyMembers = (options: Omit<GroupOptions, 'order'>): Members =>
  given({
    maxRetryTimes: when(options.retries, (text) => wholeNumber('--retries', text)),
    retryPolicy: options.retryPolicy,
    fixedIntervalRetryTime: when(options.retryInterval, (text) => wholeNumber('--retry-interval', text)),
    deadLetterTargetTopic: options.deadLetterTopic,
  })

const groupMembers = (options: Omit<GroupOptions, 'order'>): Members =>
  given({
    remark: options.remark,
    maxReceiveTps: when(options.maxReceiveTps, (text) => wholeNumber('--max-receive-tps', text)),
  })

async function groupRuns(target: Target, place: Record<string, string>, options: OutputOptions): Promise<void> {
  const group = await step('waiting until it runs', () => untilPartRuns(target, 'GetConsumerGroup', place))
  print(group, options, () => anyTable(group))
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
  await list(target, 'ListConsumerGroups', { instanceId }, 100, options, groupColumns)
}
