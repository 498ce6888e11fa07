import { expect, it } from 'vitest'
import { OpenCalls } from './open-calls.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

it('looks at every call again, some in each turn, and at none that has ended meanwhile', async () => {
  const calls = new OpenCalls()
  const seen: number[] = []
  const open = Array.from({ length: 200 }, (_, i) => ({ lookAgain: () => void seen.push(i) }))
  for (const call of open) calls.enter(call)
  calls.changed(7)
  expect(calls.changedAt).toBe(7)
  expect(seen.length).toBeGreaterThan(0)
  expect(seen.length).toBeLessThan(100)
  calls.leave(open[199]!)
  for (let i = 0; i < 10; i++) await turn()
  expect(seen).toEqual(Array.from({ length: 199 }, (_, i) => i))
})
