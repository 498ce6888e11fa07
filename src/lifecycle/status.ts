/**
 * The status of an instance, a topic and a consumer group, computed from what is wanted and what the
 * loop last saw (ledger/schema.ts). A status is never stored and never written by hand.
 *
 * RUNNING is a promise that clients can use the thing now. So a failed apply (`failure` is set) shows
 * CREATING while the instance never ran and CHANGING once it did, until the loop has repaired it: a
 * client that polls for RUNNING goes on polling.
 *
 * Two conventions that whoever writes these rows keeps:
 * - a wanted change raises `generation` of the row and `revision` of its instance; a deletion of a topic or
 *   group sets `wanted` to 'absent' and raises them too, and the loop deletes the row when the engine has removed it;
 * - a topic or group that is created again before the loop forgot its deleted row takes the columns
 *   `createdAgain(row)` says, so that the loop removes the predecessor, with its messages, first.
 */

export type InstanceStatus = 'CREATING' | 'RUNNING' | 'CHANGING' | 'STOPPED' | 'RELEASED'
export type ChildStatus = 'CREATING' | 'RUNNING'

/** `at`: milliseconds since the epoch; expiry and release count from their very millisecond. */
export function instanceStatus(row: InstanceStatusColumns, at: number): InstanceStatus {
  if (row.wanted === 'absent' || at >= row.release_time_ms) return 'RELEASED'
  if (at >= row.expire_time_ms) return 'STOPPED'
  if (row.applied_generation === 0) return 'CREATING'
  if (row.applied_generation < row.generation || row.failure !== null) return 'CHANGING'
  return 'RUNNING'
}

/** A change under way does not show: the vendor knows only CREATING and RUNNING here (product-facts, status values). */
export function topicStatus(row: ChildStatusColumns): ChildStatus {
  return row.applied_generation > 0 ? 'RUNNING' : 'CREATING'
}

export function groupStatus(row: ChildStatusColumns): ChildStatus {
  return row.applied_generation > 0 ? 'RUNNING' : 'CREATING'
}

/**
 * Columns of a row that was deleted (`wanted` 'absent', still in the ledger) and is created again. A
 * negative `applied_generation` of −n says: what the engine holds under this name with generation n or
 * less is the predecessor and is removed before the new one is made. A row that is not in the ledger
 * starts with `generation` 1 and `applied_generation` 0.
 */
export function createdAgain(row: { readonly generation: number }): {
  wanted: 'present'
  generation: number
  applied_generation: number
} {
  return { wanted: 'present', generation: row.generation + 1, applied_generation: -row.generation }
}

/** The columns of InstanceTable a status is computed from. */
export interface InstanceStatusColumns {
  readonly wanted: 'present' | 'absent'
  readonly generation: number
  readonly applied_generation: number
  readonly failure: string | null
  readonly expire_time_ms: number
  readonly release_time_ms: number
}

export interface ChildStatusColumns {
  readonly applied_generation: number
}
