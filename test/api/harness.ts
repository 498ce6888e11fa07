/**
 * The API on a random port, with keys in memory. Everything has a default, so that a test names only what
 * it is about.
 */
import { request as httpRequest } from 'node:http'
import { type Api, type ApiLimits, createApi } from '../../src/api/server.ts'
import { bssopenapi } from '../../src/catalogue/bssopenapi/index.ts'
import { rocketmq } from '../../src/catalogue/rocketmq/index.ts'
import { noPolicies, type Policies } from '../../src/iam/authorize.ts'
import type { AccessKey, KeyRing } from '../../src/iam/keys.ts'
import { memoryNonces, type NonceStore } from '../../src/iam/nonces.ts'
import { requestTarget, signRequest } from '../../src/iam/sign.ts'
import { EngineError } from '../../src/model/refusals.ts'
import { type Log, silentLog } from '../../src/observability/log.ts'
import { handlers as billingHandlers } from '../../src/resources/bssopenapi/index.ts'
import type { Handlers, ServedProduct, Services } from '../../src/resources/handler.ts'
import { realClock, realRandom } from '../../src/world/real.ts'
import type { Clock } from '../../src/world/world.ts'
import { ACCOUNT_ID, PERMANENT_KEY_ID, SECRET, testKey } from './captures.ts'

export interface HarnessOptions {
  readonly handlers?: Handlers
  /** Laid over defaults in which a ledger must not be touched. */
  readonly services?: Partial<Services>
  readonly keys?: readonly AccessKey[]
  readonly keyRing?: KeyRing
  readonly nonces?: NonceStore
  readonly policies?: Policies
  /** Instead of RocketMQ with `handlers` and the billing service. */
  readonly products?: readonly ServedProduct[]
  readonly limits?: Partial<ApiLimits>
  readonly allowedHosts?: readonly string[]
  /** Time as the API sees it; timers stay the machine's. Defaults to the machine's clock. */
  readonly now?: () => number
  readonly log?: Log
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The body as sent. */
  readonly text: string
  /** Parsed, or undefined when it is no JSON. */
  readonly json: any
}

export interface RawCall {
  readonly method: string
  readonly target: string
  readonly headers?: Readonly<Record<string, string>> | readonly (readonly [string, string])[]
  readonly body?: Uint8Array | string | null
}

export interface SignedCall {
  readonly method: string
  /** Encoded path. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  /** JSON value, or text that is sent as it is. */
  readonly body?: unknown
  readonly action?: string
  readonly host?: string
  readonly version?: string
  readonly accessKeyId?: string
  readonly accessKeySecret?: string
  readonly securityToken?: string
  readonly at?: number
  readonly nonce?: string
}

export interface Harness {
  readonly api: Api
  readonly port: number
  /** `host:port`, for clients. */
  readonly endpoint: string
  /** Sends exactly what it is told. */
  send(call: RawCall): Promise<Reply>
  /** Signs with ACS3 and sends. */
  call(call: SignedCall): Promise<Reply>
  close(): Promise<void>
}

/** The account's key `test-ak` / `test-sk`, and a RAM user's without any policy. */
export const USER_KEY_ID = 'test-user-ak'

export async function startApi(options: HarnessOptions = {}): Promise<Harness> {
  const now = options.now ?? realClock.now
  const clock: Clock = { now, monotonic: realClock.monotonic, after: realClock.after }
  const keys = options.keys ?? [testKey(), userKey()]
  const api = createApi({
    products: options.products ?? [{ product: rocketmq, handlers: options.handlers ?? {} }, billing],
    services: { ...fakeServices(clock), ...options.services },
    keyRing: options.keyRing ?? memoryKeyRing(keys),
    nonces: options.nonces ?? memoryNonces(),
    policies: options.policies ?? noPolicies,
    log: options.log ?? silentLog,
    version: 'test',
    allowedHosts: options.allowedHosts ?? [],
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  })
  const { port } = await api.listen('127.0.0.1', 0)
  const endpoint = `127.0.0.1:${port}`
  const send = (call: RawCall) => sendRaw(port, call)
  return {
    api,
    port,
    endpoint,
    send,
    call: (call) => send(toRawCall(endpoint, now(), call)),
    close: () => api.close(),
  }
}

