/**
 * A hundred thousand spoiled frames at the data plane: the broker lives, every call ends with a status that is not a
 * fault of ours, a healthy client beside them sends, receives and acknowledges throughout, and memory stays bounded.
 *
 * Most go through `ServerCall`, the decoder, the RPCs and the broker in this process, one seeded world after another; the
 * rest are spoiled HTTP/2 frames over real sockets. A failure prints the seed of its world: GANTRY_WIRE_FUZZ_WORLD=<seed>
 * runs that one alone. GANTRY_TEST_SEED=random looks elsewhere, GANTRY_WIRE_FUZZ_FRAMES runs longer.
 */
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MetricsService } from '../../src/grpc/gen/otlp.js'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { SimulatedRandom } from '../../src/world/simulated.ts'
import type { Random } from '../../src/world/world.ts'
import { DriverClient } from '../wire/driver/client.ts'
import { DrivenInstance } from '../wire/driver/instance.ts'
import { frame } from '../wire/driver/line.ts'
import { mutateFrames, parseFrames, recordSession } from './frames.ts'
import { type Recorded, record, rpcNames, type Things } from './wire-corpus.ts'
import { mutate, pick } from './wire-mutations.ts'
import { type WireAnswer, WireSubject } from './wire-subject.ts'

const asked = process.env['GANTRY_TEST_SEED'] ?? '20260801'
const seed = asked === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(asked)
const onlyWorld = process.env['GANTRY_WIRE_FUZZ_WORLD']
const inProcessFrames = Number(process.env['GANTRY_WIRE_FUZZ_FRAMES'] ?? 100_000)
const framesPerWorld = 4000
const framesPerRound = 400
const worlds = onlyWorld === undefined ? Math.ceil(inProcessFrames / framesPerWorld) : 1
/** Growth of the whole process's memory that nobody minds, over everything. */
const allowedGrowthBytes = 400 * 2 ** 20

describe('spoiled messages', () => {
  const seeds = Array.from({ length: worlds }, (_, index) =>
    onlyWorld === undefined ? (seed + index * 7919) % 2 ** 31 : Number(onlyWorld),
  )
  const rssBefore = process.memoryUsage().rss
  const tally: Tally = { frames: 0, grpc: new Map(), codes: new Map() }

  it.each(seeds)('world %i', { timeout: 120_000 }, async (worldSeed) => {
    try {
      await liveThrough(worldSeed, tally)
    } catch (error) {
      throw new Error(`GANTRY_WIRE_FUZZ_WORLD=${worldSeed}: ${(error as Error).message}`, { cause: error })
    }
  })

  it.skipIf(onlyWorld !== undefined)('were enough, of every kind of answer, and memory stayed bounded', () => {
    if (process.env['GANTRY_WIRE_FUZZ_TALLY']) console.log(tally)
    expect(tally.frames).toBeGreaterThanOrEqual(inProcessFrames)
    // Neither all accepted nor all refused by the API: the mutations reach the rules.
    for (const code of [20000, 40002, 40003, 40013, 40016, 40401, 40402, 43101]) {
      expect([code, (tally.codes.get(code) ?? 0) > 0]).toEqual([code, true])
    }
    expect(process.memoryUsage().rss - rssBefore).toBeLessThan(allowedGrowthBytes)
  })
})

interface Tally {
  frames: number
  /** Ended calls by gRPC status, and replies by status code. */
  readonly grpc: Map<number, number>
  readonly codes: Map<number, number>
}

async function liveThrough(worldSeed: number, tally: Tally): Promise<void> {
  const random = new SimulatedRandom(worldSeed)
  const subject = await WireSubject.start(worldSeed)
  for (let done = 0; done < framesPerWorld; ) {
    const corpus = record(await things(subject))
    const calls = Array.from({ length: framesPerRound }, () => spoiledCall(corpus, random))
    const answering = calls.map(({ path, headers, chunks }) => subject.call(path, headers, chunks))
    const [answers] = await Promise.all([ended(subject, answering), healthy(subject)])
    for (const [index, answer] of answers.entries()) {
      judge(calls[index]!, answer, tally)
      done += calls[index]!.frames
      tally.frames += calls[index]!.frames
    }
    if (subject.errors.length > 0) throw subject.errors[0]
    expect([subject.openCalls(), subject.heldBytes]).toEqual([[], 0])
  }
  await subject.close()
}

