/**
 * A disk that fills up under a running server: writes are refused in words, what was acknowledged stays, and once there
 * is space again everything goes on by itself.
 */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { run } from '../cli/run.ts'
import { clientOptions, receiveMany, rocketmq, sendMany } from '../support/client.ts'
import { instanceRequest, runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { homeAt, type TestHome, type TestServer } from '../support/server.ts'
import { canMount, type Mount, mountTmpfs, whyNoMount } from './tmpfs.ts'

const env = { env: { GANTRY_FIRST_INSTANCE_PORT: '24600' } }

describe.skipIf(!canMount)(`a full disk${whyNoMount}`, () => {
  const onSmallDisk = async (size: string, work: (mount: Mount, home: TestHome) => Promise<void>): Promise<void> => {
    const mount = mountTmpfs(size)
    const home = homeAt(path.join(mount.folder, 'of-its-own', 'home'))
    try {
      await work(mount, home)
    } finally {
      await home.close()
      mount.remove()
    }
  }

  it('refuses writes of the ledger with 503, answers reads, and keeps what it acknowledged', () =>
    onSmallDisk('16m', async (mount, home) => {
      let server = await home.start(env)
      let client = sdkClient(server.ready)
      const { instanceId } = await runningInstance(client)
      const acknowledged: string[] = []
      const free = mount.fill()
      const refused = await refusalOf(async () => {
        // Pages that are there already take a few more rows.
        for (let index = 0; index < 2_000; index++) {
          await client.createTopic(instanceId, `topic-${index}`, new sdk.CreateTopicRequest({ messageType: 'NORMAL' }))
          acknowledged.push(`topic-${index}`)
        }
      })
      expect([refused.statusCode, refused.code]).toEqual([503, 'ServiceUnavailable'])
      expect(refused.message).toMatch(/Nothing was changed|temporary failure/)
      expect((await client.getInstance(instanceId)).body.data.instanceId).toBe(instanceId)
      expect(server.log()).toMatch(/disk|space|full|ENOSPC/i)
      free()
      await server.kill()
      await server.killBroker()
      server = await home.start(env)
      client = sdkClient(server.ready)
      await until(
        () => client.getInstance(instanceId),
        (answer: any) => answer.body.data.status === 'RUNNING',
        'the instance runs again',
      )
      const { data } = (await client.listTopics(instanceId, new sdk.ListTopicsRequest({ pageSize: 10_000 }))).body
      const names = data.list.map((topic: any) => topic.topicName)
      expect(acknowledged.filter((name) => !names.includes(name))).toEqual([])
      // Refused means refused: nothing is there that was not acknowledged.
      expect(names.filter((name: string) => !acknowledged.includes(name))).toEqual([])
      await client.createTopic(instanceId, 'afterwards', new sdk.CreateTopicRequest({ messageType: 'NORMAL' }))
    }))

  it('refuses sends with a clear status and says why; given space it goes on by itself with all it acknowledged', () =>
    onSmallDisk('48m', async (mount, home) => {
      const server = await home.start(env)
      const client = sdkClient(server.ready)
      const { instanceId, endpoint } = await runningInstance(client, { topic: 'full', group: 'full-group' })
      const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['full'], maxAttempts: 1 }))
      await producer.startup()
      const sent = await sendMany(producer, 'full', 50, 8, 'before')
      const free = mount.fill(256 * 1024)
      const body = Buffer.alloc(64 * 1024, 'x')
      const refused = await refusalOf(async () => {
        for (let index = 0; index < 200; index++) {
          const receipt = await producer.send({ topic: 'full', tag: 'big', body })
          sent.set(receipt.messageId, body.toString())
        }
      })
      expect(refused.message).toMatch(/disk|space|full|storage|write/i)
      expect(refused.message).not.toMatch(/\n\s+at /)
      const told = await until(
        () => client.getInstance(instanceId),
        (answer: any) => answer.body.message !== 'Success',
        'the reason is told',
      )
      // Whichever comes first: the log meets the full disk, or the look at the disk forestalls it.
      expect(told.body.message).toMatch(
        new RegExp(
          `Instance ${instanceId} (takes no messages(: .*The disk is full: free some space; the instance then| for now: the disk of this server is nearly full)|writes nothing for now but acknowledgements and deletions: the disk of this server is all but full)`,
        ),
      )
      free()
      await until(
        () => client.getInstance(instanceId),
        ({ body: { data, message } }: any) => data.status === 'RUNNING' && message === 'Success',
        'the instance runs again',
      )
      const receipt: any = await until(
        () => producer.send({ topic: 'full', tag: 'big', body: Buffer.from('afterwards') }).catch(() => null),
        (answer) => answer !== null,
        'it takes messages again',
      )
      sent.set(receipt.messageId, 'afterwards')
      await producer.shutdown()
      const consumer = new rocketmq.SimpleConsumer(
        clientOptions(endpoint, {
          consumerGroup: 'full-group',
          subscriptions: new Map([['full', '*']]),
          awaitDuration: 5000,
        }),
      )
      await consumer.startup()
      const { received } = await receiveMany(consumer, sent.size)
      await consumer.shutdown()
      expect([...sent.keys()].filter((id) => !received.has(id))).toEqual([])
    }))

  it('has sends refused before the ledger has no room, with a status that clients try again, and without a path', () =>
    onSmallDisk('48m', async (mount, home) => {
      const server = await home.start(env)
      const client = sdkClient(server.ready)
      const { instanceId, endpoint } = await runningInstance(client, { topic: 'full', group: 'full-group' })
      const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['full'], maxAttempts: 1 }))
      await producer.startup()
      const sent = await sendMany(producer, 'full', 5, 1, 'before')
      // Of a reserve of 2.4 MiB more than half: everything but messages is still written.
      const free = mount.fill(1_900 * 1024)
      const refused: any = await until(
        () =>
          producer.send({ topic: 'full', tag: 'one', body: Buffer.from('late') }).then(
            (receipt: { messageId: string }) => {
              sent.set(receipt.messageId, 'late')
              return null
            },
            (error: unknown) => error,
          ),
        (answer) => answer !== null,
        'a send is refused',
      )
      expect(String(refused.message)).toMatch(/takes no messages for now: the disk of this server is nearly full/)
      expect(String(refused.message)).not.toContain(mount.folder)
      const told = (await client.getInstance(instanceId)).body
      expect([told.data.status, told.message]).toEqual([
        'RUNNING',
        expect.stringMatching(/disk of this server is nearly full/),
      ])
      // The ledger is not their share, and what gives space back goes on.
      await client.createTopic(instanceId, 'another', new sdk.CreateTopicRequest({ messageType: 'NORMAL' }))
      const consumer = new rocketmq.SimpleConsumer(
        clientOptions(endpoint, {
          consumerGroup: 'full-group',
          subscriptions: new Map([['full', '*']]),
          awaitDuration: 5000,
        }),
      )
      await consumer.startup()
      const { received } = await receiveMany(consumer, sent.size)
      await consumer.shutdown()
      expect([...sent.keys()].filter((id) => !received.has(id))).toEqual([])
      free()
      await until(
        () => producer.send({ topic: 'full', tag: 'one', body: Buffer.from('again') }).catch(() => null),
        (answer) => answer !== null,
        'sends go on by themselves',
      )
      await producer.shutdown()
    }))

  it('is emptied by DeleteInstance, also when not a byte is left', () =>
    onSmallDisk('48m', async (mount, home) => {
      const server = await home.start(env)
      const client = sdkClient(server.ready)
      const { instanceId, endpoint } = await runningInstance(client, { topic: 'full', group: 'full-group' })
      const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['full'], maxAttempts: 1 }))
      await producer.startup()
      const body = Buffer.alloc(256 * 1024, 'x')
      for (let index = 0; index < 40; index++) await producer.send({ topic: 'full', tag: 'big', body })
      await producer.shutdown().catch(() => {})
      mount.fill()
      // Whatever room pages of the ledger still have is used up, too.
      await refusalOf(async () => {
        for (let index = 0; index < 2_000; index++)
          await client.createTopic(instanceId, `topic-${index}`, new sdk.CreateTopicRequest({ messageType: 'NORMAL' }))
      })
      const before = mount.freeBytes()
      await client.deleteInstance(instanceId)
      await until(
        () => client.getInstance(instanceId).catch((error: any) => error.statusCode),
        (answer) => answer === 404,
        'the instance is gone',
      )
      await until(
        async () => mount.freeBytes(),
        (bytes) => bytes > before + 8 * 1024 * 1024,
        'its space is free',
      )
      await runningInstance(client, { topic: 'next', group: 'next-group' })
    }))

  it('refuses a start in a sentence', () =>
    onSmallDisk('1m', async (mount, home) => {
      const free = mount.fill()
      const refused = await run(['up', '--json', '--home', home.home, '--port', '0'], { limitMs: 15_000 })
      expect(refused.code).toBe(1)
      expect(refused.stderr).toMatch(/gantry: .*(cannot be (made|written)|disk is full|no space)/i)
      expect(refused.stderr).not.toMatch(/^\s+at /m)
      free()
    }))

  it('refuses a create with 503 rather than promising an instance it could not keep', () =>
    onSmallDisk('16m', async (mount, home) => {
      const server: TestServer = await home.start(env)
      const client = sdkClient(server.ready)
      const free = mount.fill()
      const made: string[] = []
      const refused = await refusalOf(async () => {
        for (let index = 0; index < 500; index++)
          made.push((await client.createInstance(instanceRequest())).body.data as string)
      })
      expect([refused.statusCode, refused.code]).toEqual([503, 'ServiceUnavailable'])
      free()
      const { data } = (await client.listInstances(new sdk.ListInstancesRequest({ pageNumber: 1, pageSize: 200 }))).body
      expect(data.totalCount).toBe(made.length)
    }))
})

async function refusalOf(work: () => Promise<unknown>): Promise<any> {
  try {
    await work()
  } catch (error) {
    return error
  }
  throw new Error('Everything was accepted although the disk is full.')
}
