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
 * Choices are made in plan.ts and nowhere else; perform.ts carries them out.
 */
import type { Engine } from '../engines/engine.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { InstanceObservation } from '../model/observations.ts'
import type { Cancel, World } from '../world/world.ts'
import { type Outcome, perform, type ReservedPorts, sentenceOf, withLimit } from './perform.ts'
import { type PlanInput, plan, presume, type Step, type Wanted } from './plan.ts'
import type { PortSource } from './ports.ts'
import type { InstancePorts } from './spec.ts'
import { createWantedStore, type WantedStore } from './wanted-store.ts'

export interface Reconciler {
  /**
   * Looks at everything once and resolves when each instance was tried; failures go on being retried
   * behind it. Rejects when the ledger or the engine cannot be read at all, and goes on trying that too; until it
   * works nothing is made or changed. The engine is started before.
   */
  start(): Promise<void>
  /** Asks for a look at this instance. Call after the change is committed. Cheap, never throws, may be called at any time. */
  wake(instanceId: string): void
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
  readonly instanceId: string
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

const noPorts: InstancePorts = { vpc: null, internet: null }
const slowPassMs = 30_000
/** Slow passes from one comparison of everything to the next: ten minutes. */
const passesPerSweep = 20
const firstRetryMs = 200
const lastRetryMs = 30_000
const stopLimitMs = 10_000
/** Plans made in a row for one instance; a create needs two, remains without ports three. */
const maxPlans = 5
/** A timer is never set further ahead than this, so that a moved clock is noticed. */
const maxTimerMs = 10 * 60_000
/** Pending instances taken up by one slow pass; the next takes more. */
const maxPending = 1_000

/** An instance that is queued, under way, or waiting for its next try; others are not in memory. */
interface Entry {
  readonly instanceId: string
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

class Loop implements Reconciler {
  readonly #options: ReconcilerOptions
  readonly #store: WantedStore
  readonly #concurrency: number
  readonly #callLimitMs: number
  readonly #entries = new Map<string, Entry>()
  #queue: Entry[] = []
  #running = 0
  /** What the engine answered when it was last told of an instance; none before the start and after it reported a change. */
  readonly #lastEnsured = new Map<string, { readonly inForce: InstanceObservation; readonly ports: InstancePorts }>()
  readonly #foreign = new Set<string>()
  #open = false
  #stopped = false
  #sweeping: Promise<void> | null = null
  #sweepFailures = 0
  #cancelSweepRetry: Cancel = () => {}
  #cancelSlowPass: Cancel = () => {}
  #cancelDue: Cancel = () => {}
  #passes = 0
  #nextDueMs = Number.POSITIVE_INFINITY
  /** Expiries and releases up to here were looked at. */
  #dueCheckedMs = 0
  #idle: Array<() => void> = []

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#store = createWantedStore(options.ledger, options.world)
    this.#concurrency = options.concurrency ?? 128
    this.#callLimitMs = options.callLimitMs ?? 60_000
  }

  async start(): Promise<void> {
    this.#dueCheckedMs = this.#now()
    this.#armSlowPass()
    try {
      await this.#sweep()
    } catch (cause) {
      this.#sweepLater()
      throw cause
    }
    await this.settled()
  }

  wake(instanceId: string): void {
    this.#look(instanceId, { complete: false })
  }

