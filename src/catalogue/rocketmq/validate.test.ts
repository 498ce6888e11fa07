/** What is refused and how it is said. A row is a request, the whole list of problems beside it. */
import { describe, expect, it } from 'vitest'
import type { Problem } from '../problems.ts'
import { rocketmq } from './index.ts'

const instance = (change: (body: any) => void = () => {}) => {
  const body = {
    serviceCode: 'rmq',
    seriesCode: 'standard',
    subSeriesCode: 'cluster_ha',
    paymentType: 'PayAsYouGo',
    productInfo: { msgProcessSpec: 'rmq.s2.2xlarge' } as Record<string, unknown>,
    networkInfo: {
      vpcInfo: { vpcId: 'vpc-1', vSwitches: [{ vSwitchId: 'vsw-1' }] as unknown },
      internetInfo: { internetSpec: 'disable', flowOutType: 'uninvolved' } as Record<string, unknown>,
    },
  }
  change(body)
  return body
}

const problemsOf = (action: string, body: unknown, query: [string, string][] = [], path: Record<string, string> = {}) =>
  rocketmq.read(rocketmq.operationNamed(action)!, { path, query, body }).problems

describe('CreateInstance', () => {
  it.each<[string, (body: any) => void]>([
    ['the smallest request', () => {}],
    [
      'what Terraform sends for nothing',
      (body) => {
        Object.assign(body.productInfo, { autoScaling: false, messageRetentionTime: 0, storageEncryption: false })
        body.networkInfo.vpcInfo.vSwitches = []
        Object.assign(body.networkInfo.internetInfo, { ipWhitelist: [], flowOutBandwidth: 0 })
        body.aclInfo = {}
      },
    ],
    [
      'a name in Chinese and one like an id',
      (body) => {
        body.instanceName = '测试_instance-1'
      },
    ],
    [
      'the bounds',
      (body) => {
        Object.assign(body.productInfo, { messageRetentionTime: 720, sendReceiveRatio: 0.95 })
        body.instanceName = 'x'.repeat(128)
        body.tags = Array.from({ length: 20 }, (_, index) => ({ key: `k${index}`, value: '' }))
      },
    ],
  ])('takes %s', (_, change) => {
    expect(problemsOf('CreateInstance', instance(change))).toEqual([])
  })

  it.each<[string, (body: any) => void, Problem]>([
    [
      'an unknown edition',
      (body) => {
        body.seriesCode = 'standart'
      },
      {
        field: 'seriesCode',
        kind: 'invalid',
        rule: '"standart" is not accepted; it must be one of standard, professional, ultimate, shared, dedicated.',
      },
    ],
    [
      'a number for a text',
      (body) => {
        body.remark = 5
      },
      { field: 'remark', kind: 'invalid', rule: '5 is not accepted; it must be a text of 0 to 128 characters.' },
    ],
    [
      'a text for a number',
      (body) => {
        body.productInfo.messageRetentionTime = '72'
      },
      {
        field: 'productInfo.messageRetentionTime',
        kind: 'invalid',
        rule: '"72" is not accepted; it must be an integer from 24 to 720.',
      },
    ],
    [
      'hours below the range',
      (body) => {
        body.productInfo.messageRetentionTime = 23
      },
      {
        field: 'productInfo.messageRetentionTime',
        kind: 'invalid',
        rule: '23 is not accepted; it must be an integer from 24 to 720.',
      },
    ],
    [
      'hours above the range',
      (body) => {
        body.productInfo.messageRetentionTime = 721
      },
      {
        field: 'productInfo.messageRetentionTime',
        kind: 'invalid',
        rule: '721 is not accepted; it must be an integer from 24 to 720.',
      },
    ],
    [
      'half an hour',
      (body) => {
        body.productInfo.messageRetentionTime = 72.5
      },
      {
        field: 'productInfo.messageRetentionTime',
        kind: 'invalid',
        rule: '72.5 is not accepted; it must be an integer from 24 to 720.',
      },
    ],
    [
      'a ratio above the range',
      (body) => {
        body.productInfo.sendReceiveRatio = 0.96
      },
      {
        field: 'productInfo.sendReceiveRatio',
        kind: 'invalid',
        rule: '0.96 is not accepted; it must be a number from 0.05 to 0.95.',
      },
    ],
    [
      'a text for a boolean',
      (body) => {
        body.productInfo.autoScaling = 'true'
      },
      { field: 'productInfo.autoScaling', kind: 'invalid', rule: '"true" is not accepted; it must be true or false.' },
    ],
    [
      'a list for an object',
      (body) => {
        body.productInfo = []
      },
      { field: 'productInfo', kind: 'invalid', rule: 'A list of 0 is not accepted; it must be an object.' },
    ],
    [
      'too much bandwidth',
      (body) => {
        body.networkInfo.internetInfo.flowOutBandwidth = 1001
      },
      {
        field: 'networkInfo.internetInfo.flowOutBandwidth',
        kind: 'invalid',
        rule: '1001 is not accepted; it must be an integer from 1 to 1000.',
      },
    ],
    [
      'a tag without a key',
      (body) => {
        body.tags = [{ key: 'a' }, { value: 'b' }]
      },
      { field: 'tags[1].key', kind: 'missing', rule: 'Send a text of 1 to 128 characters.' },
    ],
    [
      'nothing in a list',
      (body) => {
        body.networkInfo.vpcInfo.vSwitches = [null]
      },
      {
        field: 'networkInfo.vpcInfo.vSwitches[0]',
        kind: 'invalid',
        rule: 'null is not accepted; it must be an object with vSwitchId.',
      },
    ],
    [
      'too many tags',
      (body) => {
        body.tags = Array.from({ length: 21 }, () => 7)
      },
      { field: 'tags', kind: 'invalid', rule: 'It has 21 entries; it must be a list of 0 to 20 entries.' },
    ],
    [
      'an empty VPC',
      (body) => {
        body.networkInfo.vpcInfo.vpcId = ''
      },
      {
        field: 'networkInfo.vpcInfo.vpcId',
        kind: 'missing',
        rule: 'It is empty; it must be a text of 1 to 64 characters.',
      },
    ],
    [
      'no network',
      (body) => {
        delete body.networkInfo
      },
      { field: 'networkInfo', kind: 'missing', rule: 'Send an object with vpcInfo and internetInfo.' },
    ],
    [
      'a name with a blank',
      (body) => {
        body.instanceName = 'my instance'
      },
      {
        field: 'instanceName',
        kind: 'invalid',
        rule: '"my instance" is not accepted; it must be a text of 1 to 128 characters (Chinese characters, letters, digits, "_" and "-").',
      },
    ],
    [
      'a long name, shown by its beginning',
      (body) => {
        body.instanceName = 'x'.repeat(1_000_000)
      },
      {
        field: 'instanceName',
        kind: 'invalid',
        rule: `"${'x'.repeat(60)}…" is not accepted; it must be a text of 1 to 128 characters (Chinese characters, letters, digits, "_" and "-").`,
      },
    ],
    [
      'a renewal of four months',
      (body) => {
        body.autoRenewPeriod = 4
      },
      { field: 'autoRenewPeriod', kind: 'invalid', rule: '4 is not accepted; it must be one of 1, 2, 3, 6, 12.' },
    ],
  ])('refuses %s', (_, change, problem) => {
    expect(problemsOf('CreateInstance', instance(change))).toEqual([problem])
  })

  it('says everything at once, what is missing first', () => {
    const body = instance((change) => {
      change.seriesCode = 'x'
      delete change.paymentType
      change.networkInfo.internetInfo.internetSpec = true
    })
    expect(problemsOf('CreateInstance', body).map(({ field, kind }) => `${kind} ${field}`)).toEqual([
      'missing paymentType',
      'invalid seriesCode',
      'invalid networkInfo.internetInfo.internetSpec',
    ])
  })

  it.each<[string, number]>([
    ['a'.repeat(64), 0],
    ['a'.repeat(65), 1],
    ['tökén', 1],
  ])('judges the token %s', (token, count) => {
    expect(problemsOf('CreateInstance', instance(), [['clientToken', token]])).toHaveLength(count)
  })
})

