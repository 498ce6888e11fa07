/** What the embedded engine carries, and the refusal of what it does not. */
import { limits } from '../../broker/core/limits.ts'
import type { GroupSpec, TopicSpec } from '../../model/instances.ts'
import { EngineError } from '../../model/refusals.ts'
import type { EngineCapabilities } from '../engine.ts'

/** What this version's broker carries; the API refuses the rest naming the flag. */
export const capabilities: EngineCapabilities = {
  messageTypes: ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'LITE', 'PRIORITY'],
  orderlyGroups: true,
  storageEncryption: true,
  // A priority chooses the queue (docs/reference/data-plane.md §5.6).
  highestPriority: limits.queuesPerTopic - 1,
}

export function checkTopic({ topicName, messageType }: TopicSpec): void {
  if (capabilities.messageTypes.includes(messageType)) return
  throw new EngineError(
    'unsupported',
    `The embedded engine carries ${capabilities.messageTypes.join(', ')} topics; topic ${topicName} is ${messageType}.`,
  )
}

export function checkGroup({ consumerGroupId, orderly }: GroupSpec): void {
  if (!orderly || capabilities.orderlyGroups) return
  throw new EngineError(
    'unsupported',
    `The embedded engine has no ordered delivery; group ${consumerGroupId} asks for it.`,
  )
}
