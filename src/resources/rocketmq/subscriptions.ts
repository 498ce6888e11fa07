/** Which consumer groups read which topics. */
import type { Action } from '../../catalogue/rocketmq/index.ts'

/** Operations of this family that answer 501. */
export const notYet = [
  'DeleteConsumerGroupSubscription',
  'GetConsumerGroupSubscription',
  'ListConsumerGroupSubscriptions',
  'ListTopicSubscriptions',
] as const satisfies readonly Action[]
