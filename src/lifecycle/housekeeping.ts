/**
 * What becomes due in the ledger by time alone: subscriptions that renew themselves, and rows to be
 * removed (client tokens after 24 hours, ended temporary keys, the oldest changes). Done once at the
 * start, before the loop would release what should have been renewed, and every ten minutes.
 *
 * Each sweep is bounded; what is left over waits for the next one.
 */

import { pruneTemporaryKeys } from '../ledger/access-keys.ts'
import { pruneChanges } from '../ledger/changes.ts'
import { pruneClientTokens } from '../ledger/client-tokens.ts'
import { renewDueSubscriptions } from '../ledger/instances.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { InstanceId } from '../model/ids.ts'
import type { Cancel, World } from '../world/world.ts'

export interface Housekeeping {
  /** One sweep now, then one every ten minutes. Rejects when the first one fails. */
  start(): Promise<void>
  /** No further sweep; waits for the one under way. */
  stop(): Promise<void>
}

export interface HousekeepingOptions {
  readonly ledger: Ledger
  readonly world: Pick<World, 'clock' | 'random'>
  /** Zone in which a subscription's months are counted, minutes east of UTC. */
  readonly zoneMinutes: number
  /** Told of each renewed instance. */
  readonly wake: (instanceId: InstanceId) => void
  readonly log: { error(fields: object, text: string): void }
}

const intervalMs = 10 * 60_000
/** Changes kept, newest first. */
const changesKept = 100_000

export function createHousekeeping(options: HousekeepingOptions): Housekeeping {
  const { clock } = options.world
  let cancel: Cancel = () => {}
  let stopped = false
  let underWay: Promise<void> = Promise.resolve()

  function again(): void {
    if (stopped) return
    cancel = clock.after(intervalMs, () => {
      underWay = sweep(options)
        .catch((error: unknown) => options.log.error({ err: error }, 'housekeeping failed; it is tried again'))
        .then(again)
    })
  }

  return {
    async start() {
      await sweep(options)
      again()
    },
    async stop() {
      stopped = true
      cancel()
      await underWay
    },
  }
}

async function sweep({ ledger, world, zoneMinutes, wake }: HousekeepingOptions): Promise<void> {
  const at = world.clock.now()
  const cause = { at, requestId: world.random.uuid(), principal: 'system', action: 'Housekeeping' }
  const renewed = await ledger.change(cause, async ({ tx, record }) => {
    const instanceIds = await renewDueSubscriptions(tx, at, zoneMinutes)
    for (const instanceId of instanceIds) await record(`instance/${instanceId}`, { renewed: true })
    await pruneClientTokens(tx, at)
    await pruneTemporaryKeys(tx, at)
    await pruneChanges(tx, changesKept)
    return instanceIds
  })
  for (const instanceId of renewed) wake(instanceId)
}
