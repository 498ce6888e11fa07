import { describe, expect, it } from 'vitest'
import { sentenceOf } from './perform.ts'

describe('sentenceOf', () => {
  it.each([
    ['an error', new Error('Port 1 is taken.'), 'Port 1 is taken.'],
    ['something that is no error', 'odd', 'odd'],
    ['silence', new Error(''), 'It failed without saying why.'],
    ['a NUL and half a pair, which no database holds', new Error('a\0b\ud83dc'), 'abc'],
    ['a pair cut in two by the limit', new Error(`${'x'.repeat(499)}\u{1f680}`), 'x'.repeat(499)],
    ['whole pairs', new Error('\u{1f680} up'), '\u{1f680} up'],
  ])('%s', (_, cause, text) => {
    expect(sentenceOf(cause)).toBe(text)
  })
})
