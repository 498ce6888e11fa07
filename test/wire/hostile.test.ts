/**
 * Clients that mean harm, or are broken, against a broker in a process of its own: whatever they do, each gets an end or
 * a status that says why, the process's memory stays bounded, a client beside them goes on without a failure, and
 * nothing acknowledged is lost. What depends on time passing is in `hostile-time.test.ts`.
 */
import { execFileSync } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { pause, realClock } from '../../src/world/real.ts'
import { canMount, mountTmpfs, whyNoMount } from '../faults/tmpfs.ts'
import { http2Frame, parseFrames } from '../fuzz/frames.ts'
import { DriverClient, duration, readPoll } from './driver/client.ts'
import { turns } from './driver/instance.ts'
import { frame, Line } from './driver/line.ts'
import { BrokerProcess } from './driver/process.ts'

const mib = 1024 * 1024
const linux = process.platform === 'linux'

let program: Awaited<ReturnType<typeof BrokerProcess.program>>
let broker: BrokerProcess
const cleanups: (() => void)[] = []
beforeAll(async () => {
  program = await BrokerProcess.program()
  broker = await BrokerProcess.start({ program })
})
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean()
})
afterAll(async () => {
  await broker?.close()
  program?.remove()
})

interface Attack {
  readonly name: string
  /** Growth of the process's peak memory that is allowed. */
  readonly growthBytes: number
  run(): Promise<void>
}

