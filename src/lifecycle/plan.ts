/**
 * Every choice of the loop, as a pure function: what is wanted, what the engine reported, and what to
 * do next. perform.ts carries the steps out and has nothing left to decide.
 *
 * Each step is idempotent and carries the generation it is for, so a step may be repeated after a
 * crash at any moment, and a record of an old generation never hides a newer change. The order is fixed:
 * the instance, then removals, then topics, then groups (a group may name a topic for its dead
 * letters), then offset resets, and last the record in the ledger. What is recorded was done before.
 *
 * What it must never do: remove something that was neither deleted nor released. An instance the ledger
 * does not know is removed only when the ledger's history says that it was deleted; otherwise the messages
 * belong to another ledger (a restored backup, a changed database address). Half-made instances are always
 * known, because the ledger records an instance before any engine is told of it.
 */

import type { Row } from '../ledger/schema.ts'
import type { ConsumerGroupId, InstanceId, TopicName } from '../model/ids.ts'
import type { AccountSpec, GrantSpec, GroupSpec, InstanceSpec, OffsetReset, TopicSpec } from '../model/instances.ts'
import type { InstanceObservation } from '../model/observations.ts'
import {
  groupSpecOf,
  type InstancePorts,
  instanceSpecOf,
  offsetResetOf,
  type PortKind,
  portKindsOf,
  topicSpecOf,
} from './spec.ts'

/** What the ledger wants of one instance. */
export interface Wanted {
  readonly instance: Row<'instances'>
  /** Null when it was left out, because the engine was told of this generation and may not need to be told again. */
  readonly access: WantedAccess | null
  readonly topics: readonly Row<'topics'>[]
  readonly groups: readonly Row<'consumer_groups'>[]
  /** Offset resets that are not recorded as carried out. */
  readonly resets: readonly Row<'offset_resets'>[]
  /** All topics and groups are listed; otherwise only those that differ from what was recorded as applied. */
  readonly complete: boolean
}

/** Who may do what with the instance, with passwords in clear: never to be logged. */
export interface WantedAccess {
  readonly accounts: readonly AccountSpec[]
  readonly grants: readonly GrantSpec[]
}

export interface PlanInput {
  readonly instanceId: InstanceId
  /** Null when the ledger does not know the instance. */
  readonly wanted: Wanted | null
  /** Null when the engine holds nothing of the instance, undefined when it was not told of it since this loop started. */
  readonly observed: InstanceObservation | null | undefined
  /** The ledger's history says that this instance was deleted; asked for unknown instances only. */
  readonly knownDeleted: boolean
  /** Ports the engine was told when `observed` is defined. */
  readonly toldPorts: InstancePorts
  /** Ports set aside for the instance but not recorded yet. */
  readonly reserved: Partial<Record<PortKind, number>>
  readonly listenHost: string
  readonly at: number
}

export type Step =
  | { readonly do: 'allocatePorts'; readonly instanceId: InstanceId; readonly kinds: readonly PortKind[] }
  /** Accounts and grants are needed, and were left out. */
  | { readonly do: 'loadAccess'; readonly instanceId: InstanceId }
  | { readonly do: 'release'; readonly instanceId: InstanceId; readonly generation: number }
  | { readonly do: 'ensureInstance'; readonly spec: InstanceSpec }
  | { readonly do: 'removeGroup'; readonly instanceId: InstanceId; readonly consumerGroupId: ConsumerGroupId }
  | { readonly do: 'removeTopic'; readonly instanceId: InstanceId; readonly topicName: TopicName }
  | { readonly do: 'ensureTopics'; readonly instanceId: InstanceId; readonly topics: readonly TopicSpec[] }
  | { readonly do: 'ensureGroups'; readonly instanceId: InstanceId; readonly groups: readonly GroupSpec[] }
  /** Groups that clients made by using them become rows of the ledger, which shows, changes and deletes them like others. */
  | { readonly do: 'adoptGroups'; readonly instanceId: InstanceId; readonly names: readonly string[] }
  | { readonly do: 'resetOffsets'; readonly instanceId: InstanceId; readonly resets: readonly OffsetReset[] }
  | ({ readonly do: 'recordApplied' } & Applied)
  | { readonly do: 'removeInstance'; readonly instanceId: InstanceId }
  | { readonly do: 'forget'; readonly instanceId: InstanceId }
  | { readonly do: 'removeOrphan'; readonly instanceId: InstanceId }
  | { readonly do: 'leaveForeign'; readonly instanceId: InstanceId }
  /** Last step of a plan whose continuation depends on the results of its steps. */
  | { readonly do: 'planAgain' }

