/**
 * What the loop reads from and writes to the ledger, many instances at a time: loads and writes that
 * come while one is under way go together with the next, so that a hundred instances at a restart, or
 * sixteen creates in flight, cost a few transactions and not hundreds.
 *
 * The loop writes what it observed, which may be a group that a client made by using it, and, at the
 * release time, that an instance is no longer wanted. It never writes
 * anything else that a user wanted. A record counts only for the generation it was made for: a row that changed
 * meanwhile stays unrecorded and is looked at again.
 */

import { openPassword } from '../ledger/accounts.ts'
import { findConsumerGroupRow, insertConsumerGroup } from '../ledger/consumer-groups.ts'
import { grantSpecOf } from '../ledger/grants.ts'
import { asDocument } from '../ledger/instance-documents.ts'
import { touchInstance } from '../ledger/instances.ts'
import type { ChangeContext, Ledger, Reader, Writer } from '../ledger/ledger.ts'
import type { NewRow, Row } from '../ledger/schema.ts'
import type { Secrets } from '../ledger/secrets.ts'
import { defaultMaxRetryTimes } from '../model/defaults.ts'
import type { ConsumerGroupId, InstanceId } from '../model/ids.ts'
import type { AccountSpec } from '../model/instances.ts'
import type { World } from '../world/world.ts'
import { createBatcher } from './batcher.ts'
import type { Applied, Versioned, Wanted, WantedAccess } from './plan.ts'

export interface WantedStore {
  /** Every instance with its recorded ports, for the start. */
  listInstances(): Promise<InstanceSummary[]>
  /** Ports of instances that are gone, the one that has rested longest first. */
  listRestingPorts(): Promise<number[]>
  /** Instances with something wanted and not yet recorded as applied. Does not read the others. */
  listPending(limit: number): Promise<string[]>
  /** Instances whose expiry or release lies in (afterMs, untilMs], and the next such moment after it. */
  findDue(afterMs: number, untilMs: number): Promise<{ due: string[]; nextMs: number | null }>
  load(request: LoadRequest): Promise<Wanted | null>
  /** Whether the ledger's history says that the instance was deleted. */
  wasDeleted(instanceId: InstanceId): Promise<boolean>
  write(write: Write): Promise<void>
}

export interface InstanceSummary {
  readonly instanceId: InstanceId
  readonly ports: readonly number[]
}

export interface LoadRequest {
  readonly instanceId: InstanceId
  /** All topics and groups, not only those that differ from their record. */
  readonly complete: boolean
  /** Generation that the engine was told of: at that one, accounts and grants are left out. Null loads them always. */
  readonly toldGeneration: number | null
}

export type Write =
  | ({ readonly write: 'applied' } & Applied)
  | { readonly write: 'adopt'; readonly instanceId: InstanceId; readonly names: readonly string[] }
  | { readonly write: 'failure'; readonly instanceId: InstanceId; readonly failure: string }
  | { readonly write: 'release'; readonly instanceId: InstanceId }
  | { readonly write: 'forget'; readonly instanceId: InstanceId }

export function createWantedStore(ledger: Ledger, world: Pick<World, 'clock' | 'random'>): WantedStore {
  const load = createBatcher<LoadRequest, Wanted | null>((requests) => loadMany(ledger, requests), maxBatch)
  const write = createBatcher<Write, void>(async (writes) => {
    const cause = {
      at: world.clock.now(),
      requestId: world.random.uuid(),
      principal: 'system',
      action: 'Reconcile',
    }
    await ledger.change(cause, async (context) => {
      for (const one of writes) await carryOut(context, one)
    })
    return writes.map(() => undefined)
  }, maxBatch)

  return {
    listInstances: async () => {
      const rows = await ledger.read
        .selectFrom('instances')
        .select(['instance_id', 'vpc_port', 'internet_port'])
        .orderBy('instance_id')
        .execute()
      return rows.map((row) => ({
        instanceId: row.instance_id,
        ports: [row.vpc_port, row.internet_port].filter((port) => port !== null),
      }))
    },
    listRestingPorts: async () => {
      const rows = await ledger.read
        .selectFrom('resting_ports')
        .select('port')
        .orderBy('since_ms')
        .orderBy('port')
        .execute()
      return rows.map(({ port }) => port)
    },
    listPending: async (limit) => {
      const rows = await ledger.read
        .selectFrom('instances')
        .select('instance_id')
        .whereRef('applied_revision', '<', 'revision')
        .limit(limit)
        .execute()
      return rows.map((row) => row.instance_id)
    },
    findDue: (afterMs, untilMs) => findDue(ledger.read, afterMs, untilMs),
    load,
    wasDeleted: async (instanceId) => {
      const row = await ledger.read
        .selectFrom('changes')
        .select('change_id')
        .where('resource', '=', resourceOf(instanceId))
        .where('detail_json', 'like', `%"${forgotten}":true%`)
        .limit(1)
        .executeTakeFirst()
      return row !== undefined
    },
    write,
  }
}

