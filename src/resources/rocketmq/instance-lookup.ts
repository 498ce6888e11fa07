/**
 * Finding the instance a call is about, and refusing when its state forbids the operation.
 *
 * A released instance still answers GetInstance until the loop forgets it; for everything in it and
 * everything that lists or tags it, it is gone. An expired one keeps its data and can be read, but
 * nothing in it can be changed (product-facts §6.2).
 */

import { instanceNotFound, instanceStatusError } from '../../catalogue/rocketmq/errors.ts'
import { findInstance, type InstanceRow } from '../../ledger/instances.ts'
import type { Reader } from '../../ledger/ledger.ts'
import { instanceStatus } from '../../lifecycle/status.ts'
import type { InstanceId } from '../../model/ids.ts'
import type { Call } from '../handler.ts'

/** Also a released instance; 404 when there is none, or it is in another region. */
export async function anyInstance(reader: Reader, call: Call, instanceId: InstanceId): Promise<InstanceRow> {
  const row = await findInstance(reader, call.regionId, instanceId)
  if (row === undefined) throw instanceNotFound(instanceId)
  return row
}

/** An instance whose content can be read: not a released one. */
export async function liveInstance(reader: Reader, call: Call, instanceId: InstanceId): Promise<InstanceRow> {
  const row = await anyInstance(reader, call, instanceId)
  if (instanceStatus(row, call.at) === 'RELEASED') throw instanceNotFound(instanceId)
  return row
}

/** An instance whose content can be changed: neither released nor expired. Creating and changing ones may be. */
export async function usableInstance(reader: Reader, call: Call, instanceId: InstanceId): Promise<InstanceRow> {
  const row = await liveInstance(reader, call, instanceId)
  refuseStopped(row, call)
  return row
}

/** 400 `InstanceStatus.Error` for what was paid for until a time that has passed. */
export function refuseStopped(row: InstanceRow, call: Call): void {
  if (instanceStatus(row, call.at) === 'STOPPED') {
    throw instanceStatusError(row.instance_id, 'STOPPED (expired)', 'an instance that is running')
  }
}
