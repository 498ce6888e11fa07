/**
 * Opens an instance's broker: the log, the state as of the last checkpoint, and what came after it.
 *
 * Replaying is applying the same events in the same order as when they happened; state is
 * restored in no other way. An idle instance opens in a few milliseconds; after a kill at most
 * one checkpoint's distance is replayed. Fails with a sentence for the operator when the folder is
 * damaged, and then has changed nothing.
 */
import type { World } from '../../world/world.ts'
import type { Broker, BrokerSettings } from '../broker.ts'
import { apply } from '../core/apply.ts'
import { refreshRenewable } from '../core/consuming/deliveries.ts'
import { decodeEvent, decodeForIndex } from '../core/event-codec.ts'
import { tagHash } from '../core/filters/filter.ts'
import { queueKeysGoneBy } from '../core/lite/lite.ts'
import { TermReader, type TermSources } from '../core/lookup-terms.ts'
import type { SegmentAge } from '../core/retention.ts'
import { decodeStateInSteps, stateVersionOf } from '../core/snapshot.ts'
import { type BrokerState, emptyState, scopesIn } from '../core/state.ts'
import { Reader } from '../core/structures/bytes.ts'
import { createRecordCipher } from '../log/cipher.ts'
import type { OpenedIndex, OpenedLog, QueueIndex, SegmentLog } from '../log/contract.ts'
import { segmentOf } from '../log/contract.ts'
import { openLog } from '../log/log.ts'
import { type LookupIndex, openLookupIndex } from '../log/lookup/lookup-index.ts'
import { openQueueIndex } from '../log/queue-index.ts'
import { inTurns } from '../log/yield.ts'
import { BrokerShell } from './broker-shell.ts'
import { openHandleKey } from './handle-key.ts'
import { SteadyTime } from './time.ts'
import { type TurnBudget, turnBudgetOf } from './turn-budget.ts'

/** Records replayed, or queues looked at, before the turn's budget is asked: other instances of the process go on meanwhile. */
const AT_ONCE = 128

export interface OpenBrokerOptions {
  readonly world: World
  /** The instance's own folder; need not exist. */
  readonly directory: string
  readonly settings: BrokerSettings
  /** 32 bytes when messages are encrypted at rest. */
  readonly cipherKey?: Uint8Array | null
  /** Called once for each failure in the background. */
  readonly report?: (error: unknown) => void
  /** 64 MiB unless given. */
  readonly segmentBytes?: number
  /** Finds the keys in a stored payload, which is opaque to the broker; without it no message is found by key. */
  readonly keysIn?: TermSources['keysIn']
  /** 16 bytes for the key of receipt handles where the folder has none; drawn from the world's chance unless given. */
  readonly handleKey?: Uint8Array
  /** Entries of the look-up index in memory; its own default unless given. */
  readonly lookupTableEntries?: number
}

export async function openBroker(options: OpenBrokerOptions): Promise<Broker> {
  const shell = await openShell(options)
  return shell
}

/** As `openBroker`, for tests that look inside. */
export async function openShell(options: OpenBrokerOptions): Promise<BrokerShell> {
  const { clock, random, disk } = options.world
  const cipher = options.cipherKey ? createRecordCipher(options.cipherKey, random) : null
  const turns = turnBudgetOf(clock)
  const opened = await openLog({
    disk,
    clock,
    random,
    directory: options.directory,
    cipher,
    turns,
    ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
  })
  try {
    // Before anything is written: a state that a newer program wrote is left as it is.
    const known = await knownAt(opened.checkpoint, turns)
    const index = await openQueueIndex({
      disk,
      directory: options.directory,
      log: opened.log,
      cipher,
      turns,
      decode(payload) {
        const entry = decodeForIndex(payload)
        return entry ? [entry] : []
      },
    })
    const { state, newest } = known
    const report = options.report ?? (() => {})
    const keysIn = options.keysIn ?? (() => {})
    const lookups = await openLookupIndex({
      disk,
      directory: options.directory,
      log: opened.log,
      cipher,
      turns,
      terms: () => new TermReader({ ...scopesIn(state), keysIn }),
      report,
      ...(options.lookupTableEntries === undefined ? {} : { tableEntries: options.lookupTableEntries }),
    })
    await recover(known, opened, index, lookups, turns)
    lookups.begin()
    state.handleKey = await openHandleKey({
      disk,
      directory: options.directory,
      draw: () => options.handleKey ?? random.bytes(16),
      state,
      predatesMac: known.stateVersion <= lastWithoutMac,
    })
    const time = new SteadyTime(clock, state.lastAt)
    await inTurns(turns, refreshRenewable(state, time.now()))
    return new BrokerShell({
      clock,
      time,
      turns,
      secret: () => Buffer.from(random.bytes(16)).toString('hex'),
      session: random.below(2 ** 31 - 1) + 1,
      settings: options.settings,
      state,
      log: opened.log,
      index: index.index,
      lookups,
      keysIn,
      ages: agesOf(opened.log, newest),
      newestMs: newest.get(segmentOf(opened.log.end)) ?? 0,
      unsealedSinceMs:
        // A checkpoint says 0 for a segment without messages.
        index.index.firstTimeMs(segmentOf(opened.log.end)) ?? (newest.get(segmentOf(opened.log.end)) || null),
      report,
    })
  } catch (error) {
    await opened.log.close()
    throw error
  }
}

