/**
 * What two instances of one process hold of it: one is attacked, the other does not notice. Silent connections, unfinished
 * requests, and crowds that have made a call.
 */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, type Settings } from 'node:http2'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadCertificate } from '../../src/gateway/certificate.ts'
import type { OpenPort, TlsKeys } from '../../src/gateway/gateway.ts'
import { InstanceBounds } from '../../src/gateway/instance-bounds.ts'
import type { GatewayLimits } from '../../src/gateway/limits.ts'
import type { ServerCall } from '../../src/grpc/call.ts'
import { encodeFrame } from '../../src/grpc/framing.ts'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import type { Limits } from '../../src/grpc/limits.ts'
import { type BidiCall, implement, Status } from '../../src/grpc/transport.ts'
import { SimulatedClock } from '../../src/world/simulated.ts'
import { GrpcHost, type NoteHandlers, noteCodec, notes } from '../grpc/harness.ts'

let clock: SimulatedClock
let host: GrpcHost
/** Bursts of wrong passwords. */
let told: string[]
/** Every call that came. */
let calls: ServerCall[]
const sockets: (Socket | ClientHttp2Session)[] = []
beforeEach(() => {
  clock = new SimulatedClock()
  told = []
  calls = []
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  const closed = host.close()
  let open = true
  void closed.then(() => {
    open = false
  })
  while (open) {
    await clock.advance(500)
    await turn()
  }
})

interface Instance {
  readonly port: OpenPort<string>
  readonly bounds: InstanceBounds
}

/** Two instances whose calls need the right word; a call with another is refused by its headers. */
async function serve(
  limits: Partial<GatewayLimits & Limits>,
  handlers: Partial<NoteHandlers> = {},
  maxConnections = 1000,
  tls?: TlsKeys,
): Promise<[attacked: Instance, other: Instance]> {
  host = new GrpcHost({
    services: [
      notes(handlers, (call) => {
        calls.push(call as ServerCall)
        const { metadata, connection } = call
        if (metadata['x-word'] !== 'right') {
          if (metadata['x-word'] === 'wrong') connection.guessed('user')
          return { replies: [{ text: 'who are you' }] }
        }
        return connection.admit() ? null : { replies: [{ text: 'too many' }] }
      }),
    ],
    clock,
    limits,
    ...(tls && { tls }),
    onError: (error) => {
      throw error
    },
  })
  const instance = async (name: string): Promise<Instance> => {
    const bounds = new InstanceBounds(host.gateway.bounds, {
      maxConnections,
      overflow: 2,
      clock,
      tell: (sentence) => told.push(sentence),
    })
    return { bounds, port: await host.listen({ host: '127.0.0.1', port: 0, context: name, bounds }) }
  }
  return [await instance('attacked'), await instance('other')]
}

/** A service whose streams take settings. */
async function serveSettings() {
  const opened = { taken: 0, ended: 0 }
  host = new GrpcHost({
    services: [
      implement<any, string>(
        {
          typeName: 'test.Settings',
          methods: { chat: { kind: 'bidi', path: '/test.Notes/Chat', request: gen.Settings, response: gen.Settings } },
        },
        {
          chat: async ({ requests, signal }: BidiCall<string, unknown, unknown>) => {
            signal.addEventListener('abort', () => opened.ended++)
            for await (const _ of requests) opened.taken++
          },
        },
      ),
    ],
    clock,
    onError: (error) => {
      throw error
    },
  })
  return { gateway: host.gateway, calls: opened }
}

