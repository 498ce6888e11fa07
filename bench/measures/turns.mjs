/** How long the event loop of a broker process is held by the worst inputs within the limits. */
import { fork } from 'node:child_process'
import { once, setMaxListeners } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { sleep } from '../support/gantry.mjs'
import { figure } from '../support/numbers.mjs'

const budgetMs = 50
const hour = 3_600_000
const settings = { retentionMs: 72 * hour, sendTps: 1e12, receiveTps: 1e12, maxDelayMs: 24 * hour }
const never = new AbortController().signal
setMaxListeners(0, never)

export default {
  name: 'turns',
  title: 'The longest turn of the event loop',
  method:
    'A broker in the process of the benchmark, on the real disk, and one worst input after the other, each at the limit that the broker ' +
    "sets: how late a timer of one millisecond was at most while it was worked on (Node's monitorEventLoopDelay), garbage collection included. " +
    'What a broker process does besides is the same for all inputs: the longest turn of a process is at most this and one call of a client.',
  async run({ source, quick, say }) {
    const scale = quick ? 0.1 : 1
    const results = []
    const alive = setInterval(() => {}, 1_000)
    try {
      for (const [what, input] of Object.entries(inputs)) {
        const only = process.env.GANTRY_BENCH_TURNS
        if (only && !what.includes(only)) continue
        const home = mkdtempSync(path.join(tmpdir(), 'gantry-bench-turns-'))
        const bench = new Bench(source, home, scale)
        try {
          const { longestMs, longestCpuMs, tookMs } = await input(bench)
          const detail = `${figure(longestCpuMs)} ms of CPU; ${figure(tookMs)} ms in all`
          say(`${what}: ${figure(longestMs)} ms at most, ${detail}`)
          results.push({ what, value: longestMs, unit: 'ms', budget: budgetMs, detail })
        } finally {
          await bench.close()
          rmSync(home, { recursive: true, force: true })
        }
      }
    } finally {
      clearInterval(alive)
    }
    return results
  },
}

