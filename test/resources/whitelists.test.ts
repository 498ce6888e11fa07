/** The whitelist: adding, taking off, and reading it back as it was written. */
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest'
import { clean, Subject, stop } from './harness.ts'

let subject: Subject
let instanceId: string
beforeEach(async () => {
  subject = await Subject.start()
  instanceId = await subject.running()
})
afterEach(clean)
afterAll(stop)

const get = (query: Record<string, string> = {}) => ({ path: { instanceId }, query })
const add = (...ipWhitelists: string[]) => ({ path: { instanceId }, body: { ipWhitelists } })
const whole = async (): Promise<string[]> => (await subject.call('GetInstanceIpWhitelist', get())).ipWhitelists

it('lets everyone in, and is read whole or by entry', async () => {
  const expected = { instanceId, regionId: 'cn-hangzhou', ipWhitelists: ['0.0.0.0/0'] }
  expect(await subject.call('GetInstanceIpWhitelist', get())).toEqual(expected)
  expect(await subject.call('GetInstanceIpWhitelist', get({ ipWhitelists: '0.0.0.0/0' }))).toEqual(expected)
  await subject.refused('GetInstanceIpWhitelist', get({ ipWhitelists: '10.0.0.1' }), 404, 'InstanceIpOrCidr.NotExisted')
})

type Move = readonly ['add' | 'remove', string[]]
it.each<[Move[], string[]]>([
  // The first entry takes the place of "everyone"; later ones join.
  [[['add', ['10.0.0.0/8']]], ['10.0.0.0/8']],
  [[['add', ['10.0.0.0/8', '192.0.2.7']]], ['10.0.0.0/8', '192.0.2.7']],
  [
    [
      ['add', ['10.0.0.0/8']],
      ['add', ['192.0.2.7']],
    ],
    ['10.0.0.0/8', '192.0.2.7'],
  ],
  [
    [
      ['add', ['10.0.0.0/8']],
      ['add', ['0.0.0.0/0']],
      ['add', ['192.0.2.7']],
    ],
    ['10.0.0.0/8', '0.0.0.0/0', '192.0.2.7'],
  ],
  [[['add', ['10.0.0.0/8', '10.0.0.0/8']]], ['10.0.0.0/8']],
  [
    [
      ['add', ['10.0.0.0/8', '192.0.2.7']],
      ['remove', ['10.0.0.0/8']],
    ],
    ['192.0.2.7'],
  ],
  // The last one too: then nobody may connect.
  [[['remove', ['0.0.0.0/0']]], []],
  [
    [
      ['remove', ['0.0.0.0/0']],
      ['add', ['192.0.2.7']],
    ],
    ['192.0.2.7'],
  ],
])('after %j it is %j', async (moves, list) => {
  const before = (await subject.row(instanceId)).generation
  for (const [what, entries] of moves) {
    if (what === 'add') await subject.call('CreateInstanceIpWhitelist', add(...entries))
    else await subject.call('DeleteInstanceIpWhitelist', get({ ipWhitelists: entries.join(',') }))
  }
  expect(await whole()).toEqual(list)
  // The engine hears of it.
  expect((await subject.row(instanceId)).generation).toBe(before + moves.length)
  expect(subject.woken).toContain(instanceId)
})

it('follows the steps of Terraform: what it adds and takes off is what it reads, at each apply', async () => {
  // The provider names the instance in the body and the query too, takes off first, and compares as a set.
  const create = (...ipWhitelists: string[]) => ({ path: { instanceId }, body: { instanceId, ipWhitelists } })
  const remove = (...entries: string[]) => get({ instanceId, ipWhitelists: entries.join(',') })
  await subject.call('CreateInstanceIpWhitelist', create('10.0.0.0/8', '192.0.2.7'))
  expect(await whole()).toEqual(['10.0.0.0/8', '192.0.2.7'])
  await subject.call('DeleteInstanceIpWhitelist', remove('10.0.0.0/8'))
  await subject.call('CreateInstanceIpWhitelist', create('198.51.100.0/24'))
  expect(await whole()).toEqual(['192.0.2.7', '198.51.100.0/24'])
  await subject.call('DeleteInstanceIpWhitelist', remove('192.0.2.7', '198.51.100.0/24'))
  await subject.call('CreateInstanceIpWhitelist', create('0.0.0.0/0'))
  expect(await whole()).toEqual(['0.0.0.0/0'])
})

it('takes the older form of one entry', async () => {
  await subject.call('CreateInstanceIpWhitelist', add('10.0.0.1', '10.0.0.2'))
  await subject.call('DeleteInstanceIpWhitelist', get({ ipWhitelist: '10.0.0.1' }))
  expect(await whole()).toEqual(['10.0.0.2'])
})

it.each<[string, Record<string, unknown>, number, string]>([
  ['CreateInstanceIpWhitelist', { body: { ipWhitelists: ['0.0.0.0/0'] } }, 400, 'InstanceIpOrCidr.Existed'],
  ['CreateInstanceIpWhitelist', { body: { ipWhitelists: ['10.0.0.1', 'nonsense'] } }, 400, 'InvalidIpWhitelists'],
  ['CreateInstanceIpWhitelist', { body: { ipWhitelists: ['10.0.0.0/33'] } }, 400, 'InvalidIpWhitelists'],
  ['CreateInstanceIpWhitelist', { body: { ipWhitelists: [] } }, 400, 'InvalidIpWhitelists'],
  ['DeleteInstanceIpWhitelist', {}, 400, 'MissingIpWhitelists'],
  ['DeleteInstanceIpWhitelist', { query: { ipWhitelists: '0.0.0.0/0,10.0.0.1' } }, 404, 'InstanceIpOrCidr.NotExisted'],
])('%s %j is refused and changes nothing', async (action, request, status, code) => {
  const before = await subject.row(instanceId)
  expect(await subject.refusal(action, { path: { instanceId }, ...request })).toMatchObject({ status, code })
  expect(await subject.row(instanceId)).toEqual(before)
})

it('holds 200 entries and no more', async () => {
  const entries = Array.from({ length: 200 }, (_, n) => `10.0.0.${n}`)
  await subject.call('CreateInstanceIpWhitelist', add(...entries))
  expect(await subject.refusal('CreateInstanceIpWhitelist', add('10.1.0.0'))).toMatchObject({
    status: 400,
    message: expect.stringContaining('200'),
  })
})

it.each([
  [{}, ['0.0.0.0/0'], 1],
  [{ ipWhitelist: '0.0' }, ['0.0.0.0/0'], 1],
  [{ ipWhitelist: '10.' }, [], 0],
  [{ pageNumber: '2' }, [], 1],
])('is listed with %j', async (query, list, totalCount) => {
  expect(await subject.call('ListInstanceIpWhitelist', get(query as Record<string, string>))).toMatchObject({
    list,
    totalCount,
  })
})

it('is gone with its instance', async () => {
  await subject.call('DeleteInstance', { path: { instanceId } })
  await subject.refused('GetInstanceIpWhitelist', get(), 404, 'Instance.NotFound')
  await subject.refused('ListInstanceIpWhitelist', get(), 404, 'Instance.NotFound')
  await subject.refused('CreateInstanceIpWhitelist', add('10.0.0.1'), 404, 'Instance.NotFound')
})
