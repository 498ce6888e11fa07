/**
 * An engine in memory for tests of the loop: it carries no messages, but makes, changes, loses and
 * refuses things as a real one may, with delays from the world's clock and faults a test chooses.
 *
 * Every topic and group remembers which making of it this is (`birth`), so that a test can see that a
 * thing was removed and made again, which in a real engine would have cost its messages. Not for
 * production: nothing here is durable and no client can connect.
 */

import type { ConsumerGroupId, InstanceId, TopicName } from '../../model/ids.ts'
import type { GroupSpec, InstanceSpec, OffsetReset, TopicSpec } from '../../model/instances.ts'
import type { InstanceObservation } from '../../model/observations.ts'
import { EngineError } from '../../model/refusals.ts'
import type { Clock } from '../../world/world.ts'
import type { Engine, EngineCapabilities } from '../engine.ts'
import { type Answers, type Ask, answerOf } from '../questions.ts'

export type EngineMethod =
  | 'observe'
  | 'observeInstance'
  | 'ensureInstance'
  | 'removeInstance'
  | 'ensureTopics'
  | 'removeTopic'
  | 'ensureGroups'
  | 'removeGroup'
  | 'resetOffsets'

export interface EngineCall {
  readonly method: EngineMethod
  /** Null for `observe`. */
  readonly instanceId: InstanceId | null
}

/** Where a call fails: with no effect, with half of it, or with all of it but no answer. */
export type Fault = 'before' | 'midway' | 'after'

export interface SimulatedEngineOptions {
  readonly clock: Clock
  /** How long a call takes, milliseconds; 0 answers at once. */
  readonly delayMs?: (call: EngineCall) => number
  readonly fault?: (call: EngineCall) => Fault | null
  readonly capabilities?: Partial<EngineCapabilities>
  /** After a restart instances show as remains (generation 0, nothing listed) until they are ensured again. */
  readonly forgetful?: boolean
}

export interface Held {
  readonly instanceId: InstanceId
  /** Null for remains of a half-made or half-removed instance. */
  readonly spec: InstanceSpec | null
  readonly state: InstanceObservation['state']
  readonly reason: string | null
  readonly topics: ReadonlyMap<string, TopicSpec & { readonly birth: number }>
  readonly groups: ReadonlyMap<ConsumerGroupId, GroupSpec & { readonly birth: number }>
  /** Resets that were carried out, oldest first. */
  readonly resets: readonly OffsetReset[]
}

