/** CreateInstance: every parameter, every rule between parameters, every default, and what is read back. */
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { allCombinations } from '../../src/catalogue/rocketmq/specifications.ts'
import { WithMessage } from '../../src/resources/handler.ts'
import { clean, instanceBody, START_MS, Subject, stop } from './harness.ts'

let subject: Subject
beforeEach(async () => {
  subject = await Subject.start()
})
afterEach(clean)
afterAll(stop)

type Change = Record<string, unknown>

/** The smallest request with members replaced; `undefined` removes one. Nested objects are merged. */
function body(change: Change = {}): Change {
  const merge = (base: Change, over: Change): Change => {
    const merged: Change = { ...base }
    for (const [name, value] of Object.entries(over)) {
      const old = merged[name]
      const both = isObject(old) && isObject(value)
      if (value === undefined) delete merged[name]
      else merged[name] = both ? merge(old, value) : value
    }
    return merged
  }
  return merge(instanceBody(), change)
}
const isObject = (value: unknown): value is Change =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const product = (productInfo: Change) => ({ productInfo })
const vpc = (vpcInfo: Change) => ({ networkInfo: { vpcInfo } })
const internet = (internetInfo: Change) => ({ networkInfo: { internetInfo } })
const publicAccess = (more: Change = {}) => internet({ internetSpec: 'enable', flowOutType: 'payByTraffic', ...more })
const ultimate = (productInfo: Change = {}) => ({
  seriesCode: 'ultimate',
  productInfo: { msgProcessSpec: 'rmq.u2.10xlarge', ...productInfo },
})
const serverless = (change: Change = {}) => ({
  subSeriesCode: 'serverless',
  commodityCode: 'ons_rmqsrvlesspost_public_cn',
  productInfo: { msgProcessSpec: 'rmq.s3.nxlarge' },
  networkInfo: { vpcInfo: { vSwitches: [{ vSwitchId: 'vsw-1' }, { vSwitchId: 'vsw-2' }] } },
  ...change,
})
const subscription = (change: Change = {}) => ({ paymentType: 'Subscription', period: 1, ...change })

describe('what has no effect', () => {
  it.each([
    [product({ traceOn: false }), /^Success\. productInfo\.traceOn has no effect: it counts for serverless instances/],
    [{ period: 1, autoRenew: true }, /^Success\. No effect, for they count with .* Subscription: period, autoRenew\.$/],
    [subscription({ autoRenewPeriod: 3 }), /^Success\. autoRenewPeriod has no effect without autoRenew true\.$/],
    [subscription({ autoRenew: true, autoRenewPeriod: 3 }), /^Success$/],
    [product({ traceOn: true }), /^Success$/],
    [{ autoRenew: false }, /^Success$/],
  ])('%j is said in the message of the reply', async (change, says) => {
    const answer = await subject.call('CreateInstance', { body: body(change) })
    expect(answer instanceof WithMessage ? answer.message : 'Success').toMatch(says)
  })
})

