/**
 * What the gateway and a protocol are to each other. The gateway takes a connection up to its first bytes: address,
 * PROXY header, TLS. Then a protocol, which recognised those bytes, is handed the socket with them put back, and
 * serves it to its end. The gateway knows no protocol, and a protocol knows no listener.
 */
import type { Duplex } from 'node:stream'
import type { Clock } from '../world/world.ts'

/** One language that clients of an endpoint may speak. `Context` is what the endpoint was opened with. */
export interface Protocol<Context = any> {
  /** For people: what the port says it speaks. */
  readonly name: string
  /** Its names in a TLS handshake (ALPN), the preferred one first; empty when it has none. */
  readonly alpn: readonly string[]
  /**
   * Whether a connection that begins with `first` speaks it; `more` when that cannot be said yet. Asked again with every
   * chunk, so it must be cheap, and at most a few bytes may be needed to say `no`.
   */
  recognise(first: Buffer): Recognition
  /** Takes over `socket`, paused, whose unread bytes are the first of the connection. Must not throw. */
  serve(socket: Duplex, connection: ServingConnection<Context>): ServedConnection
}

/** What a protocol is made with. */
export interface ProtocolOptions {
  readonly clock: Clock
  /** Told of unexpected failures. Must not throw. */
  readonly onError: (error: unknown, where: string) => void
}

export type Recognition = 'yes' | 'no' | 'more'

/** A connection, as whoever answers its calls sees it; the same object for all of them, so it can key a WeakMap. */
export interface Connection {
  /** Unique within the process, from 1. */
  readonly id: number
  /** The client, as the socket or a trusted PROXY header says. */
  readonly remoteAddress: string
  readonly remotePort: number
  /** Where the client arrived: the listening socket's address, or a trusted PROXY header's destination. */
  readonly localAddress: string
  readonly localPort: number
  readonly encrypted: boolean
  /** The client's end is gone for good. */
  readonly closed: boolean
  /**
   * A valid call has come: the connection is no stranger any more and takes a slot of the connection limit. False when
   * there is none: it is closed soon, and its calls are to be refused with that reason. Asked for every call.
   */
  admit(): boolean
  /** A call came with a password that is not the named account's; the connection may end after its answer. */
  guessed(username: string): void
  /** Milliseconds that a refusal waits before it leaves: above 0 on a connection that guessed passwords. */
  readonly refusalDelayMs: number
}

/** What a protocol that serves a connection may ask of it and must tell it. */
export interface ServingConnection<Context = any> extends Connection {
  /** What the endpoint was opened with, or was last updated to. */
  readonly context: Context
  /** Bytes the client has sent so far, TLS included: a connection on which it stands still is silent. */
  bytesRead(): number
  /** The protocol's handshake is complete. Until this is called the connection is closed after `firstBytesMs`. */
  established(): void
  /**
   * Whose it is, over all endpoints of an instance: what is done in turn is done in turn of these. All strangers of an
   * instance are one owner beside it.
   */
  readonly owner: object
  /** A call was refused before it was read. A stranger that goes on after a few is not served on: the connection drains. */
  refused(): void
  /** Counts bytes of requests kept in memory; false when that is too much: they are not counted, and not to be kept. */
  hold(bytes: number): boolean
  /** Lets go of bytes that were counted. */
  release(bytes: number): void
  /** Counts what an open call keeps by being open; false when that is too much: it is not counted, and is to be refused. */
  callOpened(bytes: number): boolean
  /** The call that was counted has ended. */
  callEnded(bytes: number): void
}

/** A connection in the hands of its protocol. */
export interface ServedConnection {
  /** Called once in `keepaliveMs`: ends requests that do not arrive, asks a silent client whether it is there. */
  sweep(): void
  /** The endpoint closes: no new calls; calls that would never end by themselves end now. */
  drain(): void
  /** Ends every call with a status; the connection closes once those are sent. */
  endCalls(): void
  /**
   * Its requests hold more than any other connection's and memory is short: ends the one that holds the most, among those
   * that nobody works on yet, and releases what it held. False when there is none.
   */
  giveWay(): boolean
  /** It has more open calls than any other connection, and there are too many: ends one. False when there is none. */
  endOneCall(): boolean
  /** Ends everything at once. */
  destroy(): void
}
