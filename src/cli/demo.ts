/**
 * `gantry demo`: creates an instance, sends and receives messages, and shows each step. The management calls go
 * through Alibaba Cloud's
 * official SDK and the messages through Apache's official client, both unmodified.
 */

import { createRequire } from 'node:module'
import type { Settings } from '../config.ts'
import type { InstanceId } from '../model/ids.ts'
import { pause, realClock } from '../world/real.ts'
import { findTarget, isTargetKnown, refusalText, type Target } from './client.ts'
import { type Connection, connectionTo, started as startedClient, stopped } from './connect.ts'
import { kinds, showKinds } from './demo-kinds.ts'
import { CommandError, exitCodes, LateError, UnreachableError, UsageError } from './errors.ts'
import { instanceRequest } from './instances.ts'
import { out, say, shownMs, step, tellSteps } from './output.ts'
import { bold, dim, shown } from './safe-text.ts'
import { startThrowawayServer } from './throwaway.ts'
import { untilGone, untilRunning } from './waiting.ts'

const topicName = 'demo-events'
const consumerGroupId = 'demo-readers'
const places = [{ topicName, messageType: 'NORMAL', consumerGroupId, orderly: false }, ...Object.values(kinds)]
const topicNames = places.map((place) => place.topicName)
const groupIds = places.map((place) => place.consumerGroupId)
const receiveLimitMs = 30_000
/** A demo within the smallest specification's limits. */
const mostMessages = 1000

export interface DemoOptions {
  readonly messages: string
  readonly keep: boolean
  /** Start a server for the demo when none runs. */
  readonly start: boolean
}

export async function demo(settings: Settings, options: DemoOptions): Promise<void> {
  const count = Number(options.messages)
  if (!Number.isInteger(count) || count < 1 || count > mostMessages) {
    throw new UsageError(`--messages takes a whole number from 1 to ${mostMessages}.`)
  }
  tellSteps()
  if (!options.start || isTargetKnown(settings)) {
    await demoOn(findTarget(settings), count, options.keep)
    return
  }
  if (options.keep) throw new UsageError('--keep needs a running server; --start takes its server away again.')
  const server = await step(
    'start a server for the demo, in a temporary home',
    startThrowawayServer,
    ({ apiUrl }) => apiUrl,
  )
  try {
    await demoOn(findTarget({ ...settings, home: server.home, accessKeyId: null, accessKeySecret: null }), count, false)
  } finally {
    await step('stop the server', () => server.stop())
  }
}

async function demoOn(target: Target, count: number, keep: boolean): Promise<void> {
  try {
    await show(target, count, keep)
  } catch (error) {
    throw sdkError(target, error)
  }
}

/** What the SDK throws, as a sentence. */
export function sdkError(target: Pick<Target, 'apiUrl'>, error: unknown): unknown {
  if (error instanceof CommandError) return error
  const { statusCode, data, syscall } = error as {
    statusCode?: number
    data?: Record<string, unknown>
    syscall?: string
  }
  if (typeof statusCode === 'number' && typeof data === 'object')
    return new CommandError(refusalText('A step', statusCode, data))
  if (syscall === 'connect')
    return new UnreachableError(`Nobody listens on ${target.apiUrl}. Start the server with "gantry up".`)
  return error
}

