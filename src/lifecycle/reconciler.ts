/**
 * The loop: it compares what the ledger wants with what the engine holds, and takes the next step,
 * until they are the same. It is the only caller of the engine and the only writer of what was observed.
 *
 * It is level-triggered: a wake says only that an instance must be looked at, not why, so a wake that is lost, doubled
 * or late does no harm. Steps of one instance run one after another, instances run beside each other up to
 * `concurrency`. Looks happen at once on `wake`, at the next expiry or release, when the engine reports a change,
 * after a failure with a growing pause, and every 30 seconds for instances with unrecorded changes; every
 * ten minutes everything is compared. An instance at rest costs no timer and no work.
 *
 * Here is decided when to look: work-queue.ts has the instances to be looked at, due-times.ts the expiries, and
 * instance-turn.ts is one look. Choices are made in plan.ts and nowhere else; perform.ts carries them out.
 */

import type { Engine } from '../engines/engine.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { InstanceId } from '../model/ids.ts'
import type { Cancel, World } from '../world/world.ts'
import { DueTimes } from './due-times.ts'
import { InstanceTurns } from './instance-turn.ts'
import type { Outcome } from './perform.ts'
import type { Wanted } from './plan.ts'
import type { PortSource } from './ports.ts'
import { createWantedStore, type WantedStore } from './wanted-store.ts'
import { type Entry, WorkQueue } from './work-queue.ts'

export interface Reconciler {
  /**
   * Looks at everything once and resolves when each instance was tried; failures go on being retried
   * behind it. Rejects when the ledger or the engine cannot be read at all, and goes on trying that too; until it
   * works nothing is made or changed. The engine is started before.
   */
  start(): Promise<void>
  /** Asks for a look at this instance. Call after the change is committed. Cheap, never throws, may be called at any time. */
  wake(instanceId: InstanceId): void
  /** Resolves when nothing is queued or under way; instances that wait for their next try do not count. */
  settled(): Promise<void>
  /** Begins no further instance, and waits (at most ten seconds) for those under way. */
  stop(): Promise<void>
}

export interface ReconcilerOptions {
  readonly ledger: Ledger
  readonly engine: Engine
  readonly world: Pick<World, 'clock' | 'random'>
  readonly log: ReconcilerLog
  readonly ports: PortSource
  /** Address instances listen on. */
  readonly listenHost: string
  /** Instances worked on at the same time; most of that time is spent waiting for shared transactions. */
  readonly concurrency?: number
  /** Longest wait for one call of the engine, milliseconds. */
  readonly callLimitMs?: number
  /** Told of each failed try; the log hears of a failure once, until it changes. */
  readonly onFailure?: (failure: InstanceFailure) => void
}

export interface InstanceFailure {
  readonly instanceId: InstanceId
  /** `children`: only topics or groups in it failed. */
  readonly scope: 'instance' | 'children'
  /** Why, as a sentence that says what to do. */
  readonly failure: string
  /** Milliseconds until the next try. */
  readonly retryInMs: number
}

/** What a pino logger is, as far as the loop needs it. */
export interface ReconcilerLog {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

/** Hears of the engine's changes from now on; nothing else happens before `start`. */
export function createReconciler(options: ReconcilerOptions): Reconciler {
  const loop = new Loop(options)
  options.engine.onChange((instanceId) => loop.engineChanged(instanceId))
  return loop
}

const slowPassMs = 30_000
/** Slow passes from one comparison of everything to the next: ten minutes. */
const passesPerSweep = 20
const firstRetryMs = 200
const lastRetryMs = 30_000
const stopLimitMs = 10_000
/** Pending instances taken up by one slow pass; the next takes more. */
const maxPending = 1_000

class Loop implements Reconciler {
  readonly #options: ReconcilerOptions
  readonly #store: WantedStore
  readonly #queue: WorkQueue
  readonly #turns: InstanceTurns
  readonly #dueTimes: DueTimes
  #stopped = false
  #sweeping: Promise<void> | null = null
  #sweepFailures = 0
  #cancelSweepRetry: Cancel = () => {}
  #cancelSlowPass: Cancel = () => {}
  #passes = 0

