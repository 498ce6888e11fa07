/**
 * Who is calling, for RPC-style requests (auth-and-wire §2.1): all parameters of the query and the form, the
 * signature among them, are one flat list, and everything but the signature is signed with HMAC-SHA1 under the secret
 * and an `&`. Terraform's provider asks the billing service this way.
 *
 * The checks, their order and their codes are those of authenticate.ts.
 */
import { ApiError } from '../catalogue/errors.ts'
import {
  type Authenticated,
  type Authenticator,
  checkSecurityToken,
  expiredDate,
  findActiveKey,
  hmacVerifier,
  MAX_NONCE_LENGTH,
  shareOwner,
  signatureDoesNotMatch,
  spendNonce,
} from './authenticate.ts'
import { incompleteSignature, invalidSignatureMethod } from './authorization-header.ts'
import { DATE_WINDOW_MS } from './nonces.ts'
import { encodePercent } from './percent.ts'
import { parseIsoDate } from './request-date.ts'

/** Decoded parameters by name; each name occurs once. */
export type RpcParameters = ReadonlyMap<string, string>

/** Throws `ApiError` to refuse; `now` is milliseconds since the epoch. */
export async function authenticateRpc(
  { keyRing, nonces }: Pick<Authenticator, 'keyRing' | 'nonces'>,
  method: string,
  parameters: RpcParameters,
  now: number,
): Promise<Omit<Authenticated, 'scheme'>> {
  const accessKeyId = mandatory(parameters, 'AccessKeyId')
  const signature = mandatory(parameters, 'Signature')
  const timestamp = mandatory(parameters, 'Timestamp')
  const nonce = mandatory(parameters, 'SignatureNonce')
  checkForm(parameters, nonce, signature)
  const key = await findActiveKey(keyRing, accessKeyId)
  checkSecurityToken(key, parameters.get('SecurityToken') ?? null, now)
  const dateMs = checkTimestamp(timestamp, now)
  const text = rpcStringToSign(method, parameters)
  if (!hmacVerifier('sha1', `${key.secret}&`)(text, Buffer.from(signature, 'base64'))) {
    throw signatureDoesNotMatch(
      `Specified signature is not matched with our calculation. server string to sign is:${text}`,
    )
  }
  const { principal } = key
  const owner = shareOwner(principal)
  const once = await spendNonce(nonces, { accessKeyId: key.accessKeyId, owner, nonce, dateMs, now })
  return { principal, once }
}

/** Method, the path `/` and all parameters but the signature, sorted; the parameters are encoded twice. */
export function rpcStringToSign(method: string, parameters: RpcParameters): string {
  const pairs = [...parameters]
    .filter(([name]) => name !== 'Signature')
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${encodePercent(name)}=${encodePercent(value)}`)
  return `${method}&%2F&${encodePercent(pairs.join('&'))}`
}

function mandatory(parameters: RpcParameters, name: string): string {
  const value = parameters.get(name)
  if (value === undefined || value === '') {
    throw new ApiError(400, `Missing${name}`, `${name} is mandatory for this action.`, { field: name })
  }
  return value
}

function checkForm(parameters: RpcParameters, nonce: string, signature: string): void {
  const method = parameters.get('SignatureMethod') ?? 'HMAC-SHA1'
  if (method !== 'HMAC-SHA1') throw invalidSignatureMethod('RPC requests are signed with HMAC-SHA1.')
  const version = parameters.get('SignatureVersion') ?? '1.0'
  if (version !== '1.0') {
    throw new ApiError(400, 'InvalidSignatureVersion', 'Specified signature version is not valid. It must be 1.0.')
  }
  if (nonce.length > MAX_NONCE_LENGTH) {
    throw incompleteSignature(`SignatureNonce must have 1 to ${MAX_NONCE_LENGTH} characters.`)
  }
  if (!/^[A-Za-z0-9+/]{1,128}={0,2}$/.test(signature)) throw incompleteSignature('The signature is not base64.')
}

function checkTimestamp(timestamp: string, now: number): number {
  const dateMs = parseIsoDate(timestamp)
  if (dateMs === null) {
    throw new ApiError(
      400,
      'InvalidTimeStamp.Format',
      'Specified time stamp or date value is not well formatted. Send Timestamp as 2026-01-02T03:04:05Z.',
    )
  }
  if (Math.abs(now - dateMs) > DATE_WINDOW_MS) {
    throw expiredDate(`It may differ from the server's time, ${new Date(now).toISOString()}, by 15 minutes.`)
  }
  return dateMs
}
