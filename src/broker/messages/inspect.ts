/**
 * Stored messages for an operator: found by id, by key or by time, shown with their properties, and traced.
 *
 * A view is made from the stored form alone; bodies of a page share a bound, and one message at a time is in memory.
 */

import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'
import * as gen from '../../grpc/gen/rocketmq.js'
import type { MessageId, TopicName } from '../../model/ids.ts'
import type { MessagePage, MessageQuery, MessageTrace, MessageView } from '../../model/messages.ts'
import type { Broker, FoundMessage, StoredMessage } from '../broker.ts'
import { maxBodyBytes } from './produced-message.ts'
import { partsOf } from './stored-message.ts'
import { millisecondsOf } from './time.ts'

/** Bodies shown in one page of several messages, together, as they are shown: a compressed one counts what became of it. */
const bodiesPerPage = 2 ** 20

type Looked = Pick<Broker, 'metadata' | 'inspection'>

/** Null when there is no such topic. */
export async function findMessages({ metadata, inspection }: Looked, query: MessageQuery): Promise<MessagePage | null> {
  if (query.messageId !== null) {
    if (metadata.topic(query.topicName) === null) return null
    const found = await inspection.findMessage({ ...query, topic: query.topicName, messageId: query.messageId })
    const shown = found === null ? [] : [await viewOf(found, { bodyBytes: maxBodyBytes })]
    return { messages: shown.slice(query.skip), total: shown.length, scroll: null }
  }
  let room = bodiesPerPage
  const messages: MessageView[] = []
  const page = await inspection.browse({
    topic: query.topicName,
    liteTopic: query.liteTopic ?? null,
    key: query.messageKey,
    fromMs: query.fromMs,
    untilMs: query.untilMs,
    after: query.scroll === null ? null : query.scroll.split('.').map(Number),
    skip: query.skip,
    limit: query.limit,
    async each(message) {
      const view = await viewOf(inItsQueue(message), { bodyBytes: room })
      room -= view.body === null ? 0 : Buffer.byteLength(view.body)
      messages.push(view)
    },
  })
  return page && { messages, total: page.total, scroll: page.next === null ? null : page.next.join('.') }
}

/** Null when the message is not found. */
export async function traceMessage(
  { metadata, inspection }: Looked,
  query: {
    readonly topicName: TopicName
    readonly messageId: MessageId
    readonly fromMs: number
    readonly untilMs: number
  },
): Promise<MessageTrace | null> {
  const found = await inspection.findMessage({ ...query, topic: query.topicName })
  if (found === null) return null
  const incidents = await inspection.historyOf(query.topicName, found)
  return {
    message: await viewOf(found, { bodyBytes: 0 }),
    userName: partsOf(found.message.payload).userName,
    deadLetterOf: found.message.deadLetterOf,
    storedFirstMs: found.storedFirstMs,
    incidents: incidents.filter(({ at }) => at >= query.fromMs && at <= query.untilMs),
    orderlyGroups: metadata
      .groups()
      .filter(({ orderly }) => orderly)
      .map(({ consumerGroupId }) => consumerGroupId),
  }
}

type Shown = Pick<FoundMessage, 'message' | 'status' | 'transactionId' | 'dueMs'>

const inItsQueue = (message: StoredMessage): Shown => ({
  message,
  status: { state: 'stored' },
  transactionId: null,
  dueMs: null,
})

function systemOf(message: StoredMessage): gen.SystemProperties {
  return gen.SystemProperties.decode(partsOf(message.payload).system)
}

/** Its body is shown when it has at most so many bytes. */
async function viewOf(shown: Shown, most: { readonly bodyBytes: number }): Promise<MessageView> {
  const { message, status, transactionId, dueMs } = shown
  const system = systemOf(message)
  const rest = gen.Message.decode(partsOf(message.payload).rest)
  const born = system.bornTimestamp
  return {
    messageId: message.messageId,
    tag: message.tag,
    keys: system.keys,
    body: await textOf(rest.body, system.bodyEncoding, most.bodyBytes),
    bodyBytes: message.bodyBytes,
    bornHost: system.bornHost,
    bornMs: born == null ? message.storeTimeMs : millisecondsOf(born),
    storeHost: system.storeHost,
    storeMs: message.storeTimeMs,
    messageType: gen.MessageType[system.messageType] ?? 'NORMAL',
    messageGroup: system.messageGroup || null,
    liteTopic: system.liteTopic || null,
    userProperties: rest.userProperties,
    deliverAtMs: system.deliveryTimestamp == null ? dueMs : millisecondsOf(system.deliveryTimestamp),
    priority: system.messageType === gen.MessageType.PRIORITY ? (system.priority ?? null) : null,
    status,
    transactionId,
    queueId: message.queueId,
    queueOffset: message.offset,
  }
}

const unzip = { gzip: promisify(gunzip), zlib: promisify(inflate) }

/** What a client compressed is shown as it was before; null when it cannot be decompressed to text, or has too many bytes. */
async function textOf(body: Uint8Array, encoding: number, mostBytes: number): Promise<string | null> {
  if (body.length > mostBytes) return null
  if (encoding !== gen.Encoding.GZIP) return Buffer.from(body).toString('utf8')
  try {
    // Some clients say GZIP and mean zlib.
    const plain = await unzip[body[0] === 0x1f ? 'gzip' : 'zlib'](body, { maxOutputLength: mostBytes })
    return plain.toString('utf8')
  } catch {
    return null
  }
}
