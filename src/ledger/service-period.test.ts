import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { automaticRenewal, monthsOf, payAsYouGoPeriod, subscriptionPeriod } from './service-period.ts'

const UTC8 = 480
const DAY_MS = 86_400_000
/** An instant from a wall clock in UTC+8. */
const beijing = (text: string) => Date.parse(`${text.replace(' ', 'T')}+08:00`)

describe('a subscription', () => {
  it.each([
    ['a month', '2026-01-15 10:20:30', 1, 'Month', '2026-02-15 10:20:30'],
    ['the 31st shrinks to the last day', '2026-01-31 23:59:59', 1, 'Month', '2026-02-28 23:59:59'],
    ['a leap February', '2028-01-31 00:00:00', 1, 'Month', '2028-02-29 00:00:00'],
    ['over the year', '2026-11-30 12:00:00', 3, 'Month', '2027-02-28 12:00:00'],
    [
      'the zone decides the day: 31 January there is 30 January in UTC',
      '2026-01-31 02:00:00',
      1,
      'Month',
      '2026-02-28 02:00:00',
    ],
    ['a year from a leap day', '2028-02-29 08:00:00', 1, 'Year', '2029-02-28 08:00:00'],
    ['three years', '2026-11-24 03:04:05', 3, 'Year', '2029-11-24 03:04:05'],
    ['December', '2026-12-31 01:00:00', 6, 'Month', '2027-06-30 01:00:00'],
  ] as const)('%s', (_, start, period, unit, expire) => {
    const found = subscriptionPeriod(beijing(start), { months: monthsOf(period, unit) }, UTC8)
    expect(found).toEqual({
      startMs: beijing(start),
      expireMs: beijing(expire),
      releaseMs: beijing(expire) + 7 * DAY_MS,
    })
  })

  it('never ends before its 28 days a month, and keeps the time of day', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4_102_444_800_000 }),
        fc.integer({ min: 1, max: 36 }),
        fc.integer({ min: -720, max: 840 }),
        (startMs, months, zone) => {
          const { expireMs } = subscriptionPeriod(startMs, { months }, zone)
          expect(expireMs - startMs).toBeGreaterThanOrEqual(months * 28 * DAY_MS)
          expect(expireMs - startMs).toBeLessThanOrEqual(months * 31 * DAY_MS)
          expect((expireMs - startMs) % DAY_MS).toBe(0)
        },
      ),
    )
  })
})

describe('pay-as-you-go', () => {
  it.each([
    ['the live sample', '2023-08-21 16:00:12', '2123-08-22 00:00:00'],
    ['exactly at midnight stays there', '2023-08-21 00:00:00', '2123-08-21 00:00:00'],
    ['a leap day (2124 has one)', '2024-02-29 01:00:00', '2124-03-01 00:00:00'],
    ['2100 has none', '2000-02-29 01:00:00', '2100-03-01 00:00:00'],
  ])('%s', (_, start, expire) => {
    expect(payAsYouGoPeriod(beijing(start), UTC8)).toEqual({
      startMs: beijing(start),
      expireMs: beijing(expire),
      releaseMs: beijing(expire) + 7 * DAY_MS,
    })
  })
})

describe('automatic renewal', () => {
  const current = { expireMs: beijing('2026-03-31 12:00:00'), releaseMs: beijing('2026-04-07 12:00:00') }
  it.each([
    ['not yet nine days before', '2026-03-22 11:59:59', { autoRenew: true, autoRenewPeriod: 1 }, null],
    ['nine days before', '2026-03-22 12:00:00', { autoRenew: true, autoRenewPeriod: 1 }, '2026-04-30 12:00:00'],
    ['by three months', '2026-03-31 12:00:00', { autoRenew: true, autoRenewPeriod: 3 }, '2026-06-30 12:00:00'],
    [
      'after the expiry, before the release',
      '2026-04-07 11:59:59',
      { autoRenew: true, autoRenewPeriod: 1 },
      '2026-04-30 12:00:00',
    ],
    ['too late', '2026-04-07 12:00:00', { autoRenew: true, autoRenewPeriod: 1 }, null],
    ['switched off', '2026-03-31 12:00:00', { autoRenew: false }, null],
    ['pay-as-you-go', '2026-03-31 12:00:00', {}, null],
  ] as const)('%s', (_, at, billing, expire) => {
    const renewed = automaticRenewal(current, billing, beijing(at), UTC8)
    expect(renewed?.expireMs ?? null).toBe(expire === null ? null : beijing(expire))
    if (renewed !== null) expect(renewed.releaseMs).toBe(renewed.expireMs + 7 * DAY_MS)
  })
})
