/**
 * Compact binary writing and reading for events and snapshots: variable-length whole numbers,
 * 32-bit words, UTF-8 text and byte strings.
 *
 * The core has no Node types, so this knows only typed arrays. A reader that runs past its end
 * throws: a record that passed the log's checksum and does not decode is a broken invariant.
 */
/** Bytes of a format that a later version of the program introduced: not damaged, but not to be read here. */
export class NewerFormat extends RangeError {
  override readonly name = 'NewerFormat'
  readonly code = 'newer'
}

export class Writer {
  bytes: Uint8Array
  length = 0

  constructor(capacityBytes = 512) {
    this.bytes = new Uint8Array(capacityBytes)
  }

  reset(): void {
    this.length = 0
  }

  /** A copy of what was written, in memory from `allocate`, with `extraBytes` of room behind it. */
  finish(allocate: Allocate = plainly, extraBytes = 0): Uint8Array {
    const out = allocate(this.length + extraBytes)
    if (this.length <= 128) for (let i = 0; i < this.length; i++) out[i] = this.bytes[i]!
    else out.set(this.bytes.subarray(0, this.length))
    return out
  }

  u8(value: number): void {
    this.#room(1)
    this.bytes[this.length++] = value
  }

  u32(value: number): void {
    this.#room(4)
    const at = this.length
    this.bytes[at] = value
    this.bytes[at + 1] = value >>> 8
    this.bytes[at + 2] = value >>> 16
    this.bytes[at + 3] = value >>> 24
    this.length = at + 4
  }

  /** A whole number from 0 to 2^53 − 1; throws for others, which would be read back as something else. */
  whole(value: number): void {
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER))
      throw new RangeError(`${value} cannot be kept as a whole number.`)
    this.#room(8)
    let rest = value
    while (rest >= 0x80000000) {
      this.bytes[this.length++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    while (rest >= 128) {
      this.bytes[this.length++] = (rest & 127) | 128
      rest >>>= 7
    }
    this.bytes[this.length++] = rest
  }

  text(value: string): void {
    this.#room(5 + value.length * 3)
    const mark = this.length
    // Most texts are ASCII and shorter than 128: one length byte, then the characters.
    let at = mark + 1
    let i = 0
    if (value.length < 128) {
      for (; i < value.length; i++) {
        const code = value.charCodeAt(i)
        if (code >= 128) break
        this.bytes[at++] = code
      }
      if (i === value.length) {
        this.bytes[mark] = i
        this.length = at
        return
      }
    }
    const encoded = encodeText(value)
    this.whole(encoded.length)
    this.#room(encoded.length)
    this.bytes.set(encoded, this.length)
    this.length += encoded.length
  }

  optionalText(value: string | null): void {
    this.u8(value === null ? 0 : 1)
    if (value !== null) this.text(value)
  }

  /** A whole number or null. */
  optionalWhole(value: number | null): void {
    this.u8(value === null ? 0 : 1)
    if (value !== null) this.whole(value)
  }

  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.bytes.set(value, this.length)
    this.length += value.length
  }

  #room(count: number): void {
    const needed = this.length + count
    if (needed <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }
}

/** Where the finished bytes live; the shell hands in a pooled allocator. */
export type Allocate = (sizeBytes: number) => Uint8Array
const plainly: Allocate = (sizeBytes) => new Uint8Array(sizeBytes)

export class Reader {
  readonly bytes: Uint8Array
  at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  get done(): boolean {
    return this.at >= this.bytes.length
  }

  u8(): number {
    if (this.at >= this.bytes.length) throw new RangeError('The record ends before its last field.')
    return this.bytes[this.at++]!
  }

  u32(): number {
    const low = this.u8() | (this.u8() << 8) | (this.u8() << 16)
    return (low | (this.u8() << 24)) >>> 0
  }

  whole(): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < 8; count++) {
      const byte = this.u8()
      value += (byte & 127) * scale
      if (byte < 128) return value
      scale *= 128
    }
    throw new RangeError('A number in the record is longer than any that was written.')
  }

  /** How many there are in a list, each of at least a byte. */
  count(): number {
    const count = this.whole()
    if (count > this.bytes.length - this.at) throw new RangeError('A list in the record is longer than the record.')
    return count
  }

  text(): string {
    const length = this.whole()
    const end = this.at + length
    if (end > this.bytes.length) throw new RangeError('A text in the record is longer than the record.')
    const text = decodeText(this.bytes, this.at, end)
    this.at = end
    return text
  }

  optionalText(): string | null {
    return this.u8() === 0 ? null : this.text()
  }

  optionalWhole(): number | null {
    return this.u8() === 0 ? null : this.whole()
  }

  skipText(): void {
    this.at += this.whole()
  }

  /** So many bytes, which share memory with the record. */
  raw(length: number): Uint8Array {
    const end = this.at + length
    if (end > this.bytes.length) throw new RangeError('The record ends before its last field.')
    const bytes = this.bytes.subarray(this.at, end)
    this.at = end
    return bytes
  }

  rest(): Uint8Array {
    const rest = this.bytes.subarray(this.at)
    this.at = this.bytes.length
    return rest
  }
}

/** UTF-8; a lone surrogate is three bytes, so that any string comes back as it was. */
export function encodeText(value: string): Uint8Array {
  const out: number[] = []
  for (let i = 0; i < value.length; i++) {
    let code = value.charCodeAt(i)
    const low = value.charCodeAt(i + 1)
    if (code >= 0xd800 && code < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
      i++
    }
    if (code < 0x80) out.push(code)
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 63))
    else if (code < 0x10000) out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63))
    else out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63))
  }
  return Uint8Array.from(out)
}

/** What `encodeText` wrote, lone surrogates included (three bytes each), so any string comes back as it was. */
export function decodeText(bytes: Uint8Array, from: number, end: number): string {
  let text = ''
  let at = from
  if (end - from <= 256) {
    while (at < end && bytes[at]! < 0x80) at++
    if (at === end) return String.fromCharCode.apply(null, bytes.subarray(from, end) as unknown as number[])
    at = from
  }
  while (at < end) {
    const first = bytes[at++]!
    if (first < 0x80) {
      text += String.fromCharCode(first)
      continue
    }
    const next = (): number => bytes[at++]! & 63
    let code: number
    if (first < 0xe0) code = ((first & 31) << 6) | next()
    else if (first < 0xf0) code = ((first & 15) << 12) | (next() << 6) | next()
    else code = ((first & 7) << 18) | (next() << 12) | (next() << 6) | next()
    text += code < 0x10000 ? String.fromCharCode(code) : String.fromCodePoint(code)
  }
  return text
}
