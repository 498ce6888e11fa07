import { mkdtempSync, rmSync, stat } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { EventLoopTurns, SLICE_MS, TURN_MS, TurnBudget } from './turn-budget.ts'

/** Time moves only when work says so; turns are counted. */
function simulated() {
  let now = 0
  let turns = 0
  const loop = new EventLoopTurns({
    monotonic: () => now,
    nextTurn: () =>
      new Promise((resolve) =>
        setImmediate(() => {
          turns++
          resolve()
        }),
      ),
  })
  const budget = new TurnBudget(loop)
  /** Portions of so many milliseconds; answers what each turn held of it. */
  const work = async (portions: number, ms: number, perTurn: Map<number, number>, of = budget) => {
    for (let i = 0; i < portions; i++) {
      if (of.isSpent) await of.pause()
      now += ms
      perTurn.set(turns, (perTurn.get(turns) ?? 0) + ms)
    }
  }
  return { budget, work, instance: () => new TurnBudget(loop), turn: () => turns, now: () => now }
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

  it('gives each instance a part of every turn, however much another one wants', async () => {
    const { work, instance, now } = simulated()
    const [busy, other] = [instance(), instance()]
    const perTurn = new Map<number, number>()
    let isDone = false
    const busyWork = Promise.all(
      Array.from({ length: 200 }, async () => {
        while (!isDone) await work(1, 1, perTurn, busy)
      }),
    )
    const steps: number[] = []
    for (let i = 0; i < 50; i++) {
      await work(1, 1, perTurn, other)
      steps.push(now())
    }
    isDone = true
    await busyWork
    const waited = steps.slice(1).map((at, i) => at - steps[i]! - 1)
    expect(Math.max(...waited)).toBeLessThanOrEqual(SLICE_MS)
    expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(TURN_MS + 1)
  })

  it('lets every one of many instances go on before one of them goes on again', async () => {
    const { work, instance } = simulated()
    const order: number[] = []
    await Promise.all(
      Array.from({ length: 30 }, async (_, name) => {
        const budget = instance()
        for (let i = 0; i < 3; i++) {
          await work(SLICE_MS, 1, new Map(), budget)
          order.push(name)
        }
      }),
    )
    for (let from = 0; from < 90; from += 30) expect(new Set(order.slice(from, from + 30)).size).toBe(30)
  })

  it.each(['a timer', 'I/O'])('goes on after timers and I/O were looked at, begun by %s', async (begunBy) => {
    let now = 0
    const budget = new TurnBudget(new EventLoopTurns({ monotonic: () => now }))
    const folder = mkdtempSync(join(tmpdir(), 'turns-'))
    const seen: string[] = []
    await new Promise<void>((resolve) => {
      const begin = async () => {
        expect(budget.isSpent).toBe(false)
        now += TURN_MS
        setTimeout(() => seen.push('timer'), 0)
        // Long enough for the timer to be due.
        for (const until = performance.now() + 3; performance.now() < until; );
        await budget.pause()
        seen.push('work')
        resolve()
      }
      if (begunBy === 'a timer') setTimeout(() => void begin(), 0)
      else stat(folder, () => void begin())
    })
    rmSync(folder, { recursive: true })
    expect(seen).toEqual(['timer', 'work'])
  })
})