/** What is true once the steps before it are done; all of it is written in one transaction. */
export interface Applied {
  readonly instanceId: InstanceId
  readonly generation: number
  readonly revision: number
  readonly ports: InstancePorts
  readonly topics: readonly Versioned[]
  readonly groups: readonly Versioned[]
  /** Deleted rows whose topic or group the engine no longer holds. */
  readonly goneTopics: readonly Versioned[]
  readonly goneGroups: readonly Versioned[]
  /** Offset resets that were carried out. */
  readonly resets: readonly OffsetReset[]
}

export interface Versioned {
  readonly name: string
  readonly generation: number
}

/** An empty plan means that everything is as wanted and recorded. */
export function plan(input: PlanInput): readonly Step[] {
  const { instanceId, wanted, at } = input
  if (wanted === null) return planUnknown(input)
  const { instance } = wanted
  if (instance.wanted === 'absent') {
    return [
      { do: 'removeInstance', instanceId },
      { do: 'forget', instanceId },
    ]
  }
  if (at >= instance.release_time_ms) {
    return [{ do: 'release', instanceId, generation: instance.generation }, { do: 'planAgain' }]
  }
  return planPresent(input, wanted)
}

/**
 * What the engine must hold of an instance it was told of, without asking it: the instance as it was then, and of
 * the topics and groups what is recorded. Null where the record may lag behind (a row that was changed while an
 * earlier generation of it was being made), and when all rows are to be compared: then the engine is asked.
 */
export function presume(wanted: Wanted, told: InstanceObservation): InstanceObservation | null {
  const rows: readonly ChildRow[] = [...wanted.topics, ...wanted.groups]
  if (wanted.complete || rows.some((row) => row.applied_generation <= 0 && row.generation > 1)) return null
  const recorded = (row: ChildRow): boolean => row.applied_generation > 0
  return {
    ...told,
    topics: wanted.topics
      .filter(recorded)
      .map((row) => ({ topicName: row.topic_name, generation: row.applied_generation })),
    groups: wanted.groups
      .filter(recorded)
      .map((row) => ({ consumerGroupId: row.consumer_group_id, generation: row.applied_generation })),
  }
}

function planUnknown({ instanceId, observed, knownDeleted }: PlanInput): Step[] {
  if (observed == null) return []
  return [{ do: knownDeleted ? 'removeOrphan' : 'leaveForeign', instanceId }]
}

