/**
 * A loop for tests: a real ledger in a temporary folder, an engine in memory, a clock that the test moves, and a
 * fault that kills the loop at a chosen step. The changes below are written as the
 * handlers write them.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Engine } from '../../src/engines/engine.ts'
import { type Fault, SimulatedEngine, type SimulatedEngineOptions } from '../../src/engines/simulated/engine.ts'
import { deleteAccount, insertAccount } from '../../src/ledger/accounts.ts'
import { insertGrant } from '../../src/ledger/grants.ts'
import {
  changeInstance,
  findInstance,
  insertInstance,
  touchInstance,
  unwantInstance,
} from '../../src/ledger/instances.ts'
import type { ChangeContext, Ledger } from '../../src/ledger/ledger.ts'
import { wantOffsetReset } from '../../src/ledger/offset-resets.ts'
import { openLedger } from '../../src/ledger/open.ts'
import type { Row } from '../../src/ledger/schema.ts'
import { findTopicRow, insertTopic, updateTopic } from '../../src/ledger/topics.ts'
import { createPortSource } from '../../src/lifecycle/ports.ts'
import { createReconciler, type InstanceFailure, type Reconciler } from '../../src/lifecycle/reconciler.ts'
import { createdAgain } from '../../src/lifecycle/status.ts'
import type { InstanceSpec } from '../../src/model/instances.ts'
import { SimulatedClock, SimulatedRandom } from '../../src/world/simulated.ts'
import type { LedgerPlace } from '../support/ledger.ts'

export const minute = 60_000
export const day = 24 * 60 * minute
const regionId = 'cn-hangzhou'

export interface Bench {
  readonly clock: SimulatedClock
  readonly engine: SimulatedEngine
  readonly ledger: Ledger
  readonly failures: InstanceFailure[]
  readonly log: string[]
  /** Ports other programs listen on. */
  readonly busyPorts: Set<number>
  /** A loop over this ledger and engine, not started. `fuse` kills it; a new one takes over with `startLoop`. */
  makeLoop(fuse?: Fuse, options?: { readonly concurrency?: number }): Reconciler
  startLoop(fuse?: Fuse): Promise<Reconciler>
  want(work: (context: ChangeContext) => Promise<unknown>): Promise<void>
  /** How many transactions the ledger has committed. */
  changes(): number
  close(): Promise<void>
}

export async function makeBench(
  engineOptions: Omit<SimulatedEngineOptions, 'clock'> = {},
  seed = 1,
  place: LedgerPlace | null = null,
): Promise<Bench> {
  const home = place?.home ?? (await mkdtemp(path.join(tmpdir(), 'gantry-loop-')))
  const clock = new SimulatedClock()
  const random = new SimulatedRandom(seed)
  const quiet = { info: () => {}, warn: () => {}, error: () => {} }
  const world = { clock, random }
  const opened = await (place?.open({ world }) ?? openLedger({ home, databaseUrl: null, world, log: quiet }))
  let changes = 0
  const ledger: Ledger = {
    dialect: opened.dialect,
    read: opened.read,
    secrets: opened.secrets,
    change: async (cause, work) => {
      const result = await opened.change(cause, work)
      changes += 1
      return result
    },
    close: () => opened.close(),
  }
  const engine = new SimulatedEngine({ clock, ...engineOptions })
  const failures: InstanceFailure[] = []
  const log: string[] = []
  const busyPorts = new Set<number>()
  const note = (_: object, text: string): void => void log.push(text)

  const makeLoop: Bench['makeLoop'] = (fuse, options) =>
    createReconciler({
      ledger: fuse === undefined ? ledger : fuse.overLedger(ledger),
      engine: fuse === undefined ? engine : fuse.overEngine(engine),
      world,
      log: { info: note, warn: note, error: note },
      ports: createPortSource({ base: 7801, host: '127.0.0.1', isFree: async (port) => !busyPorts.has(port) }),
      listenHost: '127.0.0.1',
      onFailure: (failure) => failures.push(failure),
      ...options,
    })

  return {
    clock,
    engine,
    ledger,
    failures,
    log,
    busyPorts,
    makeLoop,
    startLoop: async (fuse) => {
      const loop = makeLoop(fuse)
      await loop.start()
      return loop
    },
    want: (work) =>
      ledger.change(
        { at: clock.now(), requestId: 'REQUEST', principal: 'tester', action: 'Change' },
        async (context) => {
          await work(context)
        },
      ),
    changes: () => changes,
    close: async () => {
      await opened.close()
      await rm(home, { recursive: true, force: true })
    },
  }
}

