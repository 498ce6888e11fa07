/**
 * No input within the limits holds the event loop longer than 50 ms: the worst inputs, one after the other, each at the
 * limit that the broker sets, and what the longest turn of the loop did while it was worked on.
 *
 * Work is counted (test/support/work-counter.ts) and has a price, and the broker's clock goes by it: the turn budget counts as it would
 * count time, and the outcome is the same on every machine, under any load. What the price leaves out (garbage collection, copying,
 * checksums) is measured by `npm run bench -- turns`.
 */
import { setMaxListeners } from 'node:events'
import { beforeAll, describe, expect, it } from 'vitest'
import type { ReceiveRequest } from '../../src/broker/broker.ts'
import type { encodeStored as EncodeStored } from '../../src/broker/messages/stored-message.ts'
import type { parseFilter as ParseFilter } from '../../src/broker/protocols/grpc/consumer/filter.ts'
import type { openShell as OpenShell } from '../../src/broker/shell/open.ts'
import type { GroupSpec, TopicSpec } from '../../src/model/instances.ts'
import type { DiskFile, Disk as WorldDisk } from '../../src/world/disk.ts'
import type { SimulatedClock as Clock, SimulatedRandom as Random } from '../../src/world/simulated.ts'
import type { SimulatedDisk as Disk } from '../../src/world/simulated-disk.ts'
import { importCounted } from '../support/work-counter.ts'

const HOUR = 3_600_000
const limitMs = 50
/** What a unit of work costs at most, garbage collection included: 20 to 45 ns of CPU where nearly all is counted. */
const unitMs = 75 / 1e6

interface Counted {
  readonly openShell: typeof OpenShell
  readonly SimulatedClock: typeof Clock
  readonly SimulatedRandom: typeof Random
  readonly SimulatedDisk: typeof Disk
  readonly parseFilter: typeof ParseFilter
  readonly encodeStored: typeof EncodeStored
  workDone(): number
}

let counted: Counted
/** What each input took, for the price. */
const spent: Array<{ readonly cpuMs: number; readonly units: number }> = []

beforeAll(async () => {
  counted = (await importCounted(
    `
    export { openShell } from './src/broker/shell/open.ts'
    export { SimulatedClock, SimulatedRandom } from './src/world/simulated.ts'
    export { SimulatedDisk } from './src/world/simulated-disk.ts'
    export { parseFilter } from './src/broker/protocols/grpc/consumer/filter.ts'
    export { encodeStored } from './src/broker/messages/stored-message.ts'
    `,
    ['src/world/', 'src/grpc/gen/'],
  )) as unknown as Counted
})
const never = new AbortController().signal
setMaxListeners(0, never)

/** What a protocol does for an answer with its first message, and for each further one: 150 µs and 15 µs of CPU. */
const answerUnits = 2_000
const messageUnits = 200

class Scene {
  readonly clock: Clock
  readonly #random: Random
  readonly #disk: Disk
  broker!: Awaited<ReturnType<typeof OpenShell>>
  #messages = 0
  /** Units of work that answers cost. */
  #answered = 0
  #synced: Promise<void> = Promise.resolve()

  constructor() {
    const { SimulatedClock, SimulatedRandom, SimulatedDisk, workDone } = counted
    const scene = this
    this.clock = new (class extends SimulatedClock {
      override monotonic(): number {
        return super.monotonic() + (workDone() + scene.#answered) * unitMs
      }
    })()
    this.#random = new SimulatedRandom(1)
    this.#disk = new SimulatedDisk({ random: this.#random })
  }

  #work(): number {
    return counted.workDone() + this.#answered
  }

  /** As `receive`, and what its answer costs is counted. */
  async answered(changes: Partial<ReceiveRequest>): Promise<number> {
    const { length } = await this.receive(changes)
    this.#answered += answerUnits + length * messageUnits
    return length
  }

