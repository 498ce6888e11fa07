/** Every bound of the gateway in one table. Times in milliseconds. */
export interface GatewayLimits {
  /** From accepting a connection to the end of its protocol's handshake, TLS handshake included. */
  readonly firstBytesMs: number
  /** How long a connection may stay that is over the connection limit. */
  readonly overflowMs: number
  /** A connection is looked at once in so long: one that was silent is asked whether it is there, then closed. */
  readonly keepaliveMs: number
}

export const defaultGatewayLimits: GatewayLimits = {
  firstBytesMs: 10_000,
  overflowMs: 10_000,
  keepaliveMs: 60_000,
}
