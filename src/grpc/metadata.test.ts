import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addMetadata, encodeStatusMessage, parseTimeout } from './metadata.ts'

describe('parseTimeout', () => {
  it.each([
    ['3S', 3000],
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['250m', 250],
    ['1500u', 2],
    ['1n', 1],
    ['0m', 0],
    ['99999999H', 359_999_996_400_000],
  ])('reads %s as %d ms, rounded up', (text, ms) => expect(parseTimeout(text)).toBe(ms))

  it.each(['', '3', 'S', '3s', '-1S', '1.5S', '123456789S', '1S ', '1SS', '1e3m'])('refuses %j', (text) =>
    expect(parseTimeout(text)).toBeNull(),
  )
})

describe('encodeStatusMessage', () => {
  it('is visible ASCII that decodes to what was said', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        const encoded = encodeStatusMessage(text)
        expect(encoded).toMatch(/^[\x20-\x7e]*$/)
        expect(decodeURIComponent(encoded)).toBe(text)
      }),
    )
  })

  it('is bounded', () => {
    expect(encodeStatusMessage('x'.repeat(1_000_000))).toHaveLength(4096)
    expect(encodeStatusMessage('主'.repeat(1_000_000)).length).toBeLessThanOrEqual(3 * 4096)
  })
})

describe('addMetadata', () => {
  it.each([
    [{ 'x-a': 'plain ~' }, { 'x-a': 'plain ~' }],
    [{ 'x-a-bin': new Uint8Array([255, 0]) }, { 'x-a-bin': '/wA=' }],
  ])('copies %j', (given, headers) => {
    const target = {}
    addMetadata(target, given)
    expect(target).toEqual(headers)
  })

  it.each([
    [{ 'X-Upper': 'a' }],
    [{ 'grpc-status': '0' }],
    [{ ':status': '200' }],
    [{ 'x a': 'b' }],
    [{ 'x-a': 'line\nbreak' }],
    [{ 'x-a': 'ü' }],
    [{ 'x-a': new Uint8Array([1]) }],
  ])('refuses %j', (given) => expect(() => addMetadata({}, given)).toThrow(TypeError))
})
