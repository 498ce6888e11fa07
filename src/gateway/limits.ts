/** Every bound of the gateway in one table. Times in milliseconds, sizes in bytes. */
export interface GatewayLimits {
  /** From accepting a connection to the end of its protocol's handshake, TLS handshake included. */
  readonly firstBytesMs: number
  /**
   * To its first valid call; until then it is a stranger. Looked at once in `keepaliveMs`, without a timer of its own, so
   * that one that makes no call goes between `strangerMs` and `strangerMs + keepaliveMs`.
   */
  readonly strangerMs: number
  /** Strangers at a time, of one instance and of the process. Beyond, the oldest of whoever has the most is closed. */
  readonly maxStrangersPerInstance: number
  readonly maxStrangers: number
  /** Refused calls after which a stranger's connection drains. */
  readonly maxRefusals: number
  /** How long the answer to a guessed password waits, and its connection keeps its place among the strangers. */
  readonly guessMs: number
  /** Connections that have made a valid call, of all instances. Beyond, the newest of the instance with the most is closed. */
  readonly maxConnections: number
  /** How long a connection may stay that is over its instance's connection limit. */
  readonly overflowMs: number
  /** A connection is looked at once in so long: one that was silent is asked whether it is there, then closed. */
  readonly keepaliveMs: number
  /** Requests received but not answered, of one connection, of one instance, and of all. */
  readonly maxHeldBytesPerConnection: number
  readonly maxHeldBytesPerInstance: number
  readonly maxHeldBytes: number
  /** What open calls keep by being open, with their headers, of one instance and of all. */
  readonly maxOpenCallBytesPerInstance: number
  readonly maxOpenCallBytes: number
}

const mib = 1024 * 1024

export const defaultGatewayLimits: GatewayLimits = {
  firstBytesMs: 10_000,
  strangerMs: 30_000,
  // One burst of `accept` is up to 511 connections, all of which may be clients that come back at once.
  maxStrangersPerInstance: 512,
  maxStrangers: 2048,
  maxRefusals: 32,
  guessMs: 1000,
  maxConnections: 100_000,
  overflowMs: 10_000,
  keepaliveMs: 60_000,
  maxHeldBytesPerConnection: 64 * mib,
  maxHeldBytesPerInstance: 128 * mib,
  maxHeldBytes: 256 * mib,
  // 25,000 clients, each with a stream both ways and a receive that waits.
  maxOpenCallBytesPerInstance: 512 * mib,
  maxOpenCallBytes: 1024 * mib,
}