const inputs = {
  async 'An expression of 256 comparisons over 8,000 messages with 16 KiB of properties'(bench) {
    const broker = await bench.broker()
    await broker.administration.ensureTopics([topic('topic')])
    const userProperties = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`name${i}`, '0'.repeat(70)]))
    const payload = bench.stored({ userProperties, body: Buffer.alloc(10) })
    await bench.receive(broker, { topic: 'topic' })
    await bench.fill(broker, 'topic', 8_000, () => payload, 200)
    const sql = Array.from({ length: 256 }, (_, i) => `name${i % 200} < ${i}`).join(' OR ')
    const filter = bench.source.parseFilter({ type: 2, expression: sql })
    return bench.measure(() => bench.receive(broker, { topic: 'topic', filter, waitMs: 30_000 }, 30_000))
  },

  async '64 searches, made to be slow, over 1,000 messages with 16 KiB of properties'(bench) {
    const broker = await bench.broker()
    await broker.administration.ensureTopics([topic('topic')])
    const payload = bench.stored({ userProperties: { a: 'a'.repeat(16_000) }, body: Buffer.alloc(10) })
    await bench.receive(broker, { topic: 'topic' })
    await bench.fill(broker, 'topic', 1_000, () => payload, 100)
    const sql = Array.from({ length: 64 }, () => `a CONTAINS '${'a'.repeat(31)}b'`).join(' OR ')
    const filter = bench.source.parseFilter({ type: 2, expression: sql })
    return bench.measure(() => bench.receive(broker, { topic: 'topic', filter, waitMs: 30_000 }, 30_000))
  },

  async 'One send that wakes 1,000 groups, beside 5,000 topics'(bench) {
    const broker = await bench.broker()
    const others = Array.from({ length: bench.count(5_000) }, (_, i) => topic(`other-${i}`))
    await broker.administration.ensureTopics([topic('topic'), ...others])
    const waiting = Array.from({ length: bench.count(1_000) }, (_, i) =>
      bench.receive(broker, { topic: 'topic', group: `group-${i}`, waitMs: 30_000 }, 30_000),
    )
    await sleep(200)
    return bench.measure(async () => {
      await bench.fill(broker, 'topic', 1)
      await Promise.all(waiting)
    })
  },

  async 'The ends of 10,000 receives that waited'(bench) {
    const broker = await bench.broker()
    await broker.administration.ensureTopics([topic('topic')])
    const waiting = Array.from({ length: bench.count(10_000) }, (_, i) =>
      bench.receive(broker, { topic: 'topic', group: `group-${i % 1_000}`, waitMs: 3_000 }, 3_000),
    )
    return bench.measure(() => Promise.all(waiting))
  },

  async 'Opening with 1,000,000 deliveries under way, and 100,000 lite topics'(bench) {
    const broker = await bench.broker()
    await bench.deliveries(broker, bench.count(1_000_000), hour)
    await bench.liteTopics(broker, bench.count(100_000))
    await broker.close()
    return bench.measure(() => bench.broker())
  },

  async 'The end of 1,000,000 deliveries at once'(bench) {
    const broker = await bench.broker()
    const endsAt = Date.now() + (bench.scale < 1 ? 5_000 : 30_000)
    await bench.deliveries(broker, bench.count(1_000_000), endsAt - Date.now())
    if (Date.now() > endsAt) throw new Error('The deliveries ended before all were made.')
    await sleep(endsAt - Date.now() - 500)
    return bench.measure(() => sleep(5_000))
  },

  async 'Removing a topic with 1,000,000 deliveries under way'(bench) {
    const broker = await bench.broker()
    await bench.deliveries(broker, bench.count(1_000_000), hour)
    return bench.measure(() => broker.administration.removeTopic('topic'))
  },

  async 'Removing a group with 100,000 deliveries under way'(bench) {
    const broker = await bench.broker()
    await bench.deliveries(broker, bench.count(100_000), hour)
    return bench.measure(() => broker.administration.removeGroup('group-0'))
  },

  async 'Resetting a group with 100,000 deliveries under way'(bench) {
    const broker = await bench.broker()
    await bench.deliveries(broker, bench.count(100_000), hour)
    const reset = { consumerGroupId: 'group-0', topicName: 'topic', toMs: 0, resetId: 'reset' }
    return bench.measure(() => broker.offsets.reset(reset))
  },

  async 'A client that leaves with 100,000 deliveries'(bench) {
    const broker = await bench.broker()
    await bench.deliveries(broker, bench.count(100_000), hour, { autoRenew: true })
    return bench.measure(async () => {
      broker.consuming.clientGone('client')
      await sleep(500)
    })
  },

  async 'An acknowledgement of 1,024 deliveries'(bench) {
    const broker = await bench.broker()
    const handles = await bench.deliveries(broker, bench.count(100_000), hour)
    return bench.measure(() =>
      broker.consuming.ack({ group: 'group-0', topic: 'topic', handles: handles.slice(0, 1_024), clientId: 'client' }),
    )
  },

  async '50,000 messages to the dead letters'(bench) {
    const broker = await bench.broker()
    await bench.deliveries(broker, bench.count(50_000), 4_000, { maxRetryTimes: 0 })
    return bench.measure(async () => {
      for (let i = 0; i < 120; i++) {
        await sleep(100)
        if (broker.inspection.usage().inflight === 0) return
      }
      throw new Error(`${broker.inspection.usage().inflight} deliveries did not go to the dead letters.`)
    })
  },

  async 'Looking through 50,000 stored messages'(bench) {
    const broker = await bench.broker()
    await broker.administration.ensureTopics([topic('topic')])
    await bench.fill(broker, 'topic', bench.count(50_000))
    const request = {
      topic: 'topic',
      fromMs: 0,
      untilMs: Number.MAX_SAFE_INTEGER,
      after: null,
      skip: 0,
      limit: bench.count(50_000),
    }
    return bench.measure(() => broker.inspection.browse({ ...request, each: () => {} }))
  },

  async 'Resetting a group in 100,000 lite topics'(bench) {
    const broker = await bench.broker()
    await bench.liteTopics(broker, bench.count(100_000))
    return bench.measure(() => broker.offsets.reset(liteReset))
  },

  async 'The lag of a group in 100,000 lite topics'(bench) {
    const broker = await bench.broker()
    await bench.liteTopics(broker, bench.count(100_000))
    await broker.offsets.reset(liteReset)
    return bench.measure(() => broker.offsets.lag('lite'))
  },

  async 'A checkpoint beside 100,000 lite topics, and as many open transactions'(bench) {
    const broker = await bench.broker()
    await bench.liteTopics(broker, bench.count(100_000))
    await broker.offsets.reset(liteReset)
    await broker.administration.ensureTopics([topic('transactions', 'TRANSACTION')])
    await bench.fill(broker, 'transactions', bench.count(100_000), small, 1_000, { transactional: true })
    return bench.measure(() => broker.checkpoint())
  },

  async 'Removing a LITE topic with 100,000 lite topics'(bench) {
    const broker = await bench.broker()
    await bench.liteTopics(broker, bench.count(100_000))
    await broker.offsets.reset(liteReset)
    return bench.measure(() => broker.administration.removeTopic('lites'))
  },

  async '50 clients that subscribe to 2,000 lite topics each, and receive'(bench) {
    const broker = await bench.broker()
    await bench.liteTopics(broker, bench.count(100_000))
    const clients = Array.from({ length: 50 }, (_, i) => `client-${i}`)
    const each = Math.floor(bench.count(100_000) / clients.length)
    return bench.measure(async () => {
      await Promise.all(
        clients.map((clientId, i) =>
          broker.lite.sync({
            ...{ group: 'lite', topic: 'lites', clientId, action: 'replace', version: 1, offset: null },
            liteTopics: Array.from({ length: each }, (_, j) => `lite-${i * each + j}`),
          }),
        ),
      )
      await Promise.all(
        clients.map((clientId) => bench.receive(broker, { topic: 'lites', group: 'lite', clientId, max: 32 })),
      )
    })
  },
}

