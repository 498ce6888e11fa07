/**
 * What custom accounts may do, over real connections to an embedded instance: each RPC with and without each grant, and that a
 * change cuts off who would not be let in any more, long polls and telemetry streams included.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MetricsService } from '../../src/grpc/gen/otlp.js'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import type { AccountSpec, GrantSpec } from '../../src/model/instances.ts'
import { type Answer, DriverClient } from './driver/client.ts'
import { account, DrivenInstance, disabledAccount, turns } from './driver/instance.ts'

const OK = 20000
const UNAUTHORIZED = 40100
const FORBIDDEN = 40300

const custom = (username: string, more: Partial<AccountSpec> = {}): AccountSpec => ({
  ...{ username, secret: `${username}-secret`, enabled: true, kind: 'custom' },
  ...more,
})
const accounts = [account, disabledAccount, custom('worker'), custom('other')]
const both = { accounts, aclTypes: ['default', 'apache_acl'] as const }

const grant = (resource: string, actions: string, more: Partial<GrantSpec> = {}): GrantSpec => {
  const [resourceType, resourceName] = resource.split(/ (.*)/) as ['Topic' | 'Group', string]
  return {
    ...{ username: 'worker', resourceType, resourceName },
    actions: actions.split('|') as GrantSpec['actions'],
    ...{ decision: 'Allow', addresses: [] },
    ...more,
  }
}

let instance: DrivenInstance
let topic: string
let group: string
const open = new Set<DriverClient>()

beforeAll(async () => {
  instance = await DrivenInstance.start({ ...both, grants: [] })
})
afterAll(async () => {
  await instance.close()
  expect(instance.reported).toEqual([])
})
beforeEach(async () => {
  topic = await instance.topic()
  group = await instance.group()
})
afterEach(async () => {
  for (const client of open) client.close()
  open.clear()
  await instance.change({ ...both, grants: [], vpcAuthFree: true })
})

async function dial(
  as: string | null,
  more: { port?: number; clientId?: string; secret?: string } = {},
): Promise<DriverClient> {
  const { port = instance.guardedPort, secret, clientId } = more
  const known = accounts.find(({ username }) => username === as)
  const credentials = as === null ? null : { username: as, secret: secret ?? known!.secret }
  const client = await DriverClient.dial('java', {
    ...{ port, tls: false, clock: instance.clock, credentials },
    ...(clientId === undefined ? {} : { clientId }),
  })
  open.add(client)
  return client
}

const grants = (...list: readonly GrantSpec[]) => instance.change({ grants: list })

/** Every RPC but Telemetry with the least that is asked about: its name, topic and group. */
const calls: Readonly<Record<string, (client: DriverClient) => Promise<gen.Status | null>>> = {
  queryRoute: (client) => status(client, 'queryRoute', { topic: client.resource(topic), endpoints: client.endpoints }),
  heartbeat: (client) => status(client, 'heartbeat', { group: client.resource(group), clientType: 3 }),
  sendMessage: (client) => status(client, 'sendMessage', { messages: [client.message(topic, 'x')] }),
  queryAssignment: (client) => status(client, 'queryAssignment', { ...consuming(client), endpoints: client.endpoints }),
  receiveMessage: async (client) => (await instance.elapse(client.poll('push', topic, group), 1000)).value.status,
  ackMessage: (client) =>
    status(client, 'ackMessage', { ...consuming(client), entries: [{ messageId: 'm', receiptHandle: 'h' }] }),
  changeInvisibleDuration: (client) =>
    status(client, 'changeInvisibleDuration', {
      ...{ ...consuming(client), receiptHandle: 'h', messageId: 'm' },
      invisibleDuration: { seconds: 10, nanos: 0 },
    }),
  forwardMessageToDeadLetterQueue: (client) =>
    status(client, 'forwardMessageToDeadLetterQueue', {
      ...{ ...consuming(client), receiptHandle: 'h', messageId: 'm' },
      ...{ deliveryAttempt: 1, maxDeliveryAttempts: 2 },
    }),
  syncLiteSubscription: (client) => status(client, 'syncLiteSubscription', { ...consuming(client), action: 0 }),
  pullMessage: async (client) => {
    const call = client.open('pullMessage', 30_000)
    const request = { ...queue(client), group: client.resource(group), longPollingTimeout: { seconds: 5, nanos: 0 } }
    call.send(gen.PullMessageRequest.encode(request).finish())
    call.end()
    const bytes = (await instance.elapse(call.next(), 1000)).value
    return gen.PullMessageResponse.decode(bytes!).status
  },
  getOffset: (client) => status(client, 'getOffset', { ...queue(client), group: client.resource(group) }),
  updateOffset: (client) =>
    status(client, 'updateOffset', { ...queue(client), group: client.resource(group), offset: 0 }),
  queryOffset: (client) => status(client, 'queryOffset', { ...queue(client), queryOffsetPolicy: 0 }),
  endTransaction: (client) =>
    status(client, 'endTransaction', { topic: client.resource(topic), transactionId: 't', messageId: 'm' }),
  recallMessage: (client) => status(client, 'recallMessage', { topic: client.resource(topic), recallHandle: 'h' }),
  notifyClientTermination: (client) => status(client, 'notifyClientTermination', { group: client.resource(group) }),
}