describe('what is refused', () => {
  const refusals: ReadonlyArray<readonly [what: string, change: Change, code: string, says?: string]> = [
    ['no serviceCode', { serviceCode: undefined }, 'MissingServiceCode'],
    ['another serviceCode', { serviceCode: 'ons' }, 'InvalidServiceCode'],
    ['no seriesCode', { seriesCode: undefined }, 'MissingSeriesCode'],
    ['an unknown seriesCode', { seriesCode: 'platinum' }, 'InvalidSeriesCode'],
    ['no subSeriesCode', { subSeriesCode: undefined }, 'MissingSubSeriesCode'],
    ['no paymentType', { paymentType: undefined }, 'MissingPaymentType'],
    ['an unknown paymentType', { paymentType: 'PrePaid' }, 'InvalidPaymentType'],
    ['ultimate single node', { ...ultimate(), subSeriesCode: 'single_node' }, 'InvalidSubSeriesCode', 'cluster_ha'],
    ['ultimate serverless', { ...serverless(), seriesCode: 'ultimate' }, 'InvalidSubSeriesCode'],
    ['shared without serverless', { seriesCode: 'shared' }, 'InvalidSubSeriesCode', 'serverless'],
    ['dedicated without serverless', { seriesCode: 'dedicated' }, 'InvalidSubSeriesCode'],
    ['a serverless subscription', serverless(subscription()), 'InvalidPaymentType'],
    ['serverless without a commodity code', serverless({ commodityCode: undefined }), 'MissingCommodityCode'],
    [
      'serverless with one vSwitch',
      serverless(vpc({ vSwitches: [{ vSwitchId: 'vsw-1' }] })),
      'InvalidVSwitches',
      'at least 2',
    ],
    ['the commodity code of a subscription', { commodityCode: 'ons_rmqsub_public_cn' }, 'InvalidCommodityCode'],
    [
      'the commodity code of pay-as-you-go',
      subscription({ commodityCode: 'ons_rmqpost_public_intl' }),
      'InvalidCommodityCode',
    ],
    ['the sample with its stray blank', { commodityCode: 'ons_ rmqpost_public_cn' }, 'InvalidCommodityCode'],
    ['no specification', { productInfo: undefined }, 'MissingMsgProcessSpec'],
    ['an unknown specification', product({ msgProcessSpec: 'rmq.s2.3xlarge' }), 'InvalidMsgProcessSpec'],
    [
      'a specification of another edition',
      product({ msgProcessSpec: 'rmq.p2.2xlarge' }),
      'InvalidMsgProcessSpec',
      'rmq.s2.2xlarge',
    ],
    ['a specification of another deployment', product({ msgProcessSpec: 'rmq.s1.micro' }), 'InvalidMsgProcessSpec'],
    ['an obsolete member', { chargeType: 'x' }, 'UnsupportedParameter', 'chargeType'],
    [
      'an obsolete member of a member',
      product({ intranetSpec: 'x' }),
      'UnsupportedParameter',
      'productInfo.intranetSpec',
    ],
    ['a parameter of the query in the body', { clientToken: 'x' }, 'UnsupportedParameter', 'belongs into the query'],
    ['adaptive elasticity', product({ adaptiveElasticity: true }), 'InvalidAdaptiveElasticity', 'Send false'],
    ['a ratio too small', product({ sendReceiveRatio: 0.049 }), 'InvalidSendReceiveRatio'],
    ['a ratio too large', product({ sendReceiveRatio: 0.951 }), 'InvalidSendReceiveRatio'],
    ['elastic TPS on standard', product({ autoScaling: true }), 'InvalidAutoScaling', 'rmq.s2.2xlarge'],
    ['too short a retention', product({ messageRetentionTime: 23 }), 'InvalidMessageRetentionTime'],
    ['too long a retention', product({ messageRetentionTime: 721 }), 'InvalidMessageRetentionTime'],
    ['half an hour of retention', product({ messageRetentionTime: 24.5 }), 'InvalidMessageRetentionTime'],
    [
      'encryption on standard',
      product({ storageEncryption: true, storageSecretKey: 'key-1' }),
      'InvalidStorageEncryption',
      'ultimate',
    ],
    ['encryption without a key', ultimate({ storageEncryption: true }), 'MissingStorageSecretKey'],
    ['a key without encryption', ultimate({ storageSecretKey: 'key-1' }), 'InvalidStorageSecretKey'],
    ['a key with a blank', ultimate({ storageEncryption: true, storageSecretKey: 'key 1' }), 'InvalidStorageSecretKey'],
    ['a capacity type without serverless', product({ capacityType: 'onDemand' }), 'InvalidCapacityType'],
    ['a reservation without serverless', product({ provisionedCapacity: 5000 }), 'InvalidProvisionedCapacity'],
    [
      'a reservation on serverless standard',
      serverless(product({ capacityType: 'provisioned' })),
      'InvalidCapacityType',
    ],
    [
      'a reservation on demand',
      serverless({ seriesCode: 'shared', ...product({ capacityType: 'onDemand', provisionedCapacity: 5000 }) }),
      'InvalidProvisionedCapacity',
    ],
    ['an unknown capacity type', serverless(product({ capacityType: 'reserved' })), 'InvalidCapacityType'],
    [
      'replication between zones',
      product({ drReplicationMode: 'async_cross_az' }),
      'InvalidDrReplicationMode',
      'one copy',
    ],
    ['no networkInfo', { networkInfo: undefined }, 'MissingNetworkInfo'],
    ['no vpcInfo', { networkInfo: { vpcInfo: undefined } }, 'MissingVpcInfo'],
    ['no vpcId', vpc({ vpcId: undefined }), 'MissingVpcId'],
    ['a vpcId with a blank', vpc({ vpcId: 'vpc 1' }), 'InvalidVpcId'],
    ['no vSwitch at all', vpc({ vSwitches: undefined }), 'MissingVSwitches'],
    ['an empty list of vSwitches', vpc({ vSwitches: [] }), 'MissingVSwitches'],
    [
      'eleven vSwitches',
      vpc({ vSwitches: Array.from({ length: 11 }, (_, n) => ({ vSwitchId: `vsw-${n}` })) }),
      'InvalidVSwitches',
    ],
    [
      'eleven in the older form',
      vpc({ vSwitches: [], vSwitchId: Array.from({ length: 11 }, (_, n) => `v${n}`).join('|') }),
      'InvalidVSwitches',
    ],
    ['a vSwitch twice', vpc({ vSwitches: [{ vSwitchId: 'vsw-1' }, { vSwitchId: 'vsw-1' }] }), 'InvalidVSwitches'],
    ['a bar in a vSwitch', vpc({ vSwitches: [{ vSwitchId: 'vsw-1|vsw-2' }] }), 'InvalidVSwitches'],
    ['both forms that differ', vpc({ vSwitchId: 'vsw-2' }), 'InvalidVSwitchId'],
    ['no internetInfo', { networkInfo: { internetInfo: undefined } }, 'MissingInternetInfo'],
    ['no internetSpec', internet({ internetSpec: undefined }), 'MissingInternetSpec'],
    ['an unknown internetSpec', internet({ internetSpec: 'on' }), 'InvalidInternetSpec'],
    ['no flowOutType', internet({ flowOutType: undefined }), 'MissingFlowOutType'],
    ['traffic without public access', internet({ flowOutType: 'payByTraffic' }), 'InvalidFlowOutType', 'uninvolved'],
    ['public access uninvolved', internet({ internetSpec: 'enable' }), 'InvalidFlowOutType', 'payByBandwidth'],
    ['no bandwidth', publicAccess({ flowOutType: 'payByBandwidth' }), 'MissingFlowOutBandwidth'],
    ['bandwidth 0', publicAccess({ flowOutType: 'payByBandwidth', flowOutBandwidth: 0 }), 'MissingFlowOutBandwidth'],
    [
      'bandwidth 1001',
      publicAccess({ flowOutType: 'payByBandwidth', flowOutBandwidth: 1001 }),
      'InvalidFlowOutBandwidth',
    ],
    ['bandwidth by traffic', publicAccess({ flowOutBandwidth: 10 }), 'InvalidFlowOutBandwidth'],
    ['bandwidth without public access', internet({ flowOutBandwidth: 10 }), 'InvalidFlowOutBandwidth'],
    ['a whitelist without public access', internet({ ipWhitelist: ['10.0.0.0/8'] }), 'InvalidIpWhitelist', 'disable'],
    [
      'an address that is none',
      publicAccess({ ipWhitelist: ['10.0.0.0/8', '10.0.0.256'] }),
      'InvalidIpWhitelist',
      '10.0.0.256',
    ],
    ['a block that is none', publicAccess({ ipWhitelist: ['10.0.0.0/33'] }), 'InvalidIpWhitelist'],
    ['IPv6', publicAccess({ ipWhitelist: ['::1'] }), 'InvalidIpWhitelist'],
    ['a subscription without a period', subscription({ period: undefined }), 'MissingPeriod'],
    ['seven months', subscription({ period: 7 }), 'InvalidPeriod'],
    ['four years', subscription({ period: 4, periodUnit: 'Year' }), 'InvalidPeriod', '3'],
    ['weeks', subscription({ periodUnit: 'Week' }), 'InvalidPeriodUnit'],
    ['renewal by four months', subscription({ autoRenew: true, autoRenewPeriod: 4 }), 'InvalidAutoRenewPeriod'],
    ['a name with a blank', { instanceName: 'my instance' }, 'InvalidInstanceName'],
    ['a name of 129', { instanceName: 'n'.repeat(129) }, 'InvalidInstanceName'],
    ['a remark of 129', { remark: 'r'.repeat(129) }, 'InvalidRemark'],
    ['a resource group with a blank', { resourceGroupId: 'rg 1' }, 'InvalidResourceGroupId'],
    ['21 tags', { tags: Array.from({ length: 21 }, (_, n) => ({ key: `k${n}`, value: '' })) }, 'InvalidTags'],
    ['a tag without a key', { tags: [{ value: 'v' }] }, 'MissingKey'],
    ['an empty key', { tags: [{ key: '', value: 'v' }] }, 'MissingKey'],
    ['a key of 129', { tags: [{ key: 'k'.repeat(129), value: 'v' }] }, 'InvalidKey'],
    ['a value of 129', { tags: [{ key: 'k', value: 'v'.repeat(129) }] }, 'InvalidValue'],
    [
      'a key twice',
      {
        tags: [
          { key: 'k', value: '1' },
          { key: 'k', value: '2' },
        ],
      },
      'InvalidKey',
      'twice',
    ],
    ['a key of the system', { tags: [{ key: 'acs:x', value: 'v' }] }, 'InvalidKey', 'acs:'],
    ['another key of the system, in capitals', { tags: [{ key: 'AliyunX', value: 'v' }] }, 'InvalidKey'],
    ['an address in a tag', { tags: [{ key: 'k', value: 'http://x' }] }, 'InvalidValue'],
    ['text for a number', subscription({ period: 'one' }), 'InvalidPeriod'],
    ['a list for an object', { networkInfo: [] }, 'InvalidNetworkInfo'],
  ]

  for (const [what, change, code, says] of refusals) {
    it(what, async () => {
      await subject.refused(
        'CreateInstance',
        { body: body(change), query: { clientToken: 'token-1' } },
        400,
        code,
        says,
      )
      // Nothing was written, and the token is still free for a request that is accepted.
      expect((await subject.call('ListInstances')).totalCount).toBe(0)
      expect(subject.woken).toEqual([])
      await subject.create(body(), { clientToken: 'token-1' })
    })
  }

  it('what the engine cannot do, naming the engine', async () => {
    subject.engine = { ...subject.engine, name: 'embedded', storageEncryption: false }
    const asked = { body: body(ultimate({ storageEncryption: true, storageSecretKey: 'key-1' })) }
    await subject.refused('CreateInstance', asked, 400, 'InvalidStorageEncryption', 'embedded')
  })
})

