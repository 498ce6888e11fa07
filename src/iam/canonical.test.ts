import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalQuery, canonicalRequests, legacyStringsToSign } from './canonical.ts'
import { decodePercent, encodePercent, parseQuery } from './percent.ts'
import { formatHttpDate, formatIsoDate, parseHttpDate, parseIsoDate } from './request-date.ts'

const message = (rawPath: string, rawQuery = '', headers: Record<string, string[]> = {}) => ({
  method: 'GET',
  rawPath,
  rawQuery,
  headers: new Map(Object.entries(headers)),
})
const pathsOf = (rawPath: string) => canonicalRequests(message(rawPath), [], '').map((text) => text.split('\n')[1])

describe('paths that a client may have signed', () => {
  it.each<[string, string[]]>([
    ['', ['/']],
    ['/instances/rmq-cn-1', ['/instances/rmq-cn-1']],
    ['/a/%25RETRY%25g%2F1%20~x%2Ay%2Bz', ['/a/%25RETRY%25g%2F1%20~x%2Ay%2Bz']],
    // npm and Go rewrite these three before they sign; Java and Python do not.
    ['/a/x*z%7Ew', ['/a/x*z%7Ew', '/a/x%2Az~w']],
    // A plus is a plus to routing, so a signature over a blank is not for it.
    ['/a/x+y', ['/a/x+y', '/a/x%2By']],
    // Terraform inserts names as they are.
    ['/a/%RETRY%g', ['/a/%RETRY%g', '/a/%25RETRY%25g']],
    ['/a/%e6%b5%8b', ['/a/%e6%b5%8b', '/a/%E6%B5%8B']],
  ])('%s', (rawPath, paths) => expect(pathsOf(rawPath)).toEqual(paths))

  it('of the legacy scheme are as sent and decoded, with and without the = of an empty value', () => {
    const texts = legacyStringsToSign(
      message('/a/x%20y', 'b=2+3&a=', { 'x-acs-b': ['2'], 'x-acs-a': ['1'], date: ['D'] }),
    )
    const head = 'GET\n\n\n\nD\nx-acs-a:1\nx-acs-b:2\n'
    expect(texts).toEqual([
      `${head}/a/x%20y?a&b=2 3`,
      `${head}/a/x%20y?a=&b=2 3`,
      `${head}/a/x y?a&b=2 3`,
      `${head}/a/x y?a=&b=2 3`,
    ])
  })
})

describe('the query', () => {
  it.each([
    ['', ''],
    ['b=2&a=1', 'a=1&b=2'],
    ['a', 'a='],
    ['a=&&b', 'a=&b='],
    ['filter=a+b%26c', 'filter=a%20b%26c'],
    ["v=a*(e)~f!'", 'v=a%2A%28e%29~f%21%27'],
    ['v=%zz%', 'v=%25zz%25'],
    ['seriesCodes.10=b&seriesCodes.1=a', 'seriesCodes.1=a&seriesCodes.10=b'],
    ['v=a=b', 'v=a%3Db'],
  ])('%s', (raw, canonical) => expect(canonicalQuery(raw)).toBe(canonical))
})

it('several values of a header are sorted and joined, one is trimmed', () => {
  const [text] = canonicalRequests(message('/', '', { a: ['2', ' 1 '], b: [' x  y '] }), ['b', 'a'], 'd')
  expect(text).toBe('GET\n/\n\na:1,2\nb:x  y\n\na;b\nd')
})

const encodeURIComponentOrNothing = (text: string) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, ''))

describe('percent-encoding', () => {
  it('brings every text back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(decodePercent(encodePercent(text))).toBe(text)
      }),
    )
  })

  it('decodes runs of escapes as the platform does, and leaves the others', () => {
    const platform = (run: string): string => {
      try {
        return decodeURIComponent(run)
      } catch {
        return run
      }
    }
    const byte = fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xa0, 0x80, 0xbf),
    )
    const escapes = fc
      .array(byte, { minLength: 1, maxLength: 6 })
      .map((bytes) => bytes.map((each) => `%${each.toString(16).padStart(2, '0')}`).join(''))
    const piece = fc.oneof(
      escapes,
      fc.string({ unit: 'grapheme', maxLength: 3 }).map(encodeURIComponentOrNothing),
      fc.constantFrom('%', '%z', '%4', 'a', '+', '测', '%E6%b5%8B', '%f0%9F%98%80'),
    )
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const text = pieces.join('')
        expect(decodePercent(text)).toBe(text.replace(/(?:%[0-9A-Fa-f]{2})+/g, platform))
      }),
      { numRuns: 2_000 },
    )
  })

  it('reads no more pairs of a query than it is asked for', () => {
    expect(parseQuery('&a=1&&b&c=3&d=4', 2)).toEqual([
      ['a', '1'],
      ['b', ''],
    ])
  })

  it('never throws, whatever stands in the text, and leaves unreserved characters alone', () => {
    const odd = fc.string({ unit: fc.constantFrom('%', '2', 'F', 'e', 'z', '\ud800', '/', '测') })
    fc.assert(
      fc.property(odd, (text) => {
        decodePercent(text)
        parseQuery(text)
        expect(encodePercent(text)).toMatch(/^[A-Za-z0-9._~%-]*$/)
      }),
    )
  })
})

it('dates are read exactly as they are written, and nothing else is read', () => {
  const at = fc.integer({ min: Date.UTC(1970, 0, 1) / 1_000, max: Date.UTC(9999, 0, 1) / 1_000 }).map((s) => s * 1_000)
  fc.assert(
    fc.property(at, (ms) => {
      expect(parseIsoDate(formatIsoDate(ms))).toBe(ms)
      expect(parseHttpDate(formatHttpDate(ms))).toBe(ms)
      expect(formatHttpDate(ms)).toBe(new Date(ms).toUTCString())
    }),
  )
  for (const text of [
    '',
    '2026-1-2T03:04:05Z',
    '2026-01-02T24:00:00Z',
    '2026-01-02T03:04:60Z',
    ' 2026-01-02T03:04:05Z',
  ])
    expect(parseIsoDate(text)).toBeNull()
  for (const text of [
    '',
    'Fri, 2 Jan 2026 03:04:05 GMT',
    'Fri, 02 Jan 2026 03:04:05 UTC',
    'Fri, 02 Foo 2026 03:04:05 GMT',
  ])
    expect(parseHttpDate(text)).toBeNull()
})
