import type { MessageView } from '../../model/messages.ts'
import { dateText } from '../date-text.ts'
import type { Call, Services } from '../handler.ts'
import type { Place } from './message-query.ts'

/** A message as every operation shows it. */
export function messageView(services: Services, call: Call, { instanceId, topicName }: Place, message: MessageView) {
  const time = (ms: number): string => dateText(ms, services.settings.timeZoneOffsetMinutes)
  return {
    instanceId,
    regionId: call.regionId,
    topicName,
    messageId: message.messageId,
    ...(message.body === null ? {} : { body: message.body }),
    bodySize: message.bodyBytes,
    bornHost: message.bornHost,
    bornTime: time(message.bornMs),
    storeHost: message.storeHost,
    // A message that waits for its time or its transaction is in no queue yet.
    ...(message.status.state === 'stored' ? { storeTime: time(message.storeMs) } : {}),
    messageKeys: [...message.keys],
    ...(message.tag === null ? {} : { messageTag: message.tag }),
    messageType: message.messageType,
    ...(message.messageGroup === null ? {} : { messageGroup: message.messageGroup }),
    ...(message.liteTopic === null ? {} : { liteTopicName: message.liteTopic }),
    userProperties: { ...message.userProperties },
  }
}
