/** The API over real sockets: what clients send, what they get back, and what others do meanwhile. */
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { etagOf } from '../../src/api/envelope.ts'
import { ApiError } from '../../src/catalogue/errors.ts'
import { rocketmq } from '../../src/catalogue/rocketmq/index.ts'
import { parsePolicy } from '../../src/iam/policy.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import { EngineError } from '../../src/model/refusals.ts'
import { createLog } from '../../src/observability/log.ts'
import type { Handlers, Services } from '../../src/resources/handler.ts'
import { realClock, realRandom } from '../../src/world/real.ts'
import { type Capture, readCaptures, readFixture } from './captures.ts'
import {
  type Harness,
  type HarnessOptions,
  memoryKeyRing,
  type SignedCall,
  startApi,
  toRawCall,
  USER_KEY_ID,
} from './harness.ts'

let api: Harness
const open = async (options: HarnessOptions = {}) => {
  api = await startApi(options)
  return api
}
afterEach(() => api?.close())

/** A handler for every operation that answers what it was given. */
const echo: Handlers = Object.fromEntries(
  rocketmq.operations.map(({ action }) => [
    action,
    async (_services, call, input) => ({ action, input, regionId: call.regionId }),
  ]),
)
const regions = { method: 'GET', path: '/regions', action: 'ListRegions' }
const topic = { method: 'POST', path: '/instances/rmq-cn-1/topics/TopicA', body: { messageType: 'NORMAL' } }