interface SpoiledCall {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly chunks: readonly Buffer[]
  /** Messages sent that were spoiled, or framed wrongly, or sent to the wrong RPC. */
  readonly frames: number
}

function spoiledCall(corpus: readonly Recorded[], random: Random): SpoiledCall {
  const { path, messages } = pick(random, corpus)
  const elsewhere = pick(random, corpus)
  const spoiled = messages.map((message) => mutate(message, pick(random, elsewhere.messages), random))
  // Now and then a whole message of another RPC.
  if (random.below(20) === 0) spoiled[0] = Buffer.from(elsewhere.messages[0]!)
  const headers = pick(random, headerSets)
  let bytes = Buffer.concat(spoiled.map((message) => framed(message, headers, random)))
  if (random.below(20) === 0) bytes = bytes.subarray(0, random.below(bytes.length + 1))
  return { path, headers, chunks: chunksOf(bytes, random), frames: spoiled.length }
}

/** In a right frame mostly; compressed where the headers say so; in a wrong frame now and then. */
function framed(message: Buffer, headers: Readonly<Record<string, string>>, random: Random): Buffer {
  if (headers['grpc-encoding'] === 'gzip' && random.below(4) > 0) return frame(gzipSync(message), true)
  const right = frame(message)
  if (random.below(25) > 0) return right
  right[random.below(5)] = pick(random, [0, 1, 2, 0x7f, 0xff])
  return right
}

function chunksOf(bytes: Buffer, random: Random): Buffer[] {
  if (random.below(10) > 0) return [bytes]
  const cut = random.below(bytes.length + 1)
  return [bytes.subarray(0, cut), bytes.subarray(cut)]
}

const plain = {}
const headerSets: readonly Readonly<Record<string, string>>[] = [
  ...Array.from({ length: 12 }, () => plain),
  { 'grpc-timeout': '3000m' },
  { 'grpc-timeout': '0n' },
  { 'grpc-timeout': '1n' },
  { 'grpc-timeout': '99999999H' },
  { 'grpc-timeout': '-1S' },
  { 'grpc-encoding': 'gzip' },
  { 'grpc-encoding': 'snappy' },
  { 'x-mq-client-id': '' },
  { 'x-mq-client-id': '__proto__' },
  { 'x-mq-client-id': 'c'.repeat(2000) },
  { 'x-mq-language': 'HTTP' },
  { 'x-mq-language': '\u00ff\u00fe' },
  { 'x-mq-client-version': '5.0.2' },
  { 'x-mq-client-version': '9'.repeat(400) },
  { authorization: 'MQv2-HMAC-SHA1 Credential=, Signature=' },
]

/** Every answer, with the clock moved until they are all there; a call that does not end by itself hangs. */
async function ended(subject: WireSubject, answering: readonly Promise<WireAnswer>[]): Promise<WireAnswer[]> {
  let open = true
  const all = Promise.all(answering).finally(() => {
    open = false
  })
  for (let passed = 0; open; passed++) {
    // Telemetry, deadlines and polls are over in 20 s of the clock.
    if (passed > 100) throw new Error(`These calls never ended: ${subject.openCalls().slice(0, 3).join(', ')}`)
    await subject.arrived()
    await subject.clock.advance(2500)
  }
  return all
}

/** What bad input may be told by gRPC itself: its own description has INTERNAL for what cannot be read. */
const unreadable =
  /^(The request of .* is not the message it should be|The request stream ended inside a message|A message starts with flags|A message is marked compressed|A compressed message is not gzip|grpc-timeout .* is malformed|.* takes one request message; )/

const allowedGrpc: ReadonlySet<number> = new Set([
  0, // OK
  3, // INVALID_ARGUMENT: settings
  4, // DEADLINE_EXCEEDED
  8, // RESOURCE_EXHAUSTED: too large
  12, // UNIMPLEMENTED: encodings, methods
  13, // INTERNAL, with one of the sentences above
])

