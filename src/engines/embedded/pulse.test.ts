/**
 * How long the event loop has stood still, as measured by the thread: time in which the whole process was suspended
 * does not count.
 */
import { expect, it } from 'vitest'
import { SimulatedClock } from '../../world/simulated.ts'
import { beatMs, ownPauseMs } from '../processes/heartbeat.ts'
import { LoopWatch } from './pulse.ts'

function bench() {
  const clock = new SimulatedClock()
  let turns = 0
  let nudges = 0
  const watch = new LoopWatch({ nudge: () => nudges++, turns: () => turns }, clock)
  return {
    nudges: () => nudges,
    turn() {
      turns = (turns + 1) | 0
    },
    async ask(afterMs: number): Promise<number> {
      await clock.advance(afterMs)
      return watch.busyMs()
    },
  }
}

it('is 0 while the loop turns, and nudges it once a question', async () => {
  const b = bench()
  for (let beat = 0; beat < 5; beat++) {
    expect(await b.ask(beatMs)).toBe(0)
    b.turn()
  }
  expect(b.nudges()).toBe(5)
})

it('grows while it does not, without further nudges, and is 0 again once it has', async () => {
  const b = bench()
  expect(await b.ask(beatMs)).toBe(0)
  expect([await b.ask(beatMs), await b.ask(beatMs), await b.ask(500)]).toEqual([1_000, 2_000, 2_500])
  expect(b.nudges()).toBe(1)
  b.turn()
  expect(await b.ask(beatMs)).toBe(0)
  b.turn()
  expect(await b.ask(beatMs)).toBe(0)
})

it('counts little of a time in which nobody asked: the whole process may have been frozen', async () => {
  const b = bench()
  await b.ask(beatMs)
  expect(await b.ask(3_600_000)).toBe(ownPauseMs)
})
