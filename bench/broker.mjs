/**
 * What one broker does in-process, without gRPC: `node bench/broker.mjs [seconds per phase] [phase]`.
 *
 * Prints one JSON line a measurement. Sends are durable (fdatasync) on the disk of `TMPDIR`. Growth
 * is measured too: the same operations with 1×, 10×, 100× retained, unacknowledged and waiting.
 */

import { setMaxListeners } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { build } from 'esbuild'

const seconds = Number(process.argv[2] ?? 2)
const home = mkdtempSync(path.join(tmpdir(), 'gantry-bench-'))
await build({
  entryPoints: ['open:src/broker/shell/open.ts', 'real:src/world/real.ts'].map((pair) => {
    const [out, input] = pair.split(':')
    return { in: input, out }
  }),
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  outdir: path.join(home, 'built'),
  outExtension: { '.js': '.mjs' },
  logLevel: 'error',
})
const { openBroker } = await import(path.join(home, 'built/open.mjs'))
const { realWorld } = await import(path.join(home, 'built/real.mjs'))

const world = realWorld()
const settings = { retentionMs: 72 * 3_600_000, sendTps: 1e12, receiveTps: 1e12 }
const never = new AbortController().signal
setMaxListeners(0, never)
const payload = Buffer.alloc(1_024, 7)
let brokers = 0
let messages = 0

// The broker's timers do not keep a process alive; a server's sockets do.
const alive = setInterval(() => {}, 60_000)
try {
  const phases = { throughput, order, growthRetained, growthUnacknowledged, growthWaiting, idle }
  for (const [name, phase] of Object.entries(phases))
    if (process.argv[3] === undefined || process.argv[3] === name) await phase()
} finally {
  clearInterval(alive)
  rmSync(home, { recursive: true, force: true })
}

async function throughput() {
  for (const inFlight of [1, 64, 256]) {
    const broker = await openOne()
    report(`send 1 KiB, ${inFlight} in flight`, await lanes(inFlight, () => send(broker)))
    await broker.close()
  }
  const broker = await openOne()
  await fill(broker, 200_000)
  const handles = []
  report(
    'receive by 32, per message',
    await lanes(4, async () => {
      const got = await receive(broker, 32, 0)
      for (const delivery of got) handles.push(delivery.handle)
      if (handles.length > 50_000) await ackAll(broker, handles)
      return got.length
    }),
  )
  await ackAll(broker, handles)
  while (handles.length < 60_000) {
    const got = await receive(broker, 32, 0)
    if (got.length === 0) {
      await fill(broker, 70_000)
      continue
    }
    for (const delivery of got) handles.push(delivery.handle)
  }
  report(
    'ack one by one, 64 in flight',
    await lanes(64, async () => {
      const handle = handles.pop()
      if (handle === undefined) return 0
      await broker.consuming.ack({ group: 'group', topic: 'topic', handles: [handle], clientId: 'client' })
      return 1
    }),
  )
  await broker.close()
}

/** Eight push consumers of an orderly group, one batch after another, beside 1×, 10×, 100× retained; and one message a batch. */
async function order() {
  const broker = await openOne()
  const group = {
    consumerGroupId: 'orderly',
    generation: 1,
    orderly: true,
    maxRetryTimes: 16,
    retry: { kind: 'default' },
  }
  await broker.administration.ensureGroups([{ ...group, deadLetterTopic: null, maxReceiveTps: null }])
  const orderly = (max, waitMs, attempt) =>
    broker.consuming.receive(
      { ...want(max, waitMs), group: 'orderly', autoRenew: true, attemptId: `attempt-${attempt}` },
      never,
    )
  await orderly(1, 0, 0)
  let attempt = 0
  for (const [target, max] of [
    [10_000, 32],
    [100_000, 32],
    [1_000_000, 32],
    [1_000_000, 1],
  ]) {
    await fill(broker, target - broker.inspection.usage().messages)
    const taken = await lanes(8, async () => {
      let got = await orderly(max, 0, attempt++)
      if (got.length === 0) {
        await broker.producing.send({ topic: 'topic', messages: Array.from({ length: 256 }, ordered) })
        got = await orderly(max, 0, attempt++)
      }
      for (const { handle } of got)
        await broker.consuming.ack({ group: 'orderly', topic: 'topic', handles: [handle], clientId: 'client' })
      return got.length || 0.001
    })
    report(`orderly receive by ${max} + ack one by one beside ${target} retained`, taken)
  }
  await broker.close()
}

/** The whole life of a message beside 1×, 10×, 100× retained ones. */
async function growthRetained() {
  const broker = await openOne()
  let held = 0
  for (const target of [10_000, 100_000, 1_000_000]) {
    await fill(broker, target - held)
    held = target
    await drain(broker)
    globalThis.gc?.()
    const memory = process.memoryUsage()
    report(`send + receive + ack beside ${target} retained`, await life(broker), {
      heapMb: Math.round(memory.heapUsed / 2 ** 20),
      buffersMb: Math.round(memory.arrayBuffers / 2 ** 20),
    })
    held = broker.inspection.usage().messages
  }
  const openedIn = await closeAndOpen(broker)
  console.log(JSON.stringify({ what: 'open with a million retained', ms: round(openedIn) }))
}

