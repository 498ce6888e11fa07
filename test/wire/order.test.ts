/** Order as Apache's official Node.js client sees it: push and simple consumers, members that come and go, a broker that dies. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { pause } from '../../src/world/real.ts'
import { clientOptions, rocketmq } from '../support/client.ts'
import { runningInstance, sdkClient, until } from '../support/sdk.ts'
import { brokerPid, cleanEnv, type TestHome, temporaryHome } from '../support/server.ts'

const here = path.dirname(fileURLToPath(import.meta.url))

interface Seen {
  readonly messageGroup: string
  readonly body: string
  readonly attempt: number
  /** Monotonic, of the machine. */
  readonly at: bigint
}

describe('order, with rocketmq-client-nodejs', () => {
  let home: TestHome
  let client: any
  let seen: Seen[] = []
  const members = new Set<ChildProcess>()

  beforeAll(async () => {
    home = await temporaryHome()
    client = sdkClient((await home.start()).ready)
  })
  afterEach(() => {
    for (const member of members) member.kill('SIGKILL')
    members.clear()
    seen = []
  })
  afterAll(() => home?.close())

  it('is kept among push consumers that join and leave', { timeout: 60_000 }, async () => {
    const { endpoint } = await runningInstance(client, {
      topic: 'push',
      messageType: 'FIFO',
      group: 'members',
      orderly: true,
    })
    const first = await join(endpoint, 'push', 'members')
    const sending = produce(endpoint, 'push', { groups: 5, each: 60 })
    const second = await join(endpoint, 'push', 'members')
    await count(40)
    // What it held comes again when it said goodbye.
    first.send('leave')
    await count(90)
    await join(endpoint, 'push', 'members')
    second.send('leave')
    await sending
    await everySeen(5, 60)
    judge()
  })

  it('is kept through kill -9 of the broker', { timeout: 60_000 }, async () => {
    const { endpoint } = await runningInstance(client, {
      topic: 'dies',
      messageType: 'FIFO',
      group: 'dies',
      orderly: true,
    })
    await Promise.all([join(endpoint, 'dies', 'dies'), join(endpoint, 'dies', 'dies')])
    const sending = produce(endpoint, 'dies', { groups: 5, each: 40 })
    await count(50)
    process.kill((await brokerPid(home.home))!, 'SIGKILL')
    await sending
    await everySeen(5, 40)
    judge()
  })

  it('goes on behind a message that a push consumer gave up, which lies among the dead letters', async () => {
    const group = { topic: 'poison', messageType: 'FIFO', group: 'poison', orderly: true, maxRetryTimes: 1 }
    const { endpoint } = await runningInstance(client, group)
    const producer = await start(new rocketmq.Producer(clientOptions(endpoint, { topics: ['poison'] })))
    for (const body of ['1 once', '2 bad', '3'])
      await producer.send({ topic: 'poison', messageGroup: 'g', body: Buffer.from(body) })
    await join(endpoint, 'poison', 'poison')
    await count(5)
    expect(seen.map(({ body, attempt }) => `${body}:${attempt}`)).toEqual([
      '1 once:1',
      '1 once:2',
      '2 bad:1',
      '2 bad:2',
      '3:1',
    ])
    const coroner = await simple(endpoint, '%DLQ%poison', 'coroner')
    const [dead] = await coroner.receive(1, 30_000)
    expect([dead.body.toString(), dead.messageGroup]).toEqual(['2 bad', 'g'])
    await coroner.ack(dead)
    await Promise.all([producer.shutdown(), coroner.shutdown()])
  })

  it('is kept among simple consumers of several threads', async () => {
    const { endpoint } = await runningInstance(client, {
      topic: 'simple',
      messageType: 'FIFO',
      group: 'simple',
      orderly: true,
    })
    const consumers = await Promise.all([1, 2].map(() => simple(endpoint, 'simple', 'simple')))
    const sending = produce(endpoint, 'simple', { groups: 4, each: 50 })
    const loops = [...consumers, ...consumers].map(async (consumer) => {
      while (seen.length < 200) {
        for (const message of await consumer.receive(5, 30_000)) {
          note(message)
          await consumer.ack(message)
        }
      }
    })
    await Promise.all([sending, ...loops])
    judge()
    expect(seen).toHaveLength(200)
    await Promise.all(consumers.map((each) => each.shutdown()))
  })

  it('begins again at the first message that a simple consumer did not acknowledge', { timeout: 40_000 }, async () => {
    const { endpoint } = await runningInstance(client, {
      topic: 'again',
      messageType: 'FIFO',
      group: 'again',
      orderly: true,
    })
    const consumer = await simple(endpoint, 'again', 'again')
    await produce(endpoint, 'again', { groups: 1, each: 4 })
    const batch = await consumer.receive(3, 10_000)
    for (const message of batch.slice(1)) await consumer.ack(message)
    const rest = await receiveSome(consumer)
    expect(rest.map((each) => `${each.body}:${each.deliveryAttempt}`)).toEqual(['0:2', '1:2', '2:2', '3:1'])
    for (const message of rest) await consumer.ack(message)
    await consumer.shutdown()
  })

  // Helpers ----------------------------------------------------------------------------------------

  async function join(endpoint: string, topic: string, group: string): Promise<ChildProcess> {
    const child = fork(path.join(here, 'order-child.mjs'), [endpoint, topic, group, '5'], {
      env: cleanEnv(),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    members.add(child)
    await once(child, 'message')
    child.on('message', (message: any) => seen.push({ ...message, at: BigInt(message.at) }))
    return child
  }

  function note({ messageGroup, body, deliveryAttempt }: any): void {
    seen.push({ messageGroup, body: body.toString(), attempt: deliveryAttempt, at: process.hrtime.bigint() })
  }

  async function count(messages: number): Promise<void> {
    await until(
      async () => seen.length,
      (length) => length >= messages,
      `${messages} messages were seen`,
    )
  }

  async function everySeen(groups: number, each: number): Promise<void> {
    const distinct = () => new Set(seen.map(({ messageGroup, body }) => `${messageGroup} ${body}`)).size
    for (let tries = 0; distinct() < groups * each && tries < 1_500; tries++) await pause(20)
    expect(distinct()).toBe(groups * each)
  }

  /** A message may come again, and then all after it; none comes before the one that was sent before it. */
  function judge(): void {
    const reached = new Map<string, number>()
    for (const { messageGroup, body } of [...seen].sort((one, other) => (one.at < other.at ? -1 : 1))) {
      const furthest = reached.get(messageGroup) ?? -1
      const number = Number(body)
      expect(number, `${messageGroup}: ${number} came after ${furthest}`).toBeLessThanOrEqual(furthest + 1)
      reached.set(messageGroup, Math.max(furthest, number))
    }
  }
})

/** Numbers from 0 up to each message group, one after the other; a send that fails is sent again. */
async function produce(endpoint: string, topic: string, size: { groups: number; each: number }): Promise<void> {
  const producer = await start(new rocketmq.Producer(clientOptions(endpoint, { topics: [topic] })))
  const line = async (messageGroup: string) => {
    for (let number = 0; number < size.each; )
      try {
        await producer.send({ topic, messageGroup, body: Buffer.from(String(number)) })
        number++
      } catch {
        await pause(100)
      }
  }
  await Promise.all(Array.from({ length: size.groups }, (_, i) => line(`group-${i}`)))
  await producer.shutdown()
}

async function simple(endpoint: string, topic: string, consumerGroup: string): Promise<any> {
  const subscriptions = new Map([[topic, '*']])
  return start(
    new rocketmq.SimpleConsumer(clientOptions(endpoint, { consumerGroup, subscriptions, awaitDuration: 5000 })),
  )
}

async function start(client: any): Promise<any> {
  await client.startup()
  return client
}

async function receiveSome(consumer: any): Promise<any[]> {
  for (let tries = 0; tries < 4; tries++) {
    const messages = await consumer.receive(32, 30_000)
    if (messages.length > 0) return messages
  }
  return []
}
