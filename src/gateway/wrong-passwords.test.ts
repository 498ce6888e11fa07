import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../world/simulated.ts'
import { WrongPasswords } from './wrong-passwords.ts'

function counted() {
  const clock = new SimulatedClock()
  const told: string[] = []
  const wrong = new WrongPasswords(clock, (sentence) => told.push(sentence))
  const tries = (count: number, address = '10.0.0.1', user = 'user') =>
    Array.from({ length: count }, () => wrong.note(address, user)).filter(Boolean).length
  return { clock, told, wrong, tries }
}

describe('wrong credentials', () => {
  it('of a client with an old password have no consequence', async () => {
    const { clock, told, tries } = counted()
    for (let minute = 0; minute < 10; minute++) {
      expect(tries(20)).toBe(0)
      await clock.advance(60_000)
    }
    expect(told).toEqual([])
  })

  it('beyond that have one, and are told once', async () => {
    const { clock, told, tries } = counted()
    expect(tries(1000)).toBe(980)
    expect(tries(20, '10.0.0.2')).toBe(0)
    await clock.advance(60_000)
    // The same burst, as long as no minute passes with few.
    expect(tries(1000)).toBe(980)
    expect(told).toEqual([
      '20 wrong credentials for user "user" came from 10.0.0.1 within a minute: further ones from there are answered late; right ones are not.',
    ])
    await clock.advance(60_000)
    tries(1)
    await clock.advance(60_000)
    tries(21)
    expect(told).toHaveLength(2)
  })

  it('are counted by account, and by 64 bits of an IPv6 address', () => {
    const { told, tries } = counted()
    expect(tries(20, '10.0.0.1', 'one') + tries(20, '10.0.0.1', 'two')).toBe(0)
    expect(tries(15, '2001:db8::1') + tries(15, '2001:db8::2')).toBe(10)
    expect(told).toHaveLength(1)
  })

  it('are counted by network too, so that a list of names does not help', () => {
    const { tries } = counted()
    const beyond = Array.from({ length: 500 }, (_, n) => tries(1, '10.0.0.1', `user-${n}`)).filter(Boolean)
    expect(beyond).toHaveLength(300)
  })

  it('of one site are counted together, so that its 65,536 subnets do not help', () => {
    const { tries } = counted()
    const beyond = Array.from({ length: 500 }, (_, n) => tries(1, `2001:db8:1:${n.toString(16)}::1`, 'user'))
    expect(beyond.filter(Boolean)).toHaveLength(300)
    expect(tries(1, '2001:db8:2::1')).toBe(0)
  })

  it('cannot fill memory, nor write what they like into the log', () => {
    const { told, tries } = counted()
    for (let n = 0; n < 10_000; n++) tries(1, '10.0.0.1', `user-${n}`)
    tries(21, '10.0.0.1', `\u001b[2J${'x'.repeat(5000)}`)
    expect(told).toHaveLength(2)
    expect(told[0]).toMatch(/^200 wrong credentials for many users came from 10.0.0.1/)
    expect(told[1]).toMatch(/"\\u001b\[2Jx+"/)
    expect(told[1]!.length).toBeLessThan(300)
  })

  it('of many names, each tried often, are told a few times a minute', async () => {
    const { clock, told, tries } = counted()
    for (let n = 0; n < 500; n++) tries(21, `10.${n >> 8}.${n & 255}.1`, `user-${n}`)
    expect(told).toHaveLength(3)
    await clock.advance(60_000)
    for (let n = 500; n < 1000; n++) tries(21, `10.${n >> 8}.${n & 255}.1`, `user-${n}`)
    expect(told).toHaveLength(6)
  })
})
