/** The way of a message from its sender through the instance to its consumers (api-semantics §10). */
import Type from 'typebox'
import { limits } from './limits.ts'
import { message } from './messages.ts'
import { operation } from './operation.ts'
import {
  choice,
  count,
  dateTime,
  instanceId,
  maybe,
  name,
  object,
  page,
  regionId,
  requiredPaging,
  text,
  topicName,
} from './schema.ts'

const family = 'traces'

const path = () => ({ instanceId: instanceId(), topicName: topicName() })
const absent = ['Instance.NotFound', 'InstanceStatus.Error', 'Topic.NotFound']

export const listTraces = operation({
  action: 'ListTraces',
  call: 'GET /instances/{instanceId}/topics/{topicName}/traces',
  summary: 'Find traces of a topic',
  description: 'MESSAGE_ID needs `messageId`, MESSAGE_KEY needs `messageKey`, TOPIC neither.',
  family,
  access: ['get', 'topic'],
  path: path(),
  query: {
    queryType: choice(['MESSAGE_ID', 'MESSAGE_KEY', 'TOPIC'], { description: 'How to look.' }),
    startTime: dateTime('Sent at this moment or later.'),
    endTime: dateTime('Sent at this moment or earlier.'),
    messageId: maybe(text(128, { description: 'Id of the message.' })),
    messageKey: maybe(text(limits.message.keyMaxLength, { description: 'One of its keys.' })),
    liteTopicName: maybe(text(limits.liteTopic.name.maxLength, { description: 'Only this lite topic.' })),
    ...requiredPaging(limits.pages.sizes.ListTraces),
  },
  data: page(
    object({
      instanceId: instanceId(),
      regionId: regionId(),
      topicName: topicName(),
      messageId: Type.String(),
      messageKeys: maybe(Type.Array(Type.String())),
      messageTag: maybe(Type.String()),
      bornTime: maybe(dateTime('When the message was sent.')),
    }),
  ),
  errors: absent,
})

const produced = () =>
  object({
    arriveTime: maybe(dateTime('When it reached the instance.')),
    clientHost: maybe(Type.String()),
    dlqOriginMessageId: maybe(Type.String({ description: 'Dead letters: id of the message it came from.' })),
    dlqOriginTopic: maybe(Type.String()),
    messageSource: maybe(Type.String({ description: 'For example `CONSOLE`.' })),
    produceDuration: maybe(count({ description: 'Milliseconds.' })),
    produceStatus: maybe(Type.String()),
    produceTime: maybe(dateTime('When it was sent.')),
    recallTime: maybe(dateTime('When it was recalled.')),
    userName: maybe(Type.String()),
  })

const consumed = () =>
  object({
    clientHost: maybe(Type.String()),
    consumeStatus: maybe(Type.String()),
    fifoEnable: maybe(Type.Boolean()),
    popCk: maybe(Type.String({ description: 'Handle of the delivery.' })),
    userName: maybe(Type.String()),
    operations: maybe(
      Type.Array(
        object({
          operateType: Type.String(),
          operateTime: dateTime('When it happened.'),
          invisibleTime: maybe(count({ description: 'Milliseconds.' })),
          deadMessage: maybe(Type.Boolean()),
        }),
      ),
    ),
  })

const consumer = () =>
  object({
    consumerGroupId: Type.String(),
    consumeStatus: maybe(Type.String()),
    deadMessage: maybe(Type.Boolean()),
    deadLetterInfo: maybe(
      object({
        messageId: Type.String(),
        topicName: Type.String(),
        toDlqTime: dateTime('When it became a dead letter.'),
      }),
    ),
    records: Type.Array(consumed()),
  })

export const getTrace = operation({
  action: 'GetTrace',
  call: 'GET /instances/{instanceId}/topics/{topicName}/traces/{messageId}',
  summary: 'Read the trace of a message',
  family,
  access: ['get', 'topic'],
  path: { ...path(), messageId: name(128, { description: 'Id of the message.' }) },
  query: {
    startTime: maybe(dateTime('Only what happened at this moment or later.')),
    endTime: maybe(dateTime('Only what happened at this moment or earlier.')),
  },
  data: object({
    instanceId: instanceId(),
    regionId: regionId(),
    topicName: topicName(),
    messageInfo: object({ ...message(), transactionId: maybe(Type.String()) }),
    producerInfo: maybe(object({ records: Type.Array(produced()) })),
    brokerInfo: maybe(
      object({
        delayStatus: maybe(Type.String()),
        presetDelayTime: maybe(dateTime('When it is to be delivered.')),
        recallResult: maybe(Type.String()),
        operations: Type.Array(object({ operateType: Type.String(), operateTime: dateTime('When it happened.') })),
      }),
    ),
    consumerInfos: Type.Array(consumer(), { description: 'One for each group.' }),
  }),
  errors: [...absent, 'Message.NotFound'],
})
