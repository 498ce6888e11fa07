/**
 * What the broker says and asks over telemetry streams, and what clients send as metrics, from a real embedded
 * instance (data-plane §1.12, §9.1). The clock is moved; questions end five seconds later on it.
 */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ParamsOf, QuestionName } from '../../src/engines/questions.ts'
import * as otlp from '../../src/grpc/gen/otlp.js'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import type { GroupSpec } from '../../src/model/instances.ts'
import { Bench } from './driver/bench.ts'
import type { DriverClient, Telemetry } from './driver/client.ts'
import { account, DrivenInstance } from './driver/instance.ts'
import { type Language, personalities } from './driver/personalities.ts'

const { FAILED_TO_CONSUME_MESSAGE, NOT_IMPLEMENTED, OK } = gen.Code
const languages = Object.keys(personalities) as Language[]

let instance: DrivenInstance
let bench: Bench
let topic: string
let group: string
const { instanceId } = { instanceId: 'rmq-cn-driver' }
beforeAll(async () => {
  instance = await DrivenInstance.start()
})
afterAll(async () => {
  await instance.close()
  expect(instance.reported).toEqual([])
})
beforeEach(async () => {
  bench = new Bench(instance, 'java', false)
  topic = await instance.topic()
  group = await instance.group()
})
afterEach(() => bench.close())

describe('settings', () => {
  it.each(languages)(
    'of a changed group reach a connected %s client at once, and only when they changed',
    async (as) => {
      const { telemetry } = await consumer(as)
      await ensureGroup({ maxRetryTimes: 16 })
      await ensureGroup({ maxRetryTimes: 3, generation: 2 })
      const { settings, status } = (await telemetry.hear())!
      expect([status!.code, settings!.backoffPolicy!.maxAttempts, settings!.subscription !== null]).toEqual([
        OK,
        4,
        true,
      ])
      // What was not answered in between would be heard before this.
      await ensureGroup({ maxRetryTimes: 5, generation: 3 })
      expect((await telemetry.hear())!.settings!.backoffPolicy!.maxAttempts).toBe(6)
    },
  )

  it.each<[Language, boolean, boolean]>([
    ['java', true, true],
    ['csharp', true, true],
    ['python', true, false],
    // They send none, whatever they are told.
    ['node', true, true],
    ['rust', true, true],
    // They speak OpenCensus.
    ['go', false, false],
    ['cpp', false, false],
  ])('tell a %s client to send metrics: %s, and with credentials: %s', async (as, free, guarded) => {
    for (const [port, on, credentials] of [
      [instance.port, free, null],
      [instance.guardedPort, guarded, account],
    ] as const) {
      const client = await bench.dial({ as, port, credentials })
      const { settings } = (await client.telemetry(client.producerSettings([topic])).hear())!
      expect(settings!.metric!.on).toBe(on)
      if (on) expect(settings!.metric!.endpoints!.addresses).toEqual([{ host: '127.0.0.1', port }])
    }
  })
})

const ask = <Name extends QuestionName>(question: Name, params: ParamsOf<Name>) =>
  instance.host.ask({ instanceId, question, params })

