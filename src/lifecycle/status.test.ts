import { describe, expect, it } from 'vitest'
import { createdAgain, groupStatus, type InstanceStatusColumns, instanceStatus, topicStatus } from './status.ts'

const row: InstanceStatusColumns = {
  wanted: 'present',
  generation: 3,
  applied_generation: 3,
  failure: null,
  expire_time_ms: 1000,
  release_time_ms: 2000,
}

describe('instanceStatus', () => {
  it.each([
    ['in force', {}, 0, 'RUNNING'],
    ['just made in the ledger', { generation: 1, applied_generation: 0 }, 0, 'CREATING'],
    ['changed before it ever ran', { applied_generation: 0 }, 0, 'CREATING'],
    ['failed before it ever ran', { applied_generation: 0, failure: 'No port.' }, 0, 'CREATING'],
    ['a change under way', { generation: 4 }, 0, 'CHANGING'],
    ['a change failed', { generation: 4, failure: 'No port.' }, 0, 'CHANGING'],
    ['in force once, failing now', { failure: 'Port taken.' }, 0, 'CHANGING'],
    ['a millisecond before the expiry', {}, 999, 'RUNNING'],
    ['at the expiry', {}, 1000, 'STOPPED'],
    ['expired before it ever ran', { applied_generation: 0 }, 1000, 'STOPPED'],
    ['expired and failing', { failure: 'Port taken.' }, 1000, 'STOPPED'],
    ['a millisecond before the release', {}, 1999, 'STOPPED'],
    ['at the release', {}, 2000, 'RELEASED'],
    ['deleted', { wanted: 'absent', generation: 4 }, 0, 'RELEASED'],
  ] as const)('%s', (_, change, at, status) => {
    expect(instanceStatus({ ...row, ...change }, at)).toBe(status)
  })
})

describe('topicStatus and groupStatus', () => {
  it.each([
    [0, 'CREATING'],
    [-2, 'CREATING'],
    [1, 'RUNNING'],
  ] as const)('applied generation %i is %s', (applied_generation, status) => {
    expect([topicStatus({ applied_generation }), groupStatus({ applied_generation })]).toEqual([status, status])
  })

  it('marks what is created again, so that it starts as CREATING above its predecessor', () => {
    const again = createdAgain({ generation: 2 })
    expect(again).toEqual({ wanted: 'present', generation: 3, applied_generation: -2 })
    expect(topicStatus(again)).toBe('CREATING')
  })
})
