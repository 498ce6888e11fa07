import { describe, expect, it } from 'vitest'
import { DATE_WINDOW_MS, NonceMemory } from './nonces.ts'

const T = Date.UTC(2026, 0, 2, 3, 4, 5)

describe('the memory of nonces', () => {
  it('knows a nonce as long as its date would be accepted, early and late clocks included', () => {
    for (const skew of [-DATE_WINDOW_MS, 0, DATE_WINDOW_MS]) {
      const memory = new NonceMemory()
      const date = T + skew
      expect(memory.use('k', date, T)).toBe('fresh')
      expect(memory.use('k', date, T)).toBe('used')
      expect(memory.use('k', T, T)).toBe('used')
      expect(memory.use('k', date, date + DATE_WINDOW_MS)).toBe('used')
      expect(memory.use('k', date + DATE_WINDOW_MS, date + DATE_WINDOW_MS + 10_000)).toBe('fresh')
    }
  })

  it('takes the same nonce of another key', () => {
    const memory = new NonceMemory()
    expect([memory.use('a\nn', T, T), memory.use('b\nn', T, T)]).toEqual(['fresh', 'fresh'])
  })

  it('forgets in time: an hour of steady traffic takes the space of fifteen minutes', () => {
    const memory = new NonceMemory()
    for (let second = 0; second < 3_600; second++) memory.use(`k${second}`, T + second * 1_000, T + second * 1_000)
    expect(memory.size).toBeLessThan(15 * 60 + 20)
  })

  it('when full, refuses old dates and never lets a replay through', () => {
    const memory = new NonceMemory({ capacity: 100 })
    const taken: [string, number][] = []
    for (let i = 0; i < 1_000; i++) {
      const date = T + i * 500
      expect(memory.use(`k${i}`, date, T + i * 500)).toBe('fresh')
      taken.push([`k${i}`, date])
      expect(memory.size).toBeLessThanOrEqual(100)
    }
    for (const [key, date] of taken) expect(memory.use(key, date, T + 500_000)).not.toBe('fresh')
    expect(memory.use('new but old', T, T + 500_000)).toBe('stale')
    expect(memory.use('new', T + 500_000, T + 500_000)).toBe('fresh')
  })
})
