/**
 * `node test/upgrade/make-home.mjs CHECKOUT NAME`: fills a home with the program of a built checkout and packs it as
 * test/fixtures/homes/NAME, with expected.json that says what must be found in it. Run it before formats change; never
 * over a fixture that is there. Everything goes through the program's own interfaces: its API, and RocketMQ's calls.
 *
 * Two homes are made: `stopped` was closed in order, `killed` lost its server and its broker processes to kill -9. The program is
 * a copy whose segments hold 16 KiB and whose checkpoints come every 300 events, so that a small home has sealed segments with
 * index files, and a checkpoint with events after it. Nothing else differs.
 */
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { brokerPids, cleanUp, sleep, startGantry } from '../../bench/support/gantry.mjs'
import { Connection } from '../../bench/support/http2.mjs'
import { loadSource, removeSource, root } from '../../bench/support/source.mjs'

const require = createRequire(import.meta.url)
const sdk = require('@alicloud/rocketmq20220801')
const { $OpenApiUtil } = require('@alicloud/openapi-core')

const [checkout, name] = process.argv.slice(2)
const target = path.join(root, 'test/fixtures/homes', name)
if (existsSync(target)) throw new Error(`${target} is there: a fixture is never made again, for it is of its own time.`)

/** Fixed, so that the test can call the API; they open nothing but this fixture. */
const keys = { GANTRY_ACCESS_KEY_ID: 'fixture-key', GANTRY_ACCESS_KEY_SECRET: 'fixture-secret' }

const source = await loadSource()
const { gen } = source
const work = mkdtempSync(path.join(tmpdir(), 'gantry-home-'))
const program = path.join(work, 'program')

async function main() {
  copyProgram()
  mkdirSync(target, { recursive: true })
  const version = JSON.parse(readFileSync(path.join(checkout, 'package.json'), 'utf8')).version
  const expected = { version, keys, homes: {} }
  for (const [home, end] of [
    ['stopped', stop],
    ['killed', kill],
  ]) {
    const folder = path.join(work, home)
    const gantry = await startGantry(source, folder, keys, program)
    const found = await fill(gantry)
    await end(gantry, folder)
    expected.homes[home] = { atMs: Date.now(), ...found }
    pack(folder, path.join(target, `${home}.tar.gz`))
  }
  writeFileSync(path.join(target, 'expected.json'), `${JSON.stringify(expected, null, 1)}\n`)
}

// The program, its ends, and the packing ---------------------------------------------------------------

function copyProgram() {
  mkdirSync(program)
  for (const part of ['bin', 'dist', 'package.json'])
    cpSync(path.join(checkout, part), path.join(program, part), { recursive: true })
  symlinkSync(path.join(root, 'node_modules'), path.join(program, 'node_modules'))
  const file = path.join(program, 'dist/broker-host.mjs')
  let text = readFileSync(file, 'utf8')
  for (const [from, to] of [
    [/defaultSegmentBytes = 64 \* 2 \*\* 20/, 'defaultSegmentBytes = 16 * 1024'],
    [/CHECKPOINT_EVENTS = 2e5/, 'CHECKPOINT_EVENTS = 300'],
  ]) {
    if (!from.test(text)) throw new Error(`${from} is not in the program.`)
    text = text.replace(from, to)
  }
  writeFileSync(file, text)
}

async function stop(gantry) {
  gantry.api.close()
  await gantry.stop()
}

/** The server first, else it would start the broker processes again. */
async function kill(gantry, folder) {
  gantry.api.close()
  const pids = brokerPids(folder)
  process.kill(gantry.pids.management, 'SIGKILL')
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await sleep(500)
}

/** Without what says which process of which machine had it open, sockets, the log files of processes, and bytes that only take up room. */
function pack(folder, file) {
  for (const entry of readdirSync(folder))
    if (entry.startsWith('lock.') || entry === 'server.json' || entry === 'space.reserve')
      rmSync(path.join(folder, entry), { recursive: true })
  rmSync(path.join(folder, 'brokers/locks'), { recursive: true, force: true })
  for (const entry of readdirSync(path.join(folder, 'brokers')))
    if (/\.(sock|log)$/.test(entry)) rmSync(path.join(folder, 'brokers', entry))
  const made = spawnSync('tar', [
    '--sort=name',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '-czf',
    file,
    '-C',
    folder,
    '.',
  ])
  if (made.status !== 0) throw new Error(String(made.stderr))
}

