/**
 * Who is calling? Verifies the signature of a request and answers the principal, or refuses with the gateway's
 * codes in the gateway's order (auth-and-wire §1.6): credentials present, form of the header, mandatory headers,
 * access key, security token, date, signature, nonce. The nonce comes last because only a verified request may
 * use one up.
 *
 * Two schemes are in daily use and both are complete here: ACS3 (HMAC-SHA256, HMAC-SM3, RSA-SHA256) and the legacy
 * `acs AK:signature`. Every operation of this API is declared with auth type AK, so bearer and id tokens are refused.
 *
 * It never logs, and it compares secrets and signatures in constant time.
 */
import {
  createHash,
  createHmac,
  createPublicKey,
  getHashes,
  type KeyObject,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { ApiError } from '../catalogue/errors.ts'
import {
  type Acs3Algorithm,
  type Acs3Authorization,
  type Authorization,
  incompleteSignature,
  invalidSignatureMethod,
  type LegacyAuthorization,
  parseAuthorization,
} from './authorization-header.ts'
import { canonicalRequests, legacyStringsToSign, type SignedMessage, stringToSign } from './canonical.ts'
import type { AccessKey, KeyRing } from './keys.ts'
import { DATE_WINDOW_MS, type NonceStore } from './nonces.ts'
import type { Principal } from './principal.ts'
import { parseHttpDate, parseIsoDate } from './request-date.ts'

export interface AuthenticRequest extends SignedMessage {
  readonly body: Uint8Array
}

export interface Authenticator {
  readonly keyRing: KeyRing
  readonly nonces: NonceStore
}

export interface Authenticated {
  readonly principal: Principal
  readonly scheme: Authorization['scheme']
}

/** Throws `ApiError` to refuse; `now` is milliseconds since the epoch. */
export async function authenticate(
  { keyRing, nonces }: Authenticator,
  request: AuthenticRequest,
  now: number,
): Promise<Authenticated> {
  const authorization = readAuthorization(request)
  const signed = readSignedParts(request, authorization)
  const key = await findActiveKey(keyRing, authorization.accessKeyId)
  checkSecurityToken(key, signed.securityToken, now)
  const dateMs = checkDate(signed.date, authorization.scheme, now)
  if (authorization.scheme === 'acs3') verifyAcs3(request, authorization, key)
  else verifyLegacy(request, authorization, key)
  if (signed.nonce !== null) await spendNonce(nonces, key.accessKeyId, signed.nonce, dateMs, now)
  return { principal: key.principal, scheme: authorization.scheme }
}

interface SignedParts {
  readonly date: string
  readonly nonce: string | null
  readonly securityToken: string | null
}

export const MAX_NONCE_LENGTH = 256

function readAuthorization(request: AuthenticRequest): Authorization {
  const header = single(request, 'authorization')
  if (header !== null) return parseAuthorization(header)
  const otherCredential = ['x-acs-bearer-token', 'x-acs-zero-trust-idtoken'].find((name) => request.headers.has(name))
  const what =
    otherCredential === undefined
      ? 'Sign the request with an AccessKey.'
      : `This API takes AccessKey signatures only; the header ${otherCredential} is not accepted.`
  throw new ApiError(400, 'MissingAccessKeyId', `AccessKeyId is mandatory for this action. ${what}`)
}

/** Mandatory headers, and that those which matter are under the signature. */
function readSignedParts(request: AuthenticRequest, authorization: Authorization): SignedParts {
  const nonce = single(request, 'x-acs-signature-nonce')
  const securityToken = single(request, 'x-acs-security-token')
  if (nonce !== null && (nonce === '' || nonce.length > MAX_NONCE_LENGTH)) {
    throw incompleteSignature(`x-acs-signature-nonce must have 1 to ${MAX_NONCE_LENGTH} characters.`)
  }
  const named = single(request, 'x-acs-accesskey-id')
  if (named !== null && named !== authorization.accessKeyId) {
    throw incompleteSignature('x-acs-accesskey-id and the Authorization header name different access keys.')
  }
  if (authorization.scheme === 'legacy') {
    const method = single(request, 'x-acs-signature-method')
    if (method !== null && method !== 'HMAC-SHA1')
      throw invalidSignatureMethod('The legacy scheme signs with HMAC-SHA1.')
    return { date: single(request, 'date') ?? missingHeader('Timestamp', 'Date'), nonce, securityToken }
  }
  const date = single(request, 'x-acs-date') ?? missingHeader('Timestamp', 'x-acs-date')
  if (nonce === null) missingHeader('SignatureNonce', 'x-acs-signature-nonce')
  if (single(request, 'x-acs-content-sha256') === null) missingHeader('ContentSha256', 'x-acs-content-sha256')
  for (const name of MUST_BE_SIGNED) {
    if (request.headers.has(name) && !authorization.signedHeaders.includes(name)) {
      throw incompleteSignature(`SignedHeaders must list ${name}.`)
    }
  }
  for (const name of authorization.signedHeaders) {
    if (!request.headers.has(name)) {
      throw incompleteSignature(`SignedHeaders lists ${name.slice(0, 60)}, which the request does not carry.`)
    }
  }
  return { date, nonce, securityToken }
}

/** "Every common header that is present has to be signed" (auth-and-wire §1.2). */
const MUST_BE_SIGNED = [
  'host',
  'x-acs-date',
  'x-acs-content-sha256',
  'x-acs-signature-nonce',
  'x-acs-security-token',
  'x-acs-version',
  'x-acs-action',
  'x-acs-accesskey-id',
]

export async function findActiveKey(keyRing: KeyRing, accessKeyId: string): Promise<AccessKey> {
  const key = await keyRing.find(accessKeyId)
  if (key === null) {
    throw new ApiError(404, 'InvalidAccessKeyId.NotFound', 'Specified access key is not found.')
  }
  if (key.status !== 'Active') {
    throw new ApiError(403, 'InvalidAccessKeyId.Inactive', 'Specified access key is disabled.')
  }
  return key
}

export function checkSecurityToken(key: AccessKey, token: string | null, now: number): void {
  if (key.securityToken === null) {
    if (token !== null) throw badToken('MismatchWithAccessKey', 'mismatch with the AccessKey')
    return
  }
  if (token === null) {
    throw new ApiError(400, 'MissingSecurityToken', 'SecurityToken is mandatory for this action.')
  }
  if (!/^[\x21-\x7e]{1,8192}$/.test(token)) throw badToken('Malformed', 'is malformed')
  if (!equalInConstantTime(Buffer.from(token), Buffer.from(key.securityToken))) {
    throw badToken('MismatchWithAccessKey', 'mismatch with the AccessKey')
  }
  if (key.expireTimeMs !== null && now >= key.expireTimeMs) throw badToken('Expired', 'is expired')
}

function badToken(kind: string, what: string): ApiError {
  return new ApiError(400, `InvalidSecurityToken.${kind}`, `Specified SecurityToken ${what}.`)
}

function checkDate(date: string, scheme: Authorization['scheme'], now: number): number {
  const dateMs = scheme === 'acs3' ? parseIsoDate(date) : parseHttpDate(date)
  if (dateMs === null) {
    const form = scheme === 'acs3' ? 'x-acs-date as 2026-01-02T03:04:05Z' : 'Date as Fri, 02 Jan 2026 03:04:05 GMT'
    throw new ApiError(
      400,
      'InvalidTimeStamp.Format',
      `Specified time stamp or date value is not well formatted. Send ${form}.`,
    )
  }
  if (Math.abs(now - dateMs) > DATE_WINDOW_MS) {
    throw expiredDate(`It may differ from the server's time, ${new Date(now).toISOString()}, by 15 minutes.`)
  }
  return dateMs
}

export function expiredDate(what: string): ApiError {
  return new ApiError(400, 'InvalidTimeStamp.Expired', `Specified time stamp or date value is expired. ${what}`)
}

function verifyAcs3(request: AuthenticRequest, authorization: Acs3Authorization, key: AccessKey): void {
  const { algorithm, signedHeaders } = authorization
  const hash = hashOf(algorithm)
  const digest = (data: string | Uint8Array) => createHash(hash).update(data).digest('hex')
  const bodyDigest = digest(request.body)
  const candidates = canonicalRequests(request, signedHeaders, bodyDigest)
  const verifies = algorithm === 'ACS3-RSA-SHA256' ? rsaVerifier(key) : hmacVerifier(hash, key.secret)
  const claimed = Buffer.from(authorization.signature, 'hex')
  const bodyIsAsSigned = single(request, 'x-acs-content-sha256')!.toLowerCase() === bodyDigest
  const sound = candidates.some((candidate) => verifies(stringToSign(algorithm, candidate, digest), claimed))
  if (sound && bodyIsAsSigned) return
  const expected = candidates[0]!
  throw signatureDoesNotMatch(
    `Specified signature does not match our calculation. server StringToSign is [${stringToSign(algorithm, expected, digest)}] ` +
      `server CanonicalRequest is [${expected}]${bodyIsAsSigned ? '' : ' The body is not the one x-acs-content-sha256 was computed from.'}`,
  )
}

function verifyLegacy(request: AuthenticRequest, authorization: LegacyAuthorization, key: AccessKey): void {
  const candidates = legacyStringsToSign(request)
  const claimed = Buffer.from(authorization.signature, 'base64')
  const verifies = hmacVerifier('sha1', key.secret)
  if (!candidates.some((candidate) => verifies(candidate, claimed))) {
    // The aliyun CLI reads what follows the colon and compares it with its own string, so the words are fixed.
    throw signatureDoesNotMatch(
      `Specified signature is not matched with our calculation. server string to sign is:${candidates[0]}`,
    )
  }
  const md5 = single(request, 'content-md5')
  if (md5 !== null && md5 !== createHash('md5').update(request.body).digest('base64')) {
    throw new ApiError(
      400,
      'ContentMD5NotMatched',
      'Specified Content-MD5 does not match the body: the base64 of the MD5 of its bytes is expected.',
    )
  }
}

type Verifier = (text: string, claimed: Buffer) => boolean

export function hmacVerifier(hash: string, secret: string): Verifier {
  return (text, claimed) => equalInConstantTime(createHmac(hash, secret).update(text).digest(), claimed)
}

function rsaVerifier(key: AccessKey): Verifier {
  if (key.publicKeyPem === null) {
    throw invalidSignatureMethod('No RSA public key is registered for this access key; sign with ACS3-HMAC-SHA256.')
  }
  const publicKey = readPublicKey(key.publicKeyPem)
  return (text, claimed) => verify('RSA-SHA256', Buffer.from(text), publicKey, claimed)
}

function readPublicKey(pem: string): KeyObject {
  try {
    return createPublicKey(pem)
  } catch {
    throw invalidSignatureMethod('The public key registered for this access key is not a readable PEM.')
  }
}

function hashOf(algorithm: Acs3Algorithm): string {
  if (algorithm !== 'ACS3-HMAC-SM3') return 'sha256'
  if (!getHashes().includes('sm3')) throw invalidSignatureMethod('The OpenSSL of this server has no SM3.')
  return 'sm3'
}

function equalInConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

export function signatureDoesNotMatch(message: string): ApiError {
  return new ApiError(400, 'SignatureDoesNotMatch', message)
}

export async function spendNonce(
  nonces: NonceStore,
  accessKeyId: string,
  nonce: string,
  dateMs: number,
  now: number,
): Promise<void> {
  const verdict = await nonces.use({ accessKeyId, nonce, dateMs, now })
  if (verdict === 'used') {
    throw new ApiError(400, 'SignatureNonceUsed', 'Specified signature nonce was used already.')
  }
  if (verdict === 'stale') throw expiredDate('Send it with the current time.')
}

function missingHeader(name: string, header: string): never {
  throw new ApiError(400, `Missing${name}`, `${name} is mandatory for this action. Send the header ${header}.`)
}

/** The header's value, null when absent; a second value is refused, for two readers could pick different ones. */
function single(request: AuthenticRequest, name: string): string | null {
  const values = request.headers.get(name)
  if (values === undefined) return null
  if (values.length > 1) throw incompleteSignature(`The header ${name} was sent more than once.`)
  return values[0]!
}
