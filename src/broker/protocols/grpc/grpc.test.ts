/** The RPCs over a broker that records what it is asked: what is refused with which code, and what reaches it. */

import { describe, expect, it } from 'vitest'
import { createBandwidth } from '../../../gateway/bandwidth.ts'
import { OpenCalls } from '../../../gateway/open-calls.ts'
import * as gen from '../../../grpc/gen/rocketmq.js'
import { BrokerRefusal } from '../../../model/refusals.ts'
import { SimulatedClock, settle } from '../../../world/simulated.ts'
import type { Broker, Delivery, GroupView, OutgoingMessage, ReceiveRequest, TopicView } from '../../broker.ts'
import type { BrokerEndpoint } from '../../calls/endpoint.ts'
import { ClientRegistry } from '../../clients/client-registry.ts'
import { encodeStored } from '../../messages/stored-message.ts'
import { messagingService } from './index.ts'

const normal: TopicView = { topicName: 'normal', generation: 1, messageType: 'NORMAL', maxSendTps: null, queues: 8 }
const delay: TopicView = { ...normal, topicName: 'delay', messageType: 'DELAY' }
const fifo: TopicView = { ...normal, topicName: 'fifo', messageType: 'FIFO' }
const priority: TopicView = { ...normal, topicName: 'priority', messageType: 'PRIORITY' }
const topics = new Map([normal, delay, fifo, priority].map((topic) => [topic.topicName, topic]))
const group = (consumerGroupId: string): GroupView => ({
  consumerGroupId,
  generation: 0,
  orderly: consumerGroupId === 'orderly',
  maxRetryTimes: 16,
  retry: { kind: 'default' },
  deadLetterTopic: null,
  maxReceiveTps: null,
  maxAttempts: 17,
  liteSubscriptionsPerClient: 2_000,
  liteTopicNameBytes: 64,
  retryDelaysMs: [10_000, 30_000, 7_200_000],
})

class World {
  readonly clock = new SimulatedClock()
  readonly received: ReceiveRequest[] = []
  readonly sent: OutgoingMessage[] = []
  readonly gone: string[] = []
  readonly alive: string[] = []
  readonly reported: unknown[] = []
  /** Handles, by what became of their deliveries without the client. */
  readonly returned: string[] = []
  readonly released: string[] = []
  deliveries: Delivery[] = []
  outcome: 'done' | 'expired' = 'done'
  readonly endpoint: BrokerEndpoint

  constructor() {
    const broker = {
      offsets: {},
      metadata: {
        maxDelayMs: 7 * 86_400_000,
        topic: (name: string) => topics.get(name) ?? null,
        group,
      },
      producing: {
        send: async ({ messages }: { messages: readonly OutgoingMessage[] }) => {
          this.sent.push(...messages)
          return messages.map(({ messageId, deliverAtMs }) => ({
            messageId,
            queueId: 0,
            offset: 5,
            storeTimeMs: 0,
            recallHandle: deliverAtMs == null ? null : `handle of ${messageId}`,
          }))
        },
        recall: async ({ topic, handle }: { topic: string; handle: string }) => {
          if (handle !== 'good') throw new BrokerRefusal(40400, 'the message cannot be recalled any more')
          return { messageId: `of ${topic}` }
        },
      },
      consuming: {
        useGroup: group,
        receive: async (request: ReceiveRequest) => {
          this.received.push(request)
          return this.deliveries
        },
        ack: async ({ handles }: { handles: readonly string[] }) =>
          handles.map((handle) => ({ outcome: handle === 'old' ? 'expired' : this.outcome })),
        changeInvisible: async ({ handle }: { handle: string }) => {
          this.released.push(handle)
          return { outcome: this.outcome, handle: 'same' }
        },
        returnDeliveries: async ({ handles }: { handles: readonly string[] }) => this.returned.push(...handles) > 0,
        forwardToDeadLetter: async () => {},
        clientAlive: (clientId: string) => this.alive.push(clientId),
        clientGone: (clientId: string) => this.gone.push(clientId),
      },
    } as unknown as Broker
    this.endpoint = {
      instanceId: 'rmq-cn-test',
      broker,
      clients: new ClientRegistry(broker.consuming, this.clock),
      clock: this.clock,
      authenticator: null,
      authorizer: null,
      openCalls: new OpenCalls(),
      serving: true,
      maxConnections: 4000,
      bandwidth: createBandwidth(null, this.clock),
      inbound: createBandwidth(null, this.clock),
      report: (error) => this.reported.push(error),
    }
  }

