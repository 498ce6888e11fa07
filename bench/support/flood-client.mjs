/**
 * A hostile client in a process of its own, for the benchmark of turns: it prepares everything, is told to begin, and
 * writes it as fast as its sockets take it. Frames are written by hand. Arguments: what it sends, the port, how many.
 */
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { frame, headerBlock } from './http2.mjs'

const [what, port, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const frames = { data: 0, headers: 1, reset: 3, settings: 4 }
const [endStream, endHeaders, acknowledged, cancel] = [1, 4, 1, 8]
const method = { resets: 'SendMessage', bombs: 'SendMessage', telemetry: 'Telemetry', values: 'SendMessage' }[what]
const perConnection = { resets: 900, bombs: 100, telemetry: 1_000, values: 100 }[what]

/** A message marked compressed that becomes 16 MiB: a field nobody knows, `0x7a` with its length, of zeros. */
const bomb = compressed(Buffer.concat([Buffer.from([0x7a, 0xf0, 0xff, 0xff, 0x07]), Buffer.alloc(16 * 2 ** 20 - 32)]))
/** One of as many values as are allowed: a message with 21,000 properties, each with a name of its own. */
const values = compressed(
  field(
    0x0a,
    Buffer.concat(Array.from({ length: 21_000 }, (_, i) => field(0x12, field(0x0a, Buffer.from(i.toString(36)))))),
  ),
)
/** Settings of a producer, as a telemetry command: tag 3, then the client type and a publishing part. */
const telemetry = plain(Buffer.from([0x0a, 0x06, 0x08, 0x01, 0x22, 0x02, 0x0a, 0x00]))

function field(tag, bytes) {
  const length = []
  let rest = bytes.length
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128)
  return Buffer.concat([Buffer.from([tag, ...length, rest]), bytes])
}
function compressed(bytes) {
  return prefixed(1, gzipSync(bytes, { level: 9 }))
}
function plain(bytes) {
  return prefixed(0, bytes)
}
function prefixed(flags, bytes) {
  const head = Buffer.alloc(5, flags)
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

function attack(connection) {
  const block = headerBlock({
    method,
    endpoint: `127.0.0.1:${port}`,
    clientId: `flood-${process.pid}-${connection}`,
    more: what === 'bombs' || what === 'values' ? { 'grpc-encoding': 'gzip' } : {},
  })
  const out = []
  for (let n = 0; n < perConnection; n++) {
    const id = 2 * n + 1
    out.push(frame(frames.headers, endHeaders, id, block))
    if (what === 'resets') {
      const code = Buffer.alloc(4)
      code.writeUInt32BE(cancel)
      out.push(frame(frames.reset, 0, id, code))
    } else if (what === 'telemetry') {
      out.push(frame(frames.data, 0, id, telemetry))
    } else {
      const body = what === 'bombs' ? bomb : values
      for (let from = 0; from < body.length; from += 16_384) {
        const last = from + 16_384 >= body.length
        out.push(frame(frames.data, last ? endStream : 0, id, body.subarray(from, from + 16_384)))
      }
    }
  }
  return Buffer.concat(out)
}

const sockets = await Promise.all(
  Array.from({ length: Math.ceil(count / perConnection) }, async (_, n) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    await new Promise((resolve) => socket.once('connect', resolve))
    // The largest windows, so that answers are not held back.
    const settings = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    socket.write(frame(frames.settings, 0, 0, settings))
    socket.write(frame(frames.settings, acknowledged, 0, Buffer.alloc(0)))
    socket.resume()
    return { socket, bytes: attack(n) }
  }),
)
process.send('ready')
process.once('message', () => {
  for (const { socket, bytes } of sockets) socket.write(bytes)
})
