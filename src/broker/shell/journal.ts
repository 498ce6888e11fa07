/**
 * The single writer: events go to the log and into the state together, in one order.
 *
 * `commit` encodes, writes and applies at once; `durable`, asked right after, resolves when the log has
 * made the events durable, and that is when a reply may be given. State runs ahead of the disk by at most the batches
 * under way, which are not acknowledged yet.
 *
 * Messages are offered to waiting receives right before the commit that holds them is written: the deliveries join it, and
 * message and delivery become durable by one sync. Nothing is handed over, and nobody else sees a message, before that,
 * so no consumer acts on a message that a power cut then takes back.
 *
 * A failed write or sync stops the broker for good (`failed`): what the disk holds is then unknown, and
 * only opening again can tell. So does an event that cannot be applied: no reply is given by half a change.
 */
import { BrokenInvariant } from '../../model/assert.ts'
import { apply } from '../core/apply.ts'
import { encodeEvent } from '../core/event-codec.ts'
import type { BrokerEvent, MessageEvent } from '../core/events.ts'
import { tagHash } from '../core/filters/filter.ts'
import { queueKeysGoneBy } from '../core/lite/lite.ts'
import type { SegmentAge } from '../core/retention.ts'
import { Snapshot } from '../core/snapshot.ts'
import type { BrokerState, Queue, Topic } from '../core/state.ts'
import { Writer } from '../core/structures/bytes.ts'
import { type SealedSegment, type SegmentLog, segmentOf } from '../log/contract.ts'
import { LogError } from '../log/errors.ts'
import type { LookupIndex } from '../log/lookup/lookup-index.ts'
import type { PersistentQueueIndex } from '../log/queue-index.ts'

/** A checkpoint is written after so much of the log, so that the next start replays little. */
const CHECKPOINT_BYTES = 64 * 2 ** 20
const CHECKPOINT_EVENTS = 200_000

export interface JournalOptions {
  readonly state: BrokerState
  readonly log: SegmentLog
  readonly index: PersistentQueueIndex
  readonly lookups: LookupIndex
  /** Sealed segments, oldest first. */
  readonly ages: SegmentAge[]
  /** Time of the newest message in the segment being written. */
  readonly newestMs: number
  /** Time of its first one; null when it holds none. */
  readonly unsealedSinceMs: number | null
  /** Topics with new messages: what is taken of them now becomes durable together with them. */
  readonly onArrival: (topics: ReadonlySet<Topic>) => void
  /** Topics whose messages became durable. */
  readonly onVisible: (topics: ReadonlySet<Topic>) => void
  readonly onFailure: (error: Error) => void
  readonly report: (error: unknown) => void
}

/** What becomes durable together. */
interface Batch {
  readonly durable: Promise<void>
  readonly arrived: Array<{ queue: Queue; end: number }>
  /** Keys of removed queues. */
  readonly gone: number[]
}

export class Journal {
  readonly state: BrokerState
  readonly log: SegmentLog
  readonly index: PersistentQueueIndex
  readonly lookups: LookupIndex
  readonly ages: SegmentAge[]
  readonly #options: JournalOptions
  #batch: Batch
  /** Topics with messages that were not offered yet. */
  #unoffered = new Set<Topic>()
  #offering = false
  #bytes = 0
  #events = 0
  #dirty = false
  #checkpointing: Promise<void> | null = null
  /** What the checkpoint under way is written from. */
  #snapshot: Snapshot | null = null
  #sealing: Promise<void> = Promise.resolve()
  /** Time of the newest message in each segment that is not sealed yet. */
  readonly #newest: Map<number, number>
  /** The segment that takes records, and the time of its first message. */
  #unsealed: { segment: number; sinceMs: number | null }
  failed: Error | null = null

