/** Accounts and grants: what may be written, how it is read back, and what is left of a password anywhere. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { limits } from '../../src/catalogue/rocketmq/limits.ts'
import { createWantedStore } from '../../src/lifecycle/wanted-store.ts'
import { ledgerTargets, titleOf } from '../support/ledger.ts'
import { clean, instanceBody, Subject, stop } from './harness.ts'

const DAY_MS = 86_400_000

let subject: Subject
let instanceId: string
beforeEach(async () => {
  subject = await Subject.start()
  instanceId = await subject.running()
})
afterEach(clean)
afterAll(stop)

const account = (username: string, more: object = {}) => ({
  path: { instanceId },
  body: { username, password: `${username}-password`, ...more },
})
const named = (username: string, query: Record<string, string> = {}) => ({ path: { instanceId, username }, query })
const read = (username: string) => subject.call('GetInstanceAccount', { path: { instanceId }, query: { username } })
const list = (query: Record<string, string> = {}) =>
  subject.call('ListInstanceAccount', { path: { instanceId }, query })
const defaultName = async (): Promise<string> =>
  (await subject.call('GetInstanceAccount', { path: { instanceId } })).username

/** By how much the instance was changed, and whether the loop was told. */
async function effect(change: () => Promise<unknown>) {
  const before = await subject.row(instanceId)
  subject.woken.length = 0
  expect(await change()).toBe(true)
  const after = await subject.row(instanceId)
  return { raised: after.generation - before.generation, woken: [...subject.woken] }
}
const applies = () => ({ raised: 1, woken: [instanceId] })
const nothing = { raised: 0, woken: [] }

