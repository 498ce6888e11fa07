/**
 * Carries out the steps of a plan, in order, against the engine, the ports and the ledger. It decides
 * nothing and calls nobody back: it answers what it learned. The first failure of the instance's own steps ends it,
 * and the loop makes a new plan later.
 *
 * One bad topic or group does not hold up the others: when a list is refused it is tried one by one,
 * what worked is recorded, and what did not stays CREATING and is tried again.
 */

import type { Engine } from '../engines/engine.ts'
import type { ConsumerGroupId } from '../model/ids.ts'
import type { OffsetReset } from '../model/instances.ts'
import type { InstanceObservation } from '../model/observations.ts'
import { EngineError } from '../model/refusals.ts'
import type { Clock } from '../world/world.ts'
import type { Applied, Step } from './plan.ts'
import type { PortSource } from './ports.ts'
import type { InstancePorts, PortKind } from './spec.ts'
import type { WantedStore } from './wanted-store.ts'

export interface PerformContext {
  readonly engine: Engine
  readonly ports: PortSource
  readonly store: WantedStore
  readonly clock: Clock
  /** Longest wait for one call of the engine, milliseconds. */
  readonly callLimitMs: number
  /** Ports set aside for this instance by an earlier plan and not recorded yet. */
  readonly reserved: ReservedPorts
}

export type ReservedPorts = Readonly<Partial<Record<PortKind, number>>>

/** What the steps found out, including those before a failure. */
export interface Learned {
  /** Ports that are set aside now; the caller keeps them until they are recorded. */
  readonly reserved: ReservedPorts
  /** What is in force since the engine took the instance, and on which ports; null when it was not told. */
  readonly ensured: { readonly inForce: InstanceObservation; readonly ports: InstancePorts } | null
  /** The plan says to leave an instance that the ledger does not know. */
  readonly foreign: boolean
}

export type Outcome =
  | { readonly outcome: 'done' }
  | {
      readonly outcome: 'failed'
      /** Whether the instance itself failed, or only topics or groups in it. */
      readonly scope: 'instance' | 'children'
      /** The step of the instance that failed; null for children. */
      readonly at: Step['do'] | null
      /** A sentence that fits the ledger. */
      readonly failure: string
      readonly cause: unknown
    }

export async function perform(
  steps: readonly Step[],
  context: PerformContext,
): Promise<{ readonly outcome: Outcome; readonly learned: Learned }> {
  const learned: Learning = { reserved: { ...context.reserved }, ensured: null, foreign: false }
  const outcome = await carryOutAll(steps, context, learned)
  return { outcome, learned }
}

/** `Learned`, while the steps run. */
interface Learning {
  readonly reserved: Partial<Record<PortKind, number>>
  ensured: Learned['ensured']
  foreign: boolean
}

async function carryOutAll(steps: readonly Step[], context: PerformContext, learned: Learning): Promise<Outcome> {
  const failed: ChildFailures = { topics: new Map(), groups: new Map(), resets: new Map() }
  for (const step of steps) {
    try {
      await carryOut(step, context, failed, learned)
    } catch (cause) {
      return { outcome: 'failed', scope: 'instance', at: step.do, failure: sentenceOf(cause), cause }
    }
  }
  const [first] = [...failed.topics, ...failed.groups, ...failed.resets]
  if (first === undefined) return { outcome: 'done' }
  const [name, cause] = first
  return { outcome: 'failed', scope: 'children', at: null, failure: `${name}: ${sentenceOf(cause)}`, cause }
}

/** A failure as text the ledger can hold: well formed, without NUL, at most 500 characters. */
export function sentenceOf(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause)
  const fitting = text
    .slice(0, 500)
    .replaceAll('\0', '')
    // With `u` this is half a surrogate pair only, as cutting may leave one.
    .replace(/\p{Surrogate}/gu, '')
  return fitting === '' ? 'It failed without saying why.' : fitting
}

interface ChildFailures {
  readonly topics: Map<string, unknown>
  readonly groups: Map<ConsumerGroupId, unknown>
  /** By reset id. */
  readonly resets: Map<string, unknown>
}

