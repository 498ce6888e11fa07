/**
 * How long messages were bought to be kept, through the official client: what is older is gone for every group, its
 * space is given back while nobody sends, and what is younger stays.
 */
import { afterEach, expect, it } from 'vitest'
import type { DrivenInstance } from '../wire/driver/instance.ts'
import { BoughtInstance } from './instance.ts'

let shop: BoughtInstance
let instance: DrivenInstance
afterEach(() => shop?.close())

const hourMs = 3_600_000
const mib = 2 ** 20

it.each([24, 25])('of %i hours: then the messages are gone and their space is given back', async (retentionHours) => {
  shop = await BoughtInstance.start({ retentionHours })
  instance = shop.driven
  const topic = await instance.topic()
  const producer = await shop.producer(topic)
  const empty = await instance.bytesOnDisk()
  for (let n = 0; n < 32; n++) await producer.send({ topic, body: Buffer.alloc(mib / 2, `old ${n}`) })
  const consumer = await shop.consumer(topic, await instance.group())
  const [first] = await consumer.receive(1, 30_000)
  await consumer.ack(first)
  expect(await instance.bytesOnDisk()).toBeGreaterThan(16 * mib)
  await instance.pass((retentionHours - 1) * hourMs, hourMs)
  expect(await instance.bytesOnDisk()).toBeGreaterThan(16 * mib)
  await producer.send({ topic, body: Buffer.from('young') })

  // An hour to the end, and an eighth for the file they share to be closed.
  await instance.pass((1 + Math.ceil(retentionHours / 8)) * hourMs, hourMs)
  expect((await instance.bytesOnDisk()) - empty).toBeLessThan(mib)
  // What the group did not read in time is lost to it.
  const { value } = await instance.elapse<any[]>(consumer.receive(32, 30_000), 500)
  expect(value.map((message) => message.body.toString())).toEqual(['young'])
})
