/** Messages as they lie in a topic: found by id, else by key, else by time, in order of their store time; and one of them whole. */

import { invalid } from '../../catalogue/errors.ts'
import { topicNotFound } from '../../catalogue/rocketmq/errors.ts'
import type { Action } from '../../catalogue/rocketmq/index.ts'
import { limits } from '../../catalogue/rocketmq/limits.ts'
import type { MessageView } from '../../model/messages.ts'
import type { Handler } from './handler.ts'
import { messageNotFound, skipOf, timeRange, topicPlace } from './message-query.ts'
import { messageView } from './message-view.ts'
import { pageOf, pageReply } from './page.ts'

/** Operations of this family that answer 501. */
export const notYet = ['VerifyConsumeMessage', 'VerifySendMessage'] as const satisfies readonly Action[]

export const listMessages: Handler<'ListMessages'> = async (services, call, input) => {
  const { instanceId, topicName } = input
  await topicPlace(services, call, input)
  const page = pageOf(limits.pages.sizes.ListMessages, input)
  const scroll = input.scrollId || null
  if (scroll !== null && !/^\d{1,16}(\.\d{1,16}){0,1023}$/.test(scroll))
    throw invalid('scrollId', 'It is not one that a reply of ListMessages gave.')
  const found = await services.ask(instanceId, 'findMessages', {
    topicName,
    messageId: input.messageId || null,
    messageKey: input.messageKey || null,
    liteTopic: input.liteTopicName || null,
    ...timeRange(services, input),
    scroll,
    skip: scroll === null ? skipOf(page) : 0,
    limit: page.size,
  })
  if (found === null) throw topicNotFound(topicName)
  const list = found.messages
    .filter(({ liteTopic }) => !input.liteTopicName || liteTopic === input.liteTopicName)
    .map((message) => messageView(services, call, input, message))
  return { ...pageReply(page, found.total, list), ...(found.scroll === null ? {} : { scrollId: found.scroll }) }
}

export const getMessageDetail: Handler<'GetMessageDetail'> = async (services, call, input) => {
  const { instanceId, topicName, messageId } = input
  await topicPlace(services, call, input)
  const query = { topicName, messageId, messageKey: null, ...timeRange(services, {}), scroll: null, skip: 0, limit: 1 }
  const message = (await services.ask(instanceId, 'findMessages', query))?.messages[0]
  if (message === undefined) throw messageNotFound(messageId)
  return {
    ...messageView(services, call, input, message),
    systemProperties: systemProperties(message),
    ...(message.priority === null ? {} : { priority: message.priority }),
  }
}

/** Names as Apache's messages carry them; what is in no queue has none, and says in `GANTRY_STATE` why. */
function systemProperties(message: MessageView): Record<string, string> {
  const { status } = message
  return {
    UNIQ_KEY: message.messageId,
    ...(message.tag === null ? {} : { TAGS: message.tag }),
    ...(message.keys.length === 0 ? {} : { KEYS: message.keys.join(' ') }),
    ...(message.messageGroup === null ? {} : { __SHARDINGKEY: message.messageGroup }),
    ...(message.deliverAtMs === null ? {} : { TIMER_DELIVER_MS: String(message.deliverAtMs) }),
    ...(message.priority === null ? {} : { _SYS_MSG_PRIORITY_: String(message.priority) }),
    ...(message.transactionId === null ? {} : { __transactionId__: message.transactionId }),
    ...(status.state === 'undecided' ? { TRANSACTION_CHECK_TIMES: String(status.checks) } : {}),
    ...(status.state === 'stored'
      ? { QUEUE_ID: String(message.queueId), QUEUE_OFFSET: String(message.queueOffset) }
      : { GANTRY_STATE: states[status.state] }),
  }
}

const states = {
  waiting: 'WAITING_FOR_DELIVERY_TIME',
  recalled: 'RECALLED',
  undecided: 'WAITING_FOR_TRANSACTION',
  'rolled-back': 'ROLLED_BACK',
  expired: 'TRANSACTION_EXPIRED',
} as const
