/** A consumer group that nobody created: it works, as in Apache RocketMQ, and the management API has it like any other. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { told } from '../limits/instance.ts'
import { clientOptions, receiveMany, rocketmq, sendMany } from '../support/client.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, temporaryHome } from '../support/server.ts'

let home: TestHome
let client: any
let instanceId: string
let endpoint: string

beforeAll(async () => {
  home = await temporaryHome()
  client = sdkClient((await home.start({ env: { GANTRY_FIRST_INSTANCE_PORT: '24720' } })).ready)
  const made = await runningInstance(client, { topic: 'orders' })
  instanceId = made.instanceId
  endpoint = made.endpoint
})
afterAll(() => home?.close())

async function consumerOf(consumerGroup: string): Promise<any> {
  const consumer = new rocketmq.SimpleConsumer(
    clientOptions(endpoint, { consumerGroup, subscriptions: new Map([['orders', '*']]), awaitDuration: 5000 }),
  )
  await consumer.startup()
  return consumer
}

const listed = async (): Promise<string[]> =>
  (await client.listConsumerGroups(instanceId, new sdk.ListConsumerGroupsRequest({}))).body.data.list.map(
    (one: any) => one.consumerGroupId,
  )

it('receives, is listed within a second or two, is created over, and is deleted', async () => {
  const consumer = await consumerOf('by-use')
  const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['orders'] }))
  await producer.startup()
  const sent = await sendMany(producer, 'orders', 5, 5, 'first')
  expect([...(await receiveMany(consumer, 5)).received.keys()].sort()).toEqual([...sent.keys()].sort())
  await until(listed, (names) => names.includes('by-use'), 'it is listed')
  const { data } = await until(
    async () => (await client.getConsumerGroup(instanceId, 'by-use')).body,
    (body: any) => body.data.status === 'RUNNING',
    'it runs',
  )
  expect(data).toMatchObject({
    deliveryOrderType: 'Concurrently',
    consumeRetryPolicy: { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 16 },
  })

  // Whoever creates it after its consumers came gets what was asked for, and the group goes on where it was.
  const create = () =>
    client.createConsumerGroup(
      instanceId,
      'by-use',
      new sdk.CreateConsumerGroupRequest({
        deliveryOrderType: 'Concurrently',
        remark: 'asked for',
        consumeRetryPolicy: new sdk.CreateConsumerGroupRequestConsumeRetryPolicy({
          retryPolicy: 'DefaultRetryPolicy',
          maxRetryTimes: 3,
        }),
      }),
    )
  await create()
  expect((await client.getConsumerGroup(instanceId, 'by-use')).body.data).toMatchObject({
    remark: 'asked for',
    consumeRetryPolicy: { maxRetryTimes: 3 },
  })
  await expect(create()).rejects.toMatchObject({ code: expect.stringMatching(/Exist/) })
  const later = await sendMany(producer, 'orders', 3, 3, 'later')
  expect([...(await receiveMany(consumer, 3)).received.keys()].sort()).toEqual([...later.keys()].sort())

  // Deleted under a consumer that goes on receiving it stays deleted, and the consumer is told.
  await client.deleteConsumerGroup(instanceId, 'by-use')
  const refusal = await until(
    () => consumer.receive(1, 30_000).catch((error: Error) => error),
    (answer: unknown) => answer instanceof Error,
    'the consumer is refused',
  )
  expect(told(refusal)).toMatch(/40403.*by-use was deleted; create it again/)
  expect(told(await consumerOf('by-use').catch((error: Error) => error))).toMatch(/40403/)
  for (let tries = 0; tries < 3; tries++) {
    await expect(consumer.receive(1, 30_000)).rejects.toThrow()
    expect(await listed()).toEqual([])
  }
  await create()
  const anew = await sendMany(producer, 'orders', 2, 2, 'anew')
  const answer = await until(
    () => receiveMany(consumer, 10).catch(() => null),
    (got: any) => got !== null,
    'the group created again is served',
  )
  expect([...(answer as any).received.keys()]).toEqual(expect.arrayContaining([...anew.keys()]))
  await consumer.shutdown()
  await producer.shutdown()
})
