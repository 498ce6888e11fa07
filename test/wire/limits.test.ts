/**
 * Every limit a client can meet (data-plane §3.6, §1.5, §1.7, §2), on a real embedded instance: at the limit accepted, one
 * beyond refused with its code.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { DriverClient, duration } from './driver/client.ts'
import { DrivenInstance } from './driver/instance.ts'

let instance: DrivenInstance
let client: DriverClient
let topic: string
let emptyTopic: string
let group: string
beforeAll(async () => {
  instance = await DrivenInstance.start()
  client = await DriverClient.dial('go', { port: instance.port, tls: false, clock: instance.clock })
  topic = await instance.topic()
  emptyTopic = await instance.topic()
  group = await instance.group()
})
afterAll(async () => {
  client?.close()
  await instance?.close()
})

/** What a request with `size` of the limited thing is answered. */
type Probe = (size: number) => Promise<number | undefined>

const send =
  (make: (size: number) => { system?: gen.SystemPropertiesInit; message?: gen.MessageInit }): Probe =>
  async (size) => {
    const { system, message } = make(size)
    return (await client.send({ ...client.message(topic, 'body', system), ...message })).status?.code
  }
const poll =
  (make: (size: number) => gen.ReceiveMessageRequestInit): Probe =>
  async (size) =>
    (await instance.elapse(client.poll('simple', emptyTopic, group, make(size)), 1000)).value.status?.code
const settings =
  (make: (size: number) => gen.SettingsInit): Probe =>
  async (size) => {
    const telemetry = client.telemetry({ ...client.producerSettings([topic]), ...make(size) })
    const heard = await telemetry.hear()
    telemetry.call.cancel()
    return heard?.status?.code
  }
const properties = (count: number, bytes = 1): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v'.repeat(bytes)]))

const notFound = gen.Code.TOPIC_NOT_FOUND
const nothing = gen.Code.MESSAGE_NOT_FOUND

