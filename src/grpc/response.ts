/** How the answer of a call is written: its headers, its status, and the end of what its client still sends. */
import type { ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2'
import { addMetadata, encodeStatusMessage } from './metadata.ts'
import { type MetadataInit, Status } from './transport.ts'

export type Headers = Record<string, string | number>

/** No gRPC client reads a date. */
type ResponseOptions = ServerStreamResponseOptions & { readonly sendDate: boolean }
export const withTrailers: ResponseOptions = { waitForTrailers: true, sendDate: false }
export const trailersOnly: ResponseOptions = { endStream: true, sendDate: false }
export const noHeaders: MetadataInit = {}
export const http2NoError = 0

/** `more` is what the handler has set. */
export function responseHeaders(more: MetadataInit): Headers {
  const headers: Headers = { ':status': 200, 'content-type': 'application/grpc' }
  if (more !== noHeaders) addMetadata(headers, more)
  return headers
}

/** Adds the status to `headers`: these are the trailers, or the headers of an answer that has no other. */
export function addStatus(headers: Headers, status: Status, message: string, trailers: MetadataInit): Headers {
  headers['grpc-status'] = status
  if (message) headers['grpc-message'] = encodeStatusMessage(message)
  if (status === Status.UNIMPLEMENTED) headers['grpc-accept-encoding'] = 'identity,gzip'
  if (trailers !== noHeaders) addMetadata(headers, trailers)
  return headers
}

/**
 * Resets the stream of a client that is still sending, after the status has left: a reset in the same turn
 * would overtake it. A request that has ended needs nothing.
 */
export function stopReading(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || stream.endAfterHeaders) return
  stream.resume()
  setImmediate(() => {
    if (!stream.destroyed && !stream.closed && !stream.readableEnded) stream.close(http2NoError)
  })
}
