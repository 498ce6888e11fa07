/** Which settings of clients are kept, and which are dropped at the bound. */
import { expect, it } from 'vitest'
import { KeptSettings } from './kept-settings.ts'

const withTopics = (count: number, prefix = 'topic'): Uint8Array =>
  Buffer.from(Array.from({ length: count }, (_, i) => `${prefix}-${i}`).join('\n'))
const topicsOf = (settings: Uint8Array | null) => settings && Buffer.from(settings).toString().split('\n').length

it('gives back what a stream said last, until it ends', () => {
  const kept = new KeptSettings()
  const [one, two] = [{}, {}]
  kept.keep(one, withTopics(3))
  kept.keep(one, withTopics(500))
  kept.keep(two, withTopics(2))
  expect([topicsOf(kept.of(one)), topicsOf(kept.of(two))]).toEqual([500, 2])
  kept.keep(one, withTopics(4))
  expect(topicsOf(kept.of(one))).toBe(4)
  kept.forget(one)
  expect([kept.of(one), topicsOf(kept.of(two))]).toEqual([null, 2])
})

it('lets the largest give way beyond the bound, and nobody else', () => {
  const kept = new KeptSettings()
  const honest = Array.from({ length: 100 }, () => ({}))
  for (const stream of honest) kept.keep(stream, withTopics(200))
  const greedy = Array.from({ length: 200 }, () => ({}))
  const large = withTopics(4_000, 'a-topic-with-a-long-name'.repeat(2))
  for (const stream of greedy) kept.keep(stream, large)
  expect(honest.map((stream) => topicsOf(kept.of(stream)))).toEqual(honest.map(() => 200))
  const left = greedy.filter((stream) => kept.of(stream) !== null)
  expect(left.length).toBeGreaterThan(10)
  expect(left.length).toBeLessThan(100)
})

it('does not keep what is larger than any settings should be', () => {
  const kept = new KeptSettings()
  const stream = {}
  kept.keep(stream, withTopics(4_000, 'x'.repeat(100)))
  expect(kept.of(stream)).toBeNull()
})
