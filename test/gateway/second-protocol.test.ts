/**
 * A second protocol on the ports of an instance, beside gRPC: it sends and receives through the broker's roles, and its
 * callers meet the same accounts, grants, whitelist, places, bandwidth and stopped instance as those of gRPC.
 */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { verifyMessage } from '../../src/broker/clients/commands.ts'
import { protocols } from '../../src/broker/protocols/index.ts'
import { HostedInstances } from '../../src/engines/embedded/hosted-instances.ts'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { GrantSpec, InstanceSpec } from '../../src/model/instances.ts'
import { SimulatedClock, SimulatedRandom, settle } from '../../src/world/simulated.ts'
import { SimulatedDisk } from '../../src/world/simulated-disk.ts'
import { DriverClient } from '../wire/driver/client.ts'
import { account, freshSpec } from '../wire/driver/instance.ts'
import { type LineAnswer, LineProtocol, type LineRequest, lineOf } from './line-protocol.ts'

const topic = 'orders'
const writer = { username: 'writer', secret: 'w', enabled: true, kind: 'custom' } as const
const mayPublish: GrantSpec = {
  username: 'writer',
  resourceType: 'Topic',
  resourceName: topic,
  actions: ['Pub'],
  decision: 'Allow',
  addresses: [],
}

let clock: SimulatedClock
let instances: HostedInstances
let gateway: Gateway<any>
let spec: InstanceSpec
let reported: unknown[]
const clients: { close(): void }[] = []

beforeEach(async () => {
  const random = new SimulatedRandom(1)
  clock = new SimulatedClock()
  reported = []
  const report = (error: unknown) => void reported.push(error)
  const world = { clock, random, disk: new SimulatedDisk({ random }).boot() }
  const all = [...protocols.map((protocol) => protocol({ clock, onError: report })), new LineProtocol()]
  gateway = new Gateway({ clock, onError: report, protocols: all })
  instances = new HostedInstances({
    ...{ world, gateway, report, directory: '/instances' },
    diskMarks: { pauseOf: () => null, start: () => {} },
    lock: async () => ({ release: async () => {}, forget: async () => {} }),
  })
  spec = await freshSpec({ accounts: [account, writer], aclTypes: ['default', 'apache_acl'], grants: [mayPublish] })
  await instances.ensure(spec, null)
  const topics = [{ topicName: topic, generation: 1, messageType: 'NORMAL', maxSendTps: null }] as const
  await instances.change(spec.instanceId, ({ broker }) => broker.administration.ensureTopics(topics))
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await elapse(instances.closeAll())
  await elapse(gateway.close())
})

async function change(more: Partial<InstanceSpec>): Promise<void> {
  spec = { ...spec, generation: spec.generation + 1, ...more }
  await elapse(instances.ensure(spec, null))
}

/** Moves the clock until the promise settles; what it came to, and the time that took on the clock. */
async function elapse<T>(promise: Promise<T>): Promise<{ value: T; tookMs: number }> {
  const began = clock.monotonic()
  let open = true
  const watched = promise.finally(() => {
    open = false
  })
  watched.catch(() => {})
  while (open) {
    await settle(20)
    if (open) await clock.advance(50)
    if (clock.monotonic() - began > 120_000) throw new Error('Nothing came within two minutes of the clock.')
  }
  return { value: await watched, tookMs: clock.monotonic() - began }
}

class LineClient {
  readonly #socket: Socket
  readonly #answers: LineAnswer[] = []
  readonly #waiting: ((answer: LineAnswer | null) => void)[] = []
  #text = ''

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1').setEncoding('utf8')
    this.#socket.on('error', () => {})
    this.#socket.on('data', (text: string) => {
      const lines = (this.#text + text).split('\n')
      this.#text = lines.pop()!
      for (const line of lines) this.#hear(JSON.parse(line))
    })
    this.#socket.on('close', () => {
      for (const tell of this.#waiting.splice(0)) tell(null)
    })
    clients.push(this)
  }

  #hear(answer: LineAnswer): void {
    const tell = this.#waiting.shift()
    if (tell === undefined) this.#answers.push(answer)
    else tell(answer)
  }

  /** Null when the connection was closed. */
  next(): Promise<LineAnswer | null> {
    const answer = this.#answers.shift()
    if (answer !== undefined) return Promise.resolve(answer)
    return new Promise((resolve) => {
      if (this.#socket.destroyed) resolve(null)
      else this.#waiting.push(resolve)
    })
  }

  say(request: Partial<LineRequest> & Pick<LineRequest, 'op'>, by: LineAccount | null = null): void {
    this.#socket.write(lineOf({ clientId: 'line-client', topic, ...request }, by))
  }

  /** Moves the clock until the answer is here. */
  async ask(...said: Parameters<LineClient['say']>): Promise<LineAnswer | null> {
    this.say(...said)
    return (await elapse(this.next())).value
  }

  close(): void {
    this.#socket.destroy()
  }
}

