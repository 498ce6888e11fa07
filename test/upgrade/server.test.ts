/**
 * A whole server of now over homes of earlier programs: everything that does not depend on the time is as its API answered
 * then, clients connect with the passwords of then, and messages flow.
 */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { LEDGER_FILE } from '../../src/ledger/sqlite.ts'
import { openBinding } from '../../src/ledger/sqlite-binding.ts'
import { clientOptions, receiveMany, rocketmq, sendMany } from '../support/client.ts'
import { sdk, sdkClient, until } from '../support/sdk.ts'
import { homeAt } from '../support/server.ts'
import { fixtures, readFixture, unpack } from './fixture.ts'

const ends: Array<() => Promise<unknown>> = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const cases = fixtures.flatMap((fixture) => (['stopped', 'killed'] as const).map((home) => ({ fixture, home })))

/** What later programs may not change of an instance, a topic and a group. */
const kept = {
  instance: [
    ...['instanceId', 'instanceName', 'remark', 'serviceCode', 'seriesCode', 'subSeriesCode', 'paymentType'],
    ...[
      'commodityCode',
      'resourceGroupId',
      'createTime',
      'startTime',
      'expireTime',
      'releaseTime',
      'regionId',
      'status',
    ],
    ...['topicCount', 'groupCount', 'tags', 'userId'],
  ],
  topic: ['topicName', 'messageType', 'remark', 'createTime', 'status', 'maxSendTps', 'liteTopicExpiration'],
  group: ['consumerGroupId', 'deliveryOrderType', 'createTime', 'status', 'messageModel', 'topicName'],
}

/**
 * An instance comes back on its port. Where something else has one of the ports of the fixture, the instances get others, by
 * a change in the ledger; else the home is opened as it was left.
 */
async function moveTakenPorts(home: string): Promise<void> {
  const { instances } = readFixture(fixtures[0]!).homes.stopped
  const ports = Object.values(instances).map(({ answers }) =>
    Number(answers.instance.networkInfo.endpoints[0].endpointUrl.split(':')[1]),
  )
  const free = await Promise.all(ports.map((port) => listened(port).catch(() => null)))
  if (!free.includes(null)) return
  const others = await Promise.all(ports.map(() => listened(0)))
  // What a killed program leaves; a server removes it too.
  rmSync(path.join(home, `${LEDGER_FILE}.lock`), { recursive: true, force: true })
  const binding = openBinding(path.join(home, LEDGER_FILE))
  const moves = ports.map((port, index) => `update instances set vpc_port = ${others[index]} where vpc_port = ${port}`)
  binding.exec(`pragma locking_mode = exclusive; ${moves.join('; ')}`)
  binding.close()
}

/** The port, once it was listened on and is free again. */
async function listened(port: number): Promise<number> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const { port: taken } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return taken
}

const only = (from: any, names: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])))

describe.each(cases)('a home of $fixture, $home, under a whole server', ({ fixture, home }) => {
  it('answers as then, and carries messages', async () => {
    const { keys, homes } = readFixture(fixture)
    const expected = homes[home]
    const place = homeAt(unpack(fixture, home))
    await moveTakenPorts(place.home)
    ends.push(async () => {
      await place.close()
      rmSync(path.dirname(place.home), { recursive: true, force: true })
    })
    const server = await place.start({ env: keys })
    const client = sdkClient(server.ready)
    const list = async (): Promise<any[]> =>
      (await client.listInstances(new sdk.ListInstancesRequest({ pageNumber: 1, pageSize: 100 }))).toMap().body.data
        .list
    const instances = await until(list, (all) => all.every(({ status }) => status === 'RUNNING'), 'all run')
    const known = Object.values(expected.instances)
    expect(instances.map(({ instanceId }) => instanceId).sort()).toEqual(
      known.map(({ instanceId }) => instanceId).sort(),
    )

    for (const { instanceId, answers } of known) {
      const instance = (await client.getInstance(instanceId)).toMap().body.data
      expect(instance).toMatchObject(only(answers.instance, kept.instance))
      expect(instance.productInfo).toMatchObject(answers.instance.productInfo)
      expect(instance.networkInfo.vpcInfo.vpcId).toBe(answers.instance.networkInfo.vpcInfo.vpcId)
      expect(instance.aclInfo).toMatchObject({ defaultVpcAuthFree: answers.instance.aclInfo.defaultVpcAuthFree })
      const account = await client.getInstanceAccount(instanceId, new sdk.GetInstanceAccountRequest({}))
      expect(account.toMap().body.data).toMatchObject(only(answers.account, ['username', 'password', 'accountStatus']))
      const whitelist = await client.getInstanceIpWhitelist(instanceId, new sdk.GetInstanceIpWhitelistRequest({}))
      expect(whitelist.toMap().body.data.ipWhitelists).toEqual(answers.whitelist.ipWhitelists)
      for (const topic of answers.topics)
        expect((await client.getTopic(instanceId, topic.topicName)).toMap().body.data).toMatchObject(
          only(topic, kept.topic),
        )
      for (const group of answers.groups) {
        const data = (await client.getConsumerGroup(instanceId, group.consumerGroupId)).toMap().body.data
        expect(data).toMatchObject(only(group, kept.group))
        expect(data.consumeRetryPolicy).toMatchObject(group.consumeRetryPolicy)
      }
    }
    const tags = await client.listTagResources(
      new sdk.ListTagResourcesRequest({ regionId: server.ready.region, resourceType: 'instance' }),
    )
    const sorted = ({ tagResources }: any) =>
      tagResources.map(({ resourceId, tagKey, tagValue }: any) => `${resourceId} ${tagKey}=${tagValue}`).sort()
    expect(sorted(tags.toMap().body.data)).toEqual(sorted(expected.tags))
    await expect(client.getInstance(expected.deleted)).rejects.toMatchObject({ code: 'Instance.NotFound' })

    for (const { instanceId, answers } of [expected.instances.standard, expected.instances.platinum]) {
      const [{ endpointUrl }] = (await client.getInstance(instanceId)).body.data.networkInfo.endpoints
      const { username, password } = answers.account
      const options = clientOptions(endpointUrl, {
        sessionCredentials: { accessKey: username, accessSecret: password },
        sslEnabled: false,
      })
      const producer = new rocketmq.Producer({ ...options, topics: ['dead-letters'] })
      const consumer = new rocketmq.SimpleConsumer({
        ...options,
        consumerGroup: 'later-reader',
        subscriptions: new Map([['dead-letters', 'tag']]),
      })
      await Promise.all([producer.startup(), consumer.startup()])
      ends.push(async () => {
        await Promise.all([producer.shutdown(), consumer.shutdown()])
      })
      const sent = await sendMany(producer, 'dead-letters', 20)
      const { received } = await receiveMany(consumer, 20)
      expect([...received.keys()].sort()).toEqual([...sent.keys()].sort())
    }
  })
})