// The filling ----------------------------------------------------------------------------------------------

async function fill(gantry) {
  const client = new sdk.default(
    new $OpenApiUtil.Config({
      accessKeyId: gantry.ready.accessKeyId,
      accessKeySecret: gantry.ready.accessKeySecret,
      regionId: gantry.ready.region,
      endpoint: new URL(gantry.ready.apiUrl).host,
      protocol: 'http',
    }),
  )
  const standard = await filledInstance(client, {
    instanceName: 'standard-one',
    remark: 'kept since the first fixture',
    seriesCode: 'professional',
    msgProcessSpec: 'rmq.p2.40xlarge',
  })
  const platinum = await filledInstance(client, {
    instanceName: 'platinum-one',
    seriesCode: 'ultimate',
    msgProcessSpec: 'rmq.u2.10xlarge',
    storage: { storageEncryption: true, storageSecretKey: 'key-of-fixture' },
  })
  const serverless = await createInstance(client, {
    instanceName: 'serverless-one',
    seriesCode: 'standard',
    subSeriesCode: 'serverless',
    commodityCode: 'ons_rmqsrvlesspost_public_cn',
    msgProcessSpec: undefined,
    vSwitches: ['vsw-a', 'vsw-b'],
  })
  const deleted = await createInstance(client, {
    instanceName: 'deleted',
    seriesCode: 'standard',
    msgProcessSpec: 'rmq.s2.2xlarge',
  })
  await client.deleteInstance(deleted)
  await client.tagResources(
    new sdk.TagResourcesRequest({
      regionId: gantry.ready.region,
      resourceType: 'instance',
      resourceId: JSON.stringify([standard.instanceId, platinum.instanceId]),
      tag: JSON.stringify([
        { key: 'team', value: 'trade' },
        { key: 'stage', value: '' },
      ]),
    }),
  )
  await client.createInstanceIpWhitelist(
    standard.instanceId,
    new sdk.CreateInstanceIpWhitelistRequest({ ipWhitelists: ['10.0.0.0/8', '127.0.0.1'] }),
  )
  await settled(client)
  return {
    deleted,
    instances: {
      standard: { ...standard, answers: await answersOf(client, standard.instanceId) },
      platinum: { ...platinum, answers: await answersOf(client, platinum.instanceId) },
      serverless: { instanceId: serverless, answers: await answersOf(client, serverless) },
    },
    tags: (
      await client.listTagResources(
        new sdk.ListTagResourcesRequest({ regionId: gantry.ready.region, resourceType: 'instance' }),
      )
    ).toMap().body.data,
  }
}

async function createInstance(
  client,
  { instanceName, remark, seriesCode, subSeriesCode, msgProcessSpec, storage, vSwitches, commodityCode },
) {
  const { body } = await client.createInstance(
    new sdk.CreateInstanceRequest({
      serviceCode: 'rmq',
      instanceName,
      ...(remark && { remark }),
      seriesCode,
      ...(commodityCode && { commodityCode }),
      subSeriesCode: subSeriesCode ?? 'cluster_ha',
      paymentType: 'PayAsYouGo',
      productInfo: new sdk.CreateInstanceRequestProductInfo({
        ...(msgProcessSpec && { msgProcessSpec }),
        messageRetentionTime: 168,
        ...storage,
      }),
      networkInfo: new sdk.CreateInstanceRequestNetworkInfo({
        vpcInfo: new sdk.CreateInstanceRequestNetworkInfoVpcInfo({
          vpcId: 'vpc-fixture',
          vSwitches: (vSwitches ?? ['vsw-a']).map(
            (vSwitchId) => new sdk.CreateInstanceRequestNetworkInfoVpcInfoVSwitches({ vSwitchId }),
          ),
        }),
        internetInfo: new sdk.CreateInstanceRequestNetworkInfoInternetInfo({
          internetSpec: 'disable',
          flowOutType: 'uninvolved',
        }),
      }),
      aclInfo: new sdk.CreateInstanceRequestAclInfo({ defaultVpcAuthFree: true }),
    }),
  )
  await until(async () => (await client.getInstance(body.data)).body.data.status === 'RUNNING', `${instanceName} runs`)
  return body.data
}

