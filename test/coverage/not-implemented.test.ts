/**
 * Operations of the API that this version does not carry out yet, by name. The list may only shrink: an operation that
 * loses its handler is not on it, and one that got a handler must be taken off it. Each of them is refused as the
 * vendor refuses, and only once its caller is known and permitted.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Operation } from '../../src/catalogue/operation.ts'
import { rocketmq } from '../../src/catalogue/rocketmq/index.ts'
import type { Handlers } from '../../src/resources/handler.ts'
import { products } from '../../src/resources/index.ts'
import { handlers, notYet } from '../../src/resources/rocketmq/index.ts'
import { type Harness, startApi, USER_KEY_ID } from '../api/harness.ts'

/** How long the list was when it last shrank. Lower it with the list; never raise it. */
const mostMissing = 28
const withoutHandler: readonly string[] = notYet

describe('operations without a handler', () => {
  it('are those of `notYet`: it may only shrink', () => {
    const missing = rocketmq.operations.map(({ action }) => action).filter((action) => !Object.hasOwn(handlers, action))
    expect([...withoutHandler].sort()).toEqual(missing.sort())
    expect(withoutHandler.length).toBe(mostMissing)
  })

  it('are none of the other products, and no handler answers for an operation that a product does not have', () => {
    for (const { product, handlers } of products) {
      const known = product.operations.map(({ action }) => action)
      expect(Object.keys(handlers).filter((action) => !known.includes(action))).toEqual([])
      if (product !== rocketmq) expect(known.filter((action) => !Object.hasOwn(handlers, action))).toEqual([])
    }
  })

  it('have no handler under another name: each is named after its operation', () => {
    for (const { handlers } of products) {
      const named = Object.entries(handlers as Handlers).map(([action, handler]) => [action, handler.name])
      expect(named).toEqual(named.map(([action]) => [action, `${action![0]!.toLowerCase()}${action!.slice(1)}`]))
    }
  })
})

describe('an operation without a handler', () => {
  let api: Harness
  beforeAll(async () => {
    api = await startApi({ handlers })
  })
  afterAll(() => api.close())

  describe.each(rocketmq.operations.filter(({ action }) => withoutHandler.includes(action)))('$action', (operation) => {
    const call = callOf(operation)

    it('answers 501 NotImplemented in the shape of a refusal', async () => {
      const reply = await api.call(call)
      expect(reply.headers['content-type']).toBe('application/json;charset=utf-8')
      expect(reply.headers['x-acs-request-id']).toBe(reply.json.RequestId)
      expect({ status: reply.status, ...reply.json }).toMatchObject({
        status: 501,
        Code: 'NotImplemented',
        Message: `${operation.action} is part of the API but this version of Gantry does not carry it out yet.`,
        HostId: '127.0.0.1',
        code: 'NotImplemented',
        httpStatusCode: 501,
        success: false,
      })
    })

    it('refuses an unknown key, a wrong secret and a user without a policy before it says so', async () => {
      const unknownKey = await api.call({ ...call, accessKeyId: 'no-such-key' })
      expect([unknownKey.status, unknownKey.json.Code]).toEqual([404, 'InvalidAccessKeyId.NotFound'])
      const wrongSecret = await api.call({ ...call, accessKeySecret: 'not-the-secret' })
      expect([wrongSecret.status, wrongSecret.json.Code]).toEqual([400, 'SignatureDoesNotMatch'])
      const notPermitted = await api.call({ ...call, accessKeyId: USER_KEY_ID })
      expect([notPermitted.status, notPermitted.json.Code]).toEqual([403, 'NoPermission'])
      expect(notPermitted.json.AccessDeniedDetail.AuthAction).toBe(operation.ramAction)
    })
  })
})

/** Well formed as far as the path goes; what is behind it is not looked at before there is a handler. */
function callOf(operation: Operation) {
  const { method, action } = operation
  const path = operation.path.replace(/\{(\w+)\}/g, (_place, name: string) => `${name}-1`)
  return { method, action, path, body: method === 'POST' || method === 'PATCH' ? {} : null }
}