type LineAccount = { readonly username: string; readonly secret: string }
const free = () => new LineClient(spec.listen[0]!.port)
const guarded = () => new LineClient(spec.listen[1]!.port)
const message = { op: 'send', messageId: 'M1', body: 'hello', tag: 'a' } as const
const codeOf = (answer: LineAnswer | null) => answer?.status.code ?? null

describe('a second protocol', () => {
  it('needs nothing of gRPC', () => {
    const text = readFileSync(new URL('line-protocol.ts', import.meta.url), 'utf8')
    const imported = [...text.matchAll(/from '([^']+)'/g)].map(([, from]) => from!)
    expect(imported.length).toBeGreaterThan(15)
    expect(imported.filter((from) => /grpc/i.test(from))).toEqual([])
  })

  it('sends, receives by tag and acknowledges through the roles of the broker', async () => {
    const client = free()
    expect(await client.ask(message)).toMatchObject({ status: { code: 20000 }, messageId: 'M1' })
    expect(codeOf(await client.ask({ ...message, messageId: 'M2', tag: 'b' }))).toBe(20000)
    const got = await client.ask({ op: 'receive', group: 'readers', tag: 'b' })
    expect(got?.messages).toMatchObject([{ body: 'hello', tag: 'b' }])
    const { handle } = got!.messages![0]!
    expect(codeOf(await client.ask({ op: 'ack', group: 'readers', handle }))).toBe(20000)
    expect(codeOf(await client.ask({ op: 'ack', group: 'readers', handle: 'none' }))).toBe(40013)
    expect(reported).toEqual([])
  })

  it('shares its messages with gRPC on the same port, both ways', async () => {
    const port = spec.listen[0]!.port
    const grpc = await DriverClient.dial('java', { port, tls: false, clock })
    clients.push(grpc)
    const line = free()
    await line.ask(message)
    const polled = (await elapse(grpc.poll('simple', topic, 'group'))).value
    expect(
      polled.messages.map(({ body, systemProperties }) => [Buffer.from(body).toString(), systemProperties?.tag]),
    ).toEqual([['hello', 'a']])
    await elapse(grpc.send(grpc.message(topic, 'from gRPC')))
    const waited = await line.ask({ op: 'receive', group: 'others', waitMs: 5_000 })
    expect(waited?.messages?.map(({ body }) => body)).toEqual(['hello', 'from gRPC'])
  })

  it('refuses what any message is refused for, with the same codes', async () => {
    const client = free()
    expect(codeOf(await client.ask({ ...message, body: '' }))).toBe(41302)
    expect(codeOf(await client.ask({ ...message, tag: 'a|b' }))).toBe(40004)
    expect(codeOf(await client.ask({ ...message, topic: 'a.b' }))).toBe(40002)
    expect(codeOf(await client.ask({ ...message, topic: 'none' }))).toBe(40402)
    expect(codeOf(await client.ask({ ...message, clientId: '' }))).toBe(40017)
    expect(codeOf(await client.ask({ ...message, namespace: 'rmq-cn-another0001' }))).toBe(40400)
  })

  it('is asked what the broker has to say to its clients', async () => {
    const client = free()
    await client.ask({ op: 'register', group: 'readers' })
    const { clients: registry } = instances.present(spec.instanceId)
    expect(registry.list()).toMatchObject([{ clientId: 'line-client', group: 'readers', topics: [topic] }])
    const asked = { topicName: topic, messageId: 'M', tag: null, keys: [], userProperties: {}, body: '', bornTimeMs: 0 }
    const verified = verifyMessage(registry, 'line-client', asked)
    const heard = await client.next()
    expect(heard?.command).toMatchObject({ kind: 'verify-message', message: asked })
    const { nonce } = heard!.command as { nonce: string }
    registry.answered('line-client', nonce, { code: 20000, message: '', threadStackTrace: null })
    expect(await verified).toEqual({ consumed: true, reason: null })
  })
})

