import { describe, expect, it } from 'vitest'
import { createBatcher } from './batcher.ts'

describe('createBatcher', () => {
  it('joins what comes while a batch is under way, in order, and answers each its own', async () => {
    const batches: number[][] = []
    const double = createBatcher<number, number>(async (items) => {
      batches.push([...items])
      await null
      return items.map((item) => item * 2)
    }, 3)
    const first = [double(1), double(2)]
    await Promise.resolve()
    const later = [3, 4, 5, 6].map((item) => double(item))
    expect(await Promise.all([...first, ...later])).toEqual([2, 4, 6, 8, 10, 12])
    expect(batches).toEqual([[1, 2], [3, 4, 5], [6]])
    expect(await double(7)).toBe(14)
  })

  it('fails only the item that is bad', async () => {
    const run = createBatcher<number, string>(async (items) => {
      if (items.includes(2)) throw new Error('two')
      return items.map(String)
    }, 10)
    expect(await Promise.allSettled([1, 2, 3].map((item) => run(item)))).toMatchObject([
      { status: 'fulfilled', value: '1' },
      { status: 'rejected', reason: new Error('two') },
      { status: 'fulfilled', value: '3' },
    ])
  })

  it('does not ask item by item when nothing works', async () => {
    let runs = 0
    const run = createBatcher<number, string>(async () => {
      runs += 1
      throw new Error('no disk')
    }, 100)
    const settled = await Promise.allSettled(Array.from({ length: 50 }, (_, item) => run(item)))
    expect(settled.every(({ status }) => status === 'rejected')).toBe(true)
    expect(runs).toBe(3)
  })
})