  constructor(options: JournalOptions) {
    this.state = options.state
    this.log = options.log
    this.index = options.index
    this.lookups = options.lookups
    this.ages = options.ages
    this.#options = options
    this.#newest = new Map([[segmentOf(options.log.end), options.newestMs]])
    this.#unsealed = { segment: segmentOf(options.log.end), sinceMs: options.unsealedSinceMs }
    this.#batch = { durable: Promise.resolve(), arrived: [], gone: [] }
    this.log.onSealed((segment) => this.#sealed(segment))
    this.log.beforeCommit(() => this.#offer())
  }

  /** One atomic record group. Throws what the log throws (busy, failed), and then nothing has changed. */
  commit(events: readonly BrokerEvent[]): void {
    if (this.#offering) this.#refuseMessages(events)
    const records = encodeAll(events)
    const { positions, durable } = this.log.write(records)
    const batch = this.#batchOf(durable)
    try {
      for (let i = 0; i < events.length; i++) {
        this.#apply(events[i]!, positions[i]!, batch)
        this.lookups.note(records[i]!, positions[i]!)
      }
    } catch (error) {
      this.#fail(halfApplied(error))
      throw this.failed
    }
    for (const record of records) this.#bytes += record.length
    this.#events += events.length
    this.#dirty = true
    if (this.#bytes >= CHECKPOINT_BYTES || this.#events >= CHECKPOINT_EVENTS) this.#checkpointSoon()
  }

  #apply(event: BrokerEvent, position: number, batch: Batch): void {
    batch.gone.push(...queueKeysGoneBy(this.state, event))
    this.#snapshot?.before(event)
    apply(this.state, event, position)
    if (event.type === 'timer-stored' || event.type === 'half') this.#keepUntilOld(position, event.storeTimeMs)
    if (event.type === 'message') this.#arrive(event, position, batch.arrived)
  }

  /** Resolves when everything committed so far is durable. */
  get durable(): Promise<void> {
    return this.#batch.durable
  }

  /** Time of the first message in the segment being written; null when it holds none. */
  get unsealedSinceMs(): number | null {
    return this.#unsealed.segment === segmentOf(this.log.end) ? this.#unsealed.sinceMs : null
  }

  /** Ends the segment being written; resolves when its entries are in an index file. */
  async seal(): Promise<void> {
    await this.log.seal()
    await this.#sealing
  }

  /**
   * Writes the state as of now, in pieces between which everything else goes on; the log below it is not needed for
   * recovery of the state any more. While one is under way, a further call waits for it.
   */
  checkpoint(): Promise<void> {
    this.#checkpointing ??= this.#writeCheckpoint().finally(() => {
      this.#checkpointing = null
    })
    return this.#checkpointing
  }

  /** What the state says cannot be relied on any more: the instance stops, and is read anew from its log. */
  stop(error: unknown): void {
    this.#fail(halfApplied(error))
  }

  async close(): Promise<void> {
    try {
      if (!this.failed) {
        await this.#batch.durable
        await this.#sealing
        if (this.#checkpointing) await this.#checkpointing
        const save = this.#dirty
        if (save) {
          await this.checkpoint()
          await this.index.flush()
        }
        await this.lookups.close({ save })
      }
    } catch (error) {
      // The next start replays what the checkpoint would have saved it from.
      this.#options.report(error)
    } finally {
      await this.lookups.close({ save: false })
      await this.index.close()
      await this.log.close()
    }
  }

  async #writeCheckpoint(): Promise<void> {
    const position = this.log.end
    const ages = encodeAges(this.ages, this.#newest)
    const snapshot = new Snapshot(this.state)
    this.#snapshot = snapshot
    this.#bytes = 0
    this.#events = 0
    this.#dirty = false
    try {
      await this.log.checkpoint(inOrder(ages, snapshot), position)
    } catch (error) {
      this.#dirty = true
      throw error
    } finally {
      this.#snapshot = null
      snapshot.end()
    }
  }

  /** A checkpoint that cannot be written (a full disk) costs nothing but a longer replay. */
  #checkpointSoon(): void {
    if (this.#checkpointing) return
    this.checkpoint()
      .then(() => this.index.flush())
      .catch(this.#options.report)
  }

  /** The log gives everything that becomes durable together the same promise: one reaction for all of it. */
  #batchOf(durable: Promise<void>): Batch {
    if (this.#batch.durable === durable) return this.#batch
    const batch: Batch = { durable, arrived: [], gone: [] }
    this.#batch = batch
    durable.then(
      () => {
        // Not before: an index file without them would outlive a removal that a power cut took back.
        for (const key of batch.gone) this.index.drop(key)
        this.#becomeVisible(batch.arrived)
      },
      (error: unknown) => this.#fail(error),
    )
    return batch
  }

  #arrive(event: MessageEvent, position: number, arrived: Array<{ queue: Queue; end: number }>): void {
    const queue = this.state.queues.get(event.queueKey)
    if (!queue) return
    this.index.add(event.queueKey, event.offset, position, tagHash(event.tag), event.storeTimeMs)
    this.#keepUntilOld(position, event.storeTimeMs)
    arrived.push({ queue, end: event.offset + 1 })
    this.#unoffered.add(queue.topic)
  }

  /** Receives take what they want. */
  #offer(): void {
    if (this.#unoffered.size === 0) return
    const topics = this.#unoffered
    this.#unoffered = new Set()
    this.#offering = true
    try {
      this.#options.onArrival(topics)
    } catch (error) {
      if (error instanceof BrokenInvariant) this.stop(error)
      else this.#options.report(error)
    } finally {
      this.#offering = false
    }
  }

  /** A message that is written while others are offered would be offered to nobody, until the next one comes. */
  #refuseMessages(events: readonly BrokerEvent[]): void {
    if (!events.some(({ type }) => type === 'message')) return
    this.stop(new BrokenInvariant('Broken invariant: no message is written while messages are offered'))
    throw this.failed
  }

  /** The segment holds something that is to be kept for the retention from then on. */
  #keepUntilOld(position: number, storeTimeMs: number): void {
    const segment = segmentOf(position)
    this.#newest.set(segment, storeTimeMs)
    if (this.#unsealed.segment !== segment || this.#unsealed.sinceMs === null)
      this.#unsealed = { segment, sinceMs: storeTimeMs }
  }

  #becomeVisible(arrived: ReadonlyArray<{ queue: Queue; end: number }>): void {
    if (arrived.length === 0) return
    const topics = new Set<Topic>()
    for (const { queue, end } of arrived) {
      if (end > queue.visible) queue.visible = end
      topics.add(queue.topic)
    }
    this.#options.onVisible(topics)
  }