  /** Until `release`, what is written is not durable. */
  holdSyncs(): { release(): void } {
    let release = () => {}
    this.#synced = new Promise((resolve) => {
      release = resolve
    })
    return { release }
  }

  async open(): Promise<void> {
    this.broker = await this.during(
      counted.openShell({
        world: { clock: this.clock, random: this.#random, disk: inLaterTurns(this.#disk.boot(), () => this.#synced) },
        directory: '/instance',
        settings: { retentionMs: 72 * HOUR, sendTps: 1e12, receiveTps: 1e12, maxDelayMs: 24 * HOUR },
        report: (error) => {
          throw error
        },
      }),
    )
  }

  /** What is counted is what lies between two turns of the loop. */
  async measure(work: () => Promise<unknown>): Promise<number> {
    let longest = 0
    let before = this.#work()
    const began = before
    let isOver = false
    const turn = () => {
      const now = this.#work()
      longest = Math.max(longest, now - before)
      before = now
      if (!isOver) setImmediate(turn)
    }
    setImmediate(turn)
    const answered = this.#answered
    const cpu = process.cpuUsage()
    await this.during(work())
    isOver = true
    turn()
    const { user, system } = process.cpuUsage(cpu)
    spent.push({ cpuMs: (user + system) / 1_000, units: before - began - (this.#answered - answered) })
    return longest * unitMs
  }

  async during<T>(work: Promise<T>): Promise<T> {
    let isDone = false
    work.finally(() => (isDone = true)).catch(() => {})
    while (!isDone) await this.clock.advance(1)
    return work
  }

  receive(changes: Partial<ReceiveRequest>) {
    const request = {
      ...{ group: 'group', topic: 'topic', filter: null, max: 1_024, waitMs: 0, invisibleMs: 60_000 },
      ...{ autoRenew: false, clientId: 'client', ...changes },
    }
    return this.broker.consuming.receive(request, never)
  }

  async fill(
    topicName: string,
    count: number,
    payload: Uint8Array = small,
    more: (i: number) => object = () => ({}),
  ): Promise<void> {
    for (let from = 0; from < count; from += 1_000)
      await this.during(
        this.broker.producing.send({
          topic: topicName,
          messages: Array.from({ length: Math.min(1_000, count - from) }, (_, i) => {
            const messageId = (this.#messages++).toString(16).padStart(34, '0')
            return { messageId, tag: null, payload, bodyBytes: 10, ...more(from + i) }
          }),
        }),
      )
  }

  /** Messages delivered to as many groups as are needed, none of them acknowledged; the first group's handles. */
  async deliveries(
    count: number,
    changes: Partial<GroupSpec> = {},
    asked: Partial<ReceiveRequest> = {},
  ): Promise<string[]> {
    const each = Math.min(count, 100_000)
    const groups = Array.from({ length: Math.ceil(count / each) }, (_, i) => `group-${i}`)
    await this.during(this.broker.administration.ensureTopics([topic('topic')]))
    await this.during(this.broker.administration.ensureGroups(groups.map((name) => ({ ...group(name), ...changes }))))
    for (const name of groups) await this.during(this.receive({ group: name }))
    await this.fill('topic', each)
    const handles: string[] = []
    for (const name of groups)
      for (let got = 0; got < each; ) {
        const some = await this.during(this.receive({ group: name, invisibleMs: HOUR, ...asked }))
        got += some.length
        if (name === groups[0]) for (const { handle } of some) handles.push(handle)
      }
    return handles
  }

  async liteTopics(count: number): Promise<void> {
    await this.during(this.broker.administration.ensureTopics([{ ...topic('lites', 'LITE'), liteExpirationMs: null }]))
    await this.during(
      this.broker.administration.ensureGroups([
        { ...group('lite'), orderly: true, lite: { topicName: 'lites', exclusive: false } },
      ]),
    )
    await this.fill('lites', count, small, (i) => ({ liteTopic: `lite-${i}` }))
  }
}

const anotherTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** As a real disk, which answers in a later turn of the event loop; what is synced is durable after `synced`. */
function inLaterTurns(disk: WorldDisk, synced: () => Promise<void>): WorldDisk {
  const later = <A extends unknown[], T>(run: (...args: A) => Promise<T>) => {
    return async (...args: A): Promise<T> => {
      await anotherTurn()
      return run(...args)
    }
  }
  const file = (opened: DiskFile): DiskFile => ({
    write: later((...args) => opened.write(...args)),
    read: later((...args) => opened.read(...args)),
    datasync: later(() => synced().then(() => opened.datasync())),
    truncate: later((sizeBytes) => opened.truncate(sizeBytes)),
    size: later(() => opened.size()),
    close: later(() => opened.close()),
  })
  return {
    open: later(async (path, mode) => file(await disk.open(path, mode))),
    list: later((directory) => disk.list(directory)),
    makeDirectory: later((directory) => disk.makeDirectory(directory)),
    unlink: later((path) => disk.unlink(path)),
    removeDirectory: later((directory) => disk.removeDirectory(directory)),
    rename: later((from, to) => disk.rename(from, to)),
    syncDirectory: later((directory) => disk.syncDirectory(directory)),
    space: later((directory) => disk.space(directory)),
  }
}

const small = Buffer.alloc(20, 7)
const topic = (topicName: string, messageType: TopicSpec['messageType'] = 'NORMAL'): TopicSpec => ({
  ...{ topicName, generation: 1, messageType, maxSendTps: null },
})
const group = (consumerGroupId: string): GroupSpec => ({
  ...{ consumerGroupId, generation: 1, orderly: false, maxRetryTimes: 16, retry: { kind: 'default' } },
  ...{ deadLetterTopic: null, maxReceiveTps: null },
})

/** What is sent is taken by receives that wait, over as many turns as that takes, before any of it is durable. */
async function afterSlowSync(scene: Scene, send: () => Promise<void>, waiting: Array<Promise<number>>): Promise<void> {
  const sync = scene.holdSyncs()
  const sent = send()
  await scene.clock.advance(500)
  sync.release()
  await sent
  expect(await Promise.all(waiting)).not.toContain(0)
}

const liteReset = { consumerGroupId: 'lite', topicName: 'lites', toMs: null, resetId: 'reset' }

describe('no turn is longer than 50 ms', () => {
  const rows: Record<string, (scene: Scene) => Promise<number>> = {
    async 'an expression of 256 comparisons over 2,000 messages with 200 properties'(scene) {
      const userProperties = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`name${i}`, '0'.repeat(70)]))
      const payload = counted.encodeStored(
        {
          systemProperties: { messageId: '0'.repeat(34), bodyEncoding: 1 },
          userProperties,
          body: Buffer.alloc(10),
        } as never,
        { messageType: 'NORMAL' } as never,
        { userName: null, storeHost: '127.0.0.1' },
        0,
      )
      await scene.during(scene.broker.administration.ensureTopics([topic('topic')]))
      await scene.during(scene.receive({}))
      await scene.fill('topic', 2_000, payload)
      const sql = Array.from({ length: 256 }, (_, i) => `name${i % 200} < ${i}`).join(' OR ')
      const filter = counted.parseFilter({ type: 2, expression: sql } as never, counted)
      return scene.measure(() => scene.receive({ filter, waitMs: 5_000 }))
    },
    async 'one send that wakes 1,000 groups beside 5,000 topics'(scene) {
      const others = Array.from({ length: 5_000 }, (_, i) => topic(`other-${i}`))
      await scene.during(scene.broker.administration.ensureTopics([topic('topic'), ...others]))
      const waiting = Array.from({ length: 1_000 }, (_, i) => scene.receive({ group: `group-${i}`, waitMs: 30_000 }))
      await scene.clock.advance(200)
      return scene.measure(async () => {
        await scene.fill('topic', 1)
        await Promise.all(waiting)
      })
    },
    async 'the ends of 10,000 receives that waited'(scene) {
      await scene.during(scene.broker.administration.ensureTopics([topic('topic')]))
      const waiting = Array.from({ length: 10_000 }, (_, i) =>
        scene.receive({ group: `group-${i % 1_000}`, waitMs: 3_000 }),
      )
      return scene.measure(() => Promise.all(waiting))
    },
    async 'opening with 200,000 deliveries under way and 100,000 lite topics'(scene) {
      await scene.deliveries(200_000)
      await scene.liteTopics(100_000)
      await scene.during(scene.broker.close())
      return scene.measure(() => scene.open())
    },
    async 'the end of 200,000 deliveries at once'(scene) {
      const until = scene.clock.now() + HOUR
      await scene.deliveries(200_000)
      return scene.measure(() => scene.clock.advance(until - scene.clock.now() + 1_000))
    },
    async 'removing a topic with 200,000 deliveries under way'(scene) {
      await scene.deliveries(200_000)
      return scene.measure(() => scene.broker.administration.removeTopic('topic'))
    },
    async 'removing a group with 100,000 deliveries under way'(scene) {
      await scene.deliveries(100_000)
      return scene.measure(() => scene.broker.administration.removeGroup('group-0'))
    },
    async 'resetting a group with 100,000 deliveries under way'(scene) {
      await scene.deliveries(100_000)
      const reset = { consumerGroupId: 'group-0', topicName: 'topic', toMs: 0, resetId: 'reset' }
      return scene.measure(() => scene.broker.offsets.reset(reset))
    },
    async 'a client that leaves with 100,000 deliveries'(scene) {
      await scene.deliveries(100_000, {}, { autoRenew: true })
      return scene.measure(async () => {
        scene.broker.consuming.clientGone('client')
        await scene.clock.advance(500)
      })
    },
    async 'an acknowledgement of 1,024 deliveries'(scene) {
      const handles = await scene.deliveries(100_000)
      return scene.measure(() =>
        scene.broker.consuming.ack({
          group: 'group-0',
          topic: 'topic',
          handles: handles.slice(0, 1_024),
          clientId: 'client',
        }),
      )
    },
    async '50,000 messages to the dead letters'(scene) {
      await scene.deliveries(50_000, { maxRetryTimes: 0 }, { invisibleMs: 10_000 })
      return scene.measure(async () => {
        while (scene.broker.inspection.usage().inflight > 0) await scene.clock.advance(100)
      })
    },
    async 'looking through 50,000 stored messages'(scene) {
      await scene.during(scene.broker.administration.ensureTopics([topic('topic')]))
      await scene.fill('topic', 50_000)
      const request = {
        topic: 'topic',
        fromMs: 0,
        untilMs: Number.MAX_SAFE_INTEGER,
        after: null,
        skip: 0,
        limit: 50_000,
      }
      return scene.measure(() => scene.broker.inspection.browse({ ...request, each: () => {} }))
    },
    async 'resetting a group in 100,000 lite topics'(scene) {
      await scene.liteTopics(100_000)
      return scene.measure(() => scene.broker.offsets.reset(liteReset))
    },
    async 'the lag of a group in 100,000 lite topics'(scene) {
      await scene.liteTopics(100_000)
      await scene.during(scene.broker.offsets.reset(liteReset))
      return scene.measure(() => scene.broker.offsets.lag('lite'))
    },
    async 'a checkpoint beside 100,000 lite topics and as many open transactions'(scene) {
      await scene.liteTopics(100_000)
      await scene.during(scene.broker.offsets.reset(liteReset))
      await scene.during(scene.broker.administration.ensureTopics([topic('transactions', 'TRANSACTION')]))
      await scene.fill('transactions', 100_000, small, () => ({ transactional: true }))
      return scene.measure(() => scene.broker.checkpoint())
    },
    async 'removing a LITE topic with 100,000 lite topics'(scene) {
      await scene.liteTopics(100_000)
      await scene.during(scene.broker.offsets.reset(liteReset))
      return scene.measure(() => scene.broker.administration.removeTopic('lites'))
    },
    async '50 clients that subscribe to 2,000 lite topics each, and receive'(scene) {
      await scene.liteTopics(100_000)
      const clients = Array.from({ length: 50 }, (_, i) => `client-${i}`)
      return scene.measure(async () => {
        const calls: Array<Promise<void>> = []
        for (const [i, clientId] of clients.entries()) {
          const liteTopics = Array.from({ length: 2_000 }, (_, j) => `lite-${i * 2_000 + j}`)
          const request = { group: 'lite', topic: 'lites', clientId, version: 1, offset: null }
          calls.push(scene.broker.lite.sync({ ...request, action: 'replace', liteTopics }))
          await anotherTurn()
        }
        await Promise.all(calls)
        for (const clientId of clients) {
          await scene.receive({ topic: 'lites', group: 'lite', clientId, max: 32 })
          await anotherTurn()
        }
      })
    },
    async 'a slow sync for which the receives of 1,000 groups wait'(scene) {
      await scene.during(scene.broker.administration.ensureTopics([topic('topic')]))
      const waiting = Array.from({ length: 1_000 }, (_, i) => scene.answered({ group: `group-${i}`, waitMs: 30_000 }))
      await scene.clock.advance(200)
      return scene.measure(() => afterSlowSync(scene, () => scene.fill('topic', 1), waiting))
    },
    async 'a slow sync for which 500 receives of one group wait'(scene) {
      await scene.during(scene.broker.administration.ensureTopics([topic('topic')]))
      const waiting = Array.from({ length: 500 }, () => scene.answered({ max: 2, waitMs: 30_000 }))
      await scene.clock.advance(200)
      return scene.measure(() => afterSlowSync(scene, () => scene.fill('topic', 1_000), waiting))
    },
    async 'a slow sync for which the receives of 1,000 lite clients wait'(scene) {
      await scene.liteTopics(1_000)
      await scene.during(scene.broker.offsets.reset(liteReset))
      const waiting: Array<Promise<number>> = []
      for (let i = 0; i < 1_000; i++) {
        const client = { group: 'lite', topic: 'lites', clientId: `client-${i}` }
        const request = { ...client, version: 1, offset: null, action: 'add' as const, liteTopics: [`lite-${i}`] }
        await scene.during(scene.broker.lite.sync(request))
        waiting.push(scene.answered({ ...client, waitMs: 30_000 }))
      }
      await scene.clock.advance(200)
      const send = () => scene.fill('lites', 1_000, small, (i) => ({ liteTopic: `lite-${i}` }))
      return scene.measure(() => afterSlowSync(scene, send, waiting))
    },
    async 'a lite client that goes away while 1,000 of its receives wait'(scene) {
      await scene.liteTopics(1)
      const client = { group: 'lite', topic: 'lites', clientId: 'client' }
      const waiting = Array.from({ length: 1_000 }, () => scene.answered({ ...client, waitMs: 30_000 }))
      await scene.clock.advance(200)
      return scene.measure(async () => {
        scene.broker.consuming.clientGone('client')
        expect(await Promise.all(waiting)).toEqual(waiting.map(() => 0))
      })
    },
    async 'the seal of a segment with messages of 100,000 lite topics'(scene) {
      await scene.liteTopics(100_000)
      return scene.measure(() => scene.broker.close())
    },
  }
  it.each(Object.keys(rows))('while it is worked on: %s', async (name) => {
    const scene = new Scene()
    await scene.open()
    expect(await rows[name]!(scene)).toBeLessThanOrEqual(limitMs)
    await scene.broker.close()
  })

  it('by a price that is not too low', () => {
    const sum = (of: (one: (typeof spent)[number]) => number) => spent.reduce((total, one) => total + of(one), 0)
    // Ten times as much: what is not counted, and whatever else the machine does.
    expect(sum(({ cpuMs }) => cpuMs)).toBeLessThan(10 * unitMs * sum(({ units }) => units))
  })
})
