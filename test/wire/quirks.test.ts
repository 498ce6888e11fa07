/**
 * The seven official clients where they differ, driven by hand against a real embedded instance over TLS and in the
 * clear: one row a quirk, with the section of the data-plane reference it comes from. `driver/personalities.ts` says
 * how each client speaks, `driver/demands.ts` what it needs to hear.
 */
import { deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { Bench, type Quirk } from './driver/bench.ts'
import type { DriverClient } from './driver/client.ts'
import { duration, messageId } from './driver/client.ts'
import {
  acceptEmptyPoll,
  acceptMessage,
  acceptPoll,
  acceptReceipt,
  acceptRoute,
  acceptSettings,
} from './driver/demands.ts'
import { account, DrivenInstance, disabledAccount, turns } from './driver/instance.ts'
import { type Language, languages } from './driver/personalities.ts'

let instance: DrivenInstance
beforeAll(async () => {
  instance = await DrivenInstance.start()
})
afterAll(() => instance.close())

const { OK, TOPIC_NOT_FOUND, UNAUTHORIZED, INVALID_RECEIPT_HANDLE, CLIENT_ID_REQUIRED } = gen.Code
const normal = gen.MessageType.NORMAL

const quirks: readonly Quirk[] = [
  {
    source: 'data-plane §0 row 1, §11.2',
    name: 'reaches the one port with its ALPN, SNI, SETTINGS and windows',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial({ servername: 'mq.example.com' })
      expect(client.line.alpnProtocol).toBe(bench.tls ? 'h2' : null)
      acceptRoute(bench.personality, await client.queryRoute(topic), normal, { host: '127.0.0.1', port: instance.port })
    },
  },
  {
    source: 'data-plane §0 row 2, §1.3',
    name: 'gets a business error as a reply, with gRPC OK',
    clients: languages,
    async run(bench) {
      const client = await bench.dial()
      const { reply, outcome } = await client.unary('queryRoute', { topic: client.resource('nowhere') })
      expect(outcome).toMatchObject({ httpStatus: 200, contentType: 'application/grpc', grpcStatus: 0 })
      expect(reply.status.code).toBe(TOPIC_NOT_FOUND)
      expect(reply.status.message).toContain('nowhere')
    },
  },
  {
    source: 'data-plane §0 rows 3 to 5, §2',
    name: 'starts as a producer: route, settings with exponential back-off, and the stream stays open for the next settings',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial()
      const settings = client.producerSettings([topic])
      const steps = [() => client.queryRoute(topic), () => client.telemetry(settings)]
      if (bench.personality.telemetryFirst) steps.reverse()
      const [first, second] = [await steps[0]!(), await steps[1]!()]
      const telemetry = (bench.personality.telemetryFirst ? first : second) as ReturnType<DriverClient['telemetry']>
      expect(acceptSettings(bench.personality, await telemetry.hear(), 'publishing')).toEqual({
        maxAttempts: 3,
        firstPauseMs: 10,
      })
      telemetry.say({ settings })
      acceptSettings(bench.personality, await telemetry.hear(), 'publishing')
      expect((await telemetry.end()).grpcStatus).toBe(0)
    },
  },
  {
    source: 'data-plane §0 rows 4 and 5, §2',
    name: "starts as a consumer and reads the group's pauses right, whichever strategy it understands",
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const group = await bench.instance.group({ maxRetryTimes: 5, retry: { kind: 'fixed', intervalSeconds: 30 } })
      const client = await bench.dial()
      for (const kind of [gen.ClientType.PUSH_CONSUMER, gen.ClientType.SIMPLE_CONSUMER]) {
        const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }, kind))
        expect(acceptSettings(bench.personality, await telemetry.hear(), 'subscription')).toEqual({
          maxAttempts: 6,
          firstPauseMs: 30_000,
        })
        telemetry.call.cancel()
      }
    },
  },
  {
    source: 'data-plane §2',
    name: 'finds in the reply what it had said: namespace, topics, filters, user agent, access point, timeout',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial()
      const said = client.consumerSettings('echo', { [topic]: 'A || B' })
      const { settings } = (await client.telemetry(said).hear())!
      expect(settings).toMatchObject({
        clientType: said.clientType,
        accessPoint: said.accessPoint,
        requestTimeout: said.requestTimeout,
        userAgent: said.userAgent,
        subscription: {
          group: said.subscription!.group,
          subscriptions: said.subscription!.subscriptions,
          fifo: false,
          receiveBatchSize: 32,
          longPollingTimeout: { seconds: 20 },
        },
      })
    },
  },
  {
    source: 'data-plane §0 row 5',
    name: 'is known by its header even where its settings name no language',
    clients: ['node', 'python'],
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial()
      const telemetry = client.telemetry({ ...client.consumerSettings('quiet', { [topic]: '*' }), userAgent: null })
      acceptSettings(bench.personality, await telemetry.hear(), 'subscription')
    },
  },
  {
    source: 'data-plane §11.3; rocketmq-client-nodejs 1.0.8, BaseClient.startup',
    name: 'hears its settings again after the last of its routes, before which it does not listen',
    clients: ['node'],
    async run(bench) {
      const topics = [await bench.instance.topic(), await bench.instance.topic()]
      const client = await bench.dial()
      await client.queryRoute(topics[0]!)
      const telemetry = client.telemetry(client.producerSettings(topics))
      const first = await telemetry.hear()
      await client.queryRoute(topics[1]!)
      await bench.instance.clock.advance(50)
      expect(await telemetry.hear()).toEqual(first)
      await bench.instance.clock.advance(950)
      expect(await telemetry.hear()).toEqual(first)
      telemetry.call.cancel()
    },
  },
  {
    source: 'data-plane §0 row 6, §6.1, §6.3',
    name: 'finds queue 0 on broker 0 at the address it dialled',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial()
      const dialled = { host: '127.0.0.1', port: instance.port }
      const usable = acceptRoute(bench.personality, await client.queryRoute(topic), normal, dialled)
      expect(usable.some(({ id }) => id === 0)).toBe(true)
      const { assignments, status } = await client.queryAssignment(topic, 'any-group')
      expect(status?.code).toBe(OK)
      expect(assignments.map(({ messageQueue }) => messageQueue!.id)).toEqual([-1])
      expect(assignments[0]!.messageQueue!.broker!.endpoints!.addresses).toMatchObject([dialled])
    },
  },
  {
    source: 'data-plane §6.2, §11.2',
    name: 'finds the name or the IPv6 address it dialled, a name alone; Node cannot dial IPv6 literals',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial()
      const { port } = instance
      const at = (...hosts: string[]) => hosts.map((host) => ({ host, port }))
      const { DOMAIN_NAME, IPv6 } = gen.AddressScheme
      for (const [scheme, dialled, found] of [
        [DOMAIN_NAME, at('localhost'), at('localhost')],
        [DOMAIN_NAME, at('mq.example.com', 'mq2.example.com'), at('mq.example.com')],
        ...(bench.language === 'node' ? [] : [[IPv6, at('::1', 'fe80::2'), at('::1', 'fe80::2')] as const]),
      ] as const) {
        const endpoints = { scheme, addresses: dialled }
        const { messageQueues } = await client.ask('queryRoute', { topic: client.resource(topic), endpoints })
        for (const { broker } of messageQueues) expect(broker.endpoints).toEqual({ scheme, addresses: found })
      }
    },
  },
  {
    source: 'data-plane §0 row 7',
    name: 'gets messages whatever queue ids it names',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      for (let sent = 0; sent < 20; sent++) await client.send(client.message(topic, `${sent}`))
      const seen = new Set<string>()
      for (const id of [0, 7, 4096, -1, 2_147_483_647]) {
        const { messages } = await client.poll('simple', topic, group, {
          messageQueue: { topic: client.resource(topic), id },
          batchSize: 4,
        })
        for (const message of messages) seen.add(text(message))
      }
      expect(seen.size).toBe(20)
    },
  },
  {
    source: 'data-plane §0 rows 9 and 14, §1.5, §3.1, §3.4, §1.7',
    name: 'sends, and receives what it can take apart, in its push poll and in its simple poll',
    clients: languages,
    async run(bench) {
      const { client, topic } = await consumer(bench)
      const sent = client.message(topic, 'body', { tag: 'tag', keys: ['key one', 'two'], traceContext: 'trace' })
      acceptReceipt(bench.personality, await client.send(sent), [sent])
      for (const kind of ['push', 'simple'] as const) {
        const group = await instance.group()
        const polled = await client.poll(kind, topic, group)
        acceptPoll(bench.personality, polled)
        expect(polled.messages).toHaveLength(1)
        const [message] = polled.messages
        acceptMessage(bench.personality, message!, polled.messageBytes[0]!)
        expect(message!.topic).toMatchObject(sent.topic!)
        expect(message!.userProperties).toEqual(sent.userProperties)
        expect(message!.systemProperties).toMatchObject({
          messageId: sent.systemProperties!.messageId,
          tag: 'tag',
          keys: ['key one', 'two'],
          traceContext: 'trace',
          bornHost: 'host',
          bornTimestamp: sent.systemProperties!.bornTimestamp,
          messageType: normal,
          deliveryAttempt: 1,
        })
        // Rust wants exactly OK.
        expect((await client.ack(topic, group, message!)).status).toMatchObject({ code: OK })
      }
    },
  },
  {
    source: 'data-plane §0 row 9',
    name: 'gets a born time, an encoding and a digest even for a message that came without',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const bare = {
        topic: client.resource(topic),
        systemProperties: { messageId: messageId() },
        body: Buffer.from('x'),
      }
      acceptReceipt(bench.personality, await client.send(bare), [bare])
      const { messages, messageBytes } = await client.poll('simple', topic, group)
      acceptMessage(bench.personality, messages[0]!, messageBytes[0]!)
    },
  },
  {
    source: 'data-plane §3.4',
    name: 'gets a right digest whatever the sender claimed',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const lies = [{ type: gen.DigestType.CRC32, checksum: '0' }, { type: 99, checksum: 'x'.repeat(500) }, { type: 0 }]
      for (const bodyDigest of lies) await client.send(client.message(topic, 'body', { bodyDigest }))
      const { messages, messageBytes } = await client.poll('simple', topic, group)
      expect(messages).toHaveLength(3)
      for (const [index, message] of messages.entries()) acceptMessage(bench.personality, message, messageBytes[index]!)
    },
  },
  {
    source: 'data-plane §0 row 10',
    name: 'receives the largest body below 4 MiB less 16 KiB, with full properties, within its own limit',
    clients: ['node', 'csharp', 'rust'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const sent = client.message(topic, Buffer.alloc(4 * 1024 * 1024 - 20 * 1024, 'b'), { keys: ['k'.repeat(16_000)] })
      acceptReceipt(bench.personality, await client.send(sent), [sent])
      const { messages, messageBytes } = await client.poll('simple', topic, group)
      acceptMessage(bench.personality, messages[0]!, messageBytes[0]!)
    },
  },
  {
    source: 'data-plane §0 row 10',
    name: 'cannot read a body of 4 MiB: it comes alone, as attempt 1, and others arrive',
    clients: ['node', 'csharp', 'rust'],
    async run(bench) {
      const { client, topic } = await consumer(bench)
      const large = client.message(topic, Buffer.alloc(4 * 1024 * 1024, 'b'))
      const small = Array.from({ length: 5 }, (_, n) => client.message(topic, `small ${n}`))
      for (const each of [...small.slice(0, 2), large, ...small.slice(2)]) await client.send(each)
      const group = await instance.group({ maxRetryTimes: 1 })
      const arrived: string[] = []
      const alone: unknown[] = []
      for (let polls = 0; arrived.length + alone.length < 6 && polls < 40; polls++) {
        const { messages, messageBytes } = await client.poll('simple', topic, group, { batchSize: 4 })
        // What was held back is visible then.
        await instance.clock.advance(1_000)
        // As it is: the client's own error says what is wrong with it.
        if (messageBytes.some((bytes) => bytes > bench.personality.receiveLimit!)) {
          expect(messages).toHaveLength(1)
          alone.push(messages[0]!.systemProperties?.deliveryAttempt)
          continue
        }
        for (const [index, message] of messages.entries()) {
          acceptMessage(bench.personality, message, messageBytes[index]!)
          expect(message.systemProperties?.deliveryAttempt).toBe(1)
          arrived.push(text(message))
          await client.ack(topic, group, message)
        }
      }
      expect(arrived.sort()).toEqual(small.map(({ body }) => `${body}`))
      expect(alone).toEqual([1])
    },
  },
  {
    source: 'data-plane §0 row 10',
    name: 'receives a body of 4 MiB',
    clients: ['java', 'go', 'python', 'cpp'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const sent = client.message(topic, Buffer.alloc(4 * 1024 * 1024, 'b'))
      acceptReceipt(bench.personality, await client.send(sent), [sent])
      const { messages, messageBytes } = await client.poll('simple', topic, group)
      acceptMessage(bench.personality, messages[0]!, messageBytes[0]!)
      expect(Buffer.compare(Buffer.from(messages[0]!.body), Buffer.from(sent.body!))).toBe(0)
    },
  },
  {
    source: 'data-plane §0 row 12, §4.4, §11.1',
    name: 'holds a pushed message for five minutes by its heartbeats alone, and acknowledges it by the first handle',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
      await telemetry.hear()
      await client.send(client.message(topic, 'slow'))
      const [message] = (await client.poll('push', topic, group)).messages
      const { heartbeatMs } = bench.personality
      for (let passed = 0; passed < 300_000; passed += heartbeatMs) {
        await instance.clock.advance(heartbeatMs)
        expect((await client.heartbeat(group, gen.ClientType.PUSH_CONSUMER)).status?.code).toBe(OK)
      }
      acceptEmptyPoll(bench.personality, (await bench.wait(() => client.poll('push', topic, group), 500)).polled)
      expect((await client.ack(topic, group, message!)).status?.code).toBe(OK)
      await instance.clock.advance(120_000)
      acceptEmptyPoll(bench.personality, (await bench.wait(() => client.poll('push', topic, group), 500)).polled)
    },
  },
  {
    source: 'data-plane §0 row 12, §11.3',
    name: 'may use the handle from before ChangeInvisibleDuration, and the new one',
    clients: ['csharp', 'java'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      await client.send(client.message(topic, 'a'), client.message(topic, 'b'))
      const { messages } = await client.poll('simple', topic, group)
      const [a, b] = messages
      for (const message of messages) {
        const reply = await client.changeInvisible(topic, group, message, 60_000)
        expect(reply.status?.code).toBe(OK)
        expect(reply.receiptHandle).not.toBe('')
        if (message === b) {
          const renewed = { ...b!, systemProperties: { ...b!.systemProperties!, receiptHandle: reply.receiptHandle } }
          expect((await client.ack(topic, group, renewed)).status?.code).toBe(OK)
        }
      }
      // Beyond the first invisible duration, within the second.
      await instance.clock.advance(30_000)
      expect((await client.ack(topic, group, a!)).status?.code).toBe(OK)
      await instance.clock.advance(90_000)
      acceptEmptyPoll(bench.personality, (await bench.wait(() => client.poll('simple', topic, group))).polled)
    },
  },
  {
    source: 'data-plane §0 row 13, §1.8',
    name: 'reads INVALID_RECEIPT_HANDLE when it acknowledges too late, and gets the message again',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      await client.send(client.message(topic, 'late'))
      const short = { autoRenew: false, invisibleDuration: duration(10_000) }
      const [message] = (await client.poll('simple', topic, group, short)).messages
      await instance.clock.advance(11_000)
      const reply = await client.ack(topic, group, message!)
      expect(reply.status).toMatchObject({ code: INVALID_RECEIPT_HANDLE, message: 'INVALID_RECEIPT_HANDLE' })
      expect(reply.entries[0]!.status!.code).toBe(INVALID_RECEIPT_HANDLE)
      const { polled } = await bench.wait(() => client.poll('simple', topic, group, short))
      expect(polled.messages.map((again) => again.systemProperties!.deliveryAttempt)).toEqual([2])
      expect((await client.ack(topic, group, polled.messages[0]!)).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §1.5, §11.3',
    name: 'sends a batch in one call and gets an entry for each message, OK overall',
    clients: ['rust', 'java'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const batch = Array.from({ length: 32 }, (_, index) => client.message(topic, `${index}`))
      acceptReceipt(bench.personality, await client.send(...batch), batch)
      expect(await drain(client, topic, group)).toEqual(new Set(batch.map(({ body }) => `${body}`)))
    },
  },
  {
    source: 'data-plane §0 row 15, §1.3',
    name: 'fails at its start for an unknown topic, and works with a group nobody made',
    clients: languages,
    async run(bench) {
      const client = await bench.dial()
      expect((await client.queryRoute('unknown-topic')).status?.code).toBe(TOPIC_NOT_FOUND)
      const topic = await bench.instance.topic()
      const group = `made-by-use-${bench.language}-${bench.tls}`
      expect((await client.queryAssignment(topic, group)).status?.code).toBe(OK)
      const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
      expect(acceptSettings(bench.personality, await telemetry.hear(), 'subscription').maxAttempts).toBe(17)
      acceptEmptyPoll(bench.personality, (await bench.wait(() => client.poll('simple', topic, group))).polled)
    },
  },
  {
    source: 'data-plane §0 row 16, §7.1',
    name: 'signs in its own way: date form, hex case, what follows the access key',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial({ port: instance.guardedPort, credentials: account })
      expect((await client.queryRoute(topic)).status?.code).toBe(OK)
      acceptSettings(bench.personality, await client.telemetry(client.producerSettings([topic])).hear(), 'publishing')
      const sent = client.message(topic, 'signed')
      acceptReceipt(bench.personality, await client.send(sent), [sent])
      const polled = await client.poll('simple', topic, await instance.group())
      expect(polled.messages.map(text)).toEqual(['signed'])
    },
  },
  {
    source: 'data-plane §7.1',
    name: 'reads UNAUTHORIZED in a reply, in a telemetry command, and in a poll that still ends whole',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const strangers = [
        null,
        { username: account.username, secret: 'wrong' },
        { username: 'nobody', secret: account.secret },
        disabledAccount,
      ]
      for (const credentials of strangers) {
        const client = await bench.dial({ port: instance.guardedPort, credentials })
        const route = await client.queryRoute(topic)
        expect(route.status).toMatchObject({ code: UNAUTHORIZED })
        expect(route.status!.message).not.toContain(account.secret)
        const telemetry = client.telemetry(client.producerSettings([topic]))
        expect((await telemetry.hear())?.status?.code).toBe(UNAUTHORIZED)
        expect(await telemetry.hear()).toBeNull()
        const polled = await client.poll('simple', topic, 'any-group')
        expect(polled.status?.code).toBe(UNAUTHORIZED)
        acceptPoll(bench.personality, polled)
      }
    },
  },
  {
    source: 'data-plane §7.1',
    name: 'sends its header with empty credentials where none are needed',
    clients: ['python'],
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial({ credentials: null })
      expect(client.headers('QueryRoute', null)['authorization']).toContain('Credential=,')
      expect((await client.queryRoute(topic)).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §0 row 17, §1.10',
    name: 'sends a message to the dead letters, C++ without a handle; again and for an unknown one is OK too',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const sent = client.message(topic, 'poison')
      await client.send(sent)
      const [message] = (await client.poll('push', topic, group)).messages
      expect((await client.deadLetter(topic, group, message!)).status?.code).toBe(OK)
      expect((await client.deadLetter(topic, group, message!)).status?.code).toBe(OK)
      const unknown = { ...message!, systemProperties: { ...message!.systemProperties!, messageId: messageId() } }
      expect((await client.deadLetter(topic, group, unknown)).status?.code).toBe(OK)
      const coroner = await instance.group()
      const dead = await client.poll('simple', `%DLQ%${group}`, coroner)
      expect(dead.messages.map((each) => each.systemProperties!.messageId)).toEqual([sent.systemProperties!.messageId])
      expect(dead.messages[0]!.systemProperties!.deadLetterQueue).toMatchObject({ topic })
      acceptMessage(bench.personality, dead.messages[0]!, dead.messageBytes[0]!)
      await instance.clock.advance(120_000)
      acceptEmptyPoll(bench.personality, (await bench.wait(() => client.poll('simple', topic, group))).polled)
    },
  },
  {
    source: 'data-plane §0 row 18, §1.12',
    name: 'lives without telemetry: lost and never reopened (C#), or reopened after five minutes (Python)',
    clients: ['csharp', 'python'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const telemetry = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
      await telemetry.hear()
      telemetry.call.cancel()
      await telemetry.call.ended
      await client.send(client.message(topic, 'held'))
      const [message] = (await client.poll('push', topic, group)).messages
      for (let passed = 0; passed < 300_000; passed += 10_000) {
        await instance.clock.advance(10_000)
        await client.heartbeat(group, gen.ClientType.PUSH_CONSUMER)
      }
      expect((await client.ack(topic, group, message!)).status?.code).toBe(OK)
      expect((await client.queryAssignment(topic, group)).status?.code).toBe(OK)
      if (bench.language === 'python') {
        const late = client.telemetry(client.consumerSettings(group, { [topic]: '*' }))
        acceptSettings(bench.personality, await late.hear(), 'subscription')
      }
      await client.send(client.message(topic, 'still here'))
      expect((await client.poll('push', topic, group)).messages.map(text)).toEqual(['still here'])
    },
  },
  {
    source: 'data-plane §1.4, §0 row 18',
    name: 'may heartbeat, poll and leave before it ever opened telemetry',
    clients: languages,
    async run(bench) {
      const client = await bench.dial()
      expect((await client.heartbeat('early', gen.ClientType.SIMPLE_CONSUMER)).status?.code).toBe(OK)
      expect((await client.heartbeat(null, gen.ClientType.PRODUCER)).status?.code).toBe(OK)
      const { status } = await client.ask('notifyClientTermination', { group: client.resource('early') })
      expect(status.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §1.12',
    name: 'opens its stream again with the same id while the old one lingers; its deliveries stay its own',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const settings = client.consumerSettings(group, { [topic]: '*' })
      const old = client.telemetry(settings)
      await old.hear()
      await client.send(client.message(topic, 'held'))
      const [message] = (await client.poll('push', topic, group)).messages
      const renewed = client.telemetry(settings)
      acceptSettings(bench.personality, await renewed.hear(), 'subscription')
      old.call.cancel()
      await old.call.ended
      for (let passed = 0; passed < 180_000; passed += 30_000) {
        await instance.clock.advance(30_000)
        await client.heartbeat(group, gen.ClientType.PUSH_CONSUMER)
      }
      expect((await client.ack(topic, group, message!)).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §1.12',
    name: 'answers questions nobody asked, in the wrong field (Node), or with an unknown command, and keeps its stream',
    clients: ['node', 'java', 'go'],
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial()
      const settings = client.producerSettings([topic])
      const telemetry = client.telemetry(settings)
      await telemetry.hear()
      telemetry.say({ status: { code: 50100, message: 'NOT_IMPLEMENTED' }, threadStackTrace: { nonce: 'unasked' } })
      telemetry.say({ status: { code: 50100 }, verifyMessageResult: { nonce: 'unasked' } })
      telemetry.say({})
      telemetry.call.send(Buffer.from([0xfa, 0x3e, 0x02, 0x01, 0x02]))
      telemetry.say({ settings })
      let heard = await telemetry.hear()
      while (heard !== null && heard.settings === null) heard = await telemetry.hear()
      acceptSettings(bench.personality, heard, 'publishing')
    },
  },
  {
    source: 'data-plane §1.12',
    name: 'gives its stream a deadline of an hour and opens another a second later; its deliveries stay its own',
    clients: ['cpp'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const settings = client.consumerSettings(group, { [topic]: '*' })
      const telemetry = client.telemetry(settings)
      await telemetry.hear()
      const heartbeats = async (ms: number): Promise<void> => {
        for (let passed = 0; passed < ms; passed += 10_000) {
          await instance.clock.advance(10_000)
          await client.heartbeat(group, gen.ClientType.PUSH_CONSUMER)
        }
      }
      await heartbeats(3_590_000)
      await client.send(client.message(topic, 'held'))
      const [message] = (await client.poll('push', topic, group)).messages
      await instance.clock.advance(10_000)
      // gRPC DEADLINE_EXCEEDED
      expect((await telemetry.call.ended).grpcStatus).toBe(4)
      await instance.clock.advance(1_000)
      acceptSettings(bench.personality, await client.telemetry(settings).hear(), 'subscription')
      await heartbeats(180_000)
      expect((await client.ack(topic, group, message!)).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §11.1',
    name: 'says nothing for half an hour, after which it would close its idle channel itself; until then it is served',
    clients: ['java', 'go', 'node', 'python'],
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial()
      await client.queryRoute(topic)
      await instance.clock.advance(30 * 60_000 - 1)
      expect((await client.queryRoute(topic)).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §1.13, §4.4',
    name: 'leaves, and what it held comes to another after one second',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      await client.telemetry(client.consumerSettings(group, { [topic]: '*' })).hear()
      await client.send(client.message(topic, 'held'))
      expect((await client.poll('push', topic, group)).messages).toHaveLength(1)
      await client.ask('notifyClientTermination', { group: client.resource(group) })
      const other = await bench.dial()
      const { polled, tookMs } = await bench.wait(() => other.poll('push', topic, group))
      expect(polled.messages.map(text)).toEqual(['held'])
      expect(tookMs).toBeLessThanOrEqual(2000)
    },
  },
  {
    source: 'data-plane §11.1, §4.4',
    name: 'that vanishes without a word loses what it held within three minutes',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      await client.telemetry(client.consumerSettings(group, { [topic]: '*' })).hear()
      await client.send(client.message(topic, 'held'))
      expect((await client.poll('push', topic, group)).messages).toHaveLength(1)
      client.close()
      await client.line.closed
      const other = await bench.dial()
      let found: string[] = []
      for (let polls = 0; polls < 10 && found.length === 0; polls++) {
        found = (await bench.wait(() => other.poll('push', topic, group), 500)).polled.messages.map(text)
      }
      expect(found).toEqual(['held'])
    },
  },
  {
    source: 'data-plane §1.7, §10.4',
    name: 'names no poll time and says in its settings how long a request may take: half of that is left of its deadline',
    clients: ['java', 'go'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      // Java 5.0.3 as Apache's suite has it: 10 s of waiting and a request timeout of 10 s.
      const requestTimeout = { seconds: 10, nanos: 0 }
      const settings = client.consumerSettings(group, { [topic]: '*' }, gen.ClientType.SIMPLE_CONSUMER)
      await client.telemetry({ ...settings, requestTimeout }).hear()
      const poll = { longPollingTimeout: null, deadlineMs: 20_000 }
      const { polled, tookMs } = await bench.wait(() => client.poll('simple', topic, group, poll))
      acceptEmptyPoll(bench.personality, polled)
      expect(Math.abs(tookMs - 15_000)).toBeLessThanOrEqual(500)
    },
  },
  {
    source: 'data-plane §1.7',
    name: 'asks for renewal and a duration at once: the server renews',
    clients: ['cpp'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      await client.send(client.message(topic, 'renewed'))
      for (const kind of ['push', 'simple'] as const) {
        expect(bench.personality[kind]).toMatchObject({ autoRenew: true, invisibleMs: 15_000 })
      }
      const [message] = (await client.poll('push', topic, group)).messages
      for (let passed = 0; passed < 60_000; passed += 10_000) {
        await instance.clock.advance(10_000)
        await client.heartbeat(group, gen.ClientType.PUSH_CONSUMER)
      }
      expect((await client.ack(topic, group, message!)).status?.code).toBe(OK)
      // A duration that would be refused alone is no reason to refuse the poll.
      const tiny = { invisibleDuration: duration(1) }
      acceptEmptyPoll(bench.personality, (await bench.wait(() => client.poll('push', topic, group, tiny))).polled)
    },
  },
  {
    source: 'data-plane §1.9, §2',
    name: 'gives a message back and gets it again after the pause, with the next attempt',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      await client.send(client.message(topic, 'again'))
      const [message] = (await client.poll('push', topic, group)).messages
      // C++ counts one attempt ahead (11.3); the server takes whatever pause it is told.
      const pauseMs = bench.language === 'cpp' ? 5000 : 1000
      expect((await client.changeInvisible(topic, group, message!, pauseMs)).status?.code).toBe(OK)
      const { polled, tookMs } = await bench.wait(() => client.poll('push', topic, group))
      expect(polled.messages.map((each) => each.systemProperties!.deliveryAttempt)).toEqual([2])
      expect(tookMs).toBeGreaterThanOrEqual(pauseMs)
      expect(tookMs).toBeLessThanOrEqual(pauseMs + 1500)
    },
  },
  {
    source: 'data-plane §0 row 19, §3.4',
    name: 'gets a compressed body back byte for byte, a zlib stream flagged GZIP (C++) too, with a digest of what is sent',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const plain = Buffer.alloc(10_000, 'compress me ')
      for (const body of [deflateSync(plain), gzipSync(plain)]) {
        const sent = client.message(topic, body, { bodyEncoding: gen.Encoding.GZIP })
        acceptReceipt(bench.personality, await client.send(sent), [sent])
        const { messages, messageBytes } = await client.poll('simple', topic, group)
        acceptMessage(bench.personality, messages[0]!, messageBytes[0]!)
        expect(messages[0]!.systemProperties!.bodyEncoding).toBe(gen.Encoding.GZIP)
        expect(Buffer.from(messages[0]!.body)).toEqual(body)
        await client.ack(topic, group, messages[0]!)
      }
    },
  },
  {
    source: 'data-plane §3.1',
    name: 'may set what only the server knows; the server ignores it',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      await client.send(
        client.message(topic, 'forged', {
          deliveryAttempt: 1_886_351_212,
          receiptHandle: 'forged',
          queueId: 77,
          queueOffset: 999_999,
          storeHost: 'forged:1',
          storeTimestamp: { seconds: 1, nanos: 0 },
          invisibleDuration: duration(1),
          deadLetterQueue: { topic: 'forged', messageId: 'forged' },
        }),
      )
      const [message] = (await client.poll('simple', topic, group)).messages
      const system = message!.systemProperties!
      expect(system).toMatchObject({ deliveryAttempt: 1, deadLetterQueue: null })
      expect(system.receiptHandle).not.toBe('forged')
      expect(system.storeHost).not.toBe('forged:1')
      expect(system.queueId).toBeLessThan(8)
      expect(system.queueOffset).toBeLessThan(999_999)
      expect(system.storeTimestamp!.seconds).toBeGreaterThan(1)
      expect((await client.ack(topic, group, message!)).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §1.2',
    name: 'is served without the headers some clients leave out, and whatever they say',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const variants: Record<string, string | undefined>[] = [
        { 'x-mq-namespace': undefined },
        { 'x-mq-namespace': '' },
        { 'x-mq-language': undefined },
        { 'x-mq-language': 'COBOL' },
        { 'x-mq-client-version': undefined },
        { 'x-mq-client-version': 'main-SNAPSHOT' },
        { 'x-mq-protocol': undefined, 'x-mq-protocol-version': undefined },
        { 'x-mq-request-id': undefined },
        { 'x-mq-date-time': undefined },
        { 'x-mq-session-token': 'sts' },
        { te: undefined },
        { 'content-type': 'application/grpc+proto' },
        { 'grpc-encoding': 'identity' },
        { 'grpc-timeout': undefined },
        { 'user-agent': undefined },
        { 'grpc-accept-encoding': 'zstd' },
      ]
      for (const headers of variants) {
        const client = await bench.dial({ headers })
        expect([headers, (await client.queryRoute(topic)).status?.code]).toEqual([headers, OK])
        client.close()
      }
    },
  },
  {
    source: 'data-plane §1.2',
    name: 'without a client id is told so, in every kind of call',
    clients: ['java', 'rust'],
    async run(bench) {
      const topic = await bench.instance.topic()
      for (const clientId of [undefined, '', '   ']) {
        const client = await bench.dial({ headers: { 'x-mq-client-id': clientId } })
        expect((await client.queryRoute(topic)).status?.code).toBe(CLIENT_ID_REQUIRED)
        expect((await client.telemetry(client.producerSettings([topic])).hear())?.status?.code).toBe(CLIENT_ID_REQUIRED)
        const polled = await client.poll('simple', topic, 'any-group')
        expect(polled.status?.code).toBe(CLIENT_ID_REQUIRED)
        acceptPoll(bench.personality, polled)
      }
    },
  },
  {
    source: 'gRPC over HTTP/2',
    name: 'may compress its requests',
    clients: languages,
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial({ headers: { 'grpc-encoding': 'gzip' } })
      const call = client.open('queryRoute', 3000)
      call.send(gzipSync(gen.QueryRouteRequest.encode({ topic: client.resource(topic) }).finish()), true)
      call.end()
      expect(gen.QueryRouteResponse.decode((await call.next())!).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §11.1',
    name: 'pings as it likes: keepalive without calls (C++, Java), bandwidth probes (gRPC core), round trips (.NET)',
    clients: ['cpp', 'java', 'python', 'csharp'],
    async run(bench) {
      const topic = await bench.instance.topic()
      const client = await bench.dial()
      for (let pings = 0; pings < 20; pings++) await client.line.ping()
      expect((await client.queryRoute(topic)).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §11.1',
    name: 'keeps hundreds of polls open on one connection beside its other calls',
    clients: ['rust', 'go', 'node'],
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const before = instance.clock.pending
      const calls = Array.from({ length: 400 }, () => client.poll('simple', topic, group))
      await instance.untilWaiting(before + 399)
      expect((await client.queryRoute(topic)).status?.code).toBe(OK)
      const polled = (await instance.elapse(Promise.all(calls), 1000)).value
      for (const each of polled) acceptEmptyPoll(bench.personality, each)
    },
  },
  {
    source: 'data-plane §0 row 14, §1.5, §1.11, §5.3',
    name: 'ends transactions in its own words: by the transaction id, with its source, UNKNOWN as it says it',
    clients: languages,
    async run(bench) {
      const client = await bench.dial()
      const topic = await bench.instance.topic('TRANSACTION')
      const group = await bench.instance.group()
      const { COMMIT, ROLLBACK, TRANSACTION_RESOLUTION_UNSPECIFIED: unknown } = gen.TransactionResolution
      // Go and C# leave the source out.
      const source = ['go', 'csharp'].includes(bench.language) ? 0 : 1
      for (const resolutions of [[COMMIT], [ROLLBACK], [unknown, COMMIT]]) {
        const sent = client.message(topic, `${resolutions}`, { messageType: gen.MessageType.TRANSACTION })
        const receipt = await client.send(sent)
        acceptReceipt(bench.personality, receipt, [sent])
        const { transactionId } = receipt.entries[0]!
        expect(transactionId).not.toBe('')
        for (const resolution of resolutions) {
          const { messageId: id } = sent.systemProperties!
          const ending = { topic: client.resource(topic), messageId: id, transactionId, resolution, source }
          expect((await client.ask('endTransaction', ending)).status.code).toBe(OK)
        }
      }
      expect(await drain(client, topic, group)).toEqual(new Set([`${COMMIT}`, `${unknown},${COMMIT}`]))
    },
  },
  {
    source: 'data-plane §1.12, §5.3',
    name: 'is asked about a transaction it forgot, on its stream, and answers with source 2',
    clients: languages,
    async run(bench) {
      const client = await bench.dial()
      const topic = await bench.instance.topic('TRANSACTION')
      const telemetry = client.telemetry(client.producerSettings([topic]))
      acceptSettings(bench.personality, await telemetry.hear(), 'publishing')
      const sent = client.message(topic, 'orphan', { messageType: gen.MessageType.TRANSACTION, tag: 'kept' })
      const { transactionId } = (await client.send(sent)).entries[0]!
      // 6 s until it counts as an orphan, and at most 30 more until somebody looks.
      const { value: command, tookMs } = await instance.elapse(telemetry.hear(), 500)
      expect(tookMs).toBeLessThanOrEqual(40_000)
      const asked = command!.recoverOrphanedTransactionCommand!
      expect(asked.transactionId).toBe(transactionId)
      expect(asked.message).toMatchObject({ topic: { name: topic }, body: Buffer.from('orphan') })
      expect(asked.message!.systemProperties).toMatchObject({
        messageId: sent.systemProperties!.messageId,
        tag: 'kept',
      })
      const ending = { topic: client.resource(topic), messageId: sent.systemProperties!.messageId, transactionId }
      expect((await client.ask('endTransaction', { ...ending, resolution: 1, source: 2 })).status.code).toBe(OK)
      expect(await drain(client, topic, await instance.group())).toEqual(new Set(['orphan']))
    },
  },
  {
    source: 'data-plane §5.1, §3.1 field 11 and 16',
    name: 'gets a timed message never early, with the time it had asked for, whatever attempt it wrote',
    clients: languages,
    async run(bench) {
      const client = await bench.dial()
      const topic = await bench.instance.topic('DELAY')
      const group = await bench.instance.group()
      const deliveryTimestamp = { seconds: Math.floor(instance.clock.now() / 1000) + 8, nanos: 0 }
      const sent = client.message(topic, 'timed', { deliveryTimestamp, messageType: gen.MessageType.DELAY })
      const receipt = await client.send(sent)
      acceptReceipt(bench.personality, receipt, [sent])
      const { polled } = await bench.wait(() => client.poll('push', topic, group))
      const [message] = polled.messages
      acceptMessage(bench.personality, message!, polled.messageBytes[0]!)
      expect(message!.systemProperties).toMatchObject({ deliveryTimestamp, deliveryAttempt: 1 })
      const late = instance.clock.now() - deliveryTimestamp.seconds * 1000
      expect(late).toBeGreaterThanOrEqual(0)
      expect(late).toBeLessThanOrEqual(1500)
      expect((await client.ack(topic, group, message!)).status?.code).toBe(OK)
    },
  },
  {
    source: 'data-plane §1.14, §5.2',
    name: 'takes a timed message back by the handle it was given, and hears its own message id',
    clients: languages.filter((language) => language !== 'rust'),
    async run(bench) {
      const client = await bench.dial()
      const topic = await bench.instance.topic('DELAY')
      const group = await bench.instance.group()
      const deliveryTimestamp = { seconds: Math.floor(instance.clock.now() / 1000) + 8, nanos: 0 }
      const sent = client.message(topic, 'timed', { deliveryTimestamp, messageType: gen.MessageType.DELAY })
      const { recallHandle } = (await client.send(sent)).entries[0]!
      const recalled = await client.ask('recallMessage', { topic: client.resource(topic), recallHandle })
      expect(recalled).toMatchObject({ status: { code: OK }, messageId: sent.systemProperties!.messageId })
      await instance.clock.advance(10_000)
      acceptEmptyPoll(bench.personality, (await bench.wait(() => client.poll('push', topic, group), 500)).polled)
    },
  },
  {
    source: 'data-plane §0 row 20, §4.3',
    name: 'gets the whole range of an ordered batch again from the first message it did not acknowledge',
    clients: languages,
    async run(bench) {
      const client = await bench.dial()
      const topic = await bench.instance.topic('FIFO')
      const group = await bench.instance.group({ orderly: true })
      for (const each of ['1', '2', '3']) await client.send(client.message(topic, each, { messageGroup: 'g' }))
      const some = { autoRenew: false, invisibleDuration: duration(10_000), batchSize: 3 }
      const first = await client.poll('simple', topic, group, some)
      expect(first.messages.map(text)).toEqual(['1', '2', '3'])
      for (const message of first.messages.slice(1)) await client.ack(topic, group, message)
      const { polled } = await bench.wait(() =>
        client.poll('simple', topic, group, { ...some, longPollingTimeout: duration(20_000), deadlineMs: 25_000 }),
      )
      expect(polled.messages.map(text)).toEqual(['1', '2', '3'])
    },
  },
  {
    source: 'data-plane §5.4, §5.5, e2e TagFilterTest and SqlFilterTest',
    name: 'gets what its expression asks for, by tag and by SQL',
    clients: languages,
    async run(bench) {
      const client = await bench.dial()
      const topic = await bench.instance.topic()
      for (const [tag, price] of [
        ['Aa', '10'],
        ['BB', '20'],
        ['b', '30'],
        [null, '40'],
      ] as const) {
        await client.send({ ...client.message(topic, `${tag}`, { tag }), userProperties: { price } })
      }
      for (const [type, expression, found] of [
        [gen.FilterType.TAG, 'BB', ['BB']],
        [gen.FilterType.TAG, ' Aa ||||b ', ['Aa', 'b']],
        [gen.FilterType.SQL, 'price > 15 AND price BETWEEN 10 AND 30', ['BB', 'b']],
        [gen.FilterType.SQL, "TAGS IS NULL OR TAGS = 'Aa'", ['Aa', 'null']],
      ] as const) {
        const group = await instance.group()
        const filtered = client.poll('simple', topic, group, { filterExpression: { type, expression } })
        expect([expression, (await filtered).messages.map(text).sort()]).toEqual([expression, [...found]])
      }
    },
  },
  {
    source: 'data-plane §1.7',
    name: 'cancels a poll; the next one gets the message',
    clients: languages,
    async run(bench) {
      const { client, topic, group } = await consumer(bench)
      const before = instance.clock.pending
      const call = client.open('receiveMessage', 23_000)
      call.send(
        gen.ReceiveMessageRequest.encode({
          group: client.resource(group),
          messageQueue: { topic: client.resource(topic) },
          batchSize: 32,
          autoRenew: true,
          longPollingTimeout: duration(20_000),
        }).finish(),
      )
      call.end()
      await instance.untilWaiting(before)
      call.cancel()
      await call.ended
      await turns(10)
      await client.send(client.message(topic, 'for the next'))
      expect((await client.poll('push', topic, group)).messages.map(text)).toEqual(['for the next'])
    },
  },
]

/** 1.7 and 0 row 11: how long a poll with nothing to give lasts, by client and kind, in ms. */
const polls: readonly [Language, 'push' | 'simple', number][] = [
  ['java', 'push', 20_000],
  ['java', 'simple', 10_000],
  ['go', 'push', 20_000],
  // No poll time: the deadline of 13 s less half the request timeout.
  ['go', 'simple', 11_500],
  ['node', 'push', 20_000],
  ['node', 'simple', 20_000],
  ['python', 'push', 20_000],
  ['python', 'simple', 20_000],
  // No poll time: 23 s less half the request timeout, and at most 20.
  ['cpp', 'push', 20_000],
  ['cpp', 'simple', 10_000],
  ['csharp', 'push', 20_000],
  ['csharp', 'simple', 10_000],
  // 40 s, and as much deadline.
  ['rust', 'push', 20_000],
  ['rust', 'simple', 20_000],
]

describe.each([
  { line: 'in the clear', tls: false },
  { line: 'over TLS', tls: true },
])('$line', ({ tls }) => {
  describe.each(languages)('%s', (language) => {
    it.each(quirks.filter(({ clients }) => clients.includes(language)))('$name ($source)', async ({ run }) => {
      const bench = new Bench(instance, language, tls)
      try {
        await run(bench)
        expect(instance.reported).toEqual([])
      } finally {
        bench.close()
      }
    })
  })

  it.each(polls)(
    '%s polls with nothing there (%s): status, time, end, after %i ms (0 rows 8 and 11, 1.7)',
    async (language, kind, ms) => {
      const bench = new Bench(instance, language, tls)
      try {
        const { client, topic, group } = await consumer(bench)
        const { polled, tookMs } = await bench.wait(() => client.poll(kind, topic, group))
        acceptEmptyPoll(bench.personality, polled)
        expect(polled.deliveryTimestamp!.seconds).toBeGreaterThan(0)
        expect(Math.abs(tookMs - ms)).toBeLessThanOrEqual(500)
        expect(tookMs).toBeLessThan(bench.personality[kind].deadlineMs)
      } finally {
        bench.close()
      }
    },
  )
})

/** A client, a topic of its own, and a group for it: on a young topic it begins at the first message (4.5). */
async function consumer(bench: Bench): Promise<{ client: DriverClient; topic: string; group: string }> {
  const client = await bench.dial()
  const topic = await bench.instance.topic()
  const group = await bench.instance.group()
  return { client, topic, group }
}

async function drain(client: DriverClient, topic: string, group: string): Promise<Set<string>> {
  const seen = new Set<string>()
  for (let polls = 0; polls < 3; polls++) {
    const { messages } = (await instance.elapse(client.poll('simple', topic, group), 500)).value
    for (const message of messages) seen.add(text(message))
    if (messages.length === 0) break
  }
  return seen
}

const text = (message: gen.Message): string => Buffer.from(message.body).toString()
