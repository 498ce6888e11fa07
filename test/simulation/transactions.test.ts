/**
 * Seeds against the promises of transactions. A failing seed prints itself and the line that runs it again:
 *
 *   SIM_SEED=17 npx vitest run test/simulation/transactions.test.ts
 *
 * SIM_SEEDS=1000 runs more of them, SIM_STEPS=500 longer ones.
 */
import { describe, expect, it } from 'vitest'
import { simulateTransactions, type TransactionsOutcome } from './transactions.ts'

const only = process.env['SIM_SEED']
const count = Number(process.env['SIM_SEEDS'] ?? 60)
const steps = Number(process.env['SIM_STEPS'] ?? 80)
const seeds = only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)]

describe('transactions through kills, power cuts, careless producers and late decisions', () => {
  const outcomes: TransactionsOutcome[] = []

  it.each(seeds)('keep their promises with seed %i', async (seed) => {
    try {
      outcomes.push(await simulateTransactions(seed, steps))
    } catch (error) {
      throw new Error(
        `Seed ${seed}: ${(error as Error).message}\nAgain: SIM_SEED=${seed} SIM_STEPS=${steps} npx vitest run test/simulation/transactions.test.ts`,
        { cause: error },
      )
    }
  })

  it.skipIf(only !== undefined)('live through what the world is there for', () => {
    const total = (pick: (outcome: TransactionsOutcome) => number) =>
      outcomes.reduce((sum, outcome) => sum + pick(outcome), 0) / outcomes.length
    const averages = {
      sent: total((each) => each.sent),
      committed: total((each) => each.committed),
      rolledBack: total((each) => each.rolledBack),
      expired: total((each) => each.expired),
      late: total((each) => each.late),
      checks: total((each) => each.checks),
      crashes: total((each) => each.crashes),
      delivered: total((each) => each.delivered),
      replaysCompared: total((each) => each.replaysCompared),
    }
    const atLeast = { sent: 30, committed: 8, rolledBack: 3, expired: 0.01, late: 2, checks: 30, crashes: 3 }
    for (const [what, least] of Object.entries({ ...atLeast, delivered: 8, replaysCompared: 3 }))
      expect(averages[what as keyof typeof averages], `${what} in ${JSON.stringify(averages)}`).toBeGreaterThan(least)
  })
})
