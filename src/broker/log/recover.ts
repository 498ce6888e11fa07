/**
 * Finds the end of a log after a crash, and refuses to open it when durable records are missing before that end.
 *
 * Only the newest segment is read, and only from where the checkpoint knew it durable. What a crash
 * left half-written is cut off and reported: it was never acknowledged. An unreadable record that
 * was durable once (see format.ts, `durableBelow`) is damage: opening is refused and nothing is changed.
 */
import type { Disk, DiskFile } from '../../world/disk.ts'
import type { Checkpoint } from './checkpoint.ts'
import { loadCheckpoint, wrongKey } from './checkpoint.ts'
import type { RecordCipher, RecoveryReport } from './contract.ts'
import { positionOf, segmentOf } from './contract.ts'
import { corrupt, LogError } from './errors.ts'
import type { SegmentHeader } from './format.ts'
import {
  decodeHeader,
  durableBelowAt,
  endsBatchAt,
  hasMarksAt,
  headerBytes,
  payloadBytesAt,
  recordHeaderBytes,
  recordIsSound,
  segmentFileName,
  segmentOfFileName,
  sequenceAt,
} from './format.ts'
import type { LoopBudget } from './yield.ts'

export interface RecoveredLog {
  readonly checkpoint: Checkpoint | null
  readonly checkpointFrom: 'current' | 'previous' | 'none'
  /** Sealed segments, oldest first. */
  readonly sealed: ReadonlyArray<{ readonly segment: number; readonly end: number }>
  /** The segment to go on with; null when there is none yet. */
  readonly last: { readonly header: SegmentHeader; readonly end: number } | null
  readonly nextSequence: number
  readonly report: RecoveryReport
}

export async function recoverLog(
  disk: Disk,
  directory: string,
  cipher: RecordCipher | null,
  turns: LoopBudget,
): Promise<RecoveredLog> {
  const names = await disk.list(directory)
  const { checkpoint, from, damaged } = await loadCheckpoint(disk, directory, names, cipher, turns)
  const segments = names.map(segmentOfFileName).filter((segment) => segment !== null)
  refuseGaps(directory, segments)
  const last = await openLast(disk, directory, segments)
  try {
    await refuseLostRecords(disk, directory, checkpoint, damaged, segments)
    const nothing = { sealed: [], last: null, nextSequence: 0 }
    if (!last) {
      const report = { scannedBytes: 0, tornBytes: 0, tornAt: null, damagedCheckpoints: damaged }
      return { checkpoint, checkpointFrom: from, ...nothing, report }
    }
    checkKey(last.path, last.header, cipher)
    const known = knownDurable(checkpoint, last)
    const tail = await findTail(last, known)
    const sealed = await endsOfSealed(disk, directory, segments.slice(0, -1), last.header, checkpoint)
    await mend(disk, directory, last, known, tail)
    return {
      checkpoint,
      checkpointFrom: from,
      sealed,
      last: { header: last.header, end: tail.end },
      nextSequence: tail.nextSequence,
      report: {
        scannedBytes: last.size - known.offset,
        tornBytes: last.size - tail.end,
        tornAt: last.size > tail.end ? { path: last.path, offset: tail.end } : null,
        damagedCheckpoints: damaged,
      },
    }
  } finally {
    await last?.file.close()
  }
}

interface LastSegment {
  readonly file: DiskFile
  readonly path: string
  readonly header: SegmentHeader
  readonly size: number
}

/**
 * Opens the newest segment. One that a crash left without a whole header holds no record, for the
 * header is durable before the first: it is removed, and the one before it is the newest again.
 */
async function openLast(disk: Disk, directory: string, segments: number[]): Promise<LastSegment | null> {
  const segment = segments.at(-1)
  if (segment === undefined) return null
  const path = `${directory}/${segmentFileName(segment)}`
  const file = await disk.open(path, 'write')
  let keep = false
  try {
    const size = await file.size()
    const header = await readHeader(file, path)
    if (header && header.segment === segment) {
      keep = true
      return { file, path, header, size }
    }
    if (size > headerBytes) throw corrupt(path, 0, 'its header is unreadable')
  } finally {
    if (!keep) await file.close()
  }
  await disk.unlink(path)
  await disk.syncDirectory(directory)
  segments.pop()
  return openLast(disk, directory, segments)
}

