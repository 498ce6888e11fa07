import { describe, expect, it } from 'vitest'
import type { Row } from '../ledger/schema.ts'
import type { GrantSpec, InstanceSpec } from '../model/instances.ts'
import { groupSpecOf, instanceSpecOf, portKindsOf, topicSpecOf } from './spec.ts'

const row = (change: {
  series?: string
  subSeries?: string
  product?: object
  internet?: object
  acl?: object
}): Row<'instances'> =>
  ({
    instance_id: 'i1',
    generation: 5,
    series_code: change.series ?? 'professional',
    sub_series_code: change.subSeries ?? 'cluster_ha',
    product_info_json: JSON.stringify(change.product ?? { msgProcessSpec: 'rmq.p2.4xlarge' }),
    network_info_json: JSON.stringify({ vpcInfo: {}, internetInfo: change.internet ?? { internetSpec: 'disable' } }),
    acl_info_json: JSON.stringify({ aclTypes: ['default'], ...change.acl }),
    ip_whitelist_json: '["0.0.0.0/0"]',
  }) as Row<'instances'>

const grant: GrantSpec = {
  username: 'u',
  resourceType: 'Topic',
  resourceName: 'orders',
  actions: ['Pub'],
  decision: 'Allow',
  addresses: [],
}

const specOf = (change: Parameters<typeof row>[0] = {}): InstanceSpec =>
  instanceSpecOf({
    instance: row(change),
    accounts: [{ username: 'u', secret: 's', enabled: false, kind: 'default' }],
    grants: [grant],
    ports: { vpc: 7801, internet: 7802 },
    listenHost: '127.0.0.1',
    serving: true,
  })

describe('instanceSpecOf', () => {
  it('carries the whole instance', () => {
    expect(specOf()).toEqual({
      instanceId: 'i1',
      generation: 5,
      serving: true,
      listen: [{ kind: 'vpc', host: '127.0.0.1', port: 7801, allow: [], bandwidthMbps: null }],
      ipWhitelist: ['0.0.0.0/0'],
      accounts: [{ username: 'u', secret: 's', enabled: false, kind: 'default' }],
      aclTypes: ['default'],
      grants: [grant],
      vpcAuthFree: false,
      retentionHours: 72,
      sendTps: 2000,
      receiveTps: 2000,
      elasticity: null,
      maxConnections: 4000,
      maxDelayMs: 40 * 86_400_000,
      maxGroupsMadeByUse: 200,
      dedicated: false,
      encryptionKeyId: null,
    })
  })

  it.each([
    ['the ratio divides', { product: { msgProcessSpec: 'rmq.p2.4xlarge', sendReceiveRatio: 0.8 } }, 3200, 800],
    ['elastic comes on top', { product: { msgProcessSpec: 'rmq.p2.4xlarge', autoScaling: true } }, 3000, 3000],
    [
      'elastic is divided too',
      { product: { msgProcessSpec: 'rmq.p2.4xlarge', autoScaling: true, sendReceiveRatio: 0.25 } },
      1500,
      4500,
    ],
    ['switched off', { product: { msgProcessSpec: 'rmq.p2.4xlarge', autoScaling: false } }, 2000, 2000],
    ['a ratio of 0 is the default', { product: { msgProcessSpec: 'rmq.p2.4xlarge', sendReceiveRatio: 0 } }, 2000, 2000],
    [
      'all for sending leaves one receive',
      { product: { msgProcessSpec: 'rmq.p2.4xlarge', sendReceiveRatio: 1 } },
      4000,
      1,
    ],
    [
      'a single node',
      { series: 'standard', subSeries: 'single_node', product: { msgProcessSpec: 'rmq.s1.micro' } },
      250,
      250,
    ],
    ['serverless by use', { series: 'standard', subSeries: 'serverless', product: {} }, 25_000, 25_000],
    [
      'serverless with a reservation',
      {
        series: 'shared',
        subSeries: 'serverless',
        product: { capacityType: 'provisioned', provisionedCapacity: 3000 },
      },
      3000,
      3000,
    ],
  ] as const)('TPS: %s', (_, change, sendTps, receiveTps) => {
    expect(specOf(change)).toMatchObject({ sendTps, receiveTps })
  })

  it.each([
    [0, 72],
    [undefined, 72],
    [24, 24],
    [720, 720],
  ])('a retention of %s is %i hours', (messageRetentionTime, retentionHours) => {
    expect(specOf({ product: { msgProcessSpec: 'rmq.p2.4xlarge', messageRetentionTime } })).toMatchObject({
      retentionHours,
    })
  })

  it.each([
    ['a bandwidth', { flowOutType: 'payByBandwidth', flowOutBandwidth: 5 }, [], 5],
    ['traffic, with the zero Terraform sends', { flowOutType: 'payByTraffic', flowOutBandwidth: 0 }, [], null],
    ['a whitelist', { flowOutType: 'payByTraffic', ipWhitelist: ['10.0.0.0/8'] }, ['10.0.0.0/8'], null],
  ])('the public endpoint alone has %s', (_, internet, allow, bandwidthMbps) => {
    expect(specOf({ internet: { internetSpec: 'enable', ...internet } }).listen).toEqual([
      { kind: 'vpc', host: '127.0.0.1', port: 7801, allow: [], bandwidthMbps: null },
      { kind: 'internet', host: '127.0.0.1', port: 7802, allow, bandwidthMbps },
    ])
  })

  it('has a public port only with public access', () => {
    expect(portKindsOf(row({}))).toEqual(['vpc'])
    expect(portKindsOf(row({ internet: { internetSpec: 'enable' } }))).toEqual(['vpc', 'internet'])
  })

  it('opens the VPC endpoint when asked to, and encrypts with the key that was named', () => {
    expect(specOf({ acl: { defaultVpcAuthFree: true } }).vpcAuthFree).toBe(true)
    const product = { msgProcessSpec: 'rmq.p2.4xlarge', storageSecretKey: 'key-1' }
    expect(specOf({ product }).encryptionKeyId).toBeNull()
    expect(specOf({ product: { ...product, storageEncryption: true } }).encryptionKeyId).toBe('key-1')
  })
})

