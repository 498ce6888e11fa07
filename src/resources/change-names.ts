/**
 * What a change is recorded against, in the ledger's history. The loop looks its own entries up under
 * the same names, so they are part of the ledger's contract.
 */

import type { Cause } from '../ledger/ledger.ts'
import type { ConsumerGroupId, InstanceId, TopicName } from '../model/ids.ts'
import type { Call } from './handler.ts'

export const instanceResource = (instanceId: InstanceId): string => `instance/${instanceId}`
export const topicResource = (instanceId: InstanceId, topicName: TopicName): string =>
  `instance/${instanceId}/topic/${topicName}`
export const groupResource = (instanceId: InstanceId, consumerGroupId: ConsumerGroupId): string =>
  `instance/${instanceId}/consumergroup/${consumerGroupId}`
export const accountResource = (instanceId: InstanceId, username: string): string =>
  `instance/${instanceId}/account/${username}`
/** All grants of an account; which of them stands in the detail. */
export const grantResource = (instanceId: InstanceId, username: string): string =>
  `${accountResource(instanceId, username)}/acl`

/** Who makes a change, with which call and when. */
export const causeOf = (call: Pick<Call, 'at' | 'requestId' | 'principal' | 'once'>, action: string): Cause => ({
  at: call.at,
  requestId: call.requestId,
  principal: call.principal.arn,
  action,
  once: call.once,
})
