/**
 * The way of a message: sent, stored, delivered, acknowledged or moved to dead letters, read from the broker's own log. Traces are always on,
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
import { messageView } from './message-view.ts'
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
  const { message } = trace
  return {
    instanceId,
    regionId: call.regionId,
    topicName,
    messageInfo: {
      ...messageView(services, call, input, message),
      ...(message.transactionId === null ? {} : { transactionId: message.transactionId }),
    },
    producerInfo: { records: [produced(trace, time)] },
    brokerInfo: {
      ...delayOf(message, time),
      operations: operationsOf(trace, time),
    },
    consumerInfos: consumersOf(trace, time),
  }
}

type Time = (ms: number) => string

/** Every message comes from a client of the data plane; nothing else sends any. */
const messageSource = 'SDK'

function produced({ message, userName, deadLetterOf, storedFirstMs }: MessageTrace, time: Time) {
  const { status } = message
  const arrivedMs = storedFirstMs ?? (arrivesAtOnce(message) ? message.storeMs : null)
  return {
    clientHost: message.bornHost,
    ...(userName === null ? {} : { userName }),
    messageSource,
    produceTime: time(message.bornMs),
    ...(arrivedMs === null
      ? {}
      : { arriveTime: time(arrivedMs), produceDuration: Math.max(0, arrivedMs - message.bornMs) }),
    produceStatus: 'SUCCESS',
    ...(status.state === 'recalled' && status.at !== null ? { recallTime: time(status.at) } : {}),
    ...(deadLetterOf === null
      ? {}
      : { dlqOriginTopic: deadLetterOf.topicName, dlqOriginMessageId: deadLetterOf.messageId }),
  }
}

/** Of a timed message only: when it is due, and whether it waits, is in its queue, or was taken back. */
function delayOf({ deliverAtMs, status }: MessageTrace['message'], time: Time) {
  if (deliverAtMs === null) return {}
  return {
    presetDelayTime: time(deliverAtMs),
    delayStatus: status.state === 'waiting' ? 'WAITING' : status.state === 'recalled' ? 'RECALLED' : 'DUE',
    ...(status.state === 'recalled' ? { recallResult: 'RECALL_OK' } : {}),
  }
}

/** What the instance did with it, in order: stored it, and for what was not in a queue at once, what ended that. */
function operationsOf({ message, storedFirstMs }: MessageTrace, time: Time) {
  const { status, storeMs } = message
  const operations = [{ operateType: 'STORE', operateTime: time(storedFirstMs ?? storeMs) }]
  const ended = endOf(message, storedFirstMs)
  if (ended && ended.at !== null) operations.push({ operateType: ended.how, operateTime: time(ended.at) })
  if (status.state === 'waiting' || status.state === 'undecided')
    operations.push({ operateType: waits[status.state], operateTime: time(storedFirstMs ?? storeMs) })
  return operations
}

const waits = { waiting: 'WAIT', undecided: 'WAIT_FOR_TRANSACTION' } as const

/** What ended a message's time outside its queue; null when it was never there, or still is. */
function endOf({ status, storeMs, transactionId }: MessageTrace['message'], storedFirstMs: number | null) {
  switch (status.state) {
    case 'recalled':
      return { how: 'RECALL', at: status.at }
    case 'rolled-back':
      return { how: 'ROLLBACK', at: status.at }
    case 'expired':
      return { how: 'EXPIRE', at: status.at }
    case 'stored':
      return storedFirstMs === null ? null : { how: transactionId === null ? 'DUE' : 'COMMIT', at: storeMs }
    case 'waiting':
    case 'undecided':
      return null
  }
}

/**
 * Timed and transactional messages are stored where they are found when they are due or committed; that says nothing of
 * their way here, so without the record of their arrival it is left out.
 */
const arrivesAtOnce = ({ messageType, status }: MessageTrace['message']): boolean =>
  status.state !== 'stored' || (messageType !== 'DELAY' && messageType !== 'TRANSACTION')

const isTraced = (row: InstanceRow): boolean => row.sub_series_code !== 'serverless' || productInfoOf(row).traceOn

