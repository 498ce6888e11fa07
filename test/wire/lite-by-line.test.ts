/**
 * Lite topics, frame by frame, as the official clients that have them ask for them (data-plane §5.7): Java, Go, Node.js,
 * Python, C# and Rust send and have a push consumer; Java and Go have a simple one too. C++ has none.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { Bench } from './driver/bench.ts'
import { type DriverClient, duration } from './driver/client.ts'
import { DrivenInstance } from './driver/instance.ts'
import type { Language } from './driver/personalities.ts'

const MINUTE = 60_000
const { LiteSubscriptionAction: Action, OffsetOption_Policy: Policy } = gen
/** Numbers of apache.rocketmq.v2.ClientType. */
const litePush = 5
const liteSimple = 6

let instance: DrivenInstance
beforeAll(async () => {
  instance = await DrivenInstance.start()
})
afterAll(async () => {
  await instance?.close()
  expect(instance.reported).toEqual([])
})

describe.each<readonly [Language, 'push' | 'simple']>([
  ['java', 'push'],
  ['java', 'simple'],
  ['go', 'push'],
  ['go', 'simple'],
  ['node', 'push'],
  ['python', 'push'],
  ['csharp', 'push'],
  ['rust', 'push'],
] as const)('a %s %s consumer', (language, kind) => {
  const bench = { current: null as Bench | null }
  afterEach(() => bench.current?.close())

  async function scene(more: { readonly exclusive?: boolean } = {}): Promise<Scene> {
    const topic = await instance.topic('LITE', { liteExpirationMs: 15 * MINUTE })
    const group = await instance.group({ lite: { topicName: topic, exclusive: more.exclusive === true } })
    bench.current = new Bench(instance, language, false)
    return new Scene(bench.current, await bench.current.dial(), topic, group, kind)
  }

  it('hears its real quotas, and that messages of a lite topic come in order', async () => {
    const { client, topic, group } = await scene()
    const type = kind === 'push' ? litePush : liteSimple
    const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }, type))
    const heard = await telemetry.hear()
    expect(heard).toMatchObject({
      status: { code: 20000 },
      settings: { clientType: type, subscription: { fifo: true, liteSubscriptionQuota: 2000, maxLiteTopicSize: 64 } },
    })
    expect((await client.heartbeat(group, type)).status?.code).toBe(20000)
    const { messageQueues } = await client.queryRoute(topic)
    expect(messageQueues.map(({ id, acceptMessageTypes }) => [id, acceptMessageTypes])).toEqual([[0, [5]]])
    const { assignments } = await client.queryAssignment(topic, group)
    expect(assignments.map(({ messageQueue }) => messageQueue?.id)).toEqual([0])
  })

  it('of a group that nobody created hears so at once, and makes none', async () => {
    const { client, topic } = await scene()
    const type = kind === 'push' ? litePush : liteSimple
    const group = `nobody-created-${language}-${kind}`
    const refused = { code: 40403, message: expect.stringMatching(/never created.*LITE_SELECTIVE/) }
    const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }, type))
    expect((await telemetry.hear())?.status).toMatchObject(refused)
    expect((await client.queryAssignment(topic, group)).status).toMatchObject(refused)
    const { instanceId } = instance
    const { groupsMadeByUse } = await instance.host.ask({ instanceId, question: 'usage', params: {} })
    expect(groupsMadeByUse).toBe(0)
  })

  it('gets what it subscribed to, in order, with the lite topic, and acknowledges it', async () => {
    const at = await scene()
    expect((await at.sync(Action.PARTIAL_ADD, ['a'])).code).toBe(20000)
    expect((await at.sync(Action.COMPLETE_ADD, ['a', 'b'], { version: 1 })).code).toBe(20000)
    for (const [liteTopic, text] of [
      ['a', '1'],
      ['c', '1'],
      ['b', '1'],
      ['a', '2'],
    ] as const)
      await at.send(liteTopic, text)
    const batch = await at.poll()
    expect(batch.map(told)).toEqual(['a/1:1', 'a/2:1', 'b/1:1'])
    expect(batch[0]!.topic?.name).toBe(at.topic)
    for (const message of batch) expect((await at.ack(message)).code).toBe(20000)
    expect(await at.poll()).toEqual([])
    await at.sync(Action.PARTIAL_REMOVE, ['b'])
    await at.send('b', '2')
    await at.sync(Action.COMPLETE_REMOVE, [])
    await at.send('a', '3')
    expect(await at.poll()).toEqual([])
  })

  it('is woken by what it subscribed to, and by nothing else', async () => {
    const at = await scene()
    await at.sync(Action.COMPLETE_ADD, ['a'])
    const waiting = at.client.poll(kind, at.topic, at.group)
    const started = instance.clock.now()
    // On the same connection, hence after it.
    await at.send('b', '1')
    await at.send('a', '1')
    expect((await waiting).messages.map(told)).toEqual(['a/1:1'])
    expect(instance.clock.now()).toBe(started)
  })

  it('suspends a lite topic without an attempt being counted, gives back with one, and moves to the dead letters', async () => {
    const at = await scene()
    await at.sync(Action.COMPLETE_ADD, ['a'])
    await at.send('a', '1')
    await at.send('a', '2')
    const [first] = await at.poll({ batchSize: 1 })
    expect((await at.giveBack(first!, { suspend: true })).status?.code).toBe(20000)
    await instance.clock.advance(5_000)
    const [second] = await at.poll({ batchSize: 1 })
    expect(told(second!)).toBe('a/1:1')
    expect((await at.giveBack(second!, {})).status?.code).toBe(20000)
    await instance.clock.advance(5_000)
    const [third] = await at.poll({ batchSize: 1 })
    expect(told(third!)).toBe('a/1:2')
    expect((await at.moveToDeadLetter(third!)).code).toBe(20000)
    expect((await at.poll()).map(told)).toEqual(['a/2:1'])
    const dead = await at.client.poll(kind, `%DLQ%${at.group}`, await instance.group())
    expect(dead.messages.map(({ systemProperties }) => systemProperties?.deadLetterQueue)).toMatchObject([
      { topic: at.topic, messageId: first!.systemProperties!.messageId },
    ])
  })

  it('begins where it says', async () => {
    const at = await scene()
    for (const text of ['1', '2', '3', '4']) await at.send('a', text)
    const from = async (offsetOption: gen.OffsetOptionInit): Promise<string[]> => {
      expect((await at.sync(Action.PARTIAL_ADD, ['a'], { offsetOption })).code).toBe(20000)
      const batch = await at.poll()
      for (const message of batch) await at.ack(message)
      return batch.map(({ body }) => Buffer.from(body).toString())
    }
    expect(await from({ policy: Policy.MAX })).toEqual([])
    expect(await from({ policy: Policy.MIN })).toEqual(['1', '2', '3', '4'])
    expect(await from({ policy: Policy.LAST })).toEqual([])
    expect(await from({ offset: 2 })).toEqual(['3', '4'])
    expect(await from({ tailN: 1 })).toEqual(['4'])
    expect(await from({ timestamp: instance.clock.now() + 1 })).toEqual([])
    expect((await at.sync(Action.PARTIAL_ADD, ['a'], { offsetOption: { offset: -1 } })).code).toBe(40000)
  })

  it('loses a lite topic to another member of an exclusive group, and is told', async () => {
    const at = await scene({ exclusive: true })
    const telemetry = at.client.telemetry(at.client.consumerSettings(at.group, { [at.topic]: '*' }, litePush))
    await telemetry.hear()
    await at.sync(Action.COMPLETE_ADD, ['a', 'b'])
    const other = await at.another()
    await other.sync(Action.PARTIAL_ADD, ['a'])
    expect((await telemetry.hear())?.notifyUnsubscribeLiteCommand).toEqual({ liteTopic: 'a' })
    await at.sync(Action.COMPLETE_ADD, ['a', 'b'])
    for (const liteTopic of ['a', 'b']) await at.send(liteTopic, '1')
    expect((await at.poll()).map(told)).toEqual(['b/1:1'])
    expect((await other.poll()).map(told)).toEqual(['a/1:1'])
  })

  it('loses everything when it says goodbye, and when a lite topic expires', async () => {
    const at = await scene()
    await at.sync(Action.COMPLETE_ADD, ['a'])
    await at.client.ask('notifyClientTermination', { group: at.client.resource(at.group) })
    await at.send('a', '1')
    expect(await at.poll()).toEqual([])
    await instance.clock.advance(15 * MINUTE)
    await at.sync(Action.COMPLETE_ADD, ['a'])
    expect(await at.poll()).toEqual([])
    await at.send('a', '2')
    const [message] = await at.poll()
    expect(message?.systemProperties).toMatchObject({ liteTopic: 'a', queueOffset: 0 })
  })
})

