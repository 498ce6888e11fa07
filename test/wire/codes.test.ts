/**
 * Every status code of RocketMQ 5 in the situation that names it, from a real embedded instance, with a message that
 * names the rule: it is what a user sees in the exception (data-plane §8). Codes without a row say why there is none.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { Bench } from './driver/bench.ts'
import type { DriverClient } from './driver/client.ts'
import { duration, messageId } from './driver/client.ts'
import { DrivenInstance } from './driver/instance.ts'

type CodeName = Exclude<keyof typeof gen.Code, number>
type Status = { readonly code: number; readonly message: string }

interface Row {
  readonly code: CodeName
  readonly when: string
  /** What the message must name. */
  readonly says: RegExp
  provoke(at: Scene): Promise<Status | null>
}

interface Scene {
  readonly client: DriverClient
  readonly bench: Bench
  readonly topic: string
  readonly group: string
}

let instance: DrivenInstance
let scene: Scene
beforeAll(async () => {
  instance = await DrivenInstance.start()
})
afterAll(() => instance.close())
beforeEach(async () => {
  const bench = new Bench(instance, 'java', false)
  scene = { bench, client: await bench.dial(), topic: await instance.topic(), group: await instance.group() }
})
afterEach(() => scene.bench.close())

const sending =
  (system: gen.SystemPropertiesInit, more: gen.MessageInit = {}) =>
  async ({ client, topic }: Scene): Promise<Status | null> =>
    (await client.send({ ...client.message(topic, 'body', system), ...more })).status
const polling =
  (more: gen.ReceiveMessageRequestInit & { deadlineMs?: number }, headers = {}) =>
  async ({ bench, topic, group }: Scene): Promise<Status | null> =>
    (await (await bench.dial({ headers })).poll('simple', topic, group, more)).status
const telling =
  (settings: (scene: Scene) => gen.SettingsInit) =>
  async (at: Scene): Promise<Status | null> => {
    // 1.12: settings that cannot be accepted end the stream with INVALID_ARGUMENT; a command says why before it.
    const telemetry = at.client.telemetry(settings(at))
    const heard = await telemetry.hear()
    expect((await telemetry.call.ended).grpcStatus).toBe(3)
    return heard!.status
  }

async function subscribing(
  { client }: Scene,
  liteTopicSet: readonly string[],
  more: Parameters<DrivenInstance['group']>[0] = {},
): Promise<Status | null> {
  const topicName = await instance.topic('LITE')
  const group = await instance.group({ lite: { topicName, exclusive: false }, ...more })
  const where = { topic: client.resource(topicName), group: client.resource(group) }
  const action = gen.LiteSubscriptionAction.PARTIAL_ADD
  return (await client.ask('syncLiteSubscription', { ...where, action, liteTopicSet })).status
}