const topics = {
  normal: 'NORMAL',
  orders: 'FIFO',
  later: 'DELAY',
  payments: 'TRANSACTION',
  urgent: 'PRIORITY',
  chats: 'LITE',
  'dead-letters': 'NORMAL',
  'deleted-topic': 'NORMAL',
}

const groups = {
  reader: {},
  behind: {},
  moved: {},
  fixed: {
    retryPolicy: 'FixedRetryPolicy',
    fixedIntervalRetryTime: 30,
    maxRetryTimes: 3,
    deadLetterTargetTopic: 'dead-letters',
  },
  ordered: { deliveryOrderType: 'Orderly', retryPolicy: 'FixedRetryPolicy', fixedIntervalRetryTime: 1 },
  'later-reader': {},
  'payments-reader': {},
  'urgent-reader': {},
  'chat-reader': { topicName: 'chats', messageModel: 'LITE_SELECTIVE', deliveryOrderType: 'Orderly' },
  'deleted-group': {},
}

async function filledInstance(client, request) {
  const instanceId = await createInstance(client, request)
  for (const [topic, messageType] of Object.entries(topics)) {
    await client.createTopic(
      instanceId,
      topic,
      new sdk.CreateTopicRequest({
        messageType,
        remark: `of ${messageType}`.slice(0, 60),
        ...(messageType === 'LITE' && { liteTopicExpiration: -1 }),
        ...(topic === 'normal' && { maxSendTps: 900 }),
      }),
    )
  }
  for (const [group, { deliveryOrderType = 'Concurrently', topicName, messageModel, ...policy }] of Object.entries(
    groups,
  )) {
    await client.createConsumerGroup(
      instanceId,
      group,
      new sdk.CreateConsumerGroupRequest({
        deliveryOrderType,
        ...(topicName && { topicName }),
        ...(messageModel && { messageModel }),
        consumeRetryPolicy: new sdk.CreateConsumerGroupRequestConsumeRetryPolicy({
          retryPolicy: 'DefaultRetryPolicy',
          maxRetryTimes: 16,
          ...policy,
        }),
      }),
    )
  }
  await until(async () => {
    const lists = [await allTopics(client, instanceId), await allGroups(client, instanceId)]
    return lists.flat().every(({ status }) => status === 'RUNNING')
  }, 'topics and groups run')
  const { endpointUrl } = (await client.getInstance(instanceId)).body.data.networkInfo.endpoints[0]
  const wire = await openWire(endpointUrl)
  // Each group begins before the first message.
  const beginnings = [
    ...['reader', 'behind', 'moved', 'fixed', 'made-by-use'].map((group) => [group, 'normal']),
    ...[['ordered', 'orders'], ...['later', 'payments', 'urgent'].map((topic) => [`${topic}-reader`, topic])],
  ]
  await Promise.all(beginnings.map(([group, topic]) => wire.receive(group, topic)))
  const filled = {
    ...(await fillNormal(wire, client, instanceId)),
    ...(await fillOrders(wire)),
    ...(await fillLater(wire)),
    ...(await fillPayments(wire)),
    ...(await fillUrgent(wire)),
    ...(await fillChats(wire)),
  }
  await wire.send('deleted-topic', [{ body: 'gone with its topic' }])
  await client.deleteTopic(instanceId, 'deleted-topic')
  await client.deleteConsumerGroup(instanceId, 'deleted-group')
  wire.close()
  return { instanceId, ...filled }
}