  call(
    path: string,
    request: unknown,
    more: {
      metadata?: Record<string, string>
      remainingMs?: number
      overLimit?: boolean
      reads?: boolean
      ended?: AbortController
    } = {},
  ): Promise<any> {
    const written: any[] = []
    const { reads = true, ended = new AbortController() } = more
    const method = messagingService.methods.find(({ type }) => type.path.endsWith(`/${path}`))!
    const call = {
      path: method.type.path,
      context: this.endpoint,
      metadata: { 'x-mq-client-id': 'client', ...more.metadata },
      connection: {
        id: 1,
        localAddress: '127.0.0.1',
        localPort: 7801,
        remoteAddress: '127.0.0.1',
        closed: false,
        remotePort: 1,
        encrypted: false,
        admit: () => more.overLimit !== true,
        guessed: () => {},
        refusalDelayMs: 0,
      },
      arrivedAt: 0,
      remainingMs: () => more.remainingMs ?? 3000,
      signal: ended.signal,
      write: (message: unknown) => written.push(message) > 0,
      writeEncoded: (pieces: Uint8Array[]) =>
        written.push(gen.ReceiveMessageResponse.decode(Buffer.concat(pieces))) > 0 && reads,
      drained: () =>
        reads
          ? Promise.resolve()
          : new Promise<void>((resolve) => ended.signal.addEventListener('abort', () => resolve())),
      whenClosed: (task: () => void) => task(),
      reset: () => ended.abort(),
      requests: (async function* () {
        yield method.type.request.decode(method.type.request.encode(request).finish())
      })(),
    } as any
    const decoded = method.type.request.decode(method.type.request.encode(request).finish())
    const refusal = method.admit?.(call) ?? null
    if (refusal !== null) return Promise.resolve(method.type.kind === 'unary' ? refusal.replies[0] : refusal.replies)
    return Promise.resolve(method.handle(call, method.type.kind === 'bidi' ? undefined : decoded)).then((reply) =>
      method.type.kind === 'unary' ? reply : written,
    )
  }
}

const message = (system: gen.SystemPropertiesInit = {}, more: gen.MessageInit = {}): gen.MessageInit => ({
  topic: { name: 'normal' },
  systemProperties: { messageId: 'id', ...system },
  body: Buffer.from('x'),
  ...more,
})
const properties = (count: number, bytes = 1): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v'.repeat(bytes)]))

describe('PullMessage', () => {
  const request = {
    group: { name: 'group' },
    messageQueue: { topic: { name: 'normal' } },
    longPollingTimeout: { seconds: 5 },
  }
  const pulled = (messages: number) => ({
    deliveries: Array.from({ length: messages }, (_, offset) => ({
      messageId: 'id',
      payload: encodeStored(
        gen.Message.decode(gen.Message.encode(message()).finish()),
        normal,
        { userName: 'alice', storeHost: '127.0.0.1:7801' },
        0,
      ),
      queueId: 0,
      offset,
      attempt: 1,
      handle: '',
      storeTimeMs: 0,
      invisibleMs: 0,
      deadLetterOf: null,
    })),
    nextOffset: messages,
  })

  it('gives a client nothing of an instance that was stopped while it waited', async () => {
    const world = new World()
    ;(world.endpoint.broker.offsets as any).pull = async () => {
      world.endpoint.serving = false
      return pulled(1)
    }
    const written = await world.call('PullMessage', request, { remainingMs: 30_000 })
    expect(written).toEqual([{ status: { code: 40200, message: expect.stringContaining('renew') } }])
  })

  it('gives up a client that reads nothing for half a minute, and holds no timer then', async () => {
    const world = new World()
    ;(world.endpoint.broker.offsets as any).pull = async () => pulled(3)
    const written = world.call('PullMessage', request, { remainingMs: Number.POSITIVE_INFINITY, reads: false })
    await settle()
    expect(world.clock.pending).toBe(1)
    await world.clock.advance(30_000)
    // The status, the message that filled the stream, and no end.
    expect(await written).toHaveLength(2)
    expect(world.clock.pending).toBe(0)
  })
})

