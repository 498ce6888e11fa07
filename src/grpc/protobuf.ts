/**
 * The protobuf runtime the generated code of `gen/` runs on: protobufjs's minimal build, with
 * decisions made here for every message instead of at each use.
 *
 * - A 64 bit integer is a JavaScript number. Everything this protocol counts (offsets, seconds,
 *   sizes) stays below 2^53; a peer that sends more gets the nearest double, never an object.
 *   protobufjs would return `Long` objects as soon as the package `long` can be loaded, whatever
 *   `--force-number` says about the types.
 * - Unknown fields are skipped and not kept (protobufjs's default): a peer cannot make us hold what we
 *   do not understand.
 *
 * - What a message may hold is counted while it is read, before an object is made for it: a few bytes of gzip can say
 *   millions of empty fields, and each would cost an object. `maxMessageValues` bounds the work of one `decode`.
 *
 * `bytes` fields are views into the received frame and pin it: copy what outlives the call. A string
 * that is not UTF-8, a truncated field or a message nested too deeply throws.
 */
import protobuf from 'protobufjs/minimal.js'

export type ProtoWriter = protobuf.Writer

/** What the transport needs of a generated message: `Out` as decoded, `In` as a handler may write it. */
export interface Codec<Out, In> {
  /** Throws on input that is not this message. A `bytes` field is a view into `bytes`. */
  decode(bytes: Uint8Array): Out
  encode(message: In, writer?: ProtoWriter): ProtoWriter
}

/**
 * Values one message may hold with all that is in it: each field that occurs, each entry of a repeated field or a map, and
 * each number of a packed field. A send of 1,024 messages with ten properties each
 * fits; to decode this many takes 15 to 25 ms.
 */
export const maxMessageValues = 65_536

/** Thrown by `decode` of a message with more than `maxMessageValues`, or more entries of a field than scripts/generate-proto.mjs says. */
export class TooManyValues extends Error {
  override readonly name = 'TooManyValues'
}

/** BufferReader as it behaves; its declaration promises `Long`, and knows nothing of `tag`, which generated code calls. */
interface WideReader {
  buf: Uint8Array
  pos: number
  len: number
  tag(): number
  size(): number
  int64(): unknown
  uint64(): unknown
  sint64(): unknown
  fixed64(): unknown
  sfixed64(): unknown
}
const BufferReader = protobuf.BufferReader as unknown as new (buffer: Uint8Array) => WideReader

class NumberReader extends BufferReader {
  static recursionLimit = protobuf.Reader.recursionLimit
  #values = 0
  #most = maxMessageValues

  /** `most` values, where generated code says fewer than `maxMessageValues` (scripts/generate-proto.mjs). */
  static create(source: Uint8Array | Buffer, most = maxMessageValues): NumberReader {
    latest = new NumberReader(
      Buffer.isBuffer(source) ? source : Buffer.from(source.buffer, source.byteOffset, source.length),
    )
    latest.#most = most
    return latest
  }

  /** For generated code: what a field with as many entries as may be is refused with. */
  static tooMany(most: number, field: string): TooManyValues {
    return new TooManyValues(`it holds more than ${most} ${field}`)
  }

  get values(): number {
    return this.#values
  }

  override tag(): number {
    if (++this.#values > this.#most) throw tooMany(this.#most)
    return super.tag()
  }

  /** Counts the numbers of the packed field that begins here, each of at least so many bytes. */
  countPacked(bytesEach: number): void {
    const start = this.pos
    this.#values += Math.floor(this.size() / bytesEach)
    if (this.#values > this.#most) throw tooMany(this.#most)
    this.pos = start
  }

  override int64(): number {
    // Seven bytes hold 49 bits: every time in milliseconds, and all but absurd offsets.
    const { buf, len } = this
    const limit = Math.min(len, this.pos + 7)
    let value = 0
    let factor = 1
    for (let pos = this.pos; pos < limit; pos++) {
      const byte = buf[pos]!
      value += (byte & 127) * factor
      if (byte < 128) {
        this.pos = pos + 1
        return value
      }
      factor *= 128
    }
    return Number(super.int64())
  }

  override uint64(): number {
    return Number(super.uint64())
  }

  override sint64(): number {
    return Number(super.sint64())
  }

  override fixed64(): number {
    return Number(super.fixed64())
  }

  override sfixed64(): number {
    return Number(super.sfixed64())
  }
}

let latest: NumberReader | null = null

/** How many values the message had that was decoded last; asked once, right behind `decode`. 0 for another codec's. */
export function decodedValues(): number {
  const values = latest?.values ?? 0
  latest = null
  return values
}

const tooMany = (most: number) => new TooManyValues(`it holds more than ${most} values`)

/** Readers of packed fields, with the least bytes of one number. One tag stands for all its numbers. */
const packedReaders = {
  int32s: 1,
  uint32s: 1,
  sint32s: 1,
  int64s: 1,
  uint64s: 1,
  sint64s: 1,
  bools: 1,
  fixed32s: 4,
  sfixed32s: 4,
  floats: 4,
  fixed64s: 8,
  sfixed64s: 8,
  doubles: 8,
}
for (const [name, bytesEach] of Object.entries(packedReaders)) {
  const read = (protobuf.Reader.prototype as unknown as Record<string, (target: unknown[]) => unknown>)[name]!
  Object.defineProperty(NumberReader.prototype, name, {
    value(this: NumberReader, target: unknown[]) {
      this.countPacked(bytesEach)
      return read.call(this, target)
    },
  })
}

/** Handed to the generated code as if it were protobufjs itself; it changes nothing in the shared module. */
export default {
  Reader: NumberReader,
  Writer: protobuf.Writer,
  util: Object.create(protobuf.util, { Long: { value: null } }) as typeof protobuf.util,
  roots: {} as Record<string, unknown>,
}

const keptWriterBytes = 64 * 1024
let spare: ProtoWriter | null = null

/** A writer that keeps its memory from one message to the next: `returnWriter` it in a `finally`, in the same turn. */
export function borrowWriter(): ProtoWriter {
  const borrowed = spare ?? protobuf.Writer.create()
  spare = null
  return borrowed
}

/** Views of what it has written are good until then. One that threw half-way, or that has grown, is not used again. */
export function returnWriter(writer: ProtoWriter): void {
  if (writer.pos > keptWriterBytes || writer.states?.length) return
  writer.reset()
  spare = writer
}
