/**
 * The text of gRPC's headers: timeouts, status messages, and metadata as a handler gives it. Pure; the rules are
 * those of the gRPC over HTTP/2 protocol description.
 */
import type { MetadataInit } from './transport.ts'

const unitMs: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }
const maxStatusMessageBytes = 4096

/** Milliseconds of a `grpc-timeout` value, rounded up; null when it is malformed. */
export function parseTimeout(value: string): number | null {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value)
  return match ? Math.ceil(Number(match[1]) * unitMs[match[2]!]!) : null
}

/** The `grpc-message` of a text: UTF-8, percent-encoded, cut at 4 KiB. */
export function encodeStatusMessage(text: string): string {
  if (text.length <= maxStatusMessageBytes && /^[\x20-\x24\x26-\x7e]*$/.test(text)) return text
  let encoded = ''
  for (const byte of Buffer.from(text.slice(0, maxStatusMessageBytes)).subarray(0, maxStatusMessageBytes)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

/** Copies `metadata` into `headers`; throws TypeError on a name or value that cannot be sent. */
export function addMetadata(headers: Record<string, string | number>, metadata: MetadataInit): void {
  for (const [name, value] of Object.entries(metadata)) {
    if (!/^[0-9a-z_.-]+$/.test(name) || name.startsWith('grpc-'))
      throw new TypeError(`${JSON.stringify(name)} cannot be a metadata name`)
    headers[name] = encodeValue(name, value)
  }
}

function encodeValue(name: string, value: string | Uint8Array): string {
  if (name.endsWith('-bin')) return Buffer.from(value as Uint8Array).toString('base64')
  if (typeof value !== 'string' || !/^[\x20-\x7e]*$/.test(value)) {
    throw new TypeError(`The value of metadata ${name} is not visible ASCII; use a name ending in -bin for bytes`)
  }
  return value
}