  #sealed(segment: SealedSegment): void {
    // One without messages may go as soon as those before it.
    this.ages.push({ segment: segment.segment, newestMs: this.#newest.get(segment.segment) ?? 0 })
    this.#newest.delete(segment.segment)
    this.#sealing = this.#sealing.then(() => this.index.seal(segment)).catch(this.#options.report)
  }

  #fail(error: unknown): void {
    if (this.failed) return
    this.failed = error instanceof Error ? error : new Error(String(error))
    this.#options.onFailure(this.failed)
  }
}

/** A fault of the program. The state may hold half of a record, so nothing may be decided by it any more. */
function halfApplied(cause: unknown): LogError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new LogError('failed', `The instance's state cannot be relied on (${reason}); it is read anew from its log.`, {
    cause,
  })
}

/** Records are copied by the log before it returns, so they can be made in the same memory each time. */
const encodeBuffer = Buffer.allocUnsafeSlow(64 * 1024)

function encodeAll(events: readonly BrokerEvent[]): Uint8Array[] {
  let used = 0
  const allocate = (sizeBytes: number): Uint8Array => {
    if (used + sizeBytes > encodeBuffer.length) return Buffer.allocUnsafe(sizeBytes)
    used += sizeBytes
    return encodeBuffer.subarray(used - sizeBytes, used)
  }
  return events.map((event) => encodeEvent(event, allocate))
}

/** A checkpoint: the ages of all segments, the one being written included, then the state. */
function* inOrder(ages: Uint8Array, snapshot: Snapshot): Generator<Uint8Array, void> {
  yield ages
  yield* snapshot.pieces()
}

function encodeAges(ages: readonly SegmentAge[], unsealed: ReadonlyMap<number, number>): Uint8Array {
  const to = new Writer()
  to.whole(ages.length + unsealed.size)
  for (const { segment, newestMs } of ages) {
    to.whole(segment)
    to.whole(newestMs)
  }
  for (const [segment, newestMs] of unsealed) {
    to.whole(segment)
    to.whole(newestMs)
  }
  return to.finish()
}
