/**
 * Date texts of the API: `YYYY-MM-DD HH:mm:ss` without a zone. The vendor does not state the zone;
 * `settings.timeZoneOffsetMinutes` decides it (UTC+8 by default).
 */
export function dateText(ms: number, zoneMinutes: number): string {
  return new Date(ms + zoneMinutes * 60_000).toISOString().slice(0, 19).replace('T', ' ')
}
