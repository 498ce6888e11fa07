/**
 * Reads the `Authorization` header: which scheme, which access key, which headers are signed, and the signature.
 * It judges form only; authenticate.ts verifies the signature.
 */
import { ApiError } from '../catalogue/errors.ts'

export const ACS3_ALGORITHMS = ['ACS3-HMAC-SHA256', 'ACS3-HMAC-SM3', 'ACS3-RSA-SHA256'] as const
export type Acs3Algorithm = (typeof ACS3_ALGORITHMS)[number]

export interface Acs3Authorization {
  readonly scheme: 'acs3'
  readonly algorithm: Acs3Algorithm
  readonly accessKeyId: string
  /** Lower case, as listed. */
  readonly signedHeaders: readonly string[]
  /** Lower-case hex. */
  readonly signature: string
}

export interface LegacyAuthorization {
  readonly scheme: 'legacy'
  readonly accessKeyId: string
  /** Base64. */
  readonly signature: string
}

export type Authorization = Acs3Authorization | LegacyAuthorization

/** No client's header comes near this; RSA-4096 in hex is 1,024 characters. */
const MAX_LENGTH = 8_192

/** Throws `IncompleteSignature` when the header has another form, `InvalidSignatureMethod` for an algorithm we lack. */
export function parseAuthorization(header: string): Authorization {
  if (header.length > MAX_LENGTH) throw incompleteSignature(`It is longer than ${MAX_LENGTH} characters.`)
  const legacy = /^acs ([^:\s]+):([A-Za-z0-9+/]+={0,2})$/.exec(header)
  if (legacy !== null) return { scheme: 'legacy', accessKeyId: legacy[1]!, signature: legacy[2]! }
  const [algorithm, rest] = splitOnce(header, ' ')
  if (!/^ACS\d/.test(algorithm)) {
    throw incompleteSignature('The Authorization header starts with neither an ACS3 algorithm nor "acs AccessKeyId:".')
  }
  if (!isAcs3Algorithm(algorithm)) throw invalidSignatureMethod(`Use one of ${ACS3_ALGORITHMS.join(', ')}.`)
  return parseAcs3(algorithm, rest)
}

export function incompleteSignature(what: string): ApiError {
  return new ApiError(
    400,
    'IncompleteSignature',
    `The request signature does not conform to Aliyun standards. ${what}`.trimEnd(),
  )
}

export function invalidSignatureMethod(what: string): ApiError {
  return new ApiError(400, 'InvalidSignatureMethod', `Specified signature method is not valid. ${what}`)
}

function parseAcs3(algorithm: Acs3Algorithm, rest: string): Acs3Authorization {
  const fields = new Map<string, string>()
  for (const piece of rest.split(',')) {
    const [name, value] = splitOnce(piece.trim(), '=')
    if (fields.has(name)) throw incompleteSignature(`The Authorization header has ${name.slice(0, 40)} twice.`)
    fields.set(name, value)
  }
  const field = (name: string) => {
    const value = fields.get(name)
    if (value === undefined || value === '') throw incompleteSignature(`The Authorization header has no ${name}.`)
    return value
  }
  const signature = field('Signature').toLowerCase()
  if (!/^[0-9a-f]+$/.test(signature)) throw incompleteSignature('The signature is not hexadecimal.')
  return {
    scheme: 'acs3',
    algorithm,
    accessKeyId: field('Credential'),
    signedHeaders: [...new Set(field('SignedHeaders').toLowerCase().split(';'))],
    signature,
  }
}

function isAcs3Algorithm(text: string): text is Acs3Algorithm {
  return (ACS3_ALGORITHMS as readonly string[]).includes(text)
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