const attacks: readonly Attack[] = [
  {
    name: 'messages that are, or say they are, larger than the limit',
    growthBytes: 150 * mib,
    async run() {
      const client = await dial()
      for (const [bytes, code] of [
        [Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), 8],
        [Buffer.concat([Buffer.from([0, 1, 0, 0, 1]), Buffer.alloc(16 * mib + 1)]), 8],
      ] as const) {
        const call = client.open('sendMessage', 10_000)
        call.stream.write(bytes)
        const outcome = await call.ended
        expect(outcome).toMatchObject({ grpcStatus: code })
        expect(outcome.grpcMessage).toMatch(/larger than the limit of 16777216/)
      }
    },
  },
  {
    name: 'messages cut short, and what is no protobuf',
    growthBytes: 50 * mib,
    async run() {
      const client = await dial()
      const whole = gen.QueryRouteRequest.encode({ topic: { name: 'a-topic' } }).finish()
      for (const bytes of [whole.subarray(0, whole.length - 1), Buffer.from([0x0a]), Buffer.alloc(100, 0xff)]) {
        const call = client.open('queryRoute', 3000)
        call.send(bytes)
        call.end()
        expect(await call.ended).toMatchObject({
          grpcStatus: 13,
          grpcMessage: expect.stringMatching(/^The request of .*QueryRoute is not the message it should be: .+/),
        })
      }
      const cut = client.open('queryRoute', 3000)
      cut.stream.end(frame(whole).subarray(0, 7))
      expect(await cut.ended).toMatchObject({ grpcStatus: 13, grpcMessage: expect.stringMatching(/inside a message/) })
    },
  },
  {
    name: 'methods and services nobody serves',
    growthBytes: 50 * mib,
    async run() {
      const { line } = await dial()
      const paths = [
        '/apache.rocketmq.v2.MessagingService/Nothing',
        '/apache.rocketmq.v2.Admin/ChangeLogLevel',
        '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
        '/',
        `/${'x'.repeat(5000)}`,
      ]
      for (const path of paths) {
        const call = line.call(path, { 'content-type': 'application/grpc', te: 'trailers' })
        call.send(Buffer.alloc(0))
        call.end()
        expect(await call.ended).toMatchObject({
          grpcStatus: 12,
          grpcMessage: expect.stringContaining(`No such method: ${path.slice(0, 100)}`),
        })
      }
    },
  },
  {
    name: 'compressed bombs, many at a time',
    growthBytes: 400 * mib,
    async run() {
      const beyond = gzipSync(Buffer.alloc(64 * mib))
      // Each within the limit for one message, all of them far beyond the machine.
      const within = gzipSync(Buffer.concat([Buffer.from([0x7a, 0xf8, 0xff, 0xff, 0x07]), Buffer.alloc(16 * mib - 16)]))
      const clients = await Promise.all(Array.from({ length: 4 }, () => dial({ 'grpc-encoding': 'gzip' })))
      const ends = clients.flatMap((client) =>
        Array.from({ length: 25 }, async (_, index) => {
          const call = client.open('sendMessage', 60_000)
          call.send(index % 10 === 0 ? beyond : within, true)
          call.end()
          return (await call.ended).grpcStatus
        }),
      )
      const statuses = new Set(await Promise.all(ends))
      // Too large, too much at a time, or no message of ours.
      for (const status of statuses) expect([8, 13, 0]).toContain(status)
    },
  },
  {
    // 16 KiB that become 8.4 million objects when they are decoded.
    name: 'a compressed bomb of empty fields: from a stranger it is not read, from a client it is counted',
    growthBytes: 200 * mib,
    async run() {
      const bomb = gzipSync(Buffer.alloc(16 * mib - 16, Buffer.from([0x0a, 0])))
      expect(bomb.length).toBeLessThan(20_000)
      const statusOf = async (client: DriverClient) => {
        const call = client.open('sendMessage', 60_000)
        call.send(bomb, true)
        call.end()
        const reply = await call.next()
        const { grpcStatus, grpcMessage } = await call.ended
        return [grpcStatus, reply === null ? grpcMessage : gen.SendMessageResponse.decode(reply).status!.code]
      }
      const stranger = await dial({ 'grpc-encoding': 'gzip' }, undefined, broker.guardedPort)
      for (let tries = 0; tries < 5; tries++) expect(await statusOf(stranger)).toEqual([0, 40100])
      const client = await dial({ 'grpc-encoding': 'gzip' })
      for (let tries = 0; tries < 5; tries++) {
        expect(await statusOf(client)).toEqual([
          8,
          expect.stringMatching(/more than 2048 messages; send less at a time/),
        ])
      }
    },
  },
  {
    name: 'a consumer that never reads while thousands of messages wait',
    growthBytes: 800 * mib,
    async run() {
      const topic = await broker.topic()
      const client = await dial()
      const body = Buffer.alloc(1 * mib, 'x')
      for (let sent = 0; sent < 400; sent += 10) {
        await client.send(...Array.from({ length: 10 }, () => client.message(topic, body)))
      }
      for (let sent = 0; sent < 3000; sent += 500) {
        await client.send(...Array.from({ length: 500 }, (_, index) => client.message(topic, `${index}`)))
      }
      // Each group gets all of them, and nobody gives the server a byte of window.
      const silent = await Promise.all(
        Array.from({ length: 3 }, () =>
          Line.open({ port: broker.port, tls: null, settings: { initialWindowSize: 0 } }),
        ),
      )
      for (const line of silent) cleanups.push(() => line.close())
      const polls = silent.flatMap((line, lineIndex) =>
        Array.from({ length: 100 }, (_, index) => {
          const call = line.call(
            gen.MessagingService.methods.receiveMessage.path,
            client.headers('ReceiveMessage', null),
          )
          call.send(
            gen.ReceiveMessageRequest.encode({
              group: { name: `unread-${lineIndex}-${index % 10}` },
              messageQueue: { topic: { name: topic } },
              batchSize: 32,
              invisibleDuration: duration(10_000),
              longPollingTimeout: duration(5000),
            }).finish(),
          )
          call.end()
          return call
        }),
      )
      // The bound itself is what is tested; the clock of another process cannot be moved.
      await pause(3000)
      for (const call of polls) expect(call.messages.length).toBeLessThanOrEqual(1)
    },
  },
  {
    name: 'a flood of SETTINGS, of PINGs, of both unread',
    growthBytes: 100 * mib,
    async run() {
      const settings = http2Frame(4, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))
      const ping = http2Frame(6, 0, 0, Buffer.alloc(8))
      for (const flood of [settings, ping]) {
        for (const read of [true, false]) {
          const socket = await raw()
          if (!read) socket.pause()
          await writeMuch(socket, Buffer.concat(Array.from({ length: 4000 }, () => flood)), 100)
          socket.destroy()
        }
      }
    },
  },
  {
    name: 'streams reset as fast as they are opened',
    growthBytes: 150 * mib,
    async run() {
      for (let connections = 0; connections < 3; connections++) {
        const { line, ...client } = await dial()
        void client
        for (let index = 0; index < 5000 && !line.session.destroyed; index++) {
          try {
            const stream = line.session.request({
              ':method': 'POST',
              ':path': gen.MessagingService.methods.receiveMessage.path,
              'content-type': 'application/grpc',
            })
            stream.on('error', () => {})
            stream.close(8)
          } catch {
            break
          }
          if (index % 50 === 0) await turns(1)
        }
        line.close()
      }
    },
  },
  {
    name: 'headers without end: CONTINUATION frames, and more than a header list may hold',
    growthBytes: 100 * mib,
    async run() {
      const socket = await raw()
      const gone = closed(socket)
      // A literal header without indexing, again and again, never END_HEADERS.
      const literal = Buffer.concat([Buffer.from([0x00, 0x01, 0x61, 0x7f, 0x81, 0x7e]), Buffer.alloc(256, 0x62)])
      socket.write(http2Frame(1, 0, 1, Buffer.from([0x83, 0x86])))
      await writeMuch(socket, Buffer.concat(Array.from({ length: 100 }, () => http2Frame(9, 0, 1, literal))), 2000)
      await gone
      // The limit binds once the client has acknowledged it.
      const huge = await dial()
      await huge.heartbeat(null, 1)
      const path = gen.MessagingService.methods.heartbeat.path
      const call = huge.line.call(path, { ...huge.headers('Heartbeat', 3000), 'x-huge': 'h'.repeat(60_000) })
      call.end()
      expect((await call.ended).grpcStatus).toBeNull()
      expect((await huge.heartbeat(null, 1)).status?.code).toBe(20000)
    },
  },
  {
    name: 'windows of nothing, and windows beyond the largest number',
    growthBytes: 50 * mib,
    async run() {
      const most = Buffer.from([0x7f, 0xff, 0xff, 0xff])
      const overflow = [
        Buffer.concat([http2Frame(8, 0, 0, most), http2Frame(8, 0, 0, most)]),
        http2Frame(4, 0, 0, Buffer.from([0, 4, 0xff, 0xff, 0xff, 0xff])),
        http2Frame(8, 0, 0, Buffer.alloc(4)),
        // A frame larger than the server takes.
        http2Frame(0, 0, 1, Buffer.alloc(20_000)),
      ]
      for (const frames of overflow) {
        const socket = await raw()
        const goaway = firstFrame(socket, 7)
        socket.write(frames)
        await goaway
        socket.destroy()
      }
    },
  },
  {
    name: 'thousands of telemetry streams of one client',
    growthBytes: 250 * mib,
    async run() {
      const lines = await Promise.all(Array.from({ length: 4 }, () => dial({}, 'one-client')))
      const streams = lines.flatMap((client) =>
        Array.from({ length: 1000 }, () => client.telemetry(client.producerSettings(['any-topic']))),
      )
      const heard = await Promise.all(streams.map((stream) => stream.hear()))
      for (const command of heard) expect(command!.settings!.publishing).not.toBeNull()
      for (const stream of streams.slice(0, 100)) stream.say({ settings: lines[0]!.producerSettings(['any-topic']) })
    },
  },
  {
    name: 'deadlines of nothing and of ten thousand years',
    growthBytes: 50 * mib,
    async run() {
      const topic = await broker.topic()
      for (const [timeout, codes] of [
        ['0n', [4, 0]],
        ['0S', [4, 0]],
        ['99999999H', [0]],
        ['999999999S', [13]],
        ['-1S', [13]],
      ] as const) {
        const client = await dial({ 'grpc-timeout': timeout })
        const { outcome, reply } = await client.unary('queryRoute', { topic: { name: topic } })
        expect(codes).toContain(outcome.grpcStatus)
        if (outcome.grpcStatus === 0) expect(reply.status.code).toBe(20000)
        const call = client.open('receiveMessage', null)
        call.send(
          gen.ReceiveMessageRequest.encode({
            group: { name: 'any-group' },
            messageQueue: { topic: { name: topic } },
            batchSize: 1,
            autoRenew: true,
            longPollingTimeout: duration(5000),
          }).finish(),
        )
        call.end()
        if (timeout.startsWith('0')) {
          const polled = await readPoll(call)
          expect(polled.outcome.grpcStatus === 4 || [40018, 40000].includes(polled.status!.code)).toBe(true)
        } else {
          call.cancel()
        }
      }
    },
  },
  {
    name: 'bytes that are nothing at all, by the hundred connections',
    growthBytes: 100 * mib,
    async run() {
      const sockets = await Promise.all(Array.from({ length: 200 }, () => open()))
      const gone = sockets.map(closed)
      for (const [index, socket] of sockets.entries()) socket.end(Buffer.alloc(1000, index))
      await Promise.all(gone)
    },
  },
]

