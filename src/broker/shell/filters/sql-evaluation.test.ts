/**
 * SQL92 filters through the whole broker: which messages match, what skipping the others costs, and what a poll waits
 * for.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Disk, DiskFile } from '../../../world/disk.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../../world/simulated.ts'
import { SimulatedDisk } from '../../../world/simulated-disk.ts'
import { compileSql, type Delivery, type ReceiveRequest, type SqlFilter } from '../../broker.ts'
import type { BrokerShell } from '../broker-shell.ts'
import { openShell } from '../open.ts'

const HOUR = 3_600_000
const settings = { retentionMs: 72 * HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 24 * HOUR }

let clock: SimulatedClock
let disk: SimulatedDisk
let random: SimulatedRandom
let broker: BrokerShell
let reported: unknown[]
let asked: number

beforeEach(async () => {
  clock = new SimulatedClock()
  random = new SimulatedRandom(1)
  disk = new SimulatedDisk({ random })
  reported = []
  asked = 0
  await open()
  await broker.administration.ensureTopics([
    { topicName: 'topic', generation: 1, messageType: 'NORMAL', maxSendTps: null },
  ])
  await receive({ filter: null })
})

afterEach(async () => {
  await broker.close()
  expect(reported).toEqual([])
})

async function open(on: Disk = disk.boot()): Promise<void> {
  broker = await openShell({
    world: { clock, random, disk: on },
    directory: '/instance',
    settings,
    segmentBytes: 64 * 1_024,
    report: (error) => void reported.push(error),
  })
}

/** Every read takes 30 ms, once the test lets them. */
function slowly(real: Disk): Disk {
  const file = (opened: DiskFile): DiskFile => ({
    write: (chunks, position) => opened.write(chunks, position),
    read: async (target, position) => {
      if (slow) await new Promise<void>((resolve) => clock.after(30, resolve))
      return opened.read(target, position)
    },
    datasync: () => opened.datasync(),
    truncate: (sizeBytes) => opened.truncate(sizeBytes),
    size: () => opened.size(),
    close: () => opened.close(),
  })
  return {
    open: async (path, mode) => file(await real.open(path, mode)),
    list: (directory) => real.list(directory),
    makeDirectory: (directory) => real.makeDirectory(directory),
    unlink: (path) => real.unlink(path),
    removeDirectory: (directory) => real.removeDirectory(directory),
    rename: (from, to) => real.rename(from, to),
    syncDirectory: (directory) => real.syncDirectory(directory),
    space: (directory) => real.space(directory),
  }
}
let slow = false

/** Over messages whose payload is the JSON of their properties. */
function sql(text: string): SqlFilter {
  const expression = compileSql(text)
  return {
    sql: text,
    passes(payload) {
      asked++
      const properties = JSON.parse(Buffer.from(payload).toString()) as Record<string, string>
      return expression.matches((name) => properties[name] ?? null)
    },
  }
}

const cheap = sql('price < 10')

let made = 0
async function send(...prices: number[]): Promise<void> {
  for (let from = 0; from < prices.length; from += 1_000) {
    const messages = prices.slice(from, from + 1_000).map((price) => {
      const payload = Buffer.from(JSON.stringify({ price: String(price) }))
      return { messageId: `M${made++}`, tag: price % 2 === 0 ? 'even' : 'odd', payload, bodyBytes: payload.length }
    })
    await broker.producing.send({ topic: 'topic', messages })
  }
}

async function receive(changes: Partial<ReceiveRequest> = {}): Promise<Delivery[]> {
  const receiving = broker.consuming.receive(
    {
      group: 'group',
      topic: 'topic',
      filter: cheap,
      max: 32,
      waitMs: 0,
      invisibleMs: 30_000,
      autoRenew: false,
      clientId: 'client',
      ...changes,
    },
    new AbortController().signal,
  )
  let done = false
  const settled = receiving.finally(() => {
    done = true
  })
  settled.catch(() => {})
  for (let ms = 0; !done && ms <= 200; ms++) {
    await settle()
    if (!done) await clock.advance(1)
  }
  return settled
}

const prices = (deliveries: readonly Delivery[]): number[] =>
  deliveries.map(({ payload }) => Number(JSON.parse(Buffer.from(payload).toString()).price)).sort((a, b) => a - b)

const ack = (deliveries: readonly Delivery[]) =>
  broker.consuming.ack({
    group: 'group',
    topic: 'topic',
    clientId: 'client',
    handles: deliveries.map(({ handle }) => handle),
  })

