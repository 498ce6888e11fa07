/** Protobuf durations as milliseconds; a missing one is 0, and hostile numbers stay finite. */
export function durationMs(duration: { readonly seconds: number; readonly nanos: number } | null): number {
  if (duration === null) return 0
  const ms = duration.seconds * 1000 + Math.floor(duration.nanos / 1_000_000)
  return Number.isFinite(ms) ? ms : Number.MAX_SAFE_INTEGER
}
