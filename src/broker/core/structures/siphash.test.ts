import { expect, it } from 'vitest'
import { sipHash } from './siphash.ts'

const word = (bytes: number[]) => bytes.reduce((sum, byte, i) => sum + byte * 2 ** (8 * i), 0)
/** The key 00 01 … 0f and the input 00 01 …, as the authors' test vectors have them. */
const key = new Uint32Array([0, 4, 8, 12].map((at) => word([at, at + 1, at + 2, at + 3])))
const input = (bytes: number) =>
  Array.from({ length: bytes / 4 }, (_, i) => word([4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3]))

it.each([
  [0, '726fdb47dd0e0e31'],
  [8, '93f5f5799a932462'],
  [16, '3f2acc7f57c29bdb'],
])('gives what its authors published for %i bytes', (bytes, expected) => {
  const [low, high] = sipHash(key, input(bytes))
  expect(high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0')).toBe(expected)
})
