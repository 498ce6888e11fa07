/** Order and priority, frame by frame, as each of the seven official clients asks for them (driver/personalities.ts). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type * as gen from '../../src/grpc/gen/rocketmq.js'
import { DriverClient } from './driver/client.ts'
import { DrivenInstance } from './driver/instance.ts'
import { languages } from './driver/personalities.ts'

let instance: DrivenInstance
beforeAll(async () => {
  instance = await DrivenInstance.start()
})
afterAll(async () => {
  await instance?.close()
  expect(instance.reported).toEqual([])
})

describe.each(languages)('a %s client', (language) => {
  let client: DriverClient
  beforeAll(async () => {
    client = await DriverClient.dial(language, { port: instance.port, tls: false, clock: instance.clock })
  })
  afterAll(() => client?.close())

  const send = (topic: string, text: string, system: Partial<gen.SystemPropertiesInit>) =>
    client.send(client.message(topic, text, system))
  const poll = async (topic: string, group: string, more: gen.ReceiveMessageRequestInit = {}) =>
    (await instance.elapse(client.poll('push', topic, group, more))).value.messages
  const texts = (messages: readonly gen.Message[]) => messages.map(({ body }) => Buffer.from(body).toString())

  it('is assigned every queue, gets a lost batch again, and goes on behind what it acknowledged or gave up', async () => {
    const topic = await instance.topic('FIFO')
    const group = await instance.group({ orderly: true })
    const { assignments } = await client.queryAssignment(topic, group)
    expect(assignments.map(({ messageQueue }) => messageQueue?.id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])

    for (const text of ['1', '2', '3']) {
      const reply = await send(topic, text, { messageGroup: 'g' })
      expect(reply.status?.code).toBe(20000)
    }
    const attempt = { attemptId: `attempt of ${language}`, batchSize: 2 }
    const lost = await poll(topic, group, attempt)
    const batch = await poll(topic, group, attempt)
    expect(texts(batch)).toEqual(['1', '2'])
    expect(batch.map((each) => each.systemProperties)).toEqual(lost.map((each) => each.systemProperties))
    expect(batch[0]!.systemProperties).toMatchObject({ messageGroup: 'g', deliveryAttempt: 1 })

    expect((await client.deadLetter(topic, group, batch[0]!)).status?.code).toBe(20000)
    expect((await client.ack(topic, group, batch[1]!)).status?.code).toBe(20000)
    const rest = await poll(topic, group)
    expect(texts(rest)).toEqual(['3'])
    await client.ack(topic, group, rest[0]!)
    expect(texts(await poll(`%DLQ%${group}`, await instance.group()))).toEqual(['1'])
  })

  it('sees a FIFO message stay where it is after a nack, and nothing behind it', async () => {
    const topic = await instance.topic('FIFO')
    const group = await instance.group({ orderly: true })
    for (const text of ['1', '2']) await send(topic, text, { messageGroup: 'g' })
    const [first] = await poll(topic, group, { batchSize: 1 })
    await client.changeInvisible(topic, group, first!, 3_000)
    const { value, tookMs } = await instance.elapse(client.poll('push', topic, group, { batchSize: 32 }))
    expect(texts(value.messages)).toEqual(['1', '2'])
    expect(value.messages.map(({ systemProperties }) => systemProperties?.deliveryAttempt)).toEqual([2, 1])
    expect(tookMs).toBeGreaterThanOrEqual(3_000)
  })

  it('gets the urgent before the rest of a PRIORITY topic', async () => {
    const topic = await instance.topic('PRIORITY')
    const group = await instance.group()
    for (const priority of [1, 7, 0, 4, 99]) await send(topic, String(priority), { priority })
    const messages = await poll(topic, group)
    expect(texts(messages)).toEqual(['7', '99', '4', '1', '0'])
    expect(messages[1]!.systemProperties?.priority).toBe(99)
  })
})