describe('an account', () => {
  it('is created, read, listed, changed and deleted', async () => {
    expect(await effect(() => subject.call('CreateInstanceAccount', account('worker', { remark: 'note' })))).toEqual(
      applies(),
    )
    expect(await read('worker')).toEqual({
      ...{ username: 'worker', password: 'worker-password' },
      ...{ accountStatus: 'ENABLE', remark: 'note' },
    })
    expect(await list({ accountType: 'CUSTOMER' })).toEqual({
      ...{ pageNumber: 1, pageSize: 10, totalCount: 1 },
      list: [
        {
          ...{ instanceId, regionId: 'cn-hangzhou', username: 'worker' },
          ...{ accountStatus: 'ENABLE', accountType: 'CUSTOMER', remark: 'note' },
        },
      ],
    })
    const update = (query: Record<string, string>) =>
      effect(() => subject.call('UpdateInstanceAccount', named('worker', query)))
    expect(await update({ accountStatus: 'DISABLE' })).toEqual(applies())
    expect(await update({ password: 'another' })).toEqual(applies())
    expect(await read('worker')).toMatchObject({ accountStatus: 'DISABLE', password: 'another', remark: 'note' })
    expect(await update({ remark: '' })).toEqual(nothing)
    expect(await read('worker')).not.toHaveProperty('remark')
    expect(await update({ password: 'another', accountStatus: 'DISABLE' })).toEqual(nothing)
    expect(await update({})).toEqual(nothing)
    expect(await effect(() => subject.call('DeleteInstanceAccount', named('worker')))).toEqual(applies())
    await subject.refused(
      'GetInstanceAccount',
      { path: { instanceId }, query: { username: 'worker' } },
      404,
      'InstanceAccount.NotExisted',
    )
  })

  it('that is the default one can be disabled and get a password, but not deleted or made again', async () => {
    const username = await defaultName()
    await subject.refused('DeleteInstanceAccount', named(username), 400, 'InvalidUsername', 'default account')
    await subject.refused('CreateInstanceAccount', account(username), 400, 'InstanceAccount.Existed')
    await subject.call('UpdateInstanceAccount', named(username, { accountStatus: 'DISABLE', password: 'mine' }))
    expect(await read(username)).toMatchObject({ accountStatus: 'DISABLE', password: 'mine' })
    expect((await list({ accountType: 'DEFAULT' })).list).toMatchObject([{ username, accountType: 'DEFAULT' }])
  })

  it.each([
    ['a name too short', { username: 'ab' }, 'InvalidUsername'],
    ['a name too long', { username: 'a'.repeat(65) }, 'InvalidUsername'],
    ['a name with a blank', { username: 'a b c' }, 'InvalidUsername'],
    ['no name', { username: undefined }, 'MissingUsername'],
    ['a password too short', { password: 'ab' }, 'InvalidPassword'],
    ['a password too long', { password: 'p'.repeat(65) }, 'InvalidPassword'],
    ['no password', { password: undefined }, 'MissingPassword'],
    ['too long a note', { remark: 'r'.repeat(129) }, 'InvalidRemark'],
  ])('is not made with %s', async (_what, more, code) => {
    const refusal = await subject.refusal('CreateInstanceAccount', account('worker', more))
    expect([refusal.status, refusal.code]).toEqual([400, code])
    if ('password' in more && more.password) expect(refusal.message).not.toContain(more.password)
    expect((await list()).totalCount).toBe(1)
  })

  it('that exists, or does not, is refused by name', async () => {
    await subject.call('CreateInstanceAccount', account('worker'))
    await subject.refused('CreateInstanceAccount', account('worker'), 400, 'InstanceAccount.Existed', 'worker')
    for (const action of ['UpdateInstanceAccount', 'DeleteInstanceAccount'])
      await subject.refused(action, named('nobody'), 404, 'InstanceAccount.NotExisted', 'nobody')
    await subject.refused('UpdateInstanceAccount', named('worker', { password: '' }), 400, 'InvalidPassword')
  })

  it('is one of a hundred at most', async () => {
    for (let i = 1; i < limits.account.perInstance; i++)
      await subject.call('CreateInstanceAccount', account(`user-${i}`))
    await subject.refused(
      'CreateInstanceAccount',
      account('one-more'),
      400,
      'QuotaExceeded.InstanceAccount',
      '100 accounts',
    )
    await subject.call('DeleteInstanceAccount', named('user-1'))
    await subject.call('CreateInstanceAccount', account('one-more'))
    expect((await list({ pageSize: '10000' })).list).toHaveLength(limits.account.perInstance)
  })

  it('is found by a part of its name, its state and its kind, a page at a time', async () => {
    for (const name of ['orders-a', 'orders-b', 'Orders-c', 'other']) {
      subject.clock.jump(1)
      await subject.call('CreateInstanceAccount', account(name))
    }
    await subject.call('UpdateInstanceAccount', named('orders-b', { accountStatus: 'DISABLE' }))
    const names = async (query: Record<string, string>) => (await list(query)).list.map(({ username }: any) => username)
    expect(await names({ username: 'orders' })).toEqual(['Orders-c', 'orders-b', 'orders-a'])
    expect(await names({ username: 'orders', accountStatus: 'ENABLE' })).toEqual(['Orders-c', 'orders-a'])
    expect(await names({ accountType: 'CUSTOMER', pageSize: '1' })).toHaveLength(4)
    expect(await list({ pageNumber: '2', pageSize: '10' })).toMatchObject({ pageNumber: 2, totalCount: 5, list: [] })
    expect(await names({ username: '%' })).toEqual([])
  })

  it('leaves no password in the history, nor in clear in the ledger', async () => {
    await subject.call('CreateInstanceAccount', account('worker', { password: 'hunter2-first' }))
    await subject.call('UpdateInstanceAccount', named('worker', { password: 'hunter2-second', remark: 'n' }))
    const changes = await subject.changes(`instance/${instanceId}/account/worker`)
    expect(changes).toEqual([
      { action: 'CreateInstanceAccount', detail: { created: { remark: null } } },
      {
        action: 'UpdateInstanceAccount',
        detail: { changed: { accountStatus: 'ENABLE', remark: 'n', password: 'changed' } },
      },
    ])
    const rows = await subject.ledger.read.selectFrom('instance_accounts').selectAll().execute()
    const history = await subject.ledger.read.selectFrom('changes').selectAll().execute()
    expect(JSON.stringify([rows, history])).not.toContain('hunter2')
  })

  it('of another region, an unknown or an expired instance is refused', async () => {
    const elsewhere = { ...account('worker'), regionId: 'ap-southeast-1' }
    await subject.refused('CreateInstanceAccount', elsewhere, 404, 'Instance.NotFound')
    const expiring = await subject.running({
      ...{ ...instanceBody(), paymentType: 'Subscription', commodityCode: 'ons_rmqsub_public_cn' },
      ...{ period: 1, periodUnit: 'Month' },
    })
    subject.clock.jump(32 * DAY_MS)
    await subject.refused(
      'CreateInstanceAccount',
      { path: { instanceId: expiring }, body: { username: 'worker', password: 'secret' } },
      ...([400, 'InstanceStatus.Error', 'STOPPED'] as const),
    )
    expect(await subject.call('ListInstanceAccount', { path: { instanceId: expiring } })).toMatchObject({
      totalCount: 1,
    })
  })
})

