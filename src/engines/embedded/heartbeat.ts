/**
 * Tells a process that hangs from one that is busy: it is asked something small every second and must
 * answer within a number of beats. A beat counts against it only when this side was awake to hear the
 * answer, so after a sleep, in a paused container or in a server that was itself delayed no process is ended;
 * on a machine under load the beats come late, and the process gets as much longer.
 *
 * One question is open at a time. The supervisor decides what follows from missing answers.
 */
import type { Cancel, Clock } from '../../world/world.ts'

export const beatMs = 1_000
/** A beat that comes later than this was held up on this side: what it says of the other is not known. */
export const ownPauseMs = 2 * beatMs

export interface HeartOptions {
  readonly clock: Clock
  /** Resolves when the process answered. One that rejects says nothing, and is asked again. */
  readonly ask: () => Promise<unknown>
  /** Called at each beat without an answer with how many those are in a row, and with 0 when it answers after all. */
  readonly onBeats: (unanswered: number) => void
}

/** Listens until the answer is called. */
export function listenToHeart({ clock, ask, onBeats }: HeartOptions): Cancel {
  let unanswered = 0
  let asking = false
  let stopped = false
  let told = false
  let lastMs = clock.monotonic()
  let cancel = clock.after(beatMs, beat)

  function beat(): void {
    const nowMs = clock.monotonic()
    if (nowMs - lastMs > ownPauseMs) unanswered = 0
    else if (asking) unanswered += 1
    lastMs = nowMs
    cancel = clock.after(beatMs, beat)
    if (!asking) question()
    else if (unanswered > 0) {
      told = true
      onBeats(unanswered)
    }
  }

  function question(): void {
    asking = true
    void ask().then(
      () => {
        asking = false
        unanswered = 0
        if (stopped || !told) return
        told = false
        onBeats(0)
      },
      () => {
        asking = false
      },
    )
  }

  return () => {
    stopped = true
    cancel()
  }
}