/** 160 messages of 250 bytes: several segments. */
async function fillNormal(wire, client, instanceId) {
  const sent = []
  for (let number = 0; number < 160; number++) {
    const text = `normal ${number} `.padEnd(250, `${number} `)
    sent.push(
      ...(await wire.send('normal', [
        {
          body: text,
          tag: number % 3 === 0 ? 'three' : 'other',
          keys: [`key-${number}`],
          properties: { number: String(number) },
        },
      ])),
    )
  }
  // Acknowledged: every second one of the first sixty, so that what is acknowledged has holes; the others are out for six hours.
  const first = await wire.take('reader', 'normal', 60, 6 * 3_600_000)
  const acked = first.filter((_, index) => index % 2 === 0)
  await wire.ack('reader', 'normal', acked)
  const held = first.filter((_, index) => index % 2 === 1)
  // Two come back at once and wait for their second delivery, in a minute.
  for (const one of held.slice(0, 2)) await wire.changeInvisible('reader', 'normal', one, 60_000)
  // Three use up their retries.
  const exhausted = await wire.take('fixed', 'normal', 3, 60_000)
  for (const one of exhausted) await wire.toDeadLetters('fixed', 'normal', one)
  const restAcked = await wire.take('fixed', 'normal', 157, 60_000)
  await wire.ack('fixed', 'normal', restAcked)
  const used = await wire.take('made-by-use', 'normal', 10, 60_000)
  await wire.ack('made-by-use', 'normal', used)
  // `moved` did everything, and was then moved back to the beginning.
  await wire.ack('moved', 'normal', await wire.take('moved', 'normal', 160, 60_000))
  await client.resetConsumeOffset(
    instanceId,
    'moved',
    'normal',
    new sdk.ResetConsumeOffsetRequest({ resetType: 'SPECIFIED_TIME', resetTime: '2026-01-01 00:00:00' }),
  )
  await until(
    async () => (await lagOf(client, instanceId, 'moved')).totalLag.readyCount === 160,
    'the group was moved back',
  )
  return {
    normal: {
      // In their order; what each says follows from its place.
      sent: sent.map(({ messageId }) => messageId),
      acked: acked.map(idOf),
      retried: held.slice(0, 2).map(idOf),
      held: held.slice(2).map(idOf),
      deadLetters: exhausted.map(idOf),
      madeByUse: used.map(idOf),
    },
  }
}

async function fillOrders(wire) {
  const sent = []
  for (let number = 0; number < 40; number++)
    sent.push(...(await wire.send('orders', [{ body: `order ${number}`, messageGroup: `customer-${number % 4}` }])))
  const done = []
  for (let round = 0; round < 6; round++) {
    const received = await wire.receive('ordered', 'orders', { max: 3, invisibleMs: 60_000 })
    await wire.ack('ordered', 'orders', received)
    done.push(...received)
  }
  // One batch stays out: its queue is locked for an hour.
  const held = await wire.receive('ordered', 'orders', { max: 2, invisibleMs: 3_600_000 })
  return { orders: { sent, acked: done.map(idOf), held: held.map(idOf) } }
}

async function fillLater(wire) {
  const soon = Date.now() + 1_500
  const fired = await wire.send('later', [{ body: 'soon', deliverAtMs: soon }])
  const hours = [1, 2, 3, 24]
  const waiting = []
  for (const hour of hours) {
    const deliverAtMs = Math.ceil(Date.now() / 1000) * 1000 + hour * 3_600_000
    const [one] = await wire.send('later', [{ body: `in ${hour} h`, deliverAtMs }])
    waiting.push({ ...one, deliverAtMs })
  }
  const [recalled] = await wire.send('later', [{ body: 'recalled', deliverAtMs: Date.now() + 7_200_000 }])
  await wire.recall('later', recalled.recallHandle)
  const received = await wire.take('later-reader', 'later', 1, 60_000)
  await wire.ack('later-reader', 'later', received)
  return { later: { fired, waiting, recalled } }
}

async function fillPayments(wire) {
  const half = async (body) => (await wire.send('payments', [{ body, transactional: true }]))[0]
  const committed = [await half('committed 0'), await half('committed 1')]
  for (const one of committed) await wire.endTransaction('payments', one, 1)
  const rolledBack = await half('rolled back')
  await wire.endTransaction('payments', rolledBack, 2)
  const open = [await half('open 0'), await half('open 1'), await half('open 2')]
  await wire.ack('payments-reader', 'payments', await wire.take('payments-reader', 'payments', 1, 60_000))
  return { payments: { committed, rolledBack, open } }
}

async function fillUrgent(wire) {
  const sent = []
  for (let number = 0; number < 9; number++)
    sent.push({
      ...(await wire.send('urgent', [{ body: `urgent ${number}`, priority: number % 3 }]))[0],
      priority: number % 3,
    })
  return { urgent: { sent } }
}

