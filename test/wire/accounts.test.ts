/**
 * Accounts and grants as their users have them: made through the vendor's SDK, used by Apache's official Node.js client, in force
 * at once, over restarts of the server and kill -9 of the broker, and without a password in any log.
 */
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { realClock } from '../../src/world/real.ts'
import { clientOptions, rocketmq } from '../support/client.ts'
import { runningInstance, sdk, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { DriverClient } from './driver/client.ts'

const UNAUTHORIZED = 40100
const FORBIDDEN = 40300
const password = 'hunter2-of-worker'
const another = 'hunter2-of-worker-2'

describe('a custom account', () => {
  let home: TestHome
  let server: TestServer
  let api: any
  let instanceId: string
  let endpoint: string

  const start = async () => {
    server = await home.start({ env: { GANTRY_LOG_LEVEL: 'debug' } })
    api = sdkClient(server.ready)
  }
  beforeAll(async () => {
    home = await temporaryHome()
    await start()
    const changes = { aclInfo: new sdk.CreateInstanceRequestAclInfo({ defaultVpcAuthFree: false }) }
    const made = await runningInstance(api, { topic: 'orders', group: 'workers', changes })
    instanceId = made.instanceId
    endpoint = made.endpoint
    const aclInfo = new sdk.UpdateInstanceRequestAclInfo({ aclTypes: ['default', 'apache_acl'] })
    await api.updateInstance(instanceId, new sdk.UpdateInstanceRequest({ aclInfo }))
    await api.createInstanceAccount(
      instanceId,
      new sdk.CreateInstanceAccountRequest({ username: 'worker', password, remark: 'from the SDK' }),
    )
  })
  afterAll(() => home?.close())

  const grant = (resourceType: string, resourceName: string, actions: string[], more: object = {}) =>
    api.createInstanceAcl(
      instanceId,
      'worker',
      new sdk.CreateInstanceAclRequest({ resourceType, resourceName, actions, decision: 'Allow', ...more }),
    )
  const takeBack = (resourceType: string, resourceName: string) =>
    api.deleteInstanceAcl(instanceId, 'worker', new sdk.DeleteInstanceAclRequest({ resourceType, resourceName }))

  const takeBackOf = (username: string, key: object) =>
    api.deleteInstanceAcl(instanceId, username, new sdk.DeleteInstanceAclRequest(key))
  /** A model of the SDK as the data that it holds. */
  const plain = (model: unknown) => JSON.parse(JSON.stringify(model))

  async function dial(secret = password): Promise<DriverClient> {
    const port = Number(endpoint.split(':').at(-1))
    return DriverClient.dial('java', {
      port,
      tls: false,
      clock: realClock,
      credentials: { username: 'worker', secret },
    })
  }

  /** The code of a send by an account over a connection of its own; null while nobody listens. */
  async function sendCode(secret = password): Promise<number | null> {
    const client = await dial(secret).catch(() => null)
    if (client === null) return null
    try {
      return (await client.send(client.message('orders', 'x'))).status?.code ?? null
    } catch {
      return null
    } finally {
      client.close()
    }
  }
  const untilSends = (code: number, secret = password) =>
    until(
      () => sendCode(secret),
      (answered) => answered === code,
      `a send is answered ${code}`,
    )

  it('may do nothing before it is granted, then what is granted, and is cut off when that is taken back', async () => {
    await untilSends(FORBIDDEN)
    await grant('Topic', 'orders', ['Pub', 'Sub'])
    await grant('Group', 'workers', ['Sub'])
    await untilSends(20000)

    const credentials = { sessionCredentials: { accessKey: 'worker', accessSecret: password } }
    const producer = new rocketmq.Producer(clientOptions(endpoint, { topics: ['orders'], ...credentials }))
    const consumer = new rocketmq.SimpleConsumer(
      clientOptions(endpoint, {
        ...{ consumerGroup: 'workers', subscriptions: new Map([['orders', '*']]), awaitDuration: 5000 },
        ...credentials,
      }),
    )
    await Promise.all([producer.startup(), consumer.startup()])
    try {
      await producer.send({ topic: 'orders', body: Buffer.from('granted') })
      const received = await until(
        () => consumer.receive(32, 30_000) as Promise<any[]>,
        (messages) => messages.some(({ body }) => body.toString() === 'granted'),
        'the consumer gets what its account may send',
      )
      await consumer.ack(received[0])

      const client = await dial()
      const telemetry = client.telemetry(client.consumerSettings('workers', { orders: '*' }))
      expect((await telemetry.hear())?.status?.code).toBe(20000)
      // Until there is nothing left, so that the poll waits.
      const longPollingTimeout = { seconds: 5, nanos: 0 }
      await until(
        () => client.poll('push', 'orders', 'workers', { longPollingTimeout }),
        ({ messages }) => messages.length === 0,
        'all messages are taken',
      )
      const poll = client.poll('push', 'orders', 'workers')
      await client.queryRoute('orders')
      await takeBack('Topic', 'orders')
      expect((await poll).status).toMatchObject({
        code: FORBIDDEN,
        message: expect.stringContaining('Sub on topic "orders"'),
      })
      expect((await telemetry.hear())?.status?.code).toBe(FORBIDDEN)
      expect(await telemetry.hear()).toBeNull()
      await expect(producer.send({ topic: 'orders', body: Buffer.from('cut off') })).rejects.toThrow(
        /40300.*Pub on topic/s,
      )
      await expect(consumer.receive(1, 30_000)).rejects.toThrow(/40300/)
      client.close()
    } finally {
      await Promise.all([producer.shutdown(), consumer.shutdown()])
    }
  })

  it('is disabled, enabled and given another password at once', async () => {
    await grant('Topic', 'ord*', ['Pub|Sub'], { ipWhitelists: ['127.0.0.0/8'] })
    await untilSends(20000)
    const update = (change: object) =>
      api.updateInstanceAccount(instanceId, 'worker', new sdk.UpdateInstanceAccountRequest(change))
    await update({ accountStatus: 'DISABLE' })
    await untilSends(UNAUTHORIZED)
    await update({ accountStatus: 'ENABLE', password: another })
    await untilSends(20000, another)
    expect(await sendCode()).toBe(UNAUTHORIZED)
  })

  it('is the same after a restart of the server and after kill -9 of the broker', async () => {
    await server.stop()
    await start()
    await untilSends(20000, another)
    expect(await sendCode()).toBe(UNAUTHORIZED)
    await server.killBroker()
    await untilSends(20000, another)
    const { body } = await api.listInstanceAcl(instanceId, new sdk.ListInstanceAclRequest({ filter: 'worker' }))
    expect(body.data.list.map(({ resourceName, actions }: any) => [resourceName, actions])).toEqual([
      ['ord*', ['Pub|Sub']],
      ['workers', ['Sub']],
    ])
    const accounts = await api.listInstanceAccount(instanceId, new sdk.ListInstanceAccountRequest({}))
    expect(accounts.body.data.list.map(({ accountType }: any) => accountType).sort()).toEqual(['CUSTOMER', 'DEFAULT'])
    expect(JSON.stringify(accounts.body)).not.toContain('password')
  })

  it('is known by its password no more once it is deleted', async () => {
    await api.deleteInstanceAccount(instanceId, 'worker')
    await untilSends(UNAUTHORIZED, another)
  })

  it('is read, listed and changed through the SDK with exactly the fields that its models have', async () => {
    const username = 'reader'
    await api.createInstanceAccount(
      instanceId,
      new sdk.CreateInstanceAccountRequest({ username, password, remark: 'r' }),
    )
    const key = { resourceType: 'Topic', resourceName: 'orders' }
    const create = new sdk.CreateInstanceAclRequest({ ...key, actions: ['Pub', 'Sub'], decision: 'Allow' })
    expect((await api.createInstanceAcl(instanceId, username, create)).body.data).toBe(true)
    const change = { ...key, decision: 'Deny', ipWhitelists: ['10.0.0.0/8'] }
    const updated = await api.updateInstanceAcl(instanceId, username, new sdk.UpdateInstanceAclRequest(change))
    expect(updated.body).toMatchObject({ success: true, httpStatusCode: 200, data: true })
    const view = {
      ...{ instanceId, regionId: 'cn-hangzhou', username, ...change },
      actions: ['Pub', 'Sub'],
    }
    const got = await api.getInstanceAcl(instanceId, username, new sdk.GetInstanceAclRequest(key))
    expect(plain(got.body.data)).toEqual({ ...view, aclType: 'apache_acl' })
    const acls = await api.listInstanceAcl(
      instanceId,
      new sdk.ListInstanceAclRequest({ filter: username, pageNumber: 1, pageSize: 10 }),
    )
    expect(plain(acls.body.data)).toEqual({
      ...{ pageNumber: 1, pageSize: 10, totalCount: 1 },
      list: [{ ...view, aclType: 'APACHE' }],
    })
    const account = await api.getInstanceAccount(instanceId, new sdk.GetInstanceAccountRequest({ username }))
    expect(plain(account.body.data)).toEqual({ username, password, accountStatus: 'ENABLE', remark: 'r' })
    const listed = await api.listInstanceAccount(
      instanceId,
      new sdk.ListInstanceAccountRequest({ username: 'read', accountType: 'CUSTOMER', accountStatus: 'ENABLE' }),
    )
    expect(plain(listed.body.data)).toEqual({
      ...{ pageNumber: 1, pageSize: 10, totalCount: 1 },
      list: [
        {
          ...{ instanceId, regionId: 'cn-hangzhou', username, remark: 'r' },
          ...{ accountStatus: 'ENABLE', accountType: 'CUSTOMER' },
        },
      ],
    })
    await takeBackOf(username, key)
    await expect(takeBackOf(username, key)).rejects.toMatchObject({ code: 'InstanceAcl.NotExisted', statusCode: 404 })
    await api.deleteInstanceAccount(instanceId, username)
    await expect(api.deleteInstanceAccount(instanceId, username)).rejects.toMatchObject({
      ...{ code: 'InstanceAccount.NotExisted', statusCode: 404 },
    })
  })

  it('leaves its passwords in no log, not even of calls that were refused', async () => {
    const wrong = sdkClient({ ...server.ready, accessKeySecret: 'not-the-secret' })
    const change = new sdk.UpdateInstanceAccountRequest({ password: another })
    await expect(wrong.updateInstanceAccount(instanceId, 'worker', change)).rejects.toThrow(/SignatureDoesNotMatch/)
    await expect(api.updateInstanceAccount(instanceId, 'worker', change)).rejects.toThrow(/InstanceAccount.NotExisted/)
    const tooLong = new sdk.CreateInstanceAccountRequest({ username: 'worker', password: another.repeat(9) })
    const refusal = await api.createInstanceAccount(instanceId, tooLong).catch((error: Error) => error)
    expect(refusal.message).toMatch(/InvalidPassword/)
    expect(refusal.message).not.toContain('hunter2')
    const files = await readdir(home.home, { recursive: true, withFileTypes: true })
    const logs = files.filter(
      (file) => file.isFile() && file.name.endsWith('.log') && !file.parentPath.includes('instances'),
    )
    expect(logs.length).toBeGreaterThan(0)
    const texts = [
      server.log(),
      ...logs.map(({ parentPath, name }) => readFileSync(path.join(parentPath, name), 'utf8')),
    ]
    for (const text of texts) expect(text).not.toContain('hunter2')
  })
})
