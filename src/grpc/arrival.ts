/**
 * A socket from `accept` to its end: its first bytes, perhaps a PROXY header, perhaps TLS, then HTTP/2.
 *
 * The bytes looked at are put back before the next reader takes the socket over. Until it speaks HTTP/2 a connection
 * costs its socket and one timer, and has a bounded time.
 */
import type { Socket } from 'node:net'
import type { Cancel } from '../world/world.ts'
import { Http2Connection } from './connection.ts'
import { maxFirstBytes, type ProxyAddresses, recognise } from './first-bytes.ts'
import type { Host } from './host.ts'
import type { Port } from './port.ts'
import type { Connection } from './transport.ts'

const http1Answer =
  'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\nThis port speaks gRPC (HTTP/2), not HTTP/1.\n'

export class Arrival {
  http2: Http2Connection | null = null
  remoteAddress: string
  readonly #host: Host<any>
  readonly #port: Port<any>
  readonly #socket: Socket
  #seen: Buffer = Buffer.alloc(0)
  #proxied: ProxyAddresses | null = null
  #proxySeen = false
  #cancelTimer: Cancel | null
  #cancelHandshake: Cancel | null = null
  #cancelSurplus: Cancel | null = null
  #draining = false

  constructor(host: Host<any>, port: Port<any>, socket: Socket, remoteAddress: string) {
    this.#host = host
    this.#port = port
    this.#socket = socket
    this.remoteAddress = remoteAddress
    this.#cancelTimer = host.clock.after(host.limits.firstBytesMs, () => this.destroy())
    socket.on('error', ignore)
    socket.on('close', () => this.#onClose())
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
  }

  destroy(): void {
    this.http2?.destroy()
    this.#socket.destroy()
  }

  /** It is one too many: it is closed unless it has got a place by then. */
  limitStay(): void {
    this.#cancelSurplus = this.#host.clock.after(this.#host.limits.surplusMs, () => {
      if (this.#port.isSurplus(this)) this.destroy()
    })
  }

  drain(): void {
    this.#draining = true
    if (this.http2) this.http2.drain()
    else this.#socket.destroy()
  }

  endCalls(): void {
    this.http2?.endCalls()
  }

  readonly #onEnd = () => this.#socket.destroy()

  readonly #onData = (chunk: Buffer) => {
    this.#seen = this.#seen.length === 0 ? chunk : Buffer.concat([this.#seen, chunk])
    this.#decide()
  }

  #decide(): void {
    const first = recognise(this.#seen)
    switch (first.speaks) {
      case 'more':
        if (this.#seen.length > maxFirstBytes) this.destroy()
        return
      case 'tls':
        this.#startTls()
        return
      case 'http2':
        this.#startHttp2(this.#handOver(), false)
        return
      case 'proxy':
        this.#onProxyHeader(first)
        return
      case 'http1':
        this.#socket.off('data', this.#onData)
        this.#socket.resume()
        this.#socket.end(http1Answer)
        return
      case 'unknown':
        this.destroy()
        return
    }
  }

  #onProxyHeader(header: { length: number; addresses: ProxyAddresses | null }): void {
    // A second header could overwrite what the trusted proxy said.
    if (!this.#port.trustProxy || this.#proxySeen) {
      this.destroy()
      return
    }
    this.#proxySeen = true
    this.#proxied = header.addresses
    if (header.addresses) this.remoteAddress = plainAddress(header.addresses.sourceAddress)!
    this.#seen = this.#seen.subarray(header.length)
    this.#decide()
  }

  /** The socket with its first bytes put back, for the next reader to start from. */
  #handOver(): Socket {
    this.#socket.off('data', this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.pause()
    this.#socket.unshift(this.#seen)
    this.#seen = Buffer.alloc(0)
    return this.#socket
  }

  #startTls(): void {
    this.#cancelHandshake = this.#host.startTls(this.#handOver(), (secure) => {
      this.#cancelHandshake?.()
      secure.on('error', () => this.destroy())
      // A client without ALPN would not speak HTTP/2 over TLS (RFC 9113, section 3.2).
      if (secure.alpnProtocol === 'h2') this.#startHttp2(secure, true)
      else this.destroy()
    })
    if (!this.#cancelHandshake) this.destroy()
  }

  #startHttp2(socket: Socket, encrypted: boolean): void {
    // With a trusted proxy the client is known only now.
    if (
      this.#socket.destroyed ||
      socket.destroyed ||
      this.#draining ||
      (this.#port.trustProxy && !this.#port.accepts(this.remoteAddress))
    ) {
      this.destroy()
      return
    }
    const { connection, bytesRead } = this.#describe(encrypted)
    this.http2 = new Http2Connection(this.#host, this.#port, socket, bytesRead, connection, this.#host.http2, () => {
      this.#cancelTimer?.()
      this.#cancelTimer = null
    })
  }

  #describe(encrypted: boolean): { connection: Connection; bytesRead: () => number } {
    const socket = this.#socket
    const isSurplus = (): boolean => this.#port.isSurplus(this)
    const connection = {
      id: this.#host.nextConnectionId(),
      remoteAddress: this.remoteAddress,
      remotePort: this.#proxied?.sourcePort ?? socket.remotePort ?? 0,
      localAddress: plainAddress(this.#proxied?.destinationAddress ?? socket.localAddress) ?? '',
      localPort: this.#proxied?.destinationPort ?? socket.localPort ?? 0,
      encrypted,
      get surplus() {
        return isSurplus()
      },
      get closed() {
        return socket.destroyed
      },
    }
    return { connection, bytesRead: () => socket.bytesRead }
  }

  #onClose(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#cancelHandshake?.()
    this.#cancelSurplus?.()
    this.http2?.destroy()
    this.#port.forget(this)
  }
}

/** An IPv4 address that arrived over a dual-stack socket is written as IPv4. */
export function plainAddress(address: string | undefined): string | null {
  if (address === undefined) return null
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

function ignore(): void {}
