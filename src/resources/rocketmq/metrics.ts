/** What can be measured. */
import type { Action } from '../../catalogue/rocketmq/index.ts'

/** Operations of this family that answer 501. */
export const notYet = ['ListMetricMeta'] as const satisfies readonly Action[]
