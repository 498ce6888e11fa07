/**
 * A gRPC client that costs next to nothing, so that a benchmark measures the server and not itself: HTTP/2 frames
 * written by hand over a plain socket, the same uncompressed header block for every call of a method, no decoding of
 * answers beyond their messages. Keeps flow control in both directions; loopback only, for it believes every certificate.
 */
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'

const frames = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 }
const endStream = 1
const acknowledged = 1
const endHeaders = 4
const ourWindow = 16 * 1024 * 1024
const service = '/apache.rocketmq.v2.MessagingService/'

export class Connection {
  /** Resolves once the server's settings have arrived. */
  static async open(endpoint, clientId, { tls = false } = {}) {
    const [host, port] = endpoint.split(':')
    const socket = tls
      ? connectTls({ host, port: Number(port), ALPNProtocols: ['h2'], rejectUnauthorized: false })
      : connect(Number(port), host)
    socket.setNoDelay(true)
    await new Promise((resolve, reject) => {
      socket.once(tls ? 'secureConnect' : 'connect', resolve)
      socket.once('error', reject)
    })
    const connection = new Connection(socket, endpoint, clientId, tls)
    await connection.#ready
    return connection
  }

  #socket
  #endpoint
  #clientId
  #tls
  #ready
  #onReady
  #onNeverReady
  #blocks = new Map()
  #streams = new Map()
  #nextStream = 1
  #window = 65_535
  #streamWindow = 65_535
  #blocked = []
  #out = []
  #flushing = false
  #rest = null
  #unacknowledged = 0

