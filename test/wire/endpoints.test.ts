/** What CreateInstance says about access, seen by the official client on both endpoints of one instance. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { realClock } from '../../src/world/real.ts'
import { clientOptions, rocketmq } from '../support/client.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { brokerPid, type TestHome, type TestServer, temporaryHome } from '../support/server.ts'

const here = path.dirname(fileURLToPath(import.meta.url))
let home: TestHome
let server: TestServer
let client: any

beforeAll(async () => {
  home = await temporaryHome()
  server = await home.start()
  client = sdkClient(server.ready)
})
afterAll(() => home?.close())

const publicAccess = new sdk.CreateInstanceRequestNetworkInfo({
  vpcInfo: new sdk.CreateInstanceRequestNetworkInfoVpcInfo({
    vpcId: 'vpc-test',
    vSwitches: [new sdk.CreateInstanceRequestNetworkInfoVpcInfoVSwitches({ vSwitchId: 'vsw-test' })],
  }),
  internetInfo: new sdk.CreateInstanceRequestNetworkInfoInternetInfo({
    internetSpec: 'enable',
    flowOutType: 'payByTraffic',
  }),
})

/** How the start of a producer without credentials ends; in a process of its own, which a failed start needs. */
const strangerAt = async (endpoint: string): Promise<string> =>
  (await promisify(execFile)(process.execPath, [path.join(here, 'refused-child.mjs'), endpoint, 'events'])).stdout

async function sends(endpoint: string, sessionCredentials?: object): Promise<boolean> {
  const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['events'], sessionCredentials }))
  await producer.startup()
  try {
    return (await producer.send({ topic: 'events', body: Buffer.from('x') })).messageId !== ''
  } finally {
    await producer.shutdown()
  }
}

it('the VPC endpoint is free of credentials, the public one is not, and a whitelist closes the public one alone', async () => {
  const { instanceId } = await runningInstance(client, { topic: 'events', changes: { networkInfo: publicAccess } })
  const { endpoints } = (await client.getInstance(instanceId)).body.data.networkInfo
  const urlOf = (type: string): string => endpoints.find((each: any) => each.endpointType === type).endpointUrl
  const account = (await client.getInstanceAccount(instanceId, new sdk.GetInstanceAccountRequest({}))).body.data
  const credentials = { accessKey: account.username, accessSecret: account.password }

  expect(await sends(urlOf('TCP_VPC'))).toBe(true)
  expect(await strangerAt(urlOf('TCP_INTERNET'))).toContain('40100')
  expect(await sends(urlOf('TCP_INTERNET'), credentials)).toBe(true)

  const allow = async (ipWhitelist: string[]): Promise<void> => {
    await client.updateInstance(
      instanceId,
      new sdk.UpdateInstanceRequest({
        networkInfo: new sdk.UpdateInstanceRequestNetworkInfo({
          internetInfo: new sdk.UpdateInstanceRequestNetworkInfoInternetInfo({ ipWhitelist }),
        }),
      }),
    )
    await until(
      () => client.getInstance(instanceId),
      (answer: any) => answer.body.data.status === 'RUNNING',
      'the whitelist is in force',
    )
  }
  await allow(['10.0.0.0/8'])
  expect(await strangerAt(urlOf('TCP_INTERNET'))).not.toContain('40100')
  expect(await sends(urlOf('TCP_VPC'))).toBe(true)
  await allow(['127.0.0.0/8'])
  expect(await sends(urlOf('TCP_INTERNET'), credentials)).toBe(true)
})

it('GetInstance answers while the broker process does not', async () => {
  const { instanceId } = await runningInstance(client)
  const pid = (await brokerPid(home.home))!
  process.kill(pid, 'SIGSTOP')
  try {
    const started = realClock.monotonic()
    expect((await client.getInstance(instanceId)).body.data.instanceId).toBe(instanceId)
    // The SDK itself gives up after three seconds.
    expect(realClock.monotonic() - started).toBeLessThan(3000)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
})
