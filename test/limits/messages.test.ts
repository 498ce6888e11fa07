/** Looking at messages and their traces with the official SDK, after the official client sent and received them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { realClock } from '../../src/world/real.ts'
import { clientOptions, rocketmq } from '../support/client.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, temporaryHome } from '../support/server.ts'

let home: TestHome
let client: any
beforeAll(async () => {
  home = await temporaryHome()
  client = sdkClient((await home.start()).ready)
})
afterAll(() => home?.close())

/** A time as the API writes it, some seconds away. */
const at = (seconds: number): string =>
  new Date(realClock.now() + 8 * 3_600_000 + seconds * 1_000).toISOString().slice(0, 19).replace('T', ' ')

async function producing(
  endpoint: string,
  topic: string,
  use: (producer: any) => Promise<void>,
  options: object = {},
): Promise<void> {
  const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: [topic], ...options }))
  await producer.startup()
  await use(producer)
  await producer.shutdown()
}

describe('messages', () => {
  let instanceId: string
  const ids: string[] = []
  const list = async (query: Record<string, unknown>) =>
    (await client.listMessages(instanceId, 'orders', new sdk.ListMessagesRequest(query))).body.data
  const bodiesOf = (data: any): string[] => data.list.map((message: any) => message.body)

  beforeAll(async () => {
    const made = await runningInstance(client, { topic: 'orders' })
    instanceId = made.instanceId
    await producing(made.endpoint, 'orders', async (producer) => {
      for (let n = 0; n < 25; n++) {
        const message = { topic: 'orders', tag: 'paid', keys: [`order-${n % 5}`], properties: new Map([['n', `${n}`]]) }
        ids.push((await producer.send({ ...message, body: Buffer.from(`body ${n}`) })).messageId)
      }
    })
  })

  it('are found by time, in order, page by page and by scrolling', async () => {
    const range = { startTime: at(-600), endTime: at(5) }
    const first = await list({ ...range, pageNumber: 1, pageSize: 10 })
    expect(first).toMatchObject({ totalCount: 25, pageNumber: 1, pageSize: 10 })
    const all = [...bodiesOf(first)]
    for (const pageNumber of [2, 3]) all.push(...bodiesOf(await list({ ...range, pageNumber, pageSize: 10 })))
    // Messages of the same millisecond are in the order of their queues.
    expect(new Set(all)).toEqual(new Set(ids.map((_, n) => `body ${n}`)))
    const times = (await list({ ...range, pageSize: 50 })).list.map((message: any) => message.storeTime)
    expect(times).toEqual([...times].sort())
    const scrolled = [...bodiesOf(first)]
    for (let scrollId = first.scrollId; scrollId !== undefined; ) {
      const next = await list({ ...range, pageSize: 10, scrollId })
      scrolled.push(...bodiesOf(next))
      scrollId = next.scrollId
    }
    expect(scrolled).toEqual(all)
  })

  it.each<[string, () => Record<string, unknown>, number]>([
    ['by id', () => ({ messageId: ids[7] }), 1],
    ['by an id that is not there', () => ({ messageId: ids[7]!.replace(/.$/, 'Z') }), 0],
    ['by key', () => ({ messageKey: 'order-3' }), 5],
    ['by a key that is not there', () => ({ messageKey: 'order-9' }), 0],
    ['by key within a time', () => ({ messageKey: 'order-3', startTime: at(-7200), endTime: at(-3600) }), 0],
    ['by a time without messages', () => ({ startTime: at(-7200), endTime: at(-3600) }), 0],
  ])('%s', async (_name, query, count) => {
    expect((await list({ ...query(), pageNumber: 1, pageSize: 50 })).list).toHaveLength(count)
  })

  it('one is shown whole', async () => {
    const { data } = (await client.getMessageDetail(instanceId, 'orders', ids[7])).body
    expect(data).toMatchObject({
      instanceId,
      topicName: 'orders',
      messageId: ids[7],
      body: 'body 7',
      bodySize: 6,
      messageTag: 'paid',
      messageKeys: ['order-2'],
      messageType: 'NORMAL',
      userProperties: { n: '7' },
      systemProperties: { TAGS: 'paid', KEYS: 'order-2' },
    })
    expect(data.storeTime >= at(-600) && data.storeTime <= at(5)).toBe(true)
    await expect(client.getMessageDetail(instanceId, 'orders', 'F00')).rejects.toMatchObject({
      code: 'Message.NotFound',
    })
    await expect(client.getMessageDetail(instanceId, 'absent', ids[7])).rejects.toMatchObject({
      code: 'Topic.NotFound',
    })
  })
})