const billing: ServedProduct = { product: bssopenapi, handlers: billingHandlers }

export function memoryKeyRing(keys: readonly AccessKey[]): KeyRing {
  const byId = new Map(keys.map((key) => [key.accessKeyId, key]))
  return { find: async (accessKeyId) => byId.get(accessKeyId) ?? null }
}

export function userKey(): AccessKey {
  return testKey({
    accessKeyId: USER_KEY_ID,
    principal: {
      kind: 'user',
      accountId: ACCOUNT_ID,
      id: '2000000000000001',
      name: 'alice',
      arn: `acs:ram::${ACCOUNT_ID}:user/alice`,
      accessKeyId: USER_KEY_ID,
    },
  })
}

export function toRawCall(endpoint: string, now: number, call: SignedCall): RawCall {
  const { body = null, path, query = {} } = call
  const target = requestTarget(path, query)
  const text = body === null || typeof body === 'string' ? body : JSON.stringify(body)
  const headers = signRequest(
    {
      accessKeyId: call.accessKeyId ?? PERMANENT_KEY_ID,
      accessKeySecret: call.accessKeySecret ?? SECRET,
      ...(call.securityToken === undefined ? {} : { securityToken: call.securityToken }),
    },
    {
      method: call.method,
      target,
      host: call.host ?? endpoint,
      action: call.action ?? 'Test',
      body: text,
      at: call.at ?? now,
      nonce: call.nonce ?? realRandom.uuid(),
      version: call.version ?? rocketmq.version,
    },
  )
  return { method: call.method, target, headers, body: text }
}

function sendRaw(port: number, call: RawCall): Promise<Reply> {
  const pairs = [...(Array.isArray(call.headers) ? call.headers : Object.entries(call.headers ?? {}))]
  const framed = pairs.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name))
  // Node frames the body of a POST by itself, but writes that of a GET or DELETE bare after the head.
  if (typeof call.body === 'string' && !framed && /^(GET|DELETE|HEAD|OPTIONS|TRACE)$/.test(call.method)) {
    pairs.push(['content-length', String(Buffer.byteLength(call.body))])
  }
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { host: '127.0.0.1', port, method: call.method, path: call.target, headers: pairs.flat() as any, agent: false },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          resolve({ status: incoming.statusCode!, headers: incoming.headers, text, json: parsed(text) })
        })
      },
    )
    outgoing.on('error', reject)
    if (call.body !== null && call.body !== undefined) outgoing.write(call.body)
    outgoing.end()
  })
}

function parsed(text: string): any {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Handlers of the real resources need a real ledger; those of the API's tests must not touch one. */
function fakeServices(clock: Clock): Services {
  const untouchable = new Proxy(
    {},
    { get: (_, name) => () => Promise.reject(new Error(`${String(name)} has no ledger here`)) },
  )
  return {
    world: { clock, random: realRandom, disk: untouchable as Services['world']['disk'] },
    ledger: untouchable as Services['ledger'],
    settings: {
      accountId: ACCOUNT_ID,
      defaultRegionId: 'cn-hangzhou',
      regionIds: ['cn-hangzhou'],
      timeZoneOffsetMinutes: 480,
      advertisedHost: null,
      softwareVersion: 'gantry-test',
    },
    engine: { name: 'none' } as Services['engine'],
    wake: () => {},
    ask: nobodyAnswers,
    askBriefly: async () => null,
  }
}

const nobodyAnswers: Services['ask'] = async () => {
  throw new EngineError('absent', 'There is no engine here.')
}