function needed(field: string, value: string | undefined, queryType: string): string {
  if (!value) throw missing(field, `queryType ${queryType} needs it.`)
  return value
}

type Consumers = DataOf<'GetTrace'>['consumerInfos']
type Record = Consumers[number]['records'][number]

/** One entry a group, one record a delivery; what follows a delivery is an operation of it. */
function consumersOf(trace: MessageTrace, time: Time): Consumers {
  const groups = new Map<string, Record[]>()
  const dead = new Map<string, TraceIncident & { what: 'dead-letter' }>()
  for (const incident of trace.incidents) {
    const group = groupOf(incident)
    if (group === null) continue
    const records = groups.get(group) ?? []
    groups.set(group, records)
    if (incident.what === 'dead-letter') dead.set(group, incident)
    if (incident.what === 'delivered') {
      records.push(delivery(incident, trace.orderlyGroups.includes(group), time))
      continue
    }
    const record = records.at(-1)
    if (record === undefined) continue
    record.operations = [...(record.operations ?? []), operationOf(incident, time)]
    if (incident.what === 'acknowledged') record.consumeStatus = 'SUCCESS'
    if (incident.what === 'dead-letter') record.consumeStatus = 'DEAD'
    if (incident.what === 'passed-over') record.consumeStatus = passedOver[incident.reason].consumeStatus
  }
  return [...groups].map(([consumerGroupId, records]) => {
    const moved = dead.get(consumerGroupId)
    const ended = records.findLast(({ consumeStatus }) => consumeStatus !== 'DELIVERED')
    const isDone = records.some(({ consumeStatus }) => consumeStatus === 'SUCCESS')
    return {
      consumerGroupId,
      consumeStatus: moved ? 'DEAD' : isDone ? 'SUCCESS' : (ended?.consumeStatus ?? 'CONSUMING'),
      deadMessage: moved !== undefined,
      ...(moved === undefined
        ? {}
        : {
            deadLetterInfo: {
              messageId: trace.message.messageId,
              topicName: moved.topic ?? '',
              toDlqTime: time(moved.at),
            },
          }),
      records,
    }
  })
}

/** Of a dead letter whose group the log does not say any more, that of its topic's name. */
function groupOf(incident: TraceIncident): string | null {
  if (incident.what !== 'dead-letter' || incident.group !== null) return incident.group
  return incident.topic?.startsWith(deadLetterPrefix) ? incident.topic.slice(deadLetterPrefix.length) : null
}

/** What ended a message for a group that did not acknowledge it. */
const passedOver = {
  'retries-used-up': { operateType: 'RETRIES_USED_UP', consumeStatus: 'DEAD' },
  filtered: { operateType: 'FILTERED', consumeStatus: 'FILTERED' },
  damaged: { operateType: 'DAMAGED', consumeStatus: 'DEAD' },
} as const

const deadLetterPrefix = '%DLQ%'

const delivery = (incident: TraceIncident & { what: 'delivered' }, fifoEnable: boolean, time: Time): Record => ({
  clientHost: incident.clientId.split('@', 1)[0]!,
  consumeStatus: 'DELIVERED',
  fifoEnable,
  ...(incident.userName === null ? {} : { userName: incident.userName }),
  popCk: incident.handle,
  operations: [{ operateType: 'POP', operateTime: time(incident.at), invisibleTime: incident.untilMs - incident.at }],
})

function operationOf(
  incident: Exclude<TraceIncident, { what: 'delivered' }>,
  time: Time,
): NonNullable<Record['operations']>[number] {
  const operateTime = time(incident.at)
  switch (incident.what) {
    case 'acknowledged':
      return { operateType: 'ACK', operateTime }
    case 'returned':
      return { operateType: 'RETURN', operateTime }
    case 'passed-over':
      return { operateType: passedOver[incident.reason].operateType, operateTime }
    case 'dead-letter':
      return { operateType: 'DEAD_LETTER', operateTime, deadMessage: true }
    case 'deadline':
      return {
        operateType: 'CHANGE_INVISIBLE_TIME',
        operateTime,
        invisibleTime: Math.max(0, incident.untilMs - incident.at),
      }
  }
}
