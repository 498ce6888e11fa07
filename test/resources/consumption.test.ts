/** ResetConsumeOffset: what it asks for, what it leaves for the loop, and that the loop's work is not undone by deletions. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ledgerTargets, titleOf } from '../support/ledger.ts'
import { clean, Subject, stop } from './harness.ts'

const retry = { retryPolicy: 'DefaultRetryPolicy' }

for (const target of ledgerTargets)
  describe.skipIf(target.missing !== null)(`a reset (${titleOf(target)})`, () => {
    let subject: Subject
    let instanceId: string
    beforeEach(async () => {
      subject = await Subject.start(target)
      instanceId = await subject.running()
      await subject.call('CreateTopic', { path: { instanceId, topicName: 'orders' }, body: { messageType: 'NORMAL' } })
      await subject.call('CreateConsumerGroup', {
        path: { instanceId, consumerGroupId: 'workers' },
        body: { deliveryOrderType: 'Concurrently', consumeRetryPolicy: retry },
      })
      await subject.applied(instanceId)
      subject.woken.splice(0)
    })
    afterEach(clean)
    afterAll(stop)

    const to = (body: unknown, path: Record<string, string> = {}) => ({
      path: { instanceId, consumerGroupId: 'workers', topicName: 'orders', ...path },
      body,
    })
    const pending = async () =>
      (await subject.ledger.read.selectFrom('offset_resets').selectAll().execute()).map((row) => [
        row.topic_name,
        row.consumer_group_id,
        row.to_ms === null ? null : Number(row.to_ms),
      ])

    it('is left for the loop, which is woken; the reply has no data', async () => {
      const revision = (await subject.row(instanceId)).revision
      expect(await subject.call('ResetConsumeOffset', to({ resetType: 'LATEST_OFFSET' }))).toBeUndefined()
      expect(await pending()).toEqual([['orders', 'workers', null]])
      expect((await subject.row(instanceId)).revision).toBe(revision + 1)
      expect(subject.woken).toEqual([instanceId])
      expect((await subject.changes(`instance/${instanceId}/consumergroup/workers`)).at(-1)).toEqual({
        action: 'ResetConsumeOffset',
        detail: { offsetReset: { topicName: 'orders', toMs: null } },
      })
    })

    it('to a time reads it in the zone of the API, and takes the place of an earlier reset', async () => {
      await subject.call('ResetConsumeOffset', to({ resetType: 'LATEST_OFFSET' }))
      await subject.call('ResetConsumeOffset', to({ resetType: 'SPECIFIED_TIME', resetTime: '2026-03-30 12:17:08' }))
      expect(await pending()).toEqual([['orders', 'workers', Date.parse('2026-03-30T12:17:08+08:00')]])
      // Before there was anything: from the first message on.
      await subject.call('ResetConsumeOffset', to({ resetType: 'SPECIFIED_TIME', resetTime: '1969-01-01 00:00:00' }))
      expect(await pending()).toEqual([['orders', 'workers', 0]])
    })

    it('goes with its topic and with its group', async () => {
      for (const [action, path] of [
        ['DeleteTopic', { topicName: 'orders' }],
        ['DeleteConsumerGroup', { consumerGroupId: 'workers' }],
      ] as const) {
        await subject.call('ResetConsumeOffset', to({ resetType: 'LATEST_OFFSET' }))
        await subject.call(action, { path: { instanceId, ...path } })
        expect(await pending()).toEqual([])
        await subject
          .call('CreateTopic', {
            path: { instanceId, topicName: 'orders' },
            body: { messageType: 'NORMAL' },
          })
          .catch(() => {})
      }
    })

    it('tells the lag of every topic, or of one, and their sum', async () => {
      const at = subject.clock.now()
      subject.lag = [
        { topicName: 'orders', readyCount: 3, inflightCount: 2, lastConsumeMs: at - 60_000, readySinceMs: at - 12_400 },
        { topicName: '%DLQ%others', readyCount: 0, inflightCount: 1, lastConsumeMs: null, readySinceMs: null },
      ]
      const path = { instanceId, consumerGroupId: 'workers' }
      const orders = { readyCount: 3, inflightCount: 2, deliveryDuration: 12, lastConsumeTimestamp: at - 60_000 }
      expect(await subject.call('GetConsumerGroupLag', { path })).toEqual({
        instanceId,
        consumerGroupId: 'workers',
        regionId: 'cn-hangzhou',
        totalLag: { ...orders, inflightCount: 3 },
        topicLagMap: { orders, '%DLQ%others': { readyCount: 0, inflightCount: 1, deliveryDuration: 0 } },
      })
      expect(await subject.call('GetConsumerGroupLag', { path, query: { topicName: 'orders' } })).toMatchObject({
        topicName: 'orders',
        totalLag: orders,
        topicLagMap: { orders },
      })
      await subject.refused('GetConsumerGroupLag', { path, query: { topicName: 'nowhere' } }, 404, 'Topic.NotFound')
      subject.lag = null
      await subject.refused('GetConsumerGroupLag', { path }, 503, 'ServiceUnavailable', 'does not answer')
    })

    it.each([
      ['neither type nor time', {}, {}, 400, 'MissingResetType', 'resetType'],
      ['a time without its type', { resetTime: '2026-03-30 12:17:08' }, {}, 400, 'MissingResetType', 'resetType'],
      ['a time that is missing', { resetType: 'SPECIFIED_TIME' }, {}, 400, 'MissingResetTime', 'resetTime'],
      [
        'a day that no calendar has',
        { resetType: 'SPECIFIED_TIME', resetTime: '2026-02-30 00:00:00' },
        {},
        400,
        'InvalidResetTime',
        'calendar',
      ],
      ['the typo of a vendor page', { resetType: 'CLATEST_OFFSET' }, {}, 400, 'InvalidResetType', 'resetType'],
      [
        'an unknown group',
        { resetType: 'LATEST_OFFSET' },
        { consumerGroupId: 'nobody' },
        404,
        'ConsumerGroup.NotFound',
        'nobody',
      ],
      ['an unknown topic', { resetType: 'LATEST_OFFSET' }, { topicName: 'nowhere' }, 404, 'Topic.NotFound', 'nowhere'],
      [
        'an unknown instance',
        { resetType: 'LATEST_OFFSET' },
        { instanceId: 'rmq-cn-none' },
        404,
        'Instance.NotFound',
        'rmq-cn-none',
      ],
    ] as const)('with %s is refused', async (_what, body, path, status, code, says) => {
      const refusal = await subject.refusal('ResetConsumeOffset', to(body, path))
      expect([refusal.status, refusal.code]).toEqual([status, code])
      expect(refusal.message).toContain(says)
      expect(await pending()).toEqual([])
    })
  })