const rows: readonly Row[] = [
  { code: 'OK', when: 'a message is sent', says: /OK/, provoke: sending({}) },
  {
    code: 'MULTIPLE_RESULTS',
    when: 'one of two acknowledged deliveries is live',
    says: /MULTIPLE_RESULTS/,
    async provoke({ client, topic, group }) {
      await client.send(client.message(topic, 'a'))
      const [message] = (await client.poll('simple', topic, group)).messages
      const { messageId: id, receiptHandle } = message!.systemProperties!
      const entries = [
        { messageId: id, receiptHandle },
        { messageId: id, receiptHandle: 'no such handle' },
      ]
      const resources = { group: client.resource(group), topic: client.resource(topic) }
      const reply = await client.ask('ackMessage', { ...resources, entries })
      expect(reply.entries.map((entry: any) => entry.status.code)).toEqual([20000, 40013])
      return reply.status
    },
  },
  {
    code: 'BAD_REQUEST',
    when: 'the client id has more than 255 characters',
    says: /client id.*255/,
    async provoke({ bench }) {
      const client = await bench.dial({ headers: { 'x-mq-client-id': 'c'.repeat(256) } })
      return (await client.heartbeat(null, 1)).status
    },
  },
  {
    code: 'BAD_REQUEST',
    when: 'an acknowledgement names nothing',
    says: /acknowledges nothing/,
    async provoke({ client, topic, group }) {
      const resources = { group: client.resource(group), topic: client.resource(topic) }
      return (await client.ask('ackMessage', { ...resources, entries: [] })).status
    },
  },
  {
    code: 'BAD_REQUEST',
    when: 'a client before 5.0.3 leaves no time to poll',
    says: /5000 ms/,
    provoke: polling({ deadlineMs: 4000 }, { 'x-mq-client-version': '5.0.2' }),
  },
  {
    code: 'ILLEGAL_TOPIC',
    when: 'the topic name has a blank',
    says: /a b.*letters, digits/,
    provoke: async ({ client }) => (await client.queryRoute('a b')).status,
  },
  {
    code: 'ILLEGAL_TOPIC',
    when: 'the topic is one of the system',
    says: /rmq_sys_x.*system topic/,
    provoke: async ({ client }) => (await client.queryRoute('rmq_sys_x')).status,
  },
  {
    code: 'ILLEGAL_CONSUMER_GROUP',
    when: 'the group name is empty',
    says: /group name is empty/,
    provoke: async ({ client, topic }) => (await client.queryAssignment(topic, '')).status,
  },
  {
    code: 'ILLEGAL_CONSUMER_GROUP',
    when: 'the group is one of the system',
    says: /CID_RMQ_SYS_x.*system consumer group/,
    provoke: async ({ client }) => (await client.heartbeat('CID_RMQ_SYS_x', 2)).status,
  },
  { code: 'ILLEGAL_MESSAGE_TAG', when: 'the tag has a bar', says: /tag.*\|/, provoke: sending({ tag: 'a|b' }) },
  {
    code: 'ILLEGAL_MESSAGE_KEY',
    when: 'a key is blank',
    says: /key must not be blank/,
    provoke: sending({ keys: [' '] }),
  },
  {
    code: 'ILLEGAL_MESSAGE_GROUP',
    when: 'the message group has 64 bytes',
    says: /message group.*64 bytes/,
    provoke: sending({ messageGroup: 'g'.repeat(64) }),
  },
  {
    code: 'ILLEGAL_MESSAGE_PROPERTY_KEY',
    when: 'a property is reserved',
    says: /UNIQ_KEY.*reserved/,
    provoke: sending({}, { userProperties: { UNIQ_KEY: 'x' } }),
  },
  { code: 'ILLEGAL_MESSAGE_ID', when: 'the message id is blank', says: /no id/, provoke: sending({ messageId: ' ' }) },
  {
    code: 'ILLEGAL_FILTER_EXPRESSION',
    when: 'a tag expression names no tag',
    says: /names no tag/,
    provoke: polling({ filterExpression: { type: 1, expression: '|| ||' } }),
  },
  {
    code: 'ILLEGAL_INVISIBLE_TIME',
    when: 'a poll asks for less than 10 s',
    says: /the invisibleTime is too small.*10000 ms/,
    provoke: polling({ invisibleDuration: duration(9999) }),
  },
  {
    code: 'ILLEGAL_INVISIBLE_TIME',
    when: 'a poll asks for more than 12 h',
    says: /the invisibleTime is too large.*43200000 ms/,
    provoke: polling({ invisibleDuration: duration(43_200_001) }),
  },
  {
    code: 'ILLEGAL_INVISIBLE_TIME',
    when: 'an invisible duration is changed to more than 12 h',
    says: /43200000 ms/,
    async provoke({ client, topic, group }) {
      await client.send(client.message(topic, 'a'))
      const [message] = (await client.poll('simple', topic, group)).messages
      return (await client.changeInvisible(topic, group, message!, 43_200_001)).status
    },
  },
  {
    code: 'ILLEGAL_DELIVERY_TIME',
    when: 'a timed message lies beyond what the edition allows',
    says: /40 days/,
    async provoke({ client }) {
      const seconds = Math.floor(instance.clock.now() / 1000) + 40 * 86_400 + 60
      const deliveryTimestamp = { seconds, nanos: 0 }
      return (await client.send(client.message(await instance.topic('DELAY'), 'late', { deliveryTimestamp }))).status
    },
  },
  {
    code: 'INVALID_RECEIPT_HANDLE',
    when: 'the handle is nonsense',
    says: /INVALID_RECEIPT_HANDLE/,
    async provoke({ client, topic, group }) {
      const resources = { group: client.resource(group), topic: client.resource(topic) }
      const entries = [{ messageId: messageId(), receiptHandle: 'nonsense' }]
      return (await client.ask('ackMessage', { ...resources, entries })).status
    },
  },
  {
    code: 'INVALID_RECEIPT_HANDLE',
    when: 'an expired delivery is given back',
    says: /INVALID_RECEIPT_HANDLE/,
    async provoke({ client, topic, group }) {
      await client.send(client.message(topic, 'a'))
      const [message] = (await client.poll('simple', topic, group)).messages
      await instance.clock.advance(20_000)
      return (await client.changeInvisible(topic, group, message!, 1000)).status
    },
  },
  {
    code: 'MESSAGE_PROPERTY_CONFLICT_WITH_TYPE',
    when: 'an ordered message goes to a NORMAL topic',
    says: /FIFO message.*NORMAL messages only/,
    provoke: sending({ messageGroup: 'g' }),
  },
  {
    code: 'MESSAGE_CORRUPTED',
    when: 'a send holds no message',
    says: /no message/,
    provoke: async ({ client }) => (await client.send()).status,
  },
  {
    code: 'MESSAGE_CORRUPTED',
    when: 'a send names two topics',
    says: /one topic.*another/,
    provoke: async ({ client, topic }) =>
      (await client.send(client.message(topic, 'a'), client.message('another', 'b'))).status,
  },
  {
    code: 'CLIENT_ID_REQUIRED',
    when: 'the header is missing',
    says: /x-mq-client-id/,
    provoke: async ({ bench, topic }) =>
      (await (await bench.dial({ headers: { 'x-mq-client-id': undefined } })).queryRoute(topic)).status,
  },
  {
    code: 'ILLEGAL_POLLING_TIME',
    when: 'the deadline leaves no time to poll',
    says: /at least 5000 ms.*deadline/,
    provoke: polling({ deadlineMs: 4000 }),
  },
  {
    code: 'BAD_REQUEST',
    when: 'the access point of the settings has more addresses than a name resolves to',
    says: /65 addresses/,
    provoke: telling(({ client, topic }) => ({
      ...client.producerSettings([topic]),
      accessPoint: { addresses: Array.from({ length: 65 }, () => ({ host: '127.0.0.1', port: 1 })) },
    })),
  },
  {
    code: 'BAD_REQUEST',
    when: 'the back-off policy of the settings has more pauses than any group',
    says: /1025 pauses/,
    provoke: telling(({ client, topic }) => ({
      ...client.producerSettings([topic]),
      backoffPolicy: { customizedBackoff: { next: Array.from({ length: 1025 }, () => ({ seconds: 1 })) } },
    })),
  },
  {
    code: 'INVALID_CLIENT_PROPERTIES',
    when: 'a client property uses the reserved prefix',
    says: /rocketmq\.x.*reserved prefix/,
    provoke: telling(({ client, topic }) => ({
      ...client.producerSettings([topic]),
      clientProperties: { 'rocketmq.x': '1' },
    })),
  },
  {
    code: 'UNAUTHORIZED',
    when: 'the address needs credentials',
    says: /GetInstanceAccount/,
    provoke: async ({ bench, topic }) =>
      (await (await bench.dial({ port: instance.guardedPort })).queryRoute(topic)).status,
  },
  {
    code: 'PAYMENT_REQUIRED',
    when: 'the instance is stopped',
    says: /expired.*renew/,
    async provoke({ client, topic }) {
      await instance.change({ serving: false })
      try {
        return (await client.queryRoute(topic)).status
      } finally {
        await instance.change({ serving: true })
      }
    },
  },
  {
    code: 'NOT_FOUND',
    when: 'the namespace in the headers is another instance, whose address this was',
    says: /rmq-cn-0123456789a, but this is an address of instance rmq-cn-driver/,
    provoke: polling({}, { 'x-mq-namespace': 'rmq-cn-0123456789a' }),
  },
  {
    code: 'NOT_FOUND',
    when: 'a route is asked for a topic of another instance',
    says: /rmq-cn-0123456789a, but this is an address of instance rmq-cn-driver/,
    provoke: async ({ client, topic }) =>
      (
        await client.ask('queryRoute', {
          topic: { name: topic, resourceNamespace: 'rmq-cn-0123456789a' },
          endpoints: client.endpoints,
        })
      ).status,
  },
  {
    code: 'NOT_FOUND',
    when: 'a message is recalled that was delivered',
    says: /time has come/,
    async provoke({ bench, client, group }) {
      const topic = await instance.topic('DELAY')
      const seconds = Math.floor(instance.clock.now() / 1000) + 60
      const sent = await client.send(client.message(topic, 'due', { deliveryTimestamp: { seconds, nanos: 0 } }))
      await instance.clock.advance(61_000)
      await bench.wait(() => client.poll('simple', topic, group))
      const recallHandle = sent.entries[0]!.recallHandle
      return (await client.ask('recallMessage', { topic: client.resource(topic), recallHandle })).status
    },
  },
  {
    code: 'MESSAGE_NOT_FOUND',
    when: 'a poll finds nothing',
    says: /no new message/,
    provoke: async ({ bench, client, topic, group }) =>
      (await bench.wait(() => client.poll('simple', topic, group))).polled.status,
  },
  {
    code: 'TOPIC_NOT_FOUND',
    when: 'a route is asked for an unknown topic',
    says: /nowhere.*does not exist/,
    provoke: async ({ client }) => (await client.queryRoute('nowhere')).status,
  },
  {
    code: 'TOPIC_NOT_FOUND',
    when: 'a message goes to an unknown topic',
    says: /nowhere.*does not exist/,
    provoke: async ({ client }) => (await client.send(client.message('nowhere', 'a'))).status,
  },
  {
    code: 'TOPIC_NOT_FOUND',
    when: 'a poll names an unknown topic',
    says: /nowhere.*does not exist/,
    provoke: async ({ client, group }) => (await client.poll('simple', 'nowhere', group)).status,
  },
  {
    code: 'MESSAGE_BODY_TOO_LARGE',
    when: 'the body has a byte more than 4 MiB',
    says: /4194305 bytes.*4194304/,
    provoke: sending({}, { body: Buffer.alloc(4_194_305) }),
  },
  {
    code: 'MESSAGE_BODY_EMPTY',
    when: 'the body is empty',
    says: /empty/,
    provoke: sending({}, { body: Buffer.alloc(0) }),
  },
  {
    code: 'TOO_MANY_REQUESTS',
    when: 'the topic takes no more this second',
    says: /maxSendTps|topic.*1.*second/i,
    async provoke({ client }) {
      const topic = await instance.topic('NORMAL', { maxSendTps: 1 })
      await client.send(client.message(topic, 'first'))
      return (await client.send(client.message(topic, 'second'))).status
    },
  },
  {
    code: 'TOO_MANY_REQUESTS',
    when: 'the instance takes no more this second',
    says: /instance.*second/i,
    async provoke({ client, topic }) {
      await instance.change({ sendTps: 1 })
      try {
        await client.send(client.message(topic, 'first'))
        return (await client.send(client.message(topic, 'second'))).status
      } finally {
        await instance.change({ sendTps: 1_000_000 })
      }
    },
  },
  {
    code: 'TOO_MANY_REQUESTS',
    when: '1,024 polls of the group wait on the topic already',
    says: /poll/i,
    async provoke({ bench, client, topic, group }) {
      const before = instance.clock.pending
      const second = await bench.dial()
      const waiting = Array.from({ length: 1024 }, (_, index) =>
        (index % 2 === 0 ? client : second).poll('simple', topic, group),
      )
      await instance.untilWaiting(before + 1023)
      const { status } = await client.poll('simple', topic, group)
      await instance.elapse(Promise.all(waiting), 1000)
      return status
    },
  },
  ...(
    [
      ['a transaction id is blank', ' ', /transaction id is blank/],
      ['a transaction id was never given', 'abc', /never given by this instance/],
    ] as const
  ).map(
    ([when, transactionId, says]): Row => ({
      code: 'INVALID_TRANSACTION_ID',
      when,
      says,
      provoke: async ({ client, topic }) =>
        (await client.ask('endTransaction', { topic: client.resource(topic), transactionId, resolution: 1 })).status,
    }),
  ),
  {
    code: 'BAD_REQUEST',
    when: 'a transaction is to be checked after more than an hour',
    says: /3601000 ms.*3600000 ms/,
    provoke: sending({ orphanedTransactionRecoveryDuration: { seconds: 3601 } }),
  },
  {
    code: 'ILLEGAL_FILTER_EXPRESSION',
    when: 'an SQL92 expression goes wrong',
    says: /SQL92.*"LIKE".*character 3/,
    provoke: polling({ filterExpression: { type: gen.FilterType.SQL, expression: "a LIKE 'b'" } }),
  },
  {
    code: 'ILLEGAL_OFFSET',
    when: 'a group is set beyond the end of a queue',
    says: /offset 1 is out of range.*0 to 0/,
    async provoke({ client, topic, group }) {
      const messageQueue = { topic: client.resource(topic), id: 0 }
      return (await client.ask('updateOffset', { group: client.resource(group), messageQueue, offset: 1 })).status
    },
  },
  {
    code: 'OFFSET_NOT_FOUND',
    when: 'a group that never read a topic is asked for its offset',
    says: /has not read topic/,
    async provoke({ client, topic, group }) {
      const messageQueue = { topic: client.resource(topic), id: 0 }
      return (await client.ask('getOffset', { group: client.resource(group), messageQueue })).status
    },
  },
  {
    code: 'ILLEGAL_LITE_TOPIC',
    when: 'a message names a lite topic with a blank',
    says: /a b.*1 to 64 letters/,
    async provoke({ client }) {
      const topic = await instance.topic('LITE')
      return (await client.send(client.message(topic, 'body', { liteTopic: 'a b' }))).status
    },
  },
  {
    code: 'ILLEGAL_LITE_TOPIC',
    when: 'a consumer subscribes to a lite topic with 65 letters',
    says: /1 to 64 letters/,
    provoke: (at) => subscribing(at, ['x'.repeat(65)]),
  },
  {
    code: 'LITE_SUBSCRIPTION_QUOTA_EXCEEDED',
    when: 'a consumer subscribes to 2,001 lite topics',
    says: /2001 lite topics.*2000/,
    provoke: (at) =>
      subscribing(
        at,
        Array.from({ length: 2_001 }, (_, i) => `n${i}`),
      ),
  },
  {
    code: 'CONSUMER_GROUP_NOT_FOUND',
    when: 'a group that nobody created subscribes to a lite topic (other groups are made by using them, data-plane §0 row 15)',
    says: /never created.*LITE_SELECTIVE/,
    async provoke({ client }) {
      const topic = await instance.topic('LITE')
      // The settings of a consumer of another kind make it by use.
      await client.telemetry(client.consumerSettings('lite-by-use', { [topic]: '*' })).hear()
      const where = { topic: client.resource(topic), group: client.resource('lite-by-use') }
      return (await client.ask('syncLiteSubscription', { ...where, action: 0, liteTopicSet: ['a'] })).status
    },
  },
  {
    code: 'BAD_REQUEST',
    when: 'a group that is not bound to the LITE topic subscribes',
    says: /not one of lite consumers.*LITE_SELECTIVE/,
    provoke: (at) => subscribing(at, ['a'], { lite: null }),
  },
  {
    code: 'MESSAGE_PROPERTY_CONFLICT_WITH_TYPE',
    when: 'a message without a lite topic goes to a LITE topic',
    says: /NORMAL message.*LITE messages only/,
    provoke: async ({ client }) => (await client.send(client.message(await instance.topic('LITE'), 'body'))).status,
  },
  {
    code: 'MESSAGE_PROPERTIES_TOO_LARGE',
    when: 'there are 129 user properties',
    says: /129 user properties.*128/,
    provoke: sending({}, { userProperties: Object.fromEntries(Array.from({ length: 129 }, (_, n) => [`k${n}`, 'v'])) }),
  },
]

