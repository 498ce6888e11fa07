/** Events of the broker in words: what a reader of a transcript needs to follow the rules, and nothing that changes from run to run. */
import type { BrokerEvent } from '../../src/broker/core/events.ts'
import type { BrokerState } from '../../src/broker/core/state.ts'

/** Since the start: `+1m30s`. */
export function timeText(atMs: number, startMs: number): string {
  const seconds = Math.round((atMs - startMs) / 1_000)
  const hours = Math.floor(seconds / 3_600)
  const minutes = Math.floor((seconds % 3_600) / 60)
  return `+${hours > 0 ? `${hours}h` : ''}${minutes > 0 ? `${minutes}m` : ''}${seconds % 60 > 0 || seconds < 60 ? `${seconds % 60}s` : ''}`
}

export function describeEvent(state: BrokerState, event: BrokerEvent, startMs: number): string {
  const time = (atMs: number) => timeText(atMs, startMs)
  const queue = (key: number) => queueText(state, key)
  const subscription = (id: number) => {
    const found = state.subscriptions.get(id)
    return found ? `${found.group.settings.consumerGroupId} of ${topicText(found.topic)}` : `subscription ${id}`
  }
  const names = (entries: ReadonlyArray<{ queueId: number; offset: number }>) =>
    entries.map(({ queueId, offset }) => `${queueId}@${offset}`).join(' ')
  switch (event.type) {
    case 'topic':
      return `topic ${event.topicName}: ${event.messageType}, ${event.queues} queues`
    case 'group':
      return `group ${event.consumerGroupId}: ${event.orderly ? 'orderly' : 'concurrent'}, ${event.maxRetryTimes} retries`
    case 'subscribed':
      return `subscribed ${event.consumerGroupId} to ${event.topicName} from ${event.starts.join(' ')}`
    case 'lite-subscribed':
      return `lite-subscribed ${event.consumerGroupId} to ${queue(event.queueKey)} from ${event.start}`
    case 'message':
      return `message ${event.messageId.split(' ')[0]} in ${queue(event.queueKey)} at ${event.offset}${event.origin ? `, from ${event.origin.topicName}` : ''}`
    case 'leased':
    case 'locked': {
      const passed = event.nexts.map(({ queueId, next }) => `${queueId}@${next}`).join(' ')
      const again = event.type === 'locked' && event.repeated ? ' once more' : ''
      const entries = event.entries.map(({ queueId, offset, attempt }) => `${queueId}@${offset}#${attempt}`).join(' ')
      return `${event.type} to ${event.owner} for ${subscription(event.subscriptionId)}${again}: ${entries || 'none'}, until ${time(event.deadline)}${passed ? `, next ${passed}` : ''}`
    }
    case 'acked':
    case 'acked-out-of-order':
      return `${event.type} ${subscription(event.subscriptionId)}: ${names(event.entries)}`
    case 'passed-over':
      return `passed-over ${subscription(event.subscriptionId)}: ${names(event.entries)}, ${event.reason}`
    case 'deadline':
      return `deadline ${subscription(event.subscriptionId)}: ${names(event.entries)} at ${time(event.deadline)}${event.returned ? ', not counted' : ''}`
    case 'trimmed':
      return `trimmed ${event.queues.map(({ queueKey, begin }) => `${queue(queueKey)} below ${begin}`).join(', ')}`
    case 'timer-stored':
      return `timer-stored ${event.messageId.split(' ')[0]} as timer ${event.timerId}, due ${time(event.dueMs)}`
    case 'timer-fired':
    case 'timer-recalled':
      return `${event.type} ${event.timerIds.map((id) => `timer ${id}`).join(', ')}`
    case 'half':
      return `half ${event.messageId.split(' ')[0]} as transaction ${event.number}, first check ${time(event.firstCheckMs)}`
    case 'transaction-checked':
      return `transaction-checked ${event.numbers.join(', ')}, again ${time(event.next)}`
    case 'transaction-ended':
      return `transaction-ended ${event.numbers.join(', ')}: ${event.resolution}`
    case 'cursor-reset':
      return `cursor-reset ${subscription(event.subscriptionId)} to ${event.cursors.map(({ queueId, next }) => `${queueId}@${next}`).join(' ')}`
    case 'lite-topic':
      return `lite-topic ${event.liteTopic}`
    case 'lite-expired':
      return `lite-expired ${event.queueKeys.length}`
    case 'topic-removed':
      return `topic-removed ${event.topicName}`
    case 'group-removed':
      return `group-removed ${event.consumerGroupId}`
    case 'time':
      return `time ${time(event.at)}`
  }
}

function topicText(topic: { settings: { topicName: string }; liteTopic: string }): string {
  return topic.liteTopic === '' ? topic.settings.topicName : `${topic.settings.topicName}/${topic.liteTopic}`
}

function queueText(state: BrokerState, key: number): string {
  const found = state.queues.get(key)
  if (!found) return `queue ${key}`
  return found.topic.parent === null ? `${topicText(found.topic)}/${found.id}` : topicText(found.topic)
}