describe('other operations', () => {
  const group = { instanceId: 'rmq-1', consumerGroupId: '%RETRY%x' }

  it.each<[string, unknown, string[]]>([
    ['Default', { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 16 }, []],
    ['Backoff, which only Terraform knows', { retryPolicy: 'BackoffRetryPolicy', maxRetryTimes: 0 }, []],
    ['Fixed', { retryPolicy: 'FixedRetryPolicy', fixedIntervalRetryTime: 1800 }, []],
    ['no policy', {}, ['consumeRetryPolicy.retryPolicy']],
    [
      'too many retries',
      { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 1001 },
      ['consumeRetryPolicy.maxRetryTimes'],
    ],
    [
      'too long a pause',
      { retryPolicy: 'FixedRetryPolicy', fixedIntervalRetryTime: 1801 },
      ['consumeRetryPolicy.fixedIntervalRetryTime'],
    ],
  ])('CreateConsumerGroup with %s', (_, consumeRetryPolicy, fields) => {
    const body = { deliveryOrderType: 'Concurrently', consumeRetryPolicy }
    expect(problemsOf('CreateConsumerGroup', body, [], group).map((each) => each.field)).toEqual(fields)
  })

  it('never repeats a password', () => {
    const password = `secret-${'x'.repeat(100)}`
    const path = { instanceId: 'rmq-1', username: 'u' }
    const created = problemsOf('CreateInstanceAccount', { username: 'user', password }, [], path)
    const updated = problemsOf('UpdateInstanceAccount', undefined, [['password', password]], path)
    expect([...created, ...updated].map((each) => each.field)).toEqual(['password', 'password'])
    expect(JSON.stringify([created, updated])).not.toContain('secret')
  })

  it.each<[string, boolean]>([
    ['2022-08-01 20:05:50', true],
    ['2022-08-01T20:05:50', false],
    ['2022-13-01 20:05:50', false],
    ['2022-08-01 24:00:00', false],
  ])('reads the moment %s: %s', (resetTime, fine) => {
    const path = { ...group, topicName: 't' }
    expect(problemsOf('ResetConsumeOffset', { resetTime }, [], path)).toHaveLength(fine ? 0 : 1)
  })

  it.each<[string, boolean]>([
    ['02:00-06:00', true],
    ['2:00-6:00', false],
    ['24:00-06:00', false],
  ])('reads the window %s: %s', (maintainTime, fine) => {
    expect(problemsOf('UpdateInstanceSoftwareConfig', { maintainTime }, [], { instanceId: 'i' })).toHaveLength(
      fine ? 0 : 1,
    )
  })

  it('demands what the path names', () => {
    expect(problemsOf('GetInstance', undefined)).toMatchObject([{ field: 'instanceId', kind: 'missing' }])
  })

  it('counts characters, not code units', () => {
    const path = { instanceId: 'rmq-1', topicName: 't' }
    expect(problemsOf('UpdateTopic', { remark: '😀'.repeat(128) }, [], path)).toEqual([])
    expect(problemsOf('UpdateTopic', { remark: '😀'.repeat(129) }, [], path)).toHaveLength(1)
  })
})

it('knows its operations only', () => {
  expect(rocketmq.operationNamed('constructor')).toBeUndefined()
  expect(() => rocketmq.validate('__proto__', {})).toThrow('has no operation')
})
