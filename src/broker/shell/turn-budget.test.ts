import { describe, expect, it } from 'vitest'
import { TURN_MS, TurnBudget } from './turn-budget.ts'

/** Time moves only when work says so; turns are counted. */
function simulated() {
  let now = 0
  let turns = 0
  const budget = new TurnBudget({
    monotonic: () => now,
    nextTurn: () =>
      new Promise((resolve) =>
        setImmediate(() => {
          turns++
          resolve()
        }),
      ),
  })
  /** Portions of so many milliseconds; answers what each turn held of it. */
  const work = async (portions: number, ms: number, perTurn: Map<number, number>) => {
    for (let i = 0; i < portions; i++) {
      if (budget.isSpent) await budget.pause()
      now += ms
      perTurn.set(turns, (perTurn.get(turns) ?? 0) + ms)
    }
  }
  return { budget, work }
}

describe('the turn budget', () => {
  it('lets short work pass in one turn', async () => {
    const { budget, work } = simulated()
    const perTurn = new Map<number, number>()
    expect(budget.isSpent).toBe(false)
    await work(7, 1, perTurn)
    expect([...perTurn.values()]).toEqual([7])
  })

  it('gives long work so much of each turn', async () => {
    const { work } = simulated()
    const perTurn = new Map<number, number>()
    await work(100, 1, perTurn)
    expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(TURN_MS)
    expect(perTurn.size).toBe(Math.ceil(100 / TURN_MS))
  })

  it('bounds the turn, however many work at once, and gives each its part', async () => {
    const { work } = simulated()
    const perTurn = new Map<number, number>()
    const order: number[] = []
    const one = async (name: number) => {
      for (let i = 0; i < 3; i++) {
        await work(20, 1, perTurn)
        order.push(name)
      }
    }
    await Promise.all(Array.from({ length: 50 }, (_, i) => one(i)))
    // One portion beyond the budget for each turn at most.
    expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(TURN_MS + 1)
    expect(new Set(order.slice(0, 50)).size).toBe(50)
  })
})
