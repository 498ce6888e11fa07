/**
 * One turn of an instance: it is looked at, and planned and performed until a plan is complete. What the engine answered
 * when it was last told of an instance is remembered, so that an instance at rest is not asked for again.
 */

import type { Engine } from '../engines/engine.ts'
import type { InstanceId } from '../model/ids.ts'
import type { InstanceObservation } from '../model/observations.ts'
import type { Clock } from '../world/world.ts'
import { type Outcome, perform, sentenceOf, withLimit } from './perform.ts'
import { type PlanInput, plan, presume, type Step, type Wanted } from './plan.ts'
import type { PortSource } from './ports.ts'
import type { InstancePorts } from './spec.ts'
import type { WantedStore } from './wanted-store.ts'
import type { Entry } from './work-queue.ts'

const noPorts: InstancePorts = { vpc: null, internet: null }
/** Plans made in a row for one instance; a create needs two, remains without ports three. */
const maxPlans = 5

export interface InstanceTurnsContext {
  readonly engine: Engine
  readonly ports: PortSource
  readonly store: WantedStore
  readonly clock: Clock
  readonly log: { warn(fields: object, text: string): void }
  readonly listenHost: string
  /** Longest wait for one call of the engine, milliseconds. */
  readonly callLimitMs: number
  /** The instance expires or is released at times that are to be looked at. */
  readonly expectDueOf: (wanted: Wanted) => void
}

/** What the last look of a turn found, also when the turn failed. */
interface Attempt {
  readonly instanceId: InstanceId
  wanted: Wanted | null
}

export class InstanceTurns {
  readonly #context: InstanceTurnsContext
  /** What the engine answered when it was last told of an instance; none before the start and after it reported a change. */
  readonly #lastEnsured = new Map<string, { readonly inForce: InstanceObservation; readonly ports: InstancePorts }>()
  readonly #foreign = new Set<string>()

  constructor(context: InstanceTurnsContext) {
    this.#context = context
  }

  /** Never rejects: what could not be read, or a row that makes no sense, is the same as a failed step. */
  async take(entry: Entry): Promise<{ readonly wanted: Wanted | null; readonly outcome: Outcome }> {
    const attempt: Attempt = { instanceId: entry.instanceId, wanted: null }
    try {
      const outcome = await this.#attempt(entry, attempt)
      return { wanted: attempt.wanted, outcome }
    } catch (cause) {
      const failure = sentenceOf(cause)
      return { wanted: attempt.wanted, outcome: { outcome: 'failed', scope: 'instance', at: null, failure, cause } }
    }
  }

  /** The engine holds something else now than it answered, of one instance or of all. */
  forgetAnswers(instanceId: InstanceId | null): void {
    if (instanceId === null) this.#lastEnsured.clear()
    else this.#lastEnsured.delete(instanceId)
  }

  /** Looks, then plans and performs until a plan is complete. */
  async #attempt(entry: Entry, attempt: Attempt): Promise<Outcome> {
    const { instanceId } = entry
    const complete = entry.complete || !this.#lastEnsured.has(instanceId)
    const { engineChanges } = entry
    /** Results of this turn are outdated when the engine reported a change meanwhile. */
    const isCurrent = (): boolean => entry.engineChanges === engineChanges
    const toldGeneration = this.#lastEnsured.get(instanceId)?.inForce.generation ?? null
    attempt.wanted = await this.#context.store.load({ instanceId, complete, toldGeneration })
    let observed = await this.#lookAtEngine(attempt)
    for (let plans = 0; plans < maxPlans; plans += 1) {
      const { wanted } = attempt
      if (wanted !== null) this.#context.expectDueOf(wanted)
      const steps = plan({
        instanceId,
        wanted,
        observed,
        knownDeleted: wanted === null && observed != null && (await this.#context.store.wasDeleted(instanceId)),
        toldPorts: this.#lastEnsured.get(instanceId)?.ports ?? noPorts,
        reserved: entry.reserved,
        listenHost: this.#context.listenHost,
        at: this.#context.clock.now(),
      })
      const { outcome, learned } = await perform(steps, {
        engine: this.#context.engine,
        ports: this.#context.ports,
        store: this.#context.store,
        clock: this.#context.clock,
        callLimitMs: this.#context.callLimitMs,
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
      if (steps.some(({ do: what }) => what === 'release' || what === 'adoptGroups' || what === 'loadAccess'))
        attempt.wanted = await this.#context.store.load({ instanceId, complete, toldGeneration: null })
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
    const observed = await this.limited(this.#context.engine.observeInstance(instanceId), 'observeInstance')
    const isLost = wanted !== null && (observed === null || observed.generation === 0)
    if (isLost && !wanted.complete)
      attempt.wanted = await this.#context.store.load({ instanceId, complete: true, toldGeneration: null })
    return observed
  }

  limited<T>(call: Promise<T>, name: string): Promise<T> {
    return withLimit(call, name, {
      clock: this.#context.clock,
      engine: this.#context.engine,
      callLimitMs: this.#context.callLimitMs,
    })
  }

  /** Recorded ports belong to the ledger's row; those of an instance that is gone are free. */
  #settlePorts(entry: Entry, wanted: Wanted | null, steps: readonly Step[]): void {
    for (const step of steps) {
      if (step.do === 'recordApplied') entry.reserved = {}
      if (step.do !== 'forget') continue
      const { vpc_port, internet_port } = wanted?.instance ?? { vpc_port: null, internet_port: null }
      this.#context.ports.rest([vpc_port, internet_port].filter((port) => port !== null))
      this.releaseReserved(entry)
      this.#lastEnsured.delete(entry.instanceId)
    }
  }

  /** The ports may have caused the failure. No client was told them yet, so the next try takes others. */
  releaseReserved(entry: Entry): void {
    this.#context.ports.release(Object.values(entry.reserved))
    entry.reserved = {}
  }

  #warnOfForeign(instanceId: InstanceId): void {
    if (this.#foreign.has(instanceId)) return
    this.#foreign.add(instanceId)
    this.#context.log.warn(
      { instanceId },
      'The engine holds messages of an instance that this ledger never knew; they are left alone. If another database belongs to this home, use that one; otherwise remove the instance’s data by hand.',
    )
  }
}
