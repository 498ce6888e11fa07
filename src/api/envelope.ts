/**
 * The bodies the API answers with, and the headers of every answer (api-semantics §1.4, auth-and-wire §4.1, §5).
 *
 * A failure carries the capitalised members of the gateway, which the CLI reads exclusively, and the camel-case
 * members of the product beside them, which the SDKs' models declare. Every answer is a JSON object, never empty.
 */
import { createHash } from 'node:crypto'
import { type ApiError, dynamicCodeOf } from '../catalogue/errors.ts'
import type { ApiReply } from './request.ts'

/** `data` undefined: the operation has no result, and the member is absent. */
export function successReply(requestId: string, data: unknown, message = 'Success'): ApiReply {
  const body = JSON.stringify({
    requestId,
    success: true,
    code: '200',
    message,
    httpStatusCode: 200,
    dynamicCode: null,
    dynamicMessage: null,
    data,
  })
  return { status: 200, headers: replyHeaders(requestId, body), body }
}

/** RPC services answer capitalised members: the result in `Data` beside the outcome, or its members at the top. */
export function rpcReply(requestId: string, data: unknown, form: 'data' | 'members'): ApiReply {
  const content =
    form === 'members'
      ? { RequestId: requestId, ...(data as object | undefined) }
      : { RequestId: requestId, Success: true, Code: 'Success', Message: 'Successful!', Data: data }
  const body = JSON.stringify(content)
  return { status: 200, headers: replyHeaders(requestId, body), body }
}

/** `hostId` is the name under which the caller reached us; `product` is the code of the one that was called. */
export function errorReply(requestId: string, hostId: string, error: ApiError, product = 'RocketMQ'): ApiReply {
  const { code, httpStatus, accessDenied, retryAfterMs } = error
  const message = wellFormed(error.message)
  const recommend = `https://api.aliyun.com/troubleshoot?q=${encodeURIComponent(code)}&product=${product}&requestId=${requestId}`
  const body = JSON.stringify({
    RequestId: requestId,
    HostId: hostId,
    Code: code,
    Message: message,
    Recommend: recommend,
    ...(accessDenied === null ? {} : { AccessDeniedDetail: accessDenied }),
    requestId,
    success: false,
    code,
    message,
    httpStatusCode: httpStatus,
    dynamicCode: error.field === null ? null : dynamicCodeOf(error.field),
    dynamicMessage: error.field,
    ...(accessDenied === null ? {} : { accessDeniedDetail: accessDenied }),
  })
  const headers = replyHeaders(requestId, body)
  // Only throttling may carry it: newer clients take any answer with this header for throttling.
  if (retryAfterMs !== null && code.includes('Throttling'))
    headers['x-acs-retry-after'] = String(Math.ceil(retryAfterMs))
  return { status: httpStatus, headers, body }
}

export function replyHeaders(requestId: string, body: string): Record<string, string> {
  return {
    // The gateway writes no blank before charset, and some clients compare the whole value.
    'content-type': 'application/json;charset=utf-8',
    'x-acs-request-id': requestId,
    'x-acs-trace-id': requestId.replaceAll('-', '').toLowerCase(),
    etag: etagOf(body),
  }
}

/** First digit of the length, base64 MD5 without its padding, last digit of the length. */
export function etagOf(body: string): string {
  const bytes = Buffer.from(body)
  const length = String(bytes.length)
  const md5 = createHash('md5').update(bytes).digest('base64').replace(/=+$/, '')
  return `${length[0]}${md5}${length.at(-1)}`
}

function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}