  constructor(socket, endpoint, clientId, tls) {
    this.#socket = socket
    this.#endpoint = endpoint
    this.#clientId = clientId
    this.#tls = tls
    this.#ready = new Promise((resolve, reject) => {
      this.#onReady = resolve
      this.#onNeverReady = reject
    })
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('The server closed the connection.')))
    const settings = Buffer.alloc(18)
    for (const [index, [id, value]] of [
      [1, 0],
      [2, 0],
      [4, ourWindow],
    ].entries()) {
      settings.writeUInt16BE(id, index * 6)
      settings.writeUInt32BE(value, index * 6 + 2)
    }
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    this.#write(frame(frames.settings, 0, 0, settings))
    this.#write(windowUpdate(ourWindow))
  }

  /** Calls a method with one encoded request; answers the messages of the answer, encoded. */
  call(method, request) {
    return new Promise((resolve, reject) => {
      const body = Buffer.allocUnsafe(5 + request.length)
      body[0] = 0
      body.writeUInt32BE(request.length, 1)
      body.set(request, 5)
      if (body.length > this.#streamWindow) throw new Error('The request is larger than the server lets one call send.')
      const send = { method, body, resolve, reject }
      if (this.#blocked.length > 0 || body.length > this.#window) this.#blocked.push(send)
      else this.#start(send)
    })
  }

  close() {
    this.#socket.destroy()
  }

  #start({ method, body, resolve, reject }) {
    const id = this.#nextStream
    this.#nextStream += 2
    this.#streams.set(id, { chunks: [], resolve, reject })
    this.#window -= body.length
    this.#write(frame(frames.headers, endHeaders, id, this.#headerBlock(method)))
    // Frames of at most 16 KiB, HTTP/2's default.
    for (let from = 0; from < body.length; from += 16_384) {
      const last = from + 16_384 >= body.length
      this.#write(frame(frames.data, last ? endStream : 0, id, body.subarray(from, from + 16_384)))
    }
  }

  #headerBlock(method) {
    let block = this.#blocks.get(method)
    if (block !== undefined) return block
    block = headerBlock({ method, endpoint: this.#endpoint, clientId: this.#clientId, tls: this.#tls })
    this.#blocks.set(method, block)
    return block
  }

  #write(bytes) {
    this.#out.push(bytes)
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      const all = this.#out.length === 1 ? this.#out[0] : Buffer.concat(this.#out)
      this.#out = []
      if (!this.#socket.destroyed) this.#socket.write(all)
    })
  }

  #read(chunk) {
    let bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    while (bytes.length - at >= 9) {
      const length = bytes.readUIntBE(at, 3)
      if (bytes.length - at < 9 + length) break
      this.#take(bytes[at + 3], bytes[at + 4], bytes.readUInt32BE(at + 5), bytes.subarray(at + 9, at + 9 + length))
      at += 9 + length
    }
    bytes = bytes.subarray(at)
    this.#rest = bytes.length === 0 ? null : bytes
  }

  #take(type, flags, id, payload) {
    switch (type) {
      case frames.data: {
        const stream = this.#streams.get(id)
        stream?.chunks.push(payload)
        this.#unacknowledged += payload.length
        if (this.#unacknowledged > ourWindow / 4) {
          this.#write(windowUpdate(this.#unacknowledged))
          this.#unacknowledged = 0
        }
        if (flags & endStream) this.#end(id)
        return
      }
      case frames.headers:
        if (flags & endStream) this.#end(id)
        return
      case frames.reset: {
        const stream = this.#streams.get(id)
        this.#streams.delete(id)
        stream?.reject(new Error(`The server reset the call with code ${payload.readUInt32BE(0)}.`))
        return
      }
      case frames.settings:
        if (flags & acknowledged) return
        for (let at = 0; at + 6 <= payload.length; at += 6) {
          if (payload.readUInt16BE(at) === 4) this.#streamWindow = payload.readUInt32BE(at + 2)
        }
        this.#write(frame(frames.settings, acknowledged, 0, Buffer.alloc(0)))
        this.#onReady()
        return
      case frames.ping:
        if (!(flags & acknowledged)) this.#write(frame(frames.ping, acknowledged, 0, Buffer.from(payload)))
        return
      case frames.windowUpdate:
        if (id === 0) this.#window += payload.readUInt32BE(0)
        while (this.#blocked.length > 0 && this.#blocked[0].body.length <= this.#window)
          this.#start(this.#blocked.shift())
        return
      case frames.goaway:
        this.#fail(new Error(`The server said GOAWAY with code ${payload.readUInt32BE(4)}.`))
    }
  }

  #end(id) {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#streams.delete(id)
    const bytes = stream.chunks.length === 1 ? stream.chunks[0] : Buffer.concat(stream.chunks)
    const messages = []
    for (let at = 0; at + 5 <= bytes.length; ) {
      const length = bytes.readUInt32BE(at + 1)
      messages.push(bytes.subarray(at + 5, at + 5 + length))
      at += 5 + length
    }
    stream.resolve(messages)
  }

  #fail(error) {
    this.#onNeverReady(error)
    const streams = [...this.#streams.values(), ...this.#blocked]
    this.#streams.clear()
    this.#blocked = []
    for (const stream of streams) stream.reject(error)
  }
}

/** The headers of a call. POST, http and https are indexed; literals are not, so that no table has to be kept. */
export function headerBlock({ method, endpoint, clientId, tls = false, more = {} }) {
  return Buffer.concat([
    Buffer.from([0x83, tls ? 0x87 : 0x86]),
    Buffer.from([0x04]),
    text(service + method),
    Buffer.from([0x01]),
    text(endpoint),
    Buffer.from([0x0f, 0x10]),
    text('application/grpc'),
    ...Object.entries({
      te: 'trailers',
      'x-mq-client-id': clientId,
      'x-mq-language': 'BENCH',
      'x-mq-client-version': '5.1.0',
      ...more,
    }).flatMap(([name, value]) => [Buffer.from([0x00]), text(name), text(value)]),
  ])
}

export function frame(type, flags, id, payload) {
  const bytes = Buffer.allocUnsafe(9 + payload.length)
  bytes.writeUIntBE(payload.length, 0, 3)
  bytes[3] = type
  bytes[4] = flags
  bytes.writeUInt32BE(id, 5)
  bytes.set(payload, 9)
  return bytes
}

function windowUpdate(increment) {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(increment)
  return frame(frames.windowUpdate, 0, 0, payload)
}

/** An HPACK string without Huffman coding, of fewer than 127 bytes. */
function text(value) {
  const bytes = Buffer.from(value)
  if (bytes.length >= 127) throw new Error(`A header of ${bytes.length} bytes is too long for this client.`)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}