  settled(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idle.push(resolve)
    })
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    for (const cancel of [this.#cancelSlowPass, this.#cancelDue, this.#cancelSweepRetry]) cancel()
    for (const entry of this.#entries.values()) entry.cancelRetry()
    this.#queue = []
    const { clock } = this.#options.world
    let cancel: Cancel = () => {}
    const limit = new Promise<void>((resolve) => {
      cancel = clock.after(stopLimitMs, () => {
        this.#options.log.warn({ underWay: this.#running }, 'The loop stopped while the engine was still busy.')
        resolve()
      })
    })
    await Promise.race([this.settled(), limit])
    cancel()
  }

  engineChanged(instanceId: string | null): void {
    if (this.#stopped || !this.#open) return
    if (instanceId === null) {
      this.#lastEnsured.clear()
      for (const entry of this.#entries.values()) entry.engineChanges += 1
      void this.#sweepInBackground()
      return
    }
    this.#lastEnsured.delete(instanceId)
    const entry = this.#entries.get(instanceId)
    if (entry !== undefined) entry.engineChanges += 1
    this.#look(instanceId, { complete: true })
  }

  // One instance

  /** `complete`: all topics and groups are compared with what the engine holds, not only those that changed. */
  #look(instanceId: string, how: { readonly complete: boolean }): void {
    if (this.#stopped) return
    const entry = this.#entries.get(instanceId) ?? this.#enter(instanceId)
    entry.complete ||= how.complete
    if (entry.state === 'running') entry.again = true
    if (entry.state !== 'waiting') return
    entry.cancelRetry()
    this.#enqueue(entry)
  }

  #enter(instanceId: string): Entry {
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

  /** Nothing runs before the first look at everything: only then it is known which ports are held. */
  #pump(): void {
    if (!this.#open) return
    while (this.#running < this.#concurrency) {
      const entry = this.#queue.shift()
      if (entry === undefined) break
      this.#running += 1
      entry.state = 'running'
      void this.#run(entry)
    }
    this.#announceIdle()
  }

  async #run(entry: Entry): Promise<void> {
    entry.again = false
    const attempt: Attempt = { instanceId: entry.instanceId, wanted: null }
    let outcome: Outcome
    try {
      outcome = await this.#turn(entry, attempt)
    } catch (cause) {
      // The ledger or the engine could not be read, or a row makes no sense: the same as a failed step.
      outcome = { outcome: 'failed', scope: 'instance', at: null, failure: sentenceOf(cause), cause }
    }
    if (outcome.outcome === 'failed') await this.#failed(entry, attempt.wanted, outcome)
    else this.#succeeded(entry)
    this.#running -= 1
    this.#pump()
  }

  /** Looks, then plans and performs until a plan is complete. */
  async #turn(entry: Entry, attempt: Attempt): Promise<Outcome> {
    const { instanceId } = entry
    const complete = entry.complete || !this.#lastEnsured.has(instanceId)
    const { engineChanges } = entry
    /** What is learned in this turn is of the past once the engine has said that something changed meanwhile. */
    const isCurrent = (): boolean => entry.engineChanges === engineChanges
    attempt.wanted = await this.#store.load({ instanceId, complete })
    let observed = await this.#lookAtEngine(attempt)
    for (let plans = 0; plans < maxPlans; plans += 1) {
      const { wanted } = attempt
      if (wanted !== null) this.#expectDueOf(wanted)
      const steps = plan({
        instanceId,
        wanted,
        observed,
        knownDeleted: wanted === null && observed != null && (await this.#store.wasDeleted(instanceId)),
        toldPorts: this.#lastEnsured.get(instanceId)?.ports ?? noPorts,
        reserved: entry.reserved,
        listenHost: this.#options.listenHost,
        at: this.#now(),
      })
      const { outcome, learned } = await perform(steps, {
        engine: this.#options.engine,
        ports: this.#options.ports,
        store: this.#store,
        clock: this.#options.world.clock,
        callLimitMs: this.#callLimitMs,
        reserved: entry.reserved,
      })
      entry.reserved = learned.reserved
      if (learned.foreign) this.#warnOfForeign(instanceId)
      if (learned.ensured !== null) {
        const { inForce, ports } = learned.ensured
        if (isCurrent()) this.#lastEnsured.set(instanceId, { inForce: { ...inForce, topics: [], groups: [] }, ports })
        observed = inForce
      }
      if (outcome.outcome === 'failed') return outcome
      this.#settlePorts(entry, wanted, steps)
      if (steps.at(-1)?.do !== 'planAgain') {
        if (isCurrent()) entry.complete = false
        return outcome
      }
      if (steps.some(({ do: what }) => what === 'release' || what === 'adoptGroups'))
        attempt.wanted = await this.#store.load({ instanceId, complete })
    }
    throw new Error(`No complete plan was found for the instance in ${maxPlans} attempts.`)
  }

  /** The engine is asked only where neither telling it (its answer shows all) nor the record can say what it holds. */
  async #lookAtEngine(attempt: Attempt): Promise<PlanInput['observed']> {
    const { instanceId, wanted } = attempt
    if (wanted !== null) {
      const told = this.#lastEnsured.get(instanceId)
      if (wanted.instance.wanted === 'absent' || told === undefined) return undefined
      const presumed = presume(wanted, told.inForce)
      if (presumed !== null) return presumed
    }
    const observed = await this.#limited(this.#options.engine.observeInstance(instanceId), 'observeInstance')
    const isLost = wanted !== null && (observed === null || observed.generation === 0)
    if (isLost && !wanted.complete) attempt.wanted = await this.#store.load({ instanceId, complete: true })
    return observed
  }

  #limited<T>(call: Promise<T>, name: string): Promise<T> {
    return withLimit(call, name, {
      clock: this.#options.world.clock,
      engine: this.#options.engine,
      callLimitMs: this.#callLimitMs,
    })
  }

  /** Recorded ports belong to the ledger's row; those of an instance that is gone are free. */
  #settlePorts(entry: Entry, wanted: Wanted | null, steps: readonly Step[]): void {
    for (const step of steps) {
      if (step.do === 'recordApplied') entry.reserved = {}
      if (step.do !== 'forget') continue
      const { vpc_port, internet_port } = wanted?.instance ?? { vpc_port: null, internet_port: null }
      this.#options.ports.rest([vpc_port, internet_port].filter((port) => port !== null))
      this.#releaseReserved(entry)
      this.#lastEnsured.delete(entry.instanceId)
    }
  }

