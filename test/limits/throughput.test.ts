/**
 * What the specification and the caps of topics and groups let through, counted through the official client. The
 * broker's clock stands still, so a budget is exactly what it is: nothing comes back unless the test lets time pass.
 */
import { afterEach, describe, expect, it } from 'vitest'
import type { Row } from '../../src/ledger/schema.ts'
import { instanceSpecOf } from '../../src/lifecycle/spec.ts'
import type { GroupSpec, InstanceSpec, MessageType, TopicSpec } from '../../src/model/instances.ts'
import type { DrivenInstance } from '../wire/driver/instance.ts'
import { BoughtInstance, told } from './instance.ts'

let shop: BoughtInstance
let instance: DrivenInstance
afterEach(() => shop?.close())

async function start(spec: Partial<InstanceSpec> = {}): Promise<void> {
  shop = await BoughtInstance.start(spec)
  instance = shop.driven
}

/** What the loop would tell the engine of an instance that was bought like this. */
function bought(product: Readonly<Record<string, unknown>>, series = 'standard', subSeries = 'cluster_ha') {
  const spec = instanceSpecOf({
    instance: {
      series_code: series,
      sub_series_code: subSeries,
      product_info_json: JSON.stringify(product),
      network_info_json: JSON.stringify({ internetInfo: { internetSpec: 'disable' } }),
      acl_info_json: '{"aclTypes":["default"]}',
      ip_whitelist_json: '["0.0.0.0/0"]',
    } as Row<'instances'>,
    accounts: [],
    grants: [],
    ports: { vpc: null, internet: null },
    listenHost: '',
    serving: true,
  })
  const { sendTps, receiveTps, elasticity } = spec
  return { sendTps, receiveTps, elasticity } satisfies Partial<InstanceSpec>
}

/** How many sends pass before one is refused, and what it is told. */
async function untilRefused(send: () => Promise<unknown>, most = 200) {
  for (let passed = 0; passed < most; passed++) {
    try {
      await send()
    } catch (error) {
      return { passed, told: told(error) }
    }
  }
  throw new Error(`All ${most} sends passed.`)
}

const sendUntilRefused = (producer: any, message: Readonly<Record<string, unknown>>, most?: number) =>
  untilRefused(() => producer.send(message), most)

/** What makes a message one of its kind; a transactional one belongs to a transaction besides. */
const marks: Readonly<Record<MessageType, () => Readonly<Record<string, unknown>>>> = {
  NORMAL: () => ({}),
  FIFO: () => ({ messageGroup: 'g' }),
  DELAY: () => ({ deliveryTimestamp: new Date(instance.clock.now() + 60_000) }),
  TRANSACTION: () => ({}),
  PRIORITY: () => ({ priority: 1 }),
  LITE: () => ({ liteTopic: 'l' }),
}
const checker = { check: async () => 0 }
const kib = 1024

type Bought = [name: string, Parameters<typeof bought>, body: number, kind: MessageType, passes: number, says: string]

