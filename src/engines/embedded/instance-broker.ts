/** The broker of an instance: opened over the instance's folder, with the settings that its specification gives. */
import path from 'node:path'
import type { Broker, BrokerSettings } from '../../broker/broker.ts'
import { keysIn } from '../../broker/messages/stored-message.ts'
import { openBroker } from '../../broker/shell/open.ts'
import type { InstanceSpec } from '../../model/instances.ts'
import type { World } from '../../world/world.ts'
import type { DiskPause } from './disk-marks.ts'

export interface InstanceBrokerContext {
  readonly world: World
  /** Folder that holds one folder per instance. */
  readonly directory: string
  /** Where unexpected failures are reported. */
  readonly report: (error: unknown) => void
}

/** `storageKey`: base64 of the key messages are encrypted with, or null. Rejects as `openBroker` does. */
export const openInstanceBroker = (
  { world, directory, report }: InstanceBrokerContext,
  spec: InstanceSpec,
  storageKey: string | null,
): Promise<Broker> =>
  openBroker({
    world,
    directory: path.join(directory, spec.instanceId),
    settings: brokerSettings(spec, null),
    cipherKey: storageKey === null ? null : Buffer.from(storageKey, 'base64'),
    keysIn,
    report,
  })

/** `pause`: what the disk has no room for; null when it has for everything. */
export const brokerSettings = (spec: InstanceSpec, pause: DiskPause | null): BrokerSettings => ({
  retentionMs: spec.retentionHours * 3600 * 1000,
  sendTps: spec.sendTps,
  receiveTps: spec.receiveTps,
  maxDelayMs: spec.maxDelayMs,
  elasticity: spec.elasticity,
  maxGroupsMadeByUse: spec.maxGroupsMadeByUse,
  sendPause: pause?.sends ?? null,
  writePause: pause?.writes ?? null,
})
