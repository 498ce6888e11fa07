/** What UpdateInstance, UpdateTopic and the whitelist operations change while official clients are connected. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { clientOptions, rocketmq } from '../support/client.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { brokerPid, type TestHome, temporaryHome } from '../support/server.ts'
import { told } from './instance.ts'

let home: TestHome
let client: any
beforeAll(async () => {
  home = await temporaryHome()
  client = sdkClient((await home.start()).ready)
})
afterAll(() => home?.close())

const inForce = (instanceId: string) =>
  until(
    () => client.getInstance(instanceId),
    (answer: any) => answer.body.data.status === 'RUNNING',
    'the change is in force',
  )

it('ratio, topic cap and whitelist take effect without a restart', async () => {
  const { instanceId, endpoint } = await runningInstance(client, {
    topic: 'busy',
    changes: {
      seriesCode: 'standard',
      subSeriesCode: 'single_node',
      productInfo: new sdk.CreateInstanceRequestProductInfo({ msgProcessSpec: 'rmq.s1.micro', sendReceiveRatio: 0.05 }),
    },
  })
  const pid = await brokerPid(home.home)
  const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['busy'], maxAttempts: 1 }))
  await producer.startup()
  // 4 MiB count 1,024 of 25 a second: the debt lasts forty seconds, longer than this test.
  const large = { topic: 'busy', body: Buffer.alloc(4 * 2 ** 20) }
  const small = { topic: 'busy', body: Buffer.from('x') }
  await producer.send(large)
  expect(await producer.send(small).catch(told)).toMatch(/42900.*25 sends/)
  await client.updateInstance(
    instanceId,
    new sdk.UpdateInstanceRequest({
      productInfo: new sdk.UpdateInstanceRequestProductInfo({ sendReceiveRatio: 0.5 }),
    }),
  )
  await inForce(instanceId)
  expect(await producer.send(small).catch(told)).toMatch(/42900.*250 sends/)

  const whitelist = async () =>
    (await client.getInstanceIpWhitelist(instanceId, new sdk.GetInstanceIpWhitelistRequest({}))).body.data
  await client.createInstanceIpWhitelist(
    instanceId,
    new sdk.CreateInstanceIpWhitelistRequest({ ipWhitelists: ['10.0.0.0/8'] }),
  )
  await inForce(instanceId)
  expect((await whitelist()).ipWhitelists).toEqual(['10.0.0.0/8'])
  expect(await producer.send(small).catch(told)).not.toMatch(/42900/)
  await client.createInstanceIpWhitelist(
    instanceId,
    new sdk.CreateInstanceIpWhitelistRequest({ ipWhitelists: ['127.0.0.1'] }),
  )
  await inForce(instanceId)
  await until(
    () => producer.send(small).catch(told),
    (answer: any) => /42900/.test(String(answer)),
    'the producer is back',
  )
  await client.deleteInstanceIpWhitelist(
    instanceId,
    new sdk.DeleteInstanceIpWhitelistRequest({ ipWhitelists: ['10.0.0.0/8'] }),
  )
  await inForce(instanceId)
  expect((await whitelist()).ipWhitelists).toEqual(['127.0.0.1'])
  expect(await producer.send(small).catch(told)).toMatch(/42900/)
  await producer.shutdown()
  expect(await brokerPid(home.home)).toBe(pid)
}, 40_000)
