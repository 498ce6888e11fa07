/**
 * Hostile clients whose harm takes time: connections that never finish what they began, streams nobody reads, requests
 * that do not end. The broker is in this process and its clock is moved; a healthy client works after each.
 */
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as gen from '../../src/grpc/gen/rocketmq.js'
import { http2Frame } from '../fuzz/frames.ts'
import { DriverClient, duration } from './driver/client.ts'
import { DrivenInstance, turns } from './driver/instance.ts'
import { Line } from './driver/line.ts'

let instance: DrivenInstance
const cleanups: (() => void)[] = []
beforeAll(async () => {
  instance = await DrivenInstance.start()
})
afterAll(() => instance.close())
afterEach(async () => {
  for (const clean of cleanups.splice(0)) clean()
  const client = await DriverClient.dial('node', { port: instance.port, tls: true, clock: instance.clock })
  const topic = await instance.topic()
  expect((await client.send(client.message(topic, 'healthy'))).status?.code).toBe(20000)
  const { messages } = await client.poll('push', topic, await instance.group())
  expect(messages).toHaveLength(1)
  client.close()
  expect(instance.reported).toEqual([])
})

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const settings = http2Frame(4, 0, 0, Buffer.alloc(0))
const acknowledged = http2Frame(4, 1, 0, Buffer.alloc(0))

/** What is sent first, and after how long of silence the connection must be gone at the latest. */
const unfinished: readonly [string, Buffer, number][] = [
  ['nothing', Buffer.alloc(0), 10_000],
  ['half a preface', preface.subarray(0, 10), 10_000],
  ['a preface alone', preface, 10_000],
  ['a preface and settings that are never acknowledged', Buffer.concat([preface, settings]), 10_000],
  ['half a TLS record', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), 10_000],
  ['half a PROXY header', Buffer.from('PROXY TCP4 1'), 10_000],
  // Complete, and then no answer to pings.
  ['a whole handshake and nothing more', Buffer.concat([preface, settings, acknowledged]), 180_000],
  [
    'a frame larger than allowed after its handshake',
    Buffer.concat([preface, settings, acknowledged, http2Frame(0, 0, 1, Buffer.alloc(20_000))]),
    180_000,
  ],
  [
    'headers that never end',
    Buffer.concat([preface, settings, acknowledged, http2Frame(1, 0, 1, Buffer.from([0x83, 0x86]))]),
    180_000,
  ],
]

describe('a hundred connections that send', () => {
  it.each(unfinished)('%s are closed in time', async (_, bytes, withinMs) => {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => open(instance.port)))
    let gone = 0
    for (const socket of sockets) {
      socket.once('close', () => gone++)
      // They take what is sent to them, and never answer.
      socket.resume()
      if (bytes.length > 0) socket.write(bytes)
    }
    // The connection of the test before may still be there for a moment, and newer versions of Node end some at once.
    while ((await connections()) + gone < 100) await turns(1)
    await turns(20)
    for (let passed = 0; passed < withinMs + 1000; passed += 1000) {
      await instance.clock.advance(1000)
      await turns(2)
    }
    await turns(200)
    expect(gone).toBe(100)
  })
})

it('a thousand requests that never end are answered after a minute, and make room', async () => {
  const client = await dial()
  const calls = Array.from({ length: 1000 }, () => client.open('sendMessage', null))
  for (const call of calls) call.stream.write(Buffer.from([0, 0, 0, 1, 0, 1]))
  await turns(50)
  const { value } = await instance.elapse(Promise.all(calls.map((call) => call.ended)), 5000, 200_000)
  for (const { grpcStatus, grpcMessage } of value) {
    expect([grpcStatus, grpcMessage]).toEqual([4, 'The request did not arrive within 60000 ms'])
  }
  expect((await client.heartbeat(null, 1)).status?.code).toBe(20000)
})

it('what a consumer never reads goes to another, first attempt after its stream was given up', async () => {
  const topic = await instance.topic()
  const group = await instance.group()
  const client = await dial()
  const ids = new Set<string>()
  for (let sent = 0; sent < 10; sent++) {
    const message = client.message(topic, Buffer.alloc(1_000_000, 'x'))
    ids.add(message.systemProperties!.messageId!)
    await client.send(message)
  }
  const silent = await Line.open({ port: instance.port, tls: null, settings: { initialWindowSize: 0 } })
  cleanups.push(() => silent.close())
  const call = silent.call(gen.MessagingService.methods.receiveMessage.path, client.headers('ReceiveMessage', null))
  call.send(pollOf(topic, group, true))
  call.end()
  // Until the delivery is recorded and its stream is watched. Timers cannot be counted here: one goes as the other comes.
  await turns(2_000)
  await instance.elapse(call.ended, 500, 60_000)
  const found = new Set<string>()
  for (let polls = 0; polls < 6 && found.size < ids.size; polls++) {
    const { messages } = (await instance.elapse(client.poll('push', topic, group), 500)).value
    for (const message of messages) {
      found.add(message.systemProperties!.messageId)
      await client.ack(topic, group, message)
    }
  }
  expect(found).toEqual(ids)
})

it('a connection that holds 64 MiB unread is told so, and others are not', async () => {
  const topic = await instance.topic()
  const client = await dial()
  for (let sent = 0; sent < 20; sent++) await client.send(client.message(topic, Buffer.alloc(4_000_000, 'x')))
  // A status can be read, and no message.
  const silent = await Line.open({ port: instance.port, tls: null, settings: { initialWindowSize: 1000 } })
  cleanups.push(() => silent.close())
  const path = gen.MessagingService.methods.receiveMessage.path
  const statuses: gen.Status[] = []
  while (statuses.length < 10 && statuses.at(-1)?.code !== 42900) {
    const call = silent.call(path, client.headers('ReceiveMessage', null))
    call.send(pollOf(topic, await instance.group(), false))
    call.end()
    statuses.push(gen.ReceiveMessageResponse.decode((await call.next())!).status!)
  }
  // Each of the others got up to 16 MiB.
  expect(new Set(statuses.slice(0, -1).map(({ code }) => code))).toEqual(new Set([20000]))
  expect([statuses.length > 4, statuses.at(-1)!.code]).toEqual([true, 42900])
  expect(statuses.at(-1)!.message).toMatch(/earlier receives/)
  const other = await client.poll('simple', topic, await instance.group())
  expect(other.messages.length).toBeGreaterThan(0)
})

function pollOf(topic: string, group: string, autoRenew: boolean): Uint8Array {
  return gen.ReceiveMessageRequest.encode({
    group: { name: group },
    messageQueue: { topic: { name: topic } },
    batchSize: 32,
    autoRenew,
    invisibleDuration: duration(600_000),
    longPollingTimeout: duration(20_000),
  }).finish()
}

const connections = async (): Promise<number> =>
  (await instance.host.ask({ instanceId: instance.instanceId, question: 'usage', params: {} })).connections

async function dial(): Promise<DriverClient> {
  const client = await DriverClient.dial('go', { port: instance.port, tls: false, clock: instance.clock })
  cleanups.push(() => client.close())
  return client
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.once('error', reject)
    socket.on('error', () => {})
    cleanups.push(() => socket.destroy())
  })
}
