/** Which group a lite consumer may use with a LITE topic, and the group's subscription to a lite topic. */
import type { ConsumerGroupId, TopicName } from '../../../model/ids.ts'
import { decideLiteSubscribe } from '../../core/lite/lite.ts'
import { codes, type Refusal } from '../../core/refusal.ts'
import type { BrokerState, Group, LiteTopic, Subscription, Topic } from '../../core/state.ts'
import { refuseLiteSubscriptions } from '../../core/subscription-limits.ts'
import { refuse } from '../refusals.ts'
import type { LiteContext } from './lite-context.ts'

/** The group, when it is bound to this LITE topic; throws a `BrokerRefusal` (40000, 40403) when it is not. */
export function boundGroup(state: BrokerState, topic: Topic, consumerGroupId: ConsumerGroupId): Group {
  const { topicName, messageType } = topic.settings
  if (!topic.liteTopics || messageType !== 'LITE')
    throw refuse({
      code: codes.badRequest,
      message: `topic ${topicName} takes ${messageType} messages and has no lite topics; lite consumers need a LITE topic`,
    })
  const group = state.groups.get(consumerGroupId)
  const bound = group?.settings.lite ?? null
  if (group && bound?.topicName === topicName) return group
  if (!isCreated(group)) throw refuse(notCreated(consumerGroupId, topicName))
  throw refuse({
    code: codes.badRequest,
    message: `group ${consumerGroupId} ${bound ? `is bound to LITE topic ${bound.topicName}` : 'is not one of lite consumers'}, so it does not read LITE topic ${topicName}; create a group with messageModel LITE_SELECTIVE and topicName ${topicName}`,
  })
}

/** The group, when it is one of lite consumers, whichever LITE topic it is bound to; throws as `boundGroup`. */
export function liteGroup(state: BrokerState, consumerGroupId: ConsumerGroupId): Group {
  const group = state.groups.get(consumerGroupId)
  if (group?.settings.lite) return group
  if (!isCreated(group)) throw refuse(notCreated(consumerGroupId, 'the LITE topic'))
  throw refuse({
    code: codes.badRequest,
    message: `group ${consumerGroupId} is not one of lite consumers; create a group with messageModel LITE_SELECTIVE and topicName the LITE topic`,
  })
}

/** A group that was made by use does not count: creating a group is what binds it to its topic. */
const isCreated = (group: Group | undefined): boolean =>
  group !== undefined && (group.settings.lite != null || group.settings.madeByUse !== true)

const notCreated = (consumerGroupId: ConsumerGroupId, topicName: TopicName): Refusal => ({
  code: codes.consumerGroupNotFound,
  message: `consumer group ${consumerGroupId} was never created or was deleted, and lite consumers need one that is bound to their topic; create it with messageModel LITE_SELECTIVE and topicName ${topicName}`,
})

/** The group's subscription to a lite topic, made when it is new; throws a `BrokerRefusal` when there is no room for it (42902), or none in the log. */
export function liteSubscriptionOf(
  { state, commit }: Pick<LiteContext, 'state' | 'commit'>,
  group: Group,
  lite: LiteTopic,
): Subscription {
  const { consumerGroupId } = group.settings
  const known = lite.subscriptions.get(consumerGroupId)
  if (known) return known
  const refusal = refuseLiteSubscriptions(state, 1)
  if (refusal) throw refuse(refusal)
  commit([decideLiteSubscribe(state, group, lite)])
  return lite.subscriptions.get(consumerGroupId)!
}
