/**
 * Names of inherited members of JavaScript objects (`constructor`) are ordinary names: they are kept, found, listed
 * and removed.
 */
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest'
import { clean, instanceBody, Subject, stop } from './harness.ts'

let subject: Subject
beforeEach(async () => {
  subject = await Subject.start()
})
afterEach(() => clean())
afterAll(() => stop())

const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf']

it('as tags, when they are made, filtered by, listed and removed', async () => {
  const tags = names.map((key) => ({ key, value: `${key} value` }))
  const instanceId = await subject.running({ ...instanceBody(), tags })
  const other = await subject.running()
  const inOrder = [...tags].sort((a, b) => (a.key < b.key ? -1 : 1))
  const shown = (list: { key: string; value: string }[]) => [...list].sort((a, b) => (a.key < b.key ? -1 : 1))
  expect(shown((await subject.get(instanceId)).tags)).toEqual(inOrder)
  expect((await subject.get(other)).tags ?? []).toEqual([])
  for (const { key, value } of tags) {
    const found = await subject.call('ListInstances', { query: { tags: JSON.stringify([{ key, value }]) } })
    expect(found.list.map((each: any) => each.instanceId)).toEqual([instanceId])
  }
  const resource = { regionId: 'cn-hangzhou', resourceType: 'instance', resourceId: JSON.stringify([instanceId]) }
  await subject.call('UntagResources', { query: { ...resource, tagKey: JSON.stringify(names.slice(1)) } })
  expect((await subject.get(instanceId)).tags).toEqual([tags[0]])
})

it('as topics and groups', async () => {
  const instanceId = await subject.running()
  for (const topicName of names) {
    await subject.refused('GetTopic', { path: { instanceId, topicName } }, 404, 'Topic.NotFound')
    await subject.call('CreateTopic', { path: { instanceId, topicName }, body: { messageType: 'NORMAL' } })
    expect((await subject.call('GetTopic', { path: { instanceId, topicName } })).topicName).toBe(topicName)
    const path = { instanceId, consumerGroupId: topicName }
    await subject.refused('GetConsumerGroup', { path }, 404, 'ConsumerGroup.NotFound')
    const consumeRetryPolicy = { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 1 }
    await subject.call('CreateConsumerGroup', { path, body: { deliveryOrderType: 'Concurrently', consumeRetryPolicy } })
    expect((await subject.call('GetConsumerGroup', { path })).consumerGroupId).toBe(topicName)
  }
  const topics = await subject.call('ListTopics', { path: { instanceId }, query: { pageSize: '100' } })
  expect(topics.list.map((each: any) => each.topicName).sort()).toEqual([...names].sort())
  const groups = await subject.call('ListConsumerGroups', { path: { instanceId }, query: { pageSize: '100' } })
  expect(groups.list.map((each: any) => each.consumerGroupId).sort()).toEqual([...names].sort())
})

it('as codes that are looked up in tables', async () => {
  for (const name of names) {
    const productInfo = { msgProcessSpec: name }
    await subject.refused('CreateInstance', { body: { ...instanceBody(), productInfo } }, 400, 'InvalidMsgProcessSpec')
    for (const field of ['seriesCode', 'subSeriesCode', 'paymentType', 'commodityCode', 'periodUnit']) {
      const refusal = await subject.refusal('CreateInstance', { body: { ...instanceBody(), [field]: name } })
      expect([refusal.status, refusal.code]).toEqual([400, `Invalid${field[0]!.toUpperCase()}${field.slice(1)}`])
    }
  }
})
