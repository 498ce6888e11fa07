/**
 * The whole management server in this process: the real API, the real handlers, a real ledger in a temporary
 * home, the loop, and the engine in memory, so that thousands of requests cost seconds and what they wrote can be
 * looked at. Only the engine and the ports are not the real ones.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Api, createApi } from '../../src/api/server.ts'
import { SimulatedEngine } from '../../src/engines/simulated/engine.ts'
import { memoryNonces } from '../../src/iam/nonces.ts'
import { encodePercent } from '../../src/iam/percent.ts'
import { signRequest } from '../../src/iam/sign.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { openLedger } from '../../src/ledger/open.ts'
import { createPortSource } from '../../src/lifecycle/ports.ts'
import { createReconciler, type Reconciler } from '../../src/lifecycle/reconciler.ts'
import type { MessageView } from '../../src/model/messages.ts'
import { type Log, silentLog } from '../../src/observability/log.ts'
import { products } from '../../src/resources/index.ts'
import { realWorld } from '../../src/world/real.ts'
import { ACCOUNT_ID, PERMANENT_KEY_ID, SECRET, testKey } from '../api/captures.ts'
import { memoryKeyRing, USER_KEY_ID, userKey } from '../api/harness.ts'
import { bases, type GeneratedCall, grantedNames, type Segment } from './requests.ts'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Longer than this is a hang. */
const answerLimitMs = 15_000

export class FuzzSubject {
  readonly ledger: Ledger
  readonly loop: Reconciler
  readonly port: number
  /** What the log said at level error: a fault of ours that a request brought to light. */
  readonly errors: readonly string[]
  readonly #api: Api
  readonly #home: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 24 })

  private constructor(parts: {
    ledger: Ledger
    loop: Reconciler
    port: number
    errors: string[]
    api: Api
    home: string
  }) {
    this.ledger = parts.ledger
    this.loop = parts.loop
    this.port = parts.port
    this.errors = parts.errors
    this.#api = parts.api
    this.#home = parts.home
  }

  static async start(): Promise<FuzzSubject> {
    const home = await mkdtemp(path.join(tmpdir(), 'gantry-fuzz-'))
    const world = realWorld()
    const errors: string[] = []
    const log = logTo(errors)
    const ledger = await openLedger({ home, databaseUrl: null, world, log })
    const engine = new SimulatedEngine({ clock: world.clock })
    answerWithOneMessageEach(engine)
    const ports = createPortSource({ base: 21_000, host: '127.0.0.1', isFree: async () => true })
    const loop = createReconciler({ ledger, engine, world, log, ports, listenHost: '127.0.0.1' })
    await loop.start()
    const api = createApi({
      products,
      services: {
        world,
        ledger,
        settings: {
          accountId: ACCOUNT_ID,
          defaultRegionId: 'cn-hangzhou',
          regionIds: ['cn-hangzhou'],
          timeZoneOffsetMinutes: 480,
          advertisedHost: null,
          softwareVersion: 'gantry-test',
        },
        engine: { name: engine.name, ...engine.capabilities },
        wake: (instanceId) => loop.wake(instanceId),
        ask: engine.ask,
        askBriefly: (...question) => engine.ask(...question).catch(() => null),
      },
      keyRing: memoryKeyRing([testKey(), userKey()]),
      nonces: memoryNonces(),
      log,
      version: 'test',
      limits: { requestMs: 1_500, headersMs: 1_000 },
    })
    const { port } = await api.listen('127.0.0.1', 0)
    return new FuzzSubject({ ledger, loop, port, errors, api, home })
  }

  async close(): Promise<void> {
    this.#agent.destroy()
    await this.#api.close()
    await this.loop.stop()
    await this.ledger.close()
    await rm(this.#home, { recursive: true, force: true })
  }

  /** What generated paths may point at: at least three running instances, each with topics and groups. */
  async things(): Promise<Things> {
    await this.loop.settled()
    const found = await this.#present()
    const wanted = 3
    for (let missing = wanted - found.length; missing > 0; missing--) await this.#addInstance()
    if (found.length >= wanted) return found
    await this.loop.settled()
    return this.#present()
  }

  async #present(): Promise<Thing[]> {
    const { read } = this.ledger
    const instances = await read.selectFrom('instances').select('instance_id').where('wanted', '=', 'present').execute()
    const topics = await read.selectFrom('topics').select(['instance_id', 'topic_name']).execute()
    const groups = await read.selectFrom('consumer_groups').select(['instance_id', 'consumer_group_id']).execute()
    const accounts = await read.selectFrom('instance_accounts').select(['instance_id', 'username']).execute()
    return instances.map(({ instance_id: instanceId }) => ({
      instanceId,
      topics: topics.filter((row) => row.instance_id === instanceId).map((row) => row.topic_name),
      groups: groups.filter((row) => row.instance_id === instanceId).map((row) => row.consumer_group_id),
      accounts: accounts.filter((row) => row.instance_id === instanceId).map((row) => row.username),
    }))
  }