describe('groupSpecOf and topicSpecOf', () => {
  const group = (policy: object, order = 'Concurrently') =>
    groupSpecOf({
      consumer_group_id: 'g',
      generation: 2,
      delivery_order_type: order,
      consume_retry_policy_json: JSON.stringify(policy),
      max_receive_tps: 7,
      topic_name: null,
    } as Row<'consumer_groups'>)

  it.each([
    [{ retryPolicy: 'DefaultRetryPolicy' }, { maxRetryTimes: 16, retry: { kind: 'default' }, deadLetterTopic: null }],
    [
      { retryPolicy: 'BackoffRetryPolicy', maxRetryTimes: 3 },
      { maxRetryTimes: 3, retry: { kind: 'default' } },
    ],
    [
      { retryPolicy: 'FixedRetryPolicy', maxRetryTimes: 0, fixedIntervalRetryTime: 20, deadLetterTargetTopic: 'dead' },
      { maxRetryTimes: 0, retry: { kind: 'fixed', intervalSeconds: 20 }, deadLetterTopic: 'dead' },
    ],
    [{ retryPolicy: 'FixedRetryPolicy' }, { retry: { kind: 'default' } }],
    [
      { retryPolicy: 'DefaultRetryPolicy', fixedIntervalRetryTime: 20, deadLetterTargetTopic: '' },
      { retry: { kind: 'default' }, deadLetterTopic: null },
    ],
  ])('%j', (policy, expected) => {
    expect(group(policy)).toMatchObject({
      consumerGroupId: 'g',
      generation: 2,
      orderly: false,
      maxReceiveTps: 7,
      ...expected,
    })
  })

  it('knows ordered groups, and topics', () => {
    expect(group({ retryPolicy: 'DefaultRetryPolicy' }, 'Orderly').orderly).toBe(true)
    expect(
      topicSpecOf({
        topic_name: 't',
        generation: 3,
        message_type: 'FIFO',
        max_send_tps: null,
        lite_topic_expiration: null,
      } as Row<'topics'>),
    ).toEqual({ topicName: 't', generation: 3, messageType: 'FIFO', maxSendTps: null, liteExpirationMs: null })
  })

  it.each([
    [15, 900_000],
    [720, 43_200_000],
    [-1, null],
  ])('a LITE topic of %i minutes', (minutes, liteExpirationMs) => {
    const row = { message_type: 'LITE', lite_topic_expiration: minutes } as Row<'topics'>
    expect(topicSpecOf(row)).toMatchObject({ liteExpirationMs })
  })

  it.each([
    [1, true],
    [0, false],
  ])('a group of lite consumers, exclusive %i', (exclusive, expected) => {
    const row = { consume_retry_policy_json: '{}', topic_name: 'lite', exclusive } as Row<'consumer_groups'>
    expect(groupSpecOf(row).lite).toEqual({ topicName: 'lite', exclusive: expected })
  })
})
