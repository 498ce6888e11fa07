/**
 * Signs a request with ACS3-HMAC-SHA256, as an official SDK does. Our command line and the tests call the API
 * with it; the server only ever verifies (authenticate.ts).
 */
import { createHash, createHmac } from 'node:crypto'
import { canonicalRequests, stringToSign } from './canonical.ts'
import { encodePercent } from './percent.ts'
import { formatIsoDate } from './request-date.ts'

export interface Credentials {
  readonly accessKeyId: string
  readonly accessKeySecret: string
  readonly securityToken?: string
}

export interface Unsigned {
  readonly method: string
  /** Path and query as they will stand on the request line; see `requestTarget`. */
  readonly target: string
  /** Host header as it will be sent, port included. */
  readonly host: string
  readonly action: string
  /** JSON text, or null for no body. */
  readonly body: string | null
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Unique per request. */
  readonly nonce: string
  /** Of the product that is called. */
  readonly version: string
}

/** Answers all headers of the request, `host` and `authorization` included. */
export function signRequest(credentials: Credentials, request: Unsigned): Record<string, string> {
  const [rawPath, rawQuery] = splitTarget(request.target)
  const bodyDigest = sha256(request.body ?? '')
  const headers: Record<string, string> = {
    host: request.host,
    accept: 'application/json',
    'x-acs-action': request.action,
    'x-acs-version': request.version,
    'x-acs-date': formatIsoDate(request.at),
    'x-acs-signature-nonce': request.nonce,
    'x-acs-content-sha256': bodyDigest,
    ...(request.body === null ? {} : { 'content-type': 'application/json; charset=utf-8' }),
    ...(credentials.securityToken === undefined
      ? {}
      : { 'x-acs-accesskey-id': credentials.accessKeyId, 'x-acs-security-token': credentials.securityToken }),
  }
  const signedHeaders = Object.keys(headers)
    .filter((name) => name !== 'accept')
    .sort()
  const message = {
    method: request.method,
    rawPath,
    rawQuery,
    headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])),
  }
  const [canonical] = canonicalRequests(message, signedHeaders, bodyDigest)
  const text = stringToSign('ACS3-HMAC-SHA256', canonical!, sha256)
  const signature = createHmac('sha256', credentials.accessKeySecret).update(text).digest('hex')
  headers['authorization'] =
    `ACS3-HMAC-SHA256 Credential=${credentials.accessKeyId},SignedHeaders=${signedHeaders.join(';')},Signature=${signature}`
  return headers
}

/** `path` already has its segments encoded; query values are encoded here. */
export function requestTarget(path: string, query: Readonly<Record<string, string>> = {}): string {
  const pairs = Object.entries(query).map(([name, value]) => `${encodePercent(name)}=${encodePercent(value)}`)
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

/** `/a/{b}` with its places filled, each value one encoded segment. */
export function fillPath(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => encodePercent(values[name] ?? ''))
}

export function splitTarget(target: string): [rawPath: string, rawQuery: string] {
  const at = target.indexOf('?')
  return at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)]
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
