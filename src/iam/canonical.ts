/**
 * What exactly is signed: the canonical request of the ACS3 schemes and the string to sign of the legacy
 * ROA scheme, rebuilt from a request as it arrived.
 *
 * Clients disagree in details (auth-and-wire §1.2 and §2), so each function answers every candidate that some
 * official client may have signed, the likeliest first; a verifier accepts the request when any of them verifies.
 * All candidates of one request mean the same request: they differ in encoding, never in content. A candidate that,
 * sent as a path, would be routed otherwise than the request's own is left out: else a signature for one resource
 * would be good for another.
 *
 * Pure: no Node, no clock, no hashing of its own. The digest is handed in.
 */
import { decodePercent, encodePercent, parseQuery } from './percent.ts'

/** Names in lower case; each name has its values in the order they arrived. */
export type HeaderValues = ReadonlyMap<string, readonly string[]>

export interface SignedMessage {
  readonly method: string
  /** Path as on the request line, still percent-encoded, without the query. */
  readonly rawPath: string
  /** Query as on the request line, without the `?`. */
  readonly rawQuery: string
  readonly headers: HeaderValues
}

/** Canonical requests of ACS3. `bodyDigest` is the lower-case hex digest of the body's bytes. */
export function canonicalRequests(
  message: SignedMessage,
  signedHeaders: readonly string[],
  bodyDigest: string,
): string[] {
  const names = [...signedHeaders].sort(byCodeUnit)
  const query = canonicalQuery(message.rawQuery)
  const headers = names.map((name) => `${name}:${canonicalValue(message.headers.get(name) ?? [])}\n`).join('')
  return pathCandidates(message.rawPath).map((path) =>
    [message.method, path, query, headers, names.join(';'), bodyDigest].join('\n'),
  )
}

/** `digest` answers the lower-case hex digest of UTF-8 text, SHA-256 or SM3 as the algorithm says. */
export function stringToSign(algorithm: string, canonicalRequest: string, digest: (text: string) => string): string {
  return `${algorithm}\n${digest(canonicalRequest)}`
}

/**
 * Strings to sign of the legacy scheme (`Authorization: acs AK:…`). Values of the query are signed decoded;
 * whether an empty value keeps its `=`, and whether the path is decoded, depends on the client.
 */
export function legacyStringsToSign(message: SignedMessage): string[] {
  const one = (name: string) => message.headers.get(name)?.[0] ?? ''
  const head = [message.method, one('accept'), one('content-md5'), one('content-type'), one('date')].join('\n')
  const acsHeaders = [...message.headers]
    .filter(([name]) => name.startsWith('x-acs-'))
    .sort(([a], [b]) => byCodeUnit(a, b))
    .map(([name, values]) => `${name}:${values.join(',')}\n`)
    .join('')
  const pairs = parseQuery(message.rawQuery).sort(([a], [b]) => byCodeUnit(a, b))
  const queries = [
    pairs.map(([name, value]) => (value === '' ? name : `${name}=${value}`)).join('&'),
    pairs.map(([name, value]) => `${name}=${value}`).join('&'),
  ]
  const paths = sameReading(message.rawPath, [message.rawPath, decodePercent(message.rawPath)])
  return distinct(
    paths.flatMap((path) => queries.map((query) => `${head}\n${acsHeaders}${path}${query === '' ? '' : `?${query}`}`)),
  )
}

/** Sorted by name; every name and value in RFC 3986 form, an empty value keeps its `=`. */
export function canonicalQuery(rawQuery: string): string {
  return parseQuery(rawQuery)
    .sort(([a], [b]) => byCodeUnit(a, b))
    .map(([name, value]) => `${encodePercent(name)}=${encodePercent(value)}`)
    .join('&')
}

/**
 * The path as sent (Java, Python), with three characters rewritten (npm, Go), and encoded anew segment by
 * segment (a client that signs the normal form and sends another).
 */
function pathCandidates(rawPath: string): string[] {
  const path = rawPath === '' ? '/' : rawPath
  return sameReading(path, [
    path,
    path.replaceAll('+', '%20').replaceAll('*', '%2A').replaceAll('%7E', '~'),
    path
      .split('/')
      .map((segment) => encodePercent(decodePercent(segment)))
      .join('/'),
  ])
}

/** Those of the paths that routing reads as it reads `rawPath`: segment by segment, each decoded once (api/routing.ts). */
function sameReading(rawPath: string, paths: readonly string[]): string[] {
  const meaning = readPath(rawPath)
  return distinct(paths).filter((path) => {
    const segments = readPath(path)
    return segments.length === meaning.length && segments.every((segment, at) => segment === meaning[at])
  })
}

/** Decoded segments of a path. An encoded slash stays inside its segment; a plus and a dot are only characters. */
export const readPath = (rawPath: string): string[] => rawPath.split('/').map(decodePercent)

function canonicalValue(values: readonly string[]): string {
  return values.length === 1
    ? values[0]!.trim()
    : [...values]
        .map((value) => value.trim())
        .sort(byCodeUnit)
        .join(',')
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)]
}
