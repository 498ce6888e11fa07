/** Timed messages on a simulated clock and disk: when they are delivered, when not, and recalls. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { SimulatedClock, SimulatedRandom, settle } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import type { BrokerSettings, Delivery, OutgoingMessage, ReceiveRequest, SendReceipt } from '../broker.ts'
import { encodeState } from '../core/snapshot.ts'
import { LogError } from '../log/errors.ts'
import type { BrokerShell } from './broker-shell.ts'
import { openShell } from './open.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

let clock: SimulatedClock
let disk: SimulatedDisk
let random: SimulatedRandom
let broker: BrokerShell
let settings: BrokerSettings
let reported: unknown[]
let messages: number

beforeEach(async () => {
  clock = new SimulatedClock()
  random = new SimulatedRandom(1)
  disk = new SimulatedDisk({ random })
  settings = { retentionMs: 72 * HOUR, sendTps: 1e9, receiveTps: 1e9, maxDelayMs: 40 * DAY }
  reported = []
  messages = 0
  await open()
})

afterEach(async () => {
  await broker.close()
  expect(reported).toEqual([])
})

describe('a timed message', () => {
  it('that is due while nothing may be written waits, unread, and comes soon after', async () => {
    const receipt = await send(10 * SECOND)
    broker.administration.configure({ ...settings, writePause: 'no room' })
    const reads = vi.spyOn(broker.log, 'readMany')
    await clock.advance(30 * SECOND)
    expect(reads).not.toHaveBeenCalled()
    broker.administration.configure(settings)
    await clock.advance(2 * SECOND)
    expect((await receive()).map(({ messageId }) => messageId)).toEqual([receipt.messageId])
  })

  it.each([
    [10_000, 10_000],
    [10_001, 11_000],
    [10_999, 11_000],
    [1, 1_000],
  ])('for %i ms from now comes after %i ms, as it was sent, and not before', async (inMs, afterMs) => {
    const receipt = await send(inMs, 'hello')
    const waiting = receive({ waitMs: 20 * SECOND })
    await clock.advance(afterMs - 1)
    expect(await settled(waiting)).toBe(false)
    expect(broker.inspection.usage()).toMatchObject({ messages: 0, timed: 1 })
    await clock.advance(1)
    const [delivery] = await waiting
    expect({ ...delivery, payload: text(delivery!) }).toMatchObject({
      messageId: receipt.messageId,
      payload: 'hello',
      attempt: 1,
      storeTimeMs: clock.now(),
    })
    expect(broker.inspection.usage()).toMatchObject({ messages: 1, timed: 0 })
    await ack(delivery!)
    await clock.advance(HOUR)
    expect(await receive()).toEqual([])
    // What is stored has its retention to wait for, and nothing else.
    expect(clock.pending).toBe(1)
  })

  it.each([[-DAY], [-1], [0], [null]])('for %j ms from now comes at once, and cannot be recalled', async (inMs) => {
    const receipt = await send(inMs, 'late')
    expect(receipt.recallHandle).toBeNull()
    expect((await receive()).map(text)).toEqual(['late'])
  })

  it('comes in the order of the times, whatever the order of the sends', async () => {
    for (const inMs of [5_000, 3_000, 9_000, 1_000, 7_000]) await send(inMs, String(inMs))
    const came: string[] = []
    for (let second = 0; second < 10; second++) {
      await clock.advance(SECOND)
      came.push(...(await receive()).map(text))
    }
    expect(came).toEqual(['1000', '3000', '5000', '7000', '9000'])
  })

  it.each([
    ['clean', false],
    ['after a kill', true],
  ])('survives a restart (%s), and comes at once when it became due meanwhile', async (_, killed) => {
    for (const inMs of [MINUTE, 2 * MINUTE, 3 * MINUTE]) await send(inMs, String(inMs))
    const before = encodeState(broker.state)
    if (!killed) await broker.close()
    await clock.advance(killed ? 30 * SECOND : 90 * SECOND)
    await reopen()
    if (killed) expect(Buffer.compare(encodeState(broker.state), before)).toBe(0)
    await clock.advance(killed ? MINUTE : 0)
    expect((await receive()).map(text)).toEqual([String(MINUTE)])
    await clock.advance(90 * SECOND)
    expect((await receive()).map(text)).toEqual([String(2 * MINUTE), String(3 * MINUTE)])
  })

  it('of a topic that was removed does not come, nor into a topic made again', async () => {
    const receipt = await send(MINUTE)
    await broker.administration.removeTopic('delay')
    await broker.administration.ensureTopics([topicSpec('delay')])
    await expect(broker.producing.recall({ topic: 'delay', handle: receipt.recallHandle! })).rejects.toMatchObject({
      code: 40000,
    })
    await send(2 * MINUTE, 'of the new one')
    await receive()
    await clock.advance(3 * MINUTE)
    expect((await receive()).map(text)).toEqual(['of the new one'])
    expect(broker.inspection.usage()).toMatchObject({ timed: 0, messages: 1 })
  })

  it('counts five times against the budget of sends', async () => {
    broker.administration.configure({ ...settings, sendTps: 10 })
    await clock.advance(SECOND)
    await send(MINUTE)
    await send(MINUTE)
    await expect(send(MINUTE)).rejects.toMatchObject({ code: 42900 })
  })
})

describe('when the clock is set', () => {
  it('forward, it is noticed within a second', async () => {
    await send(HOUR, 'in an hour')
    await clock.advance(10)
    clock.jump(HOUR)
    await clock.advance(SECOND)
    expect((await receive()).map(text)).toEqual(['in an hour'])
  })

  it('back, messages wait for the wall clock, those sent before and those sent after', async () => {
    await send(MINUTE, 'sent before')
    clock.jump(-HOUR)
    await send(MINUTE, 'sent after')
    await receive()
    await clock.advance(MINUTE)
    expect((await receive()).map(text)).toEqual(['sent after'])
    await clock.advance(HOUR - SECOND)
    expect(await receive()).toEqual([])
    await clock.advance(SECOND)
    expect((await receive()).map(text)).toEqual(['sent before'])
  })
})

describe('a great many due at once', () => {
  it('come in portions, and others are served meanwhile', async () => {
    await receive()
    const time = clock.now() + MINUTE
    for (let sent = 0; sent < 3; sent++)
      await broker.producing.send({
        topic: 'delay',
        messages: Array.from({ length: 1_000 }, () => message(time, 'one')),
      })
    await broker.close()
    await clock.advance(2 * MINUTE)
    await reopen()
    const other = broker.producing.send({ topic: 'delay', messages: [message(null, 'other')] })
    expect(broker.inspection.usage().timed).toBeGreaterThan(2_000)
    await other
    expect(broker.inspection.usage().timed).toBeGreaterThan(0)
    await clock.advance(SECOND)
    expect(broker.inspection.usage()).toMatchObject({ timed: 0, messages: 3_001 })
  })

  it('and large are not read all at once', async () => {
    const time = clock.now() + MINUTE
    for (let sent = 0; sent < 12; sent++)
      await broker.producing.send({ topic: 'delay', messages: [message(time, 'x'.repeat(4 * 2 ** 20))] })
    await broker.close()
    await reopen()
    let most = 0
    const { log } = broker
    const { readMany } = log
    log.readMany = (positions) => {
      most = Math.max(most, positions.length)
      return readMany.call(log, positions)
    }
    await clock.advance(MINUTE + SECOND)
    expect([most, broker.inspection.usage().timed, broker.inspection.usage().messages]).toEqual([4, 0, 12])
  })

  it('in segments that hold less than a portion come nevertheless, once each', async () => {
    await reopenCleanly({ segmentBytes: 4_096 })
    for (let sent = 0; sent < 60; sent++) await send(MINUTE, 'x'.repeat(1_000))
    await receive()
    await clock.advance(MINUTE)
    for (let second = 0; second < 20; second++) await clock.advance(SECOND)
    expect(broker.inspection.usage()).toMatchObject({ timed: 0, messages: 60 })
    const came: string[] = []
    for (let round = 0; round < 60; round++) came.push(...(await receive()).map(({ messageId }) => messageId))
    expect([came.length, new Set(came).size]).toEqual([60, 60])
  })
})

describe('a log that is busy', () => {
  it.each([
    ['delivered', 14],
    ['written again for retention', 13],
  ])('is tried again, and what is to be %s comes once', async (_, type) => {
    settings = { ...settings, retentionMs: HOUR }
    await reopenCleanly({ segmentBytes: 4_096 })
    for (let sent = 0; sent < 10; sent++) await send(3 * HOUR, 'x'.repeat(1_000))
    await receive()
    const { log } = broker
    const { write } = log
    let refusals = 0
    log.write = (records) => {
      if (records[0]![0] === type && refusals++ % 2 === 0) throw new LogError('busy', 'wait for the disk')
      return write.call(log, records)
    }
    await clock.advance(3 * HOUR)
    for (let second = 0; second < 5; second++) await clock.advance(SECOND)
    expect(refusals).toBeGreaterThan(1)
    expect(broker.inspection.usage()).toMatchObject({ timed: 0, messages: 10 })
  })
})

describe('a recall', () => {
  it('takes a waiting message back for good, and is as good the second time', async () => {
    const receipt = await send(MINUTE)
    const kept = await send(MINUTE, 'kept')
    const request = { topic: 'delay', handle: receipt.recallHandle! }
    expect(await broker.producing.recall(request)).toEqual({ messageId: receipt.messageId })
    expect(broker.inspection.usage().timed).toBe(1)
    expect(await broker.producing.recall(request)).toEqual({ messageId: receipt.messageId })
    await reopenCleanly()
    expect(await broker.producing.recall(request)).toEqual({ messageId: receipt.messageId })
    await receive()
    await clock.advance(MINUTE + SECOND)
    expect((await receive()).map(({ messageId }) => messageId)).toEqual([kept.messageId])
    await expect(broker.producing.recall(request)).rejects.toMatchObject({ code: 40400 })
  })

  it('is durable when it is answered', async () => {
    const receipt = await send(MINUTE)
    await broker.producing.recall({ topic: 'delay', handle: receipt.recallHandle! })
    disk.powerCut()
    await reopen()
    await receive()
    await clock.advance(HOUR)
    expect(await receive()).toEqual([])
  })

  it('comes too late once the message was delivered, and says so', async () => {
    const receipt = await send(MINUTE)
    await clock.advance(MINUTE + SECOND)
    await expect(broker.producing.recall({ topic: 'delay', handle: receipt.recallHandle! })).rejects.toMatchObject({
      code: 40400,
      message: /time has come/,
    })
    expect(await receive()).toHaveLength(1)
  })

  it('between the subscription of a due message and its delivery is respected', async () => {
    const receipts = [await send(MINUTE, 'recalled'), await send(MINUTE, 'kept')]
    await reopenCleanly()
    await receive()
    const { log } = broker
    const { readMany } = log
    let recalled: Promise<unknown> | null = null
    log.readMany = async (positions) => {
      const records = await readMany.call(log, positions)
      recalled ??= broker.producing.recall({ topic: 'delay', handle: receipts[0]!.recallHandle! })
      await settle()
      return records
    }
    await clock.advance(MINUTE + SECOND)
    await recalled
    await clock.advance(SECOND)
    expect((await receive()).map(text)).toEqual(['kept'])
  })

  it.each([
    ['nothing', () => ''],
    ['nonsense', () => 'nonsense'],
    ['Apache’s own', () => Buffer.from('v1 delay broker 1 M').toString('base64url')],
    ['another id', (handle: string) => changed(handle, 1, 1)],
    ['an id that never was', (handle: string) => changed(handle, 1, 1_000)],
    ['another time', (handle: string) => changed(handle, 2, 1_000)],
    ['another message', (handle: string) => changed(handle, 4, 1)],
    ['a place that is none', (handle: string) => changed(changed(handle, 1, 1_000), 3, 2 ** 33)],
    ['the place of something else', (handle: string) => changed(changed(handle, 1, 1_000), 3, 7)],
  ])('by a handle that names %s changes nothing', async (_, forge) => {
    const receipt = await send(MINUTE, 'one')
    await send(MINUTE, 'two')
    await expect(
      broker.producing.recall({ topic: 'delay', handle: forge(receipt.recallHandle!) }),
    ).rejects.toMatchObject({
      code: 40000,
    })
    expect(broker.inspection.usage().timed).toBe(2)
  })

  it('of another topic, or of another instance, changes nothing', async () => {
    await broker.administration.ensureTopics([topicSpec('other')])
    const receipt = await send(MINUTE)
    const handle = receipt.recallHandle!
    await expect(broker.producing.recall({ topic: 'other', handle })).rejects.toMatchObject({
      code: 40000,
      message: /topic/,
    })
    await expect(broker.producing.recall({ topic: 'nowhere', handle })).rejects.toMatchObject({ code: 40402 })
    await broker.close()
    await reopen({ directory: '/elsewhere' })
    await send(MINUTE)
    await send(MINUTE)
    await expect(broker.producing.recall({ topic: 'delay', handle })).rejects.toMatchObject({ code: 40000 })
    expect(broker.inspection.usage().timed).toBe(2)
  })
})

describe('retention', () => {
  it('that took the record of a recalled message does not make its handle a wrong one', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await reopenCleanly()
    const request = { topic: 'delay', handle: (await send(DAY)).recallHandle! }
    await broker.producing.recall(request)
    await clock.advance(3 * HOUR)
    expect(broker.log.first).toBeGreaterThan(2 ** 33)
    await expect(broker.producing.recall(request)).rejects.toMatchObject({ code: 40400 })
    const never = changed(request.handle, 1, 1_000)
    await expect(broker.producing.recall({ topic: 'delay', handle: never })).rejects.toMatchObject({ code: 40000 })
  })

  it('keeps what waits, however long, and gives the space of what does not', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await reopenCleanly({ segmentBytes: 8_192 })
    const far = await send(DAY + MINUTE, 'far')
    const recalled = await send(DAY + MINUTE, 'recalled')
    await receive()
    for (let hour = 0; hour < 24; hour++) {
      for (let sent = 0; sent < 20; sent++) await send(-1, 'x'.repeat(1_000))
      if (hour === 12) await broker.producing.recall({ topic: 'delay', handle: recalled.recallHandle! })
      if (hour % 5 === 4) await reopenCleanly({ segmentBytes: 8_192 })
      await clock.advance(HOUR)
      expect(broker.inspection.usage().timed).toBe(hour < 12 ? 2 : 1)
      expect(broker.inspection.usage().storedBytes).toBeLessThan(80_000)
    }
    await receive({ max: 1_000 })
    clock.jump(MINUTE)
    await clock.advance(SECOND)
    expect((await receive()).map(({ messageId }) => messageId)).toEqual([far.messageId])
  })

  it('looks through a great many that may stay a stretch at a time', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await reopenCleanly()
    const { timers } = broker.state
    await send(DAY, 'old')
    await clock.advance(HOUR / 8 + SECOND)
    for (let sent = 0; sent < 40_000; sent += 1_000)
      await broker.producing.send({
        topic: 'delay',
        messages: Array.from({ length: 1_000 }, () => message(clock.now() + DAY, 'x')),
      })
    const { below } = timers
    const asked: number[] = []
    timers.below = (position, from, rows) => {
      asked.push(rows)
      return below.call(timers, position, from, rows)
    }
    await clock.advance(HOUR - 10 * SECOND)
    for (let turn = 0; turn < 10; turn++) await settle()
    expect(broker.log.first).toBeGreaterThan(2 ** 33)
    expect([asked.length, Math.max(...asked)]).toEqual([3, 16_384])
    expect(broker.inspection.usage().timed).toBe(40_001)
  })

  it('of a delivered one begins when it was delivered', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await reopenCleanly()
    await send(5 * HOUR, 'slow')
    await receive()
    clock.jump(5 * HOUR)
    await clock.advance(SECOND)
    clock.jump(59 * MINUTE)
    expect((await receive()).map(text)).toEqual(['slow'])
  })

  it('can be recalled after its record was moved', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await reopenCleanly({ segmentBytes: 4_096 })
    const far = await send(DAY, 'far')
    for (let hour = 0; hour < 3; hour++) {
      for (let sent = 0; sent < 10; sent++) await send(-1, 'x'.repeat(1_000))
      await clock.advance(HOUR)
    }
    expect(broker.log.first).toBeGreaterThan(2 ** 33)
    expect(await broker.producing.recall({ topic: 'delay', handle: far.recallHandle! })).toEqual({
      messageId: far.messageId,
    })
    expect(broker.inspection.usage().timed).toBe(0)
  })

  it('lets go of what waits for a topic that is gone', async () => {
    settings = { ...settings, retentionMs: HOUR }
    await reopenCleanly({ segmentBytes: 4_096 })
    for (let sent = 0; sent < 20; sent++) await send(DAY, 'x'.repeat(1_000))
    await broker.administration.removeTopic('delay')
    await broker.administration.ensureTopics([topicSpec('delay')])
    expect(broker.inspection.usage().timed).toBe(20)
    await clock.advance(HOUR)
    expect(broker.inspection.usage().timed).toBeLessThan(6)
  })
})

describe('a disk that fails', () => {
  it('to read is tried again, and nothing is lost', async () => {
    await send(MINUTE, 'one')
    await send(MINUTE, 'two')
    await reopenCleanly()
    await receive()
    disk.inject({ operation: 'read', error: 'EIO', times: 3 })
    await clock.advance(MINUTE + SECOND)
    expect(reported.splice(0).length).toBeGreaterThan(0)
    disk.healFaults()
    await clock.advance(20 * SECOND)
    expect((await receive()).map(text)).toEqual(['one', 'two'])
  })

  it('and has damaged one of them holds up no other, and the damage is reported', async () => {
    const receipts = [await send(MINUTE, 'first'), await send(MINUTE, 'damaged'), await send(MINUTE, 'third')]
    await receive()
    await send(-1, 'at once')
    await broker.close()
    const path = `/instance/${(await disk.list('/instance')).find((name) => name.endsWith('.segment'))}`
    const bytes = Buffer.from(disk.contentOf(path)!)
    bytes[bytes.indexOf('damaged')]! ^= 1
    disk.plant(path, bytes)
    await reopen()
    const request = { topic: 'delay', handle: receipts[1]!.recallHandle! }
    await expect(broker.producing.recall(request)).rejects.toMatchObject({ code: 50001 })
    await clock.advance(MINUTE + SECOND)
    expect((await receive()).map(text).sort()).toEqual(['at once', 'first', 'third'])
    expect(broker.inspection.usage().timed).toBe(0)
    expect(reported.splice(0).map((error) => (error as Error).message)).toEqual([
      expect.stringContaining('passed over'),
      expect.stringContaining('passed over'),
    ])
  })

  it('to write while messages come due gives each of them once after the next start', async () => {
    for (let sent = 0; sent < 5; sent++) await send(MINUTE, String(sent))
    await receive()
    disk.inject({ operation: 'datasync', error: 'ENOSPC', times: 1_000 })
    await clock.advance(MINUTE + SECOND)
    expect(reported.splice(0)).toHaveLength(1)
    await broker.close()
    reported.length = 0
    disk.healFaults()
    disk.powerCut()
    await reopen()
    await clock.advance(SECOND)
    expect((await receive()).map(text).sort()).toEqual(['0', '1', '2', '3', '4'])
    await clock.advance(SECOND)
    expect(broker.inspection.usage()).toMatchObject({ timed: 0, messages: 5 })
  })
})

// Helpers ------------------------------------------------------------------------------------------

interface Place {
  readonly directory?: string
  readonly segmentBytes?: number
}

async function open(place: Place = {}): Promise<void> {
  broker = await openShell({
    world: { clock, random, disk: disk.boot() },
    directory: '/instance',
    settings,
    report: (error) => void reported.push(error),
    ...place,
  })
  await broker.administration.ensureTopics([topicSpec('delay')])
}

/** The former broker was closed, or counts as killed. */
const reopen = open