describe('a trace', () => {
  const get = async (instanceId: string, topic: string, messageId: string) =>
    (await client.getTrace(instanceId, topic, messageId, new sdk.GetTraceRequest({}))).body.data

  it('names the accounts, and no acknowledgement of a dead letter that used up its retries again', async () => {
    const changes = { aclInfo: new sdk.CreateInstanceRequestAclInfo({ defaultVpcAuthFree: false }) }
    const made = { topic: 'guarded', group: 'workers', maxRetryTimes: 1, changes }
    const { instanceId, endpoint } = await runningInstance(client, made)
    const account = (await client.getInstanceAccount(instanceId, new sdk.GetInstanceAccountRequest({}))).body.data
    const credentials = { sessionCredentials: { accessKey: account.username, accessSecret: account.password } }
    let messageId = ''
    const produce = async (producer: any) => {
      messageId = (await producer.send({ topic: 'guarded', body: Buffer.from('bad') })).messageId
    }
    await producing(endpoint, 'guarded', produce, credentials)
    const deadLetters = '%DLQ%workers'
    for (const topic of ['guarded', deadLetters]) {
      await until(
        () => get(instanceId, topic, messageId).catch(() => null),
        (answer) => answer !== null,
        `${topic} has the message`,
      )
      const consumer = new rocketmq.SimpleConsumer(
        clientOptions(endpoint, {
          consumerGroup: 'workers',
          subscriptions: new Map([[topic, '*']]),
          awaitDuration: 5_000,
          ...credentials,
        }),
      )
      await consumer.startup()
      for (let attempts = 0; attempts < 2; )
        for (const message of await consumer.receive(1, 30_000)) {
          attempts++
          await consumer.changeInvisibleDuration(message, 1)
        }
      await consumer.shutdown()
    }
    const trace = await until(
      () => get(instanceId, deadLetters, messageId),
      (answer: any) => answer.consumerInfos[0]?.consumeStatus === 'DEAD',
      'the dead letter has used up its retries',
    )
    const userName = account.username
    expect(trace.producerInfo.records).toMatchObject([{ userName, messageSource: 'SDK', dlqOriginTopic: 'guarded' }])
    expect(trace.consumerInfos).toMatchObject([{ deadMessage: false, records: [{ userName }, { userName }] }])
    expect(trace.consumerInfos[0].records[1].operations.at(-1)).toMatchObject({ operateType: 'RETRIES_USED_UP' })
    expect(JSON.stringify(trace.consumerInfos)).not.toMatch(/SUCCESS|"ACK"/)
    const first = await get(instanceId, 'guarded', messageId)
    expect(first.consumerInfos).toMatchObject([{ deadMessage: true, deadLetterInfo: { topicName: deadLetters } }])
    expect(JSON.stringify(first.consumerInfos)).not.toMatch(/SUCCESS|"ACK"/)
  })

  it('tells who sent it, who got it how often, and what became of it', async () => {
    const { instanceId, endpoint } = await runningInstance(client, {
      topic: 'traced',
      group: 'readers',
      maxRetryTimes: 1,
    })
    const sent: string[] = []
    await producing(endpoint, 'traced', async (producer) => {
      for (const body of ['good', 'bad', 'left'])
        sent.push((await producer.send({ topic: 'traced', keys: [body], body: Buffer.from(body) })).messageId)
    })
    const [good, bad, left] = sent as [string, string, string]
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'readers',
        subscriptions: new Map([['traced', '*']]),
        awaitDuration: 5000,
      }),
    )
    await consumer.startup()
    const seen: string[] = []
    while (seen.length < 4) {
      for (const message of await consumer.receive(1, 30_000)) {
        const body = message.body.toString()
        seen.push(body)
        if (body === 'good') await consumer.ack(message)
        if (body === 'bad') await consumer.changeInvisibleDuration(message, 1)
      }
    }
    await consumer.receive(1, 30_000)
    await consumer.shutdown()

    const answer = await get(instanceId, 'traced', good)
    expect(answer.messageInfo).toMatchObject({ messageId: good, messageKeys: ['good'] })
    expect(answer.producerInfo.records).toMatchObject([{ produceStatus: 'SUCCESS', messageSource: 'SDK' }])
    // The address needs no credentials.
    expect(answer.producerInfo.records[0].userName).toBeUndefined()
    expect(answer.consumerInfos).toMatchObject([
      {
        consumerGroupId: 'readers',
        consumeStatus: 'SUCCESS',
        deadMessage: false,
        records: [{ consumeStatus: 'SUCCESS', operations: [{ operateType: 'POP' }, { operateType: 'ACK' }] }],
      },
    ])
    const dead = (await get(instanceId, 'traced', bad)).consumerInfos[0]
    expect(dead).toMatchObject({ deadMessage: true, deadLetterInfo: { topicName: '%DLQ%readers', messageId: bad } })
    expect(dead.records).toHaveLength(2)
    expect(dead.records[1].operations.at(-1)).toMatchObject({ operateType: 'DEAD_LETTER', deadMessage: true })
    // Nobody acknowledged it.
    expect(JSON.stringify(dead)).not.toMatch(/SUCCESS|"ACK"/)
    expect(dead.records[0].popCk).not.toBe(dead.records[1].popCk)
    expect((await get(instanceId, 'traced', left)).consumerInfos).toMatchObject([{ consumeStatus: 'CONSUMING' }])
    // The dead letter's own trace says where it came from.
    expect((await get(instanceId, '%DLQ%readers', bad)).producerInfo.records).toMatchObject([
      { dlqOriginTopic: 'traced', dlqOriginMessageId: bad },
    ])

    const query = { startTime: at(-600), endTime: at(5), pageNumber: 1, pageSize: 10 }
    const found = async (more: Record<string, unknown>) =>
      (
        await client.listTraces(instanceId, 'traced', new sdk.ListTracesRequest({ ...query, ...more }))
      ).body.data.list.map((trace: any) => trace.messageId)
    expect(new Set(await found({ queryType: 'TOPIC' }))).toEqual(new Set(sent))
    expect(await found({ queryType: 'MESSAGE_ID', messageId: bad })).toEqual([bad])
    expect(await found({ queryType: 'MESSAGE_KEY', messageKey: 'left' })).toEqual([left])
    await expect(found({ queryType: 'MESSAGE_KEY' })).rejects.toMatchObject({ code: 'MissingMessageKey' })
  })

  it('of a delayed message does not count its waiting as its way here', async () => {
    const { instanceId, endpoint } = await runningInstance(client, { topic: 'later', messageType: 'DELAY' })
    let messageId = ''
    const dueMs = Math.floor(realClock.now() / 1000) * 1000 + 2000
    await producing(endpoint, 'later', async (producer) => {
      const sent = { topic: 'later', deliveryTimestamp: new Date(dueMs), body: Buffer.from('x') }
      messageId = (await producer.send(sent)).messageId
    })
    const answer = await until(
      () => get(instanceId, 'later', messageId).catch(() => null),
      (found) => found?.brokerInfo.delayStatus === 'DUE',
      'the message is due',
    )
    expect(answer.brokerInfo.operations).toMatchObject([
      { operateType: 'STORE' },
      { operateType: 'DUE', operateTime: answer.brokerInfo.presetDelayTime },
    ])
    const [sent] = answer.producerInfo.records
    expect(sent.produceStatus).toBe('SUCCESS')
    expect(sent.arriveTime < answer.brokerInfo.presetDelayTime).toBe(true)
    expect(sent.produceDuration).toBeLessThan(60_000)
  })

  it('of a delayed message that waits says so, and so does the message', async () => {
    const { instanceId, endpoint } = await runningInstance(client, { topic: 'waits', messageType: 'DELAY' })
    let messageId = ''
    await producing(endpoint, 'waits', async (producer) => {
      const deliveryTimestamp = new Date(realClock.now() + 3_600_000)
      messageId = (await producer.send({ topic: 'waits', deliveryTimestamp, body: Buffer.from('later') })).messageId
    })
    const trace = await get(instanceId, 'waits', messageId)
    expect(trace.brokerInfo).toMatchObject({
      delayStatus: 'WAITING',
      operations: [{ operateType: 'STORE' }, { operateType: 'WAIT' }],
    })
    const { data } = (await client.getMessageDetail(instanceId, 'waits', messageId)).body
    expect(data).toMatchObject({ body: 'later', systemProperties: { GANTRY_STATE: 'WAITING_FOR_DELIVERY_TIME' } })
    expect(data.storeTime).toBeUndefined()
    const listed = await client.listMessages(instanceId, 'waits', new sdk.ListMessagesRequest({ messageId }))
    expect(listed.body.data.list).toHaveLength(1)
    const byTime = await client.listMessages(instanceId, 'waits', new sdk.ListMessagesRequest({ startTime: at(-600) }))
    expect(byTime.body.data.list).toEqual([])
  })

  it('of a message whose transaction is open says so', async () => {
    const { instanceId, endpoint } = await runningInstance(client, { topic: 'half', messageType: 'TRANSACTION' })
    const producer = new rocketmq.Producer(
      clientOptions(endpoint, {
        topics: ['half'],
        checker: { check: () => rocketmq.TransactionResolution.UNKNOWN },
      }),
    )
    await producer.startup()
    const transaction = producer.beginTransaction()
    const { messageId } = await producer.send({ topic: 'half', body: Buffer.from('x') }, transaction)
    const open = await get(instanceId, 'half', messageId)
    expect(open.brokerInfo.operations).toMatchObject([
      { operateType: 'STORE' },
      { operateType: 'WAIT_FOR_TRANSACTION' },
    ])
    await transaction.commit()
    const committed = await get(instanceId, 'half', messageId)
    expect(committed.brokerInfo.operations).toMatchObject([{ operateType: 'STORE' }, { operateType: 'COMMIT' }])
    expect(committed.messageInfo.transactionId).toBe(open.messageInfo.transactionId)
    await producer.shutdown()
  })

  it.each([true, false])('of a serverless instance follows traceOn: %s', async (traceOn) => {
    const { instanceId, endpoint } = await runningInstance(client, {
      topic: 'traced',
      changes: {
        seriesCode: 'standard',
        subSeriesCode: 'serverless',
        commodityCode: 'ons_rmqsrvlesspost_public_cn',
        productInfo: new sdk.CreateInstanceRequestProductInfo({ msgProcessSpec: 'rmq.s3.nxlarge', traceOn }),
        networkInfo: new sdk.CreateInstanceRequestNetworkInfo({
          vpcInfo: new sdk.CreateInstanceRequestNetworkInfoVpcInfo({
            vpcId: 'vpc-test',
            vSwitches: ['vsw-1', 'vsw-2'].map(
              (vSwitchId) => new sdk.CreateInstanceRequestNetworkInfoVpcInfoVSwitches({ vSwitchId }),
            ),
          }),
          internetInfo: new sdk.CreateInstanceRequestNetworkInfoInternetInfo({
            internetSpec: 'disable',
            flowOutType: 'uninvolved',
          }),
        }),
      },
    })
    let id = ''
    await producing(endpoint, 'traced', async (producer) => {
      id = (await producer.send({ topic: 'traced', body: Buffer.from('x') })).messageId
    })
    const answer = await get(instanceId, 'traced', id).catch((error) => error.code)
    if (traceOn) expect(answer.messageInfo.messageId).toBe(id)
    else expect(answer).toBe('Message.NotFound')
  })
})
