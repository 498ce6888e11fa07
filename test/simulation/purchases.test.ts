/** Seeds against what retention and looking at messages promise. A failing seed: SIM_SEED=17 npx vitest run test/simulation/purchases.test.ts */
import { expect, it } from 'vitest'
import { type PurchasesOutcome, simulatePurchases } from './purchases.ts'

const only = process.env['SIM_SEED']
const count = Number(process.env['SIM_SEEDS'] ?? 40)
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]
const outcomes: PurchasesOutcome[] = []

it.each(seeds)('keeps, shows and gives back as promised with seed %i', async (seed) => {
  try {
    outcomes.push(await simulatePurchases(seed))
  } catch (error) {
    throw new Error(
      `Seed ${seed}: ${(error as Error).message}\nAgain: SIM_SEED=${seed} npx vitest run test/simulation/purchases.test.ts`,
      { cause: error },
    )
  }
})

it.skipIf(only !== undefined)('lived through what it is there for', () => {
  const total = (pick: (outcome: PurchasesOutcome) => number) => outcomes.reduce((sum, one) => sum + pick(one), 0)
  expect(total((one) => one.promised)).toBeGreaterThan(50 * outcomes.length)
  expect(total((one) => one.found)).toBeGreaterThan(100 * outcomes.length)
  expect(total((one) => one.acknowledged)).toBeGreaterThan(outcomes.length)
  expect(total((one) => one.crashes)).toBeGreaterThan(2 * outcomes.length)
})
