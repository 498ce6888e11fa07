/**
 * Keeps the thread of a broker process that says whether the process lives (pulse-thread.ts): it is made anew when it ends,
 * after a pause that doubles up to a limit and falls back once it held for a while. While there is none the process is heard
 * through its main loop alone, so nothing else follows from its end.
 */
import type { Clock } from '../../world/world.ts'

export interface PulseThread {
  /** Each message after the first asks whether this loop turns. */
  on(event: 'message', listener: () => void): unknown
  on(event: 'error', listener: (error: unknown) => void): unknown
  /** The last of a thread's events. */
  on(event: 'exit', listener: (code: number) => void): unknown
}

export interface PulseKeeperOptions {
  readonly clock: Clock
  /** Makes a thread that listens on the socket; what an earlier one left there is gone. */
  start(): PulseThread
  /** The loop of the caller has turned, and the thread asked. */
  turned(): void
  report(error: unknown): void
}

export const firstAgainMs = 100
export const lastAgainMs = 10_000
/** A thread that lived this long is followed by the next one after the first pause. */
const heldMs = 60_000

/** Resolves when the first thread listens, or has ended. */
export function keepPulse({ clock, start, turned, report }: PulseKeeperOptions): Promise<void> {
  let pauseMs = firstAgainMs
  return new Promise((resolve) => {
    begin()

    function begin(): void {
      const startedMs = clock.monotonic()
      const thread = start()
      thread.on('message', () => {
        turned()
        resolve()
      })
      thread.on('error', report)
      thread.on('exit', (code) => {
        if (clock.monotonic() - startedMs >= heldMs) pauseMs = firstAgainMs
        report(
          new Error(
            `The thread that answers for this process ended with code ${code}; it is started again in ${pauseMs} ms.`,
          ),
        )
        resolve()
        clock.after(pauseMs, begin)
        pauseMs = Math.min(lastAgainMs, pauseMs * 2)
      })
    }
  })
}
