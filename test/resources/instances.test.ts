/** Reading, listing, changing and deleting instances; resource groups; regions and zones. */

import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { changeBilling } from '../../src/ledger/billing.ts'
import { renewDueSubscriptions } from '../../src/ledger/instances.ts'
import { WithMessage } from '../../src/resources/handler.ts'
import { ledgerTargets, titleOf } from '../support/ledger.ts'
import { clean, instanceBody, Subject, stop } from './harness.ts'

let subject: Subject
beforeEach(async () => {
  subject = await Subject.start()
})
afterEach(clean)
afterAll(stop)

const DAY_MS = 86_400_000
const subscription = () => ({ ...instanceBody(), paymentType: 'Subscription', period: 1 })
const professional = () => ({
  ...instanceBody(),
  seriesCode: 'professional',
  productInfo: { msgProcessSpec: 'rmq.p2.4xlarge' },
})
const publicBody = () => {
  const { networkInfo, ...rest } = instanceBody()
  return {
    ...rest,
    networkInfo: { ...networkInfo, internetInfo: { internetSpec: 'enable', flowOutType: 'payByTraffic' } },
  }
}
const update = (instanceId: string, body: unknown) => subject.call('UpdateInstance', { path: { instanceId }, body })

describe('UpdateInstance', () => {
  /** What a PATCH leaves of generation, revision, changes and wake-ups beyond creation. */
  async function effect(instanceId: string, body: unknown) {
    const before = await subject.row(instanceId)
    const woken = subject.woken.length
    const recorded = (await subject.changes(`instance/${instanceId}`)).length
    subject.clock.jump(1000)
    const answer = await update(instanceId, body)
    expect(answer instanceof WithMessage ? answer.data : answer).toBe(true)
    const after = await subject.row(instanceId)
    return {
      generation: after.generation - before.generation,
      revision: after.revision - before.revision,
      updated: after.update_time_ms > before.update_time_ms,
      recorded: (await subject.changes(`instance/${instanceId}`)).length - recorded,
      woken: subject.woken.length - woken,
    }
  }
  const nothing = { generation: 0, revision: 0, updated: false, recorded: 0, woken: 0 }
  const described = { generation: 0, revision: 0, updated: true, recorded: 1, woken: 0 }
  const respecified = { generation: 1, revision: 1, updated: true, recorded: 1, woken: 1 }

  it.each([
    ['nothing', {}, nothing],
    ['no body', undefined, nothing],
    ['empty objects', { aclInfo: {}, productInfo: {}, networkInfo: { internetInfo: {} } }, nothing],
    [
      'the routine of Terraform',
      {
        productInfo: { sendReceiveRatio: 0.5, autoScaling: false, messageRetentionTime: 0, traceOn: false },
        networkInfo: { internetInfo: { ipWhitelist: [] } },
        aclInfo: {},
      },
      nothing,
    ],
    ['zero for "unset"', { productInfo: { sendReceiveRatio: 0 } }, nothing],
    [
      'the values there are',
      { productInfo: { messageRetentionTime: 72 }, aclInfo: { aclTypes: ['default'], defaultVpcAuthFree: false } },
      nothing,
    ],
    ['a name', { instanceName: 'other' }, described],
    ['a remark', { remark: 'other' }, described],
    ['the ratio', { productInfo: { sendReceiveRatio: 1 } }, respecified],
    ['elastic TPS', { productInfo: { autoScaling: true } }, respecified],
    ['the retention', { productInfo: { messageRetentionTime: 24 } }, respecified],
    ['the whitelist', { networkInfo: { internetInfo: { ipWhitelist: ['10.0.0.0/8'] } } }, respecified],
    ['no password in the VPC', { aclInfo: { defaultVpcAuthFree: true } }, respecified],
    ['a name and the retention', { instanceName: 'other', productInfo: { messageRetentionTime: 24 } }, respecified],
  ])('%s', async (_, body, expected) => {
    const { networkInfo } = publicBody()
    const instanceId = await subject.running({ ...professional(), networkInfo })
    expect(await effect(instanceId, body)).toEqual(expected)
    expect((await subject.get(instanceId)).status).toBe(expected.generation === 0 ? 'RUNNING' : 'CHANGING')
  })

  it('is read back, and RUNNING again after the loop', async () => {
    const { networkInfo } = publicBody()
    const instanceId = await subject.running({ ...professional(), networkInfo, remark: 'first' })
    await update(instanceId, {
      instanceName: 'renamed',
      remark: '',
      productInfo: { sendReceiveRatio: 0.25, autoScaling: true, messageRetentionTime: 100 },
      networkInfo: { internetInfo: { ipWhitelist: ['1.2.3.4'] } },
      aclInfo: { aclTypes: ['default', 'default'], defaultVpcAuthFree: true },
    })
    await subject.applied(instanceId)
    const seen = await subject.get(instanceId)
    expect(seen).toMatchObject({
      status: 'RUNNING',
      instanceName: 'renamed',
      productInfo: {
        sendReceiveRatio: 0.25,
        autoScaling: true,
        messageRetentionTime: 100,
        msgProcessSpec: 'rmq.p2.4xlarge',
      },
      extConfig: { sendReceiveRatio: 0.25, autoScaling: true, messageRetentionTime: 100, aclType: 'default' },
      networkInfo: { internetInfo: { ipWhitelist: ['1.2.3.4'], flowOutType: 'payByTraffic' } },
      aclInfo: { aclTypes: ['default'], defaultVpcAuthFree: true },
    })
    expect(seen).not.toHaveProperty('remark')
    await update(instanceId, { networkInfo: { internetInfo: { ipWhitelist: [] } } })
    expect((await subject.get(instanceId)).networkInfo.internetInfo.ipWhitelist).toEqual([])
  })

  it.each([[['apache_acl']], [['default', 'apache_acl']], [['apache_acl', 'default']]])(
    'recognises accounts as %j says, and answers it in that order',
    async (aclTypes) => {
      const instanceId = await subject.running()
      expect(await effect(instanceId, { aclInfo: { aclTypes } })).toEqual(respecified)
      const { aclInfo } = await subject.get(instanceId)
      expect(aclInfo).toEqual({ aclType: aclTypes[0], aclTypes, defaultVpcAuthFree: false })
    },
  )

  it('switches traces of a serverless instance only', async () => {
    const { networkInfo } = instanceBody()
    const vSwitches = [{ vSwitchId: 'vsw-1' }, { vSwitchId: 'vsw-2' }]
    const serverless = await subject.running({
      ...instanceBody(),
      subSeriesCode: 'serverless',
      commodityCode: 'ons_rmqsrvlesspost_public_cn',
      productInfo: {},
      networkInfo: { ...networkInfo, vpcInfo: { vpcId: 'vpc-1', vSwitches } },
    })
    expect(await effect(serverless, { productInfo: { traceOn: true } })).toEqual(described)
    expect((await subject.get(serverless)).productInfo.traceOn).toBe(true)
    const other = await subject.running()
    expect(await effect(other, { productInfo: { traceOn: false } })).toEqual(nothing)
  })

  it('says that traceOn has no effect where the vendor ignores it', async () => {
    const instanceId = await subject.running()
    expect(await update(instanceId, { productInfo: { traceOn: false } })).toEqual(
      new WithMessage(
        true,
        'Success. productInfo.traceOn has no effect: it counts for serverless instances, and the traces of this one are always on.',
      ),
    )
    expect(await update(instanceId, { productInfo: { traceOn: true } })).toBe(true)
  })

  it.each([
    ['elastic TPS on standard', { productInfo: { autoScaling: true } }, 'InvalidAutoScaling'],
    ['a ratio too small', { productInfo: { sendReceiveRatio: 0.04 } }, 'InvalidSendReceiveRatio'],
    ['a ratio too large', { productInfo: { sendReceiveRatio: 1.01 } }, 'InvalidSendReceiveRatio'],
    ['too long a retention', { productInfo: { messageRetentionTime: 721 } }, 'InvalidMessageRetentionTime'],
    [
      'a whitelist without public access',
      { networkInfo: { internetInfo: { ipWhitelist: ['10.0.0.0/8'] } } },
      'InvalidIpWhitelist',
    ],
    ['no way to be recognised', { aclInfo: { aclTypes: [] } }, 'InvalidAclTypes'],
    ['the identities of the cloud', { aclInfo: { aclTypes: ['default', 'aliyun_ram'] } }, 'InvalidAclTypes'],
    ['adaptive elasticity', { productInfo: { adaptiveElasticity: true } }, 'InvalidAdaptiveElasticity'],
    ['an unknown way', { aclInfo: { aclTypes: ['magic'] } }, 'InvalidAclTypes'],
    ['a bad name', { instanceName: 'a b' }, 'InvalidInstanceName'],
  ])('refuses %s', async (_, body, code) => {
    const instanceId = await subject.running()
    await subject.refused('UpdateInstance', { path: { instanceId }, body }, 400, code)
    expect((await subject.row(instanceId)).generation).toBe(1)
  })

  it('of an expired or released instance is refused', async () => {
    const instanceId = await subject.running(subscription())
    const asked = { path: { instanceId }, body: { instanceName: 'other' } }
    subject.clock.jump(30 * DAY_MS)
    await subject.refused('UpdateInstance', asked, 400, 'InstanceStatus.Error', 'STOPPED')
    subject.clock.jump(7 * DAY_MS)
    await subject.refused('UpdateInstance', asked, 400, 'InstanceStatus.Error', 'RELEASED')
    await subject.refused(
      'UpdateInstance',
      { ...asked, path: { instanceId: 'rmq-cn-nosuch' } },
      404,
      'Instance.NotFound',
    )
  })

  it('two at once on different members lose neither', async () => {
    const instanceId = await subject.running()
    await Promise.all([
      update(instanceId, { productInfo: { messageRetentionTime: 24 } }),
      update(instanceId, { productInfo: { sendReceiveRatio: 0.3 } }),
    ])
    expect((await subject.get(instanceId)).productInfo).toMatchObject({
      messageRetentionTime: 24,
      sendReceiveRatio: 0.3,
    })
    expect((await subject.row(instanceId)).generation).toBe(3)
  })
})

