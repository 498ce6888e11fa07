import { describe, expect, it } from 'vitest'
import { ApiError } from '../catalogue/errors.ts'
import { SimulatedClock } from '../world/simulated.ts'
import { createThrottle } from './throttle.ts'

function wait(take: () => void): number {
  try {
    take()
    return 0
  } catch (error) {
    if (error instanceof ApiError && error.code === 'Throttling.User') return error.retryAfterMs!
    throw error
  }
}

describe('throttling', () => {
  it('lets one second of calls through, then tells the wait, then refills', async () => {
    const clock = new SimulatedClock()
    const throttle = createThrottle({ readsPerSecond: 2, writesPerSecond: null }, clock)
    const read = (account = 'a') => wait(() => throttle(account, 'get'))
    expect([read(), read(), read()]).toEqual([0, 0, 500])
    expect(read('b')).toBe(0)
    expect(wait(() => throttle('a', 'create'))).toBe(0)
    await clock.advance(499)
    expect(read()).toBe(1)
    await clock.advance(1)
    expect([read(), read()]).toEqual([0, 500])
    await clock.advance(60_000)
    expect([read(), read(), read()]).toEqual([0, 0, 500])
  })

  it('waits longer than a second for slow rates, and never throttles when off', () => {
    const clock = new SimulatedClock()
    const slow = createThrottle({ readsPerSecond: null, writesPerSecond: 0.5 }, clock)
    expect([wait(() => slow('a', 'delete')), wait(() => slow('a', 'update'))]).toEqual([0, 2_000])
    for (let i = 0; i < 10_000; i++) slow('a', 'list')
  })
})