async function reopenCleanly(place: Place = {}): Promise<void> {
  await broker.close()
  await open(place)
}

function topicSpec(topicName: string) {
  return { topicName, generation: 1, messageType: 'DELAY' as const, maxSendTps: null }
}

function message(deliverAtMs: number | null, body: string): OutgoingMessage {
  const payload = Buffer.from(body)
  return {
    messageId: `M${String(messages++).padStart(5, '0')}`,
    tag: null,
    payload,
    bodyBytes: payload.length,
    deliverAtMs,
  }
}

/** The wall clock stands at a whole second when a test begins. */
async function send(inMs: number | null, body = 'body'): Promise<SendReceipt> {
  const deliverAtMs = inMs === null ? null : clock.now() + inMs
  const [receipt] = await broker.producing.send({ topic: 'delay', messages: [message(deliverAtMs, body)] })
  return receipt!
}

function receive(changes: Partial<ReceiveRequest> = {}): Promise<Delivery[]> {
  const request: ReceiveRequest = {
    group: 'group',
    topic: 'delay',
    filter: null,
    max: 32,
    waitMs: 0,
    invisibleMs: 12 * HOUR,
    autoRenew: false,
    clientId: 'client',
    ...changes,
  }
  return broker.consuming.receive(request, new AbortController().signal)
}

async function ack(delivery: Delivery): Promise<void> {
  await broker.consuming.ack({ group: 'group', topic: 'delay', clientId: 'client', handles: [delivery.handle] })
}

/** A handle with one of its numbers moved. */
function changed(handle: string, part: number, by: number): string {
  const parts = handle.split('.')
  parts[part] = (Number.parseInt(parts[part]!, 36) + by).toString(36)
  return parts.join('.')
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  promise.then(
    () => (done = true),
    () => (done = true),
  )
  await settle()
  return done
}

function text(delivery: Delivery): string {
  return Buffer.from(delivery.payload).toString()
}