async function fillChats(wire) {
  const names = ['alice', 'bob', 'carol']
  await wire.syncLite('chat-reader', 'chats', names.slice(0, 2))
  const sent = []
  for (let number = 0; number < 15; number++) {
    const liteTopic = names[number % 3]
    sent.push({ ...(await wire.send('chats', [{ body: `chat ${number}`, liteTopic }]))[0], liteTopic })
  }
  const acked = await wire.receive('chat-reader', 'chats', { max: 2, invisibleMs: 60_000 })
  await wire.ack('chat-reader', 'chats', acked)
  return { chats: { sent, acked: acked.map(idOf) } }
}

// What the API says ----------------------------------------------------------------------------------------------

async function answersOf(client, instanceId) {
  const groupsNow = await allGroups(client, instanceId)
  return {
    instance: (await client.getInstance(instanceId)).toMap().body.data,
    account: (await client.getInstanceAccount(instanceId, new sdk.GetInstanceAccountRequest({}))).toMap().body.data,
    whitelist: (await client.getInstanceIpWhitelist(instanceId, new sdk.GetInstanceIpWhitelistRequest({}))).toMap().body
      .data,
    topics: await Promise.all(
      (await allTopics(client, instanceId)).map(
        async ({ topicName }) => (await client.getTopic(instanceId, topicName)).toMap().body.data,
      ),
    ),
    groups: await Promise.all(
      groupsNow.map(
        async ({ consumerGroupId }) => (await client.getConsumerGroup(instanceId, consumerGroupId)).toMap().body.data,
      ),
    ),
    lags: Object.fromEntries(
      await Promise.all(
        groupsNow.map(async ({ consumerGroupId }) => [
          consumerGroupId,
          await lagOf(client, instanceId, consumerGroupId),
        ]),
      ),
    ),
  }
}

const allTopics = async (client, instanceId) =>
  (await client.listTopics(instanceId, new sdk.ListTopicsRequest({ pageNumber: 1, pageSize: 100 }))).toMap().body.data
    .list

const allGroups = async (client, instanceId) =>
  (
    await client.listConsumerGroups(instanceId, new sdk.ListConsumerGroupsRequest({ pageNumber: 1, pageSize: 100 }))
  ).toMap().body.data.list

const lagOf = async (client, instanceId, group) =>
  (await client.getConsumerGroupLag(instanceId, group, new sdk.GetConsumerGroupLagRequest({}))).toMap().body.data

async function settled(client) {
  await until(async () => {
    const { list } = (
      await client.listInstances(new sdk.ListInstancesRequest({ pageNumber: 1, pageSize: 100 }))
    ).toMap().body.data
    return list.length === 3 && list.every(({ status }) => status === 'RUNNING')
  }, 'the loop has nothing left to do')
}

async function until(done, what) {
  for (const end = Date.now() + 30_000; Date.now() < end; await sleep(50)) if (await done()) return
  throw new Error(`Not so after 30 s: ${what}.`)
}

// RocketMQ's calls -----------------------------------------------------------------------------------------------

