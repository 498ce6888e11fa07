/**
 * Date texts of the API: `YYYY-MM-DD HH:mm:ss` without a zone. The vendor does not state the zone;
 * `settings.timeZoneOffsetMinutes` decides it (UTC+8 by default).
 */
export function dateText(ms: number, zoneMinutes: number): string {
  return new Date(ms + zoneMinutes * 60_000).toISOString().slice(0, 19).replace('T', ' ')
}

/** The moment such a text names; null for a date that the calendar does not have. */
export function readDateText(text: string, zoneMinutes: number): number | null {
  const ms = Date.parse(`${text.replace(' ', 'T')}Z`) - zoneMinutes * 60_000
  return Number.isFinite(ms) && dateText(ms, zoneMinutes) === text ? ms : null
}