describe('a receive by an expression', () => {
  it('gets what matches, and the group is done with the rest', async () => {
    await send(5, 50, 7, 70, 9)
    const deliveries = await receive()
    expect(prices(deliveries)).toEqual([5, 7, 9])
    expect(broker.inspection.usage().inflight).toBe(3)
    await ack(deliveries)
    expect(await receive({ filter: null })).toEqual([])
  })

  it('gets a redelivery that matches without asking again, and it is asked again by another expression', async () => {
    await send(5, 7)
    await receive()
    await clock.advance(30_000)
    asked = 0
    const again = await receive({ max: 1 })
    expect([prices(again), again[0]!.attempt]).toEqual([[5], 2])
    // Only the last look before it is delivered.
    expect(asked).toBe(1)
    await ack(again)
    // As with tags: what comes again and does not match is passed over for the group.
    expect(await receive({ filter: sql('price = 8') })).toEqual([])
    expect(broker.inspection.usage().inflight).toBe(0)
    expect(await receive({ filter: null })).toEqual([])
  })

  it('gets redeliveries after a restart, when nobody knows any more what was said of them', async () => {
    await send(5, 50)
    await receive()
    await broker.close()
    await open()
    await clock.advance(31_000)
    expect(prices(await receive())).toEqual([5])
  })

  it('gets redeliveries although fresh messages keep coming', async () => {
    await send(5)
    await receive()
    await clock.advance(30_000)
    await send(1, 2, 3)
    expect(prices(await receive({ filter: sql('price <= 5'), max: 1 }))).toEqual([5])
  })

  it('waits, and is woken by a match alone', async () => {
    let answered: Delivery[] | null = null
    const request = { group: 'group', topic: 'topic', filter: cheap, max: 1, invisibleMs: 30_000, autoRenew: false }
    void broker.consuming
      .receive({ ...request, waitMs: 20_000, clientId: 'client' }, new AbortController().signal)
      .then((deliveries) => {
        answered = deliveries
      })
    for (const price of [50, 60, 70]) {
      await send(price)
      await clock.advance(1_000)
      expect(answered).toBeNull()
    }
    await send(3)
    await settle()
    expect(prices(answered!)).toEqual([3])
  })

  it('costs a handful of records in the log for many messages that do not match', async () => {
    // The match lies in the last queue.
    await send(...Array.from({ length: 20_007 }, () => 50), 1)
    const before = broker.log.end
    asked = 0
    const deliveries = await receive({ max: 1 })
    expect(prices(deliveries)).toEqual([1])
    // Every message once, and the match again before it is delivered.
    expect(asked).toBe(20_009)
    expect(broker.log.end - before).toBeLessThan(3_000)
    expect(broker.inspection.usage().inflight).toBe(1)
  })

  it('ends with its time although there is more to look through, and the next one goes on from there', async () => {
    await send(...Array.from({ length: 20_000 }, () => 50), 1)
    await broker.close()
    await open(slowly(disk.boot()))
    slow = true
    let polls = 0
    let deliveries: Delivery[] = []
    for (; deliveries.length === 0 && polls < 1_000; polls++) deliveries = await receive({ max: 1 })
    expect(prices(deliveries)).toEqual([1])
    slow = false
    expect(polls).toBeGreaterThan(1)
  })
})

describe('an orderly group that receives by an expression', () => {
  it('gets what matches of each queue in order, again from the first that was not acknowledged', async () => {
    const spec = { consumerGroupId: 'ordered', generation: 1, orderly: true, maxRetryTimes: 16 }
    await broker.administration.ensureGroups([
      { ...spec, retry: { kind: 'fixed', intervalSeconds: 1 }, deadLetterTopic: null, maxReceiveTps: null },
    ])
    await receive({ group: 'ordered' })
    await send(...Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? i / 3 : 50 + i)))
    const first = await receive({ group: 'ordered', filter: sql('price < 50') })
    expect(prices(first)).toEqual(Array.from({ length: 14 }, (_, i) => i))
    for (let queueId = 0; queueId < 8; queueId++) {
      const offsets = first.filter((one) => one.queueId === queueId).map(({ offset }) => offset)
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
    }
    await clock.advance(31_000)
    const again = await receive({ group: 'ordered', filter: sql('price < 50') })
    expect(again.map(({ messageId }) => messageId).sort()).toEqual(first.map(({ messageId }) => messageId).sort())
    expect(new Set(again.map(({ attempt }) => attempt))).toEqual(new Set([2]))
  })
})

describe('members of a group that filter differently', () => {
  it('each get by their own filter, and it is reported once', async () => {
    await send(5, 50)
    await receive({ clientId: 'one' })
    await receive({ clientId: 'two', filter: new Set(['odd']) })
    await receive({ clientId: 'one' })
    await receive({ clientId: 'two', filter: null })
    expect(reported.map((error) => (error as Error).message)).toEqual([
      expect.stringMatching(/^Members of group group receive topic topic by different filters \("\*"; "price < 10"\)/),
    ])
    reported = []
  })

  it('are not told when one client changes its mind, or when its predecessor has left', async () => {
    await receive({ filter: cheap })
    await receive({ filter: null })
    broker.consuming.clientGone('client')
    await receive({ clientId: 'two' })
    await receive({ clientId: 'three', filter: sql('price < 10') })
  })
})