const limits: readonly [what: string, probe: Probe, limit: number, at: number, beyond: number][] = [
  [
    'characters of a topic name',
    async (n) => (await client.queryRoute('t'.repeat(n))).status?.code,
    128,
    notFound,
    40002,
  ],
  [
    'characters of a dead-letter topic name',
    async (n) => (await client.queryRoute(`%DLQ%${'g'.repeat(n - 5)}`)).status?.code,
    255,
    notFound,
    40002,
  ],
  [
    'characters of a retry topic name',
    async (n) => (await client.queryRoute(`%RETRY%${'g'.repeat(n - 7)}`)).status?.code,
    255,
    notFound,
    40002,
  ],
  [
    'characters of a group name',
    async (n) => (await client.heartbeat('g'.repeat(n), 2)).status?.code,
    128,
    20000,
    40003,
  ],
  ['bytes of a body', send((n) => ({ message: { body: Buffer.alloc(n, 'b') } })), 4_194_304, 20000, 41301],
  ['user properties', send((n) => ({ message: { userProperties: properties(n) } })), 128, 20000, 43101],
  [
    'bytes of user properties',
    send((n) => ({ message: { userProperties: { key: 'v'.repeat(n - 3) } } })),
    16_384,
    20000,
    43101,
  ],
  [
    'bytes of user properties in several-byte characters',
    send((n) => ({ message: { userProperties: { 键: `${'值'.repeat(5460)}${'v'.repeat(n - 16_383)}` } } })),
    16_384,
    20000,
    43101,
  ],
  [
    'bytes of a tag',
    send((n) => ({ system: { tag: 't'.repeat(n) }, message: { userProperties: {} } })),
    16_384,
    20000,
    43101,
  ],
  [
    'bytes of a key',
    send((n) => ({ system: { keys: ['k'.repeat(n)] }, message: { userProperties: {} } })),
    16_384,
    20000,
    43101,
  ],
  ['keys', send((n) => ({ system: { keys: Array.from({ length: n }, () => 'k') } })), 128, 20000, 43101],
  [
    'bytes of many keys',
    send((n) => ({
      system: { keys: Array.from({ length: 128 }, (_, at) => 'k'.repeat(at === 0 ? n - 127 * 100 : 100)) },
      message: { userProperties: {} },
    })),
    16_384,
    20000,
    43101,
  ],
  [
    'bytes of properties, tag and keys together, beside a body of 4 MiB',
    send((n) => ({
      system: { tag: 't'.repeat(5000), keys: ['k'.repeat(5000)] },
      message: { userProperties: { key: 'v'.repeat(n - 10_003) }, body: Buffer.alloc(4_194_304, 'b') },
    })),
    16_384,
    20000,
    43101,
  ],
  // Accepted as a group, and then of the wrong type for this topic.
  ['bytes of a message group', send((n) => ({ system: { messageGroup: 'g'.repeat(n) } })), 63, 40014, 40006],
  [
    'bytes of a message group in several-byte characters',
    send((n) => ({ system: { messageGroup: `${'组'.repeat(20)}${'g'.repeat(n - 60)}` } })),
    63,
    40014,
    40006,
  ],
  [
    'bytes of a trace context and a born host together',
    send((n) => ({ system: { traceContext: 't'.repeat(n - 100), bornHost: 'h'.repeat(100) } })),
    16_384,
    20000,
    43101,
  ],
  [
    'characters of a resource namespace',
    async (n) => {
      const named = { topic: { resourceNamespace: 'n'.repeat(n), name: topic } }
      return (await client.ask('queryRoute', named)).status?.code
    },
    255,
    20000,
    40002,
  ],
  [
    'characters of a resource namespace in settings',
    settings((n) => ({ publishing: { topics: [{ resourceNamespace: 'n'.repeat(n), name: 't' }] } })),
    255,
    20000,
    40002,
  ],
  [
    'deliveries of an acknowledgement',
    async (n) => {
      const entries = Array.from({ length: n }, (_, i) => ({ messageId: String(i), receiptHandle: 'none' }))
      const where = { topic: { name: topic }, group: { name: group }, entries }
      return (await client.ask('ackMessage', where)).status?.code
    },
    1024,
    40013,
    40000,
  ],
  ['characters of a message id', send((n) => ({ system: { messageId: 'i'.repeat(n) } })), 255, 20000, 40009],
  [
    'messages of a send',
    async (n) => (await client.send(...Array.from({ length: n }, () => client.message(topic, 'b')))).status?.code,
    1024,
    20000,
    40016,
  ],
  [
    'milliseconds of an invisible duration',
    poll((n) => ({ invisibleDuration: duration(n) })),
    43_200_000,
    nothing,
    40011,
  ],
  [
    'characters of a tag expression',
    poll((n) => ({ filterExpression: { type: 1, expression: 'x'.repeat(n) } })),
    16_384,
    nothing,
    40010,
  ],
  [
    'characters of an SQL92 expression',
    poll((n) => ({ filterExpression: { type: 2, expression: 'FALSE'.padEnd(n) } })),
    16_384,
    nothing,
    40010,
  ],
  [
    'levels of brackets in an SQL92 expression',
    poll((n) => ({ filterExpression: { type: 2, expression: `${'('.repeat(n)}FALSE${')'.repeat(n)}` } })),
    100,
    nothing,
    40010,
  ],
  [
    'tags of an expression',
    poll((n) => ({
      filterExpression: { type: 1, expression: Array.from({ length: n }, (_, index) => `t${index}`).join('||') },
    })),
    1024,
    nothing,
    40010,
  ],
  ['client properties', settings((n) => ({ clientProperties: properties(n) })), 32, 20000, 40021],
  ['characters of a client property', settings((n) => ({ clientProperties: { k: 'v'.repeat(n) } })), 256, 20000, 40021],
  [
    "characters of a client property's name",
    settings((n) => ({ clientProperties: { ['k'.repeat(n)]: 'v' } })),
    64,
    20000,
    40021,
  ],
  [
    'bytes of client properties',
    settings((n) => ({ clientProperties: { ...properties(16, 247), z: 'v'.repeat(n - 3991) } })),
    4096,
    20000,
    40021,
  ],
  [
    'topics of settings',
    settings((n) => ({ publishing: { topics: Array.from({ length: n }, (_, index) => ({ name: `t${index}` })) } })),
    4096,
    20000,
    40000,
  ],
  [
    'characters of a client id',
    async (n) => {
      const other = await DriverClient.dial('go', {
        port: instance.port,
        tls: false,
        clock: instance.clock,
        headers: { 'x-mq-client-id': 'c'.repeat(n) },
      })
      const { status } = await other.heartbeat(null, 1)
      other.close()
      return status?.code
    },
    255,
    20000,
    40000,
  ],
]

