/**
 * The checkpoint: the shell's state as of one position, and what the log knew about its files then.
 *
 * It is written to a temporary file, synced, and renamed into place; the one before it stays as
 * `checkpoint.previous`, to which opening falls back when the newest is damaged. A checkpoint that
 * fails leaves the log as it was.
 *
 *   0  8 bytes "GANTRYCP", u32 version (2), u32 flags: 1 = the blob is encrypted
 *  16  f64 position up to which the blob is valid
 *  24  f64 position below which everything was durable, f64 sequence number of the record there
 *  40  u32 number of sealed segments
 *  44  per sealed segment: u32 number, u32 end offset
 *      the blob in pieces, each with its u32 length before it and encrypted by itself; u32 0; u32 CRC-32 of all before
 *
 * The blob is written as its pieces come, so that neither making nor writing a large one stops everything else.
 */
import { crc32 } from 'node:zlib'
import type { Disk, DiskFile } from '../../world/disk.ts'
import type { RecordCipher } from './contract.ts'
import { LogError, newer } from './errors.ts'
import { inTurns, type LoopBudget } from './yield.ts'

export interface Checkpoint extends Place {
  readonly blob: Uint8Array
}

interface Place {
  readonly position: number
  readonly durableEnd: number
  readonly sequence: number
  readonly sealed: ReadonlyArray<{ readonly segment: number; readonly end: number }>
}

const current = 'checkpoint'
const previous = 'checkpoint.previous'
const unfinished = 'checkpoint.new'
export const checkpointVersion = 2
const magic = Buffer.from('GANTRYCP', 'latin1')
const fixedBytes = 44
/** The file is written, and looked through, in portions of about this much. */
const portionBytes = 256 * 1_024

/** What opening found: `damaged` names files that were there and could not be used. */
export interface LoadedCheckpoint {
  readonly checkpoint: Checkpoint | null
  readonly from: 'current' | 'previous' | 'none'
  readonly damaged: readonly string[]
}

export async function loadCheckpoint(
  disk: Disk,
  directory: string,
  names: readonly string[],
  cipher: RecordCipher | null,
  turns: LoopBudget,
): Promise<LoadedCheckpoint> {
  const damaged: string[] = []
  for (const [name, from] of [[current, 'current'] as const, [previous, 'previous'] as const]) {
    if (!names.includes(name)) continue
    const checkpoint = await readCheckpoint(disk, `${directory}/${name}`, cipher, turns)
    if (checkpoint) return { checkpoint, from, damaged }
    damaged.push(`${directory}/${name}`)
  }
  return { checkpoint: null, from: 'none', damaged }
}

/** `replaces`: the current file is sound and becomes the previous one; a damaged one must not take that place. */
export async function saveCheckpoint(
  disk: Disk,
  directory: string,
  checkpoint: Place & { readonly pieces: Iterable<Uint8Array> },
  options: { cipher: RecordCipher | null; replaces: boolean },
): Promise<void> {
  const path = `${directory}/${unfinished}`
  const file = await createAnew(disk, path)
  try {
    await writeAll(file, encode(checkpoint, options.cipher))
    await file.datasync()
  } finally {
    await file.close()
  }
  if (options.replaces) await retire(disk, directory)
  await disk.rename(path, `${directory}/${current}`)
  await disk.syncDirectory(directory)
}

async function retire(disk: Disk, directory: string): Promise<void> {
  try {
    await disk.rename(`${directory}/${current}`, `${directory}/${previous}`)
  } catch (error) {
    // An earlier attempt that failed later has already renamed it.
    if ((error as { code?: string }).code !== 'ENOENT') throw error
  }
}

/** The position of `checkpoint.previous`, or null when there is none to fall back to. */
export async function previousCheckpointPosition(
  disk: Disk,
  directory: string,
  cipher: RecordCipher | null,
  turns: LoopBudget,
): Promise<number | null> {
  const names = await disk.list(directory)
  if (!names.includes(previous)) return null
  return (await readCheckpoint(disk, `${directory}/${previous}`, cipher, turns))?.position ?? null
}

async function createAnew(disk: Disk, path: string) {
  try {
    return await disk.open(path, 'create')
  } catch (error) {
    if ((error as { code?: string }).code !== 'EEXIST') throw error
    await disk.unlink(path)
    return disk.open(path, 'create')
  }
}

async function readCheckpoint(
  disk: Disk,
  path: string,
  cipher: RecordCipher | null,
  turns: LoopBudget,
): Promise<Checkpoint | null> {
  const file = await disk.open(path, 'read')
  try {
    const bytes = Buffer.allocUnsafe(await file.size())
    const count = await file.read(bytes, 0)
    return await inTurns(turns, decode(bytes.subarray(0, count), path, cipher))
  } finally {
    await file.close()
  }
}

