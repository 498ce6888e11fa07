import { describe, expect, it } from 'vitest'
import type { ApiError } from '../catalogue/errors.ts'
import { rocketmq } from '../catalogue/rocketmq/index.ts'
import { createRouter } from './routing.ts'

const route = createRouter([{ product: rocketmq, handlers: {} }])

it('finds every operation of the catalogue by its own path', () => {
  for (const operation of rocketmq.operations) {
    const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => `value-of-${name}`)
    const found = route(operation.method, path)
    expect(found.operation.action).toBe(operation.action)
    for (const [name, value] of Object.entries(found.path)) expect(value).toBe(`value-of-${name}`)
  }
})

describe('paths', () => {
  it.each<[string, string, string, Record<string, string>]>([
    ['GET', '/instances', 'ListInstances', {}],
    [
      'GET',
      '/instances/i/topics/%25RETRY%25g%2F1%20~x%2Ay%2Bz',
      'GetTopic',
      { instanceId: 'i', topicName: '%RETRY%g/1 ~x*y+z' },
    ],
    ['GET', '/instances/i/topics/%RETRY%g', 'GetTopic', { instanceId: 'i', topicName: '%RETRY%g' }],
    ['GET', '/instances/i/topics/%', 'GetTopic', { instanceId: 'i', topicName: '%' }],
    ['GET', '/instances/i/topics/%E6%B5%8B%E8', 'GetTopic', { instanceId: 'i', topicName: '%E6%B5%8B%E8' }],
    ['GET', '/instances/', 'GetInstance', { instanceId: '' }],
    ['POST', '/instances//topics/t', 'CreateTopic', { instanceId: '', topicName: 't' }],
    ['GET', '/instances/topics', 'GetInstance', { instanceId: 'topics' }],
    ['GET', '/instances/__proto__', 'GetInstance', { instanceId: '__proto__' }],
  ])('%s %s', (method, path, action, places) => {
    const found = route(method, path)
    expect([found.operation.action, found.path]).toEqual([action, places])
  })

  it.each([
    ['GET', '/', 404, 'InvalidApi.NotFound'],
    ['GET', '', 404, 'InvalidApi.NotFound'],
    ['GET', '/Instances', 404, 'InvalidApi.NotFound'],
    ['GET', '/instances/i/topics/t/x/y', 404, 'InvalidApi.NotFound'],
    ['GET', '/_gantry/keys', 404, 'InvalidApi.NotFound'],
    ['DELETE', '/instances', 404, 'InvalidApi.NotFound'],
    ['GET', `/instances${'/x'.repeat(5_000)}`, 404, 'InvalidApi.NotFound'],
    ['PUT', '/instances', 403, 'UnsupportedHTTPMethod'],
    ['OPTIONS', '/instances', 403, 'UnsupportedHTTPMethod'],
    ['get', '/instances', 403, 'UnsupportedHTTPMethod'],
  ])('%s %.40s is refused', (method, path, status, code) => {
    expect(() => route(method, path)).toThrow(expect.objectContaining({ httpStatus: status, code }) as ApiError)
  })
})