describe.skipIf(!linux)(`the broker survives${linux ? '' : ' (skipped: memory is read from /proc)'}`, () => {
  it.each(attacks)('$name', { timeout: 90_000 }, async ({ growthBytes, run }) => {
    const healthy = await startHealthy()
    const before = broker.memoryBytes()
    broker.forgetPeak()
    try {
      await run()
    } finally {
      await healthy.stop()
    }
    const growth = broker.peakBytes() - before
    if (process.env['GANTRY_HOSTILE_FIGURES']) {
      console.log(
        `${(growth / mib).toFixed(0)} MiB, ${healthy.rounds()} rounds, slowest ${healthy.slowestMs().toFixed(0)} ms`,
      )
    }
    expect(broker.alive).toBe(true)
    expect(healthy.failures()).toEqual([])
    expect(healthy.rounds()).toBeGreaterThan(0)
    expect(growth).toBeLessThan(growthBytes)
    expect(broker.log()).toBe('')
  })

  it('thousands of silent connections to a small instance: a few stay for a while, and every client is served', {
    timeout: 120_000,
  }, async () => {
    const small = await BrokerProcess.start({ program, spec: { maxConnections: 100 } })
    const sockets: Socket[] = []
    try {
      const topic = await small.topic()
      const inside = await DriverClient.dial('go', { port: small.port, tls: false, clock: realClock })
      expect((await inside.queryRoute(topic)).status?.code).toBe(20000)
      let gone = 0
      for (let made = 0; made < 3000; made += 100) {
        const some = await Promise.all(Array.from({ length: 100 }, () => openAt(small.port)))
        for (const [index, socket] of some.entries()) {
          socket.on('close', () => gone++)
          socket.resume()
          // Some shake hands, some say nothing at all.
          if (index % 2 === 0) socket.write(hello)
        }
        sockets.push(...some)
        // A client that comes in the middle of it is served, and so is the one that was there.
        if (made % 500 === 0) {
          const late = await DriverClient.dial('node', { port: small.port, tls: true, clock: realClock })
          expect((await late.queryRoute(topic)).status?.code).toBe(20000)
          late.close()
          expect((await inside.queryRoute(topic)).status?.code).toBe(20000)
        }
      }
      for (let waited = 0; gone < 2400 && waited < 100; waited++) await pause(100)
      expect(gone).toBeGreaterThanOrEqual(2400)
      expect(await small.connections()).toBeLessThanOrEqual(600)
      inside.close()
    } finally {
      for (const socket of sockets) socket.destroy()
      await small.close()
    }
  })

  it('thousands of idle connections: up to its limit they stay, beyond it they go, and others are served', {
    timeout: 120_000,
  }, async () => {
    const files = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' })) || 1024
    // Ten thousand stay, and more come, where this process and the broker's may open as many files each.
    const wanted = Math.min(11_120, Math.floor((files - 500) / 10) * 10)
    const most = Math.floor(wanted * 0.9)
    const crowded = await BrokerProcess.start({ program, spec: { maxConnections: most } })
    const sockets: Socket[] = []
    try {
      const topic = await crowded.topic()
      const inside = await DriverClient.dial('go', { port: crowded.port, tls: false, clock: realClock })
      expect((await inside.queryRoute(topic)).status?.code).toBe(20000)
      const before = crowded.memoryBytes()
      let refused = 0
      for (let made = 0; made < wanted; made += 200) {
        const some = await Promise.all(Array.from({ length: Math.min(200, wanted - made) }, () => openAt(crowded.port)))
        for (const socket of some) {
          socket.on('close', () => refused++)
          socket.write(helloAndCall)
        }
        sockets.push(...some)
      }
      for (let waited = 0; (await crowded.connections()) < most && waited < 100; waited++) await pause(100)
      expect((await inside.queryRoute(topic)).status?.code).toBe(20000)
      const held = await crowded.connections()
      // A few more may wait to be refused in words, or are strangers still.
      expect(held).toBeGreaterThanOrEqual(most)
      expect(held).toBeLessThanOrEqual(most + 600)
      const growth = crowded.memoryBytes() - before
      if (process.env['GANTRY_HOSTILE_FIGURES']) {
        console.log(
          `${wanted} connections, ${held} held, ${refused} refused, ${Math.round(growth / held / 1024)} KiB each`,
        )
      }
      expect(growth / held).toBeLessThan(64 * 1024)
      const sent = inside.message(topic, 'in the crowd')
      expect((await inside.send(sent)).status?.code).toBe(20000)
      for (const socket of sockets) socket.destroy()
      for (let waited = 0; (await crowded.connections()) > 1 && waited < 100; waited++) await pause(100)
      const late = await DriverClient.dial('go', { port: crowded.port, tls: true, clock: realClock })
      expect((await late.queryRoute(topic)).status?.code).toBe(20000)
      late.close()
      inside.close()
    } finally {
      for (const socket of sockets) socket.destroy()
      await crowded.close()
    }
  })

  it.skipIf(!canMount)(
    `a disk that fills up in the middle of batches: refused in words, and nothing acknowledged is lost${whyNoMount}`,
    { timeout: 90_000 },
    async () => {
      const mount = mountTmpfs('64m')
      let full = await BrokerProcess.start({ program, folder: mount.folder })
      try {
        const topic = await full.topic()
        let client = await DriverClient.dial('rust', { port: full.port, tls: false, clock: realClock })
        const acknowledged = new Set<string>()
        const free = mount.fill(3 * mib)
        let refusal: gen.Status | null = null
        for (let batch = 0; batch < 200 && refusal === null; batch++) {
          const messages = Array.from({ length: 16 }, () => client.message(topic, Buffer.alloc(16 * 1024, 'x')))
          const { status } = await client.send(...messages)
          if (status!.code === 20000) for (const each of messages) acknowledged.add(each.systemProperties!.messageId!)
          else refusal = status
        }
        expect(refusal).toMatchObject({ code: 50001, message: expect.stringMatching(/disk|space/i) })
        expect(refusal!.message).not.toMatch(/\n|\s+at /)
        // Reading goes on, and every further send says the same.
        expect((await client.queryRoute(topic)).status?.code).toBe(20000)
        expect((await client.send(client.message(topic, 'more'))).status).toMatchObject({ code: 50001 })
        client.close()
        free()
        await full.close()
        full = await BrokerProcess.start({ program, folder: mount.folder })
        await full.topic()
        client = await DriverClient.dial('rust', { port: full.port, tls: false, clock: realClock })
        const found = new Set<string>()
        for (let empty = 0; empty < 1 && found.size < acknowledged.size; ) {
          const { messages } = await client.poll('simple', topic, 'reader', { longPollingTimeout: duration(5000) })
          for (const { systemProperties } of messages) found.add(systemProperties!.messageId)
          if (messages.length === 0) empty++
        }
        expect([...acknowledged].filter((id) => !found.has(id))).toEqual([])
        expect(acknowledged.size).toBeGreaterThan(16)
        expect((await client.send(client.message(topic, 'again'))).status?.code).toBe(20000)
        client.close()
      } finally {
        await full.close()
        mount.remove()
      }
    },
  )
})

