/**
 * Decompression of requests. A few bytes of gzip may become a thousand times as many, so only a few messages of the whole
 * process are inflated at a time, each up to the limit of one message, and the others wait in turn as they came. The
 * machine's thread pool would run no more at once either, but would hold the output of all of them.
 */
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'

const atOnce = 4

let running = 0
const waiting: (() => void)[] = []

/**
 * The message, or null when `wanted` said no once its turn came. Throws zlib's error, with code ERR_BUFFER_TOO_LARGE
 * beyond `maxBytes`. How many wait is bounded by whoever counts the compressed bytes.
 */
export async function inflate(bytes: Buffer, maxBytes: number, wanted: () => boolean): Promise<Buffer | null> {
  if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
  else running++
  try {
    return wanted() ? await inflateGzip(bytes, { maxOutputLength: maxBytes }) : null
  } finally {
    // The turn is handed on, so that nobody overtakes.
    const next = waiting.shift()
    if (next) next()
    else running--
  }
}

const inflateGzip = promisify(gunzip) as (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>
