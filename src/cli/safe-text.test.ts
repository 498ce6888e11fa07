import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse as parseYaml } from 'yaml'
import { yamlText } from './output.ts'
import { bold, clipped, red, safeJson, shown, terminalText, width, wrapped } from './safe-text.ts'

describe('shown', () => {
  it.each([
    ['plain text, 订单 and é', 'plain text, 订单 and é'],
    ['a\nb\tc\r', 'a\\nb\\tc\\r'],
    ['\u001b[2J\u0007', '\\u001b[2J\\u0007'],
    ['\u009b31m\u007f', '\\u009b31m\\u007f'],
    ['\u202egnp.exe\u2066\u200b\ufeff', '\\u202egnp.exe\\u2066\\u200b\\ufeff'],
    ['\u2028\u2029\u00ad\u061c\u3164', '\\u2028\\u2029\\u00ad\\u061c\\u3164'],
    ['\u{e0041}\ud800x', '\\u{e0041}\\ud800x'],
    ['\ufdd0rnot ours\ufdd1', '\\ufdd0rnot ours\\ufdd1'],
    ['❤\ufe0f stays', '❤\ufe0f stays'],
  ])('%j as %j', (text, expected) => expect(shown(text)).toBe(expected))
})

describe('terminalText', () => {
  it('makes colours of marks, and of nothing else', () => {
    expect(terminalText(`${bold('a')} ${red('b')}\n`, true)).toBe('\u001b[1ma\u001b[0m \u001b[31mb\u001b[0m\n')
    expect(terminalText(`${bold('a')} ${red('b')}\n`, false)).toBe('a b\n')
    expect(terminalText('\u001b[31mred\r', true)).toBe('\\u001b[31mred\\r')
  })
})

describe('data for scripts', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\u001b[2J', '\u202e', '\n- a: b\n', 'a\u0085b', '\u{e0001}', ' x ', 'null', '#', '12', "'", '"\\'),
  )
  const data = fc.dictionary(text, fc.oneof(text, fc.array(text), fc.integer(), fc.boolean(), fc.constant(null)))

  it('reads back the same, as JSON and as YAML, with no control character in it', () => {
    fc.assert(
      fc.property(data, (value) => {
        for (const [written, read] of [
          [safeJson(value), (text: string): unknown => JSON.parse(text)],
          [yamlText(value), (text: string): unknown => parseYaml(text)],
        ] as const) {
          expect(shown(written.replaceAll('\n', ''))).toBe(written.replaceAll('\n', ''))
          expect(read(written)).toEqual(JSON.parse(JSON.stringify(value)))
        }
      }),
    )
  })
})

describe('columns', () => {
  it.each([
    ['abc', 3],
    ['订单', 4],
    ['e\u0301', 1],
    ['🚀', 2],
    ['한글', 4],
    [bold('a'), 1],
  ])('%j takes %i', (text, columns) => expect(width(text)).toBe(columns))

  it('clips and wraps within them', () => {
    expect(clipped('订单队列', 5)).toBe('订单…')
    expect(clipped('short', 5)).toBe('short')
    expect(wrapped('one two three', 7)).toEqual(['one two', 'three'])
  })
})
