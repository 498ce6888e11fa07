/** PullMessage, GetOffset, UpdateOffset, QueryOffset over a raw connection: no official client has a consumer on top of them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { Bench } from './driver/bench.ts'
import type { DriverClient } from './driver/client.ts'
import { DrivenInstance } from './driver/instance.ts'

const { BEGINNING, END, TIMESTAMP } = gen.QueryOffsetPolicy
const queues = 8

let instance: DrivenInstance
let bench: Bench
let client: DriverClient
let topic: string
let group: string

beforeAll(async () => {
  instance = await DrivenInstance.start()
})
afterAll(() => instance.close())
beforeEach(async () => {
  bench = new Bench(instance, 'java', false)
  client = await bench.dial()
  topic = await instance.topic()
  group = await instance.group()
})
afterEach(() => bench.close())

const messageQueue = (id = 0, name = topic): gen.MessageQueueInit => ({ topic: client.resource(name), id })
const resource = (): gen.ResourceInit => client.resource(group)

/** One message into each queue, in order; `round` is part of the body and a property. */
async function sendRound(round: number): Promise<void> {
  const messages = Array.from({ length: queues }, (_, queue) => {
    const message = client.message(topic, `${round} in ${queue}`, { tag: round % 2 === 0 ? 'even' : 'odd' })
    return { ...message, userProperties: { round: `${round}` } }
  })
  const { status } = await client.send(...messages)
  expect(status!.code).toBe(20000)
}

interface Pulled {
  readonly code: number
  readonly order: string
  readonly bodies: readonly string[]
  readonly next: number | null
  readonly messages: readonly gen.Message[]
}

async function pull(more: gen.PullMessageRequestInit = {}): Promise<Pulled> {
  const call = client.open('pullMessage', 30_000)
  const request = { group: resource(), messageQueue: messageQueue(), batchSize: 32, longPollingTimeout: { seconds: 5 } }
  call.send(gen.PullMessageRequest.encode({ ...request, ...more }).finish())
  call.end()
  const replies: gen.PullMessageResponse[] = []
  for (let bytes = await call.next(); bytes !== null; bytes = await call.next())
    replies.push(gen.PullMessageResponse.decode(bytes))
  expect((await call.ended).grpcStatus).toBe(0)
  const messages = replies.flatMap(({ message }) => (message === null ? [] : [message]))
  return {
    code: replies[0]!.status!.code,
    order: replies.map(({ status, message }) => (status ? 's' : message ? 'm' : 'n')).join(''),
    bodies: messages.map(({ body }) => Buffer.from(body).toString()),
    next: replies.find(({ content }) => content === 'nextOffset')?.nextOffset ?? null,
    messages,
  }
}

async function offset(policy: number, at?: number): Promise<number> {
  const timestamp = at === undefined ? null : { seconds: Math.floor(at / 1000), nanos: (at % 1000) * 1_000_000 }
  const reply = await client.ask('queryOffset', { messageQueue: messageQueue(), queryOffsetPolicy: policy, timestamp })
  expect(reply.status.code).toBe(20000)
  return reply.offset
}

const committed = (id = 0) => client.ask('getOffset', { group: resource(), messageQueue: messageQueue(id) })
const update = (to: number, id = 0) =>
  client.ask('updateOffset', { group: resource(), messageQueue: messageQueue(id), offset: to })

/** All there is for the group, acknowledged. */
async function receiveAll(): Promise<string[]> {
  const bodies: string[] = []
  for (;;) {
    const { polled } = await bench.wait(() =>
      client.poll('simple', topic, group, { longPollingTimeout: { seconds: 5 } }),
    )
    if (polled.messages.length === 0) return bodies.sort()
    for (const message of polled.messages) {
      bodies.push(Buffer.from(message.body).toString())
      await client.ack(topic, group, message)
    }
  }
}