async function openWire(endpoint) {
  const connection = await Connection.open(endpoint, 'fixture@1@1')
  const call = async (method, request) => {
    const { [`${method}Request`]: requests, [`${method}Response`]: responses } = gen
    const answers = await connection.call(method, requests.encode(request).finish())
    return answers.map((answer) => responses.decode(answer))
  }
  const ok = async (method, request) => {
    const [answer] = await call(method, request)
    const bad = [answer.status, ...(answer.entries ?? []).map(({ status }) => status)].find(
      (status) => status && status.code !== 20_000,
    )
    if (bad) throw new Error(`${method}: ${bad.code} ${bad.message}`)
    return answer
  }
  let ids = 0
  const resource = (text) => ({ name: text })
  const duration = (ms) => ({ seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 })
  const wire = {
    async send(topic, messages) {
      const encoded = messages.map(
        ({
          body,
          tag,
          keys: messageKeys,
          properties,
          messageGroup,
          deliverAtMs,
          priority,
          liteTopic,
          transactional,
        }) => ({
          topic: resource(topic),
          userProperties: properties ?? {},
          systemProperties: {
            messageId: messageIdOf(++ids),
            messageType: messageGroup
              ? 2
              : deliverAtMs
                ? 3
                : transactional
                  ? 4
                  : liteTopic
                    ? 5
                    : priority !== undefined
                      ? 6
                      : 1,
            bodyEncoding: 1,
            bornHost: 'fixture',
            bornTimestamp: duration(Date.now()),
            queueId: 0,
            ...(tag && { tag }),
            ...(messageKeys && { keys: messageKeys }),
            ...(messageGroup && { messageGroup }),
            ...(deliverAtMs && { deliveryTimestamp: duration(deliverAtMs) }),
            ...(priority !== undefined && { priority }),
            ...(liteTopic && { liteTopic }),
          },
          body: Buffer.from(body),
        }),
      )
      const { entries } = await ok('SendMessage', { messages: encoded })
      return entries.map(({ messageId, transactionId, recallHandle }, index) => ({
        messageId,
        body: messages[index].body,
        ...(messages[index].tag && { tag: messages[index].tag }),
        ...(transactionId && { transactionId }),
        ...(recallHandle && { recallHandle }),
        ...(messages[index].messageGroup && { messageGroup: messages[index].messageGroup }),
      }))
    },
    async receive(group, topic, { max = 32, invisibleMs = 60_000, waitMs = 5000 } = {}) {
      const answers = await call('ReceiveMessage', {
        group: resource(group),
        messageQueue: { topic: resource(topic) },
        filterExpression: { type: 1, expression: '*' },
        batchSize: max,
        invisibleDuration: duration(invisibleMs),
        longPollingTimeout: duration(waitMs),
      })
      return answers.filter(({ message }) => message).map(({ message }) => message)
    },
    /** Exactly so many. */
    async take(group, topic, count, invisibleMs) {
      const taken = []
      for (let tries = 0; taken.length < count && tries < 60; tries++)
        taken.push(...(await wire.receive(group, topic, { max: Math.min(32, count - taken.length), invisibleMs })))
      if (taken.length !== count) throw new Error(`${taken.length} of ${count} messages came to ${group}.`)
      return taken
    },
    async ack(group, topic, messages) {
      if (messages.length === 0) return
      const entries = messages.map(({ systemProperties: { messageId, receiptHandle, liteTopic } }) => ({
        messageId,
        receiptHandle,
        ...(liteTopic && { liteTopic }),
      }))
      await ok('AckMessage', { group: resource(group), topic: resource(topic), entries })
    },
    changeInvisible: (group, topic, { systemProperties: { messageId, receiptHandle } }, ms) =>
      ok('ChangeInvisibleDuration', {
        group: resource(group),
        topic: resource(topic),
        messageId,
        receiptHandle,
        invisibleDuration: duration(ms),
      }),
    toDeadLetters: (group, topic, { systemProperties: { messageId, receiptHandle } }) =>
      ok('ForwardMessageToDeadLetterQueue', {
        group: resource(group),
        topic: resource(topic),
        messageId,
        receiptHandle,
        deliveryAttempt: 4,
        maxDeliveryAttempts: 4,
      }),
    recall: (topic, recallHandle) => ok('RecallMessage', { topic: resource(topic), recallHandle }),
    endTransaction: (topic, { messageId, transactionId }, resolution) =>
      ok('EndTransaction', { topic: resource(topic), messageId, transactionId, resolution }),
    syncLite: (group, topic, liteTopicSet) =>
      ok('SyncLiteSubscription', { action: 0, topic: resource(topic), group: resource(group), liteTopicSet }),
    close: () => connection.close(),
  }
  return wire
}

/** The clients' own form: version, address, process, seconds since 2021, a number. */
function messageIdOf(number) {
  const seconds = Math.floor((Date.now() - Date.UTC(2021, 0, 1)) / 1000)
  const hex = (value) => value.toString(16).toUpperCase().padStart(8, '0')
  return `0102F1C7F1C7F10001${hex(seconds)}${hex(number)}`
}

function idOf({ systemProperties: { messageId } }) {
  return messageId
}

try {
  await main()
} finally {
  await cleanUp()
  rmSync(work, { recursive: true, force: true })
  removeSource()
}
process.exit(0)
