/**
 * A connection from `accept` to its end: its first bytes, perhaps a PROXY header, perhaps TLS, then the protocol that
 * recognises what follows.
 *
 * Until its first valid call a connection is a stranger (`bounds/strangers.ts`); from then on it counts against the connections
 * its instance may have (`connection-limit.ts`). The bytes looked at are put back before the next reader takes the socket over. Until a protocol has it, a connection
 * costs its socket and one timer, and has a bounded time. Inside TLS the protocol is the one agreed on in the handshake
 * (ALPN); when the client named none, the first bytes inside are looked at as outside.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { Share } from '../bounds/shares.ts'
import type { Cancel, Clock } from '../world/world.ts'
import { type ProxyAddresses, recognise, recogniseProtocol } from './first-bytes.ts'
import type { InstanceBounds } from './instance-bounds.ts'
import type { GatewayLimits } from './limits.ts'
import type { Protocol, ServedConnection, ServingConnection } from './protocol.ts'

/** What a connection needs of the gateway it came in on. */
export interface ConnectionHost {
  readonly clock: Clock
  readonly limits: GatewayLimits
  readonly protocols: readonly Protocol[]
  nextConnectionId(): number
  /** See `Gateway.startTls`. */
  startTls(socket: Socket, owner: object, then: (secure: TLSSocket) => void): Cancel | null
}

/** What it needs of its port. */
export interface ConnectionPort {
  readonly context: any
  readonly bounds: InstanceBounds
  readonly trustProxy: boolean
  accepts(remoteAddress: string): boolean
  forget(connection: InboundConnection): void
}

export class InboundConnection implements ServingConnection {
  readonly id: number
  remoteAddress: string
  /** Known once a protocol serves it. */
  remotePort = 0
  localAddress = ''
  localPort = 0
  encrypted = false
  /** Null until a protocol serves it. */
  served: ServedConnection | null = null
  readonly #gateway: ConnectionHost
  readonly #listener: ConnectionPort
  readonly #socket: Socket
  /** What is read from: the socket, and inside TLS what it carries. */
  #reading: Socket
  #seen: Buffer = Buffer.alloc(0)
  #proxied: ProxyAddresses | null = null
  #proxySeen = false
  #cancelTimer: Cancel | null
  #cancelHandshake: Cancel | null = null
  #cancelOverflow: Cancel | null = null
  refusalDelayMs = 0
  /** Calls refused while it was a stranger. */
  #refusals = 0
  #draining = false
  readonly #arrivedAt: number
  /** Whether it has made a valid call, and found a slot. */
  #place: 'stranger' | 'within' | 'overflow' = 'stranger'
  /** What its requests hold; made when the first of them does. */
  #held: Share | null = null
  #openCalls: Share | null = null

