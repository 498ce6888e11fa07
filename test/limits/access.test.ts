/**
 * Whitelist, credentials, connections and bandwidth, as seen by the official client, or by the driver where the
 * client hides it.
 */
import { afterEach, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import type { InstanceSpec } from '../../src/model/instances.ts'
import { DriverClient } from '../wire/driver/client.ts'
import { type DrivenInstance, turns } from '../wire/driver/instance.ts'
import { BoughtInstance, told } from './instance.ts'

let shop: BoughtInstance
let instance: DrivenInstance
const drivers: DriverClient[] = []
afterEach(async () => {
  for (const driver of drivers.splice(0)) driver.close()
  await shop?.close()
})

async function start(spec: Partial<InstanceSpec> = {}): Promise<void> {
  shop = await BoughtInstance.start(spec)
  instance = shop.driven
}

async function dial(port = instance.port): Promise<DriverClient> {
  const credentials = port === instance.port ? null : { username: 'instance-user', secret: 'instance-secret' }
  const driver = await DriverClient.dial('java', { port, tls: false, clock: instance.clock, credentials })
  drivers.push(driver)
  return driver
}

const body = Buffer.from('x')

describe('connections', () => {
  it('one too many is told why, and has its place as soon as another goes; both addresses count together', async () => {
    await start({ maxConnections: 2 })
    const topic = await instance.topic()
    const first = await dial()
    const second = await dial(instance.guardedPort)
    expect((await first.heartbeat('group', 1)).status?.code).toBe(20000)
    expect((await second.heartbeat('group', 1)).status?.code).toBe(20000)
    const third = await dial()
    expect((await third.heartbeat('group', 1)).status).toMatchObject({
      code: 42900,
      message: expect.stringContaining('all 2 connections'),
    })
    // The official client is told the same when it starts.
    expect(await shop.producer(topic).catch(told)).toMatch(/all 2 connections/)
    first.close()
    for (let tries = 0; tries < 1_000; tries++) {
      await turns(5)
      if ((await third.heartbeat('group', 1)).status?.code === 20000) return
    }
    throw new Error('The third never got the place of the first.')
  })

  it('one too many that stays is closed after ten seconds', async () => {
    await start({ maxConnections: 1 })
    expect((await (await dial()).heartbeat('group', 1)).status?.code).toBe(20000)
    const over = await dial()
    expect((await over.heartbeat('group', 1)).status?.code).toBe(42900)
    await instance.clock.advance(10_000)
    await turns(50)
    expect(
      (await instance.host.ask({ instanceId: instance.instanceId, question: 'usage', params: {} })).connections,
    ).toBe(1)
  })
})

it('groups made by use have places of their own, which neither take nor are taken by those of their owner', async () => {
  await start({ maxGroupsMadeByUse: 2 })
  const topic = await instance.topic()
  const created = await Promise.all(Array.from({ length: 5 }, () => instance.group()))
  await shop.consumer(topic, 'made-by-use')
  const { instanceId } = instance
  expect(await instance.host.ask({ instanceId, question: 'usage', params: {} })).toMatchObject({ groupsMadeByUse: 1 })
  const driver = await dial()
  const poll = async (group: string) => (await instance.elapse(driver.poll('simple', topic, group))).value.status
  expect(await poll('second')).toMatchObject({ code: 40401 })
  const refused = {
    code: 42900,
    message: expect.stringMatching(
      /^clients have made 2 consumer groups by using them.*allows 2 .*CreateConsumerGroup/,
    ),
  }
  expect(await poll('one-too-many')).toMatchObject(refused)
  // What the loop takes into the ledger stays one of that kind; what its owner creates no longer is.
  const ensure = (consumerGroupId: string, generation: number, madeByUse: boolean) =>
    instance.group({ consumerGroupId, generation, madeByUse })
  await ensure('second', 1, true)
  expect(await poll('one-too-many')).toMatchObject(refused)
  await ensure('second', 2, false)
  expect(await poll('third')).toMatchObject({ code: 40401 })
  expect(await poll('one-too-many')).toMatchObject(refused)
  expect(await poll(created[0]!)).toMatchObject({ code: 40401 })
  await instance.host.removeGroup({ instanceId, consumerGroupId: 'third' })
  expect(await poll('fourth')).toMatchObject({ code: 40401 })
})

it('a group made by use is told to the loop, also when its client has gone before anybody asked', async () => {
  await start()
  const { instanceId, host } = instance
  const topic = await instance.topic()
  const attention = async () => (await host.hello()).attention.map((each) => each.instanceId)
  expect(await attention()).toEqual([])
  const driver = await dial()
  await instance.elapse(driver.poll('simple', topic, 'passing'))
  driver.close()
  const connections = async () => (await host.ask({ instanceId, question: 'usage', params: {} })).connections
  for (let tries = 0; tries < 1_000 && (await connections()) > 0; tries++) await turns(5)
  expect(await connections()).toBe(0)
  expect(await attention()).toEqual([instanceId])
  await instance.group({ consumerGroupId: 'passing', generation: 1, madeByUse: true })
  expect(await attention()).toEqual([])
})

it('credentials that were seen end with their date, whatever zone it may be of', async () => {
  await start()
  const { authorization, 'x-mq-date-time': date } = (await dial(instance.guardedPort)).headers('Heartbeat', 3000)
  const replay = async () => {
    const headers = { authorization, 'x-mq-date-time': date }
    const thief = await DriverClient.dial('go', {
      port: instance.guardedPort,
      tls: false,
      clock: instance.clock,
      headers,
    })
    drivers.push(thief)
    return (await thief.heartbeat('group', 1)).status
  }
  expect((await replay())?.code).toBe(20000)
  // Written as local time in UTC+8 with a literal Z: it could be the time of UTC-12.
  await instance.clock.advance(20 * 3_600_000)
  expect((await replay())?.code).toBe(20000)
  await instance.clock.advance(3_600_000)
  expect(await replay()).toMatchObject({
    code: 40100,
    message: expect.stringMatching(/x-mq-date-time .*set the client's clock/),
  })
  expect((await (await dial(instance.guardedPort)).heartbeat('group', 1)).status?.code).toBe(20000)
})

describe('an instance that is stopped', () => {
  it('refuses every client with 40200, keeps everything, and serves again when it is renewed', async () => {
    await start()
    const [topic, group] = [await instance.topic(), await instance.group()]
    const producer = await shop.producer(topic)
    const consumer = await shop.consumer(topic, group)
    await producer.send({ topic, body: Buffer.from('kept') })
    await instance.change({ serving: false })
    expect(await producer.send({ topic, body }).catch(told)).toMatch(/40200/)
    expect(await consumer.receive(1, 30_000).catch(told)).toMatch(/40200/)
    const driver = await dial()
    for (const rpc of ['heartbeat', 'route', 'telemetry'] as const)
      expect([rpc, await codeOf(driver, rpc, topic)]).toEqual([rpc, 40200])
    await instance.change({ serving: true })
    expect((await consumer.receive(1, 30_000)).map((message: any) => message.body.toString())).toEqual(['kept'])
    await expect(producer.send({ topic, body })).resolves.toBeDefined()
  })

  it('ends a poll that waits and a telemetry stream that is open, without a message lost', async () => {
    await start()
    const [topic, group] = [await instance.topic(), await instance.group()]
    const driver = await dial()
    const telemetry = driver.telemetry(driver.producerSettings([topic]))
    expect((await telemetry.hear())?.status?.code).toBe(20000)
    const before = instance.clock.pending
    const polling = driver.poll('simple', topic, group)
    await instance.untilWaiting(before)
    await instance.change({ serving: false })
    await instance.host.ensureTopics({ instanceId: instance.instanceId, topics: [] })
    telemetry.say({ settings: driver.producerSettings([topic]) })
    expect((await telemetry.hear())?.status?.code).toBe(40200)
    const { value } = await instance.elapse(polling)
    expect(value.status?.code).toBe(40200)
  })
})

describe('the whitelist', () => {
  it('of the instance cuts whoever it no longer names, at once and on every address', async () => {
    await start()
    const [vpc, internet] = [await dial(), await dial(instance.guardedPort)]
    expect((await vpc.heartbeat('group', 1)).status?.code).toBe(20000)
    expect((await internet.heartbeat('group', 1)).status?.code).toBe(20000)
    await instance.change({ ipWhitelist: ['10.0.0.0/8'] })
    await turns(50)
    expect(await connections()).toBe(0)
    await expect(dial().then((line) => line.heartbeat('group', 1))).rejects.toThrow()
    await instance.change({ ipWhitelist: ['10.0.0.0/8', '127.0.0.1'] })
    expect((await (await dial()).heartbeat('group', 1)).status?.code).toBe(20000)
    expect((await (await dial(instance.guardedPort)).heartbeat('group', 1)).status?.code).toBe(20000)
  })
})

const connections = async () =>
  (await instance.host.ask({ instanceId: instance.instanceId, question: 'usage', params: {} })).connections

describe('the bandwidth that was bought', () => {
  /** 1 Mbit/s is 125,000 bytes a second; a second's worth may go at once. */
  const megabit = 125_000

  it.each([1, 8])('%i Mbit/s hold what goes out of the public address, and of that one alone', async (mbps) => {
    await start()
    const topic = await instance.topic()
    await instance.change({ listen: listenWith(mbps) })
    const inside = await dial()
    const size = mbps * 25_000
    const sent = 20
    for (let n = 0; n < sent; n++) await inside.send(inside.message(topic, Buffer.alloc(size)))

    const outside = await arrivals(await dial(instance.guardedPort), topic, await instance.group())
    const counts: number[] = []
    for (let ms = 0; ms <= 3_000; ms += 500) {
      const line = mbps * (megabit + (megabit * ms) / 1_000)
      const expected = Math.min(sent, Math.floor(line / size))
      await outside.until(expected - 1)
      counts.push(outside.count)
      // One more may have begun on credit; a message is a little longer than its body.
      expect(Math.abs(outside.count - expected)).toBeLessThanOrEqual(1)
      await instance.clock.advance(500)
    }
    expect(counts[0]).toBeLessThan(counts[3]!)
    // The other address gives all of it at once.
    const free = await arrivals(inside, topic, await instance.group())
    await free.until(sent)
  })

  it('keeps an official consumer waiting for as long as the line needs, and none on the other address', async () => {
    await start()
    const topic = await instance.topic()
    await instance.change({ listen: listenWith(1) })
    const inside = await dial()
    for (let n = 0; n < 20; n++) await inside.send(inside.message(topic, Buffer.alloc(25_000)))
    const outside = {
      endpoints: `127.0.0.1:${instance.guardedPort}`,
      sessionCredentials: { accessKey: 'instance-user', accessSecret: 'instance-secret' },
    }
    const received = async (more: Readonly<Record<string, unknown>>) => {
      const consumer = await shop.consumer(topic, await instance.group(), more)
      return instance.elapse<any[]>(consumer.receive(32, 60_000))
    }
    // Half a million bytes, a second's worth of which goes at once.
    const slow = await received(outside)
    expect(slow.value).toHaveLength(20)
    expect(slow.tookMs).toBeGreaterThanOrEqual(2_500)
    expect(slow.tookMs).toBeLessThanOrEqual(4_000)
    const fast = await received({})
    expect(fast.value).toHaveLength(20)
    expect(fast.tookMs).toBeLessThanOrEqual(500)
  })

  it('holds what is pulled by offset like what is received', async () => {
    await start()
    const topic = await instance.topic()
    await instance.change({ listen: listenWith(1) })
    const inside = await dial()
    // One after another into each of the eight queues, four into each.
    for (let n = 0; n < 32; n++) await inside.send(inside.message(topic, Buffer.alloc(megabit)))
    const pulled = async (client: DriverClient) => {
      const call = client.open('pullMessage', 600_000)
      const messageQueue = { topic: client.resource(topic), id: 0 }
      const request = {
        group: client.resource('pullers'),
        messageQueue,
        batchSize: 32,
        longPollingTimeout: { seconds: 5 },
      }
      call.send(gen.PullMessageRequest.encode(request).finish())
      call.end()
      return instance.elapse(bodiesOf(call))
    }
    const slow = await pulled(await dial(instance.guardedPort))
    expect(slow.value).toEqual([megabit, megabit, megabit, megabit])
    expect(slow.tookMs).toBeGreaterThanOrEqual(2_500)
    expect(slow.tookMs).toBeLessThanOrEqual(4_000)
    const fast = await pulled(inside)
    expect(fast.value).toHaveLength(4)
    expect(fast.tookMs).toBeLessThanOrEqual(500)
  })

  it('holds what comes in as well', async () => {
    await start()
    const topic = await instance.topic()
    await instance.change({ listen: listenWith(1) })
    const outside = await dial(instance.guardedPort)
    const second = () =>
      outside.ask('sendMessage', { messages: [outside.message(topic, Buffer.alloc(megabit))] }, 600_000)
    // A second's worth passes at once; the next one waits until the line could have carried it.
    expect((await second()).status.code).toBe(20000)
    const before = instance.clock.pending
    let open = true
    const sending = second().finally(() => {
      open = false
    })
    // Its deadline, and the pause.
    await instance.untilWaiting(before + 1)
    await instance.clock.advance(950)
    await turns(200)
    expect(open).toBe(true)
    await instance.clock.advance(100)
    expect((await sending).status.code).toBe(20000)
  })
})

const listenWith = (bandwidthMbps: number): InstanceSpec['listen'] => [
  { kind: 'vpc', host: '127.0.0.1', port: instance.port, allow: [], bandwidthMbps: null },
  { kind: 'internet', host: '127.0.0.1', port: instance.guardedPort, allow: [], bandwidthMbps },
]

/** Messages of one poll as they arrive, one by one. */
async function arrivals(driver: DriverClient, topic: string, group: string) {
  const call = driver.open('receiveMessage', 600_000)
  const request = gen.ReceiveMessageRequest.encode({
    group: driver.resource(group),
    messageQueue: { topic: driver.resource(topic), id: -1 },
    filterExpression: { type: gen.FilterType.TAG, expression: '*' },
    batchSize: 32,
    invisibleDuration: { seconds: 3_600, nanos: 0 },
    longPollingTimeout: { seconds: 20, nanos: 0 },
  })
  call.send(request.finish())
  call.end()
  const seen = {
    count: 0,
    until: async (count: number): Promise<void> => {
      for (let turn = 0; seen.count < count; turn++) {
        if (turn > 20_000) throw new Error(`Only ${seen.count} of ${count} messages came.`)
        await turns(1)
      }
      await turns(50)
    },
  }
  void (async () => {
    for (let bytes = await call.next(); bytes !== null; bytes = await call.next())
      if (gen.ReceiveMessageResponse.decode(bytes).message !== null) seen.count++
  })()
  return seen
}

async function codeOf(
  driver: DriverClient,
  rpc: 'heartbeat' | 'route' | 'telemetry',
  topic: string,
): Promise<number | undefined> {
  switch (rpc) {
    case 'heartbeat':
      return (await driver.heartbeat('group', 1)).status?.code
    case 'route':
      return (await driver.queryRoute(topic)).status?.code
    case 'telemetry':
      return (await driver.telemetry().hear())?.status?.code
  }
}

/** How many bytes each message of a pull has, to the end of the reply. */
async function bodiesOf(call: ReturnType<DriverClient['open']>): Promise<number[]> {
  const sizes: number[] = []
  for (let bytes = await call.next(); bytes !== null; bytes = await call.next()) {
    const { message } = gen.PullMessageResponse.decode(bytes)
    if (message !== null) sizes.push(message.body.length)
  }
  return sizes
}