async function keys(): Promise<TlsKeys> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-bounds-'))
  try {
    return await loadCertificate({ directory, hosts: [] })
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** What a TLS client says first. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  connectTls({ port, host: '127.0.0.1', ALPNProtocols: ['h2'] }).on('error', () => {})
  const [socket] = await once(server, 'connection')
  const [hello] = await once(socket, 'data')
  socket.destroy()
  server.close()
  return hello
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

function silent({ port }: Instance): Socket & { gone: boolean } {
  const socket = Object.assign(connectTcp(port.port, '127.0.0.1'), { gone: false })
  socket.on('error', () => {})
  socket.on('close', () => {
    socket.gone = true
  })
  socket.resume()
  sockets.push(socket)
  return socket
}

function dial({ port }: Instance, settings: Settings = {}): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port.port}`, { settings, maxSessionMemory: 1000 })
  session.on('error', () => {})
  sockets.push(session)
  return session
}

function call(session: ClientHttp2Session, word = 'right', method = 'Ask'): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/test.Notes/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    'x-word': word,
  })
  stream.on('error', () => {})
  return stream
}

/** The text of the answer, or the gRPC status. */
function answerOf(stream: ClientHttp2Stream): Promise<string> {
  let status = ''
  let body = Buffer.alloc(0)
  const take = (headers: Record<string, unknown>) => {
    status = `${headers['grpc-status'] ?? status}`
  }
  stream.on('response', take)
  stream.on('trailers', take)
  stream.on('data', (chunk: Buffer) => {
    body = Buffer.concat([body, chunk])
  })
  return new Promise((resolve) => {
    stream.on('close', () => resolve(body.length > 0 ? noteCodec.decode(body.subarray(5)).text : `status ${status}`))
  })
}

const request = (text: string) => encodeFrame(noteCodec, { text })
const ask = (session: ClientHttp2Session, text = 'hello', word = 'right') =>
  answerOf(call(session, word).end(request(text)))

describe('connections that say nothing', () => {
  it('take few places, for a time, and none of a client that calls', async () => {
    const [attacked, other] = await serve({ maxStrangersPerInstance: 20, maxStrangers: 30 }, {}, 5)
    const crowd: ReturnType<typeof silent>[] = []
    for (let n = 0; n < 100; n++) {
      crowd.push(silent(attacked))
      if (n % 10 === 9) await until(() => host.stats().acceptedConnections === n + 1)
    }
    await until(() => attacked.bounds.strangers.count === 20)
    expect(await ask(dial(attacked))).toBe('hello')
    expect(await ask(dial(other))).toBe('hello')
    await until(() => attacked.port.connections() === 20)
    // The places of a client that has called stay its own.
    expect(attacked.bounds.strangers.count).toBe(19)
    expect(crowd.filter(({ gone }) => gone).length).toBeGreaterThanOrEqual(80)
    await clock.advance(60_000)
    await until(() => attacked.port.connections() === 1)
  })

  it('go as well when they have shaken hands and called with the wrong word again and again', async () => {
    const [attacked] = await serve({ strangerMs: 30_000 })
    const session = dial(attacked)
    const closed = new Promise((resolve) => session.on('close', resolve))
    for (let tries = 0; tries < 10; tries++) {
      expect(await ask(session, 'let me in', 'wrong')).toBe('who are you')
      await clock.advance(2000)
    }
    await clock.advance(40_000)
    await closed
    expect(attacked.bounds.strangers.count).toBe(0)
  })

  it('and have called once stay for as long as they like', async () => {
    const [attacked] = await serve({})
    const session = dial(attacked)
    expect(await ask(session)).toBe('hello')
    for (let minute = 0; minute < 10; minute++) {
      await clock.advance(60_000)
      await new Promise((resolve) => session.ping(resolve))
    }
    expect(await ask(session, 'still here')).toBe('still here')
  })
})

describe('connections that have called', () => {
  it('are told when they are over the limit; a stranger takes no slot of it', async () => {
    const [attacked] = await serve({}, {}, 2)
    const sessions = Array.from({ length: 5 }, () => dial(attacked))
    const said: string[] = []
    for (const session of sessions) said.push(await ask(session))
    // The overflow holds two; the fifth is still a stranger.
    expect(said).toEqual(['hello', 'hello', 'too many', 'too many', 'too many'])
    expect(attacked.bounds.strangers.count).toBe(1)
    sessions[0]!.destroy()
    await until(() => attacked.port.connections() === 4)
    expect(await ask(sessions[2]!)).toBe('hello')
    await clock.advance(10_000)
    await until(() => attacked.port.connections() === 3)
  })

  it('of the instance that has the most are closed when the process has no more', async () => {
    const [attacked, other] = await serve({ maxConnections: 10 })
    const crowd = Array.from({ length: 9 }, () => dial(attacked))
    for (const session of crowd) expect(await ask(session)).toBe('hello')
    const clients = Array.from({ length: 4 }, () => dial(other))
    for (const session of clients) expect(await ask(session)).toBe('hello')
    await until(() => attacked.port.connections() === 6)
    for (const session of clients) expect(await ask(session)).toBe('hello')
    // The newest went, those that were there first stay.
    expect(await ask(crowd[0]!)).toBe('hello')
    expect(crowd[8]!.destroyed || crowd[8]!.closed).toBe(true)
  })
})

describe('bytes of requests', () => {
  const limits = { maxHeldBytes: 1_000_000, maxHeldBytesPerInstance: 800_000, maxHeldBytesPerConnection: 500_000 }
  const unfinished = Buffer.concat([Buffer.from([0, 0, 100, 0, 0]), Buffer.alloc(300_000)])

  it('that never end are those that go: of the largest instance, connection and call', async () => {
    const [attacked, other] = await serve(limits)
    const ends: Promise<string>[] = []
    for (let n = 0; n < 10; n++) {
      const stream = call(dial(attacked))
      ends.push(answerOf(stream))
      stream.write(unfinished)
    }
    await until(() => host.stats().heldBytes > 500_000)
    // Neighbours and clients of the same instance send what they like, all the time.
    const [neighbour, same] = [dial(other), dial(attacked)]
    for (let n = 0; n < 50; n++) {
      const text = 'x'.repeat(100_000)
      expect([await ask(neighbour, text), await ask(same, text)]).toEqual([text, text])
    }
    expect(attacked.bounds.heldBytes.held).toBeLessThanOrEqual(800_000)
    const ended = await Promise.race([Promise.all(ends.slice(0, 1)), turn().then(() => [])])
    for (const status of ended) expect(status).toBe(`status ${Status.RESOURCE_EXHAUSTED}`)
  })

  it('that somebody works on are not taken from them: the one who asks for too much is refused', async () => {
    const waiting: (() => void)[] = []
    const [attacked, other] = await serve(limits, {
      ask: async (_call, note) => {
        if (note.text.length > 1000) await new Promise<void>((resolve) => waiting.push(resolve))
        return { text: `${note.text.length}` }
      },
    })
    const sessions = [dial(attacked), dial(attacked)]
    const answers = sessions.map((session) => ask(session, 'x'.repeat(390_000)))
    await until(() => waiting.length === 2)
    expect(await ask(dial(attacked), 'x'.repeat(390_000))).toBe(`status ${Status.RESOURCE_EXHAUSTED}`)
    expect(await ask(dial(other), 'small')).toBe('5')
    for (const go of waiting) go()
    expect(await Promise.all(answers)).toEqual(['390000', '390000'])
    expect(host.stats().heldBytes).toBe(0)
  })
})

describe('bytes that lie unread', () => {
  const mib = 1024 * 1024
  const unread = () => calls.reduce((sum, { unreadBytes }) => sum + unreadBytes, 0)

  it('of refused calls are none: what they send is thrown away, also while nobody takes the refusal', async () => {
    const [attacked, other] = await serve({ maxConcurrentStreams: 500, maxRefusals: 1000 })
    const session = dial(attacked, { initialWindowSize: 0 })
    await new Promise((resolve) => session.once('remoteSettings', resolve))
    let sent = 0
    for (let n = 0; n < 400; n++) {
      const stream = call(session, 'none')
      stream.write(Buffer.alloc(mib), () => sent++)
    }
    let most = 0
    await until(() => {
      most = Math.max(most, unread())
      return sent === 400
    })
    await until(() => unread() === 0)
    expect([calls.length, calls.filter(({ ended }) => ended).length]).toEqual([400, 400])
    expect(most).toBeLessThan(16 * mib)
    expect(host.stats().heldBytes).toBe(0)
    expect(await ask(dial(other))).toBe('hello')
  })

  it('of streams both ways that nobody reads count as held, and those of a connection end when they are too many', async () => {
    const [attacked, other] = await serve(
      { maxHeldBytesPerConnection: 8 * mib },
      { chat: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())) },
    )
    const session = dial(attacked)
    const statuses: string[] = []
    for (let n = 0; n < 40; n++) {
      const stream = call(session, 'right', 'Chat')
      stream.write(Buffer.concat(Array.from({ length: 30 }, () => request('x'.repeat(32_000)))))
      void answerOf(stream).then((status) => statuses.push(status))
    }
    await until(() => {
      expect(unread()).toBeLessThanOrEqual(host.stats().heldBytes)
      return statuses.length >= 33
    })
    expect(new Set(statuses)).toEqual(new Set([`status ${Status.RESOURCE_EXHAUSTED}`]))
    expect(calls.filter((call) => !call.ended).length).toBeGreaterThan(0)
    expect(attacked.bounds.heldBytes.held).toBeLessThanOrEqual(8 * mib)
    expect([await ask(dial(attacked)), await ask(dial(other))]).toEqual(['hello', 'hello'])
    session.destroy()
    await until(() => host.stats().heldBytes === 0)
  })

  it('of streams both ways that are read are none, and nothing counts for them', async () => {
    let read = 0
    const [attacked] = await serve(
      { maxHeldBytesPerConnection: 2 * mib },
      {
        chat: async ({ requests }) => {
          for await (const _ of requests) read++
        },
      },
    )
    const stream = call(dial(attacked), 'right', 'Chat')
    const end = answerOf(stream)
    for (let n = 0; n < 300; n++) stream.write(request('x'.repeat(32_000)))
    stream.end()
    expect(await end).toBe('status 0')
    expect([read, host.stats().heldBytes]).toEqual([300, 0])
  })
})

describe('a message of a stream both ways', () => {
  it('counts until the next one comes, or the stream ends', async () => {
    const taken: string[] = []
    const [attacked] = await serve(
      {},
      {
        chat: async ({ requests }) => {
          for await (const { text } of requests) taken.push(text)
        },
      },
    )
    const stream = call(dial(attacked), 'right', 'Chat')
    const end = answerOf(stream)
    stream.write(request('x'.repeat(300_000)))
    await until(() => taken.length === 1)
    await turn()
    // The handler waits for the next, and has the last one still.
    expect(host.stats().heldBytes).toBeGreaterThan(300_000)
    stream.write(request('small'))
    await until(() => taken.length === 2)
    expect(host.stats().heldBytes).toBeLessThan(100)
    stream.end()
    expect(await end).toBe('status 0')
    expect(host.stats().heldBytes).toBe(0)
  })
})

describe('the values of a message of a stream both ways', () => {
  it('count as well; a client that leaves many streams so holds no more than its share', async () => {
    const { gateway, calls: opened } = await serveSettings()
    const bounds = new InstanceBounds(gateway.bounds, { maxConnections: 10, overflow: 2, clock, tell: () => {} })
    const port = await host.listen({ host: '127.0.0.1', port: 0, context: 'settings', bounds })
    const session = dial({ port, bounds })
    const settings = encodeFrame(gen.Settings, {
      backoffPolicy: { customizedBackoff: { next: Array(20_000).fill({}) } },
    })
    const streams = Array.from({ length: 60 }, () => call(session, 'right', 'Chat'))
    const ends = streams.map((stream) => answerOf(stream))
    for (const stream of streams) stream.write(settings)
    await until(() => opened.taken + opened.ended >= 60)
    // Each counts for its 40,000 bytes and some 1.25 MiB of values.
    expect(opened.taken - opened.ended).toBeLessThanOrEqual(51)
    expect(bounds.heldBytes.held).toBeLessThanOrEqual(64 * 1024 * 1024)
    session.destroy()
    await Promise.all(ends)
    await until(() => host.stats().heldBytes === 0)
  })
})

describe('calls that are left open', () => {
  it('count with their headers; beyond the bound those of the connection with the most end, not those of others', async () => {
    const [attacked, other] = await serve(
      { maxOpenCallBytesPerInstance: 1_000_000, maxOpenCallBytes: 1_200_000 },
      { chat: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())) },
    )
    const [client, neighbour] = [dial(attacked), dial(other)]
    let kept = 0
    for (const session of [client, neighbour]) {
      for (let n = 0; n < 5; n++) {
        kept++
        void answerOf(call(session, 'right', 'Chat')).then(() => kept--)
      }
    }
    await until(() => calls.length === 10)
    const crowd = dial(attacked)
    const ends: Promise<string>[] = []
    for (let n = 0; n < 300; n++) ends.push(answerOf(call(crowd, 'right', 'Chat')))
    await until(() => calls.length === 310)
    const open = calls.filter(({ ended }) => !ended).length
    expect(open).toBeGreaterThan(100)
    expect(open).toBeLessThanOrEqual(130)
    expect(attacked.bounds.openCallBytes.held).toBeLessThanOrEqual(1_000_000)
    expect(await ends[299]).toBe(`status ${Status.RESOURCE_EXHAUSTED}`)
    expect([await ask(client), await ask(neighbour), kept]).toEqual(['hello', 'hello', 10])
    for (const session of [client, neighbour, crowd]) session.destroy()
    await until(() => host.gateway.bounds.openCallBytes.held === 0)
  })
})

describe('the time of a turn', () => {
  it('that large requests take is that of a few, however many have come; another instance is served between', async () => {
    let worked = 0
    clock = new (class extends SimulatedClock {
      override monotonic(): number {
        return super.monotonic() + worked
      }
    })()
    let inTurn = 0
    let most = 0
    let asked = 0
    const [attacked, other] = await serve(
      {},
      {
        ask: (_call, { text }) => {
          if (text.length < 1000) return { text }
          worked += 10
          asked++
          if (inTurn++ === 0) setImmediate(() => (inTurn = 0))
          most = Math.max(most, inTurn)
          return { text: 'done' }
        },
      },
    )
    const neighbour = dial(other)
    expect(await ask(neighbour)).toBe('hello')
    const sessions = Array.from({ length: 4 }, () => dial(attacked))
    for (const session of sessions) expect(await ask(session)).toBe('hello')
    const large = 'x'.repeat(100_000)
    const answers = sessions.flatMap((session) => Array.from({ length: 16 }, () => ask(session, large)))
    await until(() => asked > 0)
    const before = asked
    expect(await ask(neighbour)).toBe('hello')
    expect(asked - before).toBeLessThan(40)
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['done']))
    // One that comes while there is time, and one that waited.
    expect(most).toBeLessThanOrEqual(2)
  })

  it('that TLS handshakes take is that of a few, however many hellos come at once', async () => {
    let reads = 0
    clock = new (class extends SimulatedClock {
      override monotonic(): number {
        return super.monotonic() + 5 * reads++
      }
    })()
    const [attacked] = await serve({ firstBytesMs: 1e9, strangerMs: 1e9 }, {}, 1000, await keys())
    const hello = await clientHello()
    const clients = Array.from({ length: 30 }, () => silent(attacked))
    for (const client of clients) client.write(hello.subarray(0, -1))
    let answered = 0
    for (const client of clients) client.once('data', () => answered++)
    await until(() => host.gateway.stats().connections === clients.length)
    for (let turns = 0; turns < 100; turns++) await turn()
    // A handshake is not begun with a part of its hello.
    expect(answered).toBe(0)
    let most = 0
    for (const client of clients) client.write(hello.subarray(-1))
    for (let before = 0; answered < clients.length; before = answered) {
      await turn()
      most = Math.max(most, answered - before)
    }
    expect(most).toBeLessThanOrEqual(4)
  })

  it('that the messages of streams both ways take is also that of a few', async () => {
    let worked = 0
    clock = new (class extends SimulatedClock {
      override monotonic(): number {
        return super.monotonic() + worked
      }
    })()
    let inTurn = 0
    let most = 0
    let taken = 0
    const [attacked, other] = await serve(
      {},
      {
        chat: async (stream) => {
          for await (const { text } of stream.requests) {
            if (text.length < 1000) continue
            worked += 10
            taken++
            if (inTurn++ === 0) setImmediate(() => (inTurn = 0))
            most = Math.max(most, inTurn)
          }
        },
      },
    )
    const neighbour = dial(other)
    expect(await ask(neighbour)).toBe('hello')
    const sessions = Array.from({ length: 4 }, () => dial(attacked))
    for (const session of sessions) expect(await ask(session)).toBe('hello')
    const streams = sessions.flatMap((session) => Array.from({ length: 16 }, () => call(session, 'right', 'Chat')))
    for (const stream of streams) stream.write(request('x'.repeat(60_000)))
    await until(() => taken > 0)
    const before = taken
    expect(await ask(neighbour)).toBe('hello')
    expect(taken - before).toBeLessThan(40)
    await until(() => taken === streams.length)
    // One that comes while there is time, and one that waited.
    expect(most).toBeLessThanOrEqual(2)
  })
})

describe('calls of a stranger that are refused', () => {
  it.each(['none', 'wrong path'])('are few: then the connection ends (%s)', async (word) => {
    const [attacked, other] = await serve({})
    const session = dial(attacked)
    const closed = new Promise((resolve) => session.on('close', resolve))
    const answers = Array.from({ length: 32 }, () =>
      word === 'none' ? ask(session, 'hello', 'none') : answerOf(call(session, 'right', 'Nothing').end()),
    )
    expect(new Set(await Promise.all(answers)).size).toBe(1)
    await closed
    expect(await ask(dial(attacked))).toBe('hello')
    expect(await ask(dial(other))).toBe('hello')
  })

  it('are not counted once it has made a valid one', async () => {
    const [attacked] = await serve({})
    const session = dial(attacked)
    expect(await ask(session)).toBe('hello')
    for (let n = 0; n < 100; n++) expect(await ask(session, 'hello', 'none')).toBe('who are you')
    expect(await ask(session)).toBe('hello')
  })
})

describe('passwords that are guessed', () => {
  it('are answered late and end their connection; the right one of the same network passes at once', async () => {
    const [attacked, other] = await serve({ guessMs: 1000 })
    const inside = dial(attacked)
    expect(await ask(inside)).toBe('hello')
    const guessing = dial(attacked)
    for (let tries = 0; tries < 20; tries++) expect(await ask(guessing, 'in', 'wrong')).toBe('who are you')
    const closed = new Promise((resolve) => guessing.on('close', resolve))
    let answered = false
    const late = ask(guessing, 'in', 'wrong').then((text) => {
      answered = true
      return text
    })
    await until(() => told.length === 1)
    expect(told).toEqual([expect.stringMatching(/^20 wrong credentials for user "user" came from 127.0.0.1/)])
    // However many strangers come and wait meanwhile, whoever has the right word is answered at once.
    const crowd = Array.from({ length: 40 }, () => silent(attacked))
    await until(() => attacked.bounds.strangers.count >= crowd.length)
    expect([await ask(dial(attacked)), await ask(inside), await ask(dial(other))]).toEqual(['hello', 'hello', 'hello'])
    expect(answered).toBe(false)
    await clock.advance(1000)
    expect(await late).toBe('who are you')
    await closed
    expect(told).toHaveLength(1)
  })
})
