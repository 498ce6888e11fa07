import { describe, expect, it } from 'vitest'
import { maxDedicated, placeOf, resize } from './placement.ts'

const placed = (text: string): Map<string, string> =>
  new Map(
    text
      .split(' ')
      .filter((each) => each !== '')
      .map((each) => each.split('@') as [string, string]),
  )
const shown = (placements: ReadonlyMap<string, string>): string =>
  [...placements].map(([id, name]) => `${id}@${name}`).join(' ')

describe('an instance', () => {
  it.each([
    ['takes the emptiest process', 'a@1', 2, 'b', '2'],
    ['takes the first of equals', 'a@1 b@2', 2, 'c', '1'],
    ['stays where it is, however full', 'a@1 b@1 c@1', 2, 'a', '1'],
    ['leaves a process that is not of the pool', 'a@3 b@1', 2, 'a', '2'],
    ['leaves a process of its own when it is not to have one', 'a@a', 1, 'a', '1'],
    ['does not count those with a process of their own', 'p@p q@q a@1', 2, 'b', '2'],
  ])('%s', (_what, before, pool, instanceId, at) => {
    expect(placeOf(placed(before), pool, { instanceId, dedicated: false })).toBe(at)
  })

  it('gets a process of its own when it is dedicated, up to a bound, and keeps it', () => {
    const many = new Map(Array.from({ length: maxDedicated - 1 }, (_, n) => [`p${n}`, `p${n}`]))
    expect(placeOf(many, 1, { instanceId: 'new', dedicated: true })).toBe('new')
    many.set('last', 'last')
    expect(placeOf(many, 1, { instanceId: 'new', dedicated: true })).toBe('1')
    expect(placeOf(many, 1, { instanceId: 'last', dedicated: true })).toBe('last')
  })
})

describe('a pool of another size', () => {
  it.each([
    ['nothing placed', '', 4, ''],
    ['grows: as few move as make it even', 'a@1 b@1 c@1 d@1', 2, 'a@2 b@2 c@1 d@1'],
    ['grows by one of three', 'a@1 b@1 c@1 d@2 e@2 f@2', 3, 'a@3 b@1 c@1 d@3 e@2 f@2'],
    ['shrinks: those of the lost processes move', 'a@1 b@2 c@3 d@4', 2, 'a@1 b@2 c@1 d@2'],
    ['leaves what is even', 'a@1 b@2', 2, 'a@1 b@2'],
    ['leaves processes of their own', 'p@p a@1 b@1', 2, 'p@p a@2 b@1'],
  ])('%s', (_what, before, pool, after) => {
    expect(shown(resize(placed(before), pool))).toBe(after)
  })

  it('is even and moves nothing twice, whatever it was', () => {
    for (let from = 1; from <= 8; from++) {
      for (let to = 1; to <= 8; to++) {
        const before = new Map(Array.from({ length: 37 }, (_, n) => [`i${n}`, String((n % from) + 1)]))
        const after = resize(before, to)
        const loads = Array.from(
          { length: to },
          (_, n) => [...after.values()].filter((at) => at === String(n + 1)).length,
        )
        expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1)
        expect(resize(after, to)).toEqual(after)
      }
    }
  })
})
