/**
 * Transactions over the wire, from a real embedded instance: what a producer of each language does and is asked
 * (data-plane §1.11, §1.12, §5.3). The clock is moved, so the minutes between checks cost nothing.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { Bench } from './driver/bench.ts'
import type { DriverClient, Telemetry } from './driver/client.ts'
import { DrivenInstance, turns } from './driver/instance.ts'
import { type Language, personalities } from './driver/personalities.ts'

const languages = Object.keys(personalities) as Language[]
const { COMMIT, ROLLBACK } = gen.TransactionResolution

let instance: DrivenInstance
let bench: Bench
let topic: string
let group: string
let consumer: DriverClient
beforeAll(async () => {
  instance = await DrivenInstance.start()
})
afterAll(async () => {
  await instance.close()
  expect(instance.reported).toEqual([])
})
beforeEach(async () => {
  bench = new Bench(instance, 'java', false)
  topic = await instance.topic('TRANSACTION')
  group = await instance.group()
  consumer = await bench.dial()
  expect(await received()).toEqual([])
})
afterEach(() => bench.close())

describe('a transactional message', () => {
  it.each(languages)('of a %s producer waits for its commit', async (as) => {
    const producer = await bench.dial({ as })
    const { transactionId, messageId } = await half(producer)
    expect(transactionId).not.toBe('')
    expect(await received()).toEqual([])
    expect((await end(producer, { transactionId, messageId, resolution: COMMIT })).code).toBe(20000)
    expect((await received()).map(({ systemProperties }) => systemProperties)).toMatchObject([
      { messageId, messageType: gen.MessageType.TRANSACTION, deliveryAttempt: 1, bodyDigest: { type: 2 } },
    ])
  })

  it('is never seen when rolled back, and each decision after the first is OK and says what was decided', async () => {
    const producer = await bench.dial()
    const sent = await half(producer)
    expect(await end(producer, { ...sent, resolution: ROLLBACK })).toMatchObject({ code: 20000, message: 'OK' })
    expect(await end(producer, { ...sent, resolution: COMMIT })).toMatchObject({
      code: 20000,
      message: expect.stringContaining('rolled back before'),
    })
    expect(await received()).toEqual([])
  })

  it('is shown to producers as such in routes, and needs such a topic', async () => {
    const producer = await bench.dial()
    const { messageQueues } = await producer.queryRoute(topic)
    expect(messageQueues[0]!.acceptMessageTypes).toEqual([gen.MessageType.TRANSACTION])
    const plain = await producer.send(producer.message(topic, 'plain'))
    expect(plain.status).toMatchObject({ code: 40014, message: expect.stringMatching(/NORMAL.*TRANSACTION/) })
    const normal = await instance.topic()
    const wrong = await producer.send(producer.message(normal, 'x', { messageType: gen.MessageType.TRANSACTION }))
    expect(wrong.status).toMatchObject({ code: 40014 })
  })

  it('stays open on "unspecified" (how the Go client says unknown) and on a number of a later protocol', async () => {
    const producer = await bench.dial({ as: 'go' })
    const sent = await half(producer)
    for (const resolution of [0, 7]) expect((await end(producer, { ...sent, resolution })).code).toBe(20000)
    expect((await end(producer, { ...sent, resolution: COMMIT })).message).toBe('OK')
    expect(await received()).toHaveLength(1)
  })

  it('of another topic cannot be decided by its id', async () => {
    const producer = await bench.dial()
    const sent = await half(producer)
    const other = await instance.topic('TRANSACTION')
    const request = { ...sent, topic: producer.resource(other), resolution: COMMIT, source: 1 }
    expect((await producer.ask('endTransaction', request)).status.code).toBe(40008)
    expect((await producer.ask('endTransaction', { ...request, topic: { name: 'nowhere' } })).status.code).toBe(40402)
    await end(producer, { ...sent, resolution: ROLLBACK })
  })
})

describe('a transaction left open', () => {
  it('is offered to a live producer of the topic with the whole message, and committed by its answer', async () => {
    const sender = await bench.dial()
    const sent = await half(sender, { tag: 'tag', keys: ['k'] })
    const { questions, client } = await producer([topic])
    await pass(20_000)
    const [command] = await heard(questions, 1)
    expect(command!.transactionId).toBe(sent.transactionId)
    expect(command!.message).toMatchObject({
      topic: { name: topic, resourceNamespace: client.resource(topic).resourceNamespace },
      userProperties: { client: 'java' },
      systemProperties: {
        tag: 'tag',
        keys: ['k'],
        messageId: sent.messageId,
        bodyDigest: { type: gen.DigestType.MD5 },
        bodyEncoding: gen.Encoding.IDENTITY,
        messageType: gen.MessageType.TRANSACTION,
        bornHost: 'host',
        queueId: 0,
      },
    })
    expect(Buffer.from(command!.message!.body).toString()).toBe('half')
    expect(command!.message!.systemProperties!.bornTimestamp).not.toBeNull()
    expect((await end(client, { ...sent, resolution: COMMIT, source: 2 })).message).toBe('OK')
    expect(await received()).toHaveLength(1)
  })

  it('goes to producers that declared the topic only, in turn', async () => {
    const other = await instance.topic('TRANSACTION')
    const [one, two, stranger] = [await producer([topic]), await producer([other, topic]), await producer([other])]
    const sent = await half(one.client)
    await pass(20_000)
    await heard([one.questions, two.questions], 1)
    for (let checks = 2; checks <= 4; checks++) {
      await pass(60_000)
      await heard([one.questions, two.questions], checks)
    }
    expect([one.questions.length, two.questions.length, stranger.questions.length]).toEqual([2, 2, 0])
    await end(one.client, { ...sent, resolution: ROLLBACK })
  })

  it('waits for a producer to come, and goes to the newest stream of one that has several', async () => {
    const sent = await half(await bench.dial())
    await pass(10 * 60_000)
    const first = await producer([topic], { clientId: 'newest' })
    await pass(1)
    await heard(first.questions, 1)
    const second = await producer([topic], { clientId: 'newest' })
    await pass(60_000)
    const [command] = await heard(second.questions, 1)
    expect([command!.transactionId, first.questions.length]).toEqual([sent.transactionId, 1])
    await end(second.client, { ...sent, resolution: ROLLBACK })
  })
})

async function half(
  client: DriverClient,
  more: Partial<gen.SystemPropertiesInit> = {},
): Promise<{ transactionId: string; messageId: string }> {
  const { TRANSACTION } = gen.MessageType
  const { status, entries } = await client.send(client.message(topic, 'half', { messageType: TRANSACTION, ...more }))
  expect(status!.code).toBe(20000)
  return { transactionId: entries[0]!.transactionId, messageId: entries[0]!.messageId }
}

async function end(
  client: DriverClient,
  request: { transactionId: string; messageId: string; resolution: number; source?: number },
): Promise<{ code: number; message: string }> {
  return (await client.ask('endTransaction', { topic: client.resource(topic), source: 1, ...request })).status
}

type Question = gen.RecoverOrphanedTransactionCommand

/** A producer whose telemetry stream is open and answered, and the questions it has heard so far. */
async function producer(
  topics: readonly string[],
  more: { clientId?: string } = {},
): Promise<{ client: DriverClient; questions: Question[] }> {
  const client = await bench.dial(more)
  const telemetry = client.telemetry(client.producerSettings(topics))
  expect((await telemetry.hear())!.settings).not.toBeNull()
  const questions: Question[] = []
  void listen(telemetry, questions)
  return { client, questions }
}

async function listen(telemetry: Telemetry, questions: Question[]): Promise<void> {
  for (let command = await telemetry.hear(); command !== null; command = await telemetry.hear())
    if (command.recoverOrphanedTransactionCommand) questions.push(command.recoverOrphanedTransactionCommand)
}

/** Lets time pass in steps short enough for idle connections to be found alive. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 5_000) {
    await instance.clock.advance(Math.min(left, 5_000))
    await turns(4)
  }
}

/** Resolves when so many questions have come, over all of them. */
async function heard(questions: Question[] | Question[][], count: number): Promise<Question[]> {
  for (let turn = 0; questions.flat().length < count; turn++) {
    if (turn > 200_000) throw new Error(`${questions.flat().length} questions came instead of ${count}.`)
    await turns(1)
  }
  return questions.flat()
}

async function received(): Promise<readonly gen.Message[]> {
  const { polled } = await bench.wait(() => consumer.poll('simple', topic, group), 1000)
  for (const message of polled.messages) await consumer.ack(topic, group, message)
  return polled.messages
}
