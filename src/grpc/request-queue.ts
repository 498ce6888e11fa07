/**
 * The client's messages of a call with streams both ways. A few are read ahead of the handler, and counted; beyond that the
 * client is held back by flow control. What it may still send then lies within Node, up to the stream's window, where
 * nobody counts it: the whole window is counted for as long as the stream is paused.
 *
 * A handler that waits for the next message still has the last one: until the next one comes that one counts, with the
 * values decoded from it.
 */
import type { ServerHttp2Stream } from 'node:http2'
import { frameHeaderBytes } from './framing.ts'
import type { RpcError } from './transport.ts'

/** A message as it came. */
export interface RequestMessage {
  readonly bytes: Buffer
  readonly compressed: boolean
}

/** Messages that may wait for the handler, and their bytes; beyond either the stream is paused. */
const maxAheadMessages = 16
const maxAheadBytes = 64 * 1024

/** What the queue needs of the call whose messages it holds. */
interface Reader {
  /** The message's value, and the bytes it counts for beside the message's own; throws RpcError when it is not what it should be. */
  decode(message: RequestMessage): Promise<{ readonly value: unknown; readonly heldBytes: number }>
  /** Counts bytes; false when that was too much, and the call has ended. */
  hold(bytes: number): boolean
  /** Lets go of what a message held. */
  release(bytes: number): void
}

export class RequestQueue implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  readonly #call: Reader
  readonly #stream: ServerHttp2Stream
  readonly #windowBytes: number
  #messages: RequestMessage[] = []
  #aheadBytes = 0
  /** What the handler's message counts for. */
  #givenBytes = 0
  #paused = false
  #finished = false
  #reason: RpcError | null = null
  #unwanted = false
  #wake: (() => void) | null = null

  /** `windowBytes` is what the client may send ahead on `stream`. */
  constructor(call: Reader, stream: ServerHttp2Stream, windowBytes: number) {
    this.#call = call
    this.#stream = stream
    this.#windowBytes = windowBytes
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return this
  }

  push(message: RequestMessage): void {
    if (this.#reason !== null) return
    if (this.#unwanted) {
      this.#call.release(message.bytes.length + frameHeaderBytes)
      return
    }
    this.#messages.push(message)
    this.#aheadBytes += message.bytes.length
    const waiting = this.#messages.length
    if (waiting > maxAheadMessages || (waiting > 1 && this.#aheadBytes > maxAheadBytes)) this.#pause()
    this.#wake?.()
  }

  /** No more messages; those of an orderly end are still read, after an error none. */
  finish(reason: RpcError | null): void {
    if (this.#finished && !reason) return
    if (reason) {
      // The call has let go of all it held.
      this.#messages = []
      this.#reason ??= reason
      this.#paused = false
      this.#stream.resume()
    }
    this.#finished = true
    this.#wake?.()
  }

  async next(): Promise<IteratorResult<unknown>> {
    while (true) {
      const message = this.#messages.shift()
      if (message) {
        this.#aheadBytes -= message.bytes.length
        if (this.#messages.length === 0) this.#resume()
        this.#releaseGiven()
        this.#givenBytes = message.bytes.length + frameHeaderBytes
        const { value, heldBytes } = await this.#call.decode(message)
        this.#givenBytes += heldBytes
        return { done: false, value }
      }
      if (this.#reason) throw this.#reason
      if (this.#finished) {
        this.#releaseGiven()
        return { done: true, value: undefined }
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = null
    }
  }

  /** A handler that stops iterating has what is left thrown away; it may still write. */
  async return(): Promise<IteratorResult<unknown>> {
    this.#unwanted = true
    this.#releaseGiven()
    for (const message of this.#messages.splice(0)) this.#call.release(message.bytes.length + frameHeaderBytes)
    this.#resume()
    return { done: true, value: undefined }
  }

  #releaseGiven(): void {
    this.#call.release(this.#givenBytes)
    this.#givenBytes = 0
  }

  #pause(): void {
    if (this.#paused || !this.#call.hold(this.#windowBytes)) return
    this.#paused = true
    this.#stream.pause()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#call.release(this.#windowBytes)
    this.#stream.resume()
  }
}