/** What hostile clients send over HTTP/2 as fast as the server takes it: what, and how often. */
const floods = {
  '9,000 calls on 10 connections, each reset at once': ['resets', 9_000],
  '400 sends of 16 KiB on 4 connections that become 16 MiB each': ['bombs', 400],
  '400 sends on 4 connections, each of 21,000 properties': ['values', 400],
  '4,000 telemetry streams on 4 connections': ['telemetry', 4_000],
}
for (const [what, [kind, count]] of Object.entries(floods)) {
  inputs[what] = async (bench) => {
    const port = await bench.endpoint()
    const client = fork(flooding, [kind, String(port), String(bench.count(count))])
    try {
      await once(client, 'message')
      // The handshakes are over.
      await sleep(300)
      return await bench.measure(async () => {
        client.send('go')
        await sleep(4_000)
      })
    } finally {
      client.kill()
    }
  }
}

/** CPU that the process used between two turns, at most; what other programs take of the machine is not in it. */
function watchTurns() {
  let longest = 0
  let before = process.cpuUsage()
  let timer = setTimeout(turn, 0)
  function turn() {
    const { user, system } = process.cpuUsage(before)
    longest = Math.max(longest, user + system)
    before = process.cpuUsage()
    timer = setTimeout(turn, 0)
  }
  return () => {
    clearTimeout(timer)
    return longest / 1_000
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

const flooding = fileURLToPath(new URL('../support/flood-client.mjs', import.meta.url))
const liteReset = { consumerGroupId: 'lite', topicName: 'lites', toMs: null, resetId: 'reset' }
const small = () => Buffer.alloc(20, 7)
const topic = (topicName, messageType = 'NORMAL') => ({ topicName, generation: 1, messageType, maxSendTps: null })
const group = (consumerGroupId, changes = {}) => ({
  ...{ consumerGroupId, generation: 1, orderly: false, maxRetryTimes: 16, retry: { kind: 'default' } },
  ...{ deadLetterTopic: null, maxReceiveTps: null, ...changes },
})

class Bench {
  #messages = 0
  #open = []

  constructor(source, home, scale) {
    this.source = source
    this.home = home
    this.scale = scale
  }

  count(full) {
    return Math.round(full * this.scale)
  }

  async broker() {
    const report = (error) => console.error('  reported:', error?.message ?? error)
    const broker = await this.source.openBroker({
      world: this.source.realWorld(),
      directory: this.home,
      settings,
      report,
    })
    this.#open.push(broker)
    return broker
  }

  async close() {
    for (const broker of this.#open) await broker.close()
  }

  /** The port of an instance that takes calls without credentials. */
  async endpoint() {
    const host = new this.source.BrokerHost({
      world: this.source.realWorld(),
      directory: path.join(this.home, 'instances'),
      self: { version: 'bench', home: this.home, name: '1' },
      lingerMinutes: 0,
      lock: async () => ({ release: async () => {}, forget: async () => {} }),
      tls: undefined,
      report: (error) => console.error('  reported:', error?.message ?? error),
    })
    this.#open.push(host)
    const port = await freePort()
    const spec = {
      ...{ instanceId: 'rmq-cn-bench', generation: 1, serving: true, ipWhitelist: ['0.0.0.0/0'], accounts: [] },
      ...{ listen: [{ kind: 'vpc', host: '127.0.0.1', port, allow: [], bandwidthMbps: null }], vpcAuthFree: true },
      ...{ retentionHours: 72, sendTps: 1e6, receiveTps: 1e6, elasticity: null, maxConnections: 10_000 },
      ...{ maxDelayMs: 24 * hour, maxGroupsMadeByUse: 10_000, dedicated: false, encryptionKeyId: null, grants: [] },
    }
    await host.ensureInstance({ spec, storageKey: null })
    return port
  }

  /** The latest that a timer was while this was done. */
  async measure(work) {
    globalThis.gc?.()
    await sleep(50)
    const delays = monitorEventLoopDelay({ resolution: 1 })
    delays.enable()
    const cpu = watchTurns()
    // The time up to its first tick is not counted.
    await sleep(20)
    const from = performance.now()
    await work()
    const tookMs = performance.now() - from
    await sleep(50)
    delays.disable()
    return { longestMs: delays.max / 1e6, longestCpuMs: cpu(), tookMs }
  }

  stored(message) {
    const settings = { messageType: 'NORMAL' }
    const systemProperties = { messageId: '0'.repeat(34), bodyEncoding: 1 }
    return this.source.encodeStored(
      { systemProperties, ...message },
      settings,
      { userName: null, storeHost: '127.0.0.1' },
      Date.now(),
    )
  }

  async fill(broker, topicName, count, payload = small, batch = 1_000, changes = {}) {
    for (let from = 0; from < count; from += batch * 4)
      await Promise.all(
        Array.from({ length: Math.min(4, Math.ceil((count - from) / batch)) }, (_, i) =>
          broker.producing.send({
            topic: topicName,
            messages: Array.from({ length: Math.min(batch, count - from - i * batch) }, (_, j) => {
              const index = from + i * batch + j
              const bytes = payload(index)
              const messageId = (this.#messages++).toString(16).padStart(34, '0')
              const more = typeof changes === 'function' ? changes(index) : changes
              return { messageId, tag: null, payload: bytes, bodyBytes: 10, ...more }
            }),
          }),
        ),
      )
  }

  receive(broker, changes, waitMs = 0) {
    const request = {
      ...{ group: 'group', topic: 'topic', filter: null, max: 1_024, waitMs, invisibleMs: 60_000 },
      ...{ autoRenew: false, clientId: 'client', ...changes },
    }
    return broker.consuming.receive(request, never)
  }

  /** Messages delivered to as many groups as are needed, none of them acknowledged; the first group's handles. */
  async deliveries(broker, count, invisibleMs, { autoRenew = false, maxRetryTimes = 16 } = {}) {
    const each = Math.min(count, 100_000)
    const groups = Array.from({ length: Math.ceil(count / each) }, (_, i) => `group-${i}`)
    await broker.administration.ensureTopics([topic('topic')])
    await broker.administration.ensureGroups(groups.map((name) => group(name, { maxRetryTimes })))
    for (const name of groups) await this.receive(broker, { group: name })
    await this.fill(broker, 'topic', each)
    const endsAt = Date.now() + invisibleMs
    const handles = []
    for (const name of groups)
      for (let got = 0; got < each; ) {
        const some = await this.receive(broker, { group: name, invisibleMs: endsAt - Date.now(), autoRenew })
        got += some.length
        if (name === groups[0]) for (const { handle } of some) handles.push(handle)
        if (some.length === 0) throw new Error(`Group ${name} got ${got} of ${each} messages.`)
      }
    return handles
  }

  async liteTopics(broker, count) {
    await broker.administration.ensureTopics([{ ...topic('lites', 'LITE'), liteExpirationMs: null }])
    await broker.administration.ensureGroups([
      group('lite', { orderly: true, lite: { topicName: 'lites', exclusive: false } }),
    ])
    await this.fill(broker, 'lites', count, small, 1_000, (index) => ({ liteTopic: `lite-${index}` }))
  }
}
