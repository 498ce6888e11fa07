/**
 * The way of a message: sent, delivered, acknowledged or moved to the dead letters, read from the broker's own log. Traces are always on,
 * except on serverless instances, where `traceOn` decides whether they are shown.
 */

import { missing } from '../../catalogue/errors.ts'
import { topicNotFound } from '../../catalogue/rocketmq/errors.ts'
import type { DataOf } from '../../catalogue/rocketmq/index.ts'
import { limits } from '../../catalogue/rocketmq/limits.ts'
import { productInfoOf } from '../../ledger/instance-documents.ts'
import type { InstanceRow } from '../../ledger/instances.ts'
import type { MessageTrace, TraceIncident } from '../../model/messages.ts'
import { dateText } from '../date-text.ts'
import type { Handler } from './handler.ts'
import { messageNotFound, skipOf, timeRange, topicPlace } from './message-query.ts'
import { messageView } from './messages.ts'
import { pageOf, pageReply } from './page.ts'

export const listTraces: Handler<'ListTraces'> = async (services, call, input) => {
  const { instanceId, topicName, queryType } = input
  const row = await topicPlace(services, call, input)
  const page = pageOf(limits.pages.sizes.ListTraces, input)
  const messageId = queryType === 'MESSAGE_ID' ? needed('messageId', input.messageId, queryType) : null
  const messageKey = queryType === 'MESSAGE_KEY' ? needed('messageKey', input.messageKey, queryType) : null
  const range = timeRange(services, input)
  const skip = skipOf(page)
  if (!isTraced(row)) return pageReply(page, 0, [])
  const liteTopic = input.liteTopicName || null
  const query = { topicName, messageId, messageKey, liteTopic, ...range, scroll: null, skip, limit: page.size }
  const found = await services.ask(instanceId, 'findMessages', query)
  if (found === null) throw topicNotFound(topicName)
  const list = found.messages
    .filter(({ liteTopic }) => !input.liteTopicName || liteTopic === input.liteTopicName)
    .map((message) => ({
      instanceId,
      regionId: call.regionId,
      topicName,
      messageId: message.messageId,
      messageKeys: [...message.keys],
      ...(message.tag === null ? {} : { messageTag: message.tag }),
      bornTime: dateText(message.bornMs, services.settings.timeZoneOffsetMinutes),
    }))
  return pageReply(page, found.total, list)
}

export const getTrace: Handler<'GetTrace'> = async (services, call, input) => {
  const { instanceId, topicName, messageId } = input
  const row = await topicPlace(services, call, input)
  const { fromMs, untilMs } = timeRange(services, input)
  if (!isTraced(row)) throw messageNotFound(messageId, ' Traces of this serverless instance are off (traceOn).')
  const trace = await services.ask(instanceId, 'traceMessage', { topicName, messageId, fromMs, untilMs })
  if (trace === null) throw messageNotFound(messageId)
  const time = (ms: number): string => dateText(ms, services.settings.timeZoneOffsetMinutes)
  const { message, deadLetterOf } = trace
  return {
    instanceId,
    regionId: call.regionId,
    topicName,
    messageInfo: messageView(services, call, input, message),
    producerInfo: {
      records: [
        {
          clientHost: message.bornHost,
          produceTime: time(message.bornMs),
          ...(arrivesAtOnce(message)
            ? { arriveTime: time(message.storeMs), produceDuration: Math.max(0, message.storeMs - message.bornMs) }
            : {}),
          produceStatus: 'SUCCESS',
          ...(deadLetterOf === null
            ? {}
            : { dlqOriginTopic: deadLetterOf.topicName, dlqOriginMessageId: deadLetterOf.messageId }),
        },
      ],
    },
    brokerInfo: {
      ...(message.deliverAtMs === null ? {} : { presetDelayTime: time(message.deliverAtMs) }),
      operations: [{ operateType: 'STORE', operateTime: time(message.storeMs) }],
    },
    consumerInfos: consumersOf(trace, time),
  }
}

/** Timed and transactional messages are stored where they are found when they are due or committed; that says nothing of their way here. */
const arrivesAtOnce = ({ messageType }: MessageTrace['message']): boolean =>
  messageType !== 'DELAY' && messageType !== 'TRANSACTION'

const isTraced = (row: InstanceRow): boolean => row.sub_series_code !== 'serverless' || productInfoOf(row).traceOn

function needed(field: string, value: string | undefined, queryType: string): string {
  if (!value) throw missing(field, `queryType ${queryType} needs it.`)
  return value
}

type Consumers = DataOf<'GetTrace'>['consumerInfos']
type Record = Consumers[number]['records'][number]

/** One entry a group, one record a delivery; what follows a delivery is an operation of it. */
function consumersOf(trace: MessageTrace, time: (ms: number) => string): Consumers {
  const groups = new Map<string, Record[]>()
  const deadLetters = new Map<string, TraceIncident & { what: 'dead-letter' }>()
  let lastGroup: string | null = null
  for (const incident of trace.incidents) {
    if (incident.what === 'dead-letter') {
      const group = incident.topic?.startsWith('%DLQ%') ? incident.topic.slice('%DLQ%'.length) : lastGroup
      if (group !== null) deadLetters.set(group, incident)
      continue
    }
    lastGroup = incident.group
    const records = groups.get(incident.group) ?? []
    groups.set(incident.group, records)
    if (incident.what === 'delivered') {
      records.push({
        clientHost: incident.clientId.split('@', 1)[0]!,
        consumeStatus: 'DELIVERED',
        fifoEnable: trace.orderlyGroups.includes(incident.group),
        operations: [
          { operateType: 'POP', operateTime: time(incident.at), invisibleTime: incident.untilMs - incident.at },
        ],
      })
      continue
    }
    const record = records.at(-1)
    if (record === undefined) continue
    if (incident.what === 'acknowledged') record.consumeStatus = 'SUCCESS'
    record.operations!.push(
      incident.what === 'acknowledged'
        ? { operateType: 'ACK', operateTime: time(incident.at) }
        : {
            operateType: 'CHANGE_INVISIBLE_TIME',
            operateTime: time(incident.at),
            invisibleTime: Math.max(0, incident.untilMs - incident.at),
          },
    )
  }
  return [...groups].map(([consumerGroupId, records]) => {
    const dead = deadLetters.get(consumerGroupId)
    const done = records.some(({ consumeStatus }) => consumeStatus === 'SUCCESS')
    return {
      consumerGroupId,
      consumeStatus: dead ? 'DEAD' : done ? 'SUCCESS' : 'CONSUMING',
      deadMessage: dead !== undefined,
      ...(dead === undefined
        ? {}
        : {
            deadLetterInfo: {
              messageId: trace.message.messageId,
              topicName: dead.topic ?? '',
              toDlqTime: time(dead.at),
            },
          }),
      records,
    }
  })
}
