/**
 * Every declared operation, by family. Only the generator and tests load this file (it pulls in TypeBox); the
 * server reads `index.ts`. Order here is the order of documents.
 */
import * as accounts from './accounts.ts'
import * as acls from './acls.ts'
import * as consumerGroups from './consumer-groups.ts'
import * as consumption from './consumption.ts'
import * as disasterRecovery from './disaster-recovery.ts'
import * as instances from './instances.ts'
import * as messages from './messages.ts'
import * as metrics from './metrics.ts'
import * as migrations from './migrations.ts'
import type { Operation } from './operation.ts'
import * as regions from './regions.ts'
import * as resourceGroups from './resource-groups.ts'
import * as subscriptions from './subscriptions.ts'
import * as tags from './tags.ts'
import * as topics from './topics.ts'
import * as traces from './traces.ts'
import * as whitelists from './whitelists.ts'

const families: readonly Readonly<Record<string, unknown>>[] = [
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
]

const isOperation = (value: unknown): value is Operation =>
  typeof value === 'object' && value !== null && 'action' in value && 'output' in value

/** Sorted within a family, because a bundler keeps no order of a module's exports. */
export const declarations: readonly Operation[] = families.flatMap((family) =>
  Object.values(family)
    .filter(isOperation)
    .sort((a, b) => (a.action < b.action ? -1 : 1)),
)
