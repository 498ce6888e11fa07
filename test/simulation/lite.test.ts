/**
 * Seeds against what lite topics promise. A failing seed prints itself and the line that runs it again:
 *
 *   SIM_SEED=17 npx vitest run test/simulation/lite.test.ts
 *
 * SIM_SEEDS=1000 runs more of them, SIM_STEPS=500 longer ones.
 */
import { describe, expect, it } from 'vitest'
import { type LiteOutcome, simulateLite } from './lite.ts'

const only = process.env['SIM_SEED']
const count = Number(process.env['SIM_SEEDS'] ?? 60)
const steps = Number(process.env['SIM_STEPS'] ?? 150)
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]

describe('lite topics through kills, power cuts, expiry and clients that come and go', () => {
  const outcomes: LiteOutcome[] = []

  it.each(seeds)('keep their promises with seed %i', async (seed) => {
    try {
      outcomes.push(await simulateLite(seed, steps))
    } catch (error) {
      throw new Error(
        `Seed ${seed}: ${(error as Error).message}\nAgain: SIM_SEED=${seed} SIM_STEPS=${steps} npx vitest run test/simulation/lite.test.ts`,
        { cause: error },
      )
    }
  })

  it.skipIf(only !== undefined)('lived through what it is there for', () => {
    const mean = (pick: (outcome: LiteOutcome) => number) =>
      outcomes.reduce((sum, each) => sum + pick(each), 0) / outcomes.length
    const means = {
      deliveries: mean((each) => each.deliveries),
      again: mean((each) => each.again),
      acknowledged: mean((each) => each.acknowledged),
      deadLetters: mean((each) => each.deadLetters),
      suspended: mean((each) => each.suspended),
      evictions: mean((each) => each.evictions),
      expired: mean((each) => each.expired),
      crashes: mean((each) => each.crashes),
      answersLost: mean((each) => each.answersLost),
      replaysCompared: mean((each) => each.replaysCompared),
      reached: mean((each) => each.reached),
      trimmed: mean((each) => each.trimmed),
    }
    const least = {
      deliveries: 40,
      again: 5,
      acknowledged: 20,
      deadLetters: 0.5,
      suspended: 0.5,
      evictions: 1,
      expired: 0.5,
      crashes: 2,
      answersLost: 0.5,
      replaysCompared: 2,
      reached: 20,
      trimmed: 0.1,
    }
    expect(
      Object.entries(least).filter(([name, most]) => means[name as keyof typeof means] < most),
      JSON.stringify(means),
    ).toEqual([])
  })
})
