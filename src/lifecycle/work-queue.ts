/**
 * The instances that are to be looked at: queued, under way, or waiting for their next try; others are not in memory.
 * Of one instance one look runs at a time, of all instances `concurrency`. A look that is asked for while one runs
 * follows it.
 */
import type { InstanceId } from '../model/ids.ts'
import type { Cancel, Clock } from '../world/world.ts'
import type { ReservedPorts } from './perform.ts'

export interface Entry {
  readonly instanceId: InstanceId
  state: 'queued' | 'running' | 'waiting'
  /** Woken while running: look again afterwards. */
  again: boolean
  /** Compare every topic and group, also those recorded as applied. */
  complete: boolean
  /** Times the engine said that something in it may have changed. */
  engineChanges: number
  failures: number
  lastFailure: string | null
  reserved: ReservedPorts
  cancelRetry: Cancel
}

export interface WorkQueueContext {
  readonly clock: Clock
  readonly concurrency: number
  /** Looks at one instance, and ends with `retryAfter` or `finished`. Never rejects. */
  readonly work: (entry: Entry) => Promise<void>
  /** Whether something beside the entries is under way. */
  readonly isBusy: () => boolean
}

export class WorkQueue {
  readonly #context: WorkQueueContext
  readonly #entries = new Map<string, Entry>()
  #queue: Entry[] = []
  #running = 0
  #open = false
  #stopped = false
  #idle: Array<() => void> = []

  constructor(context: WorkQueueContext) {
    this.#context = context
  }

  get isOpen(): boolean {
    return this.#open
  }

  get underWay(): number {
    return this.#running
  }

  has(instanceId: InstanceId): boolean {
    return this.#entries.has(instanceId)
  }

  /** `complete`: all topics and groups are compared with what the engine holds, not only those that changed. */
  look(instanceId: InstanceId, how: { readonly complete: boolean }): void {
    if (this.#stopped) return
    const entry = this.#entries.get(instanceId) ?? this.#enter(instanceId)
    entry.complete ||= how.complete
    if (entry.state === 'running') entry.again = true
    if (entry.state !== 'waiting') return
    entry.cancelRetry()
    this.#enqueue(entry)
  }

  /** Marks results of looks under way as outdated, for this instance or for all. */
  engineChanged(instanceId: InstanceId | null): void {
    const changed = instanceId === null ? [...this.#entries.values()] : [this.#entries.get(instanceId)]
    for (const entry of changed) if (entry !== undefined) entry.engineChanges += 1
  }

  /** From now on instances are worked on; what was asked for before is queued. */
  open(): void {
    this.#open = true
    this.#pump()
  }

  /** The entry is tried again after a pause, which is answered; null when it was woken meanwhile and follows at once, or when nothing begins any more. */
  retryAfter(entry: Entry, pauseMs: () => number): number | null {
    if (this.#stopped) return null
    if (entry.again) {
      this.#enqueue(entry)
      return null
    }
    const retryInMs = pauseMs()
    entry.failures += 1
    entry.state = 'waiting'
    entry.cancelRetry = this.#context.clock.after(retryInMs, () => this.#enqueue(entry))
    return retryInMs
  }

  finished(entry: Entry): void {
    entry.failures = 0
    entry.lastFailure = null
    if (entry.again && !this.#stopped) this.#enqueue(entry)
    else this.#entries.delete(entry.instanceId)
  }

  /** Resolves when nothing is queued or under way; instances that wait for their next try do not count. */
  settled(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idle.push(resolve)
    })
  }

  announceIdle(): void {
    if (this.#idle.length === 0 || !this.#isIdle()) return
    const waiting = this.#idle
    this.#idle = []
    for (const resolve of waiting) resolve()
  }

  /** Begins nothing more; what is under way goes on. */
  stop(): void {
    this.#stopped = true
    for (const entry of this.#entries.values()) entry.cancelRetry()
    this.#queue = []
  }

  #enter(instanceId: InstanceId): Entry {
    const entry: Entry = {
      instanceId,
      state: 'waiting',
      again: false,
      complete: false,
      engineChanges: 0,
      failures: 0,
      lastFailure: null,
      reserved: {},
      cancelRetry: () => {},
    }
    this.#entries.set(instanceId, entry)
    return entry
  }

  #enqueue(entry: Entry): void {
    entry.state = 'queued'
    this.#queue.push(entry)
    this.#pump()
  }

  /** Nothing runs before `open`: only then it is known which ports are held. */
  #pump(): void {
    if (!this.#open) return
    while (this.#running < this.#context.concurrency) {
      const entry = this.#queue.shift()
      if (entry === undefined) break
      this.#running += 1
      entry.state = 'running'
      void this.#run(entry)
    }
    this.announceIdle()
  }

  async #run(entry: Entry): Promise<void> {
    entry.again = false
    await this.#context.work(entry)
    this.#running -= 1
    this.#pump()
  }

  #isIdle(): boolean {
    if (this.#running > 0 || this.#context.isBusy()) return false
    return this.#stopped || this.#queue.length === 0
  }
}
