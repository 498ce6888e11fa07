import { describe, expect, it } from 'vitest'
import { apiTime, clockText, momentText, withZone, zoneName } from './zone.ts'

const now = Date.parse('2026-01-31T18:00:00Z')

describe('the zone of date texts', () => {
  it.each([
    [480, 'UTC+08:00'],
    [0, 'UTC+00:00'],
    [-210, 'UTC-03:30'],
    [null, ''],
  ])('%j is %j', (minutes, name) => expect(zoneName(minutes)).toBe(name))

  it('stands behind what is shown', () => {
    expect(withZone('2026-01-31 18:00:00', 480)).toBe('2026-01-31 18:00:00 UTC+08:00')
    expect(withZone('2026-01-31 18:00:00', null)).toBe('2026-01-31 18:00:00')
  })

  it('is that of moments too, which are in UTC where it is not known', () => {
    expect(momentText(now, 480)).toBe('2026-02-01 02:00:00 UTC+08:00')
    expect(momentText(now, null)).toBe('2026-01-31 18:00:00 UTC+00:00')
    expect(clockText(now + 7, -210, { fraction: true })).toBe('2026-01-31 14:30:00.007')
  })
})

describe('a time for the API', () => {
  it.each([
    ['2026-01-31 18:00:00', null, '2026-01-31 18:00:00'],
    ['10m', 480, '2026-02-01 01:50:00'],
    ['1d', 0, '2026-01-30 18:00:00'],
    ['2026-01-31T18:00:00Z', 480, '2026-02-01 02:00:00'],
    ['2026-01-31T18:00+02:00', 0, '2026-01-31 16:00:00'],
  ] as const)('%j in zone %j is %j', (text, zone, expected) => {
    expect(apiTime('--start', text, zone, now)).toBe(expected)
  })

  it.each([
    ['yesterday', 480, /--start takes a time such as 10m/],
    ['2026-13-01T00:00:00Z', 480, /--start takes a time/],
    ['10m', null, /known through the server's home only/],
  ] as const)('%j in zone %j is refused', (text, zone, says) => {
    expect(() => apiTime('--start', text, zone, now)).toThrow(says)
  })
})
