/**
 * Who is calling? Verifies the signature of a request and answers the principal, or refuses with the gateway's
 * codes in the gateway's order (auth-and-wire §1.6): credentials present, form of the header, mandatory headers,
 * access key, security token, date, signature, nonce. The nonce comes last because only a verified request may
 * use one up. A request of the legacy scheme without a nonce (the aliyun CLI sends none) is known by its signature.
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
import type { OneUse } from '../ledger/ledger.ts'
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
import { DATE_WINDOW_MS, type NonceStore, type NonceUse, oneUseOf } from './nonces.ts'
import { parseQuery } from './percent.ts'
import type { Principal } from './principal.ts'
import { parseHttpDate, parseIsoDate } from './request-date.ts'

export interface AuthenticRequest extends SignedMessage {
  readonly body: Uint8Array
}

export interface Authenticator {
  readonly keyRing: KeyRing
  readonly nonces: NonceStore
  /** Refuse bodies of the legacy scheme without Content-MD5: nothing else in that scheme signs a body. */
  readonly requireContentMd5: boolean
}

/** What is known of the call before its caller is. */
export interface Expected {
  /** The operation changes nothing, so carrying it out twice does no harm. */
  readonly readOnly: boolean
  /** Names of query parameters that mean something to the operation. */
  readonly queryNames: readonly string[]
}

export interface Authenticated {
  readonly principal: Principal
  readonly scheme: Authorization['scheme']
  readonly once: OneUse
}

/** Throws `ApiError` to refuse; `now` is milliseconds since the epoch. */
export async function authenticate(
  { keyRing, nonces, requireContentMd5 }: Authenticator,
  request: AuthenticRequest,
  expected: Expected,
  now: number,
): Promise<Authenticated> {
  const authorization = readAuthorization(request)
  const signed = readSignedParts(request, authorization)
  const key = await findActiveKey(keyRing, authorization.accessKeyId)
  checkSecurityToken(key, signed.securityToken, now)
  const dateMs = checkDate(signed.date, authorization.scheme, now)
  if (authorization.scheme === 'acs3') verifyAcs3(request, authorization, key)
  else {
    verifyLegacy(request, authorization, key)
    checkLegacyForm(request, expected, { requireContentMd5 })
  }
  const { principal } = key
  const use = { accessKeyId: key.accessKeyId, owner: shareOwner(principal), dateMs, now }
  const once =
    signed.nonce === null
      ? await spendSignature(nonces, use, authorization.signature, expected)
      : await spendNonce(nonces, { ...use, nonce: signed.nonce })
  return { principal, scheme: authorization.scheme, once }
}

/** All temporary keys of a role share its part of the memory, whatever their sessions are called. */
export const shareOwner = (principal: Principal): string => principal.id.split(':')[0]!

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
  for (const [name, values] of request.headers) {
    if (values.length > 1 && (name.startsWith('x-acs-') || SENT_ONCE.includes(name))) {
      throw incompleteSignature(`The header ${name.slice(0, 60)} was sent more than once.`)
    }
  }
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

/** Two readers of a header that is sent twice could pick different ones. So it is with every `x-acs-` header. */
const SENT_ONCE = ['host', 'date', 'accept', 'content-type', 'content-md5']

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

/** Answers what the ledger stores with the change of this request. */
export async function spendNonce(nonces: NonceStore, use: NonceUse): Promise<OneUse> {
  const verdict = await nonces.use(use)
  if (verdict.kind === 'fresh') return verdict.use
  throw verdict.kind === 'used' ? nonceUsed() : expiredDate('Send it with the current time.')
}

export const nonceUsed = (what = ''): ApiError =>
  new ApiError(400, 'SignatureNonceUsed', `Specified signature nonce was used already. ${what}`.trimEnd())

/**
 * The aliyun CLI sends no nonce and a date in whole seconds, so two equal commands of one second are one request,
 * byte for byte. Reads may repeat for this long; a change is made once.
 */
const READ_REPEATS_MS = 5_000

async function spendSignature(
  nonces: NonceStore,
  use: Omit<NonceUse, 'nonce'>,
  signature: string,
  { readOnly }: Expected,
): Promise<OneUse> {
  // Normalised, because base64 has several spellings of the last byte. The line break keeps it apart from nonces sent
  // in a header.
  const nonce = `\n${Buffer.from(signature, 'base64').toString('base64')}`
  const verdict = await nonces.use({ ...use, nonce })
  if (verdict.kind === 'fresh') return verdict.use
  if (verdict.kind === 'stale') throw expiredDate('Send it with the current time.')
  if (readOnly && verdict.agoMs <= READ_REPEATS_MS) return oneUseOf({ ...use, nonce })
  throw nonceUsed(
    'Equal requests that are signed within one second without x-acs-signature-nonce are the same request, and it was received already. Send it again a second later, or sign it with an x-acs-signature-nonce of its own.',
  )
}

/**
 * What the legacy scheme leaves open, once the caller is known. Its query is signed decoded, so that `a=1&b=2` may
 * be two parameters or one: a value is refused when a part of it could be read as a parameter of the operation. Its
 * body is signed by Content-MD5 alone, which the CLI sends and Terraform and the SDKs do not
 * (docs/decisions/legacy-signatures.md).
 */
function checkLegacyForm(
  request: AuthenticRequest,
  { queryNames }: Expected,
  { requireContentMd5 }: { requireContentMd5: boolean },
): void {
  for (const [name, value] of parseQuery(request.rawQuery)) {
    if (/[&=]/.test(name)) throw ambiguousQuery(name, 'A name of the query holds "&" or "=".')
    for (const part of value.split('&').slice(1)) {
      const other = part.split('=')[0]!.replace(/\.\d+$/, '')
      if (queryNames.includes(other)) throw ambiguousQuery(name, `A part of it reads as the parameter ${other}.`)
    }
  }
  if (requireContentMd5 && request.body.length > 0 && !request.headers.has('content-md5')) {
    throw new ApiError(
      400,
      'MissingContentMD5',
      'Content-MD5 is mandatory for a body that is signed with the legacy scheme on this server. Send it, or sign with ACS3-HMAC-SHA256.',
    )
  }
}

const ambiguousQuery = (name: string, what: string): ApiError =>
  incompleteSignature(
    `The legacy signature cannot tell the query parameter ${name.slice(0, 60)} from others. ${what} Sign with ACS3-HMAC-SHA256.`,
  )

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
