/**
 * Refusals as the modules of the shell give them: sentences that several share, and what a failure of the log is
 * to a client. A failure that nobody foresaw is internal (50001) and names its reason.
 */
import type { TopicName } from '../../model/ids.ts'
import { BrokerRefusal } from '../../model/refusals.ts'
import { codes, type Refusal } from '../core/refusal.ts'
import type { Group } from '../core/state.ts'
import { LogError } from '../log/errors.ts'

export function refuse(refusal: Refusal): BrokerRefusal {
  return refusal instanceof BrokerRefusal ? refusal : new BrokerRefusal(refusal.code, refusal.message)
}

export function asRefusal(error: unknown): Refusal {
  if (error instanceof BrokerRefusal) return error
  if (error instanceof LogError && error.code === 'busy') return { code: codes.tooManyRequests, message: error.message }
  if (error instanceof LogError && error.code === 'too-large')
    return { code: codes.payloadTooLarge, message: `${error.message}; send fewer messages at a time` }
  return {
    code: codes.internal,
    message: `the broker cannot use its log: ${error instanceof Error ? error.message : String(error)}`,
  }
}

/** For calls that only read the log. */
export function refused(error: unknown): never {
  throw refuse(asRefusal(error))
}

export function topicNotFound(topicName: TopicName): Refusal {
  return {
    code: codes.topicNotFound,
    message: `topic ${topicName} does not exist; create it with CreateTopic before clients use it`,
  }
}

export function boundToLite(group: Group, topicName: TopicName): Refusal {
  const { consumerGroupId, lite } = group.settings
  return {
    code: codes.badRequest,
    message: `group ${consumerGroupId} is bound to LITE topic ${lite!.topicName} and reads no other; use another group for topic ${topicName}`,
  }
}
