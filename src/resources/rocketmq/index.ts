/**
 * The operations of this product that are carried out, each with its handler. A handler that is missing, misspelt, of
 * another operation or of none does not compile; its name is the action's with a small first letter.
 */
import type { Action, RocketmqOperations } from '../../catalogue/rocketmq/index.ts'
import type { HandlersOf } from '../handler.ts'
import * as accounts from './accounts.ts'
import * as groups from './consumer-groups.ts'
import * as consumption from './consumption.ts'
import * as instances from './instances.ts'
import * as messages from './messages.ts'
import * as regions from './regions.ts'
import * as resourceGroups from './resource-groups.ts'
import * as tags from './tags.ts'
import * as topics from './topics.ts'
import * as traces from './traces.ts'
import * as whitelists from './whitelists.ts'

/** Operations that answer 501. The list may only shrink (test/coverage/not-implemented.test.ts). */
export const notYet = [
  'AddDisasterRecoveryItem',
  'CreateDisasterRecoveryPlan',
  'CreateInstanceAccount',
  'CreateInstanceAcl',
  'DeleteConsumerGroupSubscription',
  'DeleteDisasterRecoveryItem',
  'DeleteDisasterRecoveryPlan',
  'DeleteInstanceAccount',
  'DeleteInstanceAcl',
  'ExecuteMigrationOperation',
  'FinishMigrationStage',
  'GetConsumeTimespan',
  'GetConsumerGroupSubscription',
  'GetConsumerStack',
  'GetDisasterRecoveryItem',
  'GetDisasterRecoveryPlan',
  'GetInstanceAcl',
  'ListConsumerConnections',
  'ListConsumerGroupSubscriptions',
  'ListDisasterRecoveryCheckpoints',
  'ListDisasterRecoveryItems',
  'ListDisasterRecoveryPlans',
  'ListInstanceAccount',
  'ListInstanceAcl',
  'ListMetricMeta',
  'ListMigrationOperations',
  'ListMigrations',
  'ListTopicSubscriptions',
  'StartDisasterRecoveryItem',
  'StopDisasterRecoveryItem',
  'SyncDisasterRecoveryCheckpoint',
  'UpdateDisasterRecoveryItem',
  'UpdateDisasterRecoveryPlan',
  'UpdateInstanceAccount',
  'UpdateInstanceAcl',
  'VerifyConsumeMessage',
  'VerifySendMessage',
] as const satisfies readonly Action[]

export type RocketmqHandlers = HandlersOf<RocketmqOperations, (typeof notYet)[number]>

export const handlers: RocketmqHandlers = {
  CreateInstance: instances.createInstance,
  GetInstance: instances.getInstance,
  ListInstances: instances.listInstances,
  UpdateInstance: instances.updateInstance,
  DeleteInstance: instances.deleteInstance,
  UpdateInstanceSoftwareConfig: instances.updateInstanceSoftwareConfig,
  ListRegions: regions.listRegions,
  ListAvailableZones: regions.listAvailableZones,
  ChangeResourceGroup: resourceGroups.changeResourceGroup,
  TagResources: tags.tagResources,
  UntagResources: tags.untagResources,
  ListTagResources: tags.listTagResources,
  CreateTopic: topics.createTopic,
  GetTopic: topics.getTopic,
  UpdateTopic: topics.updateTopic,
  DeleteTopic: topics.deleteTopic,
  ListTopics: topics.listTopics,
  CreateConsumerGroup: groups.createConsumerGroup,
  GetConsumerGroup: groups.getConsumerGroup,
  UpdateConsumerGroup: groups.updateConsumerGroup,
  DeleteConsumerGroup: groups.deleteConsumerGroup,
  ListConsumerGroups: groups.listConsumerGroups,
  GetConsumerGroupLag: consumption.getConsumerGroupLag,
  ResetConsumeOffset: consumption.resetConsumeOffset,
  GetInstanceAccount: accounts.getInstanceAccount,
  ListMessages: messages.listMessages,
  GetMessageDetail: messages.getMessageDetail,
  ListTraces: traces.listTraces,
  GetTrace: traces.getTrace,
  CreateInstanceIpWhitelist: whitelists.createInstanceIpWhitelist,
  DeleteInstanceIpWhitelist: whitelists.deleteInstanceIpWhitelist,
  GetInstanceIpWhitelist: whitelists.getInstanceIpWhitelist,
  ListInstanceIpWhitelist: whitelists.listInstanceIpWhitelist,
}