describe('SendMessage', () => {
  const future = { seconds: Math.floor(new SimulatedClock().now() / 1000) + 7 * 86_400 + 10, nanos: 0 }
  it.each<[string, gen.MessageInit[], number]>([
    ['one message', [message()], 20000],
    ['a batch', [message({ messageId: 'a' }), message({ messageId: 'b' })], 20000],
    ['nothing', [], 40016],
    ['two topics', [message(), message({}, { topic: { name: 'other' } })], 40016],
    ['a bad topic name', [message({}, { topic: { name: 'a b' } })], 40002],
    ['a system topic', [message({}, { topic: { name: 'TBW102' } })], 40002],
    ['an unknown topic', [message({}, { topic: { name: 'unknown' } })], 40402],
    ['an empty body', [message({}, { body: new Uint8Array(0) })], 41302],
    ['a body of 4 MiB', [message({}, { body: new Uint8Array(4_194_304) })], 20000],
    ['a byte more', [message({}, { body: new Uint8Array(4_194_305) })], 41301],
    ['a blank tag', [message({ tag: ' ' })], 40004],
    ['a tag with a bar', [message({ tag: 'a|b' })], 40004],
    ['a tag with U+0000', [message({ tag: 'a\u0000' })], 40004],
    ['a Chinese tag', [message({ tag: '标签' })], 20000],
    ['a blank key', [message({ keys: [' '] })], 40005],
    ['a key with U+0000', [message({ keys: ['a\u0000'] })], 40005],
    ['a key of 16 KiB', [message({ keys: ['k'.repeat(16_384)] })], 20000],
    ['a byte more of it', [message({ keys: ['k'.repeat(16_385)] })], 43101],
    ['a blank group', [message({ messageGroup: ' ' })], 40006],
    ['a group of 64 bytes', [message({ messageGroup: 'g'.repeat(64) })], 40006],
    ['a time too far ahead', [message({ deliveryTimestamp: future })], 40012],
    ['128 properties', [message({}, { userProperties: properties(128) })], 20000],
    ['129 properties', [message({}, { userProperties: properties(129) })], 43101],
    ['too many bytes of them', [message({}, { userProperties: properties(100, 200) })], 43101],
    ['a reserved property', [message({}, { userProperties: { UNIQ_KEY: 'x' } })], 40007],
    ['a control character in a property', [message({}, { userProperties: { 'a\u0000': 'x' } })], 40007],
    ['any visible property name', [message({}, { userProperties: { '中文 % || && 🏷': 'x' } })], 20000],
    ['no message id', [message({ messageId: ' ' })], 40009],
    ['an ordered message', [message({ messageGroup: 'g' })], 40014],
    ['one to a FIFO topic', [message({ messageGroup: 'g' }, { topic: { name: 'fifo' } })], 20000],
    ['one without a group there', [message({}, { topic: { name: 'fifo' } })], 40014],
    ['an urgent message', [message({ priority: 3 })], 40014],
    ['one to a PRIORITY topic', [message({ priority: 0 }, { topic: { name: 'priority' } })], 20000],
    ['one without a priority there', [message({}, { topic: { name: 'priority' } })], 40014],
    ['one of priority -1', [message({ priority: -1 }, { topic: { name: 'priority' } })], 40000],
    [
      'an ordered message to a PRIORITY topic',
      [message({ messageGroup: 'g' }, { topic: { name: 'priority' } })],
      40014,
    ],
    ['a delayed message', [message({ deliveryTimestamp: { seconds: 1 } })], 40014],
    ['a transactional message', [message({ messageType: 4 })], 40014],
  ])('of %s answers %i', async (_, messages, code) => {
    const reply = await new World().call('SendMessage', { messages })
    expect([reply.status.code, reply.entries?.length]).toEqual([code, code === 20000 ? messages.length : undefined])
    if (code !== 20000) expect(reply.status.message.length).toBeGreaterThan(10)
    else
      expect(reply.entries.map((entry: any) => entry.messageId)).toEqual(
        messages.map((sent) => sent.systemProperties?.messageId),
      )
  })
})