function judge(call: SpoiledCall, answer: WireAnswer, tally: Tally): void {
  const { grpcStatus, grpcMessage } = answer
  const about = `${call.path} ${JSON.stringify(call.headers)} ${Buffer.concat([...call.chunks])
    .toString('base64')
    .slice(0, 600)}`
  const complain = (what: string): never => {
    throw new Error(`${what}: ${grpcStatus} ${grpcMessage} for ${about}`)
  }
  if (answer.resetCode !== null || answer.httpStatus !== 200)
    complain(`reset ${answer.resetCode}, HTTP ${answer.httpStatus}`)
  if (grpcStatus === null || !allowedGrpc.has(grpcStatus)) complain('gRPC status')
  if (grpcStatus === 13 && !unreadable.test(grpcMessage)) complain('a fault of ours')
  if (grpcStatus !== 0 && grpcMessage.length < 10) complain('a status that does not say why')
  tally.grpc.set(grpcStatus!, (tally.grpc.get(grpcStatus!) ?? 0) + 1)
  for (const status of statusesIn(call.path, answer.body)) {
    if (gen.Code[status.code] === undefined) complain(`status code ${status.code}`)
    // 50100: features this broker does not have.
    if (status.code >= 50000 && status.code !== 50100) complain(`${status.code} ${status.message}`)
    if (status.message.length < 2) complain('a reply that does not say why')
    tally.codes.set(status.code, (tally.codes.get(status.code) ?? 0) + 1)
  }
}

const responses = new Map(
  [...rpcNames.map((name) => gen.MessagingService.methods[name]), MetricsService.methods.export].map((method) => {
    return [method.path as string, method.response as { decode(bytes: Uint8Array): { status?: gen.Status | null } }]
  }),
)

/** The statuses in a call's replies; throws when the bytes are no whole replies. */
function statusesIn(path: string, body: Buffer): gen.Status[] {
  const found: gen.Status[] = []
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1)
    if (body[at] !== 0 || end > body.length) throw new Error(`${path} answered with a broken frame`)
    const { status } = responses.get(path)!.decode(body.subarray(at + 5, end))
    if (status != null) found.push(status)
    at = end
  }
  return found
}

/** What the next round's requests name: topics, groups, and deliveries that are live. */
async function things(subject: WireSubject): Promise<Things> {
  const topics = [
    'topic-normal',
    ...['fifo', 'delay', 'transaction', 'priority', 'lite'].map((type) => `topic-${type}`),
  ]
  const messages = Array.from({ length: 8 }, (_, index) => ({ messageId: `fresh-${index}`, body: 'x' }))
  await sendHealthy(subject, 'topic-normal', messages)
  const deliveries = await subject.broker.consuming.receive(
    {
      group: 'group-a',
      topic: 'topic-normal',
      filter: null,
      max: 4,
      waitMs: 0,
      invisibleMs: 60_000,
      autoRenew: false,
      clientId: 'fuzz',
    },
    new AbortController().signal,
  )
  return {
    // Every other round the second topic is of another kind.
    topics: [topics[0]!, topics[1 + (Math.floor(subject.clock.monotonic() / 500) % 5)]!],
    groups: ['group-a'],
    deliveries: deliveries.map(({ handle, messageId }) => ({ handle, messageId })),
    now: subject.clock.now(),
  }
}

let healthyRound = 0

/** A client beside them, on the same topic with a group of its own: what it sends it gets, once. */
async function healthy(subject: WireSubject): Promise<void> {
  const body = `healthy ${healthyRound++}`
  await sendHealthy(subject, 'topic-priority', [{ messageId: body, body }])
  const request = gen.ReceiveMessageRequest.encode({
    group: { name: 'healthy-group' },
    messageQueue: { topic: { name: 'topic-priority' } },
    filterExpression: { type: 1, expression: 'healthy' },
    batchSize: 32,
    autoRenew: true,
    longPollingTimeout: { seconds: 5, nanos: 0 },
  }).finish()
  for (let polls = 0; ; polls++) {
    if (polls > 20) throw new Error(`The healthy client never got ${JSON.stringify(body)}`)
    const headers = { 'x-mq-client-id': 'healthy' }
    const answer = await subject.call(gen.MessagingService.methods.receiveMessage.path, headers, [frame(request)])
    const messages = messagesIn(answer.body)
    for (const { systemProperties } of messages) {
      const ack = gen.AckMessageRequest.encode({
        group: { name: 'healthy-group' },
        topic: { name: 'topic-priority' },
        entries: [{ messageId: systemProperties!.messageId, receiptHandle: systemProperties!.receiptHandle! }],
      }).finish()
      const acked = await subject.call(gen.MessagingService.methods.ackMessage.path, headers, [frame(ack)])
      expect(gen.AckMessageResponse.decode(acked.body.subarray(5)).status?.code).toBe(20000)
    }
    if (messages.some((message) => Buffer.from(message.body).toString() === body)) return
  }
}

