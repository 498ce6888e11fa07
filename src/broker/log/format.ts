/**
 * The bytes of a segment file, version 1. All numbers are little-endian.
 *
 * A segment is a header of 128 bytes and then records back to back, nothing between them:
 *
 *   header  0  8 bytes "GANTRYSL"       record  0  u32 CRC-32 of bytes 4 … end, seeded with the segment's salt
 *           8  u32 version (1)                  4  u32 length of the payload
 *          12  u32 segment number               8  u32 low half, 12 u16 high half of the sequence number
 *          16  u32 salt                        14  u16: bit 0 = last record of its batch, the rest from the salt
 *          20  u32 flags: 1 = encrypted        16  u32 `durableBelow`
 *          24  u32 low, 28 u32 high half       20  the payload (as the cipher sealed it, when there is one)
 *              of the first sequence number
 *          32  u32 where the previous segment ended, 0 when there is none
 *          36  u16 length of the key check, 38 the key check (a known text, sealed)
 *         124  u32 CRC-32 of bytes 0 … 123
 *
 * - The header is durable before the first record is written, and a segment is made only after its
 *   predecessor is wholly durable. So only the newest segment can have a torn tail, and the header
 *   of a segment says all that one must know about the one before it: sealing writes nothing.
 * - Sequence numbers rise by one with each record through all segments.
 * - A batch is a run of records that ends with the flag. Recovery drops a batch without its end.
 * - `durableBelow` is the offset below which the segment was durable when the record was written: the
 *   start of its commit. It tells a torn tail from a damaged disk: when an unreadable record at X is
 *   followed by a readable one with `durableBelow` > X, then X was durable once and is damaged.
 * - The salt keeps stale bytes, and bytes that a sender made to look like a record, from passing as one.
 */
import { crc32 } from 'node:zlib'
import { corrupt, newer } from './errors.ts'

export const headerBytes = 128
export const recordHeaderBytes = 20
export const segmentVersion = 1
const magic = Buffer.from('GANTRYSL', 'latin1')
const maxKeyCheckBytes = 86

export interface SegmentHeader {
  readonly segment: number
  readonly salt: number
  readonly firstSequence: number
  readonly previousEnd: number
  /** The key check, sealed; null when the segment is in clear. */
  readonly keyCheck: Uint8Array | null
}

export function encodeHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(headerBytes)
  magic.copy(bytes)
  bytes.writeUInt32LE(segmentVersion, 8)
  bytes.writeUInt32LE(header.segment, 12)
  bytes.writeUInt32LE(header.salt, 16)
  bytes.writeUInt32LE(header.keyCheck ? 1 : 0, 20)
  bytes.writeUInt32LE(header.firstSequence % 2 ** 32, 24)
  bytes.writeUInt32LE(Math.floor(header.firstSequence / 2 ** 32), 28)
  bytes.writeUInt32LE(header.previousEnd, 32)
  if (header.keyCheck) {
    if (header.keyCheck.length > maxKeyCheckBytes) throw new RangeError('The cipher adds too many bytes to a record')
    bytes.writeUInt16LE(header.keyCheck.length, 36)
    bytes.set(header.keyCheck, 38)
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 124)), 124)
  return bytes
}

/** Null when the bytes of the file are not a whole, undamaged header; another version is refused with a `LogError`. */
export function decodeHeader(bytes: Buffer, path: string): SegmentHeader | null {
  if (bytes.length < headerBytes || !bytes.subarray(0, 8).equals(magic)) return null
  if (bytes.readUInt32LE(124) !== crc32(bytes.subarray(0, 124))) return null
  const version = bytes.readUInt32LE(8)
  if (version > segmentVersion) throw newer(path, version, segmentVersion)
  if (version < segmentVersion) throw corrupt(path, 8, `it says that it has format ${version}, which never was`)
  const keyCheckBytes = bytes.readUInt16LE(36)
  return {
    segment: bytes.readUInt32LE(12),
    salt: bytes.readUInt32LE(16),
    firstSequence: bytes.readUInt32LE(24) + bytes.readUInt32LE(28) * 2 ** 32,
    previousEnd: bytes.readUInt32LE(32),
    keyCheck: bytes.readUInt32LE(20) & 1 ? Buffer.from(bytes.subarray(38, 38 + keyCheckBytes)) : null,
  }
}

/** What stands at byte 14 of a record; a sender does not know the salt, so a body cannot pass as a run of records to check. */
export const marksOf = (salt: number, lastOfBatch: boolean): number => (salt & 0xfffe) | (lastOfBatch ? 1 : 0)

/** Writes all of a record but its CRC and `durableBelow`, which `finishRecord` adds when the commit is known. */
export function startRecord(target: Buffer, at: number, payload: Uint8Array, sequence: number, marks: number): void {
  target.writeUInt32LE(payload.length, at + 4)
  target.writeUInt32LE(sequence % 2 ** 32, at + 8)
  target.writeUInt16LE(Math.floor(sequence / 2 ** 32), at + 12)
  target.writeUInt16LE(marks, at + 14)
  target.set(payload, at + recordHeaderBytes)
}

/** Answers where the next record starts. */
export function finishRecord(target: Buffer, at: number, durableBelow: number, salt: number): number {
  const end = at + recordHeaderBytes + target.readUInt32LE(at + 4)
  target.writeUInt32LE(durableBelow, at + 16)
  target.writeUInt32LE(crc32(target.subarray(at + 4, end), salt), at)
  return end
}

export const payloadBytesAt = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at + 4)
export const sequenceAt = (bytes: Buffer, at: number): number =>
  bytes.readUInt32LE(at + 8) + bytes.readUInt16LE(at + 12) * 2 ** 32
export const endsBatchAt = (bytes: Buffer, at: number): boolean => (bytes.readUInt16LE(at + 14) & 1) === 1
export const durableBelowAt = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at + 16)

export const hasMarksAt = (bytes: Buffer, at: number, salt: number): boolean =>
  (bytes.readUInt16LE(at + 14) & 0xfffe) === (salt & 0xfffe)

/** Whether a whole, undamaged record starts at `at`; all of it must lie in `bytes`. */
export function recordIsSound(bytes: Buffer, at: number, salt: number): boolean {
  if (at + recordHeaderBytes > bytes.length) return false
  const end = at + recordHeaderBytes + bytes.readUInt32LE(at + 4)
  return end <= bytes.length && crc32(bytes.subarray(at + 4, end), salt) === bytes.readUInt32LE(at)
}

export const payloadAt = (bytes: Buffer, at: number): Buffer =>
  bytes.subarray(at + recordHeaderBytes, at + recordHeaderBytes + bytes.readUInt32LE(at + 4))

export const segmentFileName = (segment: number): string => `${String(segment).padStart(7, '0')}.segment`

/** Null for other files. */
export function segmentOfFileName(name: string): number | null {
  const match = /^(\d{7})\.segment$/.exec(name)
  return match ? Number(match[1]) : null
}

/** Positions stay below 2^53 with 21 bits of segment number. */
export const maxSegment = 2 ** 21 - 1
