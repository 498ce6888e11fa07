/**
 * Topics: what is wanted of them. Creating and deleting return at once; the loop makes it true, and a
 * deleted topic is out of sight from the moment of the call.
 */

import { ApiError, invalid } from '../../catalogue/errors.ts'
import { topicExisted, topicNotFound } from '../../catalogue/rocketmq/errors.ts'
import type { DataOf } from '../../catalogue/rocketmq/index.ts'
import { limits, topicNameProblem } from '../../catalogue/rocketmq/limits.ts'
import type { EngineCapabilities } from '../../engines/engine.ts'
import { touchInstance } from '../../ledger/instances.ts'
import { dropOffsetResets } from '../../ledger/offset-resets.ts'
import {
  countTopics,
  findTopic,
  findTopicRow,
  insertTopic,
  listTopics as readTopics,
  type TopicColumns,
  type TopicRow,
  updateTopic as writeTopic,
} from '../../ledger/topics.ts'
import { createdAgain, topicStatus } from '../../lifecycle/status.ts'
import type { InstanceId } from '../../model/ids.ts'
import { causeOf, topicResource } from '../change-names.ts'
import { dateText } from '../date-text.ts'
import type { Services } from '../handler.ts'
import type { Handler } from './handler.ts'
import { liveInstance, usableInstance } from './instance-lookup.ts'
import { specificationOfRow } from './instance-specification.ts'
import { pageOf, pageReply } from './page.ts'

export const createTopic: Handler<'CreateTopic'> = async (services, call, input) => {
  const { instanceId, topicName } = input
  refuseUncarriedType(services.engine, input.messageType)
  checkLiteTopicExpiration(input.messageType, input.liteTopicExpiration)
  await services.ledger.change(causeOf(call, 'CreateTopic'), async ({ tx, record }) => {
    const instance = await usableInstance(tx, call, instanceId)
    const specification = specificationOfRow(instance)
    const problem = topicNameProblem(topicName, specification.nameMaxLength)
    if (problem !== null) throw invalid('topicName', problem)
    const before = await findTopicRow(tx, instanceId, topicName)
    if (before?.wanted === 'present') throw topicExisted(topicName)
    const count = (await countTopics(tx, [instanceId])).get(instanceId) ?? 0
    if (count >= specification.maxTopics) throw topicQuotaExceeded(instanceId, specification.maxTopics)

    const columns: TopicColumns = {
      message_type: input.messageType,
      remark: input.remark || null,
      max_send_tps: input.maxSendTps || null,
      lite_topic_expiration: input.messageType === 'LITE' ? (input.liteTopicExpiration ?? NEVER) : null,
      create_time_ms: call.at,
      update_time_ms: call.at,
    }
    if (before) await writeTopic(tx, before, { ...columns, ...createdAgain(before) })
    else {
      await insertTopic(tx, {
        instance_id: instanceId,
        topic_name: topicName,
        ...columns,
        wanted: 'present',
        generation: 1,
        applied_generation: 0,
      })
    }
    await touchInstance(tx, instanceId)
    await record(topicResource(instanceId, topicName), { created: { messageType: input.messageType } })
  })
  services.wake(instanceId)
  return true
}

export const getTopic: Handler<'GetTopic'> = async (services, call, { instanceId, topicName }) => {
  await liveInstance(services.ledger.read, call, instanceId)
  const row = await findTopic(services.ledger.read, instanceId, topicName)
  if (row === undefined) throw topicNotFound(topicName)
  const { highestPriority } = services.engine
  const view = topicView(services, call.regionId, row)
  return view.messageType === 'PRIORITY' ? { ...view, priority: highestPriority } : view
}

