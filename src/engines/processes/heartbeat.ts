/**
 * Tells a process that hangs from one that is busy. It is asked every second for how long its event loop has not turned, which a
 * thread of its own answers (pulse.ts). A beat without an answer counts against it only when this side was awake to hear one, so after
 * a sleep, in a paused container or in a server that was itself delayed no process is ended; on a machine under load the beats
 * come late, and the process gets as much longer.
 *
 * One question is open at a time. The supervisor decides what follows from missing answers.
 */
import type { Cancel, Clock } from '../../world/world.ts'

export const beatMs = 1_000
/** A beat that comes later than this was held up on this side: what it says of the other is not known. */
export const ownPauseMs = 2 * beatMs

export interface Pulse {
  /** Beats in a row that nothing of the process answered. */
  readonly unanswered: number
  /** For how long its event loop has not turned, as the process itself says; 0 while it turns. */
  readonly busyMs: number
}

/** When a process is given up: 0 for never. */
export interface Patience {
  readonly beats: number
  readonly busyMs: number
}

/** A thread that does nothing but answer needs no longer than this, however busy the machine is. */
const unansweredBeats = 10

/** `hangSeconds`: how long an event loop may stand still; 0 for ever. */
export const patienceOf = (hangSeconds: number): Patience => ({
  beats: Math.min(unansweredBeats, Math.round((hangSeconds * 1000) / beatMs)),
  busyMs: hangSeconds * 1000,
})

export const isHung = ({ unanswered, busyMs }: Pulse, patience: Patience): boolean =>
  (patience.beats > 0 && unanswered >= patience.beats) || (patience.busyMs > 0 && busyMs >= patience.busyMs)

export interface HeartOptions {
  readonly clock: Clock
  /** Resolves with `busyMs` when the process answered. One that rejects says nothing, and is asked again. */
  readonly ask: () => Promise<number>
  /** Called at each beat at which not all is well, and once when it is again. */
  readonly onPulse: (pulse: Pulse) => void
}

/** Listens until the answer is called. */
export function listenToHeart({ clock, ask, onPulse }: HeartOptions): Cancel {
  let unanswered = 0
  let asking = false
  let stopped = false
  let isTold = false
  let lastMs = clock.monotonic()
  let cancel = clock.after(beatMs, beat)

  function beat(): void {
    const nowMs = clock.monotonic()
    if (nowMs - lastMs > ownPauseMs) unanswered = 0
    else if (asking) unanswered += 1
    lastMs = nowMs
    cancel = clock.after(beatMs, beat)
    if (!asking) question()
    else if (unanswered > 0) tell({ unanswered, busyMs: 0 })
  }

  function question(): void {
    asking = true
    void ask().then(
      (busyMs) => {
        asking = false
        unanswered = 0
        if (!stopped) tell({ unanswered, busyMs })
      },
      () => {
        asking = false
      },
    )
  }

  function tell(pulse: Pulse): void {
    const isWell = pulse.unanswered === 0 && pulse.busyMs === 0
    if (isWell && !isTold) return
    isTold = !isWell
    onPulse(pulse)
  }

  return () => {
    stopped = true
    cancel()
  }
}