/** Name of an instance in the ledger's history, and the mark the loop leaves there when the engine has removed it. */
const resourceOf = (instanceId: InstanceId): string => `instance/${instanceId}`
const forgotten = 'forgotten'

const maxBatch = 128

async function findDue(
  read: Reader,
  afterMs: number,
  untilMs: number,
): Promise<{ due: string[]; nextMs: number | null }> {
  const due = new Set<string>()
  let nextMs: number | null = null
  for (const column of ['expire_time_ms', 'release_time_ms'] as const) {
    const rows = await read
      .selectFrom('instances')
      .select('instance_id')
      .where(column, '>', afterMs)
      .where(column, '<=', untilMs)
      .execute()
    for (const row of rows) due.add(row.instance_id)
    const next = await read
      .selectFrom('instances')
      .select((eb) => eb.fn.min(column).as('at'))
      .where(column, '>', untilMs)
      .executeTakeFirst()
    if (next?.at != null) nextMs = Math.min(nextMs ?? Number(next.at), Number(next.at))
  }
  return { due: [...due], nextMs }
}

/**
 * The instances' rows are read first: topics and groups read after them are at least as new as the
 * revision that is later recorded, so that no change is hidden by a recorded revision.
 */
async function loadMany(ledger: Ledger, requests: readonly LoadRequest[]): Promise<(Wanted | null)[]> {
  const { read } = ledger
  const ids = [...new Set(requests.map(({ instanceId }) => instanceId))]
  const completeIds = new Set(requests.filter(({ complete }) => complete).map(({ instanceId }) => instanceId))
  const instances = await read.selectFrom('instances').selectAll().where('instance_id', 'in', ids).execute()
  const partIds = ids.filter((id) => !completeIds.has(id))
  const access = await loadAccess(ledger, toldAgain(instances, requests))
  const topics = groupBy([
    ...(await readChildren(read, 'topics', [...completeIds], true)),
    ...(await readChildren(read, 'topics', partIds, false)),
  ])
  const groups = groupBy([
    ...(await readChildren(read, 'consumer_groups', [...completeIds], true)),
    ...(await readChildren(read, 'consumer_groups', partIds, false)),
  ])
  const resets = groupBy(
    await read
      .selectFrom('offset_resets')
      .selectAll()
      .where('instance_id', 'in', ids)
      .orderBy('create_time_ms')
      .orderBy('reset_id')
      .execute(),
  )
  const wanted = new Map<string, Wanted>()
  for (const instance of instances) {
    const id = instance.instance_id
    wanted.set(id, {
      instance,
      access: access.get(id) ?? null,
      topics: topics.get(id) ?? [],
      groups: groups.get(id) ?? [],
      resets: resets.get(id) ?? [],
      complete: completeIds.has(id),
    })
  }
  return requests.map(({ instanceId }) => wanted.get(instanceId) ?? null)
}

/** Instances of which the engine was not told since they changed; every change of an account or a grant changes its instance. */
function toldAgain(instances: readonly Row<'instances'>[], requests: readonly LoadRequest[]): readonly InstanceId[] {
  const generations = new Map(instances.map((row) => [row.instance_id, row.generation]))
  const ids = requests
    .filter(({ instanceId, toldGeneration }) => {
      const generation = generations.get(instanceId)
      return generation !== undefined && toldGeneration !== generation
    })
    .map(({ instanceId }) => instanceId)
  return [...new Set(ids)]
}