describe('a question to a client', () => {
  it('to verify a message is answered by its listener', async () => {
    const { client, telemetry } = await consumer('java')
    const verified = ask('verifyMessage', { clientId: client.clientId, message: message() })
    const { verifyMessageCommand } = (await telemetry.hear())!
    expect(verifyMessageCommand!.message).toMatchObject({
      topic: { name: topic },
      userProperties: { k: 'v' },
      systemProperties: { messageId: 'ID', tag: 'tag', bodyDigest: { type: gen.DigestType.MD5 } },
    })
    expect(Buffer.from(verifyMessageCommand!.message!.body).toString()).toBe('hello')
    const { nonce } = verifyMessageCommand!
    telemetry.say({ status: { code: OK, message: '' }, verifyMessageResult: { nonce } })
    expect(await verified).toEqual({ consumed: true, reason: null })
  })

  it('is answered truthfully when the listener fails', async () => {
    const { client, telemetry } = await consumer('java')
    const verified = ask('verifyMessage', { clientId: client.clientId, message: message() })
    const { nonce } = (await telemetry.hear())!.verifyMessageCommand!
    telemetry.say({ status: { code: FAILED_TO_CONSUME_MESSAGE, message: 'no' }, verifyMessageResult: { nonce } })
    expect(await verified).toEqual({ consumed: false, reason: 'no' })
  })

  it('is refused with its language when it does not implement it, also in the field that the Node.js client uses', async () => {
    const { client, telemetry } = await consumer('node')
    const verified = ask('verifyMessage', { clientId: client.clientId, message: message() })
    const refused = expect(verified).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/Node\.js client .*verify a message.*does not implement/),
    })
    const { nonce } = (await telemetry.hear())!.verifyMessageCommand!
    telemetry.say({ status: { code: NOT_IMPLEMENTED, message: '' }, verifyMessageCommand: { nonce } })
    await refused
  })

  it('for its threads gives what it says, to that client alone', async () => {
    const [one, other] = [await consumer('go'), await consumer('java')]
    const shown = ask('stackTrace', { clientId: one.client.clientId })
    const { nonce } = (await one.telemetry.hear())!.printThreadStackTraceCommand!
    other.telemetry.say({ status: { code: OK, message: '' }, threadStackTrace: { nonce, threadStackTrace: 'forged' } })
    await other.client.heartbeat(group, gen.ClientType.PUSH_CONSUMER)
    one.telemetry.say({
      status: { code: OK, message: '' },
      threadStackTrace: { nonce, threadStackTrace: 'goroutine 1' },
    })
    expect(await shown).toBe('goroutine 1')
  })

  it('nobody answers is refused after five seconds, with the language', async () => {
    const { client } = await consumer('python')
    const shown = ask('stackTrace', { clientId: client.clientId })
    const refused = expect(shown).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/within 5 s.*Python clients do not answer/),
    })
    const { tookMs } = await instance.elapse(
      shown.catch(() => {}),
      500,
    )
    expect(tookMs).toBeGreaterThanOrEqual(5_000)
    await refused
  })

  it('that is not connected is refused', async () => {
    for (const asked of [
      ask('stackTrace', { clientId: 'nobody' }),
      ask('verifyMessage', { clientId: 'nobody', message: message() }),
      ask('reconnectClient', { clientId: 'nobody' }),
    ])
      await expect(asked).rejects.toMatchObject({
        code: 'unsupported',
        message: /"nobody" has no open telemetry stream/,
      })
  })

  it('to dial again is sent', async () => {
    const { client, telemetry } = await consumer('java')
    await ask('reconnectClient', { clientId: client.clientId })
    expect((await telemetry.hear())!.reconnectEndpointsCommand).not.toBeNull()
  })
})

it('connections say who is there', async () => {
  const { client } = await consumer('csharp')
  expect(await ask('connections', { group })).toEqual([
    {
      clientId: client.clientId,
      language: 'C#',
      version: personalities.csharp.version,
      group,
      topics: [topic],
      address: '127.0.0.1',
      listening: true,
    },
  ])
  expect(await ask('connections', { group: 'nobody' })).toEqual([])
})