const grantBody = (more: object = {}) => ({
  ...{ resourceType: 'Topic', resourceName: 'orders', actions: ['Pub', 'Sub'], decision: 'Allow' },
  ...more,
})
const grant = (more: object = {}, username = 'worker') => ({ path: { instanceId, username }, body: grantBody(more) })
const one = (resourceName = 'orders', resourceType = 'Topic', username = 'worker') =>
  named(username, { resourceType, resourceName })
const grants = (query: Record<string, string> = {}) => subject.call('ListInstanceAcl', { path: { instanceId }, query })

describe('a grant', () => {
  beforeEach(() => subject.call('CreateInstanceAccount', account('worker')))

  it('is created before what it is for, read, listed, changed and taken back', async () => {
    expect(await effect(() => subject.call('CreateInstanceAcl', grant()))).toEqual(applies())
    const expected = {
      ...{ instanceId, regionId: 'cn-hangzhou', username: 'worker', resourceType: 'Topic', resourceName: 'orders' },
      ...{ actions: ['Pub', 'Sub'], decision: 'Allow' },
    }
    expect(await subject.call('GetInstanceAcl', one())).toEqual({ ...expected, aclType: 'apache_acl' })
    expect(await grants()).toEqual({
      ...{ pageNumber: 1, pageSize: 10, totalCount: 1 },
      list: [{ ...expected, aclType: 'APACHE' }],
    })
    const update = (more: object) =>
      effect(() =>
        subject.call('UpdateInstanceAcl', {
          ...named('worker'),
          body: { resourceType: 'Topic', resourceName: 'orders', ...more },
        }),
      )
    expect(await update({ decision: 'Deny', ipWhitelists: ['10.0.0.0/8'] })).toEqual(applies())
    expect(await subject.call('GetInstanceAcl', one())).toMatchObject({
      ...{ actions: ['Pub', 'Sub'], decision: 'Deny', ipWhitelists: ['10.0.0.0/8'] },
    })
    expect(await update({ decision: 'Deny' })).toEqual(nothing)
    expect(await update({ ipWhitelists: [] })).toEqual(applies())
    expect((await subject.call('GetInstanceAcl', one())).ipWhitelists).toEqual([])
    expect(await effect(() => subject.call('DeleteInstanceAcl', one()))).toEqual(applies())
    await subject.refused('GetInstanceAcl', one(), 404, 'InstanceAcl.NotExisted', 'orders')
    expect((await subject.changes(`instance/${instanceId}/account/worker/acl`)).map(({ action }) => action)).toEqual([
      ...['CreateInstanceAcl', 'UpdateInstanceAcl', 'UpdateInstanceAcl', 'DeleteInstanceAcl'],
    ])
  })

  it.each([
    [
      ['Pub', 'Sub'],
      ['Pub', 'Sub'],
    ],
    [['Pub|Sub'], ['Pub|Sub']],
    ['Pub|Sub', ['Pub|Sub']],
    ['Sub', ['Sub']],
  ])('of actions %j is answered as it came', async (actions, answered) => {
    await subject.call('CreateInstanceAcl', grant({ actions }))
    expect((await subject.call('GetInstanceAcl', one())).actions).toEqual(answered)
  })

  it.each([
    ['Topic', '*'],
    ['Topic', 'orders-*'],
    ['Topic', 'order_1'],
    ['Topic', '%DLQ%group'],
    ['Topic', '%RETRY%*'],
    ['Group', '*'],
    ['Group', 'g%1*'],
    ['Group', 'x'.repeat(60)],
  ])('may be for %s %s', async (resourceType, resourceName) => {
    await subject.call('CreateInstanceAcl', grant({ resourceType, resourceName, actions: ['Sub'] }))
    expect(await subject.call('GetInstanceAcl', one(resourceName, resourceType))).toMatchObject({ resourceName })
  })

  it.each([
    ['a name with a blank', { resourceName: 'a b' }, 'InvalidResourceName'],
    ['a star elsewhere', { resourceName: 'a*b' }, 'InvalidResourceName'],
    ['two stars', { resourceName: '**' }, 'InvalidResourceName'],
    ['a system topic', { resourceName: 'TBW102' }, 'InvalidResourceName'],
    ['a name too long', { resourceName: 'x'.repeat(61) }, 'InvalidResourceName'],
    ['no name', { resourceName: '' }, 'MissingResourceName'],
    ['a kind there is not', { resourceType: 'Cluster' }, 'InvalidResourceType'],
    ['an action there is not', { actions: ['All'] }, 'InvalidActions'],
    ['no action', { actions: [] }, 'InvalidActions'],
    ['Pub on a group', { resourceType: 'Group', actions: ['Pub'] }, 'InvalidActions'],
    ['both on a group', { resourceType: 'Group', actions: ['Pub|Sub'] }, 'InvalidActions'],
    ['a decision there is not', { decision: 'Perhaps' }, 'InvalidDecision'],
    ['no decision', { decision: undefined }, 'MissingDecision'],
    ['what is no address', { ipWhitelists: ['10.0.0.256'] }, 'InvalidIpWhitelists'],
    ['an IPv6 address', { ipWhitelists: ['::1'] }, 'InvalidIpWhitelists'],
    ['too many addresses', { ipWhitelists: Array(201).fill('10.0.0.1') }, 'InvalidIpWhitelists'],
  ])('is not made with %s', async (_what, more, code) => {
    const refusal = await subject.refusal('CreateInstanceAcl', grant(more))
    expect([refusal.status, refusal.code], refusal.message).toEqual([400, code])
    expect((await grants()).totalCount).toBe(0)
  })

  it('is one of an account, kind and name; those of the default account and of nobody are refused', async () => {
    await subject.call('CreateInstanceAcl', grant())
    await subject.refused('CreateInstanceAcl', grant(), 400, 'InstanceAcl.Existed', 'UpdateInstanceAcl')
    await subject.call('CreateInstanceAcl', grant({ resourceType: 'Group', actions: ['Sub'] }))
    await subject.refused('CreateInstanceAcl', grant({}, 'nobody'), 404, 'InstanceAccount.NotExisted', 'nobody')
    const byDefault = grant({}, await defaultName())
    await subject.refused('CreateInstanceAcl', byDefault, 400, 'InvalidUsername', 'may do everything')
    await subject.refused('GetInstanceAcl', one('orders', 'Topic', 'nobody'), 404, 'InstanceAccount.NotExisted')
    for (const action of ['GetInstanceAcl', 'DeleteInstanceAcl'])
      await subject.refused(action, one('absent'), 404, 'InstanceAcl.NotExisted')
    await subject.refused('UpdateInstanceAcl', grant({ resourceName: 'absent' }), 404, 'InstanceAcl.NotExisted')
    const wrong = { ...named('worker'), body: { resourceType: 'Group', resourceName: 'orders', actions: ['Pub'] } }
    await subject.refused('UpdateInstanceAcl', wrong, 400, 'InvalidActions')
  })

  it('goes with its account, and does not come back with one of its name', async () => {
    await subject.call('CreateInstanceAcl', grant())
    await subject.call('DeleteInstanceAccount', named('worker'))
    expect((await grants()).totalCount).toBe(0)
    await subject.call('CreateInstanceAccount', account('worker'))
    expect((await grants()).totalCount).toBe(0)
  })

  it('is found by a part of its account or resource, a page at a time', async () => {
    await subject.call('CreateInstanceAccount', account('other'))
    for (let i = 0; i < 12; i++) {
      subject.clock.jump(1)
      await subject.call('CreateInstanceAcl', grant({ resourceName: `orders-${i}` }))
    }
    await subject.call('CreateInstanceAcl', grant({ resourceName: 'Stock' }, 'other'))
    const names = async (query: Record<string, string>) =>
      (await grants(query)).list.map((each: any) => each.resourceName)
    expect(await names({ filter: 'stock' })).toEqual(['Stock'])
    expect(await names({ filter: 'othe' })).toEqual(['Stock'])
    expect(await names({ filter: 'orders', pageNumber: '2' })).toEqual(['orders-1', 'orders-0'])
    expect(await grants({ pageSize: '1' })).toMatchObject({ pageSize: 10, totalCount: 13 })
  })

  it('is one of so many of the instance, with so many addresses together', async () => {
    await subject.ledger.change(cause(), async ({ tx }) => {
      for (let i = 0; i < limits.grants.perInstance; i++)
        await tx
          .insertInto('instance_grants')
          .values(stored(`t-${i}`))
          .execute()
    })
    await subject.refused('CreateInstanceAcl', grant(), 400, 'QuotaExceeded.InstanceAcl', '2000 grants')
    await subject.call('DeleteInstanceAcl', one('t-0'))
    const addresses = Array.from({ length: 200 }, (_, i) => `10.0.0.${i}`)
    await subject.ledger.change(cause(), async ({ tx }) => {
      await tx
        .updateTable('instance_grants')
        .set({ ip_whitelists_json: JSON.stringify(addresses) })
        .where(
          'resource_name',
          'in',
          Array.from({ length: 20 }, (_, i) => `t-${i + 1}`),
        )
        .execute()
    })
    const more = grant({ ipWhitelists: ['10.0.1.1'] })
    await subject.refused('CreateInstanceAcl', more, 400, 'InvalidIpWhitelists', '4001 addresses')
    const body = { resourceType: 'Topic', resourceName: 't-1', ipWhitelists: ['10.0.1.1'] }
    await subject.call('UpdateInstanceAcl', { ...named('worker'), body })
    await subject.call('CreateInstanceAcl', more)
  })
})

