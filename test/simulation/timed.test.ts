/**
 * Seeds against the promises of timed messages. A failing seed prints itself and the line that runs it again:
 *
 *   SIM_SEED=17 npx vitest run test/simulation/timed.test.ts
 *
 * SIM_SEEDS=1000 runs more of them, SIM_STEPS=500 longer ones.
 */
import { describe, expect, it } from 'vitest'
import { simulateTimed, type TimedOutcome } from './timed.ts'

const only = process.env['SIM_SEED']
const count = Number(process.env['SIM_SEEDS'] ?? 40)
const steps = Number(process.env['SIM_STEPS'] ?? 80)
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]

describe('timed messages through kills, power cuts, full disks and clocks that are set', () => {
  const outcomes: TimedOutcome[] = []

  it.each(seeds)('come as promised with seed %i', async (seed) => {
    try {
      outcomes.push(await simulateTimed(seed, steps))
    } catch (error) {
      throw new Error(
        `Seed ${seed}: ${(error as Error).message}\nAgain: SIM_SEED=${seed} SIM_STEPS=${steps} npx vitest run test/simulation/timed.test.ts`,
        { cause: error },
      )
    }
  })

  it.skipIf(only !== undefined)('lived through what they are there for', () => {
    const total = (pick: (outcome: TimedOutcome) => number) => outcomes.reduce((sum, outcome) => sum + pick(outcome), 0)
    expect({
      waited: total((each) => each.waited) > 40 * outcomes.length,
      recalled: total((each) => each.recalled) > 2 * outcomes.length,
      refusedAsLate: total((each) => each.refusedAsLate) > outcomes.length,
      crashes: total((each) => each.crashes) > 2 * outcomes.length,
      replaysCompared: total((each) => each.replaysCompared) > 2 * outcomes.length,
      moved: total((each) => each.moved) > 2 * outcomes.length,
    }).toEqual({
      waited: true,
      recalled: true,
      refusedAsLate: true,
      crashes: true,
      replaysCompared: true,
      moved: true,
    })
  })
})
