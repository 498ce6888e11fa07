/** The thread that answers heartbeats is restarted when it ends. */
import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../../world/simulated.ts'
import { firstAgainMs, keepPulse, lastAgainMs } from './pulse-keeper.ts'

function subject() {
  const clock = new SimulatedClock()
  const threads: EventEmitter[] = []
  const reports: string[] = []
  let turns = 0
  const listening = keepPulse({
    clock,
    start() {
      threads.push(new EventEmitter())
      return threads.at(-1)!
    },
    turned: () => void turns++,
    report: (error) => reports.push((error as Error).message),
  })
  const end = () => {
    threads.at(-1)!.emit('error', new Error('out of memory'))
    threads.at(-1)!.emit('exit', 1)
  }
  return { clock, threads, reports, listening, end, turns: () => turns }
}

describe('the thread that answers for a process', () => {
  it('is followed by another one, which is heard', async () => {
    const { clock, threads, reports, listening, end, turns } = subject()
    threads[0]!.emit('message')
    await listening
    end()
    expect(reports).toEqual([
      'out of memory',
      'The thread that answers for this process ended with code 1; it is started again in 100 ms.',
    ])
    await clock.advance(firstAgainMs)
    expect(threads).toHaveLength(2)
    threads[1]!.emit('message')
    expect(turns()).toBe(2)
  })

  it('is tried less and less often when it ends at once, and nobody waits for it', async () => {
    const { clock, threads, listening, end } = subject()
    const pauses: number[] = []
    for (let ends = 0; ends < 9; ends++) {
      end()
      await listening
      const before = threads.length
      let waitedMs = 0
      for (; threads.length === before; waitedMs += firstAgainMs) await clock.advance(firstAgainMs)
      pauses.push(waitedMs)
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, lastAgainMs, lastAgainMs])
    await clock.advance(60_000)
    end()
    await clock.advance(firstAgainMs)
    expect(threads).toHaveLength(11)
  })
})