/** Programs that wrote states of this version, or of a smaller one, made receipt handles without a MAC. */
const lastWithoutMac = 3
/** Any program may have ended before its first checkpoint. */
const noCheckpoint = 0

async function knownAt(checkpoint: OpenedLog['checkpoint'], turns: TurnBudget): Promise<Known> {
  if (checkpoint) return decodeCheckpoint(checkpoint.blob, turns)
  return { state: emptyState(), stateVersion: noCheckpoint, newest: new Map(), gaps: new Map() }
}

async function recover(
  known: Known,
  { log, checkpoint }: OpenedLog,
  { index, sealedBelow }: OpenedIndex,
  lookups: LookupIndex,
  turns: TurnBudget,
): Promise<void> {
  const { state } = known
  const applied = checkpoint?.position ?? log.first
  const from = Math.min(applied, sealedBelow)
  lookups.start(from)
  let work = 0
  for await (const { position, payload } of log.scan(from)) {
    if (++work % AT_ONCE === 0 && turns.isSpent) await turns.pause()
    if (position >= applied) replay(known, index, position, payload, position >= sealedBelow)
    else if (position >= sealedBelow) addAgain(known, index, position, payload)
    lookups.note(payload, position)
  }
  for (const queue of state.queues.values()) {
    if (++work % AT_ONCE === 0 && turns.isSpent) await turns.pause()
    const gap = known.gaps.get(queue.key)
    if (gap) throw gap
    queue.begin = Math.max(queue.begin, Math.min(index.minimumOffset(queue.key), queue.end))
    queue.visible = queue.end
  }
}

function replay(known: Known, index: QueueIndex, position: number, payload: Uint8Array, addToIndex: boolean): void {
  const { state, newest } = known
  const event = decodeEvent(payload)
  for (const key of queueKeysGoneBy(state, event)) index.drop(key)
  apply(state, event, position)
  if (event.type === 'timer-stored' || event.type === 'half') newest.set(segmentOf(position), event.storeTimeMs)
  if (event.type !== 'message') return
  newest.set(segmentOf(position), event.storeTimeMs)
  if (addToIndex) addEntry(known, index, position, { ...event, tagHash: tagHash(event.tag) })
}

/** The state counts this message already; only where it lies has to be known again. */
function addAgain(known: Known, index: QueueIndex, position: number, payload: Uint8Array): void {
  const message = decodeForIndex(payload)
  if (message) addEntry(known, index, position, message)
}

/**
 * Index files that were written after a queue was removed do not know it, and what came before its removal is
 * replayed all the same: an entry that does not follow is a fault only when the queue is there in the end.
 */
function addEntry({ state, gaps }: Known, index: QueueIndex, position: number, entry: IndexedMessage): void {
  const { queueKey, offset, tagHash, storeTimeMs } = entry
  if (!state.queues.has(queueKey) || gaps.has(queueKey)) return
  try {
    index.add(queueKey, offset, position, tagHash, storeTimeMs)
  } catch (error) {
    gaps.set(queueKey, error)
  }
}

/** A message as the index keeps it. */
type IndexedMessage = NonNullable<ReturnType<typeof decodeForIndex>>

/** What recovery builds up: the state, and the time of the newest message in each segment. */
interface Known {
  readonly state: BrokerState
  /** Of the checkpoint's state. */
  readonly stateVersion: number
  readonly newest: Map<number, number>
  /** By queue key: why its entries do not follow one another. */
  readonly gaps: Map<number, unknown>
}

async function decodeCheckpoint(blob: Uint8Array, turns: TurnBudget): Promise<Known> {
  const from = new Reader(blob)
  const newest = new Map<number, number>()
  for (let count = from.whole(); count > 0; count--) newest.set(from.whole(), from.whole())
  const state = from.rest()
  const stateVersion = stateVersionOf(state)
  return { state: await inTurns(turns, decodeStateInSteps(state)), stateVersion, newest, gaps: new Map() }
}

/** A segment without messages may go as soon as those before it. */
function agesOf(log: SegmentLog, newest: ReadonlyMap<number, number>): SegmentAge[] {
  return log.segments().map(({ segment }) => ({ segment, newestMs: newest.get(segment) ?? 0 }))
}
