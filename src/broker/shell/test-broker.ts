/**
 * A broker over a simulated clock and disk for the tests of the shell's modules, with the calls that most of them make.
 *
 * `useBroker()` in a test file gives each of its tests a new one, with a topic `topic` that `group` reads, and checks at the
 * end that nothing was reported except what the test removed from `reported`.
 */

import { afterEach, beforeEach, expect } from 'vitest'
import type { ConsumerGroupId, TopicName } from '../../model/ids.ts'
import type { GroupSpec } from '../../model/instances.ts'
import type { Disk } from '../../world/disk.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import type { BrokerSettings, Delivery, HandleOutcome, ReceiveRequest, SendReceipt } from '../broker.ts'
import type { TermSources } from '../core/lookup-terms.ts'
import { openLog } from '../log/log.ts'
import { openQueueIndex, type PersistentQueueIndex } from '../log/queue-index.ts'
import type { BrokerShell } from './broker-shell.ts'
import { openShell } from './open.ts'

export const SECOND = 1_000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE

export let clock: SimulatedClock
export let disk: SimulatedDisk
export let random: SimulatedRandom
export let broker: BrokerShell
export let settings: BrokerSettings
export let reported: unknown[]
let messages: number

export function useBroker(): void {
  beforeEach(async () => {
    clock = new SimulatedClock()
    random = new SimulatedRandom(1)
    disk = new SimulatedDisk({ random })
    settings = { retentionMs: 72 * HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 40 * 24 * HOUR }
    reported = []
    messages = 0
    await open()
    await broker.administration.ensureTopics([topicSpec('topic')])
    await ensureGroup({})
    await subscribe()
  })

  afterEach(async () => {
    await broker.close()
    expect(reported).toEqual([])
  })
}

/** For the next opening, or to configure the broker with. */
export function changeSettings(changes: Partial<BrokerSettings>): void {
  settings = { ...settings, ...changes }
}

export const files = async (): Promise<string[]> => (await disk.list('/instance')).sort()

export interface Place {
  readonly directory?: string
  readonly cipherKey?: Uint8Array
  readonly segmentBytes?: number
  readonly disk?: Disk
  readonly keysIn?: TermSources['keysIn']
  readonly lookupTableEntries?: number
}

export async function open({ disk: seen = disk.boot(), ...place }: Place = {}): Promise<void> {
  const report = (error: unknown) => void reported.push(error)
  broker = await openShell({
    world: { clock, random, disk: seen },
    directory: '/instance',
    settings,
    report,
    // Not of the world's chance: its seeds are chosen for what a power cut takes in them.
    handleKey: new Uint8Array(16).fill(messages + 1),
    ...place,
  })
}

export async function restart({ killed = false, ...place }: Place & { killed?: boolean } = {}): Promise<void> {
  const old = broker
  if (!killed) await old.close()
  await open(place)
}

/** Of the record with this body one bit is lost while the broker is down. */
export async function damage(body: string): Promise<void> {
  await broker.close()
  const bytes = Buffer.from(disk.contentOf('/instance/0000001.segment')!)
  bytes[bytes.indexOf(body)]! ^= 1
  disk.plant('/instance/0000001.segment', bytes)
  await open()
}

export function gate() {
  const waiting: Array<() => void> = []
  let isOpen = true
  return {
    close() {
      isOpen = false
    },
    open() {
      isOpen = true
      for (const go of waiting.splice(0)) go()
    },
    passed: () => new Promise<void>((resolve) => (isOpen ? resolve() : waiting.push(resolve))),
  }
}

export function topicSpec(topicName: TopicName) {
  return { topicName, generation: 1, messageType: 'NORMAL' as const, maxSendTps: null }
}

export async function ensureGroup(changes: Partial<GroupSpec>): Promise<void> {
  const spec: GroupSpec = {
    consumerGroupId: 'group',
    generation: 1,
    orderly: false,
    maxRetryTimes: 16,
    retry: { kind: 'default' },
    deadLetterTopic: null,
    maxReceiveTps: null,
    ...changes,
  }
  await broker.administration.ensureGroups([spec])
}

/** From here on the group reads the topic. */
export async function subscribe(changes: Partial<ReceiveRequest> = {}): Promise<void> {
  expect(await receive(changes)).toEqual([])
}

export async function send(tag: string | null = 'tag', body = 'body'): Promise<SendReceipt[]> {
  return broker.producing.send({ topic: 'topic', messages: [message(tag, body)] })
}

export async function sendMany(count: number, tag = 'tag'): Promise<SendReceipt[]> {
  const receipts: SendReceipt[] = []
  for (let left = count; left > 0; left -= 1_000)
    receipts.push(
      ...(await broker.producing.send({
        topic: 'topic',
        messages: Array.from({ length: Math.min(left, 1_000) }, () => message(tag, 'body')),
      })),
    )
  return receipts
}

export function message(tag: string | null, body: string) {
  const payload = Buffer.from(body)
  return { messageId: `M${String(messages++).padStart(5, '0')}`, tag, payload, bodyBytes: payload.length }
}

export function want(changes: Partial<ReceiveRequest>): ReceiveRequest {
  return {
    group: 'group',
    topic: 'topic',
    filter: null,
    max: 32,
    waitMs: 0,
    invisibleMs: 30_000,
    autoRenew: false,
    clientId: 'client',
    ...changes,
  }
}

export function receive(changes: Partial<ReceiveRequest> = {}): Promise<Delivery[]> {
  return broker.consuming.receive(want(changes), new AbortController().signal)
}

export async function ack(
  delivery: Delivery,
  where: { group?: ConsumerGroupId } = {},
): Promise<HandleOutcome['outcome']> {
  const request = { group: 'group', topic: 'topic', clientId: 'client', ...where }
  const [answer] = await broker.consuming.ack({ ...request, handles: [delivery.handle] })
  return answer!.outcome
}

export function change(delivery: Delivery, invisibleMs: number) {
  const { handle } = delivery
  return broker.consuming.changeInvisible({ group: 'group', topic: 'topic', clientId: 'client', handle, invisibleMs })
}

/** As a protocol does with what it sent to no client. */
export function returnAll(deliveries: readonly Delivery[], delayMs: number, where: { group?: ConsumerGroupId } = {}) {
  const handles = deliveries.map(({ handle }) => handle)
  return broker.consuming.returnDeliveries({ group: 'group', topic: 'topic', ...where, handles, delayMs })
}

export function forward(
  { handle, messageId }: Pick<Delivery, 'handle' | 'messageId'>,
  clientId = 'client',
): Promise<void> {
  return broker.consuming.forwardToDeadLetter({ group: 'group', topic: 'topic', handle, messageId, clientId })
}

export async function hearFor(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 30_000) {
    broker.consuming.clientAlive('client')
    await clock.advance(Math.min(left, 30_000))
  }
  broker.consuming.clientAlive('client')
}

export async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  promise.then(
    () => (done = true),
    () => (done = true),
  )
  await settle()
  return done
}

export function text(delivery: Delivery): string {
  return Buffer.from(delivery.payload).toString()
}

/** What every index does, to listen to or to replace in the broker's own. */
export async function anyIndex(): Promise<PersistentQueueIndex> {
  const world = { disk: new SimulatedDisk({ random: new SimulatedRandom(1) }), clock: new SimulatedClock() }
  const { log } = await openLog({ ...world, random: new SimulatedRandom(1), directory: '/elsewhere' })
  const { index } = await openQueueIndex({ ...world, directory: '/elsewhere', log, cipher: null, decode: () => [] })
  return Object.getPrototypeOf(index)
}
