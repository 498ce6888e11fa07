/** A wait for another process that has an end. */
import { EngineError } from '../../model/refusals.ts'
import type { Clock } from '../../world/world.ts'

/** The work, or after `limitMs` a rejection as `unavailable` with the sentence; the work itself goes on. */
export function within<T>(clock: Clock, limitMs: number, work: Promise<T>, sentence: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(limitMs, () => reject(new EngineError('unavailable', sentence)))
    work.then(resolve, reject).finally(cancel)
  })
}
