/**
 * What an account needs for each RPC (data-plane §7.2): `Pub` on the topic for what a producer does, `Sub` on the topic and on
 * the group for whatever reads or moves a group's offsets, any of the two for a route. It is asked after the credentials and
 * before anything else. The lite topics of a LITE topic, and the transactions of a topic, go with their topic.
 *
 * A name that a request leaves out is none to ask about: what it is refused with is the RPC's own.
 */
import type { Use } from '../../../gateway/grants.ts'
import type * as gen from '../../../grpc/gen/rocketmq.js'
import type { MessagingService } from '../../../grpc/gen/rocketmq.js'

type Methods = typeof MessagingService.methods
type RequestOf<Name extends keyof Methods> = ReturnType<Methods[Name]['request']['decode']>

/** A telemetry stream is asked about with each of its settings (`usesOfSettings`). */
export type UsesOf = {
  readonly [Name in Exclude<keyof Methods, 'telemetry'>]: (request: RequestOf<Name>) => readonly Use[]
}

export const usesOf: UsesOf = {
  queryRoute: ({ topic }) => topicUse(topic, 'any'),
  // All of its messages go to one topic, or it is refused.
  sendMessage: ({ messages }) => topicUse(messages[0]?.topic ?? null, 'Pub'),
  endTransaction: ({ topic }) => topicUse(topic, 'Pub'),
  recallMessage: ({ topic }) => topicUse(topic, 'Pub'),
  queryAssignment: consuming,
  receiveMessage: consumingQueue,
  ackMessage: consuming,
  changeInvisibleDuration: consuming,
  forwardMessageToDeadLetterQueue: consuming,
  syncLiteSubscription: consuming,
  pullMessage: consumingQueue,
  getOffset: consumingQueue,
  updateOffset: consumingQueue,
  // It names no group.
  queryOffset: ({ messageQueue }) => topicUse(messageQueue?.topic ?? null, 'Sub'),
  heartbeat: ({ group }) => groupUse(group),
  notifyClientTermination: ({ group }) => groupUse(group),
}

export function usesOfSettings({ publishing, subscription }: gen.Settings): readonly Use[] {
  if (publishing !== null) return publishing.topics.flatMap((topic) => topicUse(topic, 'Pub'))
  if (subscription === null) return []
  return [...groupUse(subscription.group), ...subscription.subscriptions.flatMap(({ topic }) => topicUse(topic, 'Sub'))]
}

interface Named {
  readonly name: string
}

function consuming({ topic, group }: { readonly topic: Named | null; readonly group: Named | null }): readonly Use[] {
  return [...topicUse(topic, 'Sub'), ...groupUse(group)]
}

function consumingQueue(request: {
  readonly messageQueue: { readonly topic: Named | null } | null
  readonly group: Named | null
}): readonly Use[] {
  return consuming({ topic: request.messageQueue?.topic ?? null, group: request.group })
}

const topicUse = (topic: Named | null, action: Use['action']): readonly Use[] =>
  topic === null || topic.name === '' ? [] : [{ resourceType: 'Topic', resourceName: topic.name, action }]

const groupUse = (group: Named | null): readonly Use[] =>
  group === null || group.name === '' ? [] : [{ resourceType: 'Group', resourceName: group.name, action: 'Sub' }]
