import { describe, expect, it } from 'vitest'
import { bssopenapiFacts } from '../catalogue/bssopenapi/product.ts'
import { ApiError } from '../catalogue/errors.ts'
import { rocketmqFacts } from '../catalogue/rocketmq/product.ts'
import { checkSite, hostNameOf, regionOf, type SiteHeaders, vendorEndpoints } from './host-header.ts'

const endpoints = vendorEndpoints([rocketmqFacts, bssopenapiFacts])

describe('the Host header', () => {
  const regions = ['cn-hangzhou', 'cn-beijing']
  it.each([
    [undefined, null, 'cn-hangzhou'],
    ['127.0.0.1:7800', '127.0.0.1', 'cn-hangzhou'],
    ['[::1]:7800', '::1', 'cn-hangzhou'],
    ['LocalHost', 'localhost', 'cn-hangzhou'],
    ['rocketmq.cn-beijing.aliyuncs.com', 'rocketmq.cn-beijing.aliyuncs.com', 'cn-beijing'],
    ['rocketmq-vpc.cn-beijing.aliyuncs.com:443', 'rocketmq-vpc.cn-beijing.aliyuncs.com', 'cn-beijing'],
    ['rocketmq.aliyuncs.com', 'rocketmq.aliyuncs.com', 'cn-hangzhou'],
    ['<script>', null, 'cn-hangzhou'],
    ['a b', null, 'cn-hangzhou'],
    ['x'.repeat(300), null, 'cn-hangzhou'],
  ])('%.50s', (header, name, region) => {
    expect([hostNameOf(header), regionOf(hostNameOf(header), regions, endpoints)]).toEqual([name, region])
  })

  it('of a region that is not served is refused', () =>
    expect(() => regionOf('rocketmq.eu-west-1.aliyuncs.com', regions, endpoints)).toThrow(
      /answers for cn-hangzhou, cn-beijing/,
    ))
})

describe('where a request goes and comes from', () => {
  const names = ['gantry.internal', '.example.com']
  const plain = { authority: null, origin: undefined, secFetchSite: undefined, secFetchMode: undefined }
  const outcome = (headers: Partial<SiteHeaders>, given: readonly string[] = names): string => {
    try {
      checkSite({ ...plain, host: '127.0.0.1:7800', ...headers }, given, endpoints)
      return 'ours'
    } catch (error) {
      if (error instanceof ApiError) return `${error.httpStatus} ${error.code}`
      throw error
    }
  }

  it.each<[string | undefined, string]>([
    [undefined, 'ours'],
    ['127.0.0.1:7800', 'ours'],
    ['[::1]:7800', 'ours'],
    ['192.168.1.5', 'ours'],
    ['localhost:7800', 'ours'],
    ['console.localhost', 'ours'],
    ['rocketmq.cn-hangzhou.aliyuncs.com', 'ours'],
    ['rocketmq-vpc.cn-hangzhou.aliyuncs.com', 'ours'],
    ['business.aliyuncs.com', 'ours'],
    ['Gantry.Internal:7800', 'ours'],
    ['a.example.com', 'ours'],
    ['example.com', '404 InvalidProduct.NotFound'],
    ['rebound.attacker.net', '404 InvalidProduct.NotFound'],
    ['localhost.attacker.net', '404 InvalidProduct.NotFound'],
    ['127.0.0.1.attacker.net', '404 InvalidProduct.NotFound'],
    ['127.1', '404 InvalidProduct.NotFound'],
    ['xgantry.internal', '404 InvalidProduct.NotFound'],
    ['rocketmq.cn-hangzhou.aliyuncs.com.attacker.net', '404 InvalidProduct.NotFound'],
    ['bucket.oss-cn-hangzhou.aliyuncs.com', '404 InvalidProduct.NotFound'],
    ['user@127.0.0.1', '400 InvalidHost'],
    ['', '400 InvalidHost'],
  ])('Host %s', (host, expected) => expect(outcome({ host })).toBe(expected))

  it('answers to any name only where that is set', () => expect(outcome({ host: 'any.name' }, ['*'])).toBe('ours'))

  it.each<[string, Partial<SiteHeaders>, string]>([
    ['its own page', { origin: 'http://127.0.0.1:7800' }, 'ours'],
    ['its own page behind TLS', { host: 'localhost', origin: 'https://localhost' }, 'ours'],
    ['another port', { origin: 'http://127.0.0.1:3000' }, '403 Forbidden.Origin'],
    ['another name of ours', { origin: 'http://localhost:7800' }, '403 Forbidden.Origin'],
    ['a page on the web', { origin: 'https://attacker.net' }, '403 Forbidden.Origin'],
    ['a file or a sandbox', { origin: 'null' }, '403 Forbidden.Origin'],
    ['an extension', { origin: 'chrome-extension://abc' }, '403 Forbidden.Origin'],
    ['no origin at all', { origin: '' }, '403 Forbidden.Origin'],
    ['an image in a page of the web', { secFetchSite: 'cross-site', secFetchMode: 'no-cors' }, '403 Forbidden.Origin'],
    [
      'an image in a page of another port',
      { secFetchSite: 'same-site', secFetchMode: 'no-cors' },
      '403 Forbidden.Origin',
    ],
    ['a link to a page of ours', { secFetchSite: 'cross-site', secFetchMode: 'navigate' }, 'ours'],
    ['an address typed into a browser', { secFetchSite: 'none', secFetchMode: 'navigate' }, 'ours'],
    ['a request line with the same host', { authority: '127.0.0.1:7800' }, 'ours'],
    ['a request line with another host', { authority: 'attacker.net' }, '400 InvalidHost'],
  ])('%s', (_, headers, expected) => expect(outcome(headers)).toBe(expected))
})
