/**
 * A deleted group stays deleted while its clients run. Making by use would bring it back as another group (concurrent, with the
 * default retries, from another place), under clients that still hold messages of the first. So its name is refused to clients
 * with 40403, as Apache's broker refuses every group when it makes none by use (data-plane.md §1.7), until the management API makes
 * the group again or `limits.deletedGroupMs` has passed. The record is part of the state, so a restart changes nothing.
 */
import type { ConsumerGroupId } from '../../model/ids.ts'
import { limits } from './limits.ts'
import { codes, type Refusal } from './refusal.ts'
import type { BrokerState } from './state.ts'

type Deleted = Pick<BrokerState, 'deletedGroups'>

/** Null when clients may make a group of this name by using it. */
export function refuseDeleted(
  { deletedGroups }: Deleted,
  consumerGroupId: ConsumerGroupId,
  at: number,
): Refusal | null {
  const deletedAt = deletedGroups.get(consumerGroupId)
  if (deletedAt === undefined || at - deletedAt >= limits.deletedGroupMs) return null
  const until = new Date(deletedAt + limits.deletedGroupMs).toISOString()
  return {
    code: codes.consumerGroupNotFound,
    message: `consumer group ${consumerGroupId} was deleted; create it again with CreateConsumerGroup, stop this client, or use another group. Clients may take the name for a new group from ${until} on`,
  }
}

/** The group is gone since `state.lastAt`. Forgets what is too old, and the oldest beyond `limits.deletedGroups`. */
export function rememberDeleted(
  state: Pick<BrokerState, 'deletedGroups' | 'lastAt'>,
  consumerGroupId: ConsumerGroupId,
): void {
  const { deletedGroups, lastAt } = state
  deletedGroups.delete(consumerGroupId)
  deletedGroups.set(consumerGroupId, lastAt)
  for (const [name, deletedAt] of deletedGroups) {
    if (deletedGroups.size <= limits.deletedGroups && lastAt - deletedAt < limits.deletedGroupMs) break
    deletedGroups.delete(name)
  }
}
