/** Every bound of gRPC in one table, but that on the values of one message (`maxMessageValues` of protobuf.ts). Times in milliseconds, sizes in bytes. */
export interface Limits {
  /** One message, after decompression. Larger ones end the call RESOURCE_EXHAUSTED. */
  readonly maxMessageBytes: number
  /** Open calls per connection, announced to the client; a call beyond is refused by HTTP/2. */
  readonly maxConcurrentStreams: number
  /** Request headers of one call, as HTTP/2 counts them. */
  readonly maxHeaderListBytes: number
  /** `write` answers false from here on. */
  readonly writeHighWaterBytes: number
  /** Answers waiting for a client that reads slowly, of one connection; the call that crosses it is ended. */
  readonly maxUnsentBytes: number
  /** For the request of a unary or server-streaming call to arrive whole. */
  readonly requestMs: number
  /** Flow control: what a client may send ahead, per call and per connection. */
  readonly streamWindowBytes: number
  readonly connectionWindowBytes: number
}

const kib = 1024
const mib = 1024 * kib

export const defaultLimits: Limits = {
  maxMessageBytes: 16 * mib,
  maxConcurrentStreams: 1024,
  maxHeaderListBytes: 16 * kib,
  writeHighWaterBytes: 256 * kib,
  maxUnsentBytes: 64 * mib,
  requestMs: 60_000,
  streamWindowBytes: 1 * mib,
  connectionWindowBytes: 8 * mib,
}
