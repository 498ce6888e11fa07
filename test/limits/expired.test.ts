/**
 * A subscription that expires, from the purchase to the client: it is bought, its date is set back in the ledger while
 * nothing runs (a month is too long for a test), and set forward again as a renewal does.
 */
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { LEDGER_FILE } from '../../src/ledger/sqlite.ts'
import { openBinding } from '../../src/ledger/sqlite-binding.ts'
import { clientOptions, receiveMany, rocketmq } from '../support/client.ts'
import { runningInstance, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { told } from './instance.ts'

const DAY = 24 * 60 * 60 * 1_000

let home: TestHome
let server: TestServer
beforeAll(async () => {
  home = await temporaryHome()
  server = await home.start()
})
afterAll(() => home?.close())

it('an expired instance refuses its clients with 40200 and keeps everything until it is renewed', async () => {
  const { instanceId, endpoint } = await runningInstance(sdkClient(server.ready), {
    topic: 'orders',
    group: 'workers',
    changes: { paymentType: 'Subscription', period: 1, periodUnit: 'Month' },
  })
  const before = await producerOf(endpoint)
  await before.send({ topic: 'orders', body: Buffer.from('kept') })
  await before.shutdown()

  await expireAt(-60_000)
  await statusOf(instanceId, 'STOPPED')
  expect(await producerOf(endpoint).catch(told)).toMatch(/40200/)

  await expireAt(30 * DAY)
  await statusOf(instanceId, 'RUNNING')
  const after = await producerOf(endpoint)
  await after.send({ topic: 'orders', body: Buffer.from('new') })
  await after.shutdown()
  const consumer = new rocketmq.SimpleConsumer(
    clientOptions(endpoint, { consumerGroup: 'workers', subscriptions: new Map([['orders', '*']]) }),
  )
  await consumer.startup()
  const { received } = await receiveMany(consumer, 2)
  await consumer.shutdown()
  expect([...received.values()].sort()).toEqual(['kept', 'new'])
})

async function producerOf(endpoint: string): Promise<any> {
  const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['orders'], maxAttempts: 1 }))
  await producer.startup()
  return producer
}

function statusOf(instanceId: string, status: string): Promise<unknown> {
  return until(
    () => sdkClient(server.ready).getInstance(instanceId),
    (answer: any) => answer.body.data.status === status,
    `instance ${instanceId} is ${status}`,
  )
}

/** Of every instance, so long from now; the server is another one then. */
async function expireAt(fromNowMs: number): Promise<void> {
  await server.stop()
  const ledger = openBinding(path.join(home.home, LEDGER_FILE))
  ledger.exec('pragma locking_mode = exclusive')
  const expireMs = Date.now() + fromNowMs
  ledger.run('update instances set expire_time_ms = ?, release_time_ms = ?', [expireMs, expireMs + 15 * DAY])
  ledger.close()
  server = await home.start()
}
