/**
 * Stored messages as an operator looks at them: found by id, by key or by time, shown with what their producer said
 * about them, and traced.
 *
 * There is no index by id or key. An id tells when it was made (data-plane.md §3.2), so the time around that is looked
 * through first; a key, and an id of another form, cost a look at every message of the time range, so many a call.
 */
import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'
import * as gen from '../../../../grpc/gen/rocketmq.js'
import type { MessagePage, MessageQuery, MessageTrace, MessageView } from '../../../../model/messages.ts'
import type { Broker, StoredMessage } from '../../../broker.ts'
import { maxBodyBytes } from '../client/settings.ts'
import { millisecondsOf } from '../time.ts'
import { partsOf } from './message.ts'

/** Pages of the broker looked through for one id before giving up. */
const pagesForOneId = 20
/** Bodies shown in one page of several messages, together, as they are shown: a compressed one counts what became of it. */
const bodiesPerPage = 2 ** 20
const aroundBirthMs = 10 * 60_000

/** Null when there is no such topic. */
export async function findMessages(broker: Broker, query: MessageQuery): Promise<MessagePage | null> {
  if (query.messageId !== null) {
    if (broker.topic(query.topicName) === null) return null
    const found = await findById(broker, query.topicName, query.messageId, query)
    const shown = found === null ? [] : [await viewOf(found, { bodyBytes: maxBodyBytes })]
    return { messages: shown.slice(query.skip), total: shown.length, scroll: null }
  }
  const { messageKey } = query
  const page = await broker.browse({
    topic: query.topicName,
    liteTopic: query.liteTopic ?? null,
    fromMs: query.fromMs,
    untilMs: query.untilMs,
    after: query.scroll === null ? null : query.scroll.split('.').map(Number),
    skip: query.skip,
    limit: query.limit,
    ...(messageKey === null ? {} : { matches: (message) => systemOf(message).keys.includes(messageKey) }),
  })
  if (page === null) return null
  let room = bodiesPerPage
  const messages: MessageView[] = []
  for (const message of page.messages) {
    const view = await viewOf(message, { bodyBytes: room })
    room -= view.body === null ? 0 : Buffer.byteLength(view.body)
    messages.push(view)
  }
  const known = query.skip + messages.length
  return {
    messages,
    total: messageKey === null ? page.total : known + (page.next === null ? 0 : 1),
    scroll: page.next === null ? null : page.next.join('.'),
  }
}

/** Null when the message is not found. */
export async function traceMessage(
  broker: Broker,
  query: { readonly topicName: string; readonly messageId: string; readonly fromMs: number; readonly untilMs: number },
): Promise<MessageTrace | null> {
  const message = await findById(broker, query.topicName, query.messageId, query)
  if (message === null) return null
  const incidents = await broker.historyOf(query.topicName, message)
  return {
    message: await viewOf(message, { bodyBytes: 0 }),
    deadLetterOf: message.deadLetterOf,
    incidents: incidents.filter(({ at }) => at >= query.fromMs && at <= query.untilMs),
    orderlyGroups: broker
      .groups()
      .filter(({ orderly }) => orderly)
      .map(({ consumerGroupId }) => consumerGroupId),
  }
}

async function findById(
  broker: Broker,
  topic: string,
  messageId: string,
  range: { readonly fromMs: number; readonly untilMs: number },
): Promise<StoredMessage | null> {
  const matches = (message: StoredMessage): boolean => message.messageId === messageId
  const born = birthOf(messageId)
  const windows: Array<readonly [number, number]> =
    born === null
      ? [[range.fromMs, range.untilMs]]
      : [
          [Math.max(range.fromMs, born - aroundBirthMs), Math.min(range.untilMs, born + aroundBirthMs)],
          // Timed messages, and dead letters, which keep the id, are stored later.
          [Math.max(range.fromMs, born + aroundBirthMs + 1), range.untilMs],
        ]
  let pages = 0
  for (const [fromMs, untilMs] of windows) {
    if (fromMs > untilMs) continue
    for (let after: readonly number[] | null = null; pages < pagesForOneId; pages++) {
      const page = await broker.browse({ topic, fromMs, untilMs, after, skip: 0, limit: 1, matches })
      if (page === null) return null
      if (page.messages[0]) return page.messages[0]
      if (page.next === null) break
      after = page.next
    }
  }
  return null
}

const epoch2021 = Date.UTC(2021, 0, 1)

/** When an id of the clients' own form was made; null for others. */
function birthOf(messageId: string): number | null {
  if (!/^01[0-9A-F]{32}$/.test(messageId)) return null
  return epoch2021 + Number.parseInt(messageId.slice(18, 26), 16) * 1_000
}

function systemOf(message: StoredMessage): gen.SystemProperties {
  return gen.SystemProperties.decode(partsOf(message.payload).system)
}

/** Its body is shown when it has at most so many bytes. */
async function viewOf(message: StoredMessage, most: { readonly bodyBytes: number }): Promise<MessageView> {
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
    deliverAtMs: system.deliveryTimestamp == null ? null : millisecondsOf(system.deliveryTimestamp),
    queueId: message.queueId,
    queueOffset: message.offset,
  }
}

const unzip = { gzip: promisify(gunzip), zlib: promisify(inflate) }

/** What a client compressed is shown as it was before; null when it is no text that can be had, or has too many bytes. */
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
