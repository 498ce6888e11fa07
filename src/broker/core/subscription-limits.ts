/** The limits of subscriptions of an instance. Groups made by use have half of them. */
import { limits } from './limits.ts'
import { liteCodes } from './lite/lite.ts'
import { codes, type Refusal } from './refusal.ts'
import type { BrokerState, Group } from './state.ts'

/** Why the group gets no subscription to another topic; null when it does. */
export function refuseSubscription(state: BrokerState, group: Group): Refusal | null {
  const count = state.subscriptions.size - state.liteSubscriptionCount
  const isMadeByUse = group.settings.madeByUse === true
  const most = isMadeByUse ? limits.subscriptions / 2 : limits.subscriptions
  if (count < most) return null
  const advice = isMadeByUse
    ? 'create the group with CreateConsumerGroup, or delete groups or topics that are not needed'
    : 'delete groups or topics that are not needed'
  return {
    code: codes.tooManyRequests,
    message: `the consumer groups of the instance have ${count} subscriptions to topics, and ${most} are allowed${isMadeByUse ? ' before groups that clients made by using them get another one' : ''}; ${advice}`,
  }
}

/** Why groups get no more subscriptions to lite topics; null when so many have room. */
export function refuseLiteSubscriptions(state: BrokerState, more: number): Refusal | null {
  const { liteSubscriptionCount } = state
  const { subscriptionsOfLiteTopics } = limits
  if (more === 0 || liteSubscriptionCount + more <= subscriptionsOfLiteTopics) return null
  return {
    code: liteCodes.tooManySubscriptions,
    message: `the consumer groups of the instance have ${liteSubscriptionCount} subscriptions to lite topics, and ${subscriptionsOfLiteTopics} are allowed; read lite topics by fewer groups, or let lite topics expire sooner (liteTopicExpiration)`,
  }
}