async function growthUnacknowledged() {
  const broker = await openOne()
  let held = 0
  for (const target of [900, 9_000, 90_000]) {
    await fill(broker, target - held)
    while (held < target) held += (await receive(broker, 32, 0, 3_600_000)).length
    report(`send + receive + ack beside ${target} unacknowledged`, await life(broker))
  }
  await broker.close()
}

async function growthWaiting() {
  const broker = await openOne()
  const gone = new AbortController()
  const waiting = []
  for (const target of [10, 100, 1_000]) {
    while (waiting.length < target) {
      const group = `waiting-${waiting.length % 10}`
      const filter = new Set(['never'])
      waiting.push(broker.consuming.receive({ ...want(1, 600_000), group, topic: 'other', filter }, gone.signal))
    }
    report(`send + receive + ack beside ${target} waiting`, await life(broker))
  }
  gone.abort()
  await Promise.all(waiting)
  await broker.close()
}

async function idle() {
  const opened = []
  for (let i = 0; i < 100; i++) opened.push(await openOne())
  const directories = opened.map((broker) => broker.directory)
  await Promise.all(opened.map((broker) => broker.close()))
  const start = performance.now()
  const again = []
  for (const directory of directories) again.push(await openBroker({ world, directory, settings }))
  console.log(
    JSON.stringify({
      what: 'open 100 idle brokers',
      ms: round(performance.now() - start),
    }),
  )
  await Promise.all(again.map((broker) => broker.close()))
}

async function openOne() {
  const directory = path.join(home, `broker-${brokers++}`)
  const broker = await openBroker({ world, directory, settings, report: console.error })
  broker.directory = directory
  const topics = ['topic', 'other'].map((topicName) => ({
    topicName,
    generation: 1,
    messageType: 'NORMAL',
    maxSendTps: null,
  }))
  await broker.administration.ensureTopics(topics)
  // A group that first reads a topic of more than 100,000 messages would begin at its end.
  await receive(broker, 1, 0)
  return broker
}

async function closeAndOpen(broker) {
  await broker.close()
  const start = performance.now()
  const again = await openBroker({ world, directory: broker.directory, settings })
  const took = performance.now() - start
  await again.close()
  return took
}

async function send(broker) {
  await broker.producing.send({ topic: 'topic', messages: [message()] })
  return 1
}

function message() {
  return { messageId: (messages++).toString(16).padStart(34, '0'), tag: 'tag', payload, bodyBytes: payload.length }
}

function ordered() {
  return { ...message(), messageGroup: `group-${messages % 1_000}` }
}

async function fill(broker, count) {
  for (let left = count; left > 0; left -= 8_192) {
    const sends = []
    for (let i = Math.min(left, 8_192); i > 0; i -= 64)
      sends.push(broker.producing.send({ topic: 'topic', messages: Array.from({ length: Math.min(i, 64) }, message) }))
    await Promise.all(sends)
  }
}

function want(max, waitMs, invisibleMs = 60_000) {
  return {
    group: 'group',
    topic: 'topic',
    filter: null,
    max,
    waitMs,
    invisibleMs,
    autoRenew: false,
    clientId: 'client',
  }
}

function receive(broker, max, waitMs, invisibleMs) {
  return broker.consuming.receive(want(max, waitMs, invisibleMs), never)
}

async function ackAll(broker, handles) {
  while (handles.length > 0)
    await broker.consuming.ack({ group: 'group', topic: 'topic', handles: handles.splice(-1_000), clientId: 'client' })
}

async function drain(broker) {
  for (;;) {
    const got = await receive(broker, 1_000, 0)
    if (got.length === 0) return
    await ackAll(
      broker,
      got.map((delivery) => delivery.handle),
    )
  }
}

/** 64 messages at a time: sent, received by long poll, acknowledged. */
function life(broker) {
  return lanes(64, async () => {
    const [, got] = await Promise.all([send(broker), receive(broker, 1, 5_000)])
    await broker.consuming.ack({
      group: 'group',
      topic: 'topic',
      handles: got.map((each) => each.handle),
      clientId: 'client',
    })
    return 1
  })
}

/** Runs `work` in lanes for the phase's time; `work` answers how many operations it did. */
async function lanes(count, work) {
  const cpu = process.cpuUsage()
  const start = performance.now()
  const until = start + seconds * 1_000
  let done = 0
  await Promise.all(
    Array.from({ length: count }, async () => {
      while (performance.now() < until) {
        const did = await work()
        if (did === 0) return
        done += did
      }
    }),
  )
  const elapsedMs = performance.now() - start
  const used = process.cpuUsage(cpu)
  return { done, elapsedMs, cpuMs: (used.user + used.system) / 1_000 }
}

function report(what, { done, elapsedMs, cpuMs }, more = {}) {
  console.log(
    JSON.stringify({
      what,
      perSecond: Math.round((done / elapsedMs) * 1_000),
      microseconds: round((elapsedMs * 1_000) / done),
      cpuMicroseconds: round((cpuMs * 1_000) / done),
      ...more,
    }),
  )
}

function round(value) {
  return Math.round(value * 10) / 10
}
