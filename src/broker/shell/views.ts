/** Read-only views of topics, groups and the instance. */
import type { GroupView, TopicView, Usage } from '../broker.ts'
import { maxAttempts, retryDelaysMs } from '../core/consuming/retry.ts'
import { limits } from '../core/limits.ts'
import type { BrokerState, Group, Topic } from '../core/state.ts'
import { positionOf, type SegmentLog, segmentOf } from '../log/contract.ts'

/** Asked for with every call, so kept for as long as the settings are in force. */
const topicViews = new WeakMap<Topic['settings'], TopicView>()
const groupViews = new WeakMap<Group['settings'], GroupView>()

export function topicView({ settings, queues }: Topic): TopicView {
  const known = topicViews.get(settings)
  if (known) return known
  const view = makeTopicView(settings, queues.length)
  topicViews.set(settings, view)
  return view
}

export function groupView({ settings }: Group): GroupView {
  const known = groupViews.get(settings)
  if (known) return known
  const view = makeGroupView(settings)
  groupViews.set(settings, view)
  return view
}

export function storedBytesOf(log: SegmentLog): number {
  let bytes = log.end - positionOf(segmentOf(log.end), 0)
  for (const segment of log.segments()) bytes += segment.bytes
  return bytes
}

export function usageOf(state: BrokerState, log: SegmentLog): Usage {
  const storedBytes = storedBytesOf(log)
  let messages = 0
  for (const { begin, end } of state.queues.values()) messages += end - begin
  return { storedBytes, messages, inflight: state.unacknowledged, timed: state.timers.size }
}

function makeTopicView(
  { topicName, generation, messageType, maxSendTps }: Topic['settings'],
  queues: number,
): TopicView {
  return {
    topicName,
    generation,
    messageType: messageType as TopicView['messageType'],
    maxSendTps,
    queues,
  }
}

function makeGroupView(settings: Group['settings']): GroupView {
  return {
    ...settings,
    maxAttempts: maxAttempts(settings.maxRetryTimes),
    retryDelaysMs: retryDelaysMs(settings.retry),
    liteSubscriptionsPerClient: limits.liteSubscriptionsPerClient,
    liteTopicNameBytes: limits.liteTopicNameBytes,
  }
}