describe('what is accepted, and read back', () => {
  const readings: ReadonlyArray<readonly [what: string, change: Change, reads: Change]> = [
    [
      'the smallest request, with every default',
      {},
      {
        serviceCode: 'rmq',
        seriesCode: 'standard',
        subSeriesCode: 'cluster_ha',
        paymentType: 'PayAsYouGo',
        commodityCode: 'ons_rmqpost_public_cn',
        resourceGroupId: 'rg-acfm0c5mknsjz1k'.slice(0, 7) + BigInt('1234567890123456').toString(36).padStart(11, '0'),
        tags: [],
        productInfo: {
          msgProcessSpec: 'rmq.s2.2xlarge',
          sendReceiveRatio: 0.5,
          autoScaling: false,
          supportAutoScaling: false,
          adaptiveElasticity: false,
          maxDelayTime: 7 * 24 * 3600,
          messageRetentionTime: 72,
          storageEncryption: false,
          traceOn: true,
        },
        aclInfo: { aclType: 'default', aclTypes: ['default'], defaultVpcAuthFree: false },
        software: { maintainTime: '02:00-06:00', softwareVersion: 'gantry-test', upgradeMethod: 'manual' },
        extConfig: {
          aclType: 'default',
          autoScaling: false,
          flowOutType: 'uninvolved',
          internetSpec: 'disable',
          messageRetentionTime: 72,
          msgProcessSpec: 'rmq.s2.2xlarge',
          sendReceiveRatio: 0.5,
          supportAutoScaling: false,
        },
        userId: '1234567890123456',
      },
    ],
    [
      'zeros that Terraform sends for "unset"',
      product({ sendReceiveRatio: 0, messageRetentionTime: 0, autoScaling: false, storageEncryption: false }),
      { productInfo: expect.objectContaining({ sendReceiveRatio: 0.5, messageRetentionTime: 72 }) },
    ],
    [
      'bounds',
      product({ sendReceiveRatio: 0.05, messageRetentionTime: 24 }),
      { productInfo: expect.objectContaining({ sendReceiveRatio: 0.05, messageRetentionTime: 24 }) },
    ],
    [
      'the other bounds',
      product({ sendReceiveRatio: 0.95, messageRetentionTime: 720 }),
      { productInfo: expect.objectContaining({ sendReceiveRatio: 0.95, messageRetentionTime: 720 }) },
    ],
    [
      'elastic TPS where they exist',
      { seriesCode: 'professional', productInfo: { msgProcessSpec: 'rmq.p2.4xlarge', autoScaling: true } },
      {
        productInfo: expect.objectContaining({ autoScaling: true, supportAutoScaling: true }),
        extConfig: expect.objectContaining({ autoScaling: true, supportAutoScaling: true }),
      },
    ],
    [
      'encryption on ultimate',
      ultimate({ storageEncryption: true, storageSecretKey: 'key-1' }),
      { productInfo: expect.objectContaining({ storageEncryption: true, storageSecretKey: 'key-1' }) },
    ],
    [
      'an empty key is none',
      ultimate({ storageEncryption: false, storageSecretKey: '' }),
      { productInfo: expect.not.objectContaining({ storageSecretKey: expect.anything() }) },
    ],
    [
      'traces are on whatever is sent',
      product({ traceOn: false }),
      { productInfo: expect.objectContaining({ traceOn: true }) },
    ],
    [
      'an empty replication mode is none',
      product({ drReplicationMode: '' }),
      { productInfo: expect.not.objectContaining({ drReplicationMode: expect.anything() }) },
    ],
    [
      'serverless: traces are off until asked for',
      serverless(),
      {
        subSeriesCode: 'serverless',
        commodityCode: 'ons_rmqsrvlesspost_public_cn',
        productInfo: expect.objectContaining({ traceOn: false, capacityType: 'onDemand', supportAutoScaling: true }),
      },
    ],
    [
      'serverless without a code, traces on',
      serverless({ productInfo: { msgProcessSpec: undefined, traceOn: true } }),
      { productInfo: expect.objectContaining({ traceOn: true }) },
    ],
    [
      'a shared reservation, spelled loosely',
      serverless({
        seriesCode: 'shared',
        productInfo: { msgProcessSpec: undefined, capacityType: 'Provisioned', provisionedCapacity: 7000 },
      }),
      {
        seriesCode: 'shared',
        productInfo: expect.objectContaining({ capacityType: 'provisioned', provisionedCapacity: 7000 }),
      },
    ],
    [
      'an international commodity code',
      { commodityCode: 'ons_rmqpost_public_intl' },
      { commodityCode: 'ons_rmqpost_public_intl' },
    ],
    [
      'single node',
      { subSeriesCode: 'single_node', productInfo: { msgProcessSpec: 'rmq.s1.micro' } },
      { subSeriesCode: 'single_node' },
    ],
    [
      'vSwitches in their order, each in a zone',
      vpc({ vSwitches: [{ vSwitchId: 'vsw-9' }, { vSwitchId: 'vsw-1' }], securityGroupIds: 'sg-1' }),
      {
        networkInfo: expect.objectContaining({
          vpcInfo: {
            vpcId: 'vpc-1',
            vSwitches: [{ vSwitchId: 'vsw-9' }, { vSwitchId: 'vsw-1' }],
            vSwitchId: 'vsw-9|vsw-1',
            securityGroupIds: 'sg-1',
          },
        }),
      },
    ],
    [
      'the older form of vSwitches',
      vpc({ vSwitches: [], vSwitchId: 'vsw-a|vsw-b' }),
      {
        networkInfo: expect.objectContaining({
          vpcInfo: expect.objectContaining({
            vSwitches: [
              expect.objectContaining({ vSwitchId: 'vsw-a' }),
              expect.objectContaining({ vSwitchId: 'vsw-b' }),
            ],
          }),
        }),
      },
    ],
    [
      'both forms that agree',
      vpc({ vSwitchId: 'vsw-1' }),
      { networkInfo: expect.objectContaining({ vpcInfo: expect.objectContaining({ vSwitchId: 'vsw-1' }) }) },
    ],
    [
      'public access by traffic, with the zero Terraform sends',
      publicAccess({ flowOutBandwidth: 0, ipWhitelist: [] }),
      {
        networkInfo: expect.objectContaining({
          internetInfo: { internetSpec: 'enable', flowOutType: 'payByTraffic', ipWhitelist: [] },
        }),
      },
    ],
    [
      'public access by bandwidth, guarded',
      publicAccess({ flowOutType: 'payByBandwidth', flowOutBandwidth: 1000, ipWhitelist: ['10.0.0.0/8', '1.2.3.4'] }),
      {
        networkInfo: expect.objectContaining({
          internetInfo: {
            internetSpec: 'enable',
            flowOutType: 'payByBandwidth',
            flowOutBandwidth: 1000,
            ipWhitelist: ['10.0.0.0/8', '1.2.3.4'],
          },
        }),
        extConfig: expect.objectContaining({
          flowOutType: 'payByBandwidth',
          flowOutBandwidth: 1000,
          internetSpec: 'enable',
        }),
      },
    ],
    [
      'no password in the VPC',
      { aclInfo: { defaultVpcAuthFree: true } },
      { aclInfo: expect.objectContaining({ defaultVpcAuthFree: true }) },
    ],
    [
      'a name and a remark in Chinese',
      { instanceName: '订单-queue_1', remark: '备注, with blanks.' },
      { instanceName: '订单-queue_1', remark: '备注, with blanks.' },
    ],
    ['128 characters', { remark: '字'.repeat(128) }, { remark: '字'.repeat(128) }],
    [
      'a resource group and tags',
      { resourceGroupId: 'rg-1', tags: [{ key: 'b', value: '2' }, { key: 'a' }] },
      {
        resourceGroupId: 'rg-1',
        tags: [
          { key: 'a', value: '' },
          { key: 'b', value: '2' },
        ],
      },
    ],
    [
      'members of a subscription, ignored with pay-as-you-go',
      { period: 6, periodUnit: 'Year', autoRenew: true, autoRenewPeriod: 1 },
      { expireTime: '2126-04-01 00:00:00' },
    ],
  ]

  it.each(readings)('%s', async (_, change, reads) => {
    const instanceId = await subject.create(body(change))
    expect(await subject.get(instanceId)).toMatchObject(reads)
  })

  it('every combination of edition, deployment, payment, commodity and specification', async () => {
    for (const combination of allCombinations()) {
      const { msgProcessSpec, ...top } = combination
      const instanceId = await subject.create(
        body({
          ...top,
          period: 1,
          productInfo: { msgProcessSpec },
          ...vpc({ vSwitches: [{ vSwitchId: 'vsw-1' }, { vSwitchId: 'vsw-2' }] }),
        }),
      )
      expect(await subject.get(instanceId)).toMatchObject({ ...top, productInfo: { msgProcessSpec } })
    }
  })
})

