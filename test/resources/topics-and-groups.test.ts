/** Topics and consumer groups: names, rules, quotas, races, and what is read back. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WithMessage } from '../../src/resources/handler.ts'
import { ledgerTargets } from '../support/ledger.ts'
import { clean, instanceBody, Subject, stop } from './harness.ts'

let subject: Subject
let instanceId: string
beforeEach(async () => {
  subject = await Subject.start()
  instanceId = await subject.running()
})
afterEach(clean)
afterAll(stop)

const topic = (topicName: string, body: unknown = { messageType: 'NORMAL' }) => ({
  path: { instanceId, topicName },
  body,
})
const retry = { retryPolicy: 'DefaultRetryPolicy' }
const concurrent = { deliveryOrderType: 'Concurrently', consumeRetryPolicy: retry }
const group = (consumerGroupId: string, body: unknown = concurrent) => ({ path: { instanceId, consumerGroupId }, body })
const serverlessBody = () => {
  const { networkInfo } = instanceBody()
  const vSwitches = [{ vSwitchId: 'vsw-1' }, { vSwitchId: 'vsw-2' }]
  return {
    ...instanceBody(),
    subSeriesCode: 'serverless',
    commodityCode: 'ons_rmqsrvlesspost_public_cn',
    productInfo: {},
    networkInfo: { ...networkInfo, vpcInfo: { vpcId: 'vpc-1', vSwitches } },
  }
}
const childRow = (table: 'topics' | 'consumer_groups') =>
  subject.ledger.read.selectFrom(table).selectAll().executeTakeFirstOrThrow()

describe('a topic', () => {
  it('is CREATING, then RUNNING, and reads back what was sent', async () => {
    expect(
      await subject.call(
        'CreateTopic',
        topic('orders', { messageType: 'FIFO', remark: 'The remark.', maxSendTps: 1500 }),
      ),
    ).toBe(true)
    expect(subject.woken.at(-1)).toBe(instanceId)
    const seen = {
      instanceId,
      topicName: 'orders',
      regionId: 'cn-hangzhou',
      messageType: 'FIFO',
      status: 'CREATING',
      remark: 'The remark.',
      maxSendTps: 1500,
      createTime: '2026-03-31 10:20:30',
      updateTime: '2026-03-31 10:20:30',
    }
    expect(await subject.call('GetTopic', topic('orders'))).toEqual(seen)
    await subject.applied(instanceId)
    expect(await subject.call('GetTopic', topic('orders'))).toEqual({ ...seen, status: 'RUNNING' })
    expect(await subject.changes(`instance/${instanceId}/topic/orders`)).toEqual([
      { action: 'CreateTopic', detail: { created: { messageType: 'FIFO' } } },
    ])
  })

  it.each([
    ['', 'MissingTopicName'],
    ['a'.repeat(61), 'InvalidTopicName'],
    ['has blank', 'InvalidTopicName'],
    ['has%percent', 'InvalidTopicName'],
    ['thème', 'InvalidTopicName'],
    ['TBW102', 'InvalidTopicName'],
    ['benchmarktest', 'InvalidTopicName'],
    ['SCHEDULE_TOPIC_XXXX', 'InvalidTopicName'],
    ['rmq_sys_x', 'InvalidTopicName'],
    ['RMQ_SYS_x', 'InvalidTopicName'],
    ['%RETRY%g', 'InvalidTopicName'],
    ['rocketmq-broker-1', 'InvalidTopicName'],
    ['rocketmq-proxy-1', 'InvalidTopicName'],
    ['x_REPLY_TOPIC', 'InvalidTopicName'],
  ])('may not be called %j', async (topicName, code) => {
    await subject.refused('CreateTopic', topic(topicName), 400, code)
  })

  it('may have a longer name on a serverless instance', async () => {
    await subject.call('CreateTopic', topic('a'.repeat(60)))
    instanceId = await subject.running(serverlessBody())
    await subject.call('CreateTopic', topic('a'.repeat(128)))
    await subject.refused('CreateTopic', topic('a'.repeat(129)), 400, 'InvalidTopicName')
  })

  it.each([
    ['no type', {}, 'MissingMessageType'],
    ['an unknown type', { messageType: 'normal' }, 'InvalidMessageType'],
    ['an expiration without LITE', { messageType: 'NORMAL', liteTopicExpiration: 60 }, 'InvalidLiteTopicExpiration'],
    ['too short an expiration', { messageType: 'LITE', liteTopicExpiration: 14 }, 'InvalidLiteTopicExpiration'],
    ['too long an expiration', { messageType: 'LITE', liteTopicExpiration: 721 }, 'InvalidLiteTopicExpiration'],
    ['a negative limit', { messageType: 'NORMAL', maxSendTps: -1 }, 'InvalidMaxSendTps'],
    ['a long remark', { messageType: 'NORMAL', remark: 'x'.repeat(129) }, 'InvalidRemark'],
  ])('is refused with %s', async (_, body, code) => {
    await subject.refused('CreateTopic', topic('orders', body), 400, code)
    expect((await subject.call('ListTopics', topic('x'))).totalCount).toBe(0)
  })

  it.each([
    [{ messageType: 'LITE' }, -1],
    [{ messageType: 'LITE', liteTopicExpiration: 15 }, 15],
    [{ messageType: 'LITE', liteTopicExpiration: 720 }, 720],
    [{ messageType: 'LITE', liteTopicExpiration: -1 }, -1],
  ])('%j expires after %i', async (body, liteTopicExpiration) => {
    await subject.call('CreateTopic', topic('lite', body))
    expect(await subject.call('GetTopic', topic('lite'))).toMatchObject({ liteTopicExpiration })
  })

  it('of a type the engine does not carry is refused by name', async () => {
    subject.engine = { ...subject.engine, name: 'embedded', messageTypes: ['NORMAL'] }
    await subject.refused('CreateTopic', topic('t', { messageType: 'FIFO' }), 400, 'InvalidMessageType', 'embedded')
    await subject.call('CreateTopic', topic('t'))
  })

  it('can be changed; only what the engine must hear of raises its generation', async () => {
    await subject.call('CreateTopic', topic('orders', { messageType: 'NORMAL', remark: 'a', maxSendTps: 5 }))
    await subject.applied(instanceId)
    const generations = async (body: unknown) => {
      subject.clock.jump(1000)
      await subject.call('UpdateTopic', topic('orders', body))
      const { generation, update_time_ms } = await childRow('topics')
      return [generation, (await subject.row(instanceId)).revision, update_time_ms === subject.clock.now()]
    }
    expect(await generations({})).toEqual([1, 2, false])
    expect(await generations({ remark: 'a', maxSendTps: 5 })).toEqual([1, 2, false])
    expect(await generations({ remark: 'b' })).toEqual([1, 2, true])
    expect(await generations({ maxSendTps: 6 })).toEqual([2, 3, true])
    expect(await generations({ remark: '', maxSendTps: 0 })).toEqual([3, 4, true])
    const seen = await subject.call('GetTopic', topic('orders'))
    expect(seen).not.toHaveProperty('remark')
    expect(seen).not.toHaveProperty('maxSendTps')
    expect(seen).toMatchObject({ messageType: 'NORMAL', status: 'RUNNING', updateTime: '2026-03-31 10:20:35' })
    await subject.refused(
      'UpdateTopic',
      topic('orders', { liteTopicExpiration: 60 }),
      400,
      'InvalidLiteTopicExpiration',
    )
    await subject.refused('UpdateTopic', topic('absent', { remark: 'x' }), 404, 'Topic.NotFound')
  })

  it('exists once: of calls at the same time one wins', async () => {
    const answers = await Promise.allSettled([1, 2, 3].map(() => subject.call('CreateTopic', topic('orders'))))
    expect(answers.map((each) => each.status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
    await subject.refused('CreateTopic', topic('orders'), 400, 'Topic.Existed')
  })

  it('is out of sight from the moment it is deleted, and can be created again while the old one goes', async () => {
    await subject.call('CreateTopic', topic('orders', { messageType: 'NORMAL', remark: 'old', maxSendTps: 5 }))
    await subject.applied(instanceId)
    await subject.call('DeleteTopic', topic('orders'))
    await subject.refused('GetTopic', topic('orders'), 404, 'Topic.NotFound')
    await subject.refused('DeleteTopic', topic('orders'), 404, 'Topic.NotFound')
    expect((await subject.call('ListTopics', topic('x'))).totalCount).toBe(0)
    expect(await childRow('topics')).toMatchObject({ wanted: 'absent', generation: 2, applied_generation: 1 })
    subject.clock.jump(1000)
    await subject.call('CreateTopic', topic('orders', { messageType: 'FIFO' }))
    expect(await childRow('topics')).toMatchObject({ wanted: 'present', generation: 3, applied_generation: -2 })
    expect(await subject.call('GetTopic', topic('orders'))).toEqual({
      instanceId,
      topicName: 'orders',
      regionId: 'cn-hangzhou',
      messageType: 'FIFO',
      status: 'CREATING',
      createTime: '2026-03-31 10:20:31',
      updateTime: '2026-03-31 10:20:31',
    })
  })

  it('counts against the quota of the specification, deleted ones not', async () => {
    instanceId = await subject.running({
      ...instanceBody(),
      subSeriesCode: 'single_node',
      productInfo: { msgProcessSpec: 'rmq.s1.micro' },
    })
    for (let n = 0; n < 100; n++) await subject.call('CreateTopic', topic(`t${n}`))
    await subject.refused('CreateTopic', topic('more'), 400, 'QuotaExceeded.Topic', '100')
    await subject.call('DeleteTopic', topic('t5'))
    await subject.call('CreateTopic', topic('more'))
  })

  it('needs an instance that is there and not expired', async () => {
    const bodyFor = (action: string) => (action === 'UpdateTopic' ? {} : { messageType: 'NORMAL' })
    const path = { instanceId: 'rmq-cn-nosuch', topicName: 't', consumerGroupId: 'g' }
    for (const action of ['CreateTopic', 'GetTopic', 'UpdateTopic', 'DeleteTopic', 'ListTopics']) {
      await subject.refused(action, { path, body: bodyFor(action) }, 404, 'Instance.NotFound')
    }
    instanceId = await subject.running({ ...instanceBody(), paymentType: 'Subscription', period: 1 })
    await subject.call('CreateTopic', topic('t'))
    subject.clock.jump(31 * 86_400_000)
    for (const action of ['CreateTopic', 'UpdateTopic', 'DeleteTopic']) {
      await subject.refused(action, topic('t', bodyFor(action)), 400, 'InstanceStatus.Error')
    }
    expect(await subject.call('GetTopic', topic('t'))).toMatchObject({ topicName: 't' })
  })
})

describe('a consumer group', () => {
  it('is CREATING, then RUNNING, with its defaults', async () => {
    expect(await subject.call('CreateConsumerGroup', group('GID'))).toBe(true)
    const seen = {
      instanceId,
      consumerGroupId: 'GID',
      regionId: 'cn-hangzhou',
      status: 'CREATING',
      deliveryOrderType: 'Concurrently',
      consumeRetryPolicy: { retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 16 },
      messageModel: 'CLUSTERING',
      createTime: '2026-03-31 10:20:30',
      updateTime: '2026-03-31 10:20:30',
    }
    expect(await subject.call('GetConsumerGroup', group('GID'))).toEqual(seen)
    await subject.applied(instanceId)
    expect(await subject.call('GetConsumerGroup', group('GID'))).toEqual({ ...seen, status: 'RUNNING' })
    const { deliveryOrderType: _, consumeRetryPolicy: __, ...entry } = { ...seen, status: 'RUNNING' }
    expect((await subject.call('ListConsumerGroups', group('x'))).list).toEqual([entry])
  })

  it.each([
    ['', 'MissingConsumerGroupId'],
    ['a'.repeat(61), 'InvalidConsumerGroupId'],
    ['has blank', 'InvalidConsumerGroupId'],
    ['default_consumer', 'InvalidConsumerGroupId'],
    ['CID_RMQ_SYS_X', 'InvalidConsumerGroupId'],
    ['CID_HOUSEKEEPING', 'InvalidConsumerGroupId'],
  ])('may not be called %j', async (id, code) => {
    await subject.refused('CreateConsumerGroup', group(id), 400, code)
  })

  it('may hold a percent sign, and a longer id on a serverless instance', async () => {
    await subject.call('CreateConsumerGroup', group('GID%1'))
    instanceId = await subject.running(serverlessBody())
    await subject.call('CreateConsumerGroup', group('a'.repeat(128)))
  })

  const fixed = (more: Record<string, unknown>, deliveryOrderType = 'Concurrently') => ({
    deliveryOrderType,
    consumeRetryPolicy: { retryPolicy: 'FixedRetryPolicy', ...more },
  })
  it.each([
    ['the shortest concurrent pause', fixed({ fixedIntervalRetryTime: 10 }), { fixedIntervalRetryTime: 10 }],
    ['the longest concurrent pause', fixed({ fixedIntervalRetryTime: 1800 }), { fixedIntervalRetryTime: 1800 }],
    ['the shortest ordered pause', fixed({ fixedIntervalRetryTime: 1 }, 'Orderly'), { fixedIntervalRetryTime: 1 }],
    ['the longest ordered pause', fixed({ fixedIntervalRetryTime: 600 }, 'Orderly'), { fixedIntervalRetryTime: 600 }],
    ['no concurrent pause', fixed({}), { fixedIntervalRetryTime: 10 }],
    ['no ordered pause', fixed({}, 'Orderly'), { fixedIntervalRetryTime: 3 }],
    ['no retries', fixed({ maxRetryTimes: 0 }), { maxRetryTimes: 0 }],
    ['1000 retries', fixed({ maxRetryTimes: 1000 }), { maxRetryTimes: 1000 }],
    [
      'ordered delivery with the default policy',
      { deliveryOrderType: 'Orderly', consumeRetryPolicy: retry },
      { retryPolicy: 'DefaultRetryPolicy' },
    ],
    [
      'the other word for the default policy',
      { ...concurrent, consumeRetryPolicy: { retryPolicy: 'BackoffRetryPolicy' } },
      { retryPolicy: 'BackoffRetryPolicy' },
    ],
    [
      'an interval kept for later',
      { ...concurrent, consumeRetryPolicy: { ...retry, fixedIntervalRetryTime: 20 } },
      { retryPolicy: 'DefaultRetryPolicy', fixedIntervalRetryTime: 20 },
    ],
  ])('with %s', async (_, body, policy) => {
    await subject.call('CreateConsumerGroup', group('GID', body))
    expect((await subject.call('GetConsumerGroup', group('GID'))).consumeRetryPolicy).toMatchObject(policy)
  })

  it('says that an interval has no effect before the policy is fixed', async () => {
    const says = (answer: unknown) => (answer instanceof WithMessage ? answer.message : 'Success')
    const interval = { consumeRetryPolicy: { ...retry, fixedIntervalRetryTime: 20 } }
    const note =
      'Success. consumeRetryPolicy.fixedIntervalRetryTime is kept and has no effect with DefaultRetryPolicy; it counts with FixedRetryPolicy.'
    expect(says(await subject.call('CreateConsumerGroup', group('GID', { ...concurrent, ...interval })))).toBe(note)
    expect(says(await subject.call('UpdateConsumerGroup', group('GID', interval)))).toBe(note)
    expect(says(await subject.call('UpdateConsumerGroup', group('GID', { consumeRetryPolicy: retry })))).toBe('Success')
    const other = fixed({ fixedIntervalRetryTime: 20 })
    expect(says(await subject.call('CreateConsumerGroup', group('other', other)))).toBe('Success')
  })

  it.each([
    ['no order', { consumeRetryPolicy: retry }, 'MissingDeliveryOrderType', 400],
    ['an unknown order', { ...concurrent, deliveryOrderType: 'orderly' }, 'InvalidDeliveryOrderType', 400],
    ['no policy', { deliveryOrderType: 'Concurrently' }, 'MissingConsumeRetryPolicy', 400],
    ['an empty policy', { ...concurrent, consumeRetryPolicy: {} }, 'MissingRetryPolicy', 400],
    ['an unknown policy', { ...concurrent, consumeRetryPolicy: { retryPolicy: 'Never' } }, 'InvalidRetryPolicy', 400],
    ['a pause of 9 s', fixed({ fixedIntervalRetryTime: 9 }), 'InvalidFixedIntervalRetryTime', 400],
    ['a pause of 1801 s', fixed({ fixedIntervalRetryTime: 1801 }), 'InvalidFixedIntervalRetryTime', 400],
    [
      'an ordered pause of 601 s',
      fixed({ fixedIntervalRetryTime: 601 }, 'Orderly'),
      'InvalidFixedIntervalRetryTime',
      400,
    ],
    ['1001 retries', fixed({ maxRetryTimes: 1001 }), 'InvalidMaxRetryTimes', 400],
    ['negative retries', fixed({ maxRetryTimes: -1 }), 'InvalidMaxRetryTimes', 400],
    ['dead letters into nothing', fixed({ deadLetterTargetTopic: 'absent' }), 'Topic.NotFound', 404],
    ['broadcasting', { ...concurrent, messageModel: 'BROADCASTING' }, 'InvalidMessageModel', 400],
    ['lite without a topic', { ...concurrent, messageModel: 'LITE_SELECTIVE' }, 'MissingTopicName', 400],
    [
      'lite with a topic that is not',
      { ...concurrent, messageModel: 'LITE_SELECTIVE', topicName: 'plain' },
      'InvalidTopicName',
      400,
    ],
    ['a topic without lite', { ...concurrent, topicName: 'plain' }, 'InvalidTopicName', 400],
    ['exclusive consumers', { ...concurrent, exclusive: true }, 'InvalidExclusive', 400],
    ['a long remark', { ...concurrent, remark: 'x'.repeat(129) }, 'InvalidRemark', 400],
  ])('is refused with %s', async (_, body, code, status) => {
    await subject.call('CreateTopic', topic('plain'))
    await subject.refused('CreateConsumerGroup', group('GID', body), status, code)
    expect((await subject.call('ListConsumerGroups', group('x'))).totalCount).toBe(0)
  })

  it('says what to do instead of broadcasting', async () => {
    const body = { ...concurrent, messageModel: 'BROADCASTING' }
    await subject.refused(
      'CreateConsumerGroup',
      group('GID', body),
      400,
      'InvalidMessageModel',
      'give each client instance a consumer group of its own',
    )
  })

  it('that the engine cannot serve is refused by name', async () => {
    subject.engine = { ...subject.engine, name: 'embedded', orderlyGroups: false, messageTypes: ['NORMAL'] }
    await subject.refused(
      'CreateConsumerGroup',
      group('GID', fixed({}, 'Orderly')),
      400,
      'InvalidDeliveryOrderType',
      'embedded',
    )
    await subject.refused(
      'CreateConsumerGroup',
      group('GID', { ...concurrent, messageModel: 'LITE_SELECTIVE', topicName: 't' }),
      400,
      'InvalidMessageModel',
      'embedded',
    )
  })

  it('of lite consumers is bound to its topic', async () => {
    await subject.call('CreateTopic', topic('lite', { messageType: 'LITE' }))
    await subject.call(
      'CreateConsumerGroup',
      group('GID', { ...concurrent, messageModel: 'LITE_SELECTIVE', topicName: 'lite' }),
    )
    expect(await subject.call('GetConsumerGroup', group('GID'))).toMatchObject({
      messageModel: 'LITE_SELECTIVE',
      topicName: 'lite',
    })
  })

  it('of lite consumers may be exclusive, and is told to the engine', async () => {
    await subject.call('CreateTopic', topic('lite', { messageType: 'LITE', liteTopicExpiration: 30 }))
    const body = { ...concurrent, messageModel: 'LITE_SELECTIVE', topicName: 'lite', exclusive: true }
    await subject.call('CreateConsumerGroup', group('GID', body))
    expect(await subject.call('GetConsumerGroup', group('GID'))).toMatchObject({ topicName: 'lite', exclusive: true })
  })

  it('cannot have its dead letters in a LITE topic', async () => {
    await subject.call('CreateTopic', topic('lite', { messageType: 'LITE' }))
    const body = fixed({ deadLetterTargetTopic: 'lite' })
    await subject.refused('CreateConsumerGroup', group('GID', body), 400, 'InvalidDeadLetterTargetTopic', 'LITE')
  })

  it('can be written back as it was read once the topic for its dead letters was deleted', async () => {
    await subject.call('CreateTopic', topic('dead'))
    await subject.call('CreateConsumerGroup', group('GID', fixed({ deadLetterTargetTopic: 'dead' })))
    await subject.call('DeleteTopic', { path: { instanceId, topicName: 'dead' } })
    const read = await subject.call('GetConsumerGroup', group('GID'))
    if (!(read instanceof WithMessage)) throw new Error('nothing is said of the deleted topic')
    const { consumeRetryPolicy } = read.data
    expect(consumeRetryPolicy.deadLetterTargetTopic).toBe('%DLQ%GID')
    await subject.call('UpdateConsumerGroup', group('GID', { consumeRetryPolicy, remark: 'x' }))
    const { deadLetterTargetTopic, ...rest } = consumeRetryPolicy
    expect(await subject.call('GetConsumerGroup', group('GID'))).toMatchObject({
      remark: 'x',
      consumeRetryPolicy: rest,
    })
    const body = fixed({ deadLetterTargetTopic: '%DLQ%other' })
    await subject.refused('CreateConsumerGroup', group('GID-2', body), 404, 'Topic.NotFound')
  })

  it('says where its dead letters go once the topic for them was deleted', async () => {
    const instanceId = topic('dead').path.instanceId
    const named = async () => {
      const answer = await subject.call('GetConsumerGroup', group('GID'))
      const { data, message } = answer instanceof WithMessage ? answer : { data: answer, message: 'Success' }
      return [data.consumeRetryPolicy.deadLetterTargetTopic, message]
    }
    await subject.call('CreateTopic', topic('dead'))
    await subject.call('CreateConsumerGroup', group('GID', fixed({ deadLetterTargetTopic: 'dead' })))
    expect(await named()).toEqual(['dead', 'Success'])
    await subject.call('DeleteTopic', { path: { instanceId, topicName: 'dead' } })
    expect(await named()).toEqual([
      '%DLQ%GID',
      expect.stringMatching(/"dead" was deleted.*"%DLQ%GID".*UpdateConsumerGroup/),
    ])
    await subject.call('UpdateConsumerGroup', group('GID', { consumeRetryPolicy: retry, remark: 'x' }))
    await subject.applied(instanceId)
    await subject.call('CreateTopic', topic('dead', { messageType: 'LITE' }))
    expect((await named())[0]).toBe('%DLQ%GID')
    await subject.call('DeleteTopic', { path: { instanceId, topicName: 'dead' } })
    await subject.applied(instanceId)
    await subject.call('CreateTopic', topic('dead'))
    expect(await named()).toEqual(['dead', 'Success'])
  })

  it('can be changed; what is left out of the policy stays', async () => {
    await subject.call('CreateTopic', topic('dead'))
    await subject.call(
      'CreateConsumerGroup',
      group('GID', {
        ...fixed({ fixedIntervalRetryTime: 20, maxRetryTimes: 3, deadLetterTargetTopic: 'dead' }),
        remark: 'a',
        maxReceiveTps: 300,
      }),
    )
    const policyAfter = async (body: unknown) => {
      await subject.call('UpdateConsumerGroup', group('GID', body))
      const { consumeRetryPolicy } = await subject.call('GetConsumerGroup', group('GID'))
      return [consumeRetryPolicy, (await childRow('consumer_groups')).generation]
    }
    const policy = {
      retryPolicy: 'FixedRetryPolicy',
      maxRetryTimes: 3,
      fixedIntervalRetryTime: 20,
      deadLetterTargetTopic: 'dead',
    }
    expect(await policyAfter({ consumeRetryPolicy: { retryPolicy: 'FixedRetryPolicy' } })).toEqual([policy, 1])
    expect(await policyAfter({ consumeRetryPolicy: { retryPolicy: 'FixedRetryPolicy' }, remark: 'b' })).toEqual([
      policy,
      1,
    ])
    expect(await policyAfter({ consumeRetryPolicy: retry, deliveryOrderType: 'Concurrently' })).toEqual([
      { ...policy, retryPolicy: 'DefaultRetryPolicy' },
      2,
    ])
    expect(
      await policyAfter({ consumeRetryPolicy: { ...retry, maxRetryTimes: 0, deadLetterTargetTopic: '' } }),
    ).toEqual([{ retryPolicy: 'DefaultRetryPolicy', maxRetryTimes: 0, fixedIntervalRetryTime: 20 }, 3])
    expect(await policyAfter({ consumeRetryPolicy: retry, maxReceiveTps: 0 })).toEqual([expect.anything(), 4])
    const seen = await subject.call('GetConsumerGroup', group('GID'))
    expect(seen).toMatchObject({ remark: 'b' })
    expect(seen).not.toHaveProperty('maxReceiveTps')
  })

  it('keeps its order, and needs its policy, on update', async () => {
    await subject.call('CreateConsumerGroup', group('GID'))
    for (const [body, status, code] of [
      [{ consumeRetryPolicy: retry, deliveryOrderType: 'Orderly' }, 400, 'InvalidDeliveryOrderType'],
      [{ remark: 'x' }, 400, 'MissingConsumeRetryPolicy'],
      [{ consumeRetryPolicy: { ...retry, deadLetterTargetTopic: 'absent' } }, 404, 'Topic.NotFound'],
      [{ consumeRetryPolicy: { ...retry, fixedIntervalRetryTime: 5 } }, 400, 'InvalidFixedIntervalRetryTime'],
    ] as const) {
      await subject.refused('UpdateConsumerGroup', group('GID', body), status, code)
    }
    await subject.refused(
      'UpdateConsumerGroup',
      group('absent', { consumeRetryPolicy: retry }),
      404,
      'ConsumerGroup.NotFound',
    )
  })

  it('exists once, goes at once, and can come again', async () => {
    const answers = await Promise.allSettled([1, 2].map(() => subject.call('CreateConsumerGroup', group('GID'))))
    expect(answers.map((each) => each.status).sort()).toEqual(['fulfilled', 'rejected'])
    await subject.refused('CreateConsumerGroup', group('GID'), 400, 'ConsumerGroup.Existed')
    await subject.applied(instanceId)
    await subject.call('DeleteConsumerGroup', group('GID'))
    await subject.refused('GetConsumerGroup', group('GID'), 404, 'ConsumerGroup.NotFound')
    await subject.refused('DeleteConsumerGroup', group('GID'), 404, 'ConsumerGroup.NotFound')
    await subject.call('CreateConsumerGroup', group('GID'))
    expect(await childRow('consumer_groups')).toMatchObject({
      wanted: 'present',
      generation: 3,
      applied_generation: -2,
    })
    expect((await subject.get(instanceId)).groupCount).toBe(1)
  })

  it('counts against the quota', async () => {
    const at = subject.clock.now()
    await subject.ledger.change({ at, requestId: 'r', principal: 'p', action: 'Fill' }, async ({ tx }) => {
      const columns = {
        delivery_order_type: 'Concurrently',
        consume_retry_policy_json: '{}',
        max_receive_tps: null,
        remark: null,
        message_model: null,
        topic_name: null,
        create_time_ms: at,
        update_time_ms: at,
        generation: 1,
        applied_generation: 1,
      }
      for (let n = 0; n < 1000; n++) {
        await tx
          .insertInto('consumer_groups')
          .values({ instance_id: instanceId, consumer_group_id: `g${n}`, wanted: 'present', ...columns })
          .execute()
      }
    })
    await subject.refused('CreateConsumerGroup', group('more'), 400, 'QuotaExceeded.ConsumerGroup', '1000')
    await subject.call('DeleteConsumerGroup', group('g7'))
    await subject.call('CreateConsumerGroup', group('more'))
    // What clients made by using it takes no place, until its owner makes it theirs.
    const usedPlaces = async () =>
      (await subject.get(instanceId)).instanceQuotas.find(({ quotaName }: any) => quotaName === 'CONSUMER_GROUP_COUNT')
    expect(await usedPlaces()).toMatchObject({ totalCount: 1000, usedCount: 1000 })
    const markMadeByUse = (names: readonly string[]) =>
      subject.ledger.change({ at, requestId: 'r', principal: 'p', action: 'Fill' }, async ({ tx }) => {
        await tx
          .updateTable('consumer_groups')
          .set({ made_by_use: 1 })
          .where('consumer_group_id', 'in', names)
          .execute()
      })
    await markMadeByUse(['g1', 'g2'])
    expect(await usedPlaces()).toMatchObject({ usedCount: 998 })
    expect((await subject.get(instanceId)).groupCount).toBe(1000)
    await subject.call('UpdateConsumerGroup', group('g1', { consumeRetryPolicy: retry }))
    await subject.call('CreateConsumerGroup', group('new'))
    for (const action of ['UpdateConsumerGroup', 'CreateConsumerGroup'])
      await subject.refused(
        action,
        group('g2', action === 'CreateConsumerGroup' ? concurrent : { consumeRetryPolicy: retry, remark: 'mine' }),
        400,
        'QuotaExceeded.ConsumerGroup',
        '1000',
      )
  })
})

describe.each(ledgerTargets.filter((target) => target.missing === null))('lists on $name', (target) => {
  it('filter, count and page, newest first', async () => {
    subject = await Subject.start(target)
    instanceId = await subject.running()
    for (const [name, messageType] of [
      ['Orders_1', 'NORMAL'],
      ['orders-2', 'FIFO'],
      ['x3', 'DELAY'],
    ] as const) {
      subject.clock.jump(1000)
      await subject.call('CreateTopic', topic(name, { messageType }))
      await subject.call('CreateConsumerGroup', group(name))
    }
    const found = async (action: string, query: Record<string, string>) => {
      const page = await subject.call(action, { path: { instanceId }, query })
      return [page.list.map((each: any) => each.topicName ?? each.consumerGroupId).join(' '), page.totalCount]
    }
    expect(await found('ListTopics', {})).toEqual(['x3 orders-2 Orders_1', 3])
    expect(await found('ListTopics', { pageSize: '1', pageNumber: '2' })).toEqual(['orders-2', 3])
    expect(await found('ListTopics', { filter: 'ORDER' })).toEqual(['orders-2 Orders_1', 2])
    expect(await found('ListTopics', { filter: '_' })).toEqual(['Orders_1', 1])
    expect(await found('ListTopics', { messageTypes: 'FIFO,DELAY' })).toEqual(['x3 orders-2', 2])
    expect(await found('ListTopics', { messageTypes: 'FIFO', filter: 'x' })).toEqual(['', 0])
    expect(await found('ListConsumerGroups', {})).toEqual(['x3 orders-2 Orders_1', 3])
    expect(await found('ListConsumerGroups', { filter: 's-' })).toEqual(['orders-2', 1])
    expect(await found('ListConsumerGroups', { pageNumber: '2' })).toEqual(['', 3])
  })
})
