/** What an open instance says of itself: to the loop, to whoever asks for its usage, and with each greeting of its process. */

import type { Broker } from '../../broker/broker.ts'
import type { InstanceId } from '../../model/ids.ts'
import type { InstanceSpec } from '../../model/instances.ts'
import { type InstanceObservation, type InstanceUsage, madeByUseTold } from '../../model/observations.ts'
import type { DiskPause } from './disk-marks.ts'
import type { Attention } from './host-api.ts'
import type { InstanceEndpoints } from './instance-endpoints.ts'
import type { InstanceHealth } from './instance-health.ts'

export interface InstanceState {
  readonly instanceId: InstanceId
  readonly spec: InstanceSpec
  readonly broker: Pick<Broker, 'metadata' | 'inspection'>
  readonly endpoints: InstanceEndpoints
  readonly health: InstanceHealth
  /** What the disk has no room for, or null. */
  readonly pause: DiskPause | null
  /** Tells this opening from the ones before it. */
  readonly opening: number
}

export function observationOf({ instanceId, spec, broker, endpoints, health }: InstanceState): InstanceObservation {
  const failure = endpoints.failure ?? health.stopped
  const made = broker.metadata.unlistedGroups()
  return {
    instanceId,
    generation: spec.generation,
    state: failure !== null ? 'failed' : spec.serving ? 'running' : 'stopped',
    reason: failure ?? health.damage,
    topics: broker.metadata
      .topics()
      .filter(({ generation }) => generation > 0)
      .map(({ topicName, generation }) => ({ topicName, generation })),
    groups: broker.metadata
      .groups()
      .filter(({ generation }) => generation > 0)
      .map(({ consumerGroupId, generation }) => ({ consumerGroupId, generation })),
    ...(made.length === 0 ? {} : { groupsMadeByUse: made.slice(0, madeByUseTold) }),
  }
}

export function usageOf({ instanceId, broker, endpoints, health, pause }: InstanceState): InstanceUsage {
  return {
    instanceId,
    storedBytes: broker.inspection.usage().storedBytes,
    connections: endpoints.connections(),
    groupsMadeByUse: broker.metadata.unlistedGroups().length,
    // A ledger on the same full disk cannot be told why the instance is not what is wanted.
    remark: health.stopped ?? pause?.writes ?? pause?.sends ?? health.damage,
  }
}

/** Whether the loop is to look at it again: at a group that clients made also when these have gone. An idle instance costs nothing. */
export function attentionOf({ instanceId, broker, health, opening }: InstanceState): Attention | null {
  if (health.stopped !== null) return { instanceId, changeToken: `${opening} stopped` }
  const made = broker.metadata.unlistedGroups()
  return made.length === 0 ? null : { instanceId, changeToken: `${opening} ${made.length} ${made.at(-1)}` }
}