  async #addInstance(): Promise<void> {
    const instanceId = (await this.#accepted('CreateInstance', '/instances', bases.CreateInstance)) as string
    await this.loop.settled()
    for (const name of ['orders', 'audit']) {
      const place = `/instances/${instanceId}`
      await this.#accepted('CreateTopic', `${place}/topics/${name}`, bases.CreateTopic)
      await this.#accepted('CreateConsumerGroup', `${place}/consumerGroups/${name}`, bases.CreateConsumerGroup)
    }
    for (const username of ['worker', 'auditor', 'idle']) {
      const place = `/instances/${instanceId}`
      await this.#accepted('CreateInstanceAccount', `${place}/accounts`, { ...bases.CreateInstanceAccount, username })
      if (username === 'idle') continue
      for (const resourceName of grantedNames)
        await this.#accepted('CreateInstanceAcl', `${place}/acl/account/${username}`, {
          ...{ ...bases.CreateInstanceAcl, resourceName },
        })
    }
  }

  async #accepted(action: string, target: string, body: object): Promise<unknown> {
    const bytes = Buffer.from(JSON.stringify(body))
    const answer = await this.raw(
      'POST',
      target,
      signed(this.port, { method: 'POST', target, action, body: bytes }),
      bytes,
    )
    if (answer.status !== 200) throw new Error(`${action} answered ${answer.text}`)
    return JSON.parse(answer.text).data
  }

  /** A digest of every row of every table: a refused write leaves it as it was. */
  async digest(): Promise<string> {
    const hash = createHash('sha256')
    for (const table of tables) {
      const rows = await this.ledger.read.selectFrom(table).selectAll().execute()
      hash.update(`${table} ${rows.length}\n${rows.map((row) => JSON.stringify(row)).join('\n')}\n`)
    }
    return hash.digest('hex')
  }

  send(call: GeneratedCall, things: Things): Promise<Answer> {
    const target = targetOf(call, things)
    const body = bodyOf(call)
    return this.raw(call.method, target, headersOf(call, this.port, target, body), body)
  }

  raw(method: string, target: string, headers: Record<string, string>, body: Buffer | null): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(
        {
          host: '127.0.0.1',
          port: this.port,
          method,
          path: target,
          headers: { ...headers, ...(body === null ? {} : { 'content-length': String(body.length) }) },
          agent: this.#agent,
          timeout: answerLimitMs,
        },
        (incoming) => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk) => chunks.push(chunk))
          incoming.on('error', reject)
          incoming.on('end', () =>
            resolve({
              status: incoming.statusCode!,
              headers: incoming.headers,
              text: Buffer.concat(chunks).toString(),
            }),
          )
        },
      )
      outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${answerLimitMs} ms`)))
      outgoing.on('error', reject)
      outgoing.end(body ?? undefined)
    })
  }
}

export interface Thing {
  readonly instanceId: string
  readonly topics: readonly string[]
  readonly groups: readonly string[]
  readonly accounts: readonly string[]
}

export type Things = readonly Thing[]

/** All of them but the nonces, which a refused request may leave, and which are in memory here. */
const tables = [
  'meta',
  'access_keys',
  'ram_users',
  'instances',
  'topics',
  'consumer_groups',
  'instance_accounts',
  'instance_grants',
  'tags',
  'client_tokens',
  'changes',
] as const

function logTo(errors: string[]): Log {
  const error = (fields: object, text: string): void => {
    const { err, ...rest } = fields as { err?: Error }
    errors.push(`${text} ${JSON.stringify(rest)} ${err?.stack ?? ''}`)
  }
  return { ...silentLog, error } as Log
}

/** Lies in every topic, as the engine in memory carries none. */
const STORED: MessageView = {
  messageId: '01000C29A1B2C3D4E506A7B8C9D00000',
  tag: 'paid',
  keys: ['order-1'],
  body: 'stored',
  bodyBytes: 6,
  bornHost: '127.0.0.1',
  bornMs: 1_767_225_600_000,
  storeHost: '127.0.0.1',
  storeMs: 1_767_225_600_000,
  messageType: 'NORMAL',
  messageGroup: null,
  liteTopic: null,
  userProperties: {},
  deliverAtMs: null,
  priority: null,
  status: { state: 'stored' },
  transactionId: null,
  queueId: 0,
  queueOffset: 0,
}

function answerWithOneMessageEach(engine: SimulatedEngine): void {
  engine.answer({
    findMessages: ({ topics }, { topicName, messageId }) => {
      if (!topics.has(topicName)) return null
      const messages = messageId === null || messageId === STORED.messageId ? [STORED] : []
      return { messages, total: messages.length, scroll: null }
    },
    traceMessage: ({ topics }, { topicName, messageId }) =>
      topics.has(topicName) && messageId === STORED.messageId
        ? { message: STORED, userName: null, deadLetterOf: null, storedFirstMs: null, incidents: [], orderlyGroups: [] }
        : null,
  })
}

/** As a client escapes; half a surrogate pair has no UTF-8 and becomes the replacement character. */
const escaped = (text: string): string => encodePercent(text.replace(/\p{Surrogate}/gu, '\ufffd'))

function targetOf(call: GeneratedCall, things: Things): string {
  const place = call.segments['instanceId']
  const thing = things[(place !== undefined && 'number' in place ? place.number : 0) % things.length]!
  const filled = call.template.replace(/\{(\w+)\}/g, (_, name: string) => textOf(call.segments[name]!, thing))
  const query = call.query
    .map(([name, value]) => `${escaped(name)}=${escaped(value.replaceAll('$instance', thing.instanceId))}`)
    .join('&')
  return query === '' ? filled : `${filled}?${query}`
}

function textOf(segment: Segment, thing: Thing): string {
  if ('raw' in segment) return segment.raw
  if ('text' in segment) return escaped(segment.text)
  if (segment.existing === 'instance') return thing.instanceId
  if (segment.existing === 'message') return STORED.messageId
  const list = { topic: thing.topics, group: thing.groups, account: thing.accounts }[segment.existing]
  return escaped(list.length === 0 ? `no-${segment.existing}-yet` : list[segment.number % list.length]!)
}

export function bodyOf({ input, bodyDamage }: GeneratedCall): Buffer | null {
  if (input === null || bodyDamage === 'absent') return null
  const text = JSON.stringify(input.value) ?? 'null'
  switch (bodyDamage) {
    case 'none':
      return Buffer.from(text)
    case 'cut':
      return Buffer.from(text.slice(0, Math.ceil(text.length / 2)))
    case 'doubled':
      return Buffer.from(text.replace(/^\{("(?:[^"\\]|\\.)*"):/, '{$1:1,$1:'))
    case 'garbage':
      return Buffer.from(`${text}}]`)
    case 'notUtf8':
      return Buffer.concat([Buffer.from('{"remark":"'), Buffer.from([0xc3, 0x28, 0xff]), Buffer.from('"}')])
    case 'byteOrderMark':
      return Buffer.from(`\ufeff${text}`)
    case 'array':
      return Buffer.from(`[${text}]`)
    case 'blanks':
      return Buffer.from(' \r\n\t ')
    case 'polluting':
      return Buffer.from(text.replace(/^\{/, '{"__proto__":{"polluted":1},').replace(/,\}$/, '}'))
  }
}

function headersOf(call: GeneratedCall, port: number, target: string, body: Buffer | null): Record<string, string> {
  const action = call.operation?.action ?? 'Nothing'
  const request = { method: call.method, target, action, body }
  switch (call.signature) {
    case 'none':
      return { host: `127.0.0.1:${port}` }
    case 'valid':
      return signed(port, request)
    case 'wrongSecret':
      return signed(port, { ...request, accessKeySecret: 'wrong' })
    case 'unknownKey':
      return signed(port, { ...request, accessKeyId: 'nobody' })
    case 'userWithoutPolicy':
      return signed(port, { ...request, accessKeyId: USER_KEY_ID })
    case 'old':
      return signed(port, { ...request, at: Date.now() - 3_600_000 })
    case 'noVersion':
      return signed(port, { ...request, version: '1999-01-01' })
    case 'garbled': {
      const headers = signed(port, request)
      return { ...headers, authorization: headers['authorization']!.replace(/Signature=.*/, 'Signature=') }
    }
  }
}

export interface Signable {
  readonly method: string
  readonly target: string
  readonly action: string
  /** The digest takes bytes as well as text, and some bodies here are no text. */
  readonly body: Buffer | null
  readonly accessKeyId?: string
  readonly accessKeySecret?: string
  readonly at?: number
  readonly version?: string
}

export function signed(port: number, request: Signable): Record<string, string> {
  return signRequest(
    { accessKeyId: request.accessKeyId ?? PERMANENT_KEY_ID, accessKeySecret: request.accessKeySecret ?? SECRET },
    {
      method: request.method,
      target: request.target,
      host: `127.0.0.1:${port}`,
      action: request.action,
      body: request.body as unknown as string | null,
      at: request.at ?? Date.now(),
      nonce: crypto.randomUUID(),
      version: request.version ?? '2022-08-01',
    },
  )
}
