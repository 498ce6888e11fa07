import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ApiError } from '../catalogue/errors.ts'
import { MAX_DEPTH, parseJsonBody } from './json.ts'

const bytes = (text: string) => Buffer.from(text)

function refusal(body: Uint8Array | string): ApiError {
  try {
    parseJsonBody(typeof body === 'string' ? bytes(body) : body)
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
  throw new Error(`accepted: ${body}`)
}

describe('accepted', () => {
  it.each<[string, unknown]>([
    ['', {}],
    [' \r\n\t', {}],
    ['{}', {}],
    [' { } ', {}],
    ['\ufeff{"a":1}', { a: 1 }],
    [
      '{"a":[],"b":[1,-2.5e3,0,-0.5],"c":{"d":null},"e":true,"f":false}',
      { a: [], b: [1, -2500, 0, -0.5], c: { d: null }, e: true, f: false },
    ],
    ['{"测试":"\\u6d4b\\ud83d\\ude00\\n\\"\\/"}', { 测试: '测😀\n"/' }],
    ['{"a":9007199254740991}', { a: 9007199254740991 }],
    ['{"a":{"b":1},"b":{"a":1}}', { a: { b: 1 }, b: { a: 1 } }],
    ['{"hasOwnProperty":1,"toString":2}', { hasOwnProperty: 1, toString: 2 }],
  ])('%j', (text, value) => expect(parseJsonBody(bytes(text))).toEqual(value))

  it('nests as deep as the limit', () => {
    const text = `${'{"a":'.repeat(MAX_DEPTH)}1${'}'.repeat(MAX_DEPTH)}`
    expect(parseJsonBody(bytes(text))).toEqual(JSON.parse(text))
  })
})

describe('refused', () => {
  it.each<[string, string, RegExp]>([
    ['[]', 'InvalidBody', /must be a JSON object/],
    ['null', 'InvalidBody', /must be a JSON object/],
    ['"text"', 'InvalidBody', /must be a JSON object/],
    ['{', 'InvalidBody', /line 1, column 2: a member name/],
    ['{"a":1,}', 'InvalidBody', /line 1, column 8: a member name/],
    ['{"a":1 "b":2}', 'InvalidBody', /column 8: "," or "}"/],
    ['{\n  "a" 1}', 'InvalidBody', /line 2, column 7: ":"/],
    ['{"a":[1,]}', 'InvalidBody', /column 9: a value is expected/],
    ['{"a":[1 2]}', 'InvalidBody', /"," or "\]"/],
    ['{"a":}', 'InvalidBody', /a value is expected/],
    ['{"a":', 'InvalidBody', /the text ends/],
    ['{"a":1} x', 'InvalidBody', /column 9: nothing more/],
    ["{'a':1}", 'InvalidBody', /double quotes/],
    ['{a:1}', 'InvalidBody', /double quotes/],
    ['{"a":01}', 'InvalidBody', /column 7/],
    ['{"a":+1}', 'InvalidBody', /a value is expected/],
    ['{"a":.5}', 'InvalidBody', /a value is expected/],
    ['{"a":1.}', 'InvalidBody', /column 7/],
    ['{"a":NaN}', 'InvalidBody', /a value is expected/],
    ['{"a":tru}', 'InvalidBody', /a value is expected/],
    ['{"a":"x', 'InvalidBody', /ends inside a string/],
    ['{"a":"x\ny"}', 'InvalidBody', /control character/],
    ['{"a":"\\x"}', 'InvalidBody', /escape/],
    ['{"a":"\\u12g4"}', 'InvalidBody', /four hexadecimal/],
    ['{"a":"\\', 'InvalidBody', /escape/],
    ['{"a":1,"a":1}', 'InvalidA', /"a" appears more than once/],
    [
      '{"productInfo":{"msgProcessSpec":"x","msgProcessSpec":"y"}}',
      'InvalidMsgProcessSpec',
      /"msgProcessSpec" appears/,
    ],
    ['{"tags":[{"key":"a"},{"key":"b","\\u006bey":"c"}]}', 'InvalidKey', /tags\[1\]\.key/],
    ['{"odd name":1,"odd name":2}', 'InvalidBody', /"odd name" appears/],
    ['{"__proto__":{"x":1}}', 'InvalidBody', /"__proto__" is not allowed/],
    ['{"a":{"constructor":{"prototype":{}}}}', 'InvalidBody', /"constructor" is not allowed/],
    ['{"a":[{"prototype":1}]}', 'InvalidBody', /"prototype" is not allowed/],
    ['{"\\u005f_proto__":1}', 'InvalidBody', /"__proto__" is not allowed/],
    ['{"a":1e999}', 'InvalidA', /too large/],
    ['{"a":9007199254740993}', 'InvalidA', /9007199254740993 is too large/],
    ['{"a":"\\u0000"}', 'InvalidA', /U\+0000/],
    ['{"a":["\\ud83d"]}', 'InvalidA', /surrogate/],
    [`${'{"a":'.repeat(MAX_DEPTH + 1)}1${'}'.repeat(MAX_DEPTH + 1)}`, 'InvalidBody', /deeper than 32/],
    [`{"a":${'['.repeat(200_000)}`, 'InvalidBody', /deeper than 32/],
    [`{"a":[${'1,'.repeat(60_000)}1]}`, 'InvalidBody', /more than 50000 values/],
  ])('%.60j', (text, code, message) => {
    const error = refusal(text)
    expect([error.httpStatus, error.code]).toEqual([400, code])
    expect(error.message).toMatch(message)
  })

  it.each([
    ['a lone continuation byte', [0x7b, 0x80, 0x7d]],
    ['an overlong slash', [0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]],
    ['an encoded surrogate', [0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
  ])('%s', (_, body) => expect(refusal(Uint8Array.from(body)).message).toMatch(/UTF-8/))
})

it('pollutes no prototype', () => {
  refusal('{"__proto__":{"polluted":true}}')
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})

it('reads what JSON.stringify writes, exactly', () => {
  const safe = fc.oneof(fc.string(), fc.maxSafeInteger(), fc.boolean(), fc.constant(null))
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.oneof(safe, fc.array(safe), fc.dictionary(fc.string(), safe))),
      (value) => {
        const text = JSON.stringify(value)
        if (/__proto__|constructor|prototype|\\u0000/.test(text)) return
        expect(parseJsonBody(bytes(text))).toEqual(JSON.parse(text))
      },
    ),
  )
})

it('agrees with JSON.parse about every text it accepts', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"b"',
    '1',
    '-',
    '0',
    '.5',
    'e1',
    'true',
    'null',
    ' ',
    '"',
    '\\',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
      const text = `{${pieces.join('')}}`
      let value: unknown
      try {
        value = parseJsonBody(bytes(text))
      } catch (error) {
        expect(error).toBeInstanceOf(ApiError)
        return
      }
      expect(value).toEqual(JSON.parse(text))
    }),
    { numRuns: 2_000 },
  )
})