describe('the instance', () => {
  it('is answered at once, is CREATING, and RUNNING once the loop has made it', async () => {
    const instanceId = await subject.create()
    expect(instanceId).toMatch(/^rmq-cn-[0-9a-z]{11}$/)
    expect(subject.woken).toEqual([instanceId])
    expect(await subject.get(instanceId)).toMatchObject({
      instanceId,
      instanceName: instanceId,
      regionId: 'cn-hangzhou',
      status: 'CREATING',
      topicCount: 0,
      groupCount: 0,
      networkInfo: { endpoints: [] },
    })
    await subject.applied(instanceId)
    expect((await subject.get(instanceId)).status).toBe('RUNNING')
  })

  it('has times in the vendor zone', async () => {
    const instanceId = await subject.create()
    expect(await subject.get(instanceId)).toMatchObject({
      createTime: '2026-03-31 10:20:30',
      updateTime: '2026-03-31 10:20:30',
      startTime: '2026-03-31 10:20:30',
      expireTime: '2126-04-01 00:00:00',
      releaseTime: '2126-04-08 00:00:00',
    })
    subject.settings.timeZoneOffsetMinutes = 0
    expect((await subject.get(instanceId)).createTime).toBe('2026-03-31 02:20:30')
  })

  it.each([
    [{ period: 1 }, '2026-04-30 10:20:30', '2026-05-07 10:20:30'],
    [{ period: 6, periodUnit: 'Month' }, '2026-09-30 10:20:30', '2026-10-07 10:20:30'],
    [{ period: 3, periodUnit: 'Year' }, '2029-03-31 10:20:30', '2029-04-07 10:20:30'],
  ])('a subscription of %j lasts until %s', async (term, expireTime, releaseTime) => {
    const instanceId = await subject.create(body(subscription(term)))
    expect(await subject.get(instanceId)).toMatchObject({
      paymentType: 'Subscription',
      commodityCode: 'ons_rmqsub_public_cn',
      startTime: '2026-03-31 10:20:30',
      expireTime,
      releaseTime,
    })
  })

  it('keeps what renewal needs', async () => {
    const instanceId = await subject.create(body(subscription({ autoRenew: true, autoRenewPeriod: 3 })))
    expect(JSON.parse((await subject.row(instanceId)).billing_json)).toEqual({
      period: 1,
      periodUnit: 'Month',
      autoRenew: true,
      autoRenewPeriod: 3,
    })
  })

  it('has endpoints that can be dialled, each once it has a port', async () => {
    const instanceId = await subject.running(body(publicAccess({ ipWhitelist: ['10.0.0.0/8'] })))
    const suffix = instanceId.slice('rmq-cn-'.length)
    const endpoints = [
      { endpointId: `ep-${suffix}v`, endpointType: 'TCP_VPC', endpointUrl: 'api.example:7801' },
      {
        endpointId: `ep-${suffix}i`,
        endpointType: 'TCP_INTERNET',
        endpointUrl: 'api.example:7802',
        ipWhitelist: ['10.0.0.0/8'],
      },
    ]
    expect((await subject.get(instanceId)).networkInfo.endpoints).toEqual(endpoints)
    const urls = async (reachedHost: string) =>
      (await subject.get(instanceId, { reachedHost })).networkInfo.endpoints.map((each: any) => each.endpointUrl)
    expect(await urls('::1')).toEqual(['[::1]:7801', '[::1]:7802'])
    subject.settings.advertisedHost = 'mq.example'
    expect(await urls('::1')).toEqual(['mq.example:7801', 'mq.example:7802'])
  })

  it('has no public endpoint without public access', async () => {
    const { networkInfo } = await subject.get(await subject.running())
    expect(networkInfo.endpoints.map((each: any) => each.endpointType)).toEqual(['TCP_VPC'])
  })

  it('has quotas with live counts', async () => {
    const instanceId = await subject.running({
      ...instanceBody(),
      seriesCode: 'professional',
      productInfo: { msgProcessSpec: 'rmq.p2.4xlarge' },
    })
    await subject.call('CreateTopic', { path: { instanceId, topicName: 'a' }, body: { messageType: 'NORMAL' } })
    await subject.call('CreateTopic', { path: { instanceId, topicName: 'b' }, body: { messageType: 'NORMAL' } })
    await subject.call('DeleteTopic', { path: { instanceId, topicName: 'b' } })
    const unknown = await subject.get(instanceId)
    expect(unknown.instanceQuotas.map((quota: any) => quota.quotaName)).not.toContain('STORAGE_SIZE')
    subject.usage = { instanceId, storedBytes: 3 * 2 ** 29, connections: 1, groupsMadeByUse: 0, remark: null }
    const seen = await subject.get(instanceId)
    expect(seen).toMatchObject({ topicCount: 1, groupCount: 0 })
    expect(seen.instanceQuotas).toEqual([
      { quotaName: 'MAX_TPS', totalCount: 4000 },
      { quotaName: 'SCALING_TPS_MAX', totalCount: 2000 },
      { quotaName: 'STORAGE_SIZE', usedCount: 1.5 },
      { quotaName: 'TOPIC_COUNT', totalCount: 500, freeCount: 150, usedCount: 1 },
      { quotaName: 'CONSUMER_GROUP_COUNT', totalCount: 2000, usedCount: 0 },
    ])
  })

  it('has a default account, whose password is sealed and read back in clear', async () => {
    const instanceId = await subject.create()
    const account = await subject.call('GetInstanceAccount', { path: { instanceId } })
    expect(account).toEqual({
      username: expect.stringMatching(/^[A-Za-z0-9]{16}$/),
      password: expect.stringMatching(/^[A-Za-z0-9]{16}$/),
      accountStatus: 'ENABLE',
    })
    expect((await subject.get(instanceId)).accountInfo).toEqual({ username: account.username })
    const named = await subject.call('GetInstanceAccount', {
      path: { instanceId },
      query: { username: account.username },
    })
    expect(named).toEqual(account)
    await subject.refused(
      'GetInstanceAccount',
      { path: { instanceId }, query: { username: 'nobody' } },
      404,
      'InstanceAccount.NotExisted',
    )
    const stored = await subject.ledger.read.selectFrom('instance_accounts').selectAll().executeTakeFirstOrThrow()
    expect(JSON.stringify(stored)).not.toContain(account.password)
    expect(JSON.stringify(await subject.changes(`instance/${instanceId}`))).not.toContain(account.password)
  })

  it('is recorded with its cause', async () => {
    const instanceId = await subject.create(body({ tags: [{ key: 'a', value: 'b' }] }))
    expect(await subject.changes(`instance/${instanceId}`)).toEqual([
      {
        action: 'CreateInstance',
        detail: { created: expect.objectContaining({ seriesCode: 'standard', tags: [{ key: 'a', value: 'b' }] }) },
      },
    ])
  })

  it('lives in the region of the call', async () => {
    const instanceId = await subject.call('CreateInstance', { body: body(), regionId: 'ap-southeast-1' })
    expect(await subject.get(instanceId, { regionId: 'ap-southeast-1' })).toMatchObject({
      regionId: 'ap-southeast-1',
      commodityCode: 'ons_rmqpost_public_intl',
    })
    await subject.refused('GetInstance', { path: { instanceId } }, 404, 'Instance.NotFound')
    expect((await subject.call('ListInstances')).totalCount).toBe(0)
  })
})

