/**
 * Spoils protobuf messages knowing how they are built: a message is taken apart into its fields, one or several of them
 * are changed at any depth, and it is put together again, with lengths right or deliberately wrong. Pure; a seed
 * repeats everything.
 */
import type { Random } from '../../src/world/world.ts'

type Field =
  | { readonly number: number; readonly wire: 0; readonly varint: Uint8Array }
  | { readonly number: number; readonly wire: 1 | 5; readonly fixed: Uint8Array }
  | { readonly number: number; readonly wire: 2; readonly bytes: Uint8Array }

/** `message` spoiled once, sometimes twice or thrice; `other` lends fields. */
export function mutate(message: Uint8Array, other: Uint8Array, random: Random): Buffer {
  let spoiled: Uint8Array = message
  for (let times = [1, 1, 1, 2, 3][random.below(5)]!; times > 0; times--) spoiled = mutateOnce(spoiled, other, random)
  return Buffer.from(spoiled.subarray(0, maxMutatedBytes))
}

const maxMutatedBytes = 256 * 1024

function mutateOnce(message: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const fields = parse(message)
  // What is no message any more can only be spoiled as bytes.
  if (fields === null || fields.length === 0 || random.below(10) === 0)
    return pick(random, byteWise)(message, other, random)
  return encode(mutateFields(fields, other, random, 0))
}

type ByteWise = (bytes: Uint8Array, other: Uint8Array, random: Random) => Uint8Array

const byteWise: readonly ByteWise[] = [
  // Bits turned over.
  (bytes, _, random) => {
    const copy = Uint8Array.from(bytes)
    for (let flips = 1 + random.below(4); flips > 0 && copy.length > 0; flips--) {
      copy[random.below(copy.length)]! ^= 1 << random.below(8)
    }
    return copy
  },
  // Cut short.
  (bytes, _, random) => bytes.slice(0, random.below(bytes.length + 1)),
  // A piece twice.
  (bytes, _, random) => {
    const [from, to] = range(bytes.length, random)
    return concat(bytes.subarray(0, to), bytes.subarray(from))
  },
  // A piece missing.
  (bytes, _, random) => {
    const [from, to] = range(bytes.length, random)
    return concat(bytes.subarray(0, from), bytes.subarray(to))
  },
  // Half of one message and half of another.
  (bytes, other, random) =>
    concat(bytes.subarray(0, random.below(bytes.length + 1)), other.subarray(random.below(other.length + 1))),
  // Another message behind it: protobuf merges the two.
  (bytes, other) => concat(bytes, other),
  // Noise in its place.
  (_bytes, _other, random) => random.bytes(random.below(64)),
  // Noise within.
  (bytes, _, random) => {
    const at = random.below(bytes.length + 1)
    return concat(bytes.subarray(0, at), random.bytes(1 + random.below(12)), bytes.subarray(at))
  },
  () => new Uint8Array(0),
]

function mutateFields(fields: readonly Field[], other: Uint8Array, random: Random, depth: number): Piece[] {
  const pieces: Piece[] = fields.map((field) => ({ field }))
  const at = random.below(pieces.length)
  const { field } = pieces[at]! as { field: Field }
  // Most of what matters lies inside: topic names, handles, durations.
  const inner = field.wire === 2 && depth < 6 ? parse(field.bytes) : null
  if (inner !== null && inner.length > 0 && random.below(3) > 0) {
    const bytes = encode(mutateFields(inner, other, random, depth + 1))
    pieces[at] = { field: { number: field.number, wire: 2, bytes } }
    return pieces
  }
  switch (random.below(16)) {
    case 0:
      pieces.splice(at, 1)
      break
    case 1:
      pieces.splice(random.below(pieces.length + 1), 0, { field })
      break
    case 2:
      for (let copies = random.below(pick(random, [3, 50, 2000])); copies > 0; copies--) pieces.push({ field })
      break
    case 3: {
      const lent = parse(other)
      if (lent !== null && lent.length > 0) pieces.splice(at, 1, { field: pick(random, lent) })
      break
    }
    case 4:
      pieces[at] = { field: { ...field, number: 1 + random.below([4, 32, 536_870_911][random.below(3)]!) } }
      break
    case 5:
      pieces.push({ raw: nested(random) })
      break
    case 6:
      pieces[at] = { raw: otherWire(field, random) }
      break
    default:
      pieces[at] = spoilValue(field, random)
  }
  return pieces
}

type Piece = { readonly field: Field } | { readonly raw: Uint8Array }

function spoilValue(field: Field, random: Random): Piece {
  switch (field.wire) {
    case 0:
      return { field: { ...field, varint: pick(random, varints) } }
    case 1:
    case 5:
      return { field: { ...field, fixed: random.bytes(field.fixed.length) } }
    case 2:
      if (random.below(8) === 0) {
        // The length lies; what follows is read as part of it, or the message ends within.
        const tag = varint((field.number << 3) | 2)
        return { raw: concat(tag, pick(random, varints), field.bytes) }
      }
      return { field: { ...field, bytes: pick(random, texts)(random) } }
  }
}