/** Codes no row provokes, and why. The list may only shrink. */
const without: Readonly<Partial<Record<CodeName, string>>> = {
  CODE_UNSPECIFIED: 'means nothing',
  ILLEGAL_ACCESS_POINT: 'one broker serves every access point; Apache never answers it either',
  UNRECOGNIZED_CLIENT_TYPE: 'a client is registered from any request (data-plane §1.4, §1.13)',
  FORBIDDEN: 'every queue is readable and writable',
  REQUEST_TIMEOUT: 'a deadline that passes is gRPC DEADLINE_EXCEEDED',
  PAYLOAD_TOO_LARGE: 'a body has its own code, a gRPC message ends with RESOURCE_EXHAUSTED',
  PRECONDITION_FAILED: 'no request has preconditions',
  LITE_TOPIC_QUOTA_EXCEEDED: 'a hundred thousand lite topics provoke it: src/broker/shell/lite/lite.test.ts',
  REQUEST_HEADER_FIELDS_TOO_LARGE: 'HTTP/2 refuses headers beyond its limit',
  INTERNAL_ERROR: 'failures of ours are INTERNAL_SERVER_ERROR',
  INTERNAL_SERVER_ERROR: 'a full disk provokes it: test/wire/hostile.test.ts',
  HA_NOT_AVAILABLE: 'there is no replica',
  NOT_IMPLEMENTED: 'of clients: they answer it to commands',
  PROXY_TIMEOUT: 'there is no proxy before the broker',
  MASTER_PERSISTENCE_TIMEOUT: 'a send is answered when it is on disk, or the client gives up first',
  SLAVE_PERSISTENCE_TIMEOUT: 'there is no replica',
  UNSUPPORTED: 'never answered by Apache',
  VERSION_UNSUPPORTED: 'every protocol version is served',
  VERIFY_FIFO_MESSAGE_UNSUPPORTED: 'of clients',
  FAILED_TO_CONSUME_MESSAGE: 'of clients',
}

describe('the code', () => {
  it.each(rows)('$code when $when', async ({ code, says, provoke }) => {
    const status = await provoke(scene)
    expect(status).toMatchObject({ code: gen.Code[code], message: expect.stringMatching(says) })
    expect(instance.reported).toEqual([])
  })

  it('of every kind has a row or a reason', () => {
    const names = Object.keys(gen.Code).filter((name) => !/^\d+$/.test(name))
    const covered = new Set<string>([...rows.map(({ code }) => code), ...Object.keys(without)])
    expect(names.filter((name) => !covered.has(name))).toEqual([])
    expect(rows.map(({ code }) => code).filter((code) => code in without)).toEqual([])
  })
})
