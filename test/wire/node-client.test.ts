/** Apache's official Node.js client as judge of the data plane: nothing is patched. */
import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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
