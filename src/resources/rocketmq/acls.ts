/** What accounts of an instance may do. */
import type { Action } from '../../catalogue/rocketmq/index.ts'

/** Operations of this family that answer 501. */
export const notYet = [
  'CreateInstanceAcl',
  'DeleteInstanceAcl',
  'GetInstanceAcl',
  'ListInstanceAcl',
  'UpdateInstanceAcl',
] as const satisfies readonly Action[]