async function show(target: Target, count: number, keep: boolean): Promise<void> {
  const started = realClock.monotonic()
  say(`${bold('Gantry demo')} against ${shown(target.apiUrl)}`)

  const { sdk, client } = await step('load the official SDK and client', async () => loadSdk(target))
  const creating = client.createInstance(new sdk.CreateInstanceRequest(demoInstance(sdk)))
  const made = cleanUpOnSignal(target, client, creating, keep)
  const instanceId = await step(
    'CreateInstance (@alicloud/rocketmq20220801)',
    async () => (await creating).body.data as string,
    (id) => id,
  )
  try {
    await step(
      'waiting until the instance runs',
      () => untilRunning(target, instanceId),
      (found) => found.status,
    )
    const connection = await step(
      'GetInstanceAccount',
      () => connectionTo(target, instanceId),
      ({ options }) => `clients connect as ${options.sessionCredentials?.accessKey ?? 'anybody'}`,
    )
    await step(`CreateTopic ${topicNames.join(', ')}`, () =>
      Promise.all(
        places.map(({ topicName, messageType }) =>
          client.createTopic(instanceId, topicName, new sdk.CreateTopicRequest({ messageType })),
        ),
      ),
    )
    await step(`CreateConsumerGroup ${groupIds.join(', ')}`, () =>
      Promise.all(
        places.map((place) => client.createConsumerGroup(instanceId, place.consumerGroupId, groupOf(sdk, place))),
      ),
    )
    await step('waiting for the topics and the groups', () => untilChildrenRun(client, instanceId))
    await exchange(connection, count)
    await showKinds(connection)
  } finally {
    made.leave()
    if (keep) say(dim(`Kept: gantry get instance ${shown(instanceId)}`))
    else await removeInstance(target, client, instanceId)
  }
  out(
    `${count} messages sent and received through a new instance in ${shownMs(Math.round(realClock.monotonic() - started))}.`,
  )
}

async function removeInstance(target: Target, client: any, instanceId: InstanceId): Promise<void> {
  try {
    await step('DeleteInstance', () => client.deleteInstance(instanceId))
    await step('waiting until it is gone', () => untilGone(target, instanceId))
  } catch (error) {
    say(`The demo's instance may still be there: gantry delete instance ${shown(instanceId)}`)
    throw error
  }
}

/** An interrupted demo takes its instance away, also one whose creation was under way, and exits as shells expect. */
function cleanUpOnSignal(target: Target, client: any, creating: Promise<any>, keep: boolean): { leave(): void } {
  const signals = { SIGINT: exitCodes.interrupted, SIGTERM: exitCodes.terminated } as const
  let interrupted = false
  const interrupt = async (signal: keyof typeof signals): Promise<void> => {
    // One Ctrl-C may arrive twice, from the terminal and from the parent process. Clean-up is bounded, so the second
    // signal is ignored.
    if (interrupted) return
    interrupted = true
    say('\nInterrupted.')
    const instanceId: InstanceId | null = await creating.then(
      (answer) => answer.body.data,
      () => null,
    )
    if (instanceId !== null && keep) say(`Kept: gantry get instance ${shown(instanceId)}`)
    // The failure was already printed.
    else if (instanceId !== null) await removeInstance(target, client, instanceId).catch(() => {})
    process.exit(signals[signal])
  }
  const listeners = (Object.keys(signals) as (keyof typeof signals)[]).map((signal) => {
    const listener = (): void => void interrupt(signal)
    process.on(signal, listener)
    return { signal, listener }
  })
  return {
    leave() {
      if (!interrupted) for (const { signal, listener } of listeners) process.off(signal, listener)
    },
  }
}

async function exchange(connection: Connection, count: number): Promise<void> {
  const { Producer, SimpleConsumer } = createRequire(import.meta.url)('rocketmq-client-nodejs')
  const common = connection.options
  const producer = new Producer({ ...common, topics: [topicName] })
  const consumer = new SimpleConsumer({
    ...common,
    consumerGroup: consumerGroupId,
    subscriptions: new Map([[topicName, '*']]),
    awaitDuration: 5000,
  })
  await step(`connect rocketmq-client-nodejs to ${common.endpoints}`, () =>
    Promise.all([producer, consumer].map((client) => startedClient(client, connection))),
  )
  try {
    const sent = await step(
      `send ${count} messages`,
      async () => {
        const ids = new Set<string>()
        for (let index = 0; index < count; index++) {
          const receipt = await producer.send({
            topic: topicName,
            tag: 'demo',
            keys: [`key-${index}`],
            body: Buffer.from(`message ${index}`),
          })
          ids.add(receipt.messageId)
        }
        return ids
      },
      (ids) => `${ids.size} acknowledged`,
    )
    await step(
      'receive and acknowledge them',
      () => receiveAll(consumer, sent),
      (received) => `${received} received, each once`,
    )
  } finally {
    await stopped(producer, consumer)
  }
}

