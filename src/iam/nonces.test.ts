import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { DATE_WINDOW_MS, memoryNonces, NonceMemory } from './nonces.ts'

const T = Date.UTC(2026, 0, 2, 3, 4, 5)

const usedBy =
  (memory: NonceMemory, owner = 'o') =>
  (nonce: string, dateMs: number, now: number, accessKeyId = 'ak'): string => {
    const found = memory.use({ owner, accessKeyId, nonce, dateMs, now })
    return typeof found === 'string' ? found : 'used'
  }

function gc(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

describe('the memory of nonces', () => {
  it('knows a nonce as long as its date would be accepted, early and late clocks included', () => {
    for (const skew of [-DATE_WINDOW_MS, 0, DATE_WINDOW_MS]) {
      const use = usedBy(new NonceMemory())
      const date = T + skew
      expect(use('k', date, T)).toBe('fresh')
      expect(use('k', date, T)).toBe('used')
      expect(use('k', T, T)).toBe('used')
      expect(use('k', date, date + DATE_WINDOW_MS)).toBe('used')
      expect(use('k', date + DATE_WINDOW_MS, date + DATE_WINDOW_MS + 20_000)).toBe('fresh')
    }
  })

  it('says how long ago a nonce was used', async () => {
    const nonces = memoryNonces()
    const use = { owner: 'o', accessKeyId: 'ak', nonce: 'n', dateMs: T }
    expect((await nonces.use({ ...use, now: T })).kind).toBe('fresh')
    expect(await nonces.use({ ...use, now: T + 7_000 })).toEqual({ kind: 'used', agoMs: 7_000 })
  })

  it('takes the same nonce of another key', () => {
    const use = usedBy(new NonceMemory())
    expect([use('n', T, T, 'a'), use('n', T, T, 'b')]).toEqual(['fresh', 'fresh'])
  })

  it('keeps nothing of the request that a nonce was cut out of', () => {
    const memory = new NonceMemory()
    const use = usedBy(memory)
    const collect = gc()
    collect()
    const held = () => process.memoryUsage().heapUsed + process.memoryUsage().external
    const before = held()
    for (let i = 0; i < 64; i++) {
      const body = `SignatureNonce=${String(i).padStart(32, 'n')}&Padding=${'x'.repeat(2 ** 20)}`
      // As a query is parsed: a slice of the body.
      expect(use(Buffer.from(body).toString('latin1').slice(15, 47), T, T)).toBe('fresh')
    }
    collect()
    expect(held() - before).toBeLessThan(16 * 2 ** 20)
  })

  it('forgets in time: an hour of steady traffic takes the space of fifteen minutes', () => {
    const memory = new NonceMemory()
    const use = usedBy(memory)
    for (let second = 0; second < 3_600; second++) use(`k${second}`, T + second * 1_000, T + second * 1_000)
    expect(memory.size).toBeLessThan(15 * 60 + 30)
  })

  it('when full, refuses old dates of the owner and never lets a replay through', () => {
    const memory = new NonceMemory({ capacity: 100 })
    const use = usedBy(memory)
    const taken: [string, number][] = []
    for (let i = 0; i < 1_000; i++) {
      const date = T + i * 500
      expect(use(`k${i}`, date, T + i * 500)).toBe('fresh')
      taken.push([`k${i}`, date])
      expect(memory.size).toBeLessThanOrEqual(100)
    }
    for (const [key, date] of taken) expect(use(key, date, T + 500_000)).not.toBe('fresh')
    expect(use('new but old', T, T + 500_000)).toBe('stale')
    expect(use('new', T + 500_000, T + 500_000)).toBe('fresh')
  })

  it('lets who holds the most forget: a crowd of nonces dated ahead makes nobody else look expired', () => {
    const memory = new NonceMemory({ capacity: 1_000 })
    const crowd = usedBy(memory, 'crowd')
    const other = usedBy(memory, 'other')
    expect(other('before', T, T)).toBe('fresh')
    for (let i = 0; i < 5_000; i++) crowd(`c${i}`, T + DATE_WINDOW_MS - i, T + i)
    expect(memory.size).toBeLessThanOrEqual(1_000)
    for (let i = 0; i < 300; i++) expect(other(`n${i}`, T + 5_000, T + 5_000)).toBe('fresh')
    expect(other('before', T, T + 5_000)).toBe('used')
    expect(crowd('now', T + 5_000, T + 5_000)).toBe('stale')
    expect(crowd('c0', T + DATE_WINDOW_MS, T + 5_000)).not.toBe('fresh')
  })

  it('forgets owners who have nothing left', () => {
    const memory = new NonceMemory({ capacity: 50 })
    for (let i = 0; i < 200; i++) usedBy(memory, `owner ${i}`)('n', T, T)
    usedBy(memory, 'last')('n', T + 2 * DATE_WINDOW_MS, T + 2 * DATE_WINDOW_MS)
    expect(memory.size).toBe(1)
  })
})