async function sendHealthy(
  subject: WireSubject,
  topic: string,
  messages: readonly { messageId: string; body: string }[],
): Promise<void> {
  const request = gen.SendMessageRequest.encode({
    messages: messages.map(({ messageId, body }) => ({
      topic: { name: topic },
      systemProperties: { messageId, tag: 'healthy', ...(topic === 'topic-priority' && { priority: 1 }) },
      body: Buffer.from(body),
    })),
  }).finish()
  const answer = await subject.call(gen.MessagingService.methods.sendMessage.path, { 'x-mq-client-id': 'healthy' }, [
    frame(request),
  ])
  expect(gen.SendMessageResponse.decode(answer.body.subarray(5)).status).toMatchObject({ code: 20000 })
}

function messagesIn(body: Buffer): gen.Message[] {
  const found: gen.Message[] = []
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1)
    const { message } = gen.ReceiveMessageResponse.decode(body.subarray(at + 5, end))
    if (message !== null) found.push(message)
    at = end
  }
  return found
}

describe.skipIf(onlyWorld !== undefined)('spoiled HTTP/2 frames over sockets', () => {
  const connections = 600
  const atOnce = 20
  let instance: DrivenInstance
  beforeAll(async () => {
    instance = await DrivenInstance.start()
  })
  afterAll(() => instance.close())

  it(`are answered in whole frames or with an end, and others go on (seed ${seed})`, { timeout: 120_000 }, async () => {
    const random = new SimulatedRandom(seed)
    const topic = await instance.topic()
    const group = await instance.group()
    const client = await DriverClient.dial('node', { port: instance.port, tls: false, clock: instance.clock })
    const corpus = record({ topics: [topic], groups: [group], deliveries: [], now: instance.clock.now() })
    const sessions = await Promise.all(Array.from({ length: 20 }, () => recordSession(corpus, random)))
    let sent = 0
    const received: Buffer[] = []
    for (let made = 0; made < connections; made += atOnce) {
      const throwing = Array.from({ length: atOnce }, () => {
        const frames = mutateFrames(pick(random, sessions), random)
        sent += frames.length
        return throwAt(instance.port, Buffer.concat(frames))
      })
      await client.send(client.message(topic, `healthy ${made}`))
      // It is there, so the poll needs no time; the spoiled ones may have sent more to the topic.
      for (let found = false; !found; ) {
        const { messages } = await client.poll('simple', topic, 'healthy')
        for (const message of messages) {
          expect((await client.ack(topic, 'healthy', message)).status?.code).toBe(20000)
          found ||= Buffer.from(message.body).toString() === `healthy ${made}`
        }
      }
      received.push(...(await instance.elapse(Promise.all(throwing), 500)).value)
    }
    client.close()
    for (const bytes of received) parseFrames(bytes)
    expect(sent).toBeGreaterThan(5000)
    expect(instance.reported).toEqual([])
    const { connections: left } = await instance.host.ask({
      instanceId: instance.instanceId,
      question: 'usage',
      params: {},
    })
    expect(left).toBeLessThanOrEqual(1)
  })
})

/** Sends `bytes`, half-closes, and answers what came until the other side closed too. */
function throwAt(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const received: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes))
    socket.on('data', (chunk) => received.push(chunk))
    socket.on('error', () => {})
    socket.on('close', () => resolve(Buffer.concat(received)))
  })
}