async function loadAccess(
  { read, secrets }: Ledger,
  instanceIds: readonly InstanceId[],
): Promise<Map<InstanceId, WantedAccess>> {
  if (instanceIds.length === 0) return new Map()
  const accounts = groupBy(
    await read.selectFrom('instance_accounts').selectAll().where('instance_id', 'in', instanceIds).execute(),
  )
  const grants = groupBy(
    await read
      .selectFrom('instance_grants')
      .selectAll()
      .where('instance_id', 'in', instanceIds)
      .orderBy('username')
      .orderBy('resource_type')
      .orderBy('resource_name')
      .execute(),
  )
  return new Map(
    instanceIds.map((id) => [
      id,
      {
        accounts: (accounts.get(id) ?? []).map((row) => openAccount(secrets, row)),
        grants: (grants.get(id) ?? []).map(grantSpecOf),
      },
    ]),
  )
}

async function readChildren<T extends 'topics' | 'consumer_groups'>(
  read: Reader,
  table: T,
  instanceIds: readonly InstanceId[],
  complete: boolean,
): Promise<Row<T>[]> {
  if (instanceIds.length === 0) return []
  let query = read
    .selectFrom(table as 'topics')
    .selectAll()
    .where('instance_id', 'in', instanceIds)
  if (!complete) {
    query = query.where((eb) =>
      eb.or([eb('applied_generation', '<', eb.ref('generation')), eb('wanted', '=', 'absent')]),
    )
  }
  return (await query.execute()) as unknown as Row<T>[]
}

function groupBy<R extends { readonly instance_id: string }>(rows: readonly R[]): Map<string, R[]> {
  const groups = new Map<string, R[]>()
  for (const row of rows) {
    const group = groups.get(row.instance_id)
    if (group === undefined) groups.set(row.instance_id, [row])
    else group.push(row)
  }
  return groups
}

function openAccount(secrets: Secrets, row: Row<'instance_accounts'>): AccountSpec {
  return {
    username: row.username,
    secret: openPassword(secrets, row),
    enabled: row.account_status === 'ENABLE',
    kind: row.account_type === 'DEFAULT' ? 'default' : 'custom',
  }
}

async function carryOut({ tx, cause, record }: ChangeContext, write: Write): Promise<void> {
  const { instanceId } = write
  switch (write.write) {
    case 'applied':
      return recordApplied(tx, write)
    case 'adopt': {
      for (const name of write.names) {
        if ((await findConsumerGroupRow(tx, instanceId, name)) !== undefined) continue
        await insertConsumerGroup(tx, groupMadeByUse(instanceId, name, cause.at))
        await record(`${resourceOf(instanceId)}/consumergroup/${name}`, { madeByUse: true })
      }
      return touchInstance(tx, instanceId)
    }
    case 'failure':
      await tx.updateTable('instances').set({ failure: write.failure }).where('instance_id', '=', instanceId).execute()
      return
    case 'release': {
      // A renewal may have moved the release while the loop was deciding; then nothing happens.
      const { numUpdatedRows } = await tx
        .updateTable('instances')
        .set((eb) => ({ wanted: 'absent', generation: eb('generation', '+', 1), revision: eb('revision', '+', 1) }))
        .where('instance_id', '=', instanceId)
        .where('wanted', '=', 'present')
        .where('release_time_ms', '<=', cause.at)
        .executeTakeFirst()
      if (Number(numUpdatedRows) > 0) await record(resourceOf(instanceId), { released: true })
      return
    }
    case 'forget': {
      const row = await tx
        .selectFrom('instances')
        .select(['instance_id', 'vpc_port', 'internet_port'])
        .where('instance_id', '=', instanceId)
        .where('wanted', '=', 'absent')
        .executeTakeFirst()
      if (row === undefined) return
      await restPorts(
        tx,
        [row.vpc_port, row.internet_port].filter((port) => port !== null),
        cause.at,
      )
      for (const table of [
        'topics',
        'consumer_groups',
        'offset_resets',
        'instance_grants',
        'instance_accounts',
      ] as const) {
        await tx.deleteFrom(table).where('instance_id', '=', instanceId).execute()
      }
      await tx.deleteFrom('tags').where('resource_id', '=', instanceId).execute()
      await tx.deleteFrom('instances').where('instance_id', '=', instanceId).execute()
      await record(resourceOf(instanceId), { [forgotten]: true })
      return
    }
  }
}

