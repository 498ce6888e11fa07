/** Lite topics as Apache's official Node.js client sees them: its producer and its lite push consumers, through the SDK's topic and group. */
import { type ChildProcess, fork } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { clientOptions, rocketmq } from '../support/client.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { brokerPid, cleanEnv, type TestHome, temporaryHome } from '../support/server.ts'

const here = path.dirname(fileURLToPath(import.meta.url))

describe('lite topics, with rocketmq-client-nodejs', () => {
  let home: TestHome
  let client: any
  let endpoint: string
  let instanceId: string
  let producer: any
  const consumers = new Set<Consumer>()

  beforeAll(async () => {
    home = await temporaryHome()
    client = sdkClient((await home.start()).ready)
    const made = await runningInstance(client, { topic: 'agents', messageType: 'LITE' })
    endpoint = made.endpoint
    instanceId = made.instanceId
    await group('shared', false)
    await group('exclusive', true)
    producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['agents'] }))
    await producer.startup()
  })
  afterEach(() => {
    for (const consumer of consumers) consumer.process.kill('SIGKILL')
    consumers.clear()
  })
  afterAll(async () => {
    await producer?.shutdown()
    await home?.close()
  })

  it('reach those who subscribed, each in order, before and after they were made', { timeout: 40_000 }, async () => {
    const one = await join('shared')
    const two = await join('shared')
    expect(await one.subscribe('a')).toBe('done')
    expect(await two.subscribe('b')).toBe('done')
    for (let i = 0; i < 20; i++) for (const liteTopic of ['a', 'b', 'nobody']) await send(liteTopic, String(i))
    const numbers = (liteTopic: string) => Array.from({ length: 20 }, (_, i) => `${liteTopic}/${i}:1`)
    expect(await one.count(20)).toEqual(numbers('a'))
    expect(await two.count(20)).toEqual(numbers('b'))
    expect(await two.subscribe('nobody')).toBe('done')
    expect((await two.count(40)).slice(20)).toEqual(numbers('nobody'))
  })

  it('pause when a message is suspended, and begin again with it', { timeout: 40_000 }, async () => {
    const one = await join('shared')
    await one.subscribe('slow')
    await one.subscribe('quick')
    for (const body of ['1 later', '2']) await send('slow', body)
    await send('quick', '1')
    const seen = await one.count(4)
    expect(seen.filter((each) => each.startsWith('slow'))).toEqual(['slow/1 later:1', 'slow/1 later:1', 'slow/2:1'])
  })

  it('go on where the group was after kill -9 of the broker', { timeout: 60_000 }, async () => {
    const one = await join('shared')
    await one.subscribe('kept')
    for (let i = 0; i < 5; i++) await send('kept', String(i))
    await one.count(5)
    process.kill((await brokerPid(home.home))!, 'SIGKILL')
    await until(
      () =>
        send('kept', 'after').then(
          () => true,
          () => false,
        ),
      (sent) => sent,
      'the broker takes messages again',
    )
    // The client repeats what it wants within 30 s; a new one says it at once.
    const two = await join('shared')
    await two.subscribe('kept')
    expect((await two.count(1)).at(-1)).toBe('kept/after:1')
  })

  it('have one reader in an exclusive group, and begin where it says', { timeout: 40_000 }, async () => {
    const [one, two] = [await join('exclusive'), await join('exclusive')]
    await one.subscribe('own')
    await send('own', '1')
    expect(await one.count(1)).toEqual(['own/1:1'])
    expect(await two.subscribe('own', { fromFirst: true })).toBe('done')
    await send('own', '2')
    expect(await two.count(2)).toEqual(['own/1:1', 'own/2:1'])
    expect(one.seen).toHaveLength(1)
    await two.unsubscribe('own')
    await send('own', '3')
    expect(two.seen).toHaveLength(2)
  })

  it('refuse what is not for them', { timeout: 40_000 }, async () => {
    const one = await join('shared')
    expect(await one.subscribe('a b')).toBe('40020')
    await expect(producer.send({ topic: 'agents', liteTopic: 'a b', body: Buffer.from('x') })).rejects.toThrow(/a b/)
    await expect(producer.send({ topic: 'agents', body: Buffer.from('x') })).rejects.toThrow(/type not match/)
  })

  async function group(consumerGroupId: string, exclusive: boolean): Promise<void> {
    const policy = { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 16 }
    await client.createConsumerGroup(
      instanceId,
      consumerGroupId,
      new sdk.CreateConsumerGroupRequest({
        deliveryOrderType: 'Concurrently',
        consumeRetryPolicy: new sdk.CreateConsumerGroupRequestConsumeRetryPolicy(policy),
        messageModel: 'LITE_SELECTIVE',
        topicName: 'agents',
        exclusive,
      }),
    )
    await until(
      () => client.getConsumerGroup(instanceId, consumerGroupId),
      (answer: any) => answer.body.data.status === 'RUNNING',
      `group ${consumerGroupId} runs`,
    )
  }

  async function join(consumerGroup: string): Promise<Consumer> {
    const consumer = new Consumer(endpoint, consumerGroup)
    consumers.add(consumer)
    expect(await consumer.answer()).toBe('started')
    return consumer
  }

  async function send(liteTopic: string, body: string): Promise<void> {
    await producer.send({ topic: 'agents', liteTopic, body: Buffer.from(body) })
  }
})

class Consumer {
  readonly process: ChildProcess
  readonly seen: string[] = []
  readonly #answers: string[] = []

  constructor(endpoint: string, group: string) {
    this.process = fork(path.join(here, 'lite-child.mjs'), [endpoint, 'agents', group], {
      env: cleanEnv(),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.process.on('message', (told: any) => {
      if (told.answer !== undefined) this.#answers.push(told.answer)
      else this.seen.push(`${told.liteTopic}/${told.body}:${told.attempt}`)
    })
  }

  subscribe(liteTopic: string, more: { readonly fromFirst?: boolean } = {}): Promise<string> {
    this.process.send({ subscribe: liteTopic, ...more })
    return this.answer()
  }

  unsubscribe(liteTopic: string): Promise<string> {
    this.process.send({ unsubscribe: liteTopic })
    return this.answer()
  }

  async answer(): Promise<string> {
    await until(
      async () => this.#answers.length,
      (length) => length > 0,
      'the consumer answers',
    )
    return this.#answers.shift()!
  }

  async count(messages: number): Promise<readonly string[]> {
    await until(
      async () => this.seen.length,
      (length) => length >= messages,
      `${messages} messages were seen`,
    )
    return [...this.seen]
  }
}
