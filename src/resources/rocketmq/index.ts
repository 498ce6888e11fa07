/**
 * The operations of this product that are carried out, each with its handler: what the modules of the families export. A
 * handler that is missing, misspelt, of another operation or of none does not compile; its name is the action's with a
 * small first letter. A family names in `notYet` the operations that it does not carry out.
 */
import type { RocketmqOperations } from '../../catalogue/rocketmq/index.ts'
import { type HandlersOf, handlersOf } from '../handler.ts'
import * as accounts from './accounts.ts'
import * as acls from './acls.ts'
import * as groups from './consumer-groups.ts'
import * as consumption from './consumption.ts'
import * as recovery from './disaster-recovery.ts'
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

/** Operations that answer 501. The list may only shrink (test/coverage/not-implemented.test.ts). */
export const notYet = [
  ...consumption.notYet,
  ...recovery.notYet,
  ...messages.notYet,
  ...metrics.notYet,
  ...migrations.notYet,
  ...subscriptions.notYet,
] as const

const { notYet: _, ...exported } = {
  ...accounts,
  ...acls,
  ...groups,
  ...consumption,
  ...recovery,
  ...instances,
  ...messages,
  ...metrics,
  ...migrations,
  ...regions,
  ...resourceGroups,
  ...subscriptions,
  ...tags,
  ...topics,
  ...traces,
  ...whitelists,
}

type NotYet = (typeof notYet)[number]
export type RocketmqHandlers = HandlersOf<RocketmqOperations, NotYet>

export const handlers: RocketmqHandlers = handlersOf<RocketmqOperations, NotYet>()(exported)
