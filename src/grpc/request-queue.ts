/**
 * The client's messages of a call with streams both ways, held back by flow control while nobody reads them: at most one
 * waits beside those of the chunk it came in.
 */
import type { ServerHttp2Stream } from 'node:http2'
import { frameHeaderBytes } from './framing.ts'
import type { RpcError } from './transport.ts'

/** A message as it came. */
export interface RequestMessage {
  readonly bytes: Buffer
  readonly compressed: boolean
}

/** What the queue needs of the call whose messages it holds. */
interface Reader {
  /** The message's value; throws RpcError when it is not what it should be. */
  decode(message: RequestMessage): Promise<unknown>
  /** Lets go of what a message held. */
  release(bytes: number): void
}

export class RequestQueue implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  readonly #call: Reader
  readonly #stream: ServerHttp2Stream
  #messages: RequestMessage[] = []
  #finished = false
  #reason: RpcError | null = null
  #unwanted = false
  #wake: (() => void) | null = null

  constructor(call: Reader, stream: ServerHttp2Stream) {
    this.#call = call
    this.#stream = stream
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return this
  }

  push(message: RequestMessage): void {
    if (this.#unwanted) {
      this.#call.release(message.bytes.length + frameHeaderBytes)
      return
    }
    this.#messages.push(message)
    if (this.#messages.length > 1) this.#stream.pause()
    this.#wake?.()
  }

  /** No more messages; those of an orderly end are still read, after an error none. */
  finish(reason: RpcError | null): void {
    if (this.#finished && !reason) return
    if (reason) {
      this.#messages = []
      this.#reason ??= reason
    }
    this.#finished = true
    this.#wake?.()
  }

  async next(): Promise<IteratorResult<unknown>> {
    while (true) {
      const message = this.#messages.shift()
      if (message) {
        if (this.#messages.length === 0) this.#stream.resume()
        this.#call.release(message.bytes.length + frameHeaderBytes)
        return { done: false, value: await this.#call.decode(message) }
      }
      if (this.#reason) throw this.#reason
      if (this.#finished) return { done: true, value: undefined }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = null
    }
  }

  /** A handler that stops iterating has what is left thrown away; it may still write. */
  async return(): Promise<IteratorResult<unknown>> {
    this.#unwanted = true
    for (const message of this.#messages.splice(0)) this.#call.release(message.bytes.length + frameHeaderBytes)
    this.#stream.resume()
    return { done: true, value: undefined }
  }
}
