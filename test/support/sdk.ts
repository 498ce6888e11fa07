/** Alibaba Cloud's official SDK (npm @alicloud/rocketmq20220801), unmodified, pointed at a test server. */
import { createRequire } from 'node:module'
import { pause } from '../../src/world/real.ts'
import type { Ready } from './server.ts'

const require = createRequire(import.meta.url)

export const sdk = require('@alicloud/rocketmq20220801')
const { $OpenApiUtil } = require('@alicloud/openapi-core')

export function sdkClient(ready: Pick<Ready, 'apiUrl' | 'accessKeyId' | 'accessKeySecret' | 'region'>): any {
  return new sdk.default(
    new $OpenApiUtil.Config({
      accessKeyId: ready.accessKeyId,
      accessKeySecret: ready.accessKeySecret,
      regionId: ready.region,
      endpoint: new URL(ready.apiUrl).host,
      protocol: 'http',
    }),
  )
}

/** A pay-as-you-go instance as a laptop would want it; `changes` go on top of the request's members. */
export function instanceRequest(changes: Readonly<Record<string, unknown>> = {}): any {
  return new sdk.CreateInstanceRequest({
    serviceCode: 'rmq',
    instanceName: 'test',
    seriesCode: 'professional',
    subSeriesCode: 'cluster_ha',
    paymentType: 'PayAsYouGo',
    productInfo: new sdk.CreateInstanceRequestProductInfo({
      msgProcessSpec: 'rmq.p2.40xlarge',
      messageRetentionTime: 72,
    }),
    networkInfo: new sdk.CreateInstanceRequestNetworkInfo({
      vpcInfo: new sdk.CreateInstanceRequestNetworkInfoVpcInfo({
        vpcId: 'vpc-test',
        vSwitches: [new sdk.CreateInstanceRequestNetworkInfoVpcInfoVSwitches({ vSwitchId: 'vsw-test' })],
      }),
      internetInfo: new sdk.CreateInstanceRequestNetworkInfoInternetInfo({
        internetSpec: 'disable',
        flowOutType: 'uninvolved',
      }),
    }),
    aclInfo: new sdk.CreateInstanceRequestAclInfo({ defaultVpcAuthFree: true }),
    ...changes,
  })
}

/** Asks until `done` says so; the loop is a moment behind the reply. */
export async function until<T>(
  ask: () => Promise<T>,
  done: (answer: T) => boolean,
  what: string,
  seconds = 60,
): Promise<T> {
  for (let tries = 0; tries < seconds * 50; tries++) {
    const answer = await ask()
    if (done(answer)) return answer
    await pause(20)
  }
  throw new Error(`Not so after ${seconds} seconds: ${what}.`)
}

/** A running instance with a topic and a group; answers its id and its first endpoint. */
export async function runningInstance(
  client: any,
  options: {
    topic?: string
    messageType?: string
    group?: string
    /** An orderly group, with a pause of a second before each retry. */
    orderly?: boolean
    changes?: Readonly<Record<string, unknown>>
    maxRetryTimes?: number
  } = {},
): Promise<{ instanceId: string; endpoint: string }> {
  const created = await client.createInstance(instanceRequest(options.changes))
  const instanceId = created.body.data as string
  const instance = await until(
    () => client.getInstance(instanceId),
    (answer: any) => answer.body.data.status === 'RUNNING',
    `instance ${instanceId} runs`,
  )
  if (options.topic !== undefined) {
    await client.createTopic(
      instanceId,
      options.topic,
      new sdk.CreateTopicRequest({ messageType: options.messageType ?? 'NORMAL' }),
    )
    await until(
      () => client.getTopic(instanceId, options.topic),
      (answer: any) => answer.body.data.status === 'RUNNING',
      `topic ${options.topic} runs`,
    )
  }
  if (options.group !== undefined) {
    await runningGroup(client, instanceId, options.group, options)
  }
  return { instanceId, endpoint: (instance as any).body.data.networkInfo.endpoints[0].endpointUrl }
}

/** A running consumer group, with the product's retries unless it is orderly. */
export async function runningGroup(
  client: any,
  instanceId: string,
  group: string,
  options: { orderly?: boolean; maxRetryTimes?: number } = {},
): Promise<void> {
  await client.createConsumerGroup(
    instanceId,
    group,
    new sdk.CreateConsumerGroupRequest({
      deliveryOrderType: options.orderly ? 'Orderly' : 'Concurrently',
      consumeRetryPolicy: new sdk.CreateConsumerGroupRequestConsumeRetryPolicy({
        ...(options.orderly
          ? { retryPolicy: 'FixedRetryPolicy', fixedIntervalRetryTime: 1 }
          : { retryPolicy: 'DefaultRetryPolicy' }),
        maxRetryTimes: options.maxRetryTimes ?? 16,
      }),
    }),
  )
  await until(
    () => client.getConsumerGroup(instanceId, group),
    (answer: any) => answer.body.data.status === 'RUNNING',
    `group ${group} runs`,
  )
}
