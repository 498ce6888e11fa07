/** RecallMessage: takes back a timed message that is not due yet (data-plane §1.14). Refused as `ProducingRole.recall` says. */
import type * as gen from '../../../../grpc/gen/rocketmq.js'
import { Code } from '../../../../model/codes.ts'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import { statusOf } from '../../../calls/status.ts'
import type { WireCall } from '../../../calls/wire-call.ts'
import { quoted } from '../../../messages/validation.ts'
import { topicOf } from '../client/route.ts'

export async function recallMessage(
  call: WireCall<'metadata' | 'producing'>,
  request: gen.RecallMessageRequest,
): Promise<gen.RecallMessageResponseInit> {
  const topic = topicOf(call, request.topic)
  if (topic.messageType !== 'DELAY') {
    throw new BrokerRefusal(
      Code.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
      `Topic ${quoted(topic.topicName)} takes ${topic.messageType} messages; only messages of a DELAY topic can be recalled.`,
    )
  }
  if (request.recallHandle === '') throw new BrokerRefusal(Code.BAD_REQUEST, 'The recall handle is empty.')
  const { messageId } = await call.endpoint.broker.producing.recall({
    topic: topic.topicName,
    handle: request.recallHandle,
  })
  return { status: statusOf(Code.OK), messageId }
}