describe('a DELAY topic', () => {
  const nowSeconds = Math.floor(new SimulatedClock().now() / 1000)
  const timed = (seconds: number, nanos = 0): gen.MessageInit =>
    message({ deliveryTimestamp: { seconds, nanos } }, { topic: { name: 'delay' } })

  it.each<[string, gen.MessageInit, number, number | null]>([
    ['a message for later', timed(nowSeconds + 60), 20000, (nowSeconds + 60) * 1000],
    ['a fraction of a millisecond, rounded up', timed(nowSeconds, 1_500_001), 20000, nowSeconds * 1000 + 2],
    ['a time in the past', timed(5), 20000, 5000],
    ['a time before 1970', timed(-5), 20000, -5000],
    ['the farthest time', timed(nowSeconds + 7 * 86_400), 20000, (nowSeconds + 7 * 86_400) * 1000],
    ['a millisecond more', timed(nowSeconds + 7 * 86_400, 1_000_000), 40012, null],
    ['the end of all numbers', timed(Number.MAX_SAFE_INTEGER), 40012, null],
    ['no time', message({}, { topic: { name: 'delay' } }), 40014, null],
    [
      'a time and a group',
      { ...timed(nowSeconds + 60), systemProperties: { messageId: 'id', messageGroup: 'g' } },
      40014,
      null,
    ],
  ])('given %s answers %s %i', async (_, sent, code, deliverAtMs) => {
    const world = new World()
    const reply = await world.call('SendMessage', { messages: [sent] })
    expect([reply.status.code, world.sent[0]?.deliverAtMs ?? null]).toEqual([code, deliverAtMs])
    if (code === 20000) expect(reply.entries[0].recallHandle).toBe('handle of id')
    if (code === 40012)
      expect(reply.status.message).toMatch(/^The delivery time (\S+Z|of \d+ ms after 1970) is more than 7 days ahead/)
  })

  it.each<[string, gen.RecallMessageRequestInit, number, string]>([
    ['a good handle', { topic: { name: 'delay' }, recallHandle: 'good' }, 20000, 'of delay'],
    ['a late one', { topic: { name: 'delay' }, recallHandle: 'late' }, 40400, ''],
    ['none', { topic: { name: 'delay' } }, 40000, ''],
    ['another kind of topic', { topic: { name: 'normal' }, recallHandle: 'good' }, 40014, ''],
    ['an unknown topic', { topic: { name: 'unknown' }, recallHandle: 'good' }, 40402, ''],
    ['no topic', { recallHandle: 'good' }, 40002, ''],
  ])('recalls with %s: %i', async (_, request, code, messageId) => {
    const reply = await new World().call('RecallMessage', request)
    expect([reply.status.code, reply.messageId ?? '']).toEqual([code, messageId])
  })

  it('says in its routes that it takes timed messages', async () => {
    const reply = await new World().call('QueryRoute', { topic: { name: 'delay' } })
    expect(reply.messageQueues[0].acceptMessageTypes).toEqual([3])
  })
})

