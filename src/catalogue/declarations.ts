/**
 * Every declared operation, by family. Only the generator and tests load this file (it pulls in TypeBox); the
 * server reads `index.ts`. Order here is the order of documents.
 */
import * as accounts from './accounts.ts'
import * as consumerGroups from './consumer-groups.ts'
import * as instances from './instances.ts'
import type { Operation } from './operation.ts'
import * as regions from './regions.ts'
import * as resourceGroups from './resource-groups.ts'
import * as tags from './tags.ts'
import * as topics from './topics.ts'

const families: readonly Readonly<Record<string, unknown>>[] = [
  instances,
  regions,
  resourceGroups,
  tags,
  topics,
  consumerGroups,
  accounts,
]

const isOperation = (value: unknown): value is Operation =>
  typeof value === 'object' && value !== null && 'action' in value && 'output' in value

/** In a module's namespace names are sorted, which makes the order independent of how files are written. */
export const declarations: readonly Operation[] = families.flatMap((family) =>
  Object.values(family).filter(isOperation),
)