/** A consumer with its group and topic. */
class Scene {
  readonly bench: Bench
  readonly client: DriverClient
  readonly topic: string
  readonly group: string
  readonly kind: 'push' | 'simple'

  constructor(bench: Bench, client: DriverClient, topic: string, group: string, kind: 'push' | 'simple') {
    this.bench = bench
    this.client = client
    this.topic = topic
    this.group = group
    this.kind = kind
  }

  async another(): Promise<Scene> {
    return new Scene(this.bench, await this.bench.dial(), this.topic, this.group, this.kind)
  }

  async sync(
    action: number,
    liteTopicSet: readonly string[],
    more: gen.SyncLiteSubscriptionRequestInit = {},
  ): Promise<gen.Status> {
    const { client } = this
    const where = { topic: client.resource(this.topic), group: client.resource(this.group) }
    return (await client.ask('syncLiteSubscription', { ...where, action, liteTopicSet, ...more })).status
  }

  async send(liteTopic: string, text: string): Promise<void> {
    const system = { liteTopic, messageType: gen.MessageType.LITE }
    const reply = await this.client.send(this.client.message(this.topic, text, system))
    expect(reply.status?.code).toBe(20000)
  }

  async poll(more: gen.ReceiveMessageRequestInit = {}): Promise<readonly gen.Message[]> {
    const polling = this.client.poll(this.kind, this.topic, this.group, more)
    return (await instance.elapse(polling)).value.messages
  }