const consuming = (client: DriverClient) => ({ topic: client.resource(topic), group: client.resource(group) })
const queue = (client: DriverClient) => ({ messageQueue: { topic: client.resource(topic), id: 0 } })

async function status(client: DriverClient, rpc: keyof typeof gen.MessagingService.methods, request: object) {
  const { reply, outcome }: Answer<{ status: gen.Status }> = await client.unary(rpc, request, 30_000)
  expect(outcome.grpcStatus).toBe(0)
  return reply!.status
}

/** RPCs by what they need. */
const needs = {
  Pub: ['sendMessage', 'endTransaction', 'recallMessage'],
  Sub: ['queryOffset'],
  'Pub or Sub': ['queryRoute'],
  'Sub on the group': ['heartbeat', 'notifyClientTermination'],
  'Sub on both': [
    ...[
      'queryAssignment',
      'receiveMessage',
      'ackMessage',
      'changeInvisibleDuration',
      'forwardMessageToDeadLetterQueue',
    ],
    ...['syncLiteSubscription', 'pullMessage', 'getOffset', 'updateOffset'],
  ],
} as const
type Need = keyof typeof needs

it('is asked about every RPC', () => {
  const named = [...Object.values(needs).flat(), 'telemetry'].sort()
  expect(named).toEqual(Object.keys(gen.MessagingService.methods).sort())
  expect(Object.keys(calls).sort()).toEqual(named.filter((name) => name !== 'telemetry'))
})

/** Grants, and what they are enough for. */
const situations: ReadonlyArray<readonly [string, () => readonly GrantSpec[], readonly Need[]]> = [
  ['no grant', () => [], []],
  ['Pub on the topic', () => [grant(`Topic ${topic}`, 'Pub')], ['Pub', 'Pub or Sub']],
  ['Sub on the topic only', () => [grant(`Topic ${topic}`, 'Sub')], ['Sub', 'Pub or Sub']],
  ['Sub on the group only', () => [grant(`Group ${group}`, 'Sub')], ['Sub on the group']],
  [
    'Sub on both',
    () => [grant(`Topic ${topic}`, 'Sub'), grant(`Group ${group}`, 'Sub')],
    ['Sub', 'Pub or Sub', 'Sub on the group', 'Sub on both'],
  ],
  [
    'all of everything',
    () => [grant('Topic *', 'Pub|Sub'), grant('Group *', 'Sub')],
    ['Pub', 'Sub', 'Pub or Sub', 'Sub on the group', 'Sub on both'],
  ],
  [
    'names that begin alike',
    () => [grant('Topic normal-*', 'Pub|Sub'), grant('Group group-*', 'Sub')],
    ['Pub', 'Sub', 'Pub or Sub', 'Sub on the group', 'Sub on both'],
  ],
  [
    'everything but what is denied',
    () => [
      ...[grant('Topic *', 'Pub|Sub'), grant('Group *', 'Sub')],
      grant(`Topic ${topic}`, 'Sub', { decision: 'Deny' }),
    ],
    ['Pub', 'Pub or Sub', 'Sub on the group'],
  ],
  [
    'an exact grant, and a denial of all',
    () => [grant(`Topic ${topic}`, 'Pub|Sub'), grant('Topic *', 'Pub|Sub', { decision: 'Deny' })],
    [],
  ],
  ['another address', () => [grant('Topic *', 'Pub|Sub', { addresses: ['10.0.0.0/8'] })], []],
  ['this address', () => [grant('Topic *', 'Pub', { addresses: ['127.0.0.0/8'] })], ['Pub', 'Pub or Sub']],
  ['another topic', () => [grant(`Topic ${topic}x`, 'Pub|Sub'), grant(`Topic ${topic.slice(0, -1)}`, 'Pub|Sub')], []],
  ['the topic as a group', () => [grant(`Group ${topic}`, 'Sub'), grant(`Topic ${group}`, 'Pub|Sub')], []],
  ['what another account has', () => [grant('Topic *', 'Pub|Sub', { username: 'other' })], []],
]