/** Everything before the CRC, in order. */
function* encode(
  { pieces, ...place }: Place & { readonly pieces: Iterable<Uint8Array> },
  cipher: RecordCipher | null,
): Generator<Uint8Array, void> {
  yield encodePlace(place, cipher)
  for (const piece of pieces) {
    if (piece.length === 0) continue
    const stored = cipher ? cipher.seal(piece) : piece
    yield wordOf(stored.length)
    yield stored
  }
  yield wordOf(0)
}

async function writeAll(file: DiskFile, parts: Iterable<Uint8Array>): Promise<void> {
  let crc = 0
  let portion: Uint8Array[] = []
  let bytes = 0
  let at = 0
  for (const part of parts) {
    crc = crc32(part, crc)
    portion.push(part)
    bytes += part.length
    if (bytes < portionBytes) continue
    await file.write(portion, at)
    at += bytes
    portion = []
    bytes = 0
  }
  await file.write([...portion, wordOf(crc)], at)
}

function encodePlace(place: Place, cipher: RecordCipher | null): Buffer {
  const bytes = Buffer.alloc(fixedBytes + place.sealed.length * 8)
  magic.copy(bytes)
  bytes.writeUInt32LE(checkpointVersion, 8)
  bytes.writeUInt32LE(cipher ? 1 : 0, 12)
  bytes.writeDoubleLE(place.position, 16)
  bytes.writeDoubleLE(place.durableEnd, 24)
  bytes.writeDoubleLE(place.sequence, 32)
  bytes.writeUInt32LE(place.sealed.length, 40)
  let at = fixedBytes
  for (const { segment, end } of place.sealed) {
    bytes.writeUInt32LE(segment, at)
    bytes.writeUInt32LE(end, at + 4)
    at += 8
  }
  return bytes
}

function wordOf(value: number): Buffer {
  const word = Buffer.alloc(4)
  word.writeUInt32LE(value)
  return word
}

/** In steps, because a checkpoint may be hundreds of megabytes. The blob is put together in the memory of `bytes`. */
function* decode(bytes: Buffer, path: string, cipher: RecordCipher | null): Generator<void, Checkpoint | null> {
  if (bytes.length < fixedBytes + 8 || !bytes.subarray(0, 8).equals(magic)) return null
  if (bytes.readUInt32LE(bytes.length - 4) !== (yield* crcOf(bytes.subarray(0, bytes.length - 4)))) return null
  const version = bytes.readUInt32LE(8)
  if (version > checkpointVersion) throw newer(path, version, checkpointVersion)
  if (version < checkpointVersion) {
    throw new LogError('corrupt', `${path} has format ${version}, and this program reads format ${checkpointVersion}`)
  }
  const encrypted = (bytes.readUInt32LE(12) & 1) === 1
  if (encrypted !== (cipher !== null)) throw wrongKey(path, encrypted)
  const sealedCount = bytes.readUInt32LE(40)
  const begin = fixedBytes + sealedCount * 8
  let end = begin
  for (let at = begin, stepped = begin; ; ) {
    const length = bytes.readUInt32LE(at)
    if (length === 0) break
    const piece = bytes.subarray(at + 4, at + 4 + length)
    // The decrypted bytes are never longer than the stored ones, so they never overwrite bytes still to be read.
    const plain = cipher ? unseal(cipher, piece, path) : piece
    bytes.set(plain, end)
    end += plain.length
    at += 4 + length
    if (at - stepped < portionBytes) continue
    stepped = at
    yield
  }
  return {
    position: bytes.readDoubleLE(16),
    durableEnd: bytes.readDoubleLE(24),
    sequence: bytes.readDoubleLE(32),
    sealed: Array.from({ length: sealedCount }, (_, i) => ({
      segment: bytes.readUInt32LE(fixedBytes + i * 8),
      end: bytes.readUInt32LE(fixedBytes + i * 8 + 4),
    })),
    blob: bytes.subarray(begin, end),
  }
}

function* crcOf(bytes: Buffer): Generator<void, number> {
  let crc = 0
  for (let at = 0; at < bytes.length; at += portionBytes) {
    crc = crc32(bytes.subarray(at, at + portionBytes), crc)
    yield
  }
  return crc
}

function unseal(cipher: RecordCipher, blob: Uint8Array, path: string): Uint8Array {
  try {
    return cipher.open(blob)
  } catch (cause) {
    throw new LogError('wrong-key', `${path} cannot be decrypted with the key at hand`, { cause })
  }
}

export const wrongKey = (path: string, encrypted: boolean): LogError =>
  new LogError(
    'wrong-key',
    encrypted
      ? `${path} is encrypted, and the log was opened without a key`
      : `${path} is not encrypted, and the log was opened with a key; encryption is chosen when an instance is made`,
  )
