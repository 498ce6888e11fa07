/**
 * Every declared operation, by family. Only the generator and tests run this file (it pulls in TypeBox); the
 * server reads `index.ts`, and handlers its types. Order here is the order of documents.
 */
import { type OperationsIn, operationsIn } from '../declare.ts'
import * as accounts from './accounts.ts'
import * as acls from './acls.ts'
import * as consumerGroups from './consumer-groups.ts'
import * as consumption from './consumption.ts'
import * as disasterRecovery from './disaster-recovery.ts'
import * as instances from './instances.ts'
import * as messages from './messages.ts'
import * as metrics from './metrics.ts'
import * as migrations from './migrations.ts'
import * as regions from './regions.ts'
import * as resourceGroups from './resource-groups.ts'
import * as subscriptions from './subscriptions.ts'
import * as tags from './tags.ts'
import * as topics from './topics.ts'
import * as traces from './traces.ts'
import * as whitelists from './whitelists.ts'

const families = [
  instances,
  regions,
  resourceGroups,
  tags,
  topics,
  consumerGroups,
  subscriptions,
  consumption,
  messages,
  traces,
  accounts,
  acls,
  whitelists,
  metrics,
  disasterRecovery,
  migrations,
] as const

export const declarations = operationsIn(families)
/** The same operations as types, by action. */
export type RocketmqOperations = OperationsIn<typeof families>
