/**
 * The one way state changes: an event is applied, live and in replay alike.
 *
 * Applying never looks at a clock and never decides. An event that names something that is not there (its topic was removed
 * before it) changes nothing, except where an earlier event must have made it: that is asserted.
 */

import { applyGroup, applyGroupRemoved } from './consumer-groups.ts'
import { applyAcked, applyDeadline, applyLeased } from './consuming/deliveries.ts'
import { applyCursorReset } from './consuming/offsets.ts'
import { applyAckedOutOfOrder, applyLocked } from './consuming/orderly.ts'
import { applySubscribed } from './consuming/subscriptions.ts'
import type { BrokerEvent } from './events.ts'
import { applyLiteExpired, applyLiteSubscribed, applyLiteTopic } from './lite/lite.ts'
import { applyTrimmed } from './retention.ts'
import { applyMessage } from './sending.ts'
import type { BrokerState } from './state.ts'
import { applyTimerFired, applyTimerRecalled, applyTimerStored } from './timers.ts'
import { applyTopic, applyTopicRemoved } from './topics.ts'
import { applyHalf, applyTransactionChecked, applyTransactionEnded } from './transactions.ts'

/** `position` is where the event's record lies in the log. */
export function apply(state: BrokerState, event: BrokerEvent, position: number): void {
  switch (event.type) {
    case 'time':
      if (event.at > state.lastAt) state.lastAt = event.at
      break
    case 'message':
      applyMessage(state, event)
      break
    case 'leased':
      applyLeased(state, event)
      break
    case 'acked':
    case 'passed-over':
      applyAcked(state, event)
      break
    case 'locked':
      applyLocked(state, event)
      break
    case 'acked-out-of-order':
      applyAckedOutOfOrder(state, event)
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
    case 'timer-stored':
      applyTimerStored(state, event, position)
      break
    case 'timer-fired':
      applyTimerFired(state, event)
      break
    case 'timer-recalled':
      applyTimerRecalled(state, event)
      break
    case 'half':
      applyHalf(state, event, position)
      break
    case 'transaction-checked':
      applyTransactionChecked(state, event)
      break
    case 'transaction-ended':
      applyTransactionEnded(state, event)
      break
    case 'cursor-reset':
      applyCursorReset(state, event)
      break
    case 'lite-topic':
      applyLiteTopic(state, event)
      break
    case 'lite-expired':
      applyLiteExpired(state, event)
      break
    case 'lite-subscribed':
      applyLiteSubscribed(state, event)
      break
    default:
      event satisfies never
  }
}
