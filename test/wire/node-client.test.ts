/** Apache's official Node.js client as judge of the data plane: nothing is patched. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clientOptions, receiveMany, rocketmq, sendMany } from '../support/client.ts'
import { runningInstance, sdk, sdkClient } from '../support/sdk.ts'
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
  // A push consumer that leaves waits for its last poll, up to 20 seconds: they leave together at the end.
  const leaving: Promise<unknown>[] = []
  afterAll(async () => {
    await Promise.all(leaving)
    await home?.close()
  })

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

  it('sends 1,000 messages and receives exactly those with a push consumer', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'push', group: 'push-group' })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['push'] }))
    const received = new Map<string, string>()
    let repeats = 0
    let arrived = (): void => {}
    const all = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const consumer = new rocketmq.PushConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'push-group',
        subscriptions: new Map([['push', '*']]),
        messageListener: {
          async consume(message: any) {
            if (received.has(message.messageId)) repeats++
            received.set(message.messageId, message.body.toString())
            if (received.size === 1000) arrived()
            return rocketmq.ConsumeResult.SUCCESS
          },
        },
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    try {
      const sent = await sendMany(producer, 'push', 1000)
      await all
      expect(received).toEqual(sent)
      expect(repeats).toBe(0)
    } finally {
      leaving.push(producer.shutdown(), consumer.shutdown())
    }
  })

  // The client reads its trust from the environment when it is loaded, so it runs in a process of its own.
  it('does the same over TLS, trusting the exported certificate', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'tls', group: 'tls-group' })
    const child = fork(path.join(here, 'tls-child.mjs'), [endpoint, 'tls', 'tls-group', '1000'], {
      env: cleanEnv({ GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: path.join(home.home, 'tls', 'tls.crt') }),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const [result] = (await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(([code]) => [{ error: `ended with code ${code}` }]),
    ])) as [any]
    expect(result).toEqual({ sent: 1000, simple: 1000, push: 1000, same: true })
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

    const stranger = new rocketmq.Producer(clientOptions(endpoint, { topics: ['guarded'] }))
    await expect(stranger.startup()).rejects.toThrow()
    await stranger.shutdown().catch(() => {})

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

  it('redelivers what a push listener failed on, after the group pause', async () => {
    const { endpoint } = await runningInstance(client, { topic: 'retry', group: 'retry-group' })
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['retry'] }))
    const attempts: number[] = []
    let succeeded = (): void => {}
    const success = new Promise<void>((resolve) => {
      succeeded = resolve
    })
    const consumer = new rocketmq.PushConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'retry-group',
        subscriptions: new Map([['retry', '*']]),
        messageListener: {
          async consume(message: any) {
            attempts.push(message.deliveryAttempt)
            if (message.deliveryAttempt === 1) return rocketmq.ConsumeResult.FAILURE
            succeeded()
            return rocketmq.ConsumeResult.SUCCESS
          },
        },
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    await producer.send({ topic: 'retry', body: Buffer.from('again') })
    await success
    expect(attempts).toEqual([1, 2])
    leaving.push(producer.shutdown(), consumer.shutdown())
  })
})