/** At the limit from below: one less is refused. */
const floors: readonly [what: string, probe: Probe, limit: number, at: number, below: number][] = [
  ['milliseconds of an invisible duration', poll((n) => ({ invisibleDuration: duration(n) })), 10_000, nothing, 40011],
]

describe.each(limits)('%s', (_, probe, limit, at, beyond) => {
  it(`${limit} are accepted, ${limit + 1} are not (${at}, ${beyond})`, async () => {
    expect([await probe(limit), await probe(limit + 1)]).toEqual([at, beyond])
    expect(instance.reported).toEqual([])
  })
})

describe.each(floors)('%s', (_, probe, limit, at, below) => {
  it(`${limit} are accepted, ${limit - 1} are not (${at}, ${below})`, async () => {
    expect([await probe(limit), await probe(limit - 1)]).toEqual([at, below])
  })
})

/** 3.6: names RocketMQ keeps for itself. */
const reserved = `TRACE_ON MSG_REGION KEYS TAGS WAIT DELAY RETRY_TOPIC REAL_TOPIC REAL_QID TRAN_MSG PGROUP MIN_OFFSET
  MAX_OFFSET BUYER_ID ORIGIN_MESSAGE_ID TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG RECONSUME_TIME UNIQ_KEY
  MAX_RECONSUME_TIMES CONSUME_START_TIME POP_CK POP_CK_OFFSET 1ST_POP_TIME TRAN_PREPARED_QUEUE_OFFSET DUP_INFO
  EXTEND_UNIQ_INFO INSTANCE_ID CORRELATION_ID REPLY_TO_CLIENT TTL ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE
  INNER_MULTI_QUEUE_OFFSET TIMER_DELAY_MS TIMER_DELAY_SEC TIMER_DELIVER_MS TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS
  TIMER_ROLL_TIMES TIMER_OUT_MS TIMER_DEL_UNIQKEY TIMER_DELAY_LEVEL __BORNHOST BORN_TIMESTAMP DLQ_ORIGIN_TOPIC
  DLQ_ORIGIN_MESSAGE_ID __CRC32# _SYS_MSG_PRIORITY_ __LITE_TOPIC`.split(/\s+/)

/** Texts by place: what is accepted, and what is refused with which code. */
const texts: readonly [
  place: string,
  make: (text: string) => gen.MessageInit,
  refused: readonly string[],
  code: number,
][] = [
  ['tag', (tag) => client.message(topic, 'b', { tag }), [' ', '\t', 'a|b', 'a\u0000', 'a\u007f', 'a\u0085'], 40004],
  ['key', (key) => client.message(topic, 'b', { keys: ['fine', key] }), ['', ' ', 'a\u0000', 'a\n', 'a\u009f'], 40005],
  [
    'user property name',
    (name) => ({ ...client.message(topic, 'b'), userProperties: { [name]: 'v' } }),
    [...reserved, 'a\u0000', '\r'],
    40007,
  ],
  [
    'user property value',
    (value) => ({ ...client.message(topic, 'b'), userProperties: { k: value } }),
    ['a\u0000', 'a\u001f', '\u0080'],
    40007,
  ],
  ['message group', (messageGroup) => client.message(topic, 'b', { messageGroup }), [' ', 'a\u0000'], 40006],
  ['message id', (messageId) => client.message(topic, 'b', { messageId }), ['', ' '], 40009],
]
const fine = ['A', '标签', '🏷', '中文 % && ', "'; --", 'toString', '__proto__', '*', 'uniq_key', '\u00a0x', 'a\u2028b']

