/**
 * Consumer groups: what is wanted of them. Creating and deleting return at once; the loop makes it
 * true, and a deleted group is out of sight from the moment of the call.
 *
 * The vendor's text pairs the fixed policy with ordered delivery and the default one with concurrent
 * delivery, and in the next sentence gives a range for the fixed interval of both; all pairs are accepted.
 */

import { ApiError, invalid, missing } from '../../catalogue/errors.ts'
import { consumerGroupExisted, consumerGroupNotFound } from '../../catalogue/rocketmq/errors.ts'
import type { DataOf, InputOf } from '../../catalogue/rocketmq/index.ts'
import { consumerGroupIdProblem, limits } from '../../catalogue/rocketmq/limits.ts'
import type { EngineCapabilities } from '../../engines/engine.ts'
import {
  type ConsumerGroupColumns,
  type ConsumerGroupRow,
  countConsumerGroups,
  findConsumerGroup,
  findConsumerGroupRow,
  insertConsumerGroup,
  listConsumerGroups as readConsumerGroups,
  updateConsumerGroup as writeConsumerGroup,
} from '../../ledger/consumer-groups.ts'
import { asDocument, consumeRetryPolicyOf } from '../../ledger/instance-documents.ts'
import { type InstanceRow, touchInstance } from '../../ledger/instances.ts'
import type { Reader } from '../../ledger/ledger.ts'
import { dropOffsetResets } from '../../ledger/offset-resets.ts'
import { findTopic } from '../../ledger/topics.ts'
import { createdAgain, groupStatus } from '../../lifecycle/status.ts'
import type { ConsumerGroupId, InstanceId, TopicName } from '../../model/ids.ts'
import { causeOf, groupResource } from '../change-names.ts'
import { isBlank } from '../check.ts'
import { dateText } from '../date-text.ts'
import { type Services, WithMessage, withNotes } from '../handler.ts'
import type { Handler } from './handler.ts'
import { liveInstance, usableInstance } from './instance-lookup.ts'
import { specificationOfRow } from './instance-specification.ts'
import { pageOf, pageReply } from './page.ts'

export const createConsumerGroup: Handler<'CreateConsumerGroup'> = async (services, call, input) => {
  const { instanceId, consumerGroupId, deliveryOrderType } = input
  refuseUncarriedOrder(services.engine, deliveryOrderType)
  checkLiteMembers(services.engine, input)
  const policy = policyOf({ consumerGroupId, order: deliveryOrderType }, input.consumeRetryPolicy, null)
  await services.ledger.change(causeOf(call, 'CreateConsumerGroup'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    const specification = specificationOfRow(instance)
    const problem = consumerGroupIdProblem(consumerGroupId, specification.nameMaxLength)
    if (problem !== null) throw invalid('consumerGroupId', problem)
    const before = await findConsumerGroupRow(tx, instanceId, consumerGroupId)
    if (before?.wanted === 'present' && before.made_by_use === 0) throw consumerGroupExisted(consumerGroupId)
    await checkQuota(tx, instance)
    await checkDeadLetterTopic(tx, instanceId, policy)
    await checkLiteTopic(tx, instanceId, input.topicName)

    const columns: ConsumerGroupColumns = {
      delivery_order_type: deliveryOrderType,
      consume_retry_policy_json: asDocument(policy),
      max_receive_tps: input.maxReceiveTps || null,
      remark: input.remark || null,
      message_model: input.messageModel ?? null,
      topic_name: input.topicName || null,
      exclusive: input.exclusive === true ? 1 : 0,
      made_by_use: 0,
      create_time_ms: call.at,
      update_time_ms: call.at,
    }
    // One that a client made by using it is what was asked for, and keeps its progress.
    if (before?.wanted === 'present')
      await writeConsumerGroup(tx, before, { ...columns, generation: before.generation + 1 })
    else if (before) await writeConsumerGroup(tx, before, { ...columns, ...createdAgain(before) })
    else {
      await insertConsumerGroup(tx, {
        instance_id: instanceId,
        consumer_group_id: consumerGroupId,
        ...columns,
        wanted: 'present',
        generation: 1,
        applied_generation: 0,
      })
    }
    await touchInstance(tx, instanceId)
    await record(groupResource(instanceId, consumerGroupId), { created: { deliveryOrderType, policy } })
  })
  services.wake(instanceId)
  return withNotes(true, intervalNotes(input.consumeRetryPolicy))
}

