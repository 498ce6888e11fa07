/** A request and its answer as the steps of pipeline.ts see them: everything has been read, nothing is judged. */
import type { AuthenticRequest } from '../iam/authenticate.ts'

export interface ApiRequest extends AuthenticRequest {
  /** Upper-case UUID; `x-acs-request-id` of the answer. */
  readonly requestId: string
  /** Address of the peer, null when the socket is gone already. */
  readonly remoteAddress: string | null
  /** Our own address on this connection. */
  readonly localAddress: string | null
  /** True when it came over TLS. */
  readonly secure: boolean
  /** Milliseconds since the epoch. */
  readonly at: number
}

export interface ApiReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What the log says of a request. The steps add to it as they learn. */
export interface AccessRecord {
  /** Code of the product. */
  product: string | null
  action: string | null
  caller: string | null
  code: string | null
}

/** The first value of a header. */
export function headerOf(request: Pick<ApiRequest, 'headers'>, name: string): string | undefined {
  return request.headers.get(name)?.[0]
}
