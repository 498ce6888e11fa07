/** What the operations on messages and traces share: the topic they are about, times, pages, and who is asked. */

import { ApiError, invalid } from '../../catalogue/errors.ts'
import { topicNotFound } from '../../catalogue/rocketmq/errors.ts'
import type { InstanceRow } from '../../ledger/instances.ts'
import { findTopic } from '../../ledger/topics.ts'
import type { InstanceId, MessageId, TopicName } from '../../model/ids.ts'
import { readDateText } from '../date-text.ts'
import type { Call, Services } from '../handler.ts'
import { liveInstance, refuseStopped } from './instance-lookup.ts'
import type { pageOf } from './page.ts'

/** Messages a page number may pass over; beyond, a reply's `scrollId` or a narrower time is needed. */
const passedOver = 10_000

export interface Place {
  readonly instanceId: InstanceId
  readonly topicName: TopicName
}

/** The instance of a topic that is there; refuses an expired one, whose content nobody is shown. */
export async function topicPlace(
  services: Services,
  call: Call,
  { instanceId, topicName }: Place,
): Promise<InstanceRow> {
  const row = await liveInstance(services.ledger.read, call, instanceId)
  refuseStopped(row, call)
  // Dead letters lie in topics that nobody created.
  if (!topicName.startsWith('%DLQ%') && (await findTopic(services.ledger.read, instanceId, topicName)) === undefined)
    throw topicNotFound(topicName)
  return row
}

/** From the start of the first second to the end of the last. */
export function timeRange(
  services: Services,
  asked: { readonly startTime?: string | undefined; readonly endTime?: string | undefined },
): { readonly fromMs: number; readonly untilMs: number } {
  const fromMs = asked.startTime === undefined ? 0 : timeOf(services, 'startTime', asked.startTime)
  const untilMs =
    asked.endTime === undefined ? Number.MAX_SAFE_INTEGER - 1 : timeOf(services, 'endTime', asked.endTime) + 999
  if (fromMs > untilMs) throw invalid('endTime', `It is ${asked.endTime}, before startTime ${asked.startTime}.`)
  return { fromMs, untilMs }
}

function timeOf({ settings }: Services, field: string, text: string): number {
  const ms = readDateText(text, settings.timeZoneOffsetMinutes)
  if (ms === null) throw invalid(field, `"${text}" is no date of the calendar.`)
  return ms
}

export function skipOf({ number, size }: ReturnType<typeof pageOf>): number {
  const skip = (number - 1) * size
  if (skip > passedOver)
    throw invalid(
      'pageNumber',
      `Page ${number} lies more than ${passedOver} messages in; narrow the time with startTime and endTime, or go on with scrollId.`,
    )
  return skip
}

export const messageNotFound = (messageId: MessageId, hint = ''): ApiError =>
  new ApiError(404, 'Message.NotFound', `No message of that id is stored. "${messageId}" is not in the topic.${hint}`, {
    field: 'messageId',
  })