export const getConsumerGroup: Handler<'GetConsumerGroup'> = async (services, call, input) => {
  await liveInstance(services.ledger.read, call, input.instanceId)
  const row = await findConsumerGroup(services.ledger.read, input.instanceId, input.consumerGroupId)
  if (row === undefined) throw consumerGroupNotFound(input.consumerGroupId)
  const wanted = consumeRetryPolicyOf(row)
  const named = wanted.deadLetterTargetTopic
  const isThere = named === undefined || (await takesDeadLetters(services.ledger.read, input.instanceId, named))
  const inForce = ownDeadLetterTopic(input.consumerGroupId)
  const data = {
    ...summary(services, call.regionId, row),
    deliveryOrderType: row.delivery_order_type as DataOf<'GetConsumerGroup'>['deliveryOrderType'],
    consumeRetryPolicy: isThere ? wanted : { ...wanted, deadLetterTargetTopic: inForce },
    ...(row.topic_name === null ? {} : { exclusive: row.exclusive === 1 }),
  }
  if (isThere) return data
  return new WithMessage(
    data,
    `Success. The dead-letter topic "${named}" was deleted, so messages that have used all retries go to "${inForce}". Create the topic again, or name another one with UpdateConsumerGroup.`,
  )
}

/** Where dead letters of a group go that names no topic for them, or one that is gone. */
const ownDeadLetterTopic = (consumerGroupId: ConsumerGroupId): TopicName => `%DLQ%${consumerGroupId}`

/** As the broker chooses: a topic that is there and holds no lite topics (broker/core/consuming/dead-letters.ts). */
async function takesDeadLetters(reader: Reader, instanceId: InstanceId, topicName: TopicName): Promise<boolean> {
  const topic = await findTopic(reader, instanceId, topicName)
  return topic !== undefined && topic.message_type !== 'LITE'
}

export const updateConsumerGroup: Handler<'UpdateConsumerGroup'> = async (services, call, input) => {
  const { instanceId, consumerGroupId } = input
  const forLoop = await services.ledger.change(causeOf(call, 'UpdateConsumerGroup'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    const row = await findConsumerGroup(tx, instanceId, consumerGroupId)
    if (row === undefined) throw consumerGroupNotFound(consumerGroupId)
    refuseOrderChange(row, input.deliveryOrderType)
    const stored = consumeRetryPolicyOf(row)
    const policy = policyOf({ consumerGroupId, order: row.delivery_order_type }, input.consumeRetryPolicy, stored)
    if (policy.deadLetterTargetTopic !== stored.deadLetterTargetTopic)
      await checkDeadLetterTopic(tx, instanceId, policy)
    const wanted = {
      consume_retry_policy_json: asDocument(policy),
      max_receive_tps: input.maxReceiveTps === undefined ? row.max_receive_tps : input.maxReceiveTps || null,
      remark: input.remark === undefined ? row.remark : input.remark || null,
    }
    const isTakenOver = row.made_by_use === 1
    const forEngine =
      isTakenOver ||
      wanted.consume_retry_policy_json !== row.consume_retry_policy_json ||
      wanted.max_receive_tps !== row.max_receive_tps
    if (!forEngine && wanted.remark === row.remark) return false
    if (isTakenOver) await checkQuota(tx, instance)
    const raised = forEngine ? { generation: row.generation + 1 } : {}
    await writeConsumerGroup(tx, row, { ...wanted, ...raised, made_by_use: 0, update_time_ms: call.at })
    if (forEngine) await touchInstance(tx, instanceId)
    await record(groupResource(instanceId, consumerGroupId), { changed: { ...wanted, policy } })
    return forEngine
  })
  if (forLoop) services.wake(instanceId)
  return withNotes(true, intervalNotes(input.consumeRetryPolicy))
}

