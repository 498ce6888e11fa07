/**
 * Every operation that works, by its action. An operation of the catalogue that is absent here answers
 * 501; the coverage test keeps the list of those from growing.
 */
import { getInstanceAccount } from './accounts.ts'
import * as groups from './consumer-groups.ts'
import * as consumption from './consumption.ts'
import type { Handlers } from './handler.ts'
import * as instances from './instances.ts'
import * as messages from './messages.ts'
import { listAvailableZones, listRegions } from './regions.ts'
import { changeResourceGroup } from './resource-groups.ts'
import * as tags from './tags.ts'
import * as topics from './topics.ts'
import * as traces from './traces.ts'
import * as whitelists from './whitelists.ts'

export const handlers: Handlers = {
  CreateInstance: instances.createInstance,
  GetInstance: instances.getInstance,
  ListInstances: instances.listInstances,
  UpdateInstance: instances.updateInstance,
  DeleteInstance: instances.deleteInstance,
  UpdateInstanceSoftwareConfig: instances.updateInstanceSoftwareConfig,
  ListRegions: listRegions,
  ListAvailableZones: listAvailableZones,
  ChangeResourceGroup: changeResourceGroup,
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
  GetInstanceAccount: getInstanceAccount,
  ListMessages: messages.listMessages,
  GetMessageDetail: messages.getMessageDetail,
  ListTraces: traces.listTraces,
  GetTrace: traces.getTrace,
  CreateInstanceIpWhitelist: whitelists.createInstanceIpWhitelist,
  DeleteInstanceIpWhitelist: whitelists.deleteInstanceIpWhitelist,
  GetInstanceIpWhitelist: whitelists.getInstanceIpWhitelist,
  ListInstanceIpWhitelist: whitelists.listInstanceIpWhitelist,
}