async function readHeader(file: DiskFile, path: string): Promise<SegmentHeader | null> {
  const bytes = Buffer.alloc(headerBytes)
  const count = await file.read(bytes, 0)
  return decodeHeader(bytes.subarray(0, count), path)
}

interface Known {
  /** According to the checkpoint the file is durable. */
  readonly fileDurable: boolean
  readonly offset: number
  readonly sequence: number
}

/** Up to where the newest segment needs no scan. */
function knownDurable(checkpoint: Checkpoint | null, last: LastSegment): Known {
  const start = { fileDurable: false, offset: headerBytes, sequence: last.header.firstSequence }
  if (!checkpoint) return start
  const segment = segmentOf(checkpoint.durableEnd)
  if (segment < last.header.segment) return start
  const offset = checkpoint.durableEnd - positionOf(segment, 0)
  if (segment > last.header.segment || offset > last.size) {
    throw corrupt(
      last.path,
      last.size,
      `the log ends here, but it was durable up to byte ${offset} of segment ${segment}`,
    )
  }
  return { fileDurable: true, offset, sequence: checkpoint.sequence }
}

interface Tail {
  /** The end of the last whole batch. */
  readonly end: number
  readonly nextSequence: number
  /** Start of the last commit: from here on the bytes may be in the machine's cache only. */
  readonly lastCommit: number
}

async function findTail(last: LastSegment, known: Known): Promise<Tail> {
  const { salt } = last.header
  let tail: Tail = { end: known.offset, nextSequence: known.sequence, lastCommit: known.offset }
  let at = known.offset
  let sequence = known.sequence
  let commit = known.offset
  let window: Buffer = Buffer.alloc(0)
  let windowAt = at
  while (at < last.size) {
    let local = at - windowAt
    const needed = neededBytes(window, local)
    if (needed > window.length - local && windowAt + window.length < last.size) {
      if (at + needed > last.size) break
      window = await readWindow(last.file, at, Math.min(Math.max(scanWindowBytes, needed), last.size - at))
      windowAt = at
      local = 0
      if (neededBytes(window, 0) > window.length && at + window.length < last.size) continue
    }
    if (!recordIsSound(window, local, salt) || sequenceAt(window, local) !== sequence) break
    commit = durableBelowAt(window, local)
    const ends = endsBatchAt(window, local)
    at += recordHeaderBytes + payloadBytesAt(window, local)
    sequence++
    if (ends) tail = { end: at, nextSequence: sequence, lastCommit: commit }
  }
  if (at < last.size) await refuseDamage(last, at, sequence)
  return tail
}

const scanWindowBytes = 512 * 1024

/** Bytes of the record at `local` as far as the window tells. */
function neededBytes(window: Buffer, local: number): number {
  return window.length - local < recordHeaderBytes
    ? recordHeaderBytes
    : recordHeaderBytes + payloadBytesAt(window, local)
}

async function readWindow(file: DiskFile, at: number, bytes: number): Promise<Buffer> {
  const window = Buffer.allocUnsafe(bytes)
  return window.subarray(0, await file.read(window, at))
}

/** Looks behind the unreadable record at `at` for a sound one written when `at` was durable already. */
async function refuseDamage(last: LastSegment, at: number, sequence: number): Promise<void> {
  const maxSequence = sequence + Math.ceil((last.size - at) / recordHeaderBytes)
  for (let from = at + 1; from + recordHeaderBytes <= last.size; from += scanWindowBytes) {
    const window = await readWindow(
      last.file,
      from,
      Math.min(scanWindowBytes + recordHeaderBytes - 1, last.size - from),
    )
    for (let local = 0; local + recordHeaderBytes <= window.length; local++) {
      if (!hasMarksAt(window, local, last.header.salt)) continue
      const durableBelow = durableBelowAt(window, local)
      if (durableBelow <= at || durableBelow > from + local) continue
      const found = sequenceAt(window, local)
      if (found <= sequence || found > maxSequence) continue
      const bytes = recordHeaderBytes + payloadBytesAt(window, local)
      if (from + local + bytes > last.size) continue
      if (!recordIsSound(await readWindow(last.file, from + local, bytes), 0, last.header.salt)) continue
      throw corrupt(last.path, at, `the record there is unreadable, and a later one at byte ${from + local} is whole`)
    }
  }
}