export const deleteConsumerGroup: Handler<'DeleteConsumerGroup'> = async (services, call, input) => {
  const { instanceId, consumerGroupId } = input
  await services.ledger.change(causeOf(call, 'DeleteConsumerGroup'), async ({ tx, record }) => {
    await usableInstance(tx, call, instanceId)
    const row = await findConsumerGroup(tx, instanceId, consumerGroupId)
    if (row === undefined) throw consumerGroupNotFound(consumerGroupId)
    await writeConsumerGroup(tx, row, { wanted: 'absent', generation: row.generation + 1, update_time_ms: call.at })
    await dropOffsetResets(tx, instanceId, { consumerGroupId })
    await touchInstance(tx, instanceId)
    await record(groupResource(instanceId, consumerGroupId), { deleted: true })
  })
  services.wake(instanceId)
  return true
}

export const listConsumerGroups: Handler<'ListConsumerGroups'> = async (services, call, input) => {
  await liveInstance(services.ledger.read, call, input.instanceId)
  const page = pageOf(limits.pages.sizes.ListConsumerGroups, input)
  const { totalCount, rows } = await readConsumerGroups(services.ledger.read, {
    instanceId: input.instanceId,
    filter: input.filter,
    page,
  })
  return pageReply(
    page,
    totalCount,
    rows.map((row) => summary(services, call.regionId, row)),
  )
}

/** `consumeRetryPolicy` as it is stored and read back. */
type RetryPolicy = DataOf<'GetConsumerGroup'>['consumeRetryPolicy']
type Engine = EngineCapabilities & { readonly name: string }

function summary(
  services: Services,
  regionId: string,
  row: ConsumerGroupRow,
): DataOf<'ListConsumerGroups'>['list'][number] {
  const zone = services.settings.timeZoneOffsetMinutes
  return {
    instanceId: row.instance_id,
    consumerGroupId: row.consumer_group_id,
    regionId,
    status: groupStatus(row),
    ...(row.remark === null ? {} : { remark: row.remark }),
    ...(row.max_receive_tps === null ? {} : { maxReceiveTps: row.max_receive_tps }),
    messageModel: row.message_model ?? 'CLUSTERING',
    ...(row.topic_name === null ? {} : { topicName: row.topic_name }),
    createTime: dateText(row.create_time_ms, zone),
    updateTime: dateText(row.update_time_ms, zone),
  }
}

/**
 * The policy with its defaults, or with what was stored where the request is silent. An interval is kept
 * under the default policy too, as the vendor's samples send it; it counts once the policy is fixed. The group's own
 * dead-letter topic, which GetConsumerGroup names when the wanted one is gone, is what a policy without a topic means.
 */
function policyOf(
  { consumerGroupId, order }: { readonly consumerGroupId: ConsumerGroupId; readonly order: string },
  asked: InputOf<'CreateConsumerGroup'>['consumeRetryPolicy'],
  stored: RetryPolicy | null,
): RetryPolicy {
  const interval =
    asked.fixedIntervalRetryTime ??
    stored?.fixedIntervalRetryTime ??
    (asked.retryPolicy === 'FixedRetryPolicy' ? DEFAULT_INTERVAL_SECONDS[orderOf(order)] : undefined)
  const range = limits.retry.fixedIntervalSeconds[orderOf(order)]
  if (interval !== undefined && (interval < range.minimum || interval > range.maximum)) {
    throw invalid(
      'consumeRetryPolicy.fixedIntervalRetryTime',
      `It is ${interval}; accepted with ${order}: whole seconds from ${range.minimum} to ${range.maximum}.`,
    )
  }
  const deadLetters = asked.deadLetterTargetTopic ?? stored?.deadLetterTargetTopic
  return {
    retryPolicy: asked.retryPolicy,
    maxRetryTimes: asked.maxRetryTimes ?? stored?.maxRetryTimes ?? limits.retry.maxRetryTimes.default,
    ...(interval === undefined ? {} : { fixedIntervalRetryTime: interval }),
    ...(isBlank(deadLetters) || deadLetters === ownDeadLetterTopic(consumerGroupId)
      ? {}
      : { deadLetterTargetTopic: deadLetters }),
  }
}

/** What a reply says of an interval that does not count yet. */
const intervalNotes = (asked: InputOf<'CreateConsumerGroup'>['consumeRetryPolicy']): string[] =>
  asked.fixedIntervalRetryTime === undefined || asked.retryPolicy === 'FixedRetryPolicy'
    ? []
    : [
        `consumeRetryPolicy.fixedIntervalRetryTime is kept and has no effect with ${asked.retryPolicy}; it counts with FixedRetryPolicy.`,
      ]