describe.each(texts)('a %s', (place, make, refused, code) => {
  it.each(refused)(`%j is refused with ${code}`, async (text) => {
    const { status } = await client.send(make(text))
    expect(status).toMatchObject({ code })
    expect(status!.message.length).toBeGreaterThan(10)
  })
  it.each(fine)('%j is accepted', async (text) => {
    expect((await client.send(make(text))).status?.code).toBe(place === 'message group' ? 40014 : 20000)
  })
})

/** 3.6: what a name may hold, and the names of the system. */
const badNames = ['', ' ', 'a b', 'a.b', 'a/b', 'ä', '主题', 'a\u0000', '../a', 'a*', 'a\n']
const systemTopics = `TBW102 SCHEDULE_TOPIC_XXXX BenchmarkTest RMQ_SYS_TRANS_HALF_TOPIC RMQ_SYS_TRACE_TOPIC
  RMQ_SYS_TRANS_OP_HALF_TOPIC TRANS_CHECK_MAX_TIME_TOPIC SELF_TEST_TOPIC OFFSET_MOVED_EVENT CHECKPOINT_TOPIC
  rmq_sys_anything RMQ_SYS_anything`.split(/\s+/)

describe('a topic name', () => {
  it.each([...badNames, ...systemTopics])('%j is refused with 40002 by every call that takes one', async (name) => {
    const where = { group: client.resource(group), topic: client.resource(name) }
    const handle = { receiptHandle: 'h', messageId: 'i' }
    const codes = [
      (await client.queryRoute(name)).status,
      (await client.queryAssignment(name, group)).status,
      (await client.send(client.message(name, 'b'))).status,
      (await client.poll('simple', name, group)).status,
      (await client.ask('ackMessage', { ...where, entries: [handle] })).status,
      (await client.ask('changeInvisibleDuration', { ...where, ...handle })).status,
      (await client.ask('forwardMessageToDeadLetterQueue', { ...where, ...handle })).status,
    ].map((status) => status?.code)
    expect(codes).toEqual(codes.map(() => 40002))
  })
  it.each(['A', '0', '_-', 'a|b', 'a%b', '%RETRY%group_topic'])('%j may be one', async (name) => {
    expect((await client.queryRoute(name)).status?.code).toBe(notFound)
  })
})

describe('a group name', () => {
  it.each([...badNames, 'CID_RMQ_SYS_x', 'cid_rmq_sys_x'])(
    '%j is refused with 40003 by every call that takes one',
    async (name) => {
      const where = { group: client.resource(name), topic: client.resource(topic) }
      const handle = { receiptHandle: 'h', messageId: 'i' }
      const codes = [
        (await client.queryAssignment(topic, name)).status,
        (await client.poll('simple', topic, name)).status,
        (await client.ask('ackMessage', { ...where, entries: [handle] })).status,
        (await client.ask('changeInvisibleDuration', { ...where, ...handle })).status,
        (await client.ask('forwardMessageToDeadLetterQueue', { ...where, ...handle })).status,
        // Producers send none, so only one that is there can be wrong.
        ...(name === ''
          ? []
          : [
              (await client.heartbeat(name, 2)).status,
              (await client.ask('notifyClientTermination', { group: client.resource(name) })).status,
            ]),
      ].map((status) => status?.code)
      expect(codes).toEqual(codes.map(() => 40003))
    },
  )
})
