/**
 * Runs a kind of world by seeds, in portions of a few so that a thousand are a few dozen tests.
 *
 * A seed that fails prints itself and the line that runs it alone. SIM_SEED=17 runs one, SIM_SEEDS=1000 more of them,
 * SIM_FROM=5000 others, SIM_STEPS=500 longer ones. How many worlds there were, and how many crashes they lived
 * through, is said at the end of the run (test/support/tally.ts).
 */
import { describe, expect, it } from 'vitest'

const PORTION = 20

export interface Life {
  readonly crashes: number
}

declare module 'vitest' {
  interface TaskMeta {
    simulated?: { readonly kind: string; readonly worlds: number; readonly crashes: number }
  }
}

export interface Kind<Outcome extends Life> {
  readonly file: string
  readonly name: string
  /** How many worlds an ordinary run lives through, from which seed on. */
  readonly worlds: number
  readonly from?: number
  readonly steps: number
  readonly simulate: (seed: number, steps: number) => Promise<Outcome>
  /** What a world lives through on average at the least, or it would not be there for anything. */
  readonly atLeast: Partial<Record<keyof Outcome & string, number>>
}

export function worldsOf<Outcome extends Life>(kind: Kind<Outcome>): void {
  const only = process.env['SIM_SEED']
  const from = Number(process.env['SIM_FROM'] ?? only ?? kind.from ?? 1)
  const worlds = only === undefined ? Number(process.env['SIM_SEEDS'] ?? kind.worlds) : 1
  const steps = Number(process.env['SIM_STEPS'] ?? kind.steps)
  const outcomes: Outcome[] = []

  describe(kind.name, () => {
    for (let first = from; first < from + worlds; first += PORTION) {
      const last = Math.min(first + PORTION, from + worlds) - 1
      it(`seeds ${first} to ${last}`, { timeout: 300_000 }, async ({ task }) => {
        const failures: string[] = []
        const lived: Outcome[] = []
        for (let seed = first; seed <= last; seed++)
          await kind.simulate(seed, steps).then(
            (outcome) => lived.push(outcome),
            (error: Error) => failures.push(toldOf(kind.file, seed, steps, error)),
          )
        outcomes.push(...lived)
        const crashes = lived.reduce((sum, outcome) => sum + outcome.crashes, 0)
        task.meta.simulated = { kind: kind.name, worlds: lived.length, crashes }
        if (failures.length > 0) throw new Error(failures.join('\n\n'))
      })
    }

    it.skipIf(worlds < PORTION)('lived through what they are there for', () => {
      for (const [what, least] of Object.entries(kind.atLeast) as [keyof Outcome & string, number][]) {
        const average = outcomes.reduce((sum, outcome) => sum + Number(outcome[what]), 0) / outcomes.length
        expect(average, `${what} a world, of ${outcomes.length}`).toBeGreaterThan(least)
      }
    })
  })
}

function toldOf(file: string, seed: number, steps: number, error: Error): string {
  const again = `SIM_SEED=${seed} SIM_STEPS=${steps} npx vitest run test/simulation/${file}`
  return `Seed ${seed}: ${error.stack ?? error.message}\nAgain: ${again}`
}