const orderOf = (order: string): 'Concurrently' | 'Orderly' => (order === 'Orderly' ? 'Orderly' : 'Concurrently')

/** Terraform asks for the fixed policy without an interval. The shortest concurrent one; for ordered delivery the open-source client's 3 s. */
const DEFAULT_INTERVAL_SECONDS = { Concurrently: 10, Orderly: 3 } as const

async function checkDeadLetterTopic(reader: Reader, instanceId: InstanceId, policy: RetryPolicy): Promise<void> {
  const name = policy.deadLetterTargetTopic
  if (name === undefined) return
  const topic = await findTopic(reader, instanceId, name)
  if (topic?.message_type === 'LITE') {
    throw invalid(
      'consumeRetryPolicy.deadLetterTargetTopic',
      `Topic "${name}" is a LITE topic, whose messages all belong to lite topics; name a topic of another type.`,
    )
  }
  if (topic !== undefined) return
  throw new ApiError(
    404,
    'Topic.NotFound',
    `The topic cannot be found. consumeRetryPolicy.deadLetterTargetTopic names "${name}", and the instance has no such topic; create it first.`,
    { field: 'consumeRetryPolicy.deadLetterTargetTopic' },
  )
}

function refuseUncarriedOrder(engine: Engine, order: string): void {
  if (order !== 'Orderly' || engine.orderlyGroups) return
  throw invalid(
    'deliveryOrderType',
    `The ${engine.name} engine of this server does not deliver in order (Orderly); it delivers Concurrently.`,
  )
}

function refuseOrderChange(row: ConsumerGroupRow, asked: string | undefined): void {
  if (asked === undefined || asked === row.delivery_order_type) return
  throw invalid(
    'deliveryOrderType',
    `The group delivers ${row.delivery_order_type}, which is fixed for life; delete the group and create it as ${asked}.`,
  )
}

/** `messageModel`, `topicName` and `exclusive` came with LITE topics (2025); each is refused where it could have no effect. */
function checkLiteMembers(engine: Engine, input: InputOf<'CreateConsumerGroup'>): void {
  const lite = engine.messageTypes.includes('LITE')
  if (input.messageModel === 'BROADCASTING') {
    throw invalid(
      'messageModel',
      'BROADCASTING is not offered: clients of RocketMQ 5 have no such mode. Leave it out, and give each client instance a consumer group of its own; every group gets every message.',
    )
  }
  if (input.messageModel === 'LITE_SELECTIVE') {
    if (!lite) throw invalid('messageModel', `The ${engine.name} engine of this server does not carry LITE topics.`)
    if (isBlank(input.topicName)) throw missing('topicName', 'A LITE_SELECTIVE group names its LITE topic.')
  } else if (!isBlank(input.topicName)) {
    throw invalid('topicName', 'It binds a group to a LITE topic and counts with messageModel LITE_SELECTIVE only.')
  }
  if (input.exclusive === true && input.messageModel !== 'LITE_SELECTIVE') {
    throw invalid(
      'exclusive',
      'It gives each lite topic one consumer and counts with messageModel LITE_SELECTIVE only.',
    )
  }
}

async function checkLiteTopic(reader: Reader, instanceId: InstanceId, topicName: TopicName | undefined): Promise<void> {
  if (isBlank(topicName)) return
  const topic = await findTopic(reader, instanceId, topicName)
  if (topic?.message_type !== 'LITE') {
    throw invalid('topicName', `The instance has no LITE topic "${topicName}"; create it first.`)
  }
}

/** Groups that clients made by using them have places of their own, until the API creates or changes one. */
async function checkQuota(reader: Reader, instance: InstanceRow): Promise<void> {
  const { maxGroups } = specificationOfRow(instance)
  const count = (await countConsumerGroups(reader, [instance.instance_id])).get(instance.instance_id)
  if ((count?.created ?? 0) >= maxGroups) throw groupQuotaExceeded(instance.instance_id, maxGroups)
}

const groupQuotaExceeded = (instanceId: InstanceId, quota: number): ApiError =>
  new ApiError(
    400,
    'QuotaExceeded.ConsumerGroup',
    `Instance "${instanceId}" has all ${quota} consumer groups its specification allows. Delete a group, or use an instance with a larger specification.`,
    { field: 'consumerGroupId' },
  )
