/**
 * A group that was deleted stays deleted while its clients run: each official client hears 40403 in the calls it goes on with,
 * frame by frame, and nothing it does brings the group back.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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

const refused = { code: 40403, message: expect.stringMatching(/was deleted; create it again with CreateConsumerGroup/) }

describe.each(languages)('a %s client of a group that is deleted', (language) => {
  let client: DriverClient
  beforeAll(async () => {
    client = await DriverClient.dial(language, { port: instance.port, tls: false, clock: instance.clock })
  })
  afterAll(() => client?.close())

  it('is refused until the group is created again, and then goes on in order', async () => {
    const topic = await instance.topic('FIFO')
    const group = await instance.group({ orderly: true, maxRetryTimes: 2 })
    const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
    expect((await telemetry.hear())?.settings?.subscription?.fifo).toBe(true)
    for (const text of ['1', '2']) await client.send(client.message(topic, text, { messageGroup: 'g' }))
    const before = (await instance.elapse(client.poll('push', topic, group, { batchSize: 1 }))).value.messages
    expect(before).toHaveLength(1)

    const timers = instance.clock.pending
    const waiting = client.poll('push', topic, group)
    await instance.untilWaiting(timers)
    await instance.host.removeGroup({ instanceId: instance.instanceId, consumerGroupId: group })
    expect((await waiting).status).toMatchObject(refused)

    expect((await instance.elapse(client.poll('push', topic, group))).value.status).toMatchObject(refused)
    expect((await client.queryAssignment(topic, group)).status).toMatchObject(refused)
    expect((await client.ack(topic, group, before[0]!)).status?.code).not.toBe(20000)
    expect((await client.queryRoute(topic)).status?.code).toBe(20000)
    const again = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
    expect((await again.hear())?.status).toMatchObject(refused)
    const { instanceId } = instance
    const { groupsMadeByUse } = await instance.host.ask({ instanceId, question: 'usage', params: {} })
    expect(groupsMadeByUse).toBe(0)

    await instance.host.ensureGroups({
      instanceId: instance.instanceId,
      groups: [
        {
          consumerGroupId: group,
          generation: 3,
          orderly: true,
          maxRetryTimes: 2,
          retry: { kind: 'default' },
          deadLetterTopic: null,
          maxReceiveTps: null,
        },
      ],
    })
    const after = (await instance.elapse(client.poll('push', topic, group))).value.messages
    expect(after.map(({ body }) => Buffer.from(body).toString())).toEqual(['1', '2'])
    for (const message of after) expect((await client.ack(topic, group, message)).status?.code).toBe(20000)
  })
})
