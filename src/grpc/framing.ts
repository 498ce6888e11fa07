/**
 * gRPC messages on a byte stream: one byte of flags, four of length, then the message. The reader takes chunks cut
 * anywhere and keeps at most one unfinished message, never more memory than has arrived.
 */
import { borrowWriter, type Codec, returnWriter } from './protobuf.ts'
import { RpcError, Status } from './transport.ts'

export const frameHeaderBytes = 5
const emptyHeader = new Uint8Array(frameHeaderBytes)
const empty = Buffer.alloc(0)

/** The message with its frame header, in one exact buffer. */
export function encodeFrame<In>(codec: Codec<unknown, In>, message: In): Buffer {
  const writer = borrowWriter()
  try {
    codec.encode(message, writer.raw(emptyHeader))
    const frame = writer.finish() as Buffer
    frame.writeUInt32BE(frame.length - frameHeaderBytes, 1)
    return frame
  } finally {
    returnWriter(writer)
  }
}

/** The frame header of a message given in pieces. */
export function frameHeader(messageBytes: number): Buffer {
  const header = Buffer.alloc(frameHeaderBytes)
  header.writeUInt32BE(messageBytes, 1)
  return header
}

/** Cuts a byte stream into messages. `push` throws RpcError when the stream cannot be read on. */
export class MessageReader {
  readonly #maxMessageBytes: number
  readonly #onMessage: (message: Buffer, compressed: boolean) => void
  /** Made when a chunk ends inside a header. */
  #header: Buffer = empty
  #headerFilled = 0
  #compressed = false
  /** The message's length, or -1 while its header is incomplete. */
  #length = -1
  #body: Buffer = empty
  #bodyFilled = 0

  constructor(maxMessageBytes: number, onMessage: (message: Buffer, compressed: boolean) => void) {
    this.#maxMessageBytes = maxMessageBytes
    this.#onMessage = onMessage
  }

  /** True between messages: a stream may end here. */
  get atBoundary(): boolean {
    return this.#headerFilled === 0
  }

  /** A message that lies whole in `chunk` is handed on as a view of it. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#length < 0) at += this.#readHeader(chunk, at)
      if (this.#length < 0) return
      at += this.#readBody(chunk, at)
    }
  }

  #readHeader(chunk: Buffer, at: number): number {
    if (this.#headerFilled === 0 && chunk.length - at >= frameHeaderBytes) {
      this.#headerFilled = frameHeaderBytes
      this.#begin(chunk, at)
      return frameHeaderBytes
    }
    if (this.#header.length === 0) this.#header = Buffer.alloc(frameHeaderBytes)
    const taken = chunk.copy(this.#header, this.#headerFilled, at, at + frameHeaderBytes - this.#headerFilled)
    this.#headerFilled += taken
    if (this.#headerFilled === frameHeaderBytes) this.#begin(this.#header, 0)
    return taken
  }

  /** Takes the whole header at `at`. */
  #begin(bytes: Buffer, at: number): void {
    const flags = bytes[at]!
    if (flags > 1) throw new RpcError(Status.INTERNAL, `A message starts with flags ${flags}; only 0 and 1 are known`)
    const length = bytes.readUInt32BE(at + 1)
    if (length > this.#maxMessageBytes) {
      throw new RpcError(
        Status.RESOURCE_EXHAUSTED,
        `A message of ${length} bytes is larger than the limit of ${this.#maxMessageBytes}`,
      )
    }
    this.#compressed = flags === 1
    this.#length = length
  }

  #readBody(chunk: Buffer, at: number): number {
    const missing = this.#length - this.#bodyFilled
    const taken = Math.min(missing, chunk.length - at)
    if (this.#bodyFilled === 0 && taken === missing) {
      this.#finish(chunk.subarray(at, at + taken))
      return taken
    }
    this.#reserve(this.#bodyFilled + taken)
    chunk.copy(this.#body, this.#bodyFilled, at, at + taken)
    this.#bodyFilled += taken
    if (this.#bodyFilled === this.#length) this.#finish(this.#body)
    return taken
  }

  /** Grows by doubling: the announced length alone costs nothing, and tiny chunks are not kept one by one. */
  #reserve(bytes: number): void {
    if (bytes <= this.#body.length) return
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#length, Math.max(bytes, this.#body.length * 2)))
    this.#body.copy(larger, 0, 0, this.#bodyFilled)
    this.#body = larger
  }

  #finish(message: Buffer): void {
    this.#headerFilled = 0
    this.#length = -1
    this.#body = empty
    this.#bodyFilled = 0
    this.#onMessage(message, this.#compressed)
  }
}
