/** Copies of topics between instances. */
import type { Action } from '../../catalogue/rocketmq/index.ts'

/** Operations of this family that answer 501. */
export const notYet = [
  'AddDisasterRecoveryItem',
  'CreateDisasterRecoveryPlan',
  'DeleteDisasterRecoveryItem',
  'DeleteDisasterRecoveryPlan',
  'GetDisasterRecoveryItem',
  'GetDisasterRecoveryPlan',
  'ListDisasterRecoveryCheckpoints',
  'ListDisasterRecoveryItems',
  'ListDisasterRecoveryPlans',
  'StartDisasterRecoveryItem',
  'StopDisasterRecoveryItem',
  'SyncDisasterRecoveryCheckpoint',
  'UpdateDisasterRecoveryItem',
  'UpdateDisasterRecoveryPlan',
] as const satisfies readonly Action[]