export class SimulatedEngine implements Engine {
  readonly name = 'simulated'
  readonly capabilities: EngineCapabilities
  /** Every call so far, oldest first. */
  readonly calls: EngineCall[] = []
  readonly #options: SimulatedEngineOptions
  readonly #held = new Map<string, Holding>()
  readonly #refusedPorts = new Set<number>()
  #answers: Partial<Answers<Held>> = {
    usage: ({ instanceId }) => ({ instanceId, storedBytes: 0, connections: 0, groupsMadeByUse: 0, remark: null }),
    lag: () => [],
    findMessages: () => null,
    traceMessage: () => null,
  }
  #births = 0
  #breakOffNext = false
  #listener: (instanceId: InstanceId | null) => void = () => {}

  constructor(options: SimulatedEngineOptions) {
    this.#options = options
    this.capabilities = {
      messageTypes: ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'LITE', 'PRIORITY'],
      orderlyGroups: true,
      storageEncryption: true,
      highestPriority: 7,
      ...options.capabilities,
    }
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {
    for (const holding of this.#held.values()) this.#end(holding)
  }
  onChange(listener: (instanceId: InstanceId | null) => void): void {
    this.#listener = listener
  }

  observe(): Promise<InstanceObservation[]> {
    return this.#call({ method: 'observe', instanceId: null }, () => [...this.#held.values()].map(observationOf))
  }

  observeInstance(instanceId: InstanceId): Promise<InstanceObservation | null> {
    return this.#call({ method: 'observeInstance', instanceId }, () => {
      const holding = this.#held.get(instanceId)
      return holding === undefined ? null : observationOf(holding)
    })
  }

  ensureInstance(spec: InstanceSpec): Promise<InstanceObservation> {
    const { instanceId } = spec
    return this.#call(
      { method: 'ensureInstance', instanceId },
      () => observationOf(this.#ensure(spec)),
      () => this.#holding(instanceId),
    )
  }

  removeInstance(instanceId: InstanceId): Promise<void> {
    return this.#call(
      { method: 'removeInstance', instanceId },
      () => void this.#held.delete(instanceId),
      () => {
        const holding = this.#held.get(instanceId)
        if (holding === undefined) return
        holding.spec = null
        holding.state = 'stopped'
        holding.topics.clear()
      },
    )
  }

  ensureTopics(instanceId: InstanceId, topics: readonly TopicSpec[]): Promise<void> {
    const ensure = (list: readonly TopicSpec[]): void => {
      const holding = this.#present(instanceId)
      for (const topic of topics) {
        if (this.capabilities.messageTypes.includes(topic.messageType)) continue
        throw new EngineError('unsupported', `The simulated engine has no ${topic.messageType} topics.`)
      }
      for (const topic of list) {
        const birth = holding.topics.get(topic.topicName)?.birth ?? ++this.#births
        holding.topics.set(topic.topicName, { ...topic, birth })
      }
    }
    return this.#call(
      { method: 'ensureTopics', instanceId },
      () => ensure(topics),
      () => ensure(half(topics)),
    )
  }

  removeTopic(instanceId: InstanceId, topicName: TopicName): Promise<void> {
    return this.#call(
      { method: 'removeTopic', instanceId },
      () => void this.#present(instanceId).topics.delete(topicName),
    )
  }

  ensureGroups(instanceId: InstanceId, groups: readonly GroupSpec[]): Promise<void> {
    const ensure = (list: readonly GroupSpec[]): void => {
      const holding = this.#present(instanceId)
      if (!this.capabilities.orderlyGroups && groups.some(({ orderly }) => orderly)) {
        throw new EngineError('unsupported', 'The simulated engine has no ordered groups.')
      }
      for (const group of list) {
        const birth = holding.groups.get(group.consumerGroupId)?.birth ?? ++this.#births
        holding.groups.set(group.consumerGroupId, { ...group, birth })
      }
    }
    return this.#call(
      { method: 'ensureGroups', instanceId },
      () => ensure(groups),
      () => ensure(half(groups)),
    )
  }

  removeGroup(instanceId: InstanceId, consumerGroupId: ConsumerGroupId): Promise<void> {
    return this.#call(
      { method: 'removeGroup', instanceId },
      () => void this.#present(instanceId).groups.delete(consumerGroupId),
    )
  }

  resetOffsets(instanceId: InstanceId, resets: readonly OffsetReset[]): Promise<void> {
    const reset = (list: readonly OffsetReset[]): void => {
      const { topics, groups, resets: done } = this.#present(instanceId)
      for (const one of list) {
        if (!topics.has(one.topicName) || !groups.has(one.consumerGroupId)) continue
        const mine = done.filter(
          ({ topicName, consumerGroupId }) => topicName === one.topicName && consumerGroupId === one.consumerGroupId,
        )
        if (!mine.some(({ resetId }) => resetId === one.resetId)) done.push(one)
      }
    }
    return this.#call(
      { method: 'resetOffsets', instanceId },
      () => reset(resets),
      () => reset(half(resets)),
    )
  }

  /** It carries no messages and no clients: whoever wants other answers sets them with `answer`. */
  readonly ask: Ask = async (instanceId, question, params) => {
    const holding = this.#held.get(instanceId)
    if (holding === undefined) throw new EngineError('absent', `The simulated engine has no instance "${instanceId}".`)
    return answerOf(this.#answers, holding, question, params)
  }

  // What a test may do to it and see of it

  /** Other answers than those of an engine without messages. */
  answer(answers: Partial<Answers<Held>>): void {
    this.#answers = { ...this.#answers, ...answers }
  }

  held(instanceId: InstanceId): Held | null {
    return this.#held.get(instanceId) ?? null
  }

  heldIds(): string[] {
    return [...this.#held.keys()].sort()
  }

  /** Another program takes the port, or lets go of it. Instances that listen already are not disturbed. */
  refusePort(port: number, refused: boolean): void {
    if (refused) this.#refusedPorts.add(port)
    else this.#refusedPorts.delete(port)
  }

  /** Lets one call have half of its effect, as a kill in the middle of it would; the call itself rejects. */
  async breakOff<T>(call: () => Promise<T>): Promise<T> {
    this.#breakOffNext = true
    return call()
  }

  /** What a kill in the middle of a create leaves behind. */
  leaveHalfMade(instanceId: InstanceId): void {
    this.#holding(instanceId)
  }

  /** An instance stops by itself, and the engine says so. */
  breakInstance(instanceId: InstanceId, reason: string): void {
    const holding = this.#present(instanceId)
    holding.state = 'failed'
    holding.reason = reason
    this.#listener(instanceId)
  }

  /** The process behind the engine died: what is on its disk is there, nothing serves. */
  restart(): void {
    for (const holding of this.#held.values()) this.#end(holding)
    this.#listener(null)
  }

  /** The disk behind the engine is gone. */
  loseEverything(): void {
    this.#held.clear()
    this.#listener(null)
  }

  // Rest

  async #call<T>(call: EngineCall, effect: () => T, midway: () => unknown = () => {}): Promise<T> {
    this.calls.push(call)
    const { clock, delayMs, fault } = this.#options
    const chosen = this.#breakOffNext ? 'midway' : (fault?.(call) ?? null)
    this.#breakOffNext = false
    if (chosen === 'before') throw broken(call, 'refused the call')
    const waitMs = delayMs?.(call) ?? 0
    if (waitMs > 0) await new Promise<void>((resolve) => void clock.after(waitMs, resolve))
    if (chosen === 'midway') {
      midway()
      throw broken(call, 'broke off in the middle')
    }
    const result = effect()
    if (chosen === 'after') throw broken(call, 'did the work and lost the answer')
    return result
  }

  #end(holding: Holding): void {
    holding.state = 'stopped'
    holding.open = this.#options.forgetful !== true
  }

  #ensure(spec: InstanceSpec): Holding {
    const holding = this.#holding(spec.instanceId)
    holding.open = true
    const taken = spec.listen.find(({ port }) => spec.serving && this.#isTaken(port, holding))
    if (taken !== undefined) {
      holding.state = 'failed'
      holding.reason = `Port ${taken.port} on ${taken.host} is taken by another program; stop that program, and the instance comes up by itself.`
      return holding
    }
    holding.spec = spec
    holding.state = spec.serving ? 'running' : 'stopped'
    holding.reason = null
    return holding
  }

  /** A port the instance listens on already is its own, whoever wants it. */
  #isTaken(port: number, mine: Holding): boolean {
    for (const other of this.#held.values()) {
      if (other.state !== 'running' || !other.spec?.listen.some((listen) => listen.port === port)) continue
      return other !== mine
    }
    return this.#refusedPorts.has(port)
  }

  #holding(instanceId: InstanceId): Holding {
    const known = this.#held.get(instanceId)
    if (known !== undefined) return known
    const made: Holding = {
      instanceId,
      open: true,
      spec: null,
      state: 'stopped',
      reason: null,
      topics: new Map(),
      groups: new Map(),
      resets: [],
    }
    this.#held.set(instanceId, made)
    return made
  }

  #present(instanceId: InstanceId): Holding {
    const holding = this.#held.get(instanceId)
    if (holding === undefined || holding.spec === null || !holding.open) {
      throw new EngineError('absent', `The simulated engine has no instance "${instanceId}".`)
    }
    return holding
  }
}

interface Holding extends Held {
  /** False while only the data is there, not read yet. */
  open: boolean
  spec: InstanceSpec | null
  state: InstanceObservation['state']
  reason: string | null
  readonly topics: Map<string, TopicSpec & { readonly birth: number }>
  readonly groups: Map<ConsumerGroupId, GroupSpec & { readonly birth: number }>
  readonly resets: OffsetReset[]
}

function observationOf(holding: Holding): InstanceObservation {
  const held = <T>(map: ReadonlyMap<string, T>): T[] => (holding.open ? [...map.values()] : [])
  return {
    instanceId: holding.instanceId,
    generation: (holding.open && holding.spec?.generation) || 0,
    state: holding.state,
    reason: holding.reason,
    topics: held(holding.topics).map(({ topicName, generation }) => ({ topicName, generation })),
    groups: held(holding.groups).map(({ consumerGroupId, generation }) => ({ consumerGroupId, generation })),
  }
}

const half = <T>(list: readonly T[]): readonly T[] => list.slice(0, Math.ceil(list.length / 2))

const broken = ({ method, instanceId }: EngineCall, how: string): EngineError =>
  new EngineError('unavailable', `The simulated engine ${how}: ${method} of ${instanceId ?? 'everything'}.`)
