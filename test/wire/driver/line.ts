/**
 * gRPC said by hand: one HTTP/2 connection with the ALPN, SNI, settings and windows a client of another language would
 * use, and calls whose headers and bytes the test chooses. Nothing is retried, added or checked behind its back.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, type Settings } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export interface LineOptions {
  readonly port: number
  /** Null speaks HTTP/2 in the clear, with prior knowledge. */
  readonly tls: { readonly alpn: readonly string[]; readonly servername?: string } | null
  readonly settings?: Settings
  /** Flow-control window of the whole connection. */
  readonly windowBytes?: number
}

/** How a call ended. A reset before any status has `grpcStatus` null. */
export interface Outcome {
  readonly httpStatus: number | null
  readonly contentType: string | null
  readonly grpcStatus: number | null
  readonly grpcMessage: string
  readonly resetCode: number
}

export class Line {
  readonly session: ClientHttp2Session
  readonly alpnProtocol: string | null
  readonly closed: Promise<void>
  readonly #authority: string

  private constructor(socket: Socket, options: LineOptions, alpnProtocol: string | null) {
    this.alpnProtocol = alpnProtocol
    this.#authority = `127.0.0.1:${options.port}`
    this.session = connectHttp2(`http://${this.#authority}`, {
      createConnection: () => socket,
      // Node's client would refuse an answer while megabytes of its own request wait.
      maxSessionMemory: 1000,
      ...(options.settings && { settings: options.settings }),
    })
    this.session.on('error', () => {})
    this.session.on('frameError', () => {})
    this.closed = new Promise((resolve) => this.session.once('close', () => resolve()))
    if (options.windowBytes !== undefined) {
      const { windowBytes } = options
      this.session.once('connect', () => this.session.setLocalWindowSize(windowBytes))
    }
  }

  static open(options: LineOptions): Promise<Line> {
    return new Promise((resolve, reject) => {
      const { port, tls } = options
      if (tls === null) {
        const socket = connectTcp(port, '127.0.0.1', () => resolve(new Line(socket, options, null)))
        socket.once('error', reject)
        return
      }
      const socket = connectTls(
        {
          port,
          host: '127.0.0.1',
          ALPNProtocols: [...tls.alpn],
          // Every official client that defaults to TLS trusts whatever it meets (data-plane §11.2).
          rejectUnauthorized: false,
          ...(tls.servername !== undefined && { servername: tls.servername }),
        },
        () => resolve(new Line(socket, options, socket.alpnProtocol || null)),
      )
      socket.once('error', reject)
    })
  }

  call(path: string, headers: Readonly<Record<string, string>>): RawCall {
    return new RawCall(
      this.session.request({
        ':method': 'POST',
        ':path': path,
        ':authority': this.#authority,
        ...headers,
      }),
    )
  }

  ping(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.session.ping((error) => (error ? reject(error) : resolve()))) reject(new Error('No ping was sent.'))
    })
  }

  close(): void {
    this.session.destroy()
  }
}

export class RawCall {
  readonly stream: ClientHttp2Stream
  /** Messages received and not yet taken by `next`. */
  readonly messages: Buffer[] = []
  readonly ended: Promise<Outcome>
  #over = false
  #wake: (() => void) | null = null
  #unread: Buffer = Buffer.alloc(0)

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream
    let answer = {
      httpStatus: null as number | null,
      contentType: null as string | null,
      grpcStatus: null as number | null,
      grpcMessage: '',
    }
    const read = (headers: Record<string, unknown>): void => {
      const status = headers['grpc-status']
      answer = {
        httpStatus: (headers[':status'] as number | undefined) ?? answer.httpStatus,
        contentType: (headers['content-type'] as string | undefined) ?? answer.contentType,
        grpcStatus: status === undefined ? answer.grpcStatus : Number(status),
        grpcMessage: decodeURIComponent((headers['grpc-message'] as string | undefined) ?? answer.grpcMessage),
      }
    }
    stream.on('response', read)
    stream.on('trailers', read)
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => this.#read(chunk))
    this.ended = new Promise((resolve) => {
      stream.once('close', () => {
        this.#over = true
        this.#wake?.()
        resolve({ ...answer, resetCode: stream.rstCode })
      })
    })
  }

  /** One message in a gRPC frame; `compressed` sets its flag and changes nothing else. */
  send(message: Uint8Array, compressed = false): void {
    this.stream.write(frame(message, compressed))
  }

  end(): void {
    this.stream.end()
  }

  cancel(): void {
    this.stream.close(8)
  }

  /** The next message, or null when the call has ended. */
  async next(): Promise<Buffer | null> {
    while (true) {
      const message = this.messages.shift()
      if (message !== undefined) return message
      if (this.#over) return null
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #read(chunk: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, chunk])
    while (this.#unread.length >= 5) {
      const end = 5 + this.#unread.readUInt32BE(1)
      if (this.#unread.length < end) return
      this.messages.push(this.#unread.subarray(5, end))
      this.#unread = this.#unread.subarray(end)
      this.#wake?.()
    }
  }
}

export function frame(message: Uint8Array, compressed = false): Buffer {
  const header = Buffer.alloc(5)
  header[0] = compressed ? 1 : 0
  header.writeUInt32BE(message.length, 1)
  return Buffer.concat([header, message])
}
