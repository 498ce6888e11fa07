/** The two date forms clients sign: ISO 8601 without a fraction (ACS3) and the HTTP date (legacy). Strict, in UTC. */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']

/** `2026-01-02T03:04:05Z` → milliseconds since the epoch; null when it has another form or is no date. */
export function parseIsoDate(text: string): number | null {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/.exec(text)
  if (match === null) return null
  const at = Date.UTC(+match[1]!, +match[2]! - 1, +match[3]!, +match[4]!, +match[5]!, +match[6]!)
  return formatIsoDate(at) === text ? at : null
}

/** `Fri, 02 Jan 2026 03:04:05 GMT`; null when it has another form, is no date or names the wrong weekday. */
export function parseHttpDate(text: string): number | null {
  const match = /^[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/.exec(text)
  if (match === null) return null
  const month = MONTHS.indexOf(match[2]!)
  if (month < 0) return null
  const at = Date.UTC(+match[3]!, month, +match[1]!, +match[4]!, +match[5]!, +match[6]!)
  return formatHttpDate(at) === text ? at : null
}

export function formatIsoDate(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`
}

export function formatHttpDate(at: number): string {
  const date = new Date(at)
  const day = String(date.getUTCDate()).padStart(2, '0')
  const time = date.toISOString().slice(11, 19)
  return `${DAYS[date.getUTCDay()]}, ${day} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()} ${time} GMT`
}