describe.each(situations)('with %s', (_what, given, enoughFor) => {
  it('each RPC is allowed or refused with what is missing', async () => {
    await grants(...given())
    const client = await dial('worker')
    for (const [need, rpcs] of Object.entries(needs)) {
      for (const rpc of rpcs) {
        const answered = await calls[rpc]!(client)
        const isAllowed = enoughFor.includes(need as Need)
        expect([rpc, answered?.code === FORBIDDEN], answered?.message).toEqual([rpc, !isAllowed])
        if (isAllowed) continue
        expect(answered!.message).toMatch(/"worker" .*(Pub|Sub|Pub or Sub) on (topic|group) "/)
        expect(answered!.message).not.toContain('secret')
      }
    }
  })
})

describe('a change', () => {
  const everything = () => [grant(`Topic ${topic}`, 'Pub|Sub'), grant(`Group ${group}`, 'Sub')]
  const deny = (actions: string) => grant(`Topic ${topic}`, actions, { decision: 'Deny' })
  const changed = (more: Partial<AccountSpec> | null) =>
    accounts.flatMap((each) => (each.username !== 'worker' ? [each] : more === null ? [] : [{ ...each, ...more }]))
  const changes: ReadonlyArray<readonly [string, () => Promise<void>, number, RegExp]> = [
    ['its grants taken back', () => grants(), FORBIDDEN, /no grant of Sub/],
    ['a denial', () => grants(...everything(), deny('Sub')), FORBIDDEN, /denies it Sub on topic/],
    ['the group taken back', () => grants(everything()[0]!), FORBIDDEN, /no grant of Sub on group/],
    [
      'another address',
      () => grants(...everything().map((one) => ({ ...one, addresses: ['192.0.2.1'] }))),
      ...([FORBIDDEN, /counts for other addresses/] as const),
    ],
    [
      'its account disabled',
      () => instance.change({ accounts: changed({ enabled: false }) }),
      UNAUTHORIZED,
      /disabled/,
    ],
    [
      'another password',
      () => instance.change({ accounts: changed({ secret: 'new' }) }),
      UNAUTHORIZED,
      /has another password/,
    ],
    ['its account deleted', () => instance.change({ accounts: changed(null), grants: [] }), UNAUTHORIZED, /deleted/],
    [
      'accounts with grants not recognised',
      () => instance.change({ aclTypes: ['default'] }),
      UNAUTHORIZED,
      /apache_acl/,
    ],
  ]

  it.each(changes)('to %s ends a long poll, and leaves that of another', async (_what, change, code, says) => {
    await grants(...everything())
    const client = await dial('worker')
    const other = await dial(account.username)
    const cut = client.poll('push', topic, group)
    const stays = settled(other.poll('push', topic, group))
    await arrived(client, other)
    await change()
    const { status, order, outcome } = await cut
    expect([status?.code, order, outcome.grpcStatus]).toEqual([code, ['status', 'time'], 0])
    expect(status!.message).toMatch(says)
    expect(status!.message).not.toMatch(/-secret|new/)
    await turns(20)
    expect(stays.done).toBe(false)
  })

  it.each(changes)('to %s ends a waiting pull', async (_what, change, code) => {
    await grants(...everything())
    const client = await dial('worker')
    const answered = pullOnce(client)
    await arrived(client)
    await change()
    expect((await answered)?.code).toBe(code)
  })

  it.each(changes)('to %s ends a telemetry stream', async (_what, change, code, says) => {
    await grants(...everything())
    const client = await dial('worker')
    const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
    expect((await telemetry.hear())?.status?.code).toBe(OK)
    await change()
    const told = await telemetry.hear()
    expect(told?.status).toMatchObject({ code, message: expect.stringMatching(says) })
    expect(await telemetry.hear()).toBeNull()
    await telemetry.call.ended
  })

  it('of what a producer declared ends its stream', async () => {
    await grants(...everything())
    const client = await dial('worker')
    const telemetry = client.telemetry(client.producerSettings([topic]))
    expect((await telemetry.hear())?.status?.code).toBe(OK)
    await grants(grant(`Topic ${topic}`, 'Sub'))
    expect((await telemetry.hear())?.status).toMatchObject({
      code: FORBIDDEN,
      message: expect.stringMatching(/Pub on topic/),
    })
    expect(await telemetry.hear()).toBeNull()
  })

  it('that takes nothing away ends nothing', async () => {
    await grants(...everything())
    const client = await dial('worker')
    const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
    expect((await telemetry.hear())?.status?.code).toBe(OK)
    const waiting = settled(client.poll('push', topic, group))
    await arrived(client)
    await grants(...everything(), grant('Topic other', 'Pub'))
    await turns(50)
    expect(waiting.done).toBe(false)
    await client.send(client.message(topic, 'still here'))
    expect((await waiting.promise).messages).toHaveLength(1)
    telemetry.say({ settings: client.consumerSettings(group, { [topic]: '*' }) })
    expect((await telemetry.hear())?.status?.code).toBe(OK)
  })

  it('ends many polls, and what they would have got goes to others', async () => {
    await grants(...everything())
    const clients = await Promise.all(Array.from({ length: 4 }, () => dial('worker')))
    const polls = clients.flatMap((client) => Array.from({ length: 50 }, () => client.poll('push', topic, group)))
    await arrived(...clients)
    await grants()
    const codes = (await Promise.all(polls)).map(({ status }) => status?.code)
    expect(codes).toEqual(codes.map(() => FORBIDDEN))
    const other = await dial(account.username)
    await other.send(other.message(topic, 'for whoever may'))
    const got = await instance.elapse(other.poll('push', topic, group))
    expect(got.value.messages).toHaveLength(1)
  })

  it('counts at once for calls that are new, and back', async () => {
    const client = await dial('worker')
    const send = async () => (await client.send(client.message(topic, 'x'))).status?.code
    expect(await send()).toBe(FORBIDDEN)
    await grants(...everything())
    expect(await send()).toBe(OK)
    await grants(deny('Pub'), ...everything())
    expect(await send()).toBe(FORBIDDEN)
    await instance.change({ accounts: changed({ enabled: false }) })
    expect(await send()).toBe(UNAUTHORIZED)
  })

  it('while the request of a call is still coming counts for that call', async () => {
    await grants(...everything())
    const client = await dial('worker')
    const call = client.open('sendMessage', 30_000)
    await client.queryRoute(topic)
    await instance.change({ accounts: changed({ secret: 'new' }) })
    call.send(gen.SendMessageRequest.encode({ messages: [client.message(topic, 'late')] }).finish())
    call.end()
    expect(gen.SendMessageResponse.decode((await call.next())!).status?.code).toBe(UNAUTHORIZED)
  })

  it('of the password-free address to one with passwords ends what was let in without', async () => {
    await instance.change({ vpcAuthFree: true })
    const client = await dial(null, { port: instance.port })
    const telemetry = client.telemetry(client.producerSettings([topic]))
    expect((await telemetry.hear())?.status?.code).toBe(OK)
    await instance.change({ vpcAuthFree: false })
    expect((await telemetry.hear())?.status?.code).toBe(UNAUTHORIZED)
    expect(await telemetry.hear()).toBeNull()
  })
})

describe('telemetry settings', () => {
  const refused = async (client: DriverClient, settings: gen.SettingsInit, says: RegExp) => {
    const telemetry = client.telemetry(settings)
    expect((await telemetry.hear())?.status).toMatchObject({ code: FORBIDDEN, message: expect.stringMatching(says) })
    expect(await telemetry.hear()).toBeNull()
    expect((await telemetry.call.ended).grpcStatus).toBe(7)
  }

  it('need Pub on each topic that is published, Sub on each that is subscribed and on the group', async () => {
    await grants(grant(`Topic ${topic}`, 'Pub'), grant('Topic wanted', 'Sub'))
    const client = await dial('worker')
    await refused(client, client.producerSettings([topic, 'wanted']), /Pub on topic "wanted"/)
    await refused(client, client.consumerSettings(group, { wanted: '*' }), /Sub on group/)
    await grants(grant('Topic wanted', 'Sub'), grant(`Group ${group}`, 'Sub'))
    await refused(
      client,
      client.consumerSettings(group, { wanted: '*', [topic]: '*' }),
      new RegExp(`Sub on topic "${topic}"`),
    )
  })

  it('of a group that is not granted make none', async () => {
    const client = await dial('worker')
    await grants(grant('Topic *', 'Pub|Sub'))
    await refused(client, client.consumerSettings('made-by-nobody', { [topic]: '*' }), /made-by-nobody/)
    expect((await calls.receiveMessage!(client))?.code).toBe(FORBIDDEN)
    const { instanceId } = instance
    const { groupsMadeByUse } = await instance.host.ask({ instanceId, question: 'usage', params: {} })
    expect(groupsMadeByUse).toBe(0)
  })
})

describe('no way around', () => {
  it('leads through a dead-letter or retry topic: its own name and its group are needed', async () => {
    topic = `%DLQ%${group}`
    const client = await dial('worker')
    const query = async () => (await calls.queryOffset!(client))?.code
    await grants(grant(`Group ${group}`, 'Sub'))
    expect(await query()).toBe(FORBIDDEN)
    await grants(grant('Topic *', 'Pub|Sub'), grant('Group another', 'Sub'))
    expect(await query()).toBe(FORBIDDEN)
    expect((await calls.sendMessage!(client))?.code).toBe(FORBIDDEN)
    await grants(grant(`Topic %DLQ%${group}`, 'Sub'), grant(`Group ${group}`, 'Sub'))
    expect(await query()).not.toBe(FORBIDDEN)
  })

  it('leads through handles of another topic or group: each counts for its own only', async () => {
    const [mine, myGroup] = [await instance.topic(), await instance.group()]
    await grants(grant(`Topic ${mine}`, 'Pub|Sub'), grant(`Group ${myGroup}`, 'Sub'))
    const owner = await dial(account.username)
    const thief = await dial('worker')
    await owner.send(owner.message(topic, 'not yours'))
    const [message] = (await instance.elapse(owner.poll('simple', topic, group))).value.messages
    const INVALID_RECEIPT_HANDLE = 40013
    for (const [ofTopic, ofGroup] of [
      [topic, group],
      [mine, group],
      [topic, myGroup],
    ] as const) {
      expect((await thief.ack(ofTopic, ofGroup, message!)).status?.code).toBe(FORBIDDEN)
      expect((await thief.changeInvisible(ofTopic, ofGroup, message!, 0)).status?.code).toBe(FORBIDDEN)
      expect((await thief.deadLetter(ofTopic, ofGroup, message!)).status?.code).toBe(FORBIDDEN)
    }
    expect((await thief.ack(mine, myGroup, message!)).status?.code).toBe(INVALID_RECEIPT_HANDLE)
    expect((await thief.changeInvisible(mine, myGroup, message!, 0)).status?.code).toBe(INVALID_RECEIPT_HANDLE)
    await thief.deadLetter(mine, myGroup, message!)
    expect((await owner.ack(topic, group, message!)).status?.code).toBe(OK)
  })

  it('leads through a recall handle or a transaction of another topic', async () => {
    const [delayed, myDelayed] = [await instance.topic('DELAY'), await instance.topic('DELAY')]
    const [deals, myDeals] = [await instance.topic('TRANSACTION'), await instance.topic('TRANSACTION')]
    await grants(grant(`Topic ${myDelayed}`, 'Pub'), grant(`Topic ${myDeals}`, 'Pub'))
    const owner = await dial(account.username)
    const thief = await dial('worker')
    const deliveryTimestamp = { seconds: Math.floor(instance.clock.now() / 1000) + 600, nanos: 0 }
    const timed = owner.message(delayed, 'later', { messageType: gen.MessageType.DELAY, deliveryTimestamp })
    const { recallHandle } = (await owner.send(timed)).entries[0]!
    const recall = (client: DriverClient, name: string) =>
      status(client, 'recallMessage', { topic: client.resource(name), recallHandle })
    expect((await recall(thief, delayed)).code).toBe(FORBIDDEN)
    expect((await recall(thief, myDelayed)).code).not.toBe(OK)
    expect((await recall(owner, delayed)).code).toBe(OK)

    const half = owner.message(deals, 'half', { messageType: gen.MessageType.TRANSACTION })
    const { transactionId, messageId } = (await owner.send(half)).entries[0]!
    const end = (client: DriverClient, name: string, resolution: number) =>
      status(client, 'endTransaction', { topic: client.resource(name), transactionId, messageId, resolution })
    expect((await end(thief, deals, 2)).code).toBe(FORBIDDEN)
    expect((await end(thief, myDeals, 2)).code).not.toBe(OK)
    expect(await end(owner, deals, 1)).toMatchObject({ code: OK, message: 'OK' })
  })

  it('leads through settings that say that they publish and that they subscribe: the last of the two counts', async () => {
    await grants(grant(`Topic ${topic}`, 'Pub|Sub'))
    const client = await dial('worker')
    const answerTo = async (...said: readonly gen.SettingsInit[]) => {
      const telemetry = client.telemetry()
      // No encoder writes both cases of a oneof; one message after another is read as one.
      const settings = Buffer.concat(said.map((each) => gen.Settings.encode(each).finish()))
      const [tag] = gen.TelemetryCommand.encode({ settings: {} }).finish()
      const length = [(settings.length & 0x7f) | 0x80, settings.length >> 7]
      telemetry.call.send(Buffer.concat([Buffer.from([tag!, ...length]), settings]))
      return telemetry.hear()
    }
    const publishes = client.producerSettings([topic])
    const subscribes = client.consumerSettings(group, { [topic]: '*' })
    expect((await answerTo(publishes, subscribes))?.status?.code).toBe(FORBIDDEN)
    expect(await answerTo(subscribes, publishes)).toMatchObject({
      status: { code: OK },
      settings: { pubSub: 'publishing', subscription: null },
    })
    const { instanceId } = instance
    const online = await instance.host.ask({ instanceId, question: 'connections', params: { group } })
    expect(online).toEqual([])
  })

  it('leads through lite topics: the grant of their topic counts', async () => {
    topic = await instance.topic('LITE')
    const client = await dial('worker')
    const message = () => ({
      messages: [client.message(topic, 'x', { liteTopic: 'sub', messageType: gen.MessageType.LITE })],
    })
    await grants(grant('Topic sub', 'Pub|Sub'))
    expect((await status(client, 'sendMessage', message())).code).toBe(FORBIDDEN)
    expect((await calls.syncLiteSubscription!(client))?.code).toBe(FORBIDDEN)
    await grants(grant(`Topic ${topic}`, 'Pub'))
    expect((await status(client, 'sendMessage', message())).code).toBe(OK)
  })

  it('leads through the id of a client of another account', async () => {
    topic = await instance.topic('TRANSACTION')
    await grants(grant(`Topic ${topic}`, 'Pub', { username: 'other' }), grant('Topic mine', 'Pub'))
    const thief = await dial('worker', { clientId: 'producer@1' })
    const first = thief.telemetry()
    thief.telemetry()
    const producer = await dial('other', { clientId: 'producer@1' })
    const telemetry = producer.telemetry(producer.producerSettings([topic]))
    expect((await telemetry.hear())?.status?.code).toBe(OK)
    const late = thief.telemetry(thief.producerSettings(['mine']))
    expect((await late.hear())?.status).toMatchObject({ code: FORBIDDEN, message: expect.stringMatching(/client id/) })
    expect((await calls.notifyClientTermination!(thief))?.code).toBe(FORBIDDEN)
    expect([await exportMetrics(thief), await exportMetrics(producer)]).toEqual([7, 0])
    const half = producer.message(topic, 'half', { messageType: gen.MessageType.TRANSACTION })
    expect((await producer.send(half)).status?.code).toBe(OK)
    const asked = telemetry.hear()
    const stolen = settled(first.hear())
    const { value } = await instance.elapse(asked, 1000)
    expect(value?.recoverOrphanedTransactionCommand).not.toBeNull()
    expect(stolen.done).toBe(false)
  })
})

it('a client that goes on with another account over its connection is still itself', async () => {
  await grants(grant('Topic *', 'Pub'), grant('Topic *', 'Pub', { username: 'other' }))
  const credentials = { username: 'worker', secret: 'worker-secret' }
  const client = await DriverClient.dial('java', {
    ...{ port: instance.guardedPort, tls: false, clock: instance.clock, credentials },
  })
  open.add(client)
  const telemetry = client.telemetry(client.producerSettings([topic]))
  expect((await telemetry.hear())?.status?.code).toBe(OK)
  Object.assign(credentials, { username: 'other', secret: 'other-secret' })
  expect((await client.send(client.message(topic, 'x'))).status?.code).toBe(OK)
  const again = client.telemetry(client.producerSettings([topic]))
  expect((await again.hear())?.status?.code).toBe(OK)
  const elsewhere = await dial('worker', { clientId: client.clientId })
  expect((await elsewhere.send(elsewhere.message(topic, 'x'))).status?.code).toBe(FORBIDDEN)
})

describe('aclTypes', () => {
  const send = async (as: string) => {
    const client = await dial(as)
    return (await client.send(client.message(topic, 'x'))).status
  }

  it.each([
    [['default'], OK, UNAUTHORIZED],
    [['apache_acl'], UNAUTHORIZED, OK],
    [['default', 'apache_acl'], OK, OK],
  ] as const)('%j: which accounts count', async (aclTypes, defaultCode, customCode) => {
    await instance.change({ aclTypes, grants: [grant(`Topic ${topic}`, 'Pub')] })
    const answers = [await send(account.username), await send('worker')]
    expect(answers.map((answer) => answer?.code)).toEqual([defaultCode, customCode])
    for (const answer of answers) if (answer?.code !== OK) expect(answer?.message).toMatch(/aclTypes are/)
  })

  it('tell nothing of an account to who does not know its password', async () => {
    await instance.change({ aclTypes: ['default'] })
    const client = await dial('worker', { secret: 'guess' })
    const answer = await client.send(client.message(topic, 'x'))
    expect(answer.status?.message).toMatch(/is unknown or the signature does not match/)
  })
})

it('the password-free address lets everybody do everything, whatever account they show', async () => {
  await instance.change({ vpcAuthFree: true, aclTypes: ['apache_acl'] })
  for (const client of [await dial(null, { port: instance.port }), await dial('worker', { port: instance.port })])
    expect((await client.send(client.message(topic, 'x'))).status?.code).toBe(OK)
})

/** What the clients asked before is being worked on: requests of a connection are taken in order. */
async function arrived(...clients: readonly DriverClient[]): Promise<void> {
  for (const client of clients) await client.queryRoute(topic)
}

function settled<T>(promise: Promise<T>): { readonly promise: Promise<T>; done: boolean } {
  const watched = { promise, done: false }
  const done = () => {
    watched.done = true
  }
  promise.then(done, done)
  return watched
}

/** The gRPC status of sending no metrics at all. */
async function exportMetrics(client: DriverClient): Promise<number | null> {
  const { path, request } = MetricsService.methods.export
  const call = client.line.call(path, client.headers('Export', 3000))
  call.send(request.encode({ resourceMetrics: [] }).finish())
  call.end()
  return (await call.ended).grpcStatus
}

async function pullOnce(client: DriverClient): Promise<gen.Status | null> {
  const call = client.open('pullMessage', 30_000)
  const request = { ...queue(client), group: client.resource(group), longPollingTimeout: { seconds: 20, nanos: 0 } }
  call.send(gen.PullMessageRequest.encode(request).finish())
  call.end()
  return gen.PullMessageResponse.decode((await call.next())!).status
}