/** The field's number with another wire type, groups included. */
function otherWire(field: Field, random: Random): Uint8Array {
  const wire = random.below(8)
  return concat(varint(field.number * 8 + wire), random.bytes(random.below(10)))
}

/** Messages, or groups, within each other, deeper than any real one. */
function nested(random: Random): Uint8Array {
  const number = 1 + random.below(20)
  const depth = 1 + random.below(300)
  if (random.below(2) === 0) return Uint8Array.from({ length: depth }, () => (number << 3) | 3)
  let bytes: Uint8Array = new Uint8Array(0)
  for (let level = 0; level < depth; level++) bytes = concat(varint((number << 3) | 2), varint(bytes.length), bytes)
  return bytes
}

const utf8 = (text: string): Uint8Array => Buffer.from(text)
const texts: readonly ((random: Random) => Uint8Array)[] = [
  () => new Uint8Array(0),
  () => utf8(' '),
  () => utf8('\u0000'),
  () => utf8('__proto__'),
  () => utf8('constructor'),
  () => utf8('../../../etc/passwd'),
  () => utf8('%DLQ%'),
  () => utf8('%RETRY%group-a_topic-a'),
  () => utf8('TBW102'),
  () => utf8('topic-a\r\nx: y'),
  () => utf8('*'),
  () => utf8('a || b'),
  () => utf8('🏷'.repeat(200)),
  () => utf8('x'.repeat(70_000)),
  // Neither is UTF-8: a lone continuation, and a surrogate half.
  () => Uint8Array.of(0x80),
  () => Uint8Array.of(0xed, 0xa0, 0x80),
  (random) => random.bytes(1 + random.below(40)),
]

/** Boundaries of every integer type, and forms no encoder writes: too long, never ending. */
const varints: readonly Uint8Array[] = [
  ...[
    0n,
    1n,
    2n,
    127n,
    128n,
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 53n,
    2n ** 63n - 1n,
    2n ** 63n,
    2n ** 64n - 1n,
  ].map(bigVarint),
  Uint8Array.of(0x80, 0x80, 0x00),
  new Uint8Array(9).fill(0xff),
  new Uint8Array(10).fill(0xff),
  new Uint8Array(20).fill(0x80),
]

/** Takes a message apart; null when it is none. */
function parse(bytes: Uint8Array): Field[] | null {
  const fields: Field[] = []
  for (let at = 0; at < bytes.length; ) {
    const tag = readVarint(bytes, at)
    if (tag === null || tag.value < 8) return null
    at = tag.end
    const number = Math.floor(tag.value / 8)
    const wire = tag.value % 8
    if (wire === 0) {
      const value = readVarint(bytes, at)
      if (value === null) return null
      fields.push({ number, wire, varint: bytes.subarray(at, value.end) })
      at = value.end
    } else if (wire === 1 || wire === 5) {
      const end = at + (wire === 1 ? 8 : 4)
      if (end > bytes.length) return null
      fields.push({ number, wire, fixed: bytes.subarray(at, end) })
      at = end
    } else if (wire === 2) {
      const length = readVarint(bytes, at)
      if (length === null || length.end + length.value > bytes.length) return null
      at = length.end + length.value
      fields.push({ number, wire, bytes: bytes.subarray(length.end, at) })
    } else {
      return null
    }
  }
  return fields
}

function encode(pieces: readonly Piece[]): Uint8Array {
  return concat(...pieces.flatMap((piece) => ('raw' in piece ? [piece.raw] : encodeField(piece.field))))
}

function encodeField(field: Field): Uint8Array[] {
  const tag = varint(field.number * 8 + field.wire)
  switch (field.wire) {
    case 0:
      return [tag, field.varint]
    case 1:
    case 5:
      return [tag, field.fixed]
    case 2:
      return [tag, varint(field.bytes.length), field.bytes]
  }
}

function readVarint(bytes: Uint8Array, at: number): { value: number; end: number } | null {
  let value = 0
  for (let index = 0; index < 10; index++) {
    const byte = bytes[at + index]
    if (byte === undefined) return null
    value += (byte & 127) * 128 ** index
    if (byte < 128) return { value, end: at + index + 1 }
  }
  return null
}

const varint = (value: number): Uint8Array => bigVarint(BigInt(value))

function bigVarint(value: bigint): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}

function range(length: number, random: Random): [number, number] {
  const from = random.below(length + 1)
  return [from, from + random.below(length - from + 1)]
}

const concat = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts)
export const pick = <T>(random: Random, among: readonly T[]): T => among[random.below(among.length)]!
