/** The official npm SDK as judge of the management API: nothing is patched. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { instanceRequest, sdk, sdkClient, until } from '../support/sdk.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'

describe('the official npm SDK', () => {
  let home: TestHome
  let server: TestServer
  let client: any

  beforeAll(async () => {
    home = await temporaryHome()
    server = await home.start()
    client = sdkClient(server.ready)
  })
  afterAll(() => home?.close())

  it('creates, polls, lists, tags, updates and deletes an instance', async () => {
    const created = await client.createInstance(
      instanceRequest({
        instanceName: 'orders-实例',
        remark: 'first',
        clientToken: 'token-1',
        tags: [new sdk.CreateInstanceRequestTags({ key: 'env', value: 'test' })],
      }),
    )
    expect(created.statusCode).toBe(200)
    expect(created.body).toMatchObject({ success: true, code: '200', httpStatusCode: 200 })
    expect(created.headers['x-acs-request-id']).toBe(created.body.requestId)
    const instanceId = created.body.data
    expect(instanceId).toMatch(/^rmq-cn-[0-9a-z]{11}$/)

    const running: any = await until(
      () => client.getInstance(instanceId),
      (answer: any) => answer.body.data.status === 'RUNNING',
      'the instance runs',
    )
    expect(running.body.data).toMatchObject({
      instanceName: 'orders-实例',
      remark: 'first',
      seriesCode: 'professional',
      subSeriesCode: 'cluster_ha',
      paymentType: 'PayAsYouGo',
      serviceCode: 'rmq',
      regionId: 'cn-hangzhou',
      productInfo: { msgProcessSpec: 'rmq.p2.40xlarge', messageRetentionTime: 72, supportAutoScaling: true },
      tags: [{ key: 'env', value: 'test' }],
    })
    expect(running.body.data.networkInfo.endpoints[0].endpointUrl).toMatch(/^127\.0\.0\.1:\d+$/)

    const again = await client.createInstance(
      instanceRequest({
        instanceName: 'orders-实例',
        remark: 'first',
        clientToken: 'token-1',
        tags: [new sdk.CreateInstanceRequestTags({ key: 'env', value: 'test' })],
      }),
    )
    expect(again.body.data).toBe(instanceId)

    const listed = await client.listInstances(
      new sdk.ListInstancesRequest({ filter: 'orders', pageNumber: 1, pageSize: 10 }),
    )
    expect(listed.body.data.list.map((entry: any) => entry.instanceId)).toEqual([instanceId])
    expect(listed.body.data.totalCount).toBe(1)

    await client.tagResources(
      new sdk.TagResourcesRequest({
        regionId: 'cn-hangzhou',
        resourceType: 'instance',
        resourceId: JSON.stringify([instanceId]),
        tag: JSON.stringify([{ key: 'team', value: 'a b&c' }]),
      }),
    )
    const tags = await client.listTagResources(
      new sdk.ListTagResourcesRequest({
        regionId: 'cn-hangzhou',
        resourceType: 'instance',
        resourceId: JSON.stringify([instanceId]),
      }),
    )
    expect(tags.body.data.tagResources.map(({ tagKey, tagValue }: any) => [tagKey, tagValue]).sort()).toEqual([
      ['env', 'test'],
      ['team', 'a b&c'],
    ])

    await client.updateInstance(
      instanceId,
      new sdk.UpdateInstanceRequest({
        remark: 'second',
        productInfo: new sdk.UpdateInstanceRequestProductInfo({ messageRetentionTime: 48 }),
      }),
    )
    const updated: any = await until(
      () => client.getInstance(instanceId),
      (answer: any) => answer.body.data.status === 'RUNNING',
      'the change is in force',
    )
    expect(updated.body.data).toMatchObject({ remark: 'second', productInfo: { messageRetentionTime: 48 } })
    expect(updated.body.data.networkInfo.endpoints).toEqual(running.body.data.networkInfo.endpoints)

    await client.deleteInstance(instanceId)
    await until(
      () =>
        client.getInstance(instanceId).then(
          (answer: any) => answer.body.data.status,
          (error: any) => error.code,
        ),
      (answer) => answer === 'Instance.NotFound',
      'the instance is gone',
    )
  })

  it('reads refusals as errors with the code, the field and what to do', async () => {
    const refused = await client.createInstance(instanceRequest({ seriesCode: 'gold' })).catch((error: any) => error)
    expect(refused).toMatchObject({ code: 'InvalidSeriesCode', statusCode: 400 })
    expect(refused.message).toContain('gold')
    const missing = await client.getTopic('rmq-cn-00000000000', 'none').catch((error: any) => error)
    expect(missing).toMatchObject({ code: 'Instance.NotFound', statusCode: 404 })
    const stranger = sdkClient({ ...server.ready, accessKeySecret: 'wrong' })
    expect(await stranger.listRegions().catch((error: any) => error)).toMatchObject({
      code: 'SignatureDoesNotMatch',
      statusCode: 400,
    })
  })

  it('is told of an operation that is not carried out yet', async () => {
    const refused = await client
      .listMigrations(
        new sdk.ListMigrationsRequest({ pageNumber: 1, pageSize: 10, migrationType: 'INSTANCE_MIGRATION' }),
      )
      .catch((error: any) => error)
    expect(refused).toMatchObject({ code: 'NotImplemented', statusCode: 501 })
  })
})