describe('an instance takes what its specification says', () => {
  it.each<Bought>([
    [
      'the ratio divides',
      [{ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio: 0.05 }, 'standard', 'single_node'],
      100,
      'NORMAL',
      25,
      '25 sends',
    ],
    [
      '4 KiB count once',
      [{ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio: 0.05 }, 'standard', 'single_node'],
      4 * kib,
      'NORMAL',
      25,
      '25 sends',
    ],
    [
      'one byte more counts twice',
      [{ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio: 0.05 }, 'standard', 'single_node'],
      4 * kib + 1,
      'NORMAL',
      13,
      '25 sends',
    ],
    [
      'a timed message counts five times',
      [{ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio: 0.05 }, 'standard', 'single_node'],
      100,
      'DELAY',
      5,
      '25 sends',
    ],
    ...(['FIFO', 'TRANSACTION'] as const).map(
      (kind): Bought => [
        `and a ${kind} message as well`,
        [{ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio: 0.05 }, 'standard', 'single_node'],
        100,
        kind,
        5,
        '25 sends',
      ],
    ),
    ...(['PRIORITY', 'LITE'] as const).map(
      (kind): Bought => [
        `a ${kind} message once`,
        [{ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio: 0.05 }, 'standard', 'single_node'],
        100,
        kind,
        25,
        '25 sends',
      ],
    ),
    [
      'onDemand begins at 25,000 and as much elastic',
      [{ capacityType: 'onDemand', sendReceiveRatio: 0.05 }, 'shared', 'serverless'],
      250 * 4 * kib,
      'NORMAL',
      10,
      '2500 sends',
    ],
    [
      'kind times size',
      [{ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio: 0.05 }, 'standard', 'single_node'],
      8 * kib,
      'DELAY',
      3,
      '25 sends',
    ],
    [
      'a larger specification',
      [{ msgProcessSpec: 'rmq.s2.2xlarge', sendReceiveRatio: 0.05 }],
      10 * 4 * kib,
      'NORMAL',
      10,
      '100 sends',
    ],
    [
      'elastic comes on top',
      [{ msgProcessSpec: 'rmq.p2.2xlarge', sendReceiveRatio: 0.05, autoScaling: true }, 'professional'],
      10 * 4 * kib,
      'NORMAL',
      15,
      '150 sends',
    ],
    [
      'not without autoScaling',
      [{ msgProcessSpec: 'rmq.p2.2xlarge', sendReceiveRatio: 0.05, autoScaling: false }, 'professional'],
      10 * 4 * kib,
      'NORMAL',
      10,
      '100 sends',
    ],
  ])('%s', async (_name, product, body, kind, passes, says) => {
    await start(bought(...product))
    const topic = await instance.topic(kind)
    const producer = await shop.producer(topic, kind === 'TRANSACTION' ? { checker } : {})
    const send = () =>
      producer.send(
        { topic, body: Buffer.alloc(body, 'x'), ...marks[kind]() },
        ...(kind === 'TRANSACTION' ? [producer.beginTransaction()] : []),
      )
    const refused = await untilRefused(send)
    expect(refused).toEqual({ passed: passes, told: expect.stringMatching(new RegExp(`42900.*${says}`)) })
    // Fail-fast; and a second later there is a second's worth again.
    expect(await untilRefused(send)).toMatchObject({ passed: 0 })
    await instance.clock.advance(2_000)
    expect(await untilRefused(send)).toMatchObject({ passed: passes })
  })

  it('a change takes effect without a restart, and nobody is cut off by it', async () => {
    const micro = (sendReceiveRatio: number) =>
      bought({ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio }, 'standard', 'single_node')
    await start(micro(0.05))
    const topic = await instance.topic()
    const producer = await shop.producer(topic)
    const message = { topic, body: Buffer.alloc(5 * 4 * kib) }
    expect(await sendUntilRefused(producer, message)).toMatchObject({ passed: 5 })
    await instance.change(micro(0.5))
    await instance.clock.advance(1_000)
    expect(await sendUntilRefused(producer, message)).toEqual({
      passed: 50,
      told: expect.stringContaining('250 sends'),
    })
  })

  it('what it gives is counted as what it takes', async () => {
    await start({ sendTps: 1_000_000, receiveTps: 20 })
    const topic = await instance.topic()
    const group = await instance.group()
    const producer = await shop.producer(topic)
    const consumer = await shop.consumer(topic, group)
    for (let n = 0; n < 6; n++) await producer.send({ topic, body: Buffer.alloc(5 * 4 * kib) })
    const got: number[] = []
    const refusal = await (async () => {
      for (;;) got.push((await consumer.receive(1, 60_000)).length)
    })().catch(told)
    expect([got, refusal]).toEqual([[1, 1, 1, 1], expect.stringMatching(/42900.*20 receives/)])
  })
})