describe('a clientToken', () => {
  const token = { clientToken: 'c2c5d1274a8d4317a13bc5b0d4' }
  const listed = async () => (await subject.call('ListInstances')).totalCount

  it('answers the same instance again, in whatever order the members come, and after a restart', async () => {
    const first = await subject.create(body({ remark: 'x' }), token)
    const turned = Object.fromEntries(Object.entries(body({ remark: 'x' })).reverse())
    expect(await subject.create(turned, token)).toBe(first)
    await subject.restart()
    expect(await subject.create(body({ remark: 'x' }), token)).toBe(first)
    expect(await listed()).toBe(1)
    expect(subject.woken).toEqual([first])
  })

  it('answers one instance to calls in flight together', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => subject.create(body(), token)))
    expect(new Set(answers).size).toBe(1)
    expect(await listed()).toBe(1)
  })

  it('of calls in flight together with other parameters lets one through', async () => {
    const answers = await Promise.allSettled(['a', 'b'].map((remark) => subject.create(body({ remark }), token)))
    expect(answers.map((each) => each.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await listed()).toBe(1)
  })

  it('stays free, and nothing is left behind, when the creation breaks off half way', async () => {
    const whole = subject.ledger
    const seal = () => {
      throw new Error('the key file is gone')
    }
    subject.ledger = { ...whole, change: whole.change.bind(whole), secrets: { ...whole.secrets, seal } }
    await expect(subject.create(body(), token)).rejects.toThrow('the key file is gone')
    subject.ledger = whole
    expect(await listed()).toBe(0)
    expect(await whole.read.selectFrom('instances').selectAll().execute()).toEqual([])
    expect(subject.woken).toEqual([])
    await subject.create(body({ remark: 'other' }), token)
    expect(await listed()).toBe(1)
  })

  it('is refused with other parameters', async () => {
    await subject.create(body(), token)
    await subject.refused(
      'CreateInstance',
      { body: body({ remark: 'x' }), query: token },
      400,
      'IdempotentParameterMismatch',
    )
    expect(await listed()).toBe(1)
  })

  it('is free again after 24 hours, and not before', async () => {
    const first = await subject.create(body(), token)
    subject.clock.jump(24 * 3_600_000 - 1)
    expect(await subject.create(body(), token)).toBe(first)
    subject.clock.jump(1)
    expect(await subject.create(body({ remark: 'x' }), token)).not.toBe(first)
  })

  it('counts in its region only, and answers the instance though it was deleted', async () => {
    const first = await subject.create(body(), token)
    expect(await subject.call('CreateInstance', { body: body(), query: token, regionId: 'ap-southeast-1' })).not.toBe(
      first,
    )
    await subject.call('DeleteInstance', { path: { instanceId: first } })
    expect(await subject.create(body(), token)).toBe(first)
    expect(await listed()).toBe(0)
  })

  it.each([
    ['65 characters', 'x'.repeat(65)],
    ['a line break', 'a\nb'],
    ['beyond ASCII', 'tökén'],
  ])('of %s is refused', async (_, clientToken) => {
    await subject.refused('CreateInstance', { body: body(), query: { clientToken } }, 400, 'InvalidClientToken')
  })

  it('may have 64 characters, and may be empty for none', async () => {
    await subject.create(body(), { clientToken: 'x'.repeat(64) })
    const [a, b] = [
      await subject.create(body(), { clientToken: '' }),
      await subject.create(body(), { clientToken: '' }),
    ]
    expect(a).not.toBe(b)
  })
})

it('any body is answered with an id or a refusal that names a field', async () => {
  const leaf = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('enable', 'serverless', '', 'rmq', '0'),
  )
  const members = [
    'serviceCode',
    'instanceName',
    'seriesCode',
    'subSeriesCode',
    'paymentType',
    'period',
    'remark',
    'tags',
    'productInfo',
    'networkInfo',
    'aclInfo',
    'resourceGroupId',
    'autoRenew',
  ]
  const value = fc.oneof(
    leaf,
    fc.array(leaf, { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('vpcInfo', 'key', 'msgProcessSpec', 'internetInfo', '__proto__'), leaf, {
      maxKeys: 3,
    }),
  )
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...members), value, async (member, replaced) => {
      const answer = await subject.create({ ...instanceBody(), [member]: replaced }).catch((error: unknown) => error)
      if (typeof answer === 'string') return
      expect(answer).toMatchObject({ httpStatus: 400, field: expect.stringMatching(/./) })
    }),
    { numRuns: 400, seed: START_MS % 2 ** 31 },
  )
})
