/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012) over whole 64-bit words: a keyed function of short inputs whose values
 * nobody can guess who has not got the key. In halves of 32 bits, because a `bigint` costs ten times as much; about
 * 0.3 µs for three words.
 */

/** Halves of a state of four words; one for all, since a call never waits. */
const v = new Int32Array(8)

/** `key` has four words of 32 bits; `halves` the input, low half before high half. Answers the low and the high half. */
export function sipHash(key: Uint32Array, halves: readonly number[]): readonly [low: number, high: number] {
  v[0] = 0x70736575 ^ key[0]!
  v[1] = 0x736f6d65 ^ key[1]!
  v[2] = 0x6e646f6d ^ key[2]!
  v[3] = 0x646f7261 ^ key[3]!
  v[4] = 0x6e657261 ^ key[0]!
  v[5] = 0x6c796765 ^ key[1]!
  v[6] = 0x79746573 ^ key[2]!
  v[7] = 0x74656462 ^ key[3]!
  for (let i = 0; i < halves.length; i += 2) absorb(halves[i]!, halves[i + 1]!)
  // The last word says how many bytes there were.
  absorb(0, ((halves.length * 4) & 0xff) << 24)
  v[4]! ^= 0xff
  for (let n = 0; n < 4; n++) round()
  return [(v[0]! ^ v[2]! ^ v[4]! ^ v[6]!) >>> 0, (v[1]! ^ v[3]! ^ v[5]! ^ v[7]!) >>> 0]
}

function absorb(low: number, high: number): void {
  v[6]! ^= low
  v[7]! ^= high
  round()
  round()
  v[0]! ^= low
  v[1]! ^= high
}

function round(): void {
  let [a0, a1, b0, b1, c0, c1, d0, d1] = [v[0]!, v[1]!, v[2]!, v[3]!, v[4]!, v[5]!, v[6]!, v[7]!]
  let low: number
  // a += b; b <<<= 13; b ^= a; a <<<= 32
  low = (a0 >>> 0) + (b0 >>> 0)
  a1 = (a1 + b1 + (low > 0xffffffff ? 1 : 0)) | 0
  a0 = low | 0
  low = (b0 << 13) | (b1 >>> 19)
  b1 = (b1 << 13) | (b0 >>> 19)
  b0 = low ^ a0
  b1 ^= a1
  low = a0
  a0 = a1
  a1 = low
  // c += d; d <<<= 16; d ^= c
  low = (c0 >>> 0) + (d0 >>> 0)
  c1 = (c1 + d1 + (low > 0xffffffff ? 1 : 0)) | 0
  c0 = low | 0
  low = (d0 << 16) | (d1 >>> 16)
  d1 = (d1 << 16) | (d0 >>> 16)
  d0 = low ^ c0
  d1 ^= c1
  // a += d; d <<<= 21; d ^= a
  low = (a0 >>> 0) + (d0 >>> 0)
  a1 = (a1 + d1 + (low > 0xffffffff ? 1 : 0)) | 0
  a0 = low | 0
  low = (d0 << 21) | (d1 >>> 11)
  d1 = (d1 << 21) | (d0 >>> 11)
  d0 = low ^ a0
  d1 ^= a1
  // c += b; b <<<= 17; b ^= c; c <<<= 32
  low = (c0 >>> 0) + (b0 >>> 0)
  c1 = (c1 + b1 + (low > 0xffffffff ? 1 : 0)) | 0
  c0 = low | 0
  low = (b0 << 17) | (b1 >>> 15)
  b1 = (b1 << 17) | (b0 >>> 15)
  b0 = low ^ c0
  b1 ^= c1
  low = c0
  c0 = c1
  c1 = low
  v[0] = a0
  v[1] = a1
  v[2] = b0
  v[3] = b1
  v[4] = c0
  v[5] = c1
  v[6] = d0
  v[7] = d1
}