  async ack(message: gen.Message): Promise<gen.Status> {
    const { messageId, receiptHandle, liteTopic } = message.systemProperties!
    const reply = await this.client.ask('ackMessage', {
      ...this.#where(),
      entries: [{ messageId, receiptHandle, liteTopic }],
    })
    return reply.status
  }

  giveBack(message: gen.Message, more: gen.ChangeInvisibleDurationRequestInit): Promise<gen.AckMessageResponse> {
    const { messageId, receiptHandle, liteTopic } = message.systemProperties!
    const request = { ...this.#where(), messageId, receiptHandle, liteTopic, invisibleDuration: duration(5_000) }
    return this.client.ask('changeInvisibleDuration', { ...request, ...more })
  }

  async moveToDeadLetter(message: gen.Message): Promise<gen.Status> {
    const { messageId, receiptHandle, liteTopic } = message.systemProperties!
    const request = { ...this.#where(), messageId, receiptHandle, liteTopic, deliveryAttempt: 2 }
    return (await this.client.ask('forwardMessageToDeadLetterQueue', request)).status
  }

  #where() {
    return { group: this.client.resource(this.group), topic: this.client.resource(this.topic) }
  }
}

const told = ({ body, systemProperties }: gen.Message): string =>
  `${systemProperties?.liteTopic}/${Buffer.from(body)}:${systemProperties?.deliveryAttempt}`
