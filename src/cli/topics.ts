/** `gantry create / list / update topic`. */

import type { Settings } from '../config.ts'
import type { TopicName } from '../model/ids.ts'
import { instanceIdOf, wholeNumber } from './arguments.ts'
import { callData, findTarget, type Target } from './client.ts'
import { type Columns, type ListOptions, list } from './lists.ts'
import { given, type Members, refuseNothing, when } from './members.ts'
import { type OutputOptions, print, step } from './output.ts'
import { partFacts } from './parts.ts'
import { untilPartRuns } from './waiting.ts'

export interface TopicOptions extends OutputOptions {
  readonly type: string
  readonly remark?: string
  readonly maxSendTps?: string
  readonly liteExpiration?: string
}

export async function createTopic(
  settings: Settings,
  instance: string,
  topicName: TopicName,
  options: TopicOptions,
): Promise<void> {
  const members = topicMembers(options)
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await step(`CreateTopic ${topicName}`, () =>
    callData(target, 'CreateTopic', { instanceId, topicName, messageType: options.type, ...members }),
  )
  await topicRuns(target, { instanceId, topicName }, options)
}

export async function updateTopic(
  settings: Settings,
  instance: string,
  topicName: TopicName,
  options: Omit<TopicOptions, 'type'>,
): Promise<void> {
  const changes = topicMembers(options)
  refuseNothing('topic', changes)
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  await step(`UpdateTopic ${topicName}`, () => callData(target, 'UpdateTopic', { instanceId, topicName, ...changes }))
  await topicRuns(target, { instanceId, topicName }, options)
}

const topicMembers = (options: Omit<TopicOptions, 'type'>): Members =>
  given({
    remark: options.remark,
    maxSendTps: when(options.maxSendTps, (text) => wholeNumber('--max-send-tps', text)),
    liteTopicExpiration: when(options.liteExpiration, (text) => wholeNumber('--lite-expiration', text, -1)),
  })

async function topicRuns(target: Target, place: Record<string, string>, options: OutputOptions): Promise<void> {
  const topic = await step('waiting until it runs', () => untilPartRuns(target, 'GetTopic', place))
  print(topic, options, () => partFacts(topic, target.zoneMinutes))
}

export const topicColumns: Columns = [
  ['TOPIC', 'topicName'],
  ['TYPE', 'messageType'],
  ['STATUS', 'status'],
  ['CREATED', 'createTime'],
  ['REMARK', 'remark'],
]

export async function listTopics(settings: Settings, instance: string, options: ListOptions): Promise<void> {
  const target = findTarget(settings)
  const instanceId = await instanceIdOf(target, instance)
  const listing = {
    action: 'ListTopics',
    input: { instanceId },
    pageSize: 1000,
    things: 'topics',
    columns: topicColumns,
  }
  await list(target, listing, options)
}
