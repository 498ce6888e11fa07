/**
 * Date texts of the API, `YYYY-MM-DD HH:mm:ss` in the server's zone and without naming it: read and shown with their
 * zone. Pure.
 */
import { quoted } from './arguments.ts'
import { UsageError } from './errors.ts'

/** `UTC+08:00`, or nothing where the zone is not known. */
export function zoneName(zoneMinutes: number | null): string {
  if (zoneMinutes === null) return ''
  const minutes = Math.abs(zoneMinutes)
  const two = (value: number): string => String(value).padStart(2, '0')
  return `UTC${zoneMinutes < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`
}

/** A title or a text with the zone behind it. */
export const withZone = (text: string, zoneMinutes: number | null): string =>
  zoneMinutes === null || text === '' ? text : `${text} ${zoneName(zoneMinutes)}`

/** `2026-01-31 18:00:00` in the zone of the API's texts, in UTC where that is not known; with `fraction` to the millisecond. */
export function clockText(ms: number, zoneMinutes: number | null, { fraction = false } = {}): string {
  const text = new Date(ms + (zoneMinutes ?? 0) * 60_000).toISOString().replace('T', ' ')
  return text.slice(0, fraction ? -1 : -'.000Z'.length)
}

/** A moment as everything that is meant for people shows it: with its zone behind it. */
export const momentText = (ms: number, zoneMinutes: number | null): string =>
  withZone(clockText(ms, zoneMinutes), zoneMinutes ?? 0)

const apiForm = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/
const isoForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/
const ageForm = /^(\d{1,6})(s|m|h|d)$/
const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/**
 * The API's text for a moment: in its own form, with a zone (`2026-01-31T18:00:00Z`), or as an age (`10m`: ten minutes
 * before `now`). Throws `UsageError` for another text, and for a zone or an age where the server's zone is not known.
 */
export function apiTime(option: string, text: string, zoneMinutes: number | null, now: number): string {
  if (apiForm.test(text)) return text
  const age = ageForm.exec(text)
  const ms =
    age !== null ? now - Number(age[1]) * unitMs[age[2] as 's'] : isoForm.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) {
    throw new UsageError(
      `${option} takes a time such as 10m (ago), 2026-01-31T18:00:00Z, or '2026-01-31 18:00:00' in the server's zone, not ${quoted(text)}.`,
    )
  }
  if (zoneMinutes === null) {
    throw new UsageError(
      `${option} takes '2026-01-31 18:00:00' in the server's zone here: that zone is known through the server's home only.`,
    )
  }
  return new Date(ms + zoneMinutes * 60_000).toISOString().slice(0, 19).replace('T', ' ')
}