it('SendMessage hands on what decides about the queue, each message for itself', async () => {
  const world = new World()
  const to = (name: string) => ({ topic: { name } })
  await world.call('SendMessage', {
    messages: ['g', 'h'].map((messageGroup) => message({ messageGroup }, to('fifo'))),
  })
  await world.call('SendMessage', { messages: [message({ priority: 5 }, to('priority'))] })
  await world.call('SendMessage', { messages: [message({ messageGroup: '' })] })
  expect(world.sent.map(({ messageGroup, priority }) => [messageGroup, priority])).toEqual([
    ['g', null],
    ['h', null],
    [null, 5],
    [null, null],
  ])
})

describe('ReceiveMessage', () => {
  const request = (more: gen.ReceiveMessageRequestInit = {}): gen.ReceiveMessageRequestInit => ({
    group: { name: 'group' },
    messageQueue: { topic: { name: 'normal' }, id: 5 },
    batchSize: 100,
    autoRenew: true,
    ...more,
  })
  const receive = async (more: gen.ReceiveMessageRequestInit, remainingMs = 30_000, metadata = {}) => {
    const world = new World()
    const written = await world.call('ReceiveMessage', request(more), { remainingMs, metadata })
    return { world, written, code: written[0].status.code, asked: world.received[0] }
  }

  it('with nothing there is a status, the time, and an end', async () => {
    const { written, asked } = await receive({ longPollingTimeout: { seconds: 20 } })
    expect(written).toHaveLength(2)
    expect(written[0].status).toMatchObject({ code: 40401 })
    expect(written[1].deliveryTimestamp.seconds).toBeGreaterThan(0)
    expect(asked).toMatchObject({ max: 32, waitMs: 20_000, invisibleMs: 60_000, autoRenew: true, filter: null })
  })

  it.each<[string, gen.ReceiveMessageRequestInit, number, number]>([
    ['a bit is at least 5 s', { longPollingTimeout: { seconds: 1 } }, 30_000, 5000],
    ['an hour is at most 20 s', { longPollingTimeout: { seconds: 3600 } }, 4_000_000, 20_000],
    ['40 s with as long a deadline (Rust) is 20 s', { longPollingTimeout: { seconds: 40 } }, 40_000, 20_000],
    ['nothing (Go) follows the deadline', {}, 13_000, 11_500],
    ['more than is left ends before the deadline', { longPollingTimeout: { seconds: 20 } }, 8000, 7800],
  ])('waiting for %s', async (_, more, remainingMs, waitMs) => {
    expect((await receive(more, remainingMs)).asked?.waitMs).toBe(waitMs)
  })

  it.each<[string, gen.ReceiveMessageRequestInit, number, Record<string, string>, number]>([
    ['a poll that cannot fit', { longPollingTimeout: { seconds: 20 } }, 4000, {}, 40018],
    [
      'the same of an old client',
      { longPollingTimeout: { seconds: 20 } },
      4000,
      { 'x-mq-client-version': '5.0.2' },
      40000,
    ],
    ['a short invisible time', { autoRenew: false, invisibleDuration: { seconds: 9 } }, 30_000, {}, 40011],
    ['a long invisible time', { autoRenew: false, invisibleDuration: { seconds: 43_201 } }, 30_000, {}, 40011],
    ['an unknown topic', { messageQueue: { topic: { name: 'unknown' } } }, 30_000, {}, 40402],
    ['a bad group', { group: { name: 'a b' } }, 30_000, {}, 40003],
    ['a bad SQL filter', { filterExpression: { type: 2, expression: 'a LIKE 1' } }, 30_000, {}, 40010],
    ['no client id', {}, 30_000, { 'x-mq-client-id': ' ' }, 40017],
  ])('refuses %s, and still ends whole', async (_, more, remainingMs, metadata, code) => {
    const { written, code: answered } = await receive(more, remainingMs, metadata)
    expect(answered).toBe(code)
    expect(written.at(-1).deliveryTimestamp).toBeDefined()
  })

  describe('of messages that the client is not sent', () => {
    const delivery = (handle: string, bodyBytes = 1): Delivery => ({
      messageId: handle,
      payload: encodeStored(
        gen.Message.decode(gen.Message.encode(message({}, { body: new Uint8Array(bodyBytes) })).finish()),
        normal,
        { userName: 'alice', storeHost: '127.0.0.1:7801' },
        0,
      ),
      queueId: 0,
      offset: 0,
      attempt: 1,
      handle,
      storeTimeMs: 0,
      invisibleMs: 0,
      deadLetterOf: null,
    })
    const asked = { longPollingTimeout: { seconds: 20 } }
    const more = { remainingMs: Number.POSITIVE_INFINITY }

    it('returns those that its library could not read beside others', async () => {
      const world = new World()
      world.deliveries = [delivery('a'), delivery('large', 4_194_304), delivery('b')]
      const metadata = { 'x-mq-language': 'HTTP' }
      const written = await world.call('ReceiveMessage', request(asked), { ...more, metadata })
      expect(written.filter((each: any) => each.message).length).toBe(2)
      expect([world.returned, world.released]).toEqual([['large'], []])
    })

    it.each<[string, (world: World) => void, number]>([
      [
        'the instance was stopped',
        ({ endpoint }) => {
          endpoint.serving = false
        },
        40200,
      ],
      [
        'its account may do so no more',
        ({ endpoint }) => {
          endpoint.authorizer = { refusal: () => 'the account may not' } as any
          endpoint.openCalls.changed(0)
        },
        40300,
      ],
    ])('returns all of them, as %s while it waited', async (_, change, code) => {
      const world = new World()
      world.endpoint.broker.consuming.receive = async () => {
        change(world)
        return [delivery('a'), delivery('b')]
      }
      const written = await world.call('ReceiveMessage', request(asked), more)
      expect(written.map((each: any) => each.status?.code ?? 'end')).toEqual([code, 'end'])
      expect([world.returned, world.released]).toEqual([['a', 'b'], []])
    })

    it('counts those that were written to a client that reads no more, and returns the rest', async () => {
      const world = new World()
      world.deliveries = [delivery('a'), delivery('b'), delivery('c')]
      const receiving = world.call('ReceiveMessage', request(asked), { ...more, reads: false })
      await settle()
      await world.clock.advance(30_000)
      await receiving
      expect([world.returned, world.released]).toEqual([['b', 'c'], ['a']])
    })

    it('returns all of them when the client went away while they were read', async () => {
      const world = new World()
      const gone = new AbortController()
      world.endpoint.broker.consuming.receive = async () => {
        gone.abort()
        return [delivery('a'), delivery('b')]
      }
      await world.call('ReceiveMessage', request(asked), { ...more, ended: gone })
      expect([world.returned, world.released]).toEqual([['a', 'b'], []])
    })
  })

  it('passes the attempt id on, and refuses one that is no such thing', async () => {
    const world = new World()
    const receive = (attemptId: string | null) =>
      world.call(
        'ReceiveMessage',
        {
          group: { name: 'orderly' },
          messageQueue: { topic: { name: 'fifo' } },
          autoRenew: true,
          attemptId,
        },
        { remainingMs: 30_000 },
      )
    for (const attemptId of ['9f8b1f6e-0f8a-4a3e-b7fb-b9a3c8e8f9aa', null]) await receive(attemptId)
    expect(world.received.map(({ attemptId }) => attemptId)).toEqual(['9f8b1f6e-0f8a-4a3e-b7fb-b9a3c8e8f9aa', null])
    expect((await receive('a'.repeat(256)))[0].status.code).toBe(40000)
  })

  it('reads tag expressions as Apache does', async () => {
    const filterOf = async (expression: string) =>
      (await receive({ filterExpression: { type: 1, expression } })).asked?.filter
    expect(await filterOf('*')).toBeNull()
    expect(await filterOf('')).toBeNull()
    expect(await filterOf(' A || B ||||C')).toEqual(new Set(['A', 'B', 'C']))
  })
})