interface Healthy {
  stop(): Promise<void>
  rounds(): number
  failures(): readonly unknown[]
  slowestMs(): number
}

/** Sends, receives and acknowledges on a topic of its own until it is stopped. */
async function startHealthy(): Promise<Healthy> {
  const topic = await broker.topic()
  const client = await DriverClient.dial('java', { port: broker.port, tls: true, clock: realClock })
  const failures: unknown[] = []
  let running = true
  let rounds = 0
  let slowestMs = 0
  const working = (async () => {
    while (running) {
      const started = realClock.monotonic()
      try {
        const sent = client.message(topic, `round ${rounds}`)
        expect((await client.send(sent)).status?.code).toBe(20000)
        const { messages, status } = await client.poll('push', topic, 'healthy')
        expect([status?.code, ...messages.map(({ body }) => `${Buffer.from(body)}`)]).toEqual([
          20000,
          `round ${rounds}`,
        ])
        expect((await client.ack(topic, 'healthy', messages[0]!)).status?.code).toBe(20000)
        rounds++
      } catch (error) {
        failures.push(error)
        if (failures.length > 3) return
      }
      slowestMs = Math.max(slowestMs, realClock.monotonic() - started)
      await pause(5)
    }
  })()
  return {
    async stop() {
      running = false
      await working
      client.close()
    },
    rounds: () => rounds,
    failures: () => failures,
    slowestMs: () => slowestMs,
  }
}

