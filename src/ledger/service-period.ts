/**
 * From when until when an instance is paid for, as real calendar arithmetic in the vendor's zone.
 *
 * Pure: times come in as milliseconds since the epoch and the zone as minutes east of UTC, fixed (the
 * vendor's zone knows no daylight saving). Figures: product-facts §6.2.
 */

export interface ServicePeriod {
  readonly startMs: number
  readonly expireMs: number
  /** Seven days after expiry: until then the data is kept and the instance can be renewed. */
  readonly releaseMs: number
}

export interface Term {
  readonly months: number
}

/** What `billing_json` holds: a subscription's purchase, or nothing for pay-as-you-go. */
export interface Billing {
  readonly period?: number
  readonly periodUnit?: 'Month' | 'Year'
  readonly autoRenew?: boolean
  /** Only with `autoRenew`; months unless the unit says years. */
  readonly autoRenewPeriod?: number
  /** Set by the billing API only (SetRenewal); CreateInstance knows months. */
  readonly autoRenewPeriodUnit?: 'Month' | 'Year'
}

const DAY_MS = 86_400_000
const KEPT_AFTER_EXPIRY_MS = 7 * DAY_MS
/** The vendor first tries to renew nine days before the expiry (product-facts §6.2). */
export const RENEWED_BEFORE_EXPIRY_MS = 9 * DAY_MS
const PAY_AS_YOU_GO_YEARS = 100

/** A subscription ends at the same time of day, so many calendar months later; the 31st becomes the month's last day. */
export function subscriptionPeriod(startMs: number, term: Term, zoneMinutes: number): ServicePeriod {
  return periodEnding(startMs, addMonths(startMs, term.months, zoneMinutes))
}

/** Pay-as-you-go ends on the midnight that follows the hundredth anniversary (a live answer shows this). */
export function payAsYouGoPeriod(startMs: number, zoneMinutes: number): ServicePeriod {
  return periodEnding(startMs, midnightFrom(addMonths(startMs, PAY_AS_YOU_GO_YEARS * 12, zoneMinutes), zoneMinutes))
}

export const monthsOf = (period: number, unit: 'Month' | 'Year'): number => (unit === 'Year' ? period * 12 : period)

/**
 * Expiry and release after automatic renewal, or null when nothing is due at `at`. Renewal costs nothing
 * here, so the first try succeeds; after a long stop of the server several terms may be due at once. An
 * instance whose release time has passed is gone and is not brought back.
 */
export function automaticRenewal(
  current: { readonly expireMs: number; readonly releaseMs: number },
  billing: Billing,
  at: number,
  zoneMinutes: number,
): { expireMs: number; releaseMs: number } | null {
  if (billing.autoRenew !== true || at >= current.releaseMs) return null
  const months = monthsOf(billing.autoRenewPeriod ?? 1, billing.autoRenewPeriodUnit ?? 'Month')
  let expireMs = current.expireMs
  while (at >= expireMs - RENEWED_BEFORE_EXPIRY_MS) expireMs = addMonths(expireMs, months, zoneMinutes)
  return expireMs === current.expireMs ? null : { expireMs, releaseMs: expireMs + KEPT_AFTER_EXPIRY_MS }
}

function periodEnding(startMs: number, expireMs: number): ServicePeriod {
  return { startMs, expireMs, releaseMs: expireMs + KEPT_AFTER_EXPIRY_MS }
}

function addMonths(atMs: number, months: number, zoneMinutes: number): number {
  // The zone is a fixed offset, so UTC arithmetic on the shifted instant is the zone's calendar.
  const local = new Date(atMs + zoneMinutes * 60_000)
  const monthIndex = local.getUTCFullYear() * 12 + local.getUTCMonth() + months
  const year = Math.floor(monthIndex / 12)
  const month = monthIndex % 12
  const day = Math.min(local.getUTCDate(), lastDayOf(year, month))
  const timeOfDayMs = (atMs + zoneMinutes * 60_000) % DAY_MS
  return Date.UTC(year, month, day) + timeOfDayMs - zoneMinutes * 60_000
}

const lastDayOf = (year: number, month: number): number => new Date(Date.UTC(year, month + 1, 0)).getUTCDate()

/** The first midnight of the zone that is not before `atMs`. */
function midnightFrom(atMs: number, zoneMinutes: number): number {
  const localMs = atMs + zoneMinutes * 60_000
  return Math.ceil(localMs / DAY_MS) * DAY_MS - zoneMinutes * 60_000
}