describe('metrics', () => {
  it('are kept as the latest value of each series, until the client goes', async () => {
    const { client } = await consumer('java')
    for (const count of [1, 7]) expect(await measure(client, sending(count))).toEqual({ status: 0, partial: null })
    const mine = async () => (await ask('clientMetrics', {})).filter(({ clientId }) => clientId === client.clientId)
    expect(await mine()).toEqual([
      {
        clientId: client.clientId,
        name: 'rocketmq_send_cost_time',
        unit: 'ms',
        labels: { topic: 'topic', client_id: 'label', invocation_status: 'success' },
        at: instance.clock.now(),
        value: { kind: 'histogram', count: 7, sum: 7.5, bounds: [1, 5], counts: [7, 0, 0] },
      },
      {
        clientId: client.clientId,
        name: 'rocketmq_consumer_cached_messages',
        unit: '',
        labels: {},
        at: instance.clock.now(),
        value: { kind: 'gauge', value: 3 },
      },
    ])
    await client.ask('notifyClientTermination', { group: client.resource(group) })
    expect(await mine()).toEqual([])
  })

  it('that cannot be kept are counted, the others are kept', async () => {
    const { client } = await consumer('java')
    const [good] = sending(1)
    const point = (more: otlp.NumberDataPointInit) => ({ name: 'gauge', gauge: { dataPoints: [more] } })
    const label = (key: string) => ({ key, value: { stringValue: 'x' } })
    const answer = await measure(client, [
      good!,
      point({ asDouble: Number.NaN }),
      point({ asDouble: 1, attributes: Array.from({ length: 17 }, (_, i) => label(`l${i}`)) }),
      point({ asDouble: 1, attributes: [label('x'.repeat(300))] }),
      { name: 'summary', summary: { dataPoints: [{}, {}] } },
    ])
    expect(answer).toEqual({ status: 0, partial: [5, expect.stringMatching(/finite/)] })
    const many = Array.from({ length: 1_100 }, (_, i) => point({ asDouble: 1, attributes: [label(`l${i}`)] }))
    expect((await measure(client, many)).partial).toEqual([101, expect.stringMatching(/1000 series/)])
  })

  it('need the credentials that the address needs, and a client that said who it is', async () => {
    const guarded = { port: instance.guardedPort }
    expect((await measure(await bench.dial(guarded), sending(1))).status).toBe(16)
    expect((await measure(await bench.dial({ ...guarded, credentials: account }), sending(1))).partial).toEqual([
      2,
      expect.stringMatching(/has not said what it is/),
    ])
    await instance.change({ serving: false })
    expect((await measure(await bench.dial(), sending(1))).status).toBe(14)
    await instance.change({ serving: true })
    expect((await measure(await bench.dial({ headers: { 'x-mq-client-id': ' ' } }), [])).status).toBe(3)
  })

  it('without a client id in the headers, as Python sends them, are of the client their labels name', async () => {
    const { client } = await consumer('python')
    const bare = await bench.dial({ as: 'python', headers: { 'x-mq-client-id': ' ' } })
    expect(await measure(bare, sending(2, client.clientId))).toEqual({ status: 0, partial: null })
    const names = (await ask('clientMetrics', {})).map(({ clientId }) => clientId)
    expect(names).toContain(client.clientId)
  })
})

async function consumer(as: Language): Promise<{ client: DriverClient; telemetry: Telemetry }> {
  const client = await bench.dial({ as })
  const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
  expect((await telemetry.hear())!.settings).not.toBeNull()
  return { client, telemetry }
}

async function ensureGroup(more: Partial<GroupSpec>): Promise<void> {
  const spec: GroupSpec = {
    consumerGroupId: group,
    generation: 1,
    orderly: false,
    maxRetryTimes: 16,
    retry: { kind: 'default' },
    deadLetterTopic: null,
    maxReceiveTps: null,
    ...more,
  }
  await instance.host.ensureGroups({ instanceId, groups: [spec] })
}

const message = () => ({
  topicName: topic,
  messageId: 'ID',
  tag: 'tag',
  keys: ['key'],
  userProperties: { k: 'v' },
  body: Buffer.from('hello').toString('base64'),
  bornTimeMs: 1,
})

function sending(count: number, clientId = 'label'): otlp.MetricInit[] {
  const labels = { topic: 'topic', client_id: clientId, invocation_status: 'success' }
  const attributes = Object.entries(labels).map(([key, stringValue]) => ({ key, value: { stringValue } }))
  return [
    {
      name: 'rocketmq_send_cost_time',
      unit: 'ms',
      histogram: {
        aggregationTemporality: 2,
        dataPoints: [{ attributes, count, sum: count + 0.5, explicitBounds: [1, 5], bucketCounts: [count, 0, 0] }],
      },
    },
    { name: 'rocketmq_consumer_cached_messages', gauge: { dataPoints: [{ asDouble: 3 }] } },
  ]
}

async function measure(
  client: DriverClient,
  metrics: readonly otlp.MetricInit[],
): Promise<{ status: number; partial: [number, string] | null }> {
  const { path, request, response } = otlp.MetricsService.methods.export
  const call = client.line.call(path, client.headers('Export', 3000))
  call.send(request.encode({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }).finish())
  call.end()
  const bytes = await call.next()
  const { grpcStatus } = await call.ended
  const partial = bytes === null ? null : response.decode(bytes).partialSuccess
  return {
    status: grpcStatus!,
    partial: partial === null ? null : [partial.rejectedDataPoints, partial.errorMessage],
  }
}