async function dial(
  headers: Record<string, string> = {},
  clientId?: string,
  port: number = broker.port,
): Promise<DriverClient> {
  const client = await DriverClient.dial('node', {
    port,
    tls: false,
    clock: realClock,
    headers,
    ...(clientId !== undefined && { clientId }),
  })
  cleanups.push(() => client.close())
  return client
}

const hello = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  http2Frame(4, 0, 0, Buffer.alloc(0)),
  http2Frame(4, 1, 0, Buffer.alloc(0)),
])

const literal = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])

/** The same, and a heartbeat: HPACK without a dynamic table, :method POST and :scheme http from the static one. */
const helloAndCall = Buffer.concat([
  hello,
  http2Frame(
    1,
    4,
    1,
    Buffer.concat([
      Buffer.from([0x83, 0x86]),
      literal(':authority', 'a'),
      literal(':path', gen.MessagingService.methods.heartbeat.path),
      literal('content-type', 'application/grpc'),
      literal('x-mq-client-id', 'crowd'),
    ]),
  ),
  http2Frame(0, 1, 1, Buffer.alloc(5)),
])

/** A socket that has said the preface and its settings, and has heard the server's. */
async function raw(): Promise<Socket> {
  const socket = await open()
  socket.write(hello)
  await new Promise((resolve) => socket.once('data', resolve))
  return socket
}

async function open(): Promise<Socket> {
  const socket = await openAt(broker.port)
  cleanups.push(() => socket.destroy())
  return socket
}

function openAt(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.once('error', reject)
    socket.on('error', () => {})
  })
}

/** Resolves when a frame of the type has come whole. */
function firstFrame(socket: Socket, type: number): Promise<void> {
  let received = Buffer.alloc(0)
  return new Promise((resolve) =>
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (parseFrames(received).some((each) => each[3] === type)) resolve()
    }),
  )
}

/** What came until the other side closed. */
function closed(socket: Socket): Promise<Buffer> {
  const received: Buffer[] = []
  socket.on('data', (chunk) => received.push(chunk))
  return new Promise((resolve) => socket.once('close', () => resolve(Buffer.concat(received))))
}

/** Writes `bytes` so many times, waiting for room, until the other side has had enough or takes no more. */
async function writeMuch(socket: Socket, bytes: Buffer, times: number): Promise<void> {
  for (let written = 0; written < times && !socket.destroyed; written++) {
    if (socket.write(bytes)) continue
    await Promise.race([
      new Promise<void>((resolve) => {
        socket.once('drain', resolve)
        socket.once('close', () => resolve())
      }),
      pause(500),
    ])
  }
}
