/**
 * Seeds against filters, pulls and resets. A failing seed prints itself and the line that runs it again:
 *
 *   SIM_SEED=17 npx vitest run test/simulation/filters.test.ts
 */
import { describe, expect, it } from 'vitest'
import { type FilterOutcome, simulateFilters } from './filters.ts'

const only = process.env['SIM_SEED']
const count = Number(process.env['SIM_SEEDS'] ?? 60)
const steps = Number(process.env['SIM_STEPS'] ?? 70)
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]

describe('readers that filter, pull and are moved, through kills and power cuts', () => {
  const outcomes: FilterOutcome[] = []

  it.each(seeds)('get what they should with seed %i', async (seed) => {
    try {
      outcomes.push(await simulateFilters(seed, steps))
    } catch (error) {
      throw new Error(
        `Seed ${seed}: ${(error as Error).message}\nAgain: SIM_SEED=${seed} SIM_STEPS=${steps} npx vitest run test/simulation/filters.test.ts`,
        { cause: error },
      )
    }
  })

  it.skipIf(only !== undefined)('lived through what it is there for', () => {
    const mean = (pick: (outcome: FilterOutcome) => number) =>
      outcomes.reduce((sum, outcome) => sum + pick(outcome), 0) / outcomes.length
    expect({
      deliveries: mean((each) => each.deliveries) > 50,
      pulled: mean((each) => each.pulled) > 20,
      resets: mean((each) => each.resets) > 2,
      repeated: mean((each) => each.repeated) > 0.3,
      crashes: mean((each) => each.crashes) > 2,
      replaysCompared: mean((each) => each.replaysCompared) > 2,
    }).toEqual({ deliveries: true, pulled: true, resets: true, repeated: true, crashes: true, replaysCompared: true })
  })
})