export const updateTopic: Handler<'UpdateTopic'> = async (services, call, input) => {
  const { instanceId, topicName } = input
  const changed = await services.ledger.change(causeOf(call, 'UpdateTopic'), async ({ tx, record }) => {
    await usableInstance(tx, call, instanceId)
    const row = await findTopic(tx, instanceId, topicName)
    if (row === undefined) throw topicNotFound(topicName)
    checkLiteTopicExpiration(row.message_type, input.liteTopicExpiration)
    const wanted = {
      remark: input.remark === undefined ? row.remark : input.remark || null,
      max_send_tps: input.maxSendTps === undefined ? row.max_send_tps : input.maxSendTps || null,
      lite_topic_expiration: input.liteTopicExpiration ?? row.lite_topic_expiration,
    }
    const forEngine =
      wanted.max_send_tps !== row.max_send_tps || wanted.lite_topic_expiration !== row.lite_topic_expiration
    if (!forEngine && wanted.remark === row.remark) return false
    const raised = forEngine ? { generation: row.generation + 1 } : {}
    await writeTopic(tx, row, { ...wanted, ...raised, update_time_ms: call.at })
    if (forEngine) await touchInstance(tx, instanceId)
    await record(topicResource(instanceId, topicName), { changed: wanted })
    return forEngine
  })
  if (changed) services.wake(instanceId)
  return true
}

export const deleteTopic: Handler<'DeleteTopic'> = async (services, call, { instanceId, topicName }) => {
  await services.ledger.change(causeOf(call, 'DeleteTopic'), async ({ tx, record }) => {
    await usableInstance(tx, call, instanceId)
    const row = await findTopic(tx, instanceId, topicName)
    if (row === undefined) throw topicNotFound(topicName)
    await writeTopic(tx, row, { wanted: 'absent', generation: row.generation + 1, update_time_ms: call.at })
    await dropOffsetResets(tx, instanceId, { topicName })
    await touchInstance(tx, instanceId)
    await record(topicResource(instanceId, topicName), { deleted: true })
  })
  services.wake(instanceId)
  return true
}

export const listTopics: Handler<'ListTopics'> = async (services, call, input) => {
  await liveInstance(services.ledger.read, call, input.instanceId)
  const page = pageOf(limits.pages.sizes.ListTopics, input)
  const { totalCount, rows } = await readTopics(services.ledger.read, {
    instanceId: input.instanceId,
    filter: input.filter,
    messageTypes: input.messageTypes,
    page,
  })
  return pageReply(
    page,
    totalCount,
    rows.map((row) => topicView(services, call.regionId, row)),
  )
}

const NEVER = limits.liteTopic.expirationMinutes.never

function topicView(services: Services, regionId: string, row: TopicRow): DataOf<'ListTopics'>['list'][number] {
  const zone = services.settings.timeZoneOffsetMinutes
  return {
    instanceId: row.instance_id,
    topicName: row.topic_name,
    regionId,
    messageType: row.message_type as DataOf<'GetTopic'>['messageType'],
    status: topicStatus(row),
    ...(row.remark === null ? {} : { remark: row.remark }),
    ...(row.max_send_tps === null ? {} : { maxSendTps: row.max_send_tps }),
    ...(row.lite_topic_expiration === null ? {} : { liteTopicExpiration: row.lite_topic_expiration }),
    createTime: dateText(row.create_time_ms, zone),
    updateTime: dateText(row.update_time_ms, zone),
  }
}

function refuseUncarriedType(engine: EngineCapabilities & { readonly name: string }, type: string): void {
  if ((engine.messageTypes as readonly string[]).includes(type)) return
  throw invalid(
    'messageType',
    `The ${engine.name} engine of this server does not carry ${type} topics; it carries ${engine.messageTypes.join(', ')}.`,
  )
}

function checkLiteTopicExpiration(messageType: string, minutes: number | undefined): void {
  if (minutes === undefined) return
  if (messageType !== 'LITE') {
    throw invalid(
      'liteTopicExpiration',
      `It counts for LITE topics only, and this one is ${messageType}; leave it out.`,
    )
  }
  const { minimum, maximum } = limits.liteTopic.expirationMinutes
  if (minutes !== NEVER && (minutes < minimum || minutes > maximum)) {
    throw invalid(
      'liteTopicExpiration',
      `It is ${minutes}; accepted: whole minutes from ${minimum} to ${maximum}, or ${NEVER} for never.`,
    )
  }
}

const topicQuotaExceeded = (instanceId: InstanceId, quota: number): ApiError =>
  new ApiError(
    400,
    'QuotaExceeded.Topic',
    `Instance "${instanceId}" has all ${quota} topics its specification allows. Delete a topic, or use an instance with a larger specification.`,
    { field: 'topicName' },
  )
