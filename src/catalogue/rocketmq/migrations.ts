/**
 * Moving from another cluster to an instance (api-semantics §14). No operation creates a migration. Documented and
 * sample values of kinds, stages and states differ and neither list is complete, so they are plain texts here.
 */
import Type from 'typebox'
import { limits } from './limits.ts'
import { operation } from './operation.ts'
import {
  anyJson,
  dateTime,
  done,
  filter,
  integerId,
  list,
  maybe,
  name,
  object,
  page,
  requiredPaging,
  text,
} from './schema.ts'

const family = 'migrations'

const stage = () => ({
  migrationId: integerId('Id of the migration.'),
  stageType: name(64, { description: 'Stage, for example `MIGRATE_MESSAGE`.' }),
})

const instance = () => maybe(text(limits.pathSegment, { description: 'Instance that is moved to.' }))

const step = () =>
  object({
    migrationId: integerId('Id of the migration.'),
    operationId: integerId('Id of the step.'),
    stageType: Type.String(),
    operationType: Type.String(),
    operationKey: Type.String({ description: 'What is moved; for messages the topic.' }),
    operationStatus: Type.String({ description: '`DOING`, `DONE`.' }),
    businessStatus: Type.String({ description: 'Where it stands, for example `MIGRATE_WAIT`.' }),
    operationParam: maybe(object({ paramData: maybe(anyJson()) })),
    operationResult: maybe(object({ resultData: maybe(anyJson()) })),
    createTime: dateTime('When the step was made.'),
    updateTime: dateTime('When it was last changed.'),
  })

export const listMigrations = operation({
  action: 'ListMigrations',
  call: 'GET /migrations',
  summary: 'List migrations',
  family,
  access: ['none', 'any'],
  query: {
    migrationType: name(64, { description: 'Kind, for example `INSTANCE_MIGRATION`.' }),
    filter: filter('the name'),
    resourceGroupId: maybe(text(64, { description: 'Only migrations of this resource group.' })),
    ...requiredPaging(limits.pages.sizes.migrations),
  },
  data: page(
    object({
      migrationId: integerId('Id of the migration.'),
      migrationName: Type.String(),
      migrationType: Type.String(),
      migrationStatus: Type.String(),
      currentStage: maybe(
        object({ stageType: Type.String(), stageStatus: Type.String(), stageData: maybe(anyJson()) }),
      ),
      migrationSource: maybe(object({ sourceType: Type.String(), sourceData: maybe(anyJson()) })),
      migrationTarget: maybe(object({ targetType: Type.String(), targetData: maybe(anyJson()) })),
      userId: Type.String(),
      createTime: dateTime('When the migration was made.'),
      updateTime: dateTime('When it was last changed.'),
    }),
  ),
})

export const listMigrationOperations = operation({
  action: 'ListMigrationOperations',
  call: 'GET /migrations/{migrationId}/stages/{stageType}/operations',
  summary: 'List the steps of a stage of a migration',
  family,
  access: ['list', 'instance'],
  path: stage(),
  query: {
    operationType: name(64, { description: 'Kind of step, for example `MIGRATE_MESSAGE`.' }),
    operationStatus: maybe(list(name(64), 20, { description: 'Only steps in these states.' })),
    businessStatus: maybe(list(name(64), 20, { description: 'Only steps that stand there.' })),
    filter: filter('what is moved'),
    instanceId: instance(),
    ...requiredPaging(limits.pages.sizes.migrations),
  },
  data: page(step()),
  errors: ['Migration.NotFound'],
})

export const executeMigrationOperation = operation({
  action: 'ExecuteMigrationOperation',
  call: 'POST /migrations/{migrationId}/stages/{stageType}/operations/{operationId}/execute',
  summary: 'Take a step of a migration',
  description:
    'Messages move MIGRATE_WAIT, DOUBLE_READ, SWITCH_WRITE, MIGRATE_FINISH: forward one at a time, back to any.',
  family,
  access: ['update', 'instance'],
  path: { ...stage(), operationId: integerId('Id of the step.') },
  query: { instanceId: instance() },
  body: object({
    operationParam: maybe(
      object({
        paramData: maybe(anyJson({ description: 'For messages `{"action":"MIGRATE_FORWARD","targetStage":…}`.' })),
      }),
    ),
  }),
  data: step(),
  errors: ['Migration.NotFound'],
})

export const finishMigrationStage = operation({
  action: 'FinishMigrationStage',
  call: 'POST /migrations/{migrationId}/stages/{stageType}/finish',
  summary: 'Finish a stage of a migration',
  family,
  access: ['update', 'instance'],
  path: stage(),
  query: { instanceId: instance() },
  data: done(),
  errors: ['Migration.NotFound'],
})
