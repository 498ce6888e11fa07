/**
 * Seeds against the broker's promises. A failing seed prints itself and the line that runs it again:
 *
 *   SIM_SEED=17 npx vitest run test/simulation/broker.test.ts
 *
 * SIM_SEEDS=1000 runs more of them, SIM_STEPS=500 longer ones.
 */
import { describe, expect, it } from 'vitest'
import { type Outcome, simulateBroker } from './broker-simulation.ts'

const only = process.env['SIM_SEED']
const count = Number(process.env['SIM_SEEDS'] ?? 60)
const steps = Number(process.env['SIM_STEPS'] ?? 120)
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]

describe('a broker through kills, power cuts and careless clients', () => {
  const outcomes: Outcome[] = []

  it.each(seeds)('keeps its promises with seed %i', async (seed) => {
    try {
      outcomes.push(await simulateBroker(seed, steps))
    } catch (error) {
      throw new Error(
        `Seed ${seed}: ${(error as Error).message}\nAgain: SIM_SEED=${seed} SIM_STEPS=${steps} npx vitest run test/simulation/broker.test.ts`,
        { cause: error },
      )
    }
  })

  it.skipIf(only !== undefined)('lived through what it is there for', () => {
    const total = (pick: (outcome: Outcome) => number) => outcomes.reduce((sum, outcome) => sum + pick(outcome), 0)
    expect({
      deliveries: total((each) => each.deliveries) > 20 * outcomes.length,
      acknowledged: total((each) => each.acknowledged) > 10 * outcomes.length,
      deadLetters: total((each) => each.deadLetters) > outcomes.length,
      crashes: total((each) => each.crashes) > 2 * outcomes.length,
      replaysCompared: total((each) => each.replaysCompared) > outcomes.length,
      trimmed: total((each) => each.trimmed) > outcomes.length / 2,
    }).toEqual({
      deliveries: true,
      acknowledged: true,
      deadLetters: true,
      crashes: true,
      replaysCompared: true,
      trimmed: true,
    })
  })
})
