/** Transactions as Apache's official Node.js client makes them, through the death of producers and of the broker. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TransactionResolution } from '../../src/grpc/gen/rocketmq.js'
import { pause } from '../../src/world/real.ts'
import { clientOptions, rocketmq } from '../support/client.ts'
import { runningInstance, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'

const halfChild = path.join(path.dirname(fileURLToPath(import.meta.url)), 'half-child.mjs')
/** The client does not export the names of what a checker answers. */
const { COMMIT, ROLLBACK } = TransactionResolution

describe('rocketmq-client-nodejs and a TRANSACTION topic', () => {
  let home: TestHome
  let server: TestServer
  let endpoint: string
  let producer: any
  let consumer: any
  /** What the checker was asked about: message id to body. */
  const checked = new Map<string, string>()

  beforeAll(async () => {
    home = await temporaryHome()
    server = await home.start()
    const made = await runningInstance(sdkClient(server.ready), {
      topic: 'orders',
      group: 'orders-group',
      messageType: 'TRANSACTION',
    })
    endpoint = made.endpoint
    producer = await startProducer()
    consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'orders-group',
        subscriptions: new Map([['orders', '*']]),
        awaitDuration: 5000,
      }),
    )
    await consumer.startup()
    expect(await next(0)).toEqual([])
  })
  afterAll(async () => {
    await Promise.allSettled([producer?.shutdown(), consumer?.shutdown()])
    await home?.close()
  })

  async function startProducer(): Promise<any> {
    const checker = {
      async check(message: any) {
        const body = message.body.toString()
        checked.set(message.messageId, body)
        return body === 'roll me back' ? ROLLBACK : COMMIT
      },
    }
    const made = new rocketmq.Producer(clientOptions(endpoint, { topics: ['orders'], checker }))
    await made.startup()
    return made
  }

  const half = async (body: string): Promise<{ transaction: any; messageId: string }> => {
    const transaction = producer.beginTransaction()
    const { messageId } = await producer.send({ topic: 'orders', tag: 'tag', body: Buffer.from(body) }, transaction)
    return { transaction, messageId }
  }

  /** The next `count` messages, acknowledged; with 0, whatever one poll brings. A broker that is away is waited for. */
  const next = async (count: number): Promise<Array<[string, string]>> => {
    const came: Array<[string, string]> = []
    for (let tries = 0; tries === 0 || (came.length < count && tries < 60); tries++) {
      const messages = await consumer.receive(16, 30_000).catch(() => pause(200).then(() => []))
      for (const message of messages) {
        came.push([message.messageId, message.body.toString()])
        await consumer.ack(message)
      }
    }
    return came
  }

  it('commits and rolls back', async () => {
    const [first, second] = [await half('committed'), await half('dropped')]
    expect(await next(0)).toEqual([])
    await second.transaction.rollback()
    await first.transaction.commit()
    expect(await next(1)).toEqual([[first.messageId, 'committed']])
    // Both again, as after a lost reply, and the other way round.
    await first.transaction.rollback()
    await second.transaction.commit()
    expect(await next(0)).toEqual([])
  })

  it('keeps a half message through kill -9 of the broker, and commits it then', async () => {
    const { transaction, messageId } = await half('survives')
    await server.killBroker()
    for (let tries = 0; ; tries++) {
      try {
        await transaction.commit()
        break
      } catch (error) {
        if (tries > 100) throw error
        await pause(200)
      }
    }
    expect(await next(1)).toEqual([[messageId, 'survives']])
    expect(await next(0)).toEqual([])
  })

  it('asks another producer about what a dead one left open, well within a minute, also after kill -9 of the broker', async () => {
    const child = fork(halfChild, [endpoint, 'orders', '4'], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const ended = once(child, 'exit')
    const [ids] = (await once(child, 'message')) as [string[]]
    expect(await ended).toEqual([null, 'SIGKILL'])
    const startedMs = Date.now()
    await server.killBroker()
    const came = await next(2)
    expect(Date.now() - startedMs).toBeLessThan(60_000)
    expect(came.map(([id]) => id).sort()).toEqual([ids[0], ids[2]].sort())
    const asked = async () =>
      [...checked]
        .filter(([id]) => ids.includes(id))
        .map(([, body]) => body)
        .sort()
    // What was committed may come before the last question is put.
    expect(await until(asked, (bodies) => bodies.length === ids.length, 'every half message was asked about')).toEqual([
      'commit me',
      'commit me',
      'roll me back',
      'roll me back',
    ])
    expect(await next(0)).toEqual([])
  }, 120_000)
})