async function carryOut(step: Step, context: PerformContext, failed: ChildFailures, learned: Learning): Promise<void> {
  const { engine, ports, store } = context
  const limited = <T>(call: Promise<T>): Promise<T> => withLimit(call, step.do, context)
  switch (step.do) {
    case 'allocatePorts':
      for (const kind of step.kinds) learned.reserved[kind] ??= await ports.reserve()
      return
    case 'ensureInstance': {
      const observed = await limited(engine.ensureInstance(step.spec))
      assertTaken(observed, step.spec.generation)
      const portOf = (kind: PortKind): number | null => step.spec.listen.find((one) => one.kind === kind)?.port ?? null
      learned.ensured = { inForce: observed, ports: { vpc: portOf('vpc'), internet: portOf('internet') } }
      return
    }
    case 'removeGroup':
      return attempt(failed.groups, step.consumerGroupId, () =>
        limited(engine.removeGroup(step.instanceId, step.consumerGroupId)),
      )
    case 'removeTopic':
      return attempt(failed.topics, step.topicName, () => limited(engine.removeTopic(step.instanceId, step.topicName)))
    case 'ensureTopics':
      return ensureAll(
        step.topics.filter(({ topicName }) => !failed.topics.has(topicName)),
        ({ topicName }) => topicName,
        (topics) => limited(engine.ensureTopics(step.instanceId, topics)),
        failed.topics,
      )
    case 'ensureGroups':
      return ensureAll(
        step.groups.filter(({ consumerGroupId }) => !failed.groups.has(consumerGroupId)),
        ({ consumerGroupId }) => consumerGroupId,
        (groups) => limited(engine.ensureGroups(step.instanceId, groups)),
        failed.groups,
      )
    case 'adoptGroups':
      return store.write({ write: 'adopt', instanceId: step.instanceId, names: step.names })
    case 'resetOffsets':
      return ensureAll(
        step.resets.filter((reset) => !isHeldUp(reset, failed)),
        ({ resetId }) => resetId,
        (resets) => limited(engine.resetOffsets(step.instanceId, resets)),
        failed.resets,
      )
    case 'recordApplied': {
      await store.write({ write: 'applied', ...without(failed, step) })
      return
    }
    case 'removeInstance':
    case 'removeOrphan':
      return limited(engine.removeInstance(step.instanceId))
    case 'release':
      return store.write({ write: 'release', instanceId: step.instanceId })
    case 'forget':
      return store.write({ write: 'forget', instanceId: step.instanceId })
    case 'leaveForeign':
      learned.foreign = true
      return
    case 'loadAccess':
    case 'planAgain':
      return
  }
}

function assertTaken(observed: InstanceObservation, generation: number): void {
  if (observed.state === 'failed') {
    throw new Error(observed.reason ?? 'The engine could not bring the instance up and did not say why.')
  }
  if (observed.generation !== generation) {
    throw new Error(`The engine answered with generation ${observed.generation} instead of ${generation}.`)
  }
}

async function attempt(failed: Map<string, unknown>, name: string, call: () => Promise<void>): Promise<void> {
  try {
    await call()
  } catch (cause) {
    if (!isAboutTheSpecs(cause)) throw cause
    failed.set(name, cause)
  }
}

/**
 * An engine that is unavailable, or does not hold the instance, fails every topic: trying them one by one would only
 * take longer.
 */
const isAboutTheSpecs = (cause: unknown): boolean =>
  cause instanceof EngineError && (cause.code === 'unsupported' || cause.code === 'failed')

async function ensureAll<T>(
  specs: readonly T[],
  nameOf: (spec: T) => string,
  ensure: (specs: readonly T[]) => Promise<void>,
  failed: Map<string, unknown>,
): Promise<void> {
  if (specs.length === 0) return
  try {
    await ensure(specs)
  } catch (cause) {
    if (!isAboutTheSpecs(cause)) throw cause
    if (specs.length === 1) failed.set(nameOf(specs[0] as T), cause)
    else for (const spec of specs) await attempt(failed, nameOf(spec), () => ensure([spec]))
  }
}

/** The record without what failed; then the revision stays unrecorded too, so that it is tried again after a restart. */
function without(failed: ChildFailures, step: Applied): Applied {
  if (failed.topics.size === 0 && failed.groups.size === 0 && failed.resets.size === 0) return step
  const { instanceId, generation, ports } = step
  return {
    instanceId,
    generation,
    ports,
    revision: 0,
    topics: step.topics.filter(({ name }) => !failed.topics.has(name)),
    groups: step.groups.filter(({ name }) => !failed.groups.has(name)),
    goneTopics: step.goneTopics.filter(({ name }) => !failed.topics.has(name)),
    goneGroups: step.goneGroups.filter(({ name }) => !failed.groups.has(name)),
    resets: step.resets.filter((reset) => !isHeldUp(reset, failed) && !failed.resets.has(reset.resetId)),
  }
}

/** The engine would find nothing to move yet, and say that it is done. */
const isHeldUp = ({ topicName, consumerGroupId }: OffsetReset, failed: ChildFailures): boolean =>
  failed.topics.has(topicName) || failed.groups.has(consumerGroupId)

/**
 * A call that never ends must not hold a place in the loop for ever. The call itself cannot be taken
 * back; engines are idempotent, so a repetition meets its late effect without harm.
 */
export function withLimit<T>(
  call: Promise<T>,
  name: string,
  { clock, callLimitMs, engine }: Pick<PerformContext, 'clock' | 'callLimitMs' | 'engine'>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(callLimitMs, () => {
      reject(new Error(`The ${engine.name} engine did not answer ${name} within ${Math.round(callLimitMs / 1000)} s.`))
    })
    void call.then(resolve, reject).finally(cancel)
  })
}
