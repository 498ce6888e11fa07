/** Moving an instance here from another service. */
import type { Action } from '../../catalogue/rocketmq/index.ts'

/** Operations of this family that answer 501. */
export const notYet = [
  'ExecuteMigrationOperation',
  'FinishMigrationStage',
  'ListMigrationOperations',
  'ListMigrations',
] as const satisfies readonly Action[]