async function receiveAll(consumer: any, sent: ReadonlySet<string>): Promise<number> {
  const end = realClock.monotonic() + receiveLimitMs
  const received = new Set<string>()
  while (received.size < sent.size) {
    if (realClock.monotonic() > end)
      throw new LateError(`Only ${received.size} of ${sent.size} messages arrived within ${receiveLimitMs / 1000} s.`)
    for (const message of await consumer.receive(32, 15_000)) {
      if (!sent.has(message.messageId))
        throw new CommandError(`A message arrived that was not sent: ${shown(message.messageId)}.`)
      if (received.has(message.messageId))
        throw new CommandError(`A message arrived twice: ${shown(message.messageId)}.`)
      received.add(message.messageId)
      await consumer.ack(message)
    }
  }
  return received.size
}

async function untilChildrenRun(client: any, instanceId: InstanceId): Promise<void> {
  const end = realClock.monotonic() + receiveLimitMs
  for (;;) {
    const found = await Promise.all([
      ...topicNames.map((name) => client.getTopic(instanceId, name)),
      ...groupIds.map((id) => client.getConsumerGroup(instanceId, id)),
    ])
    if (found.every(({ body }) => body.data.status === 'RUNNING')) return
    if (realClock.monotonic() > end)
      throw new LateError('The topics and the groups are still being made; "gantry doctor" may say why.')
    await pause(15)
  }
}

/** The vendor's pairs: orderly groups retry after a fixed pause, the others by the default table. */
function groupOf(sdk: any, { orderly }: (typeof places)[number]): unknown {
  return new sdk.CreateConsumerGroupRequest({
    deliveryOrderType: orderly ? 'Orderly' : 'Concurrently',
    consumeRetryPolicy: new sdk.CreateConsumerGroupRequestConsumeRetryPolicy({
      maxRetryTimes: 16,
      ...(orderly
        ? { retryPolicy: 'FixedRetryPolicy', fixedIntervalRetryTime: 3 }
        : { retryPolicy: 'DefaultRetryPolicy' }),
    }),
  })
}

function demoInstance(sdk: any): Record<string, unknown> {
  const request = instanceRequest('gantry-demo', { series: 'standard', subSeries: 'cluster_ha' }) as any
  return {
    ...request,
    productInfo: new sdk.CreateInstanceRequestProductInfo(request.productInfo),
    networkInfo: new sdk.CreateInstanceRequestNetworkInfo({
      vpcInfo: new sdk.CreateInstanceRequestNetworkInfoVpcInfo({
        vpcId: request.networkInfo.vpcInfo.vpcId,
        vSwitches: request.networkInfo.vpcInfo.vSwitches.map(
          (vSwitch: object) => new sdk.CreateInstanceRequestNetworkInfoVpcInfoVSwitches(vSwitch),
        ),
      }),
      internetInfo: new sdk.CreateInstanceRequestNetworkInfoInternetInfo(request.networkInfo.internetInfo),
    }),
  }
}

function loadSdk(target: Target): { sdk: any; client: any } {
  const require = createRequire(import.meta.url)
  const sdk = require('@alicloud/rocketmq20220801')
  const { $OpenApiUtil } = require('@alicloud/openapi-core')
  const url = new URL(target.apiUrl)
  const client = new sdk.default(
    new $OpenApiUtil.Config({
      accessKeyId: target.accessKeyId,
      accessKeySecret: target.accessKeySecret,
      regionId: target.region,
      endpoint: url.host,
      protocol: url.protocol.replace(':', ''),
    }),
  )
  return { sdk, client }
}