function planPresent(input: PlanInput, wanted: Wanted): Step[] {
  const { instanceId, observed, reserved, listenHost, at } = input
  const { instance } = wanted
  const recorded = { vpc: instance.vpc_port, internet: instance.internet_port }
  const ports: InstancePorts = {
    vpc: recorded.vpc ?? reserved.vpc ?? null,
    internet: recorded.internet ?? reserved.internet ?? null,
  }
  const missing = portKindsOf(instance).filter((kind) => ports[kind] === null)
  if (missing.length > 0) return [{ do: 'allocatePorts', instanceId, kinds: missing }, { do: 'planAgain' }]

  const serving = at < instance.expire_time_ms
  const steps: Step[] = []
  if (!samePorts(ports, input.toldPorts) || !isInForce(observed, instance.generation, serving)) {
    const { access } = wanted
    if (access === null) return [{ do: 'loadAccess', instanceId }, { do: 'planAgain' }]
    steps.push({
      do: 'ensureInstance',
      spec: instanceSpecOf({ instance, ...access, ports, listenHost, serving }),
    })
  }
  // Files of an instance that is not open do not show which topics they hold, so the instance is opened before its topics are removed.
  if (observed == null || observed.generation === 0) return [...steps, { do: 'planAgain' }]

  if (wanted.complete) {
    const known = new Set(wanted.groups.map((row) => row.consumer_group_id))
    const names = (observed.groupsMadeByUse ?? []).filter((name) => !known.has(name))
    if (names.length > 0) return [...steps, { do: 'adoptGroups', instanceId, names }, { do: 'planAgain' }]
  }

  const topics = compare(
    wanted.topics.map((row) => ({ row, name: row.topic_name })),
    new Map(observed.topics.map((seen) => [seen.topicName, seen.generation])),
    { complete: wanted.complete, removeUnseen: false },
  )
  // Of a group that the engine does not show its clients may have made another of the same name by using it.
  const groups = compare(
    wanted.groups.map((row) => ({ row, name: row.consumer_group_id })),
    new Map(observed.groups.map((seen) => [seen.consumerGroupId, seen.generation])),
    { complete: wanted.complete, removeUnseen: true },
  )
  for (const consumerGroupId of groups.remove) steps.push({ do: 'removeGroup', instanceId, consumerGroupId })
  for (const topicName of topics.remove) steps.push({ do: 'removeTopic', instanceId, topicName })
  if (topics.ensure.length > 0) {
    steps.push({ do: 'ensureTopics', instanceId, topics: topics.ensure.map(topicSpecOf) })
  }
  if (groups.ensure.length > 0) {
    steps.push({ do: 'ensureGroups', instanceId, groups: groups.ensure.map(groupSpecOf) })
  }
  const resets = wanted.resets.map(offsetResetOf)
  if (resets.length > 0) steps.push({ do: 'resetOffsets', instanceId, resets })
  const isRecorded =
    instance.applied_generation === instance.generation &&
    instance.applied_revision === instance.revision &&
    instance.failure === null &&
    samePorts(ports, recorded) &&
    [topics.applied, topics.gone, groups.applied, groups.gone, resets].every((list) => list.length === 0)
  if (!isRecorded) {
    steps.push({
      do: 'recordApplied',
      instanceId,
      generation: instance.generation,
      revision: instance.revision,
      ports,
      topics: topics.applied,
      groups: groups.applied,
      goneTopics: topics.gone,
      goneGroups: groups.gone,
      resets,
    })
  }
  return steps
}

function isInForce(observed: PlanInput['observed'], generation: number, serving: boolean): boolean {
  return observed?.generation === generation && observed.state === (serving ? 'running' : 'stopped')
}

const samePorts = (one: InstancePorts, other: InstancePorts): boolean =>
  one.vpc === other.vpc && one.internet === other.internet

interface ChildRow {
  readonly wanted: 'present' | 'absent'
  readonly generation: number
  readonly applied_generation: number
}

interface Comparison<R> {
  readonly remove: string[]
  readonly ensure: R[]
  /** In force once the steps are done, and not recorded as such. */
  readonly applied: Versioned[]
  /** Deleted rows of which the engine holds nothing once the steps are done. */
  readonly gone: Versioned[]
}

function compare<R extends ChildRow>(
  rows: ReadonlyArray<{ readonly row: R; readonly name: string }>,
  seen: ReadonlyMap<string, number>,
  { complete, removeUnseen }: { readonly complete: boolean; readonly removeUnseen: boolean },
): Comparison<R> {
  const result: Comparison<R> = { remove: [], ensure: [], applied: [], gone: [] }
  const known = new Set<string>()
  for (const { row, name } of rows) {
    known.add(name)
    const inForce = seen.get(name)
    if (row.wanted === 'absent') {
      if (inForce !== undefined || removeUnseen) result.remove.push(name)
      result.gone.push({ name, generation: row.generation })
      continue
    }
    if (inForce !== row.generation) {
      if (inForce !== undefined && isPredecessor(row, inForce)) result.remove.push(name)
      result.ensure.push(row)
    }
    if (row.applied_generation !== row.generation) result.applied.push({ name, generation: row.generation })
  }
  if (complete) for (const name of seen.keys()) if (!known.has(name)) result.remove.push(name)
  return result
}

/** See `createdAgain` in status.ts: a negative applied generation marks what belongs to a deleted predecessor. */
const isPredecessor = (row: ChildRow, inForce: number): boolean =>
  row.applied_generation < 0 && inForce <= -row.applied_generation
