/** The record of deleted groups is bounded in number and in time. */
import { expect, it } from 'vitest'
import { refuseDeleted, rememberDeleted } from './deleted-groups.ts'
import { limits } from './limits.ts'

it('forgets the group that was deleted first beyond the limit, and what is too old', () => {
  const state = { deletedGroups: new Map<string, number>(), lastAt: 1_000 }
  for (let i = 0; i <= limits.deletedGroups; i++) rememberDeleted(state, `group-${i}`)
  expect(state.deletedGroups.size).toBe(limits.deletedGroups)
  expect(refuseDeleted(state, 'group-0', 1_000)).toBeNull()
  expect(refuseDeleted(state, 'group-1', 1_000)).toMatchObject({ code: 40403 })
  // Deleted again, it is the last to be forgotten.
  rememberDeleted(state, 'group-1')
  rememberDeleted(state, 'one-more')
  expect([...state.deletedGroups.keys()].slice(-2)).toEqual(['group-1', 'one-more'])
  expect(state.deletedGroups.has('group-2')).toBe(false)
  state.lastAt += limits.deletedGroupMs
  rememberDeleted(state, 'much-later')
  expect([...state.deletedGroups.keys()]).toEqual(['much-later'])
})

it('says from when on the name is free', () => {
  const state = { deletedGroups: new Map<string, number>(), lastAt: Date.UTC(2026, 0, 1) }
  rememberDeleted(state, 'orders-workers')
  expect(refuseDeleted(state, 'orders-workers', state.lastAt)?.message).toBe(
    'consumer group orders-workers was deleted; create it again with CreateConsumerGroup, stop this client, or use another group. Clients may take the name for a new group from 2026-01-08T00:00:00.000Z on',
  )
})
