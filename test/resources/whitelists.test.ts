/** The whitelist as it is read: everyone, until it can be changed. */
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

it('lets everyone in, and is read whole or by entry', async () => {
  const whole = { instanceId, regionId: 'cn-hangzhou', ipWhitelists: ['0.0.0.0/0'] }
  expect(await subject.call('GetInstanceIpWhitelist', get())).toEqual(whole)
  expect(await subject.call('GetInstanceIpWhitelist', get({ ipWhitelists: '0.0.0.0/0' }))).toEqual(whole)
  await subject.refused('GetInstanceIpWhitelist', get({ ipWhitelists: '10.0.0.1' }), 404, 'InstanceIpOrCidr.NotExisted')
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
})