/**
 * Cuts the torn tail off and makes what stays durable. After a kill the last commit may sit in the
 * machine's cache only, and after a failed sync Linux forgets that its pages are dirty: so the last
 * commit is written again before anybody relies on it. The cut must be durable too, or stale
 * records could show up behind shorter new ones.
 */
async function mend(disk: Disk, directory: string, last: LastSegment, known: Known, tail: Tail): Promise<void> {
  if (known.fileDurable && last.size === known.offset) return
  if (last.size > tail.end) await last.file.truncate(tail.end)
  // With a single commit in the file, neither its header nor its name is proven durable.
  const from = tail.lastCommit === headerBytes ? 0 : tail.lastCommit
  if (tail.end > from) await last.file.write([await readWindow(last.file, from, tail.end - from)], from)
  await last.file.datasync()
  if (!known.fileDurable) await disk.syncDirectory(directory)
}

/** Each segment's header says where its predecessor ended; the checkpoint saves most of the reading. */
async function endsOfSealed(
  disk: Disk,
  directory: string,
  segments: readonly number[],
  lastHeader: SegmentHeader,
  checkpoint: Checkpoint | null,
): Promise<{ segment: number; end: number }[]> {
  const known = new Map(checkpoint?.sealed.map(({ segment, end }) => [segment, end]))
  known.set(lastHeader.segment - 1, lastHeader.previousEnd)
  const sealed: { segment: number; end: number }[] = []
  for (const segment of segments) {
    sealed.push({ segment, end: known.get(segment) ?? (await endBefore(disk, directory, segment + 1)) })
  }
  return sealed
}

async function endBefore(disk: Disk, directory: string, segment: number): Promise<number> {
  const path = `${directory}/${segmentFileName(segment)}`
  const file = await disk.open(path, 'read')
  try {
    const header = await readHeader(file, path)
    if (!header) throw corrupt(path, 0, 'its header is unreadable')
    return header.previousEnd
  } finally {
    await file.close()
  }
}

export function checkKey(path: string, header: SegmentHeader, cipher: RecordCipher | null): void {
  if ((header.keyCheck !== null) !== (cipher !== null)) throw wrongKey(path, header.keyCheck !== null)
  if (!cipher || !header.keyCheck) return
  let opened: Uint8Array
  try {
    opened = cipher.open(header.keyCheck)
  } catch (cause) {
    throw new LogError('wrong-key', `${path} cannot be decrypted with the key at hand`, { cause })
  }
  if (!keyCheckText.equals(opened)) throw new LogError('wrong-key', `${path} cannot be decrypted with the key at hand`)
}

export const keyCheckText = Buffer.from('gantry log', 'latin1')

function refuseGaps(directory: string, segments: readonly number[]): void {
  for (let i = 1; i < segments.length; i++) {
    if (segments[i] === segments[i - 1]! + 1) continue
    const path = `${directory}/${segmentFileName(segments[i - 1]! + 1)}`
    throw new LogError('corrupt', `${path} is missing, and the segments around it are there; restore it from a copy`)
  }
}

/** The shell replays from the checkpoint, or from the beginning without one: those records must be there. */
async function refuseLostRecords(
  disk: Disk,
  directory: string,
  checkpoint: Checkpoint | null,
  damaged: readonly string[],
  segments: readonly number[],
): Promise<void> {
  const first = segments[0]
  if (!checkpoint) {
    if (damaged.length === 0 || first === undefined || first === 1) return
    throw new LogError(
      'corrupt',
      `${damaged.join(' and ')}: no checkpoint is readable and the log's beginning is gone; restore a copy`,
    )
  }
  if (first === undefined) {
    if (checkpoint.sequence === 0) return
    throw new LogError(
      'corrupt',
      `${directory} has a checkpoint, but its segment files are missing; restore them from a copy`,
    )
  }
  const segment = segmentOf(checkpoint.position)
  if (segment >= first) return
  const endOfMissing = segment === first - 1 ? await endBefore(disk, directory, first) : Number.POSITIVE_INFINITY
  if (checkpoint.position - positionOf(segment, 0) >= endOfMissing) return
  const path = `${directory}/${segmentFileName(segment)}`
  throw new LogError('corrupt', `${path} is missing, and the checkpoint needs it; restore it from a copy`)
}
