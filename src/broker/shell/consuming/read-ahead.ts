/**
 * Index entries of sealed segments, which are in files: the take is synchronous and sees only entries in memory, so missing
 * ones are read for its subscription and kept until the subscription has passed them, or is idle.
 */

import type { Entries } from '../../core/consuming/take.ts'
import type { Subscription } from '../../core/state.ts'
import type { PersistentQueueIndex } from '../../log/queue-index.ts'
import { IdleMemory } from './idle-memory.ts'

/** Index entries as they were found from an offset on. */
interface Loaded {
  readonly askedFrom: number
  readonly entries: Entries
}

export class ReadAhead {
  readonly #index: Pick<PersistentQueueIndex, 'lookup'>
  /** By queue key. */
  readonly #loaded: IdleMemory<Map<number, Loaded>>
  /** The read under way that made `entriesAt` say "not in memory". */
  #lookup: Promise<Loaded> | null = null

  constructor(index: Pick<PersistentQueueIndex, 'lookup'>, now: () => number) {
    this.#index = index
    this.#loaded = new IdleMemory(now)
  }

  /** When there is memory to be given back, at the earliest. */
  get due(): number {
    return this.#loaded.due
  }

  sweep(at: number): void {
    this.#loaded.sweep(at)
  }

  /** Null when they are not in memory; `load`, asked right after, brings them. */
  entriesAt(subscription: Subscription, queueKey: number, from: number, count: number): Entries | null {
    const loaded = this.#loaded.get(subscription)
    const known = loaded?.get(queueKey)
    if (loaded && known) {
      const { entries } = known
      // They may begin beyond what was asked for: retention removed the rest, and the queue's begin is about to move.
      if (from >= known.askedFrom && from < Math.max(entries.from + entries.count, known.askedFrom + 1))
        return tail(entries, from - entries.from)
      loaded.delete(queueKey)
      if (loaded.size === 0) this.#loaded.delete(subscription)
    }
    const found = this.#index.lookup(queueKey, from, count)
    if (!(found instanceof Promise)) return found
    // When the take found messages elsewhere nobody waits for this read, and its failure is ignored.
    this.#lookup = found.then((entries) => ({ askedFrom: from, entries }))
    this.#lookup.catch(() => {})
    return null
  }

  /** Resolves when the entries that the last `entriesAt` lacked are here. */
  async load(subscription: Subscription, queueKey: number): Promise<void> {
    const known = await this.#lookup!
    if (subscription.removed) return
    const loaded = this.#loaded.get(subscription) ?? new Map<number, Loaded>()
    this.#loaded.set(subscription, loaded.set(queueKey, known))
  }

  forget(subscription: Subscription): void {
    this.#loaded.delete(subscription)
  }
}

function tail(entries: Entries, skipped: number): Entries {
  if (skipped <= 0) return entries
  return {
    from: entries.from + skipped,
    count: entries.count - skipped,
    position: (i) => entries.position(i + skipped),
    tagHash: (i) => entries.tagHash(i + skipped),
    storeTimeMs: (i) => entries.storeTimeMs(i + skipped),
  }
}
