/**
 * What a new connection speaks, told by its first bytes: TLS, one of the protocols, or a HAProxy PROXY header (version 1
 * or 2) in front of either. Pure: bytes in, an answer or "more" out; whoever asks stops where "more" says.
 *
 * The PROXY header's forms are those of HAProxy's proxy-protocol.txt. Apache's proxy accepts them as well.
 */
import { isIP } from 'node:net'
import type { Recognition } from './protocol.ts'

interface Recognising {
  recognise(first: Buffer): Recognition
}

export type FirstBytes<Protocol> =
  /** Of more bytes than `most` nobody says so. */
  | { readonly speaks: 'more'; readonly most: number }
  /** With the whole of the client's hello, so that what follows is work at once, and never in a moment of the client's choice. */
  | { readonly speaks: 'tls' }
  | { readonly speaks: 'protocol'; readonly protocol: Protocol }
  /** `length` bytes of header; `addresses` is null when the proxy speaks for itself (health checks). */
  | { readonly speaks: 'proxy'; readonly length: number; readonly addresses: ProxyAddresses | null }
  | { readonly speaks: 'http1' }
  | { readonly speaks: 'unknown' }

export interface ProxyAddresses {
  readonly sourceAddress: string
  readonly sourcePort: number
  readonly destinationAddress: string
  readonly destinationPort: number
}

/** Enough for a version 2 header with every extension in use; longer ones are refused. */
export const maxFirstBytes = 4096
/** Of a ClientHello, with its records: that of a client with key shares after the quantum computer and a ticket has 4 KiB. */
const maxHelloBytes = 16 * 1024

const proxy1 = Buffer.from('PROXY ')
const proxy2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n')
const maxProxy1Bytes = 107
const http1 = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) /

export function recognise<P extends Recognising>(bytes: Buffer, protocols: readonly P[]): FirstBytes<P> {
  if (bytes.length === 0) return more
  if (bytes[0] === 0x16) {
    if (bytes.length < 2) return more
    if (bytes[1] === 0x03) return recogniseHello(bytes)
  }
  if (startsLike(bytes, proxy1)) return recogniseProxy1(bytes)
  if (startsLike(bytes, proxy2)) return recogniseProxy2(bytes)
  return recogniseProtocol(bytes, protocols)
}

/** The same without TLS and PROXY headers, for what is inside TLS. */
export function recogniseProtocol<P extends Recognising>(bytes: Buffer, protocols: readonly P[]): FirstBytes<P> {
  if (bytes.length === 0) return more
  let undecided = false
  for (const protocol of protocols) {
    const recognition = protocol.recognise(bytes)
    if (recognition === 'yes') return { speaks: 'protocol', protocol }
    if (recognition === 'more') undecided = true
  }
  if (undecided) return more
  const text = bytes.toString('latin1', 0, 8)
  if (http1.test(text)) return { speaks: 'http1' }
  return /^[A-Z]{1,7}$/.test(text) ? more : unknown
}

const more = { speaks: 'more', most: maxFirstBytes } as const
const unknown = { speaks: 'unknown' } as const
const tls = { speaks: 'tls' } as const

/** True when `bytes` begins with `pattern`, or is the beginning of it. */
export function startsLike(bytes: Buffer, pattern: Buffer): boolean {
  const length = Math.min(bytes.length, pattern.length)
  return bytes.compare(pattern, 0, length, 0, length) === 0
}

/**
 * What is no ClientHello counts as a whole one: TLS refuses it at no cost. No client cuts its hello into many records; few are
 * looked at, for this is asked again with each piece that comes.
 */
function recogniseHello(bytes: Buffer): FirstBytes<never> {
  let at = 0
  let messageBytes = 0
  /** Of the message: one byte that says that it is a ClientHello, three how long it is. */
  const head: number[] = []
  for (let records = 0; at + recordHeaderBytes <= bytes.length; records++) {
    if (records === mostHelloRecords) return unknown
    const recordBytes = bytes.readUInt16BE(at + 3)
    if (bytes[at] !== 0x16 || recordBytes === 0) return tls
    const first = at + recordHeaderBytes
    at = first + recordBytes
    const end = Math.min(at, bytes.length)
    messageBytes += end - first
    for (let next = first; next < end && head.length < 4; next++) head.push(bytes[next]!)
    if (head.length < 4) continue
    const [type, high, middle, low] = head as [number, number, number, number]
    if (type !== 1 || messageBytes >= 4 + (high << 16) + (middle << 8) + low) return tls
  }
  return { speaks: 'more', most: maxHelloBytes }
}

const recordHeaderBytes = 5
const mostHelloRecords = 4

function recogniseProxy1(bytes: Buffer): FirstBytes<never> {
  const end = bytes.subarray(0, maxProxy1Bytes).indexOf('\r\n')
  if (end < 0) return bytes.length < maxProxy1Bytes ? more : unknown
  const length = end + 2
  const words = bytes.toString('latin1', 0, end).split(' ')
  if (words[1] === 'UNKNOWN') return { speaks: 'proxy', length, addresses: null }
  const [, family, sourceAddress, destinationAddress, sourcePort, destinationPort] = words
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : -1
  if (words.length !== 6 || isIP(sourceAddress!) !== version || isIP(destinationAddress!) !== version) return unknown
  if (!isPort(sourcePort!) || !isPort(destinationPort!)) return unknown
  return {
    speaks: 'proxy',
    length,
    addresses: {
      sourceAddress: sourceAddress!,
      sourcePort: Number(sourcePort),
      destinationAddress: destinationAddress!,
      destinationPort: Number(destinationPort),
    },
  }
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65535
}

function recogniseProxy2(bytes: Buffer): FirstBytes<never> {
  if (bytes.length < 16) return more
  const length = 16 + bytes.readUInt16BE(14)
  const version = bytes[12]! >> 4
  const command = bytes[12]! & 15
  if (version !== 2 || command > 1 || length > maxFirstBytes) return unknown
  if (bytes.length < length) return more
  const [family, addressBytes] = families[bytes[13]!] ?? [null, 0]
  if (command === 0 || family === null) return { speaks: 'proxy', length, addresses: null }
  if (length < 16 + 2 * addressBytes + 4) return unknown
  const at = 16
  return {
    speaks: 'proxy',
    length,
    addresses: {
      sourceAddress: family(bytes, at),
      sourcePort: bytes.readUInt16BE(at + 2 * addressBytes),
      destinationAddress: family(bytes, at + addressBytes),
      destinationPort: bytes.readUInt16BE(at + 2 * addressBytes + 2),
    },
  }
}

/** Keyed by the header's family and transport byte: TCP over IPv4 and over IPv6. */
const families: Record<number, readonly [(bytes: Buffer, at: number) => string, number]> = {
  17: [(bytes, at) => bytes.subarray(at, at + 4).join('.'), 4],
  33: [ipv6, 16],
}

function ipv6(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(at + 2 * index).toString(16))
  // The shortest form, with the longest run of zeros as `::`, so that the text compares as other tools write it.
  let longest = ''
  for (const run of groups.join(':').match(/\b0(?::0)+\b/g) ?? []) if (run.length > longest.length) longest = run
  if (!longest) return groups.join(':')
  const [before, ...after] = splitOnce(groups.join(':'), longest)
  return `${before!.replace(/:$/, '')}::${after[0]!.replace(/^:/, '')}`
}

function splitOnce(text: string, run: string): [string, string] {
  const match = new RegExp(`(?:^|:)${run}(?:$|:)`).exec(text)!
  return [text.slice(0, match.index), text.slice(match.index + match[0].length)]
}
