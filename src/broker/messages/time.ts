/** Times and durations as protobuf writes them, to and from milliseconds. */
interface SecondsAndNanos {
  readonly seconds: number
  readonly nanos: number
}

export function secondsAndNanos(ms: number): SecondsAndNanos {
  const seconds = Math.floor(ms / 1000)
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1_000_000) }
}

/** The whole millisecond in which the time lies. */
export const millisecondsOf = ({ seconds, nanos }: SecondsAndNanos): number =>
  seconds * 1000 + Math.floor(nanos / 1_000_000)

/** The first whole millisecond that is not before the time. */
export const millisecondsFrom = ({ seconds, nanos }: SecondsAndNanos): number =>
  seconds * 1000 + Math.ceil(nanos / 1_000_000)

/** A missing duration is 0, and hostile numbers stay finite. */
export function durationMs(duration: SecondsAndNanos | null): number {
  if (duration === null) return 0
  const ms = millisecondsOf(duration)
  return Number.isFinite(ms) ? ms : Number.MAX_SAFE_INTEGER
}
