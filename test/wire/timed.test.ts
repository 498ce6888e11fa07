/** Timed messages as Apache's official Node.js client sees them, and through kill -9 of either process. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pause } from '../../src/world/real.ts'
import { clientOptions, rocketmq } from '../support/client.ts'
import { runningInstance, sdkClient } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'

const DAY_MS = 86_400_000
/** A busy machine may be this slow; the precision itself is the simulated clock's to judge. */
const slackMs = 4_000

describe('rocketmq-client-nodejs and a DELAY topic', () => {
  let home: TestHome
  let server: TestServer
  let producer: any
  let consumer: any

  beforeAll(async () => {
    home = await temporaryHome()
    server = await home.start()
    const { endpoint } = await runningInstance(sdkClient(server.ready), {
      topic: 'later',
      group: 'later-group',
      messageType: 'DELAY',
    })
    producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['later'] }))
    consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        consumerGroup: 'later-group',
        subscriptions: new Map([['later', '*']]),
        awaitDuration: 5000,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
  })
  afterAll(async () => {
    await Promise.allSettled([producer?.shutdown(), consumer?.shutdown()])
    await home?.close()
  })

  const sendAt = (timeMs: number, body: string): Promise<any> =>
    producer.send({ topic: 'later', tag: 'tag', deliveryTimestamp: new Date(timeMs), body: Buffer.from(body) })

  /** The next `count` messages, acknowledged, with the time each came. Errors of a broker that is away are waited out. */
  const next = async (count: number): Promise<Array<{ body: string; cameMs: number; message: any }>> => {
    const came: Array<{ body: string; cameMs: number; message: any }> = []
    for (let tries = 0; came.length < count && tries < 60; tries++) {
      const messages = await consumer.receive(16, 30_000).catch(() => pause(200).then(() => []))
      for (const message of messages) {
        came.push({ body: message.body.toString(), cameMs: Date.now(), message })
        await consumer.ack(message)
      }
    }
    return came
  }

  const nothingFor = async (ms: number): Promise<void> => {
    const until = Date.now() + ms
    while (Date.now() < until) expect((await consumer.receive(16, 30_000)).map(String)).toEqual([])
  }

  it('delivers at the time, with the time still on it, and at once what is past', { timeout: 60_000 }, async () => {
    const timeMs = Date.now() + 3_000
    const receipt = await sendAt(timeMs, 'in three seconds')
    expect(receipt.recallHandle).not.toBe('')
    const past = await sendAt(Date.now() - 20_000, 'long past')
    const [first, second] = [...(await next(1)), ...(await next(1))]
    expect([first!.body, first!.message.messageId]).toEqual(['long past', past.messageId])
    expect([second!.body, second!.message.messageId]).toEqual(['in three seconds', receipt.messageId])
    expect(second!.cameMs).toBeGreaterThanOrEqual(timeMs)
    expect(second!.cameMs).toBeLessThan(timeMs + 1_000 + slackMs)
    expect(second!.message.deliveryTimestamp.getTime()).toBe(timeMs)
    expect(second!.message.deliveryAttempt).toBe(1)
  })

  it('takes back what is recalled in time, and says when it is too late', { timeout: 60_000 }, async () => {
    const [recalled, kept] = [await sendAt(Date.now() + 4_000, 'recalled'), await sendAt(Date.now() + 4_000, 'kept')]
    expect(await producer.recallMessage('later', recalled.recallHandle)).toMatchObject({
      messageId: recalled.messageId,
    })
    expect(await producer.recallMessage('later', recalled.recallHandle)).toMatchObject({
      messageId: recalled.messageId,
    })
    expect((await next(1)).map(({ body }) => body)).toEqual(['kept'])
    await expect(producer.recallMessage('later', kept.recallHandle)).rejects.toThrow(/time has come/)
    await expect(producer.recallMessage('later', 'nonsense')).rejects.toThrow(/recall handle/)
    await nothingFor(1_000)
  })

  it('refuses a time beyond the window of the edition, naming it', async () => {
    await expect(sendAt(Date.now() + 40 * DAY_MS + 60_000, 'too far')).rejects.toThrow(/40 days/)
    const far = await sendAt(Date.now() + 40 * DAY_MS - 60_000, 'far')
    await producer.recallMessage('later', far.recallHandle)
  })

  it('keeps what waits through kill -9 of the broker process, and of the server', { timeout: 90_000 }, async () => {
    const timeMs = Date.now() + 8_000
    const sent = await Promise.all(Array.from({ length: 20 }, (_, i) => sendAt(timeMs, `through ${i}`)))
    const recalled = await sendAt(timeMs, 'recalled before')
    await producer.recallMessage('later', recalled.recallHandle)
    await server.killBroker()
    await server.kill()
    server = await home.start()
    const came = await next(20)
    expect(new Set(came.map(({ message }) => message.messageId))).toEqual(
      new Set(sent.map(({ messageId }) => messageId)),
    )
    expect(Math.min(...came.map(({ cameMs }) => cameMs))).toBeGreaterThanOrEqual(timeMs)
    await nothingFor(1_000)
  })
})
