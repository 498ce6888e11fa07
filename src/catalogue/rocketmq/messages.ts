/**
 * Looking at messages, sending one to try a topic, pushing one to try a client (api-semantics §10). Which members a
 * test message needs depends on the topic's type; the handler knows it.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  count,
  dateTime,
  done,
  epochMs,
  instanceId,
  maybe,
  name,
  object,
  page,
  paging,
  regionId,
  text,
  textMap,
  topicName,
} from './schema.ts'

const family = 'messages'

const path = () => ({ instanceId: instanceId(), topicName: topicName() })
const messageId = () => name(128, { description: 'Id of the message.' })
const absent = ['Instance.NotFound', 'InstanceStatus.Error', 'Topic.NotFound']
const liteTopicName = () => text(limits.liteTopic.name.maxLength, { description: 'Lite topic inside a LITE topic.' })

/** A stored message as it is shown; bodies as text. */
export const message = () => ({
  instanceId: instanceId(),
  regionId: regionId(),
  topicName: topicName(),
  messageId: Type.String(),
  body: maybe(Type.String()),
  bornHost: maybe(Type.String({ description: 'Where it was sent from.' })),
  bornTime: maybe(dateTime('When it was sent.')),
  storeHost: maybe(Type.String({ description: 'Where it was stored.' })),
  storeTime: maybe(dateTime('When it was put into its queue; absent while it is in none.')),
  messageKeys: maybe(Type.Array(Type.String())),
  messageTag: maybe(Type.String()),
  messageType: maybe(Type.String()),
  messageGroup: maybe(Type.String({ description: 'FIFO only.' })),
  liteTopicName: maybe(Type.String()),
  userProperties: maybe(textMap()),
})

const bodySize = () => maybe(count({ description: 'Bytes.' }))

export const listMessages = operation({
  action: 'ListMessages',
  call: 'GET /instances/{instanceId}/topics/{topicName}/messages',
  summary: 'Find messages of a topic',
  description: 'By id, else by key, else by time. `scrollId` of a reply asks for what follows.',
  family,
  access: ['list', 'topic'],
  path: path(),
  query: {
    messageId: maybe(text(128, { description: 'Id of the message.' })),
    messageKey: maybe(text(limits.message.keyMaxLength, { description: 'One of its keys.' })),
    startTime: maybe(dateTime('Stored at this moment or later.')),
    endTime: maybe(dateTime('Stored at this moment or earlier.')),
    liteTopicName: maybe(liteTopicName()),
    scrollId: maybe(text(256, { description: 'Where the previous reply ended.' })),
    ...paging(limits.pages.sizes.ListMessages),
  },
  data: page(object({ ...message(), bodySize: bodySize() }), {
    scrollId: maybe(Type.String({ description: 'Present when there is more.' })),
  }),
  errors: absent,
})

export const getMessageDetail = operation({
  action: 'GetMessageDetail',
  call: 'GET /instances/{instanceId}/topics/{topicName}/messages/{messageId}',
  summary: 'Read a message',
  family,
  access: ['get', 'topic'],
  path: { ...path(), messageId: messageId() },
  data: object({
    ...message(),
    bodySize: bodySize(),
    systemProperties: maybe(textMap()),
    priority: maybe(Type.Integer({ description: 'Of a message in a PRIORITY topic; larger is more urgent.' })),
  }),
  errors: [...absent, 'Message.NotFound'],
})

export const verifySendMessage = operation({
  action: 'VerifySendMessage',
  call: 'POST /instances/{instanceId}/topics/{topicName}/messages',
  summary: 'Send a message to try a topic',
  family,
  access: ['update', 'topic'],
  path: path(),
  body: object({
    message: maybe(text(limits.message.bodyBytes, { description: 'Body of the message, up to 4 MiB as UTF-8.' })),
    messageKey: maybe(text(limits.message.keyMaxLength, { description: 'Key to find it by.' })),
    messageTag: maybe(text(limits.message.tagMaxLength, { description: 'Tag to filter it by.' })),
    messageGroup: maybe(
      text(limits.message.groupMaxLength, { description: 'Messages of one group keep their order; FIFO.' }),
    ),
    deliveryTimeStamp: maybe(epochMs({ description: 'When to deliver it, milliseconds since 1970; DELAY.' })),
    liteTopicName: maybe(liteTopicName()),
    userProperties: maybe(
      Type.Unsafe<Record<string, unknown>>({
        type: 'object',
        additionalProperties: true,
        maxProperties: limits.properties.count,
        description: 'Properties of your own, 16 KiB together.',
      }),
    ),
  }),
  data: Type.String({ description: 'Id of the message.' }),
  errors: absent,
})

export const verifyConsumeMessage = operation({
  action: 'VerifyConsumeMessage',
  call: 'POST /instances/{instanceId}/topics/{topicName}/messages/{messageId}/action/verifyConsume',
  summary: 'Push a stored message to one client',
  family,
  access: ['update', 'topic'],
  path: { ...path(), messageId: messageId() },
  query: {
    consumerGroupId: name(limits.pathSegment, { description: 'Group of the client.' }),
    clientId: name(512, { description: 'Id of the client, as ListConsumerConnections answers it.' }),
  },
  data: done(),
  errors: [...absent, 'ConsumerGroup.NotFound', 'Message.NotFound'],
})
