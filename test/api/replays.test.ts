/** The same signed bytes are carried out once: across kill -9 of a real server, and whatever other callers send. */
import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryNonces } from '../../src/iam/nonces.ts'
import { signRequest } from '../../src/iam/sign.ts'
import { instanceBody } from '../resources/harness.ts'
import { type TestHome, type TestServer, temporaryHome } from '../support/server.ts'
import { startApi, USER_KEY_ID } from './harness.ts'

describe('a server that is killed right after it answered', () => {
  let home: TestHome
  let server: TestServer
  beforeAll(async () => {
    home = await temporaryHome()
    server = await home.start()
  })
  afterAll(() => home.close())

  it('does not make the change again for the same bytes', async () => {
    const body = JSON.stringify({ ...instanceBody(), instanceName: 'once' })
    const create = signed('POST', '/instances', 'CreateInstance', body)
    const first = await send(create)
    expect(first).toMatchObject({ success: true })
    await server.kill()
    server = await home.start()
    expect(await send(create)).toMatchObject({ code: 'SignatureNonceUsed' })
    const list = await send(signed('GET', '/instances?filter=once', 'ListInstances', null))
    expect(list.data).toMatchObject({ totalCount: 1, list: [{ instanceId: first.data }] })
  })

  const signed = (method: string, target: string, action: string, body: string | null) => ({
    method,
    target,
    body,
    headers: signRequest(server.ready, {
      method,
      target,
      action,
      body,
      host: new URL(server.ready.apiUrl).host,
      at: Date.now(),
      nonce: crypto.randomUUID(),
      version: '2022-08-01',
    }),
  })

  /** Sends the very headers and body to wherever the server listens now. */
  function send({ method, target, headers, body }: ReturnType<typeof signed>): Promise<any> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = new URL(server.ready.apiUrl)
      const outgoing = httpRequest({ hostname, port, method, path: target, headers, agent: false }, (incoming) => {
        let text = ''
        incoming.setEncoding('utf8').on('data', (chunk) => {
          text += chunk
        })
        incoming.on('end', () => resolve(JSON.parse(text)))
      })
      outgoing.on('error', reject)
      outgoing.end(body ?? undefined)
    })
  }
})

describe('a caller without any permission', () => {
  it('cannot make requests of others look expired by nonces dated ahead', async () => {
    const now = Date.UTC(2026, 0, 2, 3, 4, 5)
    const nonces = memoryNonces({ capacity: 40 })
    const api = await startApi({ nonces, now: () => now, handlers: { ListRegions: async () => [] } })
    try {
      const call = { method: 'GET', path: '/regions', action: 'ListRegions' }
      for (let i = 0; i < 60; i++) {
        const flood = { ...call, path: '/instances', accessKeyId: USER_KEY_ID, at: now + 14 * 60_000 - i * 1_000 }
        expect((await api.call(flood)).json.Code).toMatch(/^(NoPermission|InvalidTimeStamp.Expired)$/)
      }
      expect((await api.call(call)).status).toBe(200)
      expect((await api.call({ ...call, at: now - 14 * 60_000 })).status).toBe(200)
    } finally {
      await api.close()
    }
  })
})