describe('a cap of its own', () => {
  it('of a topic: maxSendTps, changed while it is used', async () => {
    await start()
    const topic = await instance.topic('NORMAL', { maxSendTps: 3 })
    const other = await instance.topic()
    const producer = await shop.producer(topic)
    const message = { topic, body: Buffer.from('x') }
    const capped = await sendUntilRefused(producer, message)
    expect(capped).toEqual({ passed: 3, told: expect.stringMatching(/42900.*takes 3 messages.*maxSendTps/) })
    await expect(producer.send({ ...message, topic: other })).resolves.toBeDefined()
    await changeTopic(topic, { generation: 2, maxSendTps: 6 })
    await instance.clock.advance(1_000)
    expect(await sendUntilRefused(producer, message)).toMatchObject({ passed: 6 })
    await changeTopic(topic, { generation: 3, maxSendTps: null })
    await expect(sendUntilRefused(producer, message, 20)).rejects.toThrow('All 20 sends passed')
  })

  it('of a group: maxReceiveTps, changed while it is used', async () => {
    await start()
    const topic = await instance.topic()
    const [slow, fast] = [await instance.group({ maxReceiveTps: 2 }), await instance.group()]
    const producer = await shop.producer(topic)
    const [mine, other] = [await shop.consumer(topic, slow), await shop.consumer(topic, fast)]
    for (let n = 0; n < 8; n++) await producer.send({ topic, body: Buffer.from('x') })
    const take = async (consumer: any) => (await consumer.receive(1, 60_000).catch(told)) as any[] | string
    expect([await take(mine), await take(mine)]).toMatchObject([[{}], [{}]])
    expect(await take(mine)).toMatch(/42900.*gets 2 messages.*maxReceiveTps/)
    expect(await take(other)).toMatchObject([{}])
    await changeGroup(slow, { generation: 2, maxReceiveTps: null })
    expect(await take(mine)).toMatchObject([{}])
  })
})

it('a serverless instance refuses beyond its threshold while it scales out, then takes more, then shrinks again', async () => {
  const product = bought(
    { capacityType: 'provisioned', provisionedCapacity: 40, sendReceiveRatio: 0.5 },
    'shared',
    'serverless',
  )
  // Reserved 40 and as much elastic: half of it for sending. A step is the reservation.
  expect(product).toMatchObject({
    sendTps: 40,
    receiveTps: 40,
    elasticity: { stepTps: 40, scaleMs: 180_000, lookBackMs: 600_000 },
  })
  await start(product)
  const topic = await instance.topic()
  const producer = await shop.producer(topic)
  const message = { topic, body: Buffer.alloc(10 * 4 * kib) }
  expect(await sendUntilRefused(producer, message)).toEqual({
    passed: 4,
    told: expect.stringMatching(/42900.*scaling out/),
  })
  await instance.clock.advance(179_000)
  expect(await sendUntilRefused(producer, message)).toMatchObject({ passed: 4 })
  await instance.clock.advance(1_000)
  expect(await sendUntilRefused(producer, message)).toMatchObject({ passed: 6 })
  // The step that began with that refusal, and then both steps go, for nobody needs them.
  await instance.clock.advance(40 * 60_000)
  expect(await sendUntilRefused(producer, message)).toMatchObject({ passed: 4 })
})

const changeTopic = (topicName: string, more: Partial<TopicSpec>) =>
  instance.host.ensureTopics({
    instanceId: instance.instanceId,
    topics: [{ topicName, generation: 1, messageType: 'NORMAL', maxSendTps: null, ...more }],
  })

const changeGroup = (consumerGroupId: string, more: Partial<GroupSpec>) =>
  instance.host.ensureGroups({
    instanceId: instance.instanceId,
    groups: [
      {
        consumerGroupId,
        generation: 1,
        orderly: false,
        maxRetryTimes: 16,
        retry: { kind: 'default' },
        deadLetterTopic: null,
        maxReceiveTps: null,
        ...more,
      },
    ],
  })