  #releaseReserved(entry: Entry): void {
    this.#options.ports.release(Object.values(entry.reserved))
    entry.reserved = {}
  }

  #succeeded(entry: Entry): void {
    if (entry.lastFailure !== null) {
      this.#options.log.info({ instanceId: entry.instanceId }, 'The instance is as wanted again.')
    }
    entry.failures = 0
    entry.lastFailure = null
    if (entry.again && !this.#stopped) this.#enqueue(entry)
    else this.#entries.delete(entry.instanceId)
  }

  async #failed(entry: Entry, wanted: Wanted | null, outcome: Outcome & { outcome: 'failed' }): Promise<void> {
    const { instanceId } = entry
    const { failure, scope } = outcome
    // The port may be the reason; it was promised to nobody yet, so the next try takes another.
    if (outcome.at === 'ensureInstance') this.#releaseReserved(entry)
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
    if (this.#stopped) return
    if (entry.again) {
      this.#enqueue(entry)
      return
    }
    const retryInMs = this.#pause(entry.failures)
    entry.failures += 1
    entry.state = 'waiting'
    entry.cancelRetry = this.#options.world.clock.after(retryInMs, () => this.#enqueue(entry))
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

  #warnOfForeign(instanceId: string): void {
    if (this.#foreign.has(instanceId)) return
    this.#foreign.add(instanceId)
    this.#options.log.warn(
      { instanceId },
      'The engine holds messages of an instance that this ledger never knew; they are left alone. If another database belongs to this home, use that one; otherwise remove the instance’s data by hand.',
    )
  }

  // Everything

  #sweep(): Promise<void> {
    this.#sweeping ??= this.#lookAtEverything().finally(() => {
      this.#sweeping = null
      this.#announceIdle()
    })
    return this.#sweeping
  }

  /** The engine is looked at first: what it holds then and the ledger does not know later is no instance just being made. */
  async #lookAtEverything(): Promise<void> {
    const observations = await this.#limited(this.#options.engine.observe(), 'observe')
    const instances = await this.#store.listInstances()
    const resting = this.#open ? [] : await this.#store.listRestingPorts()
    if (this.#stopped) return
    if (!this.#open) this.#options.ports.restore({ held: instances.flatMap(({ ports }) => ports), resting })
    for (const instanceId of new Set([
      ...instances.map((one) => one.instanceId),
      ...observations.map((one) => one.instanceId),
    ])) {
      this.#look(instanceId, { complete: true })
    }
    this.#open = true
    this.#pump()
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
      const clockWentBack = this.#now() < this.#dueCheckedMs
      if (clockWentBack) this.#dueCheckedMs = this.#now()
      if (clockWentBack || this.#passes % passesPerSweep === 0) await this.#sweepInBackground()
      else for (const instanceId of await this.#store.listPending(maxPending)) this.#lookUnlessWaiting(instanceId)
      await this.#checkDue()
    } catch (cause) {
      this.#options.log.warn({ err: cause }, 'The ledger could not be read for pending work; trying again in 30 s.')
    }
    this.#armSlowPass()
  }

  #lookUnlessWaiting(instanceId: string): void {
    if (!this.#entries.has(instanceId)) this.#look(instanceId, { complete: true })
  }

  // Expiry and release

  #expectDueOf({ instance }: Wanted): void {
    const now = this.#now()
    for (const dueMs of [instance.expire_time_ms, instance.release_time_ms]) if (dueMs > now) this.#expectDue(dueMs)
  }

  #expectDue(dueMs: number): void {
    if (dueMs >= this.#nextDueMs || this.#stopped) return
    this.#nextDueMs = dueMs
    this.#armDue()
  }

  #armDue(): void {
    this.#cancelDue()
    if (this.#nextDueMs === Number.POSITIVE_INFINITY || this.#stopped) return
    const delayMs = Math.min(Math.max(0, this.#nextDueMs - this.#now()), maxTimerMs)
    this.#cancelDue = this.#options.world.clock.after(delayMs, () => {
      this.#checkDue().catch((cause: unknown) => {
        this.#options.log.warn({ err: cause }, 'The ledger could not be read for expiries; trying again in 30 s.')
      })
    })
  }

  async #checkDue(): Promise<void> {
    const untilMs = this.#now()
    if (untilMs < this.#nextDueMs) return this.#armDue()
    const { due, nextMs } = await this.#store.findDue(this.#dueCheckedMs, untilMs)
    this.#dueCheckedMs = untilMs
    this.#nextDueMs = nextMs ?? Number.POSITIVE_INFINITY
    for (const instanceId of due) this.#look(instanceId, { complete: false })
    this.#armDue()
  }

  // Rest

  #now(): number {
    return this.#options.world.clock.now()
  }

  #isIdle(): boolean {
    if (this.#running > 0 || this.#sweeping !== null) return false
    return this.#stopped || this.#queue.length === 0
  }

  #announceIdle(): void {
    if (this.#idle.length === 0 || !this.#isIdle()) return
    const waiting = this.#idle
    this.#idle = []
    for (const resolve of waiting) resolve()
  }
}

/** What the last look of a turn found, also when the turn failed. */
interface Attempt {
  readonly instanceId: string
  wanted: Wanted | null
}
