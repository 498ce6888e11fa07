import { describe, expect, it } from 'vitest'
import { BrokerRefusal } from '../../../../model/refusals.ts'
import { parseFilter } from './filter.ts'

/** The status code of what is refused, 0 of what is fine. */
function codeOf(check: () => unknown): number {
  try {
    check()
    return 0
  } catch (error) {
    if (error instanceof BrokerRefusal) return error.code
    throw error
  }
}

const instance = {}

describe('a tag expression', () => {
  const tags = (expression: string, type = 1) => parseFilter({ type, expression }, instance)

  it.each([
    [null, null],
    [undefined, null],
    [{ type: 1 }, null],
    [{ type: 1, expression: ' * ' }, null],
    [{ type: 1, expression: 'A||*' }, new Set(['A', '*'])],
    [{ type: 1, expression: 'Aa || BB' }, new Set(['Aa', 'BB'])],
    [{ type: 1, expression: '|| A ||' }, new Set(['A'])],
    [{ type: 0, expression: '标签' }, new Set(['标签'])],
  ])('%j takes %j', (filter, taken) => {
    expect(parseFilter(filter, instance)).toEqual(taken)
  })

  it.each([
    ['only bars', '|| ||', 1],
    ['more characters than fit', 'x'.repeat(16_385), 1],
    ['more tags than fit', Array.from({ length: 1025 }, (_, at) => `t${at}`).join('||'), 1],
    ['SQL that goes wrong', 'a >', 2],
    ['SQL that is empty', '', 2],
  ])('with %s is refused', (_, expression, type) => {
    expect(codeOf(() => tags(expression, type))).toBe(40010)
  })

  it('of 10 KiB in one tag is taken', () => {
    expect(tags('x'.repeat(10_240))).toHaveProperty('size', 1)
  })
})

describe('an expression that was sent before', () => {
  const tags = (expression: string, of: object) => parseFilter({ type: 1, expression }, of)

  it('is known again, whatever another instance sends', () => {
    const [one, other] = [{}, {}]
    const known = tags('A || B', one)
    for (let n = 0; n < 1100; n++) tags(`A || B || C${n}`, other)
    expect(tags('A || B', one)).toBe(known)
    expect(tags('A || B', other)).not.toBe(known)
  })

  it.each([
    ['a thousand', 1000, 'short'],
    ['so many characters', 16, 'x'.repeat(16_370)],
  ])('is forgotten behind %s of its own instance', (_, most, text) => {
    const own = {}
    const first = tags('A', own)
    for (let n = 0; n < most - 1; n++) tags(`${text}${n}`, own)
    expect(tags('A', own)).toBe(first)
    for (let n = 0; n <= most; n++) tags(`${text}-${n}`, own)
    expect(tags('A', own)).not.toBe(first)
  })
})