describe('a page on the web', () => {
  const targets = ['/_gantry/health', '/regions', '/instances', '/?Action=QueryAvailableInstances']
  it.each([
    ['that made its name resolve to loopback', { host: 'rebound.attacker.net' }, 404, 'InvalidProduct.NotFound'],
    ['that asks by address', { origin: 'https://attacker.net' }, 403, 'Forbidden.Origin'],
    ['that shows our answer as an image', { 'sec-fetch-site': 'cross-site' }, 403, 'Forbidden.Origin'],
  ])('%s gets nothing', async (_, headers, status, code) => {
    await open({ handlers: echo })
    for (const target of targets) {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const body = method === 'POST' ? 'x'.repeat(100_000) : null
        const reply = await api.send({ method, target, headers, body })
        expect([reply.status, reply.json.Code]).toEqual([status, code])
        expect(Object.keys(reply.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
      }
    }
    expect((await api.call(regions)).status).toBe(200)
    const preflight = { 'access-control-request-method': 'POST', origin: `http://${api.endpoint}` }
    const asked = await api.send({ method: 'OPTIONS', target: '/instances', headers: preflight })
    expect(Object.keys(asked.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  it('gets nothing by a second Host header either', async () => {
    await open({ handlers: echo })
    const socket = connect(api.port, '127.0.0.1')
    socket.end(`GET /regions HTTP/1.1\r\nHost: ${api.endpoint}\r\nHost: rebound.attacker.net\r\n\r\n`)
    let answer = ''
    for await (const chunk of socket) answer += chunk
    expect(answer).toMatch(/^HTTP\/1\.1 400 .*"Code":"InvalidHost".*more than one Host header/s)
  })

  it('is not needed to use another name: it can be allowed', async () => {
    await open({ handlers: echo, allowedHosts: ['gantry'] })
    expect((await api.call({ ...regions, host: 'gantry:7800' })).status).toBe(200)
    const refused = await api.call({ ...regions, host: 'gantry2:7800' })
    expect(refused.json.Message).toMatch(/does not answer to the name gantry2.*allowedHosts/)
  })
})

describe('requests of official clients, replayed', () => {
  const captures = readCaptures().filter(({ name }) => name !== 'npm-ListInstances-bearer')

  it.each(captures.map((capture) => [capture.name, capture] as const))('%s', async (name, capture) => {
    await open({ handlers: echo, keys: [capture.key], now: () => capture.at })
    const reply = await replay(capture)
    const action = /-([A-Z][A-Za-z]+)/.exec(name)![1]!
    // A capture was made to show encoding, not to be a valid call; what matters is that the caller is known.
    expect(reply.text).not.toMatch(/Signature|AccessKey|TimeStamp|InternalError/)
    expect([200, 400]).toContain(reply.status)
    if (name === 'terraform-ListInstances-empty-query-value') {
      // Its parameter `empty` was made up to show how an empty value is signed.
      expect(reply.json).toMatchObject({ Code: 'UnsupportedParameter', dynamicMessage: 'empty' })
      return
    }
    if (reply.status === 200) expect(reply.json.data.action).toBe(action)
    else expect(reply.json.Code).toMatch(/^(Missing|Invalid)[A-Z]/)
    const again = await replay(capture)
    const hasNonce = capture.headers.some(([header]) => header.toLowerCase() === 'x-acs-signature-nonce')
    // The CLI sends none: a change is known by its signature, and an equal read of the same second is let through.
    const isKnown = hasNonce || capture.method !== 'GET'
    expect(again.json.Code ?? 'none').toBe(isKnown ? 'SignatureNonceUsed' : (reply.json.Code ?? 'none'))
  })

  it('decodes what they encode in their own ways', async () => {
    const inputs: Record<string, unknown> = {}
    for (const name of [
      'npm-ListInstances',
      'java-ListInstances',
      'aliyuncli-ListInstances',
      'terraform-TagResources',
    ]) {
      const capture = captures.find((each) => each.name === name)!
      await open({ handlers: echo, keys: [capture.key], now: () => capture.at })
      inputs[name] = (await replay(capture)).json.data.input
      await api.close()
    }
    expect(inputs).toMatchObject({
      'npm-ListInstances': {
        filter: 'rmq-cn & x',
        seriesCodes: ['standard', 'ultimate'],
        tags: [{ key: 'env', value: 'test' }],
      },
      'java-ListInstances': { filter: 'rmq-cn & x~*' },
      'aliyuncli-ListInstances': { filter: 'a b&c' },
      'terraform-TagResources': { resourceId: ['rmq-cn-test0000001'], tag: [{ key: 'team name', value: 'a+b' }] },
    })
  })

  function replay(capture: Capture) {
    return api.send({ method: capture.method, target: capture.target, headers: capture.headers, body: capture.body })
  }
})

describe('answers', () => {
  it('have the product envelope on success', async () => {
    await open({ handlers: { ListRegions: async () => [{ regionId: 'cn-hangzhou' }] } })
    const reply = await api.call(regions)
    const requestId = reply.headers['x-acs-request-id'] as string
    expect(requestId).toMatch(/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/)
    expect(reply.text).toBe(
      `{"requestId":"${requestId}","success":true,"code":"200","message":"Success","httpStatusCode":200,"dynamicCode":null,"dynamicMessage":null,"data":[{"regionId":"cn-hangzhou"}]}`,
    )
    expect(reply.headers).toMatchObject({
      'content-type': 'application/json;charset=utf-8',
      'content-length': String(reply.text.length),
      etag: etagOf(reply.text),
    })
    expect(reply.headers['x-acs-trace-id']).toMatch(/^[0-9a-f]{32}$/)
    expect(reply.headers['content-encoding']).toBeUndefined()
    expect(reply.headers['x-acs-retry-after']).toBeUndefined()
  })

  it('have no data where the operation has no result', async () => {
    await open({ handlers: { ListRegions: async () => undefined } })
    expect((await api.call(regions)).json).not.toHaveProperty('data')
  })

  it('can be read by every client when they are errors', async () => {
    await open({ handlers: echo })
    const reply = await api.call({ ...topic, body: { messageType: 'ODD' }, host: 'rocketmq.cn-hangzhou.aliyuncs.com' })
    const requestId = reply.headers['x-acs-request-id']
    expect(reply.status).toBe(400)
    expect(reply.json).toEqual({
      RequestId: requestId,
      HostId: 'rocketmq.cn-hangzhou.aliyuncs.com',
      Code: 'InvalidMessageType',
      Message: expect.stringMatching(/^Parameter messageType is invalid\. "ODD" /),
      Recommend: `https://api.aliyun.com/troubleshoot?q=InvalidMessageType&product=RocketMQ&requestId=${requestId}`,
      requestId,
      success: false,
      code: 'InvalidMessageType',
      message: reply.json.Message,
      httpStatusCode: 400,
      dynamicCode: 'MessageType',
      dynamicMessage: 'messageType',
    })
  })

  it('compute the ETag as the public samples do', () => {
    const { etag } = readFixture('worked-examples.json')
    expect(etagOf(etag.body)).toBe(etag.etag)
  })

  it('name every fault at once, with the code of the first', async () => {
    await open({ handlers: echo })
    const reply = await api.call({ method: 'POST', path: '/instances', body: { seriesCode: 'odd' } })
    expect(reply.json.Code).toMatch(/^Missing/)
    for (const field of ['serviceCode', 'subSeriesCode', 'paymentType', 'networkInfo', 'seriesCode']) {
      expect(reply.json.Message).toContain(`Parameter ${field} is `)
    }
  })

  it('refuse a user without a policy with the details as an object', async () => {
    await open({ handlers: echo })
    for (const call of [regions, topic, { method: 'GET', path: '/instances/rmq-cn-1' }]) {
      const reply = await api.call({ ...call, accessKeyId: USER_KEY_ID })
      expect([reply.status, reply.json.Code]).toEqual([403, 'NoPermission'])
      expect(reply.json.AccessDeniedDetail).toMatchObject({
        AuthAction: expect.stringMatching(/^rocketmq:/),
        AuthPrincipalDisplayName: '2000000000000001',
        AuthPrincipalType: 'SubUser',
        NoPermissionType: 'ImplicitDeny',
        EncodedDiagnosticMessage: expect.stringMatching(/^AQ/),
      })
      expect(reply.json.accessDeniedDetail).toEqual(reply.json.AccessDeniedDetail)
    }
  })

  it('follow a policy where there is one', async () => {
    const Resource = 'acs:rocketmq:cn-hangzhou:*:instance/rmq-cn-1*'
    const statement = { Effect: 'Allow', Action: 'rocketmq:*Topic', Resource }
    const document = parsePolicy(JSON.stringify({ Version: '1', Statement: statement }))
    await open({ handlers: echo, policies: { attachedTo: async () => [document] } })
    const statuses = []
    for (const call of [
      topic,
      { ...topic, path: '/instances/other/topics/TopicA' },
      { method: 'GET', path: '/instances/rmq-cn-1' },
    ]) {
      statuses.push((await api.call({ ...call, accessKeyId: USER_KEY_ID })).status)
    }
    expect(statuses).toEqual([200, 403, 403])
  })

  it.each<[string, unknown, number, string]>([
    ['an exception', new TypeError('secret detail'), 500, 'InternalError'],
    ['something that is no error', 'secret detail', 500, 'InternalError'],
    ['a refusal', new ApiError(404, 'Topic.NotFound', 'gone', { field: 'topicName' }), 404, 'Topic.NotFound'],
    ['a full disk', new LedgerError('storage', 'secret detail'), 503, 'ServiceUnavailable'],
    ['a busy ledger', new LedgerError('busy', 'secret detail'), 503, 'ServiceUnavailable'],
    ['an unstorable value', new LedgerError('value', 'secret detail'), 400, 'InvalidRequest'],
    ['a broker that hangs', new EngineError('unavailable', 'secret detail'), 503, 'ServiceUnavailable'],
    ['a broker without the instance', new EngineError('absent', 'secret detail'), 503, 'ServiceUnavailable'],
    ['a misused ledger', new LedgerError('misuse', 'secret detail'), 500, 'InternalError'],
  ])('to %s in a handler tell no internals', async (_, thrown, status, code) => {
    const lines: string[] = []
    const log = createLog({ clock: realClock, level: 'error', to: { write: (line) => void lines.push(line) } })
    await open({ handlers: { ListRegions: () => Promise.reject(thrown) }, log })
    const reply = await api.call(regions)
    expect([reply.status, reply.json.Code]).toEqual([status, code])
    expect(reply.text).not.toMatch(/secret detail|TypeError|\.ts/)
    expect(lines).toHaveLength(thrown instanceof ApiError ? 0 : 1)
    if (lines.length > 0) expect(lines[0]).toMatch(/secret detail/)
  })

  it('say what the engine cannot do with a code that no client repeats', async () => {
    const thrown = new EngineError('unsupported', 'Client c1 does not answer such questions.')
    await open({ handlers: { ListRegions: () => Promise.reject(thrown) } })
    const reply = await api.call(regions)
    expect([reply.status, reply.json.Code]).toEqual([400, 'UnsupportedOperation'])
    expect(reply.json.Message).toBe(
      'The specified operation is not supported. Client c1 does not answer such questions.',
    )
    expect(reply.headers['x-acs-retry-after']).toBeUndefined()
  })

  it('say 501 where there is no handler, and only to those who may', async () => {
    await open({ handlers: {} })
    for (const operation of rocketmq.operations) {
      const path = operation.path.replace(/\{\w+\}/g, 'x')
      const reply = await api.call({ method: operation.method, path })
      expect([reply.status, reply.json.Code, reply.json.Message]).toEqual([
        501,
        'NotImplemented',
        expect.stringContaining(operation.action),
      ])
      expect((await api.call({ method: operation.method, path, accessKeyId: USER_KEY_ID })).status).toBe(403)
      expect((await api.send({ method: operation.method, target: path })).json.Code).toBe('MissingAccessKeyId')
    }
  })

  it('come after a limit even when a handler never does', async () => {
    await open({ handlers: { ListRegions: () => new Promise(() => {}) }, limits: { handlerMs: 50 } })
    const reply = await api.call(regions)
    expect([reply.status, reply.json.Code]).toEqual([503, 'ServiceUnavailable'])
  })
})

describe('requests', () => {
  it.each<[string, () => Promise<{ status: number; json: any }>, number, string]>([
    ['without a version', () => unsigned((h) => delete h['x-acs-version']), 400, 'MissingVersion'],
    ['of another version', () => api.call({ ...regions, version: '2020-01-01' }), 400, 'InvalidVersion'],
    ['to an unknown path', () => api.call({ method: 'GET', path: '/nothing' }), 404, 'InvalidApi.NotFound'],
    ['with an unknown method', () => api.call({ method: 'PUT', path: '/instances' }), 403, 'UnsupportedHTTPMethod'],
    [
      'with an exotic method',
      () => api.send({ method: 'PROPFIND', target: '/instances' }),
      403,
      'UnsupportedHTTPMethod',
    ],
    ['for preflight', () => api.send({ method: 'OPTIONS', target: '*' }), 403, 'UnsupportedHTTPMethod'],
    [
      'of another region',
      () => api.call({ ...regions, host: 'rocketmq.eu-west-1.aliyuncs.com' }),
      404,
      'InvalidProduct.NotFound',
    ],
    ['under /_gantry', () => api.send({ method: 'GET', target: '/_gantry/keys' }), 404, 'InvalidApi.NotFound'],
    ['health with POST', () => api.send({ method: 'POST', target: '/_gantry/health' }), 404, 'InvalidApi.NotFound'],
    ['health with a query', () => api.send({ method: 'GET', target: '/_gantry/health?x' }), 404, 'InvalidApi.NotFound'],
    ['with malformed JSON', () => api.call({ ...topic, body: '{"messageType":}' }), 400, 'InvalidBody'],
    ['with a JSON array', () => api.call({ ...topic, body: '[]' }), 400, 'InvalidBody'],
    [
      'with a member twice',
      () => api.call({ ...topic, body: '{"messageType":"NORMAL","messageType":"FIFO"}' }),
      400,
      'InvalidMessageType',
    ],
    [
      'with __proto__',
      () => api.call({ ...topic, body: '{"messageType":"NORMAL","__proto__":{}}' }),
      400,
      'InvalidBody',
    ],
    [
      'with NUL in the query',
      () => api.call({ method: 'GET', path: '/instances', query: { filter: 'a\0b' } }),
      400,
      'InvalidFilter',
    ],
    ['with NUL in the path', () => api.call({ method: 'GET', path: '/instances/a%00b' }), 400, 'InvalidInstanceId'],
    [
      'with NUL in the body',
      () => api.call({ ...topic, body: '{"messageType":"NORMAL","remark":"\\u0000"}' }),
      400,
      'InvalidRemark',
    ],
    [
      'with half a pair in the body',
      () => api.call({ ...topic, body: '{"messageType":"NORMAL","remark":"\\ud800"}' }),
      400,
      'InvalidRemark',
    ],
    [
      'with half a pair in query JSON',
      () => api.call({ method: 'GET', path: '/instances', query: { tags: '[{"key":"\\ud800","value":"x"}]' } }),
      400,
      'InvalidKey',
    ],
    [
      'compressed',
      () => unsigned((h) => Object.assign(h, { 'content-encoding': 'gzip' })),
      400,
      'InvalidContentEncoding',
    ],
    ['with 200 headers', () => unsigned((h) => Object.assign(h, flood(200))), 400, 'InvalidHeader'],
    [
      'with one header 200 times',
      () =>
        api.send({
          method: 'GET',
          target: '/regions',
          headers: Array.from({ length: 200 }, () => ['x', 'y'] as const),
        }),
      400,
      'InvalidHeader',
    ],
    [
      'with a head of 200 KB',
      () => unsigned((h) => Object.assign(h, { 'x-long': 'x'.repeat(200_000) })),
      431,
      'InvalidHeader',
    ],
  ])('%s are refused', async (_, send, status, code) => {
    await open({ handlers: echo })
    const reply = await send()
    expect([reply.status, reply.json?.Code]).toEqual([status, code])
    expect(reply.json.RequestId).toMatch(/^[0-9A-F-]{36}$/)
  })

  it.each<[string, unknown]>([
    ['%RETRY%group', 'unescaped, as Terraform does'],
    ['%25RETRY%25group', 'escaped'],
  ])('with %s in the path (%s) reach the handler by its name', async (segment) => {
    await open({ handlers: echo })
    const reply = await api.call({ method: 'GET', path: `/instances/rmq-cn-1/topics/${segment}` })
    // The name's own rule may refuse it; that is a refusal by name and not of the escape.
    const seen = reply.status === 200 ? reply.json.data.input.topicName : reply.json.Message
    expect(seen).toContain('%RETRY%group')
  })

  it('without a Host header are answered', async () => {
    await open({ handlers: echo })
    expect(await talk('GET /regions HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1.1 400 [\s\S]*"Code":"MissingAccessKeyId"/)
  })

  it('in the absolute form of proxies are answered', async () => {
    await open({ handlers: echo })
    expect(
      await talk('GET http://localhost/_gantry/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'),
    ).toMatch(/"status":"ok"/)
  })

  it.each(['chunked', 'sized', 'none'] as const)('may have an empty body, %s, with any content type', async (kind) => {
    await open({ handlers: echo })
    const call = toRawCall(api.endpoint, Date.now(), { method: 'POST', path: '/resourceTag/create', query: TAG })
    const headers = {
      ...(call.headers as Record<string, string>),
      'content-type': 'application/octet-stream',
      ...(kind === 'chunked' ? { 'transfer-encoding': 'chunked' } : kind === 'sized' ? { 'content-length': '0' } : {}),
    }
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const text = `POST ${call.target} HTTP/1.1\r\n${head.join('')}connection: close\r\n\r\n${kind === 'chunked' ? '0\r\n\r\n' : ''}`
    expect(await talk(text)).toMatch(/^HTTP\/1.1 200 /)
  })

  it('in small chunks are put together', async () => {
    await open({ handlers: echo })
    const body = '{"messageType":"NORMAL","remark":"测试"}'
    const call = toRawCall(api.endpoint, Date.now(), { ...topic, body })
    const head = Object.entries(call.headers as Record<string, string>).map(([name, value]) => `${name}: ${value}\r\n`)
    const chunks = [...Buffer.from(body)].map((byte) => Buffer.from([0x31, 13, 10, byte, 13, 10]))
    const text = Buffer.concat([
      Buffer.from(
        `POST ${call.target} HTTP/1.1\r\n${head.join('')}transfer-encoding: chunked\r\nconnection: close\r\n\r\n`,
      ),
      ...chunks,
      Buffer.from('0\r\n\r\n'),
    ])
    expect(await talk(text)).toMatch(/"remark":"测试"/)
  })

  it.each([
    ['declared', { 'content-length': String(10 * 1024 * 1024) }],
    ['chunked', { 'transfer-encoding': 'chunked' }],
  ])('of 10 MB, %s, are refused, and the client sees it', async (_, headers) => {
    await open({ handlers: echo })
    const replies = await Promise.all(
      Array.from({ length: 8 }, () =>
        api.send({ method: 'POST', target: '/instances', headers: { host: 'localhost', ...headers }, body: TEN_MB }),
      ),
    )
    for (const reply of replies) expect([reply.status, reply.json.Code]).toEqual([400, 'EntityTooLarge'])
  })

  it('of 1 MiB exactly are read', async () => {
    await open({ handlers: echo })
    const body = `{"messageType":"NORMAL"${' '.repeat(1024 * 1024 - 24)}}`
    expect(body).toHaveLength(1024 * 1024)
    expect((await api.call({ ...topic, body })).status).toBe(200)
    expect((await api.call({ ...topic, body: `${body} ` })).json.Code).toBe('EntityTooLarge')
  })

  const TAG = {
    regionId: 'cn-hangzhou',
    resourceId: '["rmq-cn-1"]',
    resourceType: 'instance',
    tag: '[{"key":"a","value":"b"}]',
  }
  const TEN_MB = Buffer.alloc(10 * 1024 * 1024, 0x20)
  const flood = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-flood-${i}`, 'x']))
  const unsigned = (change: (headers: Record<string, string>) => unknown) => {
    const call = toRawCall(api.endpoint, Date.now(), regions)
    const headers = { ...(call.headers as Record<string, string>) }
    change(headers)
    headers['authorization'] = headers['authorization']!.replace(';x-acs-version', '')
    return headers['x-acs-version'] === undefined ? resign(headers) : api.send({ ...call, headers })
  }
  /** Signed properly, but without a version. */
  const resign = async (headers: Record<string, string>) => {
    const { canonicalRequests, stringToSign } = await import('../../src/iam/canonical.ts')
    const { createHash, createHmac } = await import('node:crypto')
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
    const names = ['host', 'x-acs-action', 'x-acs-content-sha256', 'x-acs-date', 'x-acs-signature-nonce']
    const map = new Map(names.map((name) => [name, [headers[name]!]]))
    const message = { method: 'GET', rawPath: '/regions', rawQuery: '', headers: map }
    const text = stringToSign('ACS3-HMAC-SHA256', canonicalRequests(message, names, sha256(''))[0]!, sha256)
    const signature = createHmac('sha256', 'test-sk').update(text).digest('hex')
    headers['authorization'] =
      `ACS3-HMAC-SHA256 Credential=test-ak,SignedHeaders=${names.join(';')},Signature=${signature}`
    return api.send({ method: 'GET', target: '/regions', headers })
  }
})

describe('flow control', () => {
  it('answers with the code, the wait in a header, and for writes apart from reads', async () => {
    await open({ handlers: echo, limits: { readsPerSecond: 1, writesPerSecond: null } })
    expect((await api.call(regions)).status).toBe(200)
    const reply = await api.call(regions)
    expect([reply.status, reply.json.Code]).toEqual([400, 'Throttling.User'])
    expect(Number(reply.headers['x-acs-retry-after'])).toBeGreaterThan(0)
    expect((await api.call(topic)).status).toBe(200)
  })

  it('bounds the calls in hand', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    await open({ handlers: { ...echo, ListRegions: () => gate }, limits: { inFlight: 2 } })
    const held = [api.call(regions), api.call(regions)]
    await until(async () => (await api.call(topic)).json.Code === 'Throttling')
    release()
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200])
    expect((await api.call(topic)).status).toBe(200)
  })
})

describe('connections', () => {
  it('stay open for more than 25 s between requests, and say so', async () => {
    await open({ handlers: echo })
    const socket = await dial()
    socket.write('GET /_gantry/health HTTP/1.1\r\nHost: localhost\r\n\r\n')
    expect(await firstBytes(socket)).toMatch(/connection: keep-alive\r\n/i)
    socket.write('GET /_gantry/health HTTP/1.1\r\nHost: localhost\r\n\r\n')
    expect(await firstBytes(socket)).toMatch(/keep-alive: timeout=25\r\n/i)
    socket.destroy()
  })

  it.each([
    ['headers', 'GET / HTTP/1.1\r\nx: ', /408 [\s\S]*"Code":"RequestTimeout"/],
    [
      'bodies',
      'POST /instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{',
      /408 [\s\S]*"Code":"RequestTimeout"/,
    ],
    ['nothing at all', '', /408 [\s\S]*"Code":"RequestTimeout"/],
    ['no HTTP', '\x16\x03\x01\x02\x00hello\r\n\r\n', /400 [\s\S]*"Code":"InvalidRequest"/],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      /400 [\s\S]*"Code":"InvalidRequest"/,
    ],
    [
      'length and chunks',
      'POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      /400 [\s\S]*"Code":"InvalidRequest"/,
    ],
    [
      'bad chunks',
      'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
      /400 [\s\S]*"Code":"InvalidRequest"/,
    ],
  ])('that send slow or broken %s are told and closed', async (_, text, answer) => {
    await open({ handlers: echo, limits: { headersMs: 100, requestMs: 150 } })
    expect(await talk(text)).toMatch(answer)
  })

  it('that vanish in the middle of a body leave nothing behind', async () => {
    await open({ handlers: echo })
    for (let i = 0; i < 50; i++) {
      const socket = await dial()
      socket.write('POST /instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"a":')
      socket.destroy()
    }
    expect((await api.call(regions)).status).toBe(200)
  })

  it.each([
    ['silent', ''],
    ['in the middle of their headers', 'POST /instances HTTP/1.1\r\nHost: localhost\r\nx-a: b'],
    [
      'in the middle of their bodies',
      'POST /instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"a":',
    ],
    ['answered 403', 'GET /regions HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['answered for the health of the server', 'GET /_gantry/health HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ])(
    '2,500 of strangers, %s, and more all the time: who signs is answered, on the connection it has',
    async (_, text) => {
      await open({ handlers: echo, limits: { headersMs: 60_000, requestMs: 60_000 } })
      const kept = await dial()
      const ask = async () => {
        kept.write(onTheWire(regions))
        expect(await firstBytes(kept)).toMatch(/^HTTP\/1.1 200 /)
      }
      await ask()
      const sockets = await Promise.all(Array.from({ length: 2_500 }, () => dial(text)))
      for (let i = 0; i < 20; i++) {
        for (let n = 0; n < 20; n++) sockets.push(await dial(text))
        expect((await api.call(regions)).status).toBe(200)
        await ask()
      }
      await until(async () => sockets.filter((socket) => socket.closed).length >= sockets.length - 512)
      expect(kept.closed).toBe(false)
      for (const socket of [kept, ...sockets]) socket.destroy()
    },
  )

  it('of strangers end with the answer they get after their time', async () => {
    let at = 0
    const clock = { ...realClock, monotonic: () => at }
    const disk = {} as Services['world']['disk']
    await open({ handlers: echo, services: { world: { clock, random: realRandom, disk } } })
    const [stranger, known] = [await dial(), await dial(onTheWire(regions))]
    expect(await firstBytes(known)).toMatch(/connection: keep-alive\r\n/i)
    at = 30_000
    for (const socket of [stranger, known]) socket.write('GET /_gantry/health HTTP/1.1\r\nHost: localhost\r\n\r\n')
    const answers = await Promise.all([stranger, known].map(firstBytes))
    expect(answers.map((answer) => /connection: (.*)\r\n/i.exec(answer)![1])).toEqual(['close', 'keep-alive'])
    known.destroy()
  })

  it('with a call in hand are never closed for others', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    await open({ handlers: { ...echo, ListRegions: () => gate }, limits: { connections: 10, strangers: 10 } })
    const held = api.call(regions)
    await until(async () => (await api.call(topic)).status === 200)
    const crowd = await Promise.all(Array.from({ length: 200 }, () => dial('GET / HTTP/1.1\r\n')))
    release()
    expect((await held).status).toBe(200)
    for (const socket of crowd) socket.destroy()
  })

  it('that do not read their answers are closed; those that do stay', async () => {
    let at = 0
    const timers = new Map<number, () => void>()
    const unreadMs = 31_000
    const clock: Services['world']['clock'] = {
      ...realClock,
      monotonic: () => at,
      after(ms, run) {
        if (ms !== unreadMs / 4) return realClock.after(ms, run)
        timers.set(ms, run)
        return () => timers.delete(ms)
      },
    }
    const disk = {} as Services['world']['disk']
    const large = 'x'.repeat(32 * 1024 * 1024)
    await open({
      handlers: { ...echo, ListRegions: async () => ({ large }) },
      services: { world: { clock, random: realRandom, disk } },
      limits: { unreadMs },
    })
    const reading = await dial(onTheWire(topic))
    await firstBytes(reading)
    const deaf = await dial()
    deaf.pause()
    deaf.write(onTheWire(regions))
    await until(async () => deaf.bytesWritten > 0 && (await api.call(topic)).status === 200)
    await until(async () => (await api.call(topic)).status === 200)
    for (let n = 0; n < 12; n++) {
      at += unreadMs / 4
      timers.get(unreadMs / 4)!()
      await api.call(topic)
    }
    deaf.resume()
    await until(async () => deaf.closed)
    expect(deaf.bytesRead).toBeLessThan(large.length)
    expect(reading.closed).toBe(false)
    reading.destroy()
  })

  it('that send far more requests than they read answers are closed', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    await open({ handlers: { ...echo, ListRegions: () => gate }, limits: { pipelined: 8 } })
    const ahead = await dial(Array.from({ length: 9 }, () => onTheWire(regions)).join(''))
    await until(async () => ahead.closed)
    expect(ahead.bytesRead).toBe(0)
    release()
    expect((await api.call(regions)).status).toBe(200)
  })

  it('that hold megabytes of unfinished bodies are closed: strangers have half of the memory', async () => {
    await open({ handlers: echo, limits: { bufferedBytes: 4 * 1024 * 1024 } })
    const head = 'POST /instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000001\r\n\r\n'
    const sockets: Socket[] = []
    for (let i = 0; i < 8; i++) sockets.push(await dial(head + 'x'.repeat(1_000_000)))
    await until(async () => sockets.filter((socket) => socket.closed).length >= 6)
    expect((await api.call(topic)).status).toBe(200)
    for (const socket of sockets) socket.destroy()
  })
})

describe('closing', () => {
  it('lets the call in hand finish, refuses new ones and does not wait for the half-open', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    let started = false
    await open({
      handlers: {
        ...echo,
        ListRegions: () => {
          started = true
          return gate
        },
      },
    })
    const halfOpen = await dial('GET /')
    const held = api.call(regions)
    await until(async () => started)
    const closing = api.close()
    await until(async () => halfOpen.closed)
    await expect(api.call(topic)).rejects.toThrow(/ECONNREFUSED|ECONNRESET|socket hang up/)
    release()
    expect((await held).status).toBe(200)
    await closing
  })

  it('carries out nothing that arrives later on a busy connection, and ends that connection with the answer in hand', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const seen: string[] = []
    const noted = async (_: unknown, call: { requestId: string }) => {
      seen.push(call.requestId)
      await gate
    }
    await open({ handlers: { ...echo, ListRegions: noted, CreateTopic: noted }, limits: { closeMs: 60_000 } })
    const socket = await dial(onTheWire(regions))
    await until(async () => seen.length === 1)
    const closing = api.close()
    await new Promise<void>((resolve) => socket.write(onTheWire(topic), () => resolve()))
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
    release()
    await closing
    expect(seen).toHaveLength(1)
    await until(async () => socket.closed)
  })

  it('ends after its limit even when a handler never does', async () => {
    await open({ handlers: { ListRegions: () => new Promise(() => {}) }, limits: { closeMs: 50 } })
    const held = api.call(regions).catch((error: Error) => error.message)
    await until(async () => (await api.send({ method: 'GET', target: '/_gantry/health' })).status === 200)
    await api.close()
    expect(await held).toMatch(/hang up|ECONNRESET|ECONNREFUSED/)
  })
})

describe('the log', () => {
  it('has one line a request, without secrets, signatures, names or query strings', async () => {
    const lines: string[] = []
    const log = createLog({ clock: realClock, level: 'debug', to: { write: (line) => void lines.push(line) } })
    await open({ handlers: echo, log, keyRing: memoryKeyRing([(await import('./captures.ts')).testKey()]) })
    await api.call({ method: 'GET', path: '/instances', query: { filter: 'PRIVATE' } })
    await api.call({ ...topic, body: { messageType: 'PRIVATE' } })
    await api.call({ ...regions, accessKeySecret: 'PRIVATE' })
    await api.send({
      method: 'GET',
      target: '/PRIVATE?PRIVATE',
      headers: { host: 'localhost', authorization: 'PRIVATE' },
    })
    const entries = lines.map((line) => JSON.parse(line))
    expect(entries.map(({ action, status, code }) => [action, status, code])).toEqual([
      ['ListInstances', 200, null],
      ['CreateTopic', 400, 'InvalidMessageType'],
      ['ListRegions', 400, 'SignatureDoesNotMatch'],
      [null, 404, 'InvalidApi.NotFound'],
    ])
    for (const entry of entries)
      expect(Object.keys(entry).sort()).toEqual([
        'action',
        'caller',
        'code',
        'level',
        'method',
        'ms',
        'msg',
        'requestId',
        'status',
        'time',
      ])
    expect(lines.join('')).not.toMatch(/PRIVATE|test-sk|Signature=/)
  })
})

/** A signed call as bytes, on a connection that is kept. */
function onTheWire(call: SignedCall): string {
  const { method, target, headers, body } = toRawCall(api.endpoint, Date.now(), call)
  const text = (body ?? '') as string
  const all = { ...(headers as Record<string, string>), 'content-length': String(Buffer.byteLength(text)) }
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${target} HTTP/1.1\r\n${head.join('')}\r\n${text}`
}

/** Sends text and answers all that comes back until the server closes. */
function talk(text: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(api.port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk) => {
      answer += chunk
      if (/^HTTP\/1.1 \d+/.test(answer) && answer.trimEnd().endsWith('}')) socket.end()
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

function dial(text = ''): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(api.port, '127.0.0.1', () => {
      socket.off('error', reject)
      socket.on('error', () => {})
      socket.resume()
      if (text === '') resolve(socket)
      else socket.write(text, () => resolve(socket))
    })
    socket.once('error', reject)
  })
}

function firstBytes(socket: Socket): Promise<string> {
  return new Promise((resolve) => socket.once('data', (chunk) => resolve(chunk.toString())))
}

/** Asks again and again; the suite's own limit ends what never comes true. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve))
}
