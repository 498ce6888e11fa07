/** Apache's official Node.js client as judge of the data plane: nothing is patched. */
import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clientOptions, receiveMany, rocketmq, sendMany } from '../support/client.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { cleanEnv, type TestHome, type TestServer, temporaryHome } from '../support/server.ts'

const here = path.dirname(fileURLToPath(import.meta.url))

describe('rocketmq-client-nodejs', () => {
  let home: TestHome
  let server: TestServer
  let client: any

  beforeAll(async () => {
    home = await temporaryHome()
    server = await home.start()
    client = sdkClient(server.ready)
  })
  afterAll(() => home?.close())

  it('sends 1,000 messages and receives exactly those with a simple consumer', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'simple', group: 'simple-group' })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['simple'] }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'simple-group',
        subscriptions: new Map([['simple', '*']]),
        awaitDuration: 5000,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    try {
      const sent = await sendMany(producer, 'simple', 1000)
      expect(sent.size).toBe(1000)
      const { received, repeats } = await receiveMany(consumer, 1000)
      expect(received).toEqual(sent)
      expect(repeats).toBe(0)
      expect(await consumer.receive(32, 30_000)).toEqual([])
    } finally {
      await Promise.all([producer.shutdown(), consumer.shutdown()])
    }
  })

  it('starts with many topics, every time', async () => {
    const { instanceId, endpoint } = await runningInstance(client, { topic: 'many-0', group: 'many-group' })
    const topics = ['many-0', 'many-1', 'many-2', 'many-3']
    for (const topic of topics.slice(1))
      await client.createTopic(instanceId, topic, new sdk.CreateTopicRequest({ messageType: 'NORMAL' }))
    await until(
      async () => (await client.listTopics(instanceId, new sdk.ListTopicsRequest({}))).body.data.list,
      (list: any[]) => list.length === 4 && list.every(({ status }) => status === 'RUNNING'),
      'the four topics run',
    )
    const subscriptions = new Map(topics.map((topic) => [topic, '*']))
    for (let start = 0; start < 3; start++) {
      const producer = new rocketmq.Producer(clientOptions(endpoint, { topics }))
      const consumer = new rocketmq.SimpleConsumer(
        clientOptions(endpoint, { consumerGroup: 'many-group', subscriptions, awaitDuration: 5000 }),
      )
      await Promise.all([producer.startup(), consumer.startup()])
      await Promise.all([producer.shutdown(), consumer.shutdown()])
    }
  })

  it.each(['plain', 'tls'])(
    'sends 1,000 messages and receives exactly those, once each, with a push and a simple consumer (%s)',
    async (line) => {
      const { endpoint } = await runningInstance(client, { topic: 'both', group: 'both-group' })
      // Over TLS it trusts the exported certificate.
      const certificate = path.join(home.home, 'tls', 'tls.crt')
      const result = await childResult('exchange-child.mjs', [endpoint, 'both', 'both-group', '1000', line], {
        GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: certificate,
      })
      expect(result).toEqual({ sent: 1000, simple: 1000, push: 1000, repeats: 0, same: true })
    },
  )

  it('broadcasts to clients that each have a group of their own, which nobody made', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'news' })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['news'] }))
    const subscriptions = new Map([['news', '*']])
    const consumers = ['news-of-host-1', 'news-of-host-2', 'news-of-host-3'].map(
      (consumerGroup) =>
        new rocketmq.SimpleConsumer(clientOptions(endpoint, { consumerGroup, subscriptions, awaitDuration: 5000 })),
    )
    await Promise.all([producer, ...consumers].map((each) => each.startup()))
    try {
      const sent = await sendMany(producer, 'news', 10)
      for (const consumer of consumers) expect((await receiveMany(consumer, 10)).received).toEqual(sent)
    } finally {
      await Promise.all([producer, ...consumers].map((each) => each.shutdown()))
    }
  })

  it('gets only the tags it subscribed', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'tags', group: 'tags-group' })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['tags'] }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'tags-group',
        subscriptions: new Map([['tags', 'Aa || C']]),
        awaitDuration: 5000,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    try {
      // "Aa" and "BB" have the same Java hash.
      for (const tag of ['Aa', 'BB', 'C', 'c', undefined]) {
        await producer.send({ topic: 'tags', ...(tag === undefined ? {} : { tag }), body: Buffer.from(`tag ${tag}`) })
      }
      const { received } = await receiveMany(consumer, 2)
      expect([...received.values()].sort()).toEqual(['tag Aa', 'tag C'])
      expect(await consumer.receive(32, 30_000)).toEqual([])
    } finally {
      await Promise.all([producer.shutdown(), consumer.shutdown()])
    }
  })

  it('is refused with the reason: unknown topic, wrong type, no credentials', async () => {
    const { instanceId, endpoint } = await runningInstance(client, {
      topic: 'guarded',
      changes: { aclInfo: new sdk.CreateInstanceRequestAclInfo({ defaultVpcAuthFree: false }) },
    })
    const account = (await client.getInstanceAccount(instanceId, new sdk.GetInstanceAccountRequest({}))).body.data
    const credentials = { sessionCredentials: { accessKey: account.username, accessSecret: account.password } }

    const stranger = await promisify(execFile)(process.execPath, [
      path.join(here, 'refused-child.mjs'),
      endpoint,
      'guarded',
    ])
    expect(stranger.stdout).toContain('40100')

    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['guarded'], ...credentials }))
    await producer.startup()
    try {
      await expect(producer.send({ topic: 'absent', body: Buffer.from('x') })).rejects.toThrow(/absent/)
      await expect(producer.send({ topic: 'guarded', messageGroup: 'g', body: Buffer.from('x') })).rejects.toThrow()
      await expect(producer.send({ topic: 'guarded', body: Buffer.from('x') })).resolves.toBeDefined()
    } finally {
      await producer.shutdown()
    }
  })

  it('gets the messages beside one that is too large for it to read', { timeout: 60_000 }, async () => {
    const { endpoint } = await runningInstance(client, { topic: 'large', group: 'large-group', maxRetryTimes: 1 })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['large'] }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'large-group',
        subscriptions: new Map([['large', '*']]),
        awaitDuration: 5000,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    try {
      await producer.send({ topic: 'large', body: Buffer.alloc(4 * 1024 * 1024) })
      const sent = await sendMany(producer, 'large', 20)
      const received = new Map<string, string>()
      for (let polls = 0; received.size < 20 && polls < 20; polls++) {
        // Alone, the large one ends a receive with what its user can read.
        const messages = await consumer.receive(32, 30_000).catch((error: Error) => {
          expect(error.message).toMatch(/larger than max/)
          return []
        })
        for (const message of messages) {
          received.set(message.messageId, message.body.toString())
          await consumer.ack(message)
        }
      }
      expect(received).toEqual(sent)
    } finally {
      await Promise.all([producer.shutdown(), consumer.shutdown()])
    }
  })

  it('finds a message in the dead letters once its retries are used up', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'poison', group: 'poison-group', maxRetryTimes: 1 })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['poison'] }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'poison-group',
        subscriptions: new Map([['poison', '*']]),
        awaitDuration: 5000,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    const { messageId } = await producer.send({ topic: 'poison', tag: 'bad', body: Buffer.from('bad') })
    const attempts: number[] = []
    for (
      let received = await consumer.receive(1, 30_000);
      received.length > 0;
      received = await consumer.receive(1, 30_000)
    ) {
      attempts.push(received[0].deliveryAttempt)
      // The nack: visible again at once.
      await consumer.changeInvisibleDuration(received[0], 1)
    }
    expect(attempts).toEqual([1, 2])

    const coroner = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'coroner',
        subscriptions: new Map([['%DLQ%poison-group', '*']]),
        awaitDuration: 5000,
      }),
    )
    await coroner.startup()
    try {
      const [dead] = await coroner.receive(1, 30_000)
      expect([dead.messageId, dead.topic, dead.tag, dead.body.toString()]).toEqual([
        messageId,
        '%DLQ%poison-group',
        'bad',
        'bad',
      ])
      await coroner.ack(dead)
    } finally {
      await Promise.all([producer.shutdown(), consumer.shutdown(), coroner.shutdown()])
    }
  })

  it('gets what its SQL92 expression says, with a simple and a push consumer', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'sql', group: 'sql-group' })
    const expression = "(price BETWEEN 10 AND 100) AND regionId IS NOT NUll AND TAGS IN ('paid', 'sent')"
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['sql'] }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'sql-group',
        subscriptions: new Map([['sql', new rocketmq.FilterExpression(expression, 2)]]),
        awaitDuration: 5000,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    try {
      for (const [body, tag, properties] of [
        ['cheap', 'paid', { price: '5', regionId: 'cn' }],
        ['fits', 'paid', { price: '10', regionId: 'cn' }],
        ['fits too', 'sent', { price: '99', regionId: '' }],
        ['no region', 'paid', { price: '50' }],
        ['no number', 'paid', { price: 'fifty', regionId: 'cn' }],
        ['open', 'open', { price: '50', regionId: 'cn' }],
      ] as const)
        await producer.send({
          topic: 'sql',
          tag,
          properties: new Map(Object.entries(properties)),
          body: Buffer.from(body),
        })
      const { received, repeats } = await receiveMany(consumer, 2)
      expect([[...received.values()].sort(), repeats]).toEqual([['fits', 'fits too'], 0])
      expect(await consumer.receive(32, 30_000)).toEqual([])
      expect(await childResult('sql-child.mjs', [endpoint, 'sql', 'sql-push', expression, '2'])).toEqual([
        'fits',
        'fits too',
      ])
    } finally {
      await Promise.all([producer.shutdown(), consumer.shutdown()])
    }
  })

  it('gets everything since a time once more when its group is reset to it, without being told', async () => {
    const { instanceId, endpoint } = await runningInstance(client, { topic: 'reset', group: 'reset-group' })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['reset'] }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'reset-group',
        subscriptions: new Map([['reset', '*']]),
        awaitDuration: 5000,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    try {
      const lag = async () =>
        (await client.getConsumerGroupLag(instanceId, 'reset-group', new sdk.GetConsumerGroupLagRequest({}))).body.data
      const sent = await sendMany(producer, 'reset', 20)
      expect((await receiveMany(consumer, 20)).received).toEqual(sent)
      expect((await lag()).totalLag).toMatchObject({ readyCount: 0, inflightCount: 0, deliveryDuration: 0 })
      const reset = new sdk.ResetConsumeOffsetRequest({ resetType: 'SPECIFIED_TIME', resetTime: '2022-08-01 20:05:50' })
      const { body } = await client.resetConsumeOffset(instanceId, 'reset-group', 'reset', reset)
      expect(body.success).toBe(true)
      await until(lag, (data: any) => data.topicLagMap.reset.readyCount === 20, 'the reset is carried out')
      const again = await receiveMany(consumer, 20)
      expect([again.received, again.repeats]).toEqual([sent, 0])
      await sendMany(producer, 'reset', 5)
      await until(lag, (data: any) => data.totalLag.readyCount === 5, 'five wait')
      const skip = new sdk.ResetConsumeOffsetRequest({ resetType: 'LATEST_OFFSET' })
      await client.resetConsumeOffset(instanceId, 'reset-group', 'reset', skip)
      await until(lag, (data: any) => data.totalLag.readyCount === 0, 'the reset is carried out')
      expect(await consumer.receive(32, 30_000)).toEqual([])
    } finally {
      await Promise.all([producer.shutdown(), consumer.shutdown()])
    }
  })

  it('redelivers what a push listener failed on, after the group pause', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'retry', group: 'retry-group' })
    expect(await childResult('retry-child.mjs', [endpoint, 'retry', 'retry-group'])).toEqual([1, 2])
  })
})

/** The first message of a child of this folder, which ends itself. */
async function childResult(
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<unknown> {
  const child = fork(path.join(here, script), args, {
    env: cleanEnv(env),
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const [result] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => [`ended with code ${code}`]),
  ])
  return result
}