  constructor(gateway: ConnectionHost, listener: ConnectionPort, socket: Socket, remoteAddress: string) {
    this.id = gateway.nextConnectionId()
    this.#gateway = gateway
    this.#listener = listener
    this.#socket = socket
    this.#reading = socket
    this.remoteAddress = remoteAddress
    this.#arrivedAt = gateway.clock.monotonic()
    this.#cancelTimer = gateway.clock.after(gateway.limits.firstBytesMs, () => this.destroy())
    socket.on('error', ignore)
    socket.on('close', () => this.#onClose())
    this.#readFirstBytes(socket)
  }

  get context(): unknown {
    return this.#listener.context
  }

  get owner(): object {
    const { bounds } = this.#listener
    return this.#place === 'stranger' ? bounds.strangers : bounds
  }

  get closed(): boolean {
    return this.#socket.destroyed
  }

  bytesRead(): number {
    return this.#socket.bytesRead
  }

  established(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  /** Called once in `keepaliveMs`: a stranger whose time is over goes, of another its protocol looks after. */
  sweep(): void {
    const { clock, limits } = this.#gateway
    if (this.#place === 'stranger' && clock.monotonic() - this.#arrivedAt > limits.strangerMs) this.destroy()
    else this.served?.sweep()
  }

  admit(): boolean {
    return this.#place === 'within' || this.#takePlace()
  }

  guessed(username: string): void {
    if (!this.#listener.bounds.wrongPasswords.note(this.remoteAddress, username)) return
    this.refusalDelayMs = this.#gateway.limits.guessMs
    // Node's HTTP/2 and others send what was answered before the connection ends.
    this.drain()
  }

  refused(): void {
    if (this.#place !== 'stranger' || this.#draining) return
    if (++this.#refusals >= this.#gateway.limits.maxRefusals) this.drain()
  }

  hold(bytes: number): boolean {
    this.#held ??= new Share({
      most: this.#gateway.limits.maxHeldBytesPerConnection,
      parent: this.#listener.bounds.heldBytes,
      giveWay: () => this.served?.giveWay() ?? false,
    })
    return this.#held.take(bytes)
  }

  release(bytes: number): void {
    this.#held?.give(bytes)
  }

  callOpened(bytes: number): boolean {
    this.#openCalls ??= new Share({
      most: Number.POSITIVE_INFINITY,
      parent: this.#listener.bounds.openCallBytes,
      giveWay: () => this.served?.endOneCall() ?? false,
    })
    return this.#openCalls.take(bytes)
  }

  callEnded(bytes: number): void {
    this.#openCalls?.give(bytes)
  }

  destroy(): void {
    this.served?.destroy()
    this.#socket.destroy()
  }

  /** True when it has a slot of the connection limit, from now on or since another left. */
  #takePlace(): boolean {
    const { connections, strangers } = this.#listener.bounds
    if (this.#place === 'overflow') {
      if (connections.isOver(this)) return false
      this.#place = 'within'
      return true
    }
    const place = connections.enter(this)
    if (place === null) return false
    this.#place = place
    strangers.leave(this)
    if (place === 'overflow') this.#limitStay()
    return place === 'within'
  }

  /** Over the connection limit: closed after `overflowMs` unless a slot frees up. */
  #limitStay(): void {
    this.#cancelOverflow = this.#gateway.clock.after(this.#gateway.limits.overflowMs, () => {
      if (this.#listener.bounds.connections.isOver(this)) this.destroy()
    })
  }

  drain(): void {
    this.#draining = true
    if (this.served) this.served.drain()
    else this.#socket.destroy()
  }

  endCalls(): void {
    this.served?.endCalls()
  }

  #readFirstBytes(socket: Socket): void {
    this.#reading = socket
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
  }

  readonly #onEnd = () => this.#socket.destroy()

  readonly #onData = (chunk: Buffer) => {
    this.#seen = this.#seen.length === 0 ? chunk : Buffer.concat([this.#seen, chunk])
    this.#decide()
  }

  #decide(): void {
    const { protocols } = this.#gateway
    const first = this.encrypted ? recogniseProtocol(this.#seen, protocols) : recognise(this.#seen, protocols)
    switch (first.speaks) {
      case 'more':
        if (this.#seen.length > first.most) this.destroy()
        return
      case 'tls':
        this.#startTls()
        return
      case 'protocol':
        this.#serve(first.protocol, this.#handOver())
        return
      case 'proxy':
        this.#onProxyHeader(first)
        return
      case 'http1':
        this.#reading.off('data', this.#onData)
        this.#reading.resume()
        this.#reading.end(http1Answer(protocols))
        return
      case 'unknown':
        this.destroy()
        return
    }
  }

  #onProxyHeader(header: { length: number; addresses: ProxyAddresses | null }): void {
    // A second header could overwrite what the trusted proxy said.
    if (!this.#listener.trustProxy || this.#proxySeen) {
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
    const socket = this.#reading
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.pause()
    socket.unshift(this.#seen)
    this.#seen = Buffer.alloc(0)
    return socket
  }

  #startTls(): void {
    this.#cancelHandshake = this.#gateway.startTls(this.#handOver(), this.owner, (secure) => this.#onSecure(secure))
    if (!this.#cancelHandshake) this.destroy()
  }

  #onSecure(secure: TLSSocket): void {
    this.#cancelHandshake?.()
    secure.on('error', () => this.destroy())
    this.encrypted = true
    const name = secure.alpnProtocol
    if (!name) {
      this.#readFirstBytes(secure)
      return
    }
    // The handshake agrees on names of the protocols only.
    this.#serve(this.#gateway.protocols.find(({ alpn }) => alpn.includes(name))!, secure)
  }

  #serve(protocol: Protocol, socket: Socket): void {
    // With a trusted proxy the client is known only now.
    const refused = this.#listener.trustProxy && !this.#listener.accepts(this.remoteAddress)
    if (this.#socket.destroyed || socket.destroyed || this.#draining || refused) {
      this.destroy()
      return
    }
    this.#describe()
    this.served = protocol.serve(socket, this)
  }

  #describe(): void {
    const { remotePort, localAddress, localPort } = this.#socket
    this.remotePort = this.#proxied?.sourcePort ?? remotePort ?? 0
    this.localAddress = plainAddress(this.#proxied?.destinationAddress ?? localAddress) ?? ''
    this.localPort = this.#proxied?.destinationPort ?? localPort ?? 0
  }

  #onClose(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#cancelHandshake?.()
    this.#cancelOverflow?.()
    this.served?.destroy()
    this.#held?.close()
    this.#openCalls?.close()
    this.#listener.forget(this)
  }
}

function http1Answer(protocols: readonly Protocol[]): string {
  const names = protocols.map(({ name }) => name).join(' and ')
  return `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\nThis port speaks ${names}, not HTTP/1.\n`
}

/** An IPv4 address that arrived over a dual-stack socket is written as IPv4. */
export function plainAddress(address: string | undefined): string | null {
  if (address === undefined) return null
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

function ignore(): void {}