describe('who calls over a second protocol', () => {
  it('is asked for credentials, which each request signs for itself', async () => {
    const client = guarded()
    expect(codeOf(await client.ask(message))).toBe(40100)
    expect(codeOf(await client.ask(message, account))).toBe(20000)
    // The signature of another request is none.
    const { status } = (await client.ask({ ...message, body: 'changed' }, { ...account, secret: 'wrong' }))!
    expect(status).toMatchObject({ code: 40100, message: expect.stringContaining('"instance-user"') })
    expect(codeOf(await client.ask(message, account))).toBe(20000)
  })

  it('waits longer for an answer to each wrong password beyond a few', async () => {
    let refused: LineAnswer | null = null
    let tookMs = 0
    for (let tries = 0; tries < 40 && tookMs === 0; tries++) {
      const client = guarded()
      const { value, tookMs: took } = await elapse(client.ask(message, { ...account, secret: `wrong-${tries}` }))
      if (took >= 1_000) [refused, tookMs] = [value, took]
      client.close()
    }
    expect(codeOf(refused)).toBe(40100)
    expect(codeOf(await guarded().ask(message, account))).toBe(20000)
  })

  it('may do what its account is granted', async () => {
    const client = guarded()
    expect(codeOf(await client.ask(message, writer))).toBe(20000)
    expect(codeOf(await client.ask({ ...message, topic: 'other' }, writer))).toBe(40300)
    expect(codeOf(await client.ask({ op: 'receive', group: 'readers' }, writer))).toBe(40300)
    expect(codeOf(await client.ask({ op: 'receive', group: 'readers' }, account))).toBe(20000)
  })

  it('is cut off from a receive that waits when its account goes', async () => {
    const client = guarded()
    await change({
      grants: [
        { ...mayPublish, actions: ['Pub', 'Sub'] },
        { ...mayPublish, resourceType: 'Group', resourceName: '*', actions: ['Sub'] },
      ],
    })
    await client.ask(message, writer)
    client.say({ op: 'receive', group: 'none', topic, waitMs: 20_000, tag: 'nobody' }, writer)
    while (gateway.bounds.openCallBytes.held === 0) await settle(1)
    const began = clock.monotonic()
    await change({ accounts: [account] })
    expect(codeOf(await client.next())).toBe(40100)
    expect(clock.monotonic() - began).toBeLessThan(5_000)
  })

  it('is nobody whose address is not on the whitelist', async () => {
    await change({ ipWhitelist: ['192.0.2.0/24'] })
    expect(await free().ask(message)).toBeNull()
  })

  it('gets nothing of an instance that is stopped', async () => {
    const client = guarded()
    expect(codeOf(await client.ask(message, account))).toBe(20000)
    await change({ serving: false })
    expect(codeOf(await client.ask(message, account))).toBe(40200)
  })

  it('has one of the places of the instance, whatever protocol has the others', async () => {
    await change({ maxConnections: 1 })
    const grpc = await DriverClient.dial('java', { port: spec.listen[0]!.port, tls: false, clock })
    clients.push(grpc)
    await elapse(grpc.queryRoute(topic))
    const over = free()
    expect(codeOf(await over.ask(message))).toBe(42900)
    grpc.close()
    while (gateway.stats().connections > 1) await settle(1)
    expect(codeOf(await over.ask(message))).toBe(20000)
  })

  it('shares the bandwidth of the address, in and out', async () => {
    await change({ listen: spec.listen.map((listen) => ({ ...listen, bandwidthMbps: 8 })) })
    const client = free()
    const body = 'x'.repeat(1_500_000)
    await client.ask({ ...message, body })
    const { tookMs: sending } = await elapse(client.ask({ ...message, messageId: 'M2', body }))
    expect(sending).toBeGreaterThanOrEqual(1_400)
    const { tookMs: receiving } = await elapse(client.ask({ op: 'receive', group: 'readers' }))
    expect(receiving).toBeGreaterThanOrEqual(1_900)
  })
})