describe('PullMessage', () => {
  it('gives the messages of one queue from an offset on, and where to go on, and leases nothing', async () => {
    for (const round of [0, 1, 2]) await sendRound(round)
    expect(await pull({ offset: 1 })).toMatchObject({
      code: 20000,
      order: 'smmn',
      bodies: ['1 in 0', '2 in 0'],
      next: 3,
    })
    expect(await pull({ offset: 1, batchSize: 1 })).toMatchObject({ bodies: ['1 in 0'], next: 2 })
    expect(await pull({ offset: 1, messageQueue: messageQueue(7) })).toMatchObject({ bodies: ['1 in 7', '2 in 7'] })
    const [message] = (await pull({ offset: 0 })).messages
    expect(message!.systemProperties).toMatchObject({ queueId: 0, queueOffset: 0, receiptHandle: '' })
    expect(await receiveAll()).toHaveLength(24)
  })

  it('passes over what does not match, by tag and by expression', async () => {
    for (const round of [0, 1, 2, 3]) await sendRound(round)
    const tag = { type: gen.FilterType.TAG, expression: 'odd' }
    expect(await pull({ filterExpression: tag })).toMatchObject({ bodies: ['1 in 0', '3 in 0'], next: 4 })
    expect(await pull({ filterExpression: tag, batchSize: 1 })).toMatchObject({ bodies: ['1 in 0'], next: 2 })
    const sql = { type: gen.FilterType.SQL, expression: "round > 1 AND TAGS = 'even'" }
    expect(await pull({ filterExpression: sql })).toMatchObject({ bodies: ['2 in 0'], next: 4 })
  })

  it('waits at the end for a message that matches, and says how far it looked when none came', async () => {
    await sendRound(0)
    const empty = await instance.elapse(pull({ offset: 1 }))
    expect(empty.value).toMatchObject({ code: 40401, order: 'sn', next: 1 })
    expect(empty.tookMs).toBeGreaterThanOrEqual(5_000)
    const before = instance.clock.pending
    const waiting = pull({ offset: 1, filterExpression: { type: gen.FilterType.TAG, expression: 'even' } })
    await instance.untilWaiting(before)
    for (const round of [1, 2]) await sendRound(round)
    expect(await waiting).toMatchObject({ code: 20000, bodies: ['2 in 0'], next: 3 })
    const unmatched = await instance.elapse(pull({ offset: 0, filterExpression: { type: 2, expression: 'round > 9' } }))
    expect(unmatched.value).toMatchObject({ code: 40401, next: 3 })
  })

  it.each<[what: string, request: () => gen.PullMessageRequestInit, code: number]>([
    ['an offset beyond the end', () => ({ offset: 2 }), 40019],
    ['an offset below zero', () => ({ offset: -1 }), 40019],
    ['a queue that is not there', () => ({ messageQueue: messageQueue(8) }), 40000],
    ['a topic that is not there', () => ({ messageQueue: messageQueue(0, 'nowhere') }), 40402],
    ['a bad group', () => ({ group: client.resource('a b') }), 40003],
    ['a bad expression', () => ({ filterExpression: { type: 2, expression: 'round >' } }), 40010],
  ])('refuses %s', async (_, request, code) => {
    await sendRound(0)
    expect(await pull(request())).toMatchObject({ code, order: 's', next: null })
  })
})

describe('the offset of a group', () => {
  it('is not found before the group reads the topic, and follows what is acknowledged', async () => {
    expect((await committed()).status.code).toBe(40404)
    await sendRound(0)
    await sendRound(1)
    await receiveAll()
    expect(await committed()).toMatchObject({ status: { code: 20000 }, offset: 2 })
  })

  it('is the first message that is not acknowledged yet', async () => {
    for (const round of [0, 1, 2]) await sendRound(round)
    const { messages } = await client.poll('simple', topic, group)
    expect(messages).toHaveLength(24)
    for (const message of messages) {
      const { queueId, queueOffset } = message.systemProperties!
      if (queueId === 0 && queueOffset !== 1) await client.ack(topic, group, message)
    }
    expect((await committed()).offset).toBe(1)
  })

  it('moves when updated, in one queue, and consumers go on from there', async () => {
    for (const round of [0, 1, 2]) await sendRound(round)
    expect(await receiveAll()).toHaveLength(24)
    expect((await update(1)).status.code).toBe(20000)
    expect((await committed()).offset).toBe(1)
    expect((await committed(1)).offset).toBe(3)
    expect(await receiveAll()).toEqual(['1 in 0', '2 in 0'])
    expect((await update(3)).status.code).toBe(20000)
    expect(await receiveAll()).toEqual([])
  })

  it('that moved makes handles from before harmless', async () => {
    await sendRound(0)
    const held = (await client.poll('simple', topic, group)).messages.find(
      (one) => one.systemProperties!.queueId === 0,
    )!
    await update(0)
    const again = (await client.poll('simple', topic, group)).messages[0]!
    expect(again.systemProperties).toMatchObject({ queueId: 0, queueOffset: 0, deliveryAttempt: 1 })
    expect((await client.ack(topic, group, held)).status!.code).toBe(40013)
    expect((await committed()).offset).toBe(0)
    expect((await client.ack(topic, group, again)).status!.code).toBe(20000)
    expect((await committed()).offset).toBe(1)
  })

  it.each([2, -1])('is not set to %i when there is one message', async (to) => {
    await sendRound(0)
    expect((await update(to)).status.code).toBe(40019)
  })
})

describe('QueryOffset', () => {
  it('tells the beginning, the end, and the first message stored at a time or later', async () => {
    expect([await offset(BEGINNING), await offset(END)]).toEqual([0, 0])
    await sendRound(0)
    await instance.clock.advance(10_000)
    const at = instance.clock.now()
    await sendRound(1)
    expect([await offset(BEGINNING), await offset(END)]).toEqual([0, 2])
    expect([await offset(TIMESTAMP, at), await offset(TIMESTAMP, at + 1), await offset(TIMESTAMP, 0)]).toEqual([
      1, 2, 0,
    ])
  })

  it('needs a time with TIMESTAMP, and a policy it knows', async () => {
    for (const queryOffsetPolicy of [TIMESTAMP, 7])
      expect((await client.ask('queryOffset', { messageQueue: messageQueue(), queryOffsetPolicy })).status.code).toBe(
        40000,
      )
  })
})