describe('the maintenance window', () => {
  const set = (instanceId: string, body: unknown) => ({ path: { instanceId }, body })
  it('is kept and read back', async () => {
    const instanceId = await subject.running()
    await subject.call('UpdateInstanceSoftwareConfig', set(instanceId, { instanceId, maintainTime: '22:30-01:00' }))
    expect((await subject.get(instanceId)).software.maintainTime).toBe('22:30-01:00')
    expect(await subject.row(instanceId)).toMatchObject({ generation: 1, revision: 1 })
  })
  it.each([
    [{}, 'MissingMaintainTime'],
    [{ maintainTime: '2:00-6:00' }, 'InvalidMaintainTime'],
    [{ maintainTime: '02:00-24:00' }, 'InvalidMaintainTime'],
    [{ maintainTime: '02:00-02:00' }, 'InvalidMaintainTime'],
  ])('%j is refused', async (body, code) => {
    await subject.refused('UpdateInstanceSoftwareConfig', set(await subject.running(), body), 400, code)
  })
})

describe('DeleteInstance', () => {
  it('leaves RELEASED until the loop forgets, then nothing', async () => {
    const instanceId = await subject.running({ ...instanceBody(), tags: [{ key: 'a', value: 'b' }] })
    await subject.call('CreateTopic', { path: { instanceId, topicName: 't' }, body: { messageType: 'NORMAL' } })
    expect(await subject.call('DeleteInstance', { path: { instanceId } })).toBe(true)
    expect(subject.woken.at(-1)).toBe(instanceId)
    expect(await subject.get(instanceId)).toMatchObject({
      status: 'RELEASED',
      topicCount: 0,
      tags: [],
      networkInfo: { endpoints: [] },
    })
    expect((await subject.call('ListInstances')).totalCount).toBe(0)
    const gone = { path: { instanceId, topicName: 't', consumerGroupId: 'g' } }
    for (const action of [
      'DeleteInstance',
      'ListTopics',
      'GetTopic',
      'DeleteTopic',
      'ListConsumerGroups',
      'GetInstanceAccount',
    ]) {
      await subject.refused(action, gone, 404, 'Instance.NotFound')
    }
    await subject.applied(instanceId)
    await subject.refused('GetInstance', { path: { instanceId } }, 404, 'Instance.NotFound')
  })

  it('of a subscription is refused, and it goes by itself', async () => {
    const instanceId = await subject.running(subscription())
    await subject.refused('DeleteInstance', { path: { instanceId } }, 400, 'OrderType.NotSupport', 'Subscription')
    const status = async () => (await subject.get(instanceId)).status
    expect(await status()).toBe('RUNNING')
    subject.clock.jump(30 * DAY_MS)
    expect(await status()).toBe('STOPPED')
    expect((await subject.call('ListInstances')).list).toMatchObject([{ instanceId, status: 'STOPPED' }])
    subject.clock.jump(7 * DAY_MS - 1)
    expect(await status()).toBe('STOPPED')
    subject.clock.jump(1)
    expect(await status()).toBe('RELEASED')
    expect((await subject.call('ListInstances')).totalCount).toBe(0)
  })

  it('twice at once succeeds once', async () => {
    const instanceId = await subject.running()
    const asked = [1, 2].map(() => subject.call('DeleteInstance', { path: { instanceId } }))
    const answers = await Promise.allSettled(asked)
    expect(answers.map((each) => each.status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  it('does not care for regions other than its own', async () => {
    const instanceId = await subject.running()
    const elsewhere = { path: { instanceId }, regionId: 'ap-southeast-1' }
    await subject.refused('DeleteInstance', elsewhere, 404, 'Instance.NotFound')
    await subject.refused('UpdateInstance', { ...elsewhere, body: { remark: 'x' } }, 404, 'Instance.NotFound')
    expect((await subject.get(instanceId)).status).toBe('RUNNING')
  })
})

describe('automatic renewal', () => {
  const renew = () =>
    subject.ledger.change(
      { at: subject.clock.now(), requestId: 'loop', principal: 'system', action: 'Renew' },
      ({ tx }) => renewDueSubscriptions(tx, subject.clock.now(), subject.settings.timeZoneOffsetMinutes),
    )
  const times = async (instanceId: string) => {
    const { expireTime, releaseTime, status } = await subject.get(instanceId)
    return [expireTime, releaseTime, status]
  }

  it('moves expiry and release nine days ahead of time, again and again, and wakes the loop', async () => {
    const instanceId = await subject.running({ ...subscription(), autoRenew: true, autoRenewPeriod: 2 })
    const other = await subject.running(subscription())
    expect(await renew()).toEqual([])
    subject.clock.jump(21 * DAY_MS - 1)
    expect(await renew()).toEqual([])
    subject.clock.jump(1)
    expect(await renew()).toEqual([instanceId])
    expect(await renew()).toEqual([])
    expect(await times(instanceId)).toEqual(['2026-06-30 10:20:30', '2026-07-07 10:20:30', 'RUNNING'])
    expect(await subject.row(instanceId)).toMatchObject({ generation: 1, revision: 2 })
    expect((await times(other))[0]).toBe('2026-04-30 10:20:30')
  })

  it('is read back, also in the months of years that billing set, and is off for pay-as-you-go', async () => {
    const instanceId = await subject.running({ ...subscription(), autoRenew: true, autoRenewPeriod: 2 })
    expect(await subject.get(instanceId)).toMatchObject({ autoRenew: true, autoRenewPeriod: 2 })
    const set = (billing: object) =>
      subject.ledger.change(
        { at: subject.clock.now(), requestId: 'r', principal: 'p', action: 'SetRenewal' },
        ({ tx }) => changeBilling(tx, instanceId, billing, { at: subject.clock.now() }),
      )
    await set({ period: 1, autoRenew: true, autoRenewPeriod: 2, autoRenewPeriodUnit: 'Year' })
    expect(await subject.get(instanceId)).toMatchObject({ autoRenew: true, autoRenewPeriod: 24 })
    await set({ period: 1, autoRenew: false })
    const off = await subject.get(instanceId)
    expect([off.autoRenew, off]).toEqual([false, expect.not.objectContaining({ autoRenewPeriod: expect.anything() })])
    expect(await subject.get(await subject.running())).toMatchObject({ autoRenew: false })
  })

  it('brings back what expired while the server was away, but not what was released', async () => {
    const instanceId = await subject.running({ ...subscription(), autoRenew: true })
    subject.clock.jump(36 * DAY_MS)
    expect((await times(instanceId))[2]).toBe('STOPPED')
    expect(await renew()).toEqual([instanceId])
    expect(await times(instanceId)).toEqual(['2026-05-30 10:20:30', '2026-06-06 10:20:30', 'RUNNING'])
    subject.clock.jump(60 * DAY_MS)
    expect(await renew()).toEqual([])
    expect((await times(instanceId))[2]).toBe('RELEASED')
  })
})

describe('ChangeResourceGroup', () => {
  const asked = (resourceId: string, more: Record<string, string> = {}) => ({
    query: { regionId: 'cn-hangzhou', resourceId, resourceGroupId: 'rg-2', resourceType: 'instance', ...more },
  })
  it('moves the instance', async () => {
    const instanceId = await subject.running()
    await subject.call('ChangeResourceGroup', asked(instanceId))
    expect((await subject.get(instanceId)).resourceGroupId).toBe('rg-2')
    expect((await subject.row(instanceId)).generation).toBe(1)
    expect((await subject.changes(`instance/${instanceId}`)).at(-1)).toEqual({
      action: 'ChangeResourceGroup',
      detail: { changed: { resourceGroupId: 'rg-2' } },
    })
  })
  it('checks what it is told', async () => {
    const instanceId = await subject.running()
    await subject.refused('ChangeResourceGroup', asked('rmq-cn-nosuch'), 404, 'Instance.NotFound')
    await subject.refused(
      'ChangeResourceGroup',
      asked(instanceId, { regionId: 'cn-beijing' }),
      400,
      'InvalidRegionId',
      'cn-hangzhou',
    )
    await subject.refused(
      'ChangeResourceGroup',
      asked(instanceId, { resourceType: 'topic' }),
      400,
      'InvalidResourceType',
    )
    await subject.refused(
      'ChangeResourceGroup',
      asked(instanceId, { resourceGroupId: 'rg 2' }),
      400,
      'InvalidResourceGroupId',
    )
    await subject.refused(
      'ChangeResourceGroup',
      asked(instanceId, { resourceGroupId: '' }),
      400,
      'MissingResourceGroupId',
    )
  })
})

describe('regions and zones', () => {
  it('are the ones this server answers for, and never change', async () => {
    expect(await subject.call('ListRegions')).toEqual([
      region('cn-hangzhou', 'China (Hangzhou)'),
      region('ap-southeast-1', 'Singapore'),
    ])
    const zones = await subject.call('ListAvailableZones', { regionId: 'ap-southeast-1' })
    expect(zones.map((zone: any) => zone.zoneId)).toEqual(['ap-southeast-1a', 'ap-southeast-1b', 'ap-southeast-1c'])
    expect(zones[0]).toEqual({ zoneId: 'ap-southeast-1a', zoneName: 'Singapore Zone A' })
    subject.clock.jump(DAY_MS)
    expect(await subject.call('ListAvailableZones', { regionId: 'ap-southeast-1' })).toEqual(zones)
    expect(await subject.call('ListAvailableZones', { regionId: 'moon-1' })).toHaveLength(3)
  })
  const region = (regionId: string, regionName: string) => ({
    regionId,
    regionName,
    supportRocketmqV4: false,
    supportRocketmqV5: true,
    tags: [],
  })
})

describe.each(ledgerTargets)('ListInstances on $name', (target) => {
  it.skipIf(target.missing !== null)(`filters, counts and pages (${titleOf(target)})`, async () => {
    subject = await Subject.start(target)
    const make = async (instanceName: string, more: Record<string, unknown> = {}) => {
      subject.clock.jump(1000)
      return subject.create({ ...instanceBody(), instanceName, ...more })
    }
    const ultimate = (storageSecretKey: string) => ({
      seriesCode: 'ultimate',
      productInfo: { msgProcessSpec: 'rmq.u2.10xlarge', storageEncryption: true, storageSecretKey },
    })
    const ids: Record<string, string> = {
      a: await make('Orders_A', {
        tags: [
          { key: 'env', value: 'test' },
          { key: 'team', value: 'x' },
        ],
      }),
      b: await make('orders-b', { tags: [{ key: 'env', value: 'test' }], resourceGroupId: 'rg-2' }),
      c: await make('订单c', { ...professional() }),
      d: await make('d', ultimate('key-1')),
      e: await make('e', ultimate('key-10')),
    }
    await subject.call('CreateTopic', {
      path: { instanceId: ids['a']!, topicName: 't' },
      body: { messageType: 'NORMAL' },
    })
    await subject
      .create({ ...instanceBody(), instanceName: 'deleted' })
      .then((instanceId) => subject.call('DeleteInstance', { path: { instanceId } }))
    const nameOf = (instanceId: string) => Object.entries(ids).find(([, id]) => id === instanceId)?.[0] ?? instanceId
    const found = async (query: Record<string, string>) => {
      const page = await subject.call('ListInstances', { query })
      expect(page.totalCount).toBeGreaterThanOrEqual(page.list.length)
      return `${page.list.map((each: any) => nameOf(each.instanceId)).join('')} of ${page.totalCount}`
    }
    for (const [query, expected] of [
      [{}, 'edcba of 5'],
      [{ filter: '' }, 'edcba of 5'],
      [{ filter: 'ORDERS' }, 'ba of 2'],
      [{ filter: '订单' }, 'c of 1'],
      [{ filter: ids['d']!.slice(9) }, 'd of 1'],
      [{ filter: '%' }, ' of 0'],
      [{ filter: 's_' }, 'a of 1'],
      [{ filter: 's-' }, 'b of 1'],
      [{ filter: '!' }, ' of 0'],
      [{ filter: "'; drop table instances" }, ' of 0'],
      [{ seriesCodes: 'professional,ultimate' }, 'edc of 3'],
      [{ seriesCodes: 'standard', filter: 'b' }, 'b of 1'],
      [{ resourceGroupId: 'rg-2' }, 'b of 1'],
      [{ storageSecretKey: 'key-1' }, 'd of 1'],
      [{ storageSecretKey: 'key' }, ' of 0'],
      [{ tags: '[{"key":"env","value":"test"}]' }, 'ba of 2'],
      [{ tags: '[{"key":"env","value":"test"},{"key":"team","value":"x"}]' }, 'a of 1'],
      [{ tags: '[{"key":"env","value":"prod"}]' }, ' of 0'],
      [{ tags: '[{"key":"env"}]' }, 'ba of 2'],
      [{ pageSize: '1' }, 'edcba of 5'],
      [{ pageNumber: '2' }, ' of 5'],
      [{ pageNumber: '0', pageSize: '999' }, 'edcba of 5'],
      [{ pageNumber: '100000001' }, ' of 5'],
    ] as const) {
      expect([query, await found(query)]).toEqual([query, expected])
    }
    expect(await subject.call('ListInstances', { query: { pageNumber: '-3', pageSize: '7' } })).toMatchObject({
      pageNumber: 1,
      pageSize: 10,
    })
    const [entry] = (await subject.call('ListInstances', { query: { filter: 'Orders_A' } })).list
    expect(entry).toEqual({
      instanceId: ids['a'],
      instanceName: 'Orders_A',
      regionId: 'cn-hangzhou',
      serviceCode: 'rmq',
      seriesCode: 'standard',
      subSeriesCode: 'cluster_ha',
      paymentType: 'PayAsYouGo',
      commodityCode: 'ons_rmqpost_public_cn',
      status: 'CREATING',
      resourceGroupId: expect.stringMatching(/^rg-acfm/),
      tags: [
        { key: 'env', value: 'test' },
        { key: 'team', value: 'x' },
      ],
      topicCount: 1,
      groupCount: 0,
      createTime: '2026-03-31 10:20:31',
      updateTime: '2026-03-31 10:20:31',
      startTime: '2026-03-31 10:20:31',
      expireTime: '2126-04-01 00:00:00',
      releaseTime: '2126-04-08 00:00:00',
      userId: '1234567890123456',
      productInfo: { traceOn: true },
    })
  })

  it.skipIf(target.missing !== null)(
    'shows each of 25 once, over pages, though they are of one millisecond',
    async () => {
      subject = await Subject.start(target)
      const made = await Promise.all(Array.from({ length: 25 }, () => subject.create()))
      const pages = []
      for (const pageNumber of ['1', '2', '3']) {
        pages.push((await subject.call('ListInstances', { query: { pageNumber, pageSize: '10' } })).list)
      }
      expect(pages.map((page) => page.length)).toEqual([10, 10, 5])
      expect(
        pages
          .flat()
          .map((each) => each.instanceId)
          .sort(),
      ).toEqual([...made].sort())
    },
  )
})