  constructor(options: ReconcilerOptions) {
    const { engine, ledger, listenHost, log, ports, world } = options
    const { clock } = world
    this.#options = options
    const store = createWantedStore(ledger, world)
    this.#store = store
    this.#queue = new WorkQueue({
      clock,
      concurrency: options.concurrency ?? 128,
      work: (entry) => this.#work(entry),
      isBusy: () => this.#sweeping !== null,
    })
    this.#dueTimes = new DueTimes({
      ...{ clock, store },
      due: (instanceId) => this.#queue.look(instanceId, { complete: false }),
      failed: (cause) => log.warn({ err: cause }, 'The ledger could not be read for expiries; trying again in 30 s.'),
    })
    this.#turns = new InstanceTurns({
      ...{ clock, engine, listenHost, log, ports, store },
      callLimitMs: options.callLimitMs ?? 60_000,
      expectDueOf: (wanted) => this.#dueTimes.expectOf(wanted),
    })
  }

  async start(): Promise<void> {
    this.#dueTimes.begin()
    this.#armSlowPass()
    try {
      await this.#sweep()
    } catch (cause) {
      this.#sweepLater()
      throw cause
    }
    await this.settled()
  }

  wake(instanceId: InstanceId): void {
    this.#queue.look(instanceId, { complete: false })
  }

  settled(): Promise<void> {
    return this.#queue.settled()
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    for (const cancel of [this.#cancelSlowPass, this.#cancelSweepRetry]) cancel()
    this.#dueTimes.close()
    this.#queue.stop()
    const { clock } = this.#options.world
    let cancel: Cancel = () => {}
    const limit = new Promise<void>((resolve) => {
      cancel = clock.after(stopLimitMs, () => {
        this.#options.log.warn({ underWay: this.#queue.underWay }, 'The loop stopped while the engine was still busy.')
        resolve()
      })
    })
    await Promise.race([this.settled(), limit])
    cancel()
  }

  engineChanged(instanceId: InstanceId | null): void {
    if (this.#stopped || !this.#queue.isOpen) return
    this.#turns.forgetAnswers(instanceId)
    this.#queue.engineChanged(instanceId)
    if (instanceId === null) void this.#sweepInBackground()
    else this.#queue.look(instanceId, { complete: true })
  }

  // One instance

  async #work(entry: Entry): Promise<void> {
    const { wanted, outcome } = await this.#turns.take(entry)
    if (outcome.outcome === 'failed') await this.#failed(entry, wanted, outcome)
    else this.#succeeded(entry)
  }

  #succeeded(entry: Entry): void {
    if (entry.lastFailure !== null) {
      this.#options.log.info({ instanceId: entry.instanceId }, 'The instance is as wanted again.')
    }
    this.#queue.finished(entry)
  }

  async #failed(entry: Entry, wanted: Wanted | null, outcome: Outcome & { outcome: 'failed' }): Promise<void> {
    const { instanceId } = entry
    const { failure, scope } = outcome
    if (outcome.at === 'ensureInstance') this.#turns.releaseReserved(entry)
    if (failure !== entry.lastFailure) {
      this.#options.log.warn(
        { instanceId, scope, failure, err: outcome.cause },
        'The instance could not be made as wanted; trying again.',
      )
      entry.lastFailure = failure
    }
    if (scope === 'instance' && wanted !== null && wanted.instance.failure !== failure && !this.#stopped) {
      await this.#store.write({ write: 'failure', instanceId, failure }).catch((cause: unknown) => {
        this.#options.log.error({ instanceId, err: cause }, 'The failure could not be written to the ledger.')
      })
    }
    entry.complete = true
    const retryInMs = this.#queue.retryAfter(entry, () => this.#pause(entry.failures))
    if (retryInMs === null) return
    try {
      this.#options.onFailure?.({ instanceId, scope, failure, retryInMs })
    } catch (cause) {
      this.#options.log.error({ instanceId, err: cause }, 'A listener to failures threw.')
    }
  }

  /** Doubles from 200 ms to 30 s; between half and all of it, so that many failures are not repeated at the same time. */
  #pause(failures: number): number {
    const fullMs = Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(failures, 20))
    return Math.ceil(fullMs / 2) + this.#options.world.random.below(Math.floor(fullMs / 2) + 1)
  }

  // Everything

  #sweep(): Promise<void> {
    this.#sweeping ??= this.#lookAtEverything().finally(() => {
      this.#sweeping = null
      this.#queue.announceIdle()
    })
    return this.#sweeping
  }

  /** The engine is looked at first: what it holds then and the ledger does not know later is no instance just being made. */
  async #lookAtEverything(): Promise<void> {
    const observations = await this.#turns.limited(this.#options.engine.observe(), 'observe')
    const instances = await this.#store.listInstances()
    const resting = this.#queue.isOpen ? [] : await this.#store.listRestingPorts()
    if (this.#stopped) return
    if (!this.#queue.isOpen) this.#options.ports.restore({ held: instances.flatMap(({ ports }) => ports), resting })
    for (const instanceId of new Set([
      ...instances.map((one) => one.instanceId),
      ...observations.map((one) => one.instanceId),
    ])) {
      this.#queue.look(instanceId, { complete: true })
    }
    this.#queue.open()
  }

  async #sweepInBackground(): Promise<void> {
    this.#cancelSweepRetry()
    try {
      await this.#sweep()
      this.#sweepFailures = 0
    } catch (cause) {
      if (this.#stopped) return
      this.#options.log.warn({ err: cause }, 'Could not look at every instance; trying again.')
      this.#sweepLater()
    }
  }

  #sweepLater(): void {
    if (this.#stopped) return
    const pauseMs = this.#pause(this.#sweepFailures)
    this.#sweepFailures += 1
    this.#cancelSweepRetry = this.#options.world.clock.after(pauseMs, () => void this.#sweepInBackground())
  }

  #armSlowPass(): void {
    if (this.#stopped) return
    this.#cancelSlowPass = this.#options.world.clock.after(slowPassMs, () => void this.#slowPass())
  }

  async #slowPass(): Promise<void> {
    this.#passes += 1
    try {
      // A clock that was set back may have un-expired instances: only a look at everything finds them.
      const clockWentBack = this.#dueTimes.noticeSetBack()
      if (clockWentBack || this.#passes % passesPerSweep === 0) await this.#sweepInBackground()
      else for (const instanceId of await this.#store.listPending(maxPending)) this.#lookUnlessWaiting(instanceId)
      await this.#dueTimes.check()
    } catch (cause) {
      this.#options.log.warn({ err: cause }, 'The ledger could not be read for pending work; trying again in 30 s.')
    }
    this.#armSlowPass()
  }

  #lookUnlessWaiting(instanceId: InstanceId): void {
    if (!this.#queue.has(instanceId)) this.#queue.look(instanceId, { complete: true })
  }
}
