/**
 * Reads a request's body: sized, chunked, empty or none, up to a limit.
 *
 * A body over the limit is not kept. It is thrown away as it comes, for a while, so that a client that writes before
 * it reads gets to see the refusal instead of a reset connection.
 */
import type { IncomingMessage } from 'node:http'
import type { Clock } from '../world/world.ts'

export interface BodyOptions {
  readonly limitBytes: number
  readonly clock: Clock
  /** Told of every piece that is kept. */
  readonly onKept: (sizeBytes: number) => void
}

/** `tooLarge`: answer and close. `aborted`: nobody is there to answer. */
export type BodyResult = Uint8Array | 'tooLarge' | 'aborted'

const DISCARD_BYTES = 16 * 1024 * 1024
const DISCARD_MS = 2_000
const NOTHING = new Uint8Array(0)

export function readBody(message: IncomingMessage, { limitBytes, clock, onKept }: BodyOptions): Promise<BodyResult> {
  const declared = message.headers['content-length']
  if (declared === undefined && message.headers['transfer-encoding'] === undefined) return Promise.resolve(NOTHING)
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    let discarding = false
    let stopDiscarding = () => {}

    const finish = (result: BodyResult) => {
      stopDiscarding()
      message.off('data', onData).off('end', onEnd).off('error', onAborted).off('close', onAborted)
      message.on('error', () => {})
      resolve(result)
    }
    const discard = () => {
      discarding = true
      chunks.length = 0
      stopDiscarding = clock.after(DISCARD_MS, () => finish('tooLarge'))
    }
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (!discarding && size > limitBytes) discard()
      if (discarding) {
        if (size > DISCARD_BYTES) finish('tooLarge')
        return
      }
      chunks.push(chunk)
      onKept(chunk.length)
    }
    const onEnd = () => finish(discarding ? 'tooLarge' : Buffer.concat(chunks))
    const onAborted = () => finish('aborted')

    if (Number(declared ?? 0) > limitBytes) discard()
    message.on('data', onData).on('end', onEnd).on('error', onAborted).on('close', onAborted)
  })
}
