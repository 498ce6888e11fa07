/** The official Node.js SDK, unpatched, judges answers, errors and throttling. */
import { $OpenApiUtil } from '@alicloud/openapi-core'
import * as RocketMQ from '@alicloud/rocketmq20220801'
import { afterEach, describe, expect, it } from 'vitest'
import { ApiError } from '../../src/catalogue/errors.ts'
import { type Harness, type HarnessOptions, startApi, USER_KEY_ID } from './harness.ts'

// CommonJS seen from ES modules: Node puts the class at the default export's default, vitest at the default export.
type SdkClass = typeof RocketMQ.default.default
type Client = InstanceType<SdkClass>
const Sdk = (RocketMQ.default.default ?? RocketMQ.default) as SdkClass

let api: Harness
afterEach(() => api.close())

async function client(options: HarnessOptions, config: Record<string, unknown> = {}): Promise<Client> {
  api = await startApi(options)
  return new Sdk(
    new $OpenApiUtil.Config({
      accessKeyId: 'test-ak',
      accessKeySecret: 'test-sk',
      regionId: 'cn-hangzhou',
      endpoint: api.endpoint,
      protocol: 'http',
      ...config,
    }) as never,
  )
}

const regions = [{ regionId: 'cn-hangzhou', regionName: '杭州' }]
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: any) => error,
  )

describe('the official SDK', () => {
  it.each([['ACS3-HMAC-SHA256'], ['ACS3-HMAC-SM3'], ['v2']])(
    'reads an answer signed for with %s',
    async (signatureAlgorithm) => {
      const sdk = await client({ handlers: { ListRegions: async () => regions } }, { signatureAlgorithm })
      const { body, statusCode } = await sdk.listRegions()
      expect(statusCode).toBe(200)
      expect(body).toMatchObject({ success: true, code: '200', data: [{ regionName: '杭州' }] })
    },
  )

  it('passes names and values through every encoding', async () => {
    let seen: any
    const sdk = await client({
      handlers: {
        CreateTopic: async (_s, _c, input) => {
          seen = input
          return true
        },
        ListInstances: async (_s, _c, input) => {
          seen = input
          return { list: [] }
        },
      },
    })
    const remark = "a+b/c=d*(e)~f!'g 测试 %20 😀"
    await sdk.createTopic(
      'rmq-cn-1',
      'Topic_A-1',
      new RocketMQ.CreateTopicRequest({ messageType: 'NORMAL', remark: '测试 a+b' }),
    )
    expect(seen).toMatchObject({
      instanceId: 'rmq-cn-1',
      topicName: 'Topic_A-1',
      messageType: 'NORMAL',
      remark: '测试 a+b',
    })
    await sdk.listInstances(new RocketMQ.ListInstancesRequest({ filter: remark, pageNumber: 1, pageSize: 10 }))
    expect(seen).toMatchObject({ filter: remark, pageNumber: 1, pageSize: 10 })
  })

  it('raises refusals with their code, status and request id', async () => {
    const refusal = new ApiError(404, 'Instance.NotFound', 'The instance cannot be found.', { field: 'instanceId' })
    const sdk = await client({ handlers: { GetInstance: () => Promise.reject(refusal) } })
    const error = await failure(sdk.getInstance('rmq-cn-x'))
    expect(error).toMatchObject({ name: 'ClientError', code: 'Instance.NotFound', statusCode: 404 })
    expect(error.requestId).toMatch(/^[0-9A-F-]{36}$/)
    expect(error.message).toContain('The instance cannot be found.')
  })

  it('sees a throttled call as such, with its wait', async () => {
    const sdk = await client({ handlers: { ListRegions: async () => regions }, limits: { readsPerSecond: 0.001 } })
    await sdk.listRegions()
    const error = await failure(sdk.listRegions())
    expect(error).toMatchObject({ name: 'ThrottlingError', code: 'Throttling.User' })
    expect(error.retryAfter).toBeGreaterThan(0)
  })

  it('hands over the details of a denial', async () => {
    const sdk = await client({ handlers: { ListRegions: async () => regions } }, { accessKeyId: USER_KEY_ID })
    const error = await failure(sdk.listRegions())
    expect(error).toMatchObject({ code: 'NoPermission', statusCode: 403 })
    expect(error.accessDeniedDetail).toMatchObject({
      AuthAction: 'rocketmq:ListRegions',
      NoPermissionType: 'ImplicitDeny',
    })
  })

  it('keeps its connections', async () => {
    const sdk = await client({ handlers: { ListRegions: async () => regions } })
    for (let i = 0; i < 30; i++) await sdk.listRegions()
  })
})
