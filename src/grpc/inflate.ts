/**
 * Decompression of requests. A few bytes of gzip may become a thousand times as many, so only a few messages of the whole
 * process are inflated at a time, each up to the limit of one message. The others wait: owners (instances) take turns,
 * and within an owner its connections do, so that nobody's line is longer for what another sent. The machine's thread
 * pool would run no more at once either, but would hold the output of all of them.
 */
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'

const atOnce = 4

/** Who asks, from the outside in: the instance, then the connection. */
export type Asker = readonly [owner: object, connection: object]

let running = 0
/** By owner, then by connection; whoever has had a turn goes to the end. No entry is empty. */
const waiting = new Map<object, Map<object, (() => void)[]>>()

/**
 * The message, or null when `wanted` said no once its turn came. Throws zlib's error, with code ERR_BUFFER_TOO_LARGE
 * beyond `maxBytes`. How many wait is bounded by whoever counts the compressed bytes.
 */
export async function inflate(
  bytes: Buffer,
  maxBytes: number,
  asker: Asker,
  wanted: () => boolean,
): Promise<Buffer | null> {
  if (running >= atOnce) await new Promise<void>((resolve) => wait(asker, resolve))
  else running++
  try {
    return wanted() ? await inflateGzip(bytes, { maxOutputLength: maxBytes }) : null
  } finally {
    // The turn is handed on, so that nobody overtakes.
    const next = takeNext()
    if (next) next()
    else running--
  }
}

const inflateGzip = promisify(gunzip) as (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>

function wait([owner, connection]: Asker, begin: () => void): void {
  const connections = waiting.get(owner) ?? new Map<object, (() => void)[]>()
  const line = connections.get(connection) ?? []
  line.push(begin)
  connections.set(connection, line)
  waiting.set(owner, connections)
}

function takeNext(): (() => void) | null {
  for (const [owner, connections] of waiting) {
    waiting.delete(owner)
    for (const [connection, line] of connections) {
      connections.delete(connection)
      const begin = line.shift()!
      if (line.length > 0) connections.set(connection, line)
      if (connections.size > 0) waiting.set(owner, connections)
      return begin
    }
  }
  return null
}
