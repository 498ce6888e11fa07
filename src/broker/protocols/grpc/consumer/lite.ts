/** SyncLiteSubscription: which lite topics a consumer wants, one by one or as a full list (data-plane §1.16, §5.7). */
import * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import type { LiteOffset, LiteSyncRequest } from '../../../broker.ts'
import { statusOf } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { checkGroupName } from '../../../messages/validation.ts'
import { topicOf } from '../client/route.ts'

/** In the order of apache.rocketmq.v2.LiteSubscriptionAction. */
const actions: readonly LiteSyncRequest['action'][] = ['add', 'remove', 'replace', 'clear']
const { MIN, MAX } = gen.OffsetOption_Policy

export async function syncLiteSubscription(
  call: WireCall<'metadata' | 'lite'>,
  request: gen.SyncLiteSubscriptionRequest,
): Promise<gen.SyncLiteSubscriptionResponseInit> {
  const { topicName } = topicOf(call, request.topic)
  const group = request.group?.name ?? ''
  checkGroupName(group)
  const action = actions[request.action]
  if (action === undefined)
    throw new BrokerRefusal(Code.BAD_REQUEST, `There is no lite subscription action ${request.action}.`)
  call.endpoint.clients.alive(call.clientId)
  await call.endpoint.broker.lite.sync({
    group,
    topic: topicName,
    clientId: call.clientId,
    action,
    liteTopics: request.liteTopicSet,
    version: request.version,
    offset: offsetOf(request.offsetOption),
  })
  return { status: statusOf(Code.OK) }
}

function offsetOf(option: gen.OffsetOption | null): LiteOffset | null {
  switch (option?.offsetType) {
    case undefined:
      return null
    case 'policy':
      if (option.policy === MIN) return { from: 'first' }
      return option.policy === MAX ? { from: 'last' } : null
    case 'offset':
      return { from: 'offset', offset: whole('offset', option.offset) }
    case 'tailN':
      return { from: 'tail', count: whole('tail_n', option.tailN) }
    case 'timestamp':
      return { from: 'time', timeMs: whole('timestamp', option.timestamp) }
  }
}

function whole(what: string, value: number | null): number {
  if (value !== null && Number.isSafeInteger(value) && value >= 0) return value
  throw new BrokerRefusal(
    Code.BAD_REQUEST,
    `The offset option ${what} is ${value}; whole numbers from 0 on are allowed.`,
  )
}