/**
 * Kills a loop: from the chosen point on, its calls to engine and ledger have no effect and never
 * return, as in a process that is gone. Points are counted from `arm`.
 */
export class Fuse {
  readonly points: string[] = []
  #blowAt: { readonly point: number; readonly when: Fault } | null = null
  #armed = false
  #dead = false
  #blown: () => void = () => {}
  readonly blown: Promise<void> = new Promise((resolve) => {
    this.#blown = resolve
  })

  /** Without a point it only counts. */
  arm(blowAt: { readonly point: number; readonly when: Fault } | null): void {
    this.#armed = true
    this.#blowAt = blowAt
  }

  get isDead(): boolean {
    return this.#dead
  }

  overLedger(ledger: Ledger): Ledger {
    return {
      dialect: ledger.dialect,
      read: ledger.read,
      secrets: ledger.secrets,
      change: (cause, work) => this.#pass('ledger.change', () => ledger.change(cause, work)),
      close: () => ledger.close(),
    }
  }

  overEngine(engine: SimulatedEngine): Engine {
    const half = (method: string) =>
      (engine as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[method]!
    const wrapped = Object.fromEntries(
      [
        'observe',
        'observeInstance',
        'ensureInstance',
        'removeInstance',
        'ensureTopics',
        'removeTopic',
        'ensureGroups',
        'removeGroup',
        'resetOffsets',
      ].map((method) => [
        method,
        (...args: unknown[]) =>
          this.#pass(
            `engine.${method}`,
            () => half(method).apply(engine, args),
            () => engine.breakOff(() => half(method).apply(engine, args)),
          ),
      ]),
    )
    return {
      ...wrapped,
      name: engine.name,
      capabilities: engine.capabilities,
      start: () => engine.start(),
      stop: () => engine.stop(),
      ask: engine.ask,
      onChange: (listener: (instanceId: string | null) => void) =>
        engine.onChange((instanceId) => {
          if (!this.#dead) listener(instanceId)
        }),
    } as unknown as Engine
  }

  async #pass<T>(name: string, call: () => Promise<T>, midway: () => Promise<unknown> = call): Promise<T> {
    if (this.#dead) return new Promise<never>(() => {})
    if (!this.#armed) return call()
    const point = this.points.length
    this.points.push(name)
    if (this.#blowAt?.point !== point) return call()
    this.#dead = true
    if (this.#blowAt.when === 'midway') await midway().catch(() => {})
    if (this.#blowAt.when === 'after') await call()
    this.#blown()
    return new Promise<never>(() => {})
  }
}

// Changes, as the handlers write them

export function addInstance(
  bench: Bench,
  instanceId: string,
  more: {
    readonly expireInMs?: number
    /** From expiry to release; the product's is seven days. */
    readonly graceMs?: number
    readonly public?: boolean
    readonly topics?: readonly string[]
  } = {},
): Promise<void> {
  const at = bench.clock.now()
  const expire = at + (more.expireInMs ?? 36_500 * day)
  return bench.want(async ({ tx }) => {
    await insertInstance(tx, {
      instance_id: instanceId,
      region_id: regionId,
      instance_name: instanceId,
      remark: null,
      service_code: 'rmq',
      series_code: 'standard',
      sub_series_code: 'cluster_ha',
      payment_type: more.expireInMs === undefined ? 'PayAsYouGo' : 'Subscription',
      commodity_code: 'ons_rmqpost_public_cn',
      resource_group_id: 'rg-default',
      product_info_json: JSON.stringify({
        msgProcessSpec: 'rmq.s2.2xlarge',
        sendReceiveRatio: 0.5,
        messageRetentionTime: 72,
      }),
      network_info_json: JSON.stringify({
        vpcInfo: { vpcId: 'vpc-1' },
        internetInfo: more.public
          ? { internetSpec: 'enable', flowOutType: 'payByTraffic' }
          : { internetSpec: 'disable' },
      }),
      acl_info_json: '{"aclTypes":["default"]}',
      billing_json: '{}',
      maintain_time: '02:00-06:00',
      create_time_ms: at,
      update_time_ms: at,
      start_time_ms: at,
      expire_time_ms: expire,
      release_time_ms: expire + (more.graceMs ?? 7 * day),
      wanted: 'present',
      generation: 1,
      revision: 1,
      vpc_port: null,
      internet_port: null,
      applied_generation: 0,
      applied_revision: 0,
      failure: null,
    })
    await insertAccount(tx, bench.ledger.secrets, {
      instance_id: instanceId,
      username: 'user000000000001',
      password: `secret of ${instanceId}`,
      account_type: 'DEFAULT',
      account_status: 'ENABLE',
      remark: null,
      create_time_ms: at,
      update_time_ms: at,
    })
    for (const topicName of more.topics ?? []) await insertTopic(tx, topicRow(instanceId, topicName, at))
  })
}

/** A custom account with one grant, or none of the two any more. */
export function changeAccount(bench: Bench, instanceId: string, username: string, wanted: 'present' | 'absent') {
  const at = bench.clock.now()
  return bench.want(async ({ tx }) => {
    const row = await findInstance(tx, regionId, instanceId)
    if (row === undefined) throw new Error(`No instance ${instanceId}.`)
    await changeInstance(tx, row, {}, { at, specification: true })
    if (wanted === 'absent') return deleteAccount(tx, { instance_id: instanceId, username })
    await insertAccount(tx, bench.ledger.secrets, {
      ...{ instance_id: instanceId, username, password: `secret of ${username}` },
      ...{ account_type: 'CUSTOMER', account_status: 'ENABLE', remark: null, create_time_ms: at, update_time_ms: at },
    })
    await insertGrant(tx, {
      ...{ instance_id: instanceId, username, resource_type: 'Topic', resource_name: 'orders' },
      ...{ actions_json: '["Pub|Sub"]', decision: 'Allow', ip_whitelists_json: '["10.0.0.0/8"]' },
      ...{ create_time_ms: at, update_time_ms: at },
    })
  })
}

export function changeRetention(bench: Bench, instanceId: string, hours: number): Promise<void> {
  return bench.want(({ tx }) =>
    tx
      .updateTable('instances')
      .set((eb) => ({
        product_info_json: JSON.stringify({ msgProcessSpec: 'rmq.s2.2xlarge', messageRetentionTime: hours }),
        generation: eb('generation', '+', 1),
        revision: eb('revision', '+', 1),
      }))
      .where('instance_id', '=', instanceId)
      .execute(),
  )
}

/** As a renewal does. */
export function moveExpiry(bench: Bench, instanceId: string, expireInMs: number): Promise<void> {
  const expire = bench.clock.now() + expireInMs
  return bench.want(({ tx }) =>
    tx
      .updateTable('instances')
      .set((eb) => ({
        expire_time_ms: expire,
        release_time_ms: expire + 7 * day,
        generation: eb('generation', '+', 1),
        revision: eb('revision', '+', 1),
      }))
      .where('instance_id', '=', instanceId)
      .execute(),
  )
}

export function dropInstance(bench: Bench, instanceId: string): Promise<void> {
  return bench.want(async ({ tx, cause }) => {
    const row = await findInstance(tx, regionId, instanceId)
    if (row?.wanted === 'present') await unwantInstance(tx, row, cause.at)
  })
}

export function addTopic(bench: Bench, instanceId: string, topicName: string): Promise<void> {
  return bench.want(async ({ tx, cause }) => {
    const row = await findTopicRow(tx, instanceId, topicName)
    if (row === undefined) await insertTopic(tx, topicRow(instanceId, topicName, cause.at))
    else if (row.wanted === 'absent') await updateTopic(tx, row, createdAgain(row))
    else await updateTopic(tx, row, { generation: row.generation + 1, max_send_tps: row.generation })
    await touchInstance(tx, instanceId)
  })
}

export function dropTopic(bench: Bench, instanceId: string, topicName: string): Promise<void> {
  return bench.want(async ({ tx }) => {
    const row = await findTopicRow(tx, instanceId, topicName)
    if (row?.wanted !== 'present') return
    await updateTopic(tx, row, { wanted: 'absent', generation: row.generation + 1 })
    await touchInstance(tx, instanceId)
  })
}

export function addGroup(bench: Bench, instanceId: string, consumerGroupId: string): Promise<void> {
  return bench.want(async ({ tx, cause }) => {
    await tx
      .insertInto('consumer_groups')
      .values({
        instance_id: instanceId,
        consumer_group_id: consumerGroupId,
        delivery_order_type: 'Concurrently',
        consume_retry_policy_json: JSON.stringify({ retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 16 }),
        max_receive_tps: null,
        remark: null,
        message_model: null,
        topic_name: null,
        create_time_ms: cause.at,
        update_time_ms: cause.at,
        wanted: 'present',
        generation: 1,
        applied_generation: 0,
      })
      .execute()
    await touchInstance(tx, instanceId)
  })
}

export function dropGroup(bench: Bench, instanceId: string, consumerGroupId: string): Promise<void> {
  return bench.want(async ({ tx }) => {
    await tx
      .updateTable('consumer_groups')
      .set((eb) => ({ wanted: 'absent', generation: eb('generation', '+', 1) }))
      .where('instance_id', '=', instanceId)
      .where('consumer_group_id', '=', consumerGroupId)
      .execute()
    await touchInstance(tx, instanceId)
  })
}

/** As ResetConsumeOffset does; to the end, or to a time. */
export function wantReset(
  bench: Bench,
  instanceId: string,
  topicName: string,
  consumerGroupId: string,
  toMs: number | null = null,
): Promise<void> {
  return bench.want(async ({ tx, cause }) => {
    await wantOffsetReset(tx, {
      instance_id: instanceId,
      consumer_group_id: consumerGroupId,
      topic_name: topicName,
      reset_id: `reset ${topicName} for ${consumerGroupId} to ${toMs ?? 'the end'}`,
      to_ms: toMs,
      create_time_ms: cause.at,
    })
    await touchInstance(tx, instanceId)
  })
}

function topicRow(instanceId: string, topicName: string, at: number): Row<'topics'> {
  return {
    instance_id: instanceId,
    topic_name: topicName,
    message_type: 'NORMAL',
    remark: null,
    max_send_tps: null,
    lite_topic_expiration: null,
    create_time_ms: at,
    update_time_ms: at,
    wanted: 'present',
    generation: 1,
    applied_generation: 0,
  }
}

// What is, as text

/** Accounts that were made beside the default one, each with what it was granted. */
function customAccess(spec: InstanceSpec | null): string[] {
  const custom = (spec?.accounts ?? []).filter(({ kind }) => kind === 'custom')
  return custom.map(({ username }) => {
    const grants = spec!.grants.filter((grant) => grant.username === username)
    return [`account ${username}`, ...grants.map(({ resourceName }) => `granted ${resourceName}`)].join(' ')
  })
}

/** One line per instance of the ledger and of the engine. */
export async function transcript(bench: Bench): Promise<{ ledger: string[]; engine: string[] }> {
  const { read } = bench.ledger
  const instances = await read.selectFrom('instances').selectAll().orderBy('instance_id').execute()
  const topics = await read.selectFrom('topics').selectAll().orderBy('topic_name').execute()
  const groups = await read.selectFrom('consumer_groups').selectAll().orderBy('consumer_group_id').execute()
  const resets = await read.selectFrom('offset_resets').selectAll().orderBy('reset_id').execute()
  const ledger = instances.map((row) => {
    const mine = <R extends { instance_id: string }>(rows: R[]): R[] =>
      rows.filter(({ instance_id }) => instance_id === row.instance_id)
    return [
      `${row.instance_id} ${row.wanted} ${row.applied_generation}/${row.generation}`,
      row.applied_revision === row.revision ? 'settled' : 'pending',
      `vpc ${row.vpc_port}`,
      ...(row.internet_port === null ? [] : [`internet ${row.internet_port}`]),
      ...(row.failure === null ? [] : [`failure: ${row.failure}`]),
      ...mine(topics).map((one) => `topic ${one.topic_name} ${one.wanted} ${one.applied_generation}/${one.generation}`),
      ...mine(groups).map(
        (one) => `group ${one.consumer_group_id} ${one.wanted} ${one.applied_generation}/${one.generation}`,
      ),
      ...mine(resets).map((one) => one.reset_id),
    ].join(', ')
  })
  const engine = bench.engine.heldIds().map((instanceId) => {
    const held = bench.engine.held(instanceId)!
    return [
      `${instanceId} ${held.state} @${held.spec?.generation ?? 0}`,
      ...(held.spec?.listen ?? []).map(({ kind, port }) => `${kind} ${port}`),
      ...[...held.topics.values()].map((one) => `topic ${one.topicName}@${one.generation}`).sort(),
      ...[...held.groups.values()].map((one) => `group ${one.consumerGroupId}@${one.generation}`).sort(),
      ...held.resets.map(({ resetId }) => resetId),
      ...customAccess(held.spec),
    ].join(', ')
  })
  return { ledger, engine }
}
