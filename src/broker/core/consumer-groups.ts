/**
 * Consumer groups: making, changing and removing them.
 *
 * An unknown group is made by using it (data-plane §0 row 15), with Apache's defaults and generation 0; when the management
 * API names it later, it keeps its progress.
 */

import type { ConsumerGroupId } from '../../model/ids.ts'
import { dropSubscription } from './consuming/deliveries.ts'
import { orderChanged } from './consuming/orderly.ts'
import { rememberDeleted } from './deleted-groups.ts'
import type { GroupEvent, GroupRemovedEvent, GroupSettings } from './events.ts'
import { limits } from './limits.ts'
import { dropLiteSubscriptions, sameBinding } from './lite/lite-topics.ts'
import { type BrokerState, makeGroup } from './state.ts'
import { setRate } from './throttle.ts'

export function defaultGroup(consumerGroupId: ConsumerGroupId): GroupSettings {
  return {
    consumerGroupId,
    generation: 0,
    orderly: false,
    maxRetryTimes: limits.defaultRetryTimes,
    retry: { kind: 'default' },
    deadLetterTopic: null,
    maxReceiveTps: null,
    madeByUse: true,
    lite: null,
  }
}

/** Null when the group is in force as wanted. */
export function decideGroup(state: BrokerState, wanted: GroupSettings): GroupEvent | null {
  const { consumerGroupId, generation, maxRetryTimes, retry, deadLetterTopic, maxReceiveTps } = wanted
  const madeByUse = wanted.madeByUse === true
  const lite = wanted.lite ?? null
  // The messages of a lite topic are consumed one after another, whatever delivery order the group has (data-plane §5.7).
  const orderly = wanted.orderly || lite !== null
  const now = state.groups.get(consumerGroupId)?.settings
  if (
    now &&
    now.generation === generation &&
    now.orderly === orderly &&
    now.maxRetryTimes === maxRetryTimes &&
    now.deadLetterTopic === deadLetterTopic &&
    now.maxReceiveTps === maxReceiveTps &&
    (now.madeByUse === true) === madeByUse &&
    sameBinding(now.lite ?? null, lite) &&
    interval(now) === interval(wanted)
  )
    return null
  return {
    type: 'group',
    consumerGroupId,
    generation,
    orderly,
    maxRetryTimes,
    retry,
    deadLetterTopic,
    maxReceiveTps,
    madeByUse,
    lite,
  }
}

export function applyGroup(state: BrokerState, event: GroupEvent): void {
  const { type: _, ...settings } = event
  state.deletedGroups.delete(event.consumerGroupId)
  const known = state.groups.get(event.consumerGroupId)
  noteGroup(state, known?.settings, settings)
  if (!known) {
    state.groups.set(event.consumerGroupId, makeGroup(settings))
    return
  }
  const turned = known.settings.orderly !== settings.orderly
  if (known.settings.lite && known.settings.lite.topicName !== settings.lite?.topicName)
    dropLiteSubscriptions(state, known)
  known.settings = settings
  if (turned) orderChanged(state, known)
  setRate(known.receiveBucket, settings.maxReceiveTps, known.receiveBucket.at)
}

export function applyGroupRemoved(state: BrokerState, event: GroupRemovedEvent): void {
  rememberDeleted(state, event.consumerGroupId)
  const group = state.groups.get(event.consumerGroupId)
  if (!group) return
  for (const subscription of group.subscriptions.values()) dropSubscription(state, subscription)
  noteGroup(state, group.settings, undefined)
  state.groups.delete(event.consumerGroupId)
}

/** Keeps what the state says of all groups together; called with each change of a group's settings. */
export function noteGroup(
  state: BrokerState,
  before: GroupSettings | undefined,
  after: GroupSettings | undefined,
): void {
  state.groupsMadeByUse += (after?.madeByUse === true ? 1 : 0) - (before?.madeByUse === true ? 1 : 0)
  if (after?.generation === 0) state.unlistedGroups.add(after.consumerGroupId)
  else if (before?.generation === 0) state.unlistedGroups.delete(before.consumerGroupId)
}

function interval(settings: GroupSettings): number | null {
  return settings.retry.kind === 'fixed' ? settings.retry.intervalSeconds : null
}
