/**
 * What the log promises to the shell: records in order, durable in batches, found again by position.
 *
 * `log.ts` and `queue-index.ts` keep these promises.
 * A position is one plain number, `segment * 2**32 + offset` (below 2^53), so positions are ordered
 * across segments and compare with `<`. Nothing here knows what a record means.
 */

import type { Disk } from '../../world/disk.ts'
import type { Clock, Random } from '../../world/world.ts'
import type { LoopBudget } from './yield.ts'

/** `segment * 2**32 + offset`. */
export const positionOf = (segment: number, offset: number): number => segment * 2 ** 32 + offset
export const segmentOf = (position: number): number => Math.floor(position / 2 ** 32)

export interface SealedSegment {
  readonly segment: number
  readonly first: number
  readonly end: number
}

export interface SegmentLog {
  /** Appends records in order as one atomic batch; resolves when durable with the position of each. Batches that arrive while a sync runs become one commit. */
  append(records: readonly Uint8Array[]): Promise<readonly number[]>
  /**
   * Same order and the same atomicity, but positions are known synchronously, before durability.
   * The records are copied: the caller may reuse their memory when this returns. `durable` rejects when the log failed.
   */
  write(records: readonly Uint8Array[]): { positions: readonly number[]; durable: Promise<void> }
  /**
   * `join` is called when a commit is about to be written: what it writes becomes durable with that commit, or with the
   * next one if it does not fit. It must not throw.
   */
  beforeCommit(join: () => void): void
  /** Recent data is served from memory, also before it is durable. */
  read(position: number): Promise<Uint8Array>
  readMany(positions: readonly number[]): Promise<Uint8Array[]>
  /** All records from a position on, in order, for recovery. */
  scan(from: number): AsyncIterable<{ readonly position: number; readonly payload: Uint8Array }>
  /** As `scan`, many records at a time, those that begin below a position: several times faster for millions of them. */
  scanChunks(
    from: number,
    below?: number,
  ): AsyncIterable<readonly { readonly position: number; readonly payload: Uint8Array }[]>
  readonly first: number
  readonly end: number
  readonly durableEnd: number
  /**
   * Saves a checkpoint blob valid up to `position` (atomically replaced, synced); given back by the next open. A blob in
   * pieces is asked for one after another as they are written, so that a large one is never in memory as a whole.
   */
  checkpoint(blob: Uint8Array | Iterable<Uint8Array>, position: number): Promise<void>
  /** Unlinks sealed segments wholly below `position`. */
  trim(position: number): Promise<void>
  /**
   * Ends the segment being written and begins the next, so that `trim` can give its space back; resolves when
   * `onSealed` was called for it. Does nothing when it holds no record. A failed write stops the log.
   */
  seal(): Promise<void>
  /** Sealed segments with their size and first and end position. */
  segments(): readonly (SealedSegment & { readonly bytes: number })[]
  onSealed(listener: (segment: SealedSegment) => void): void
  /** A failed write or sync stops the log for good. */
  readonly failed: Error | null
  close(): Promise<void>
}

/** Encrypts records at rest; null keeps them in clear. */
export interface RecordCipher {
  /** How much longer a sealed record is. */
  readonly overheadBytes: number
  seal(plain: Uint8Array): Uint8Array
  open(sealed: Uint8Array): Uint8Array
}

export interface OpenLogOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly directory: string
  /** 64 MiB unless given; a record with its header must fit. */
  readonly segmentBytes?: number
  readonly cipher?: RecordCipher | null
  /** Salts the segments; without it the salt comes from the clock and the path. */
  readonly random?: Random
  /** Writes beyond this many bytes that wait to become durable are refused with code `busy`. 64 MiB unless given. */
  readonly maxWaitingBytes?: number
  /** Asked between portions of what opening does; a turn for each unless given. */
  readonly turns?: LoopBudget
}

/** A log just opened; the checkpoint covers everything below its `position`. */
export interface OpenedLog {
  readonly log: SegmentLog
  readonly checkpoint: { readonly blob: Uint8Array; readonly position: number } | null
  readonly recovery: RecoveryReport
}

/** What opening had to do; all zero and empty after a clean close with a checkpoint. */
export interface RecoveryReport {
  /** Bytes read to find the end of the log. */
  readonly scannedBytes: number
  /** Bytes cut off because a crash left them half-written; they were never acknowledged. */
  readonly tornBytes: number
  /** Where they were cut; null when nothing was. */
  readonly tornAt: { readonly path: string; readonly offset: number } | null
  /** Checkpoint files that were there and could not be used. */
  readonly damagedCheckpoints: readonly string[]
}

/** Where the messages of each queue are: offset → position, tag hash, store time. Recent entries in memory, sealed ones in index files. */
export interface QueueIndex {
  /** Offsets are contiguous for each queue key. */
  add(queueKey: number, offset: number, position: number, tagHash: number, storeTimeMs: number): void
  /** Answers at once when all entries are in memory. Fewer than `count` at the queue's end; starts at the minimum offset when `from` lies below it. */
  lookup(queueKey: number, from: number, count: number): Promise<IndexEntries> | IndexEntries
  drop(queueKey: number): void
  /** Forgets entries below a position; answers each touched queue's new minimum offset. */
  trimBelow(position: number): Promise<Map<number, number>>
  /** Persists the entries that lie in a sealed segment and releases their memory. */
  seal(segment: SealedSegment): Promise<void>
  minimumOffset(queueKey: number): number
  /** Saves what is in memory and durable in the log, so that the next opening need not read the newest segment. Worth calling before each checkpoint. */
  flush?(): Promise<void>
  close?(): Promise<void>
}

/** What `openQueueIndex` (queue-index.ts) gives. */
export interface OpenedIndex {
  readonly index: QueueIndex
  /** Entries of positions below this came back from index files; the shell adds those from here on again, by scanning the log. */
  readonly sealedBelow: number
}

export interface IndexEntries {
  /** Offset of entry 0. */
  readonly from: number
  readonly count: number
  position(i: number): number
  tagHash(i: number): number
  storeTimeMs(i: number): number
}