describe('the end of a delivery', () => {
  const ack = (handles: string[]) => ({
    group: { name: 'group' },
    topic: { name: 'normal' },
    entries: handles.map((receiptHandle, index) => ({ messageId: `${index}`, receiptHandle })),
  })

  it('acknowledges one, many, expired and mixed', async () => {
    const world = new World()
    expect((await world.call('AckMessage', ack(['a']))).status.code).toBe(20000)
    expect((await world.call('AckMessage', ack(['old']))).status).toEqual({
      code: 40013,
      message: 'INVALID_RECEIPT_HANDLE',
    })
    const mixed = await world.call('AckMessage', ack(['a', 'old']))
    expect(mixed.status.code).toBe(30000)
    expect(mixed.entries.map((entry: any) => entry.status.code)).toEqual([20000, 40013])
  })

  it.each([
    [0, 20000],
    [43_200, 20000],
    [43_201, 40011],
    [-1, 40011],
  ])('changes the invisible time to %i s: %i', async (seconds, code) => {
    const reply = await new World().call('ChangeInvisibleDuration', {
      group: { name: 'group' },
      topic: { name: 'normal' },
      receiptHandle: 'h',
      invisibleDuration: { seconds },
    })
    expect(reply.status.code).toBe(code)
  })
})

describe('QueryRoute and QueryAssignment', () => {
  it('answer the address the client used, on broker 0, from queue 0 up', async () => {
    const endpoints = { scheme: 3, addresses: [{ host: 'mq.local', port: 9999 }] }
    const { messageQueues } = await new World().call('QueryRoute', {
      topic: { name: 'normal', resourceNamespace: 'ns' },
      endpoints,
    })
    expect(messageQueues.map((queue: any) => queue.id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(messageQueues[0]).toEqual({
      topic: { resourceNamespace: 'ns', name: 'normal' },
      id: 0,
      permission: 4,
      broker: {
        name: 'rmq-cn-test',
        id: 0,
        endpoints: { scheme: 3, addresses: [expect.objectContaining({ host: 'mq.local', port: 9999 })] },
      },
      acceptMessageTypes: [1],
    })
  })

  it('answer the address the client arrived at when it names none', async () => {
    const { messageQueues } = await new World().call('QueryRoute', { topic: { name: 'normal' } })
    expect(messageQueues[0].broker.endpoints).toEqual({ scheme: 1, addresses: [{ host: '127.0.0.1', port: 7801 }] })
  })

  it('say what a topic takes, by number', async () => {
    for (const [name, type] of [
      ['normal', 1],
      ['fifo', 2],
      ['priority', 6],
    ] as const) {
      const { messageQueues } = await new World().call('QueryRoute', { topic: { name } })
      expect(messageQueues.map((each: any) => each.acceptMessageTypes)).toEqual(Array(8).fill([type]))
    }
  })

  it('give every consumer of an orderly group one assignment a queue', async () => {
    const { assignments } = await new World().call('QueryAssignment', {
      topic: { name: 'normal' },
      group: { name: 'orderly' },
    })
    expect(assignments.map((each: any) => each.messageQueue.id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  it('give every consumer of another the one assignment "any queue"', async () => {
    const { assignments } = await new World().call('QueryAssignment', {
      topic: { name: 'normal' },
      group: { name: 'group' },
    })
    expect(assignments.map((each: any) => each.messageQueue.id)).toEqual([-1])
  })

  it('never make a topic', async () => {
    expect((await new World().call('QueryRoute', { topic: { name: 'unknown' } })).status.code).toBe(40402)
  })
})

describe('Telemetry', () => {
  const subscription = { subscription: { group: { name: 'group' }, subscriptions: [{ topic: { name: 'normal' } }] } }
  const settings = async (sent: gen.SettingsInit, language?: string) => {
    const [reply] = await new World().call(
      'Telemetry',
      { settings: sent },
      language ? { metadata: { 'x-mq-language': language } } : {},
    )
    return reply
  }

  it('answers a producer with exponential back-off and its own oneof', async () => {
    const reply = await settings({ publishing: { topics: [{ name: 'normal' }] } })
    expect(reply.status.code).toBe(20000)
    expect(reply.settings).toMatchObject({
      publishing: { maxBodySize: 4_194_304, validateMessageType: true },
      backoffPolicy: { maxAttempts: 3, exponentialBackoff: { multiplier: 2 } },
      metric: { on: true },
    })
    expect(reply.settings.subscription).toBeFalsy()
  })

  it.each([
    [1, 1],
    [7, 7],
    [0, 3],
  ])('leaves a producer that was configured with %s attempts at %s', async (maxAttempts, told) => {
    const reply = await settings({ publishing: { topics: [{ name: 'normal' }] }, backoffPolicy: { maxAttempts } })
    expect(reply.settings.backoffPolicy).toMatchObject({ maxAttempts: told, exponentialBackoff: { multiplier: 2 } })
  })

  it.each([
    ['JAVA', 'customizedBackoff'],
    ['PYTHON', 'customizedBackoff'],
    ['HTTP', 'exponentialBackoff'],
  ])('gives a %s consumer its pauses as %s', async (language, strategy) => {
    const { settings: merged } = await settings(subscription, language)
    expect(merged.subscription).toMatchObject({
      fifo: false,
      receiveBatchSize: 32,
      longPollingTimeout: { seconds: 20 },
    })
    expect(merged.backoffPolicy.maxAttempts).toBe(17)
    expect(Object.keys(merged.backoffPolicy)).toEqual(['maxAttempts', strategy])
    if (strategy === 'customizedBackoff') {
      expect(merged.backoffPolicy.customizedBackoff.next.map((pause: any) => pause.seconds)).toEqual([10, 30, 7200])
    } else {
      // That client takes whole seconds for milliseconds.
      expect(merged.backoffPolicy.exponentialBackoff).toMatchObject({
        initial: { seconds: 10_000 },
        max: { seconds: 7_200_000 },
      })
    }
  })

  it('tells a member of an orderly group so, whatever it believed', async () => {
    const { settings: merged } = await settings({
      subscription: { ...subscription.subscription, group: { name: 'orderly' }, fifo: false },
    })
    expect(merged.subscription.fifo).toBe(true)
  })

  it.each<[string, gen.SettingsInit]>([
    ['say nothing', {}],
    ['hold too many client properties', { ...subscription, clientProperties: properties(33) }],
    ['name a bad group', { subscription: { group: { name: 'a b' } } }],
  ])('ends with INVALID_ARGUMENT when the settings %s', async (_, sent) => {
    await expect(settings(sent)).rejects.toMatchObject({ status: 3 })
  })
})

describe('a client', () => {
  it('that loses its stream is given up only after silence', async () => {
    const world = new World()
    await world.call('Telemetry', { settings: { publishing: { topics: [] } } })
    await world.clock.advance(30_000)
    await world.call('Heartbeat', { clientType: 1 })
    await world.clock.advance(30_000)
    expect(world.gone).toEqual([])

    await world.call('Telemetry', { settings: { publishing: { topics: [] } } })
    await world.clock.advance(36_000)
    expect(world.gone).toEqual(['client'])
  })

  it('that says goodbye is gone at once, known or not', async () => {
    const world = new World()
    expect((await world.call('NotifyClientTermination', {})).status.code).toBe(20000)
    expect(world.gone).toEqual(['client'])
  })

  it('of a stopped instance is told to pay', async () => {
    const world = new World()
    world.endpoint.serving = false
    expect((await world.call('Heartbeat', {})).status.code).toBe(40200)
    expect((await world.call('Telemetry', {}))[0].status.code).toBe(40200)
  })

  it('never sees the text of an unexpected failure', async () => {
    const world = new World()
    ;(world.endpoint.broker.producing as any).send = async () => {
      throw new Error('secret path')
    }
    const reply = await world.call('SendMessage', { messages: [message()] })
    expect(reply.status.code).toBe(50001)
    expect(reply.status.message).not.toContain('secret')
    expect(world.reported).toHaveLength(1)
  })
})
