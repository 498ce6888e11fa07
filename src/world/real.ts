/**
 * The machine's own clock and randomness: the only file that reads them.
 *
 * Timers never keep the process alive; whoever must stay up owns a socket.
 */
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import { createRealDisk } from './real-disk.ts'
import type { Clock, Random, World } from './world.ts'

export function realWorld(): World {
  return { clock: realClock, random: realRandom, disk: createRealDisk() }
}

/** Node's timers overflow above this; longer delays are walked in steps. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, task) {
    let remaining = Math.max(0, delayMs)
    let timer: NodeJS.Timeout
    const step = (): void => {
      const next = Math.min(remaining, LONGEST_TIMER_MS)
      remaining -= next
      timer = setTimeout(remaining > 0 ? step : task, next)
      timer.unref()
    }
    step()
    return () => clearTimeout(timer)
  },
}

export const realRandom: Random = {
  bytes: (count) => randomBytes(count),
  below: (bound) => randomInt(bound),
  uuid: () => randomUUID().toUpperCase(),
}

/** Waits; unlike the clock's timers this keeps the process alive. For commands that have nothing else to do meanwhile. */
export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
