/**
 * The one way state changes: an event is applied, live and in replay alike.
 *
 * Applying never fails, never looks at a clock and never decides; what an event refers to and is not
 * there any more (a topic removed meanwhile) is passed over.
 */
import type { BrokerEvent } from './events.ts'
import { applyGroup, applySubscribed } from './group.ts'
import { applyAcked, applyDeadline, applyLeased } from './lease.ts'
import { applyGroupRemoved, applyMessage, applyTopic, applyTopicRemoved } from './queue.ts'
import { applyTrimmed } from './retention.ts'
import type { BrokerState } from './state.ts'

export function apply(state: BrokerState, event: BrokerEvent): void {
  switch (event.type) {
    case 'message':
      applyMessage(state, event)
      break
    case 'leased':
      applyLeased(state, event)
      break
    case 'acked':
      applyAcked(state, event)
      break
    case 'deadline':
      applyDeadline(state, event)
      break
    case 'topic':
      applyTopic(state, event)
      break
    case 'topic-removed':
      applyTopicRemoved(state, event)
      break
    case 'group':
      applyGroup(state, event)
      break
    case 'group-removed':
      applyGroupRemoved(state, event)
      break
    case 'subscribed':
      applySubscribed(state, event)
      break
    case 'trimmed':
      applyTrimmed(state, event)
      break
    default:
      event satisfies never
  }
}