/** As the broker made it (broker/core/consumer-groups.ts, `defaultGroup`), so that ensuring it changes nothing for its clients. */
const groupMadeByUse = (
  instanceId: InstanceId,
  consumerGroupId: ConsumerGroupId,
  at: number,
): NewRow<'consumer_groups'> => ({
  instance_id: instanceId,
  consumer_group_id: consumerGroupId,
  delivery_order_type: 'Concurrently',
  consume_retry_policy_json: asDocument({ retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: defaultMaxRetryTimes }),
  max_receive_tps: null,
  remark: null,
  message_model: null,
  topic_name: null,
  exclusive: 0,
  made_by_use: 1,
  create_time_ms: at,
  update_time_ms: at,
  wanted: 'present',
  generation: 1,
  applied_generation: 0,
})

async function restPorts(tx: Writer, ports: readonly number[], at: number): Promise<void> {
  if (ports.length === 0) return
  await tx
    .insertInto('resting_ports')
    .values(ports.map((port) => ({ port, since_ms: at })))
    .onConflict((conflict) => conflict.column('port').doUpdateSet({ since_ms: at }))
    .execute()
}

async function recordApplied(tx: Writer, applied: Applied): Promise<void> {
  const { instanceId } = applied
  const ports = [applied.ports.vpc, applied.ports.internet].filter((port) => port !== null)
  if (ports.length > 0) await tx.deleteFrom('resting_ports').where('port', 'in', ports).execute()
  await tx
    .updateTable('instances')
    .set({
      applied_generation: applied.generation,
      applied_revision: applied.revision,
      failure: null,
      vpc_port: applied.ports.vpc,
      internet_port: applied.ports.internet,
    })
    .where('instance_id', '=', instanceId)
    .execute()
  await forgetResets(
    tx,
    instanceId,
    applied.resets.map(({ resetId }) => resetId),
  )
  for (const [table, key, list, gone] of [
    ['topics', 'topic_name', applied.topics, applied.goneTopics],
    ['consumer_groups', 'consumer_group_id', applied.groups, applied.goneGroups],
  ] as const) {
    for (const [generation, names] of byGeneration(list)) {
      await tx
        .updateTable(table as 'topics')
        .set({ applied_generation: generation })
        .where('instance_id', '=', instanceId)
        .where('generation', '=', generation)
        .where('wanted', '=', 'present')
        .where(key as 'topic_name', 'in', names)
        .execute()
    }
    for (const [generation, names] of byGeneration(gone)) {
      await tx
        .deleteFrom(table as 'topics')
        .where('instance_id', '=', instanceId)
        .where('generation', '=', generation)
        .where('wanted', '=', 'absent')
        .where(key as 'topic_name', 'in', names)
        .execute()
    }
  }
}

/** By its id: one that was wanted meanwhile for the same group and topic stays. */
async function forgetResets(tx: Writer, instanceId: InstanceId, resetIds: readonly string[]): Promise<void> {
  for (let from = 0; from < resetIds.length; from += maxNames) {
    await tx
      .deleteFrom('offset_resets')
      .where('instance_id', '=', instanceId)
      .where('reset_id', 'in', resetIds.slice(from, from + maxNames))
      .execute()
  }
}

function* byGeneration(list: readonly Versioned[]): Generator<[number, string[]]> {
  const groups = new Map<number, string[]>()
  for (const { name, generation } of list) {
    const names = groups.get(generation)
    if (names === undefined) groups.set(generation, [name])
    else names.push(name)
  }
  for (const [generation, names] of groups) {
    for (let from = 0; from < names.length; from += maxNames) yield [generation, names.slice(from, from + maxNames)]
  }
}

/** Names in one statement; databases limit the parameters of a statement. */
const maxNames = 500