describe.each(ledgerTargets)('what the loop is told', (target) => {
  it.skipIf(target.missing !== null)(
    `has every account and grant, also after a restart, and nothing once the instance is gone: ${titleOf(target)}`,
    async () => {
      subject = await Subject.start(target)
      instanceId = await subject.running()
      await subject.call('CreateInstanceAccount', account('worker'))
      await subject.call('CreateInstanceAcl', grant({ actions: ['Pub|Sub'], ipWhitelists: ['10.0.0.1'] }))
      await subject.call(
        'CreateInstanceAcl',
        grant({ resourceType: 'Group', resourceName: '*', actions: 'Sub', decision: 'Deny' }),
      )
      await subject.restart()
      const wanted = await createWantedStore(subject.ledger, { clock: subject.clock, random: undefined as never }).load(
        {
          ...{ instanceId, complete: true, toldGeneration: null },
        },
      )
      expect(wanted?.access?.accounts).toContainEqual({
        ...{ username: 'worker', secret: 'worker-password', enabled: true, kind: 'custom' },
      })
      expect(wanted?.access?.accounts.map(({ kind }) => kind).sort()).toEqual(['custom', 'default'])
      expect(wanted?.access?.grants).toEqual([
        {
          ...{ username: 'worker', resourceType: 'Group', resourceName: '*' },
          ...{ actions: ['Sub'], decision: 'Deny', addresses: [] },
        },
        {
          ...{ username: 'worker', resourceType: 'Topic', resourceName: 'orders' },
          ...{ actions: ['Pub', 'Sub'], decision: 'Allow', addresses: ['10.0.0.1'] },
        },
      ])
      await subject.call('DeleteInstance', { path: { instanceId } })
      await subject.applied(instanceId)
      expect(await subject.ledger.read.selectFrom('instance_grants').selectAll().execute()).toEqual([])
    },
  )
})

const cause = () => ({ at: subject.clock.now(), requestId: 'test', principal: 'system', action: 'Test' })
const stored = (resourceName: string) => ({
  ...{ instance_id: instanceId, username: 'worker', resource_type: 'Topic' as const, resource_name: resourceName },
  ...{ actions_json: '["Pub"]', decision: 'Allow' as const, ip_whitelists_json: null },
  ...{ create_time_ms: 1, update_time_ms: 1 },
})
