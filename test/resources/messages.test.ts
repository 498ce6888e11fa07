/** What the operations on messages and traces ask of the engine, and what they refuse before they ask. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MessageQuery, MessageView } from '../../src/model/messages.ts'
import { clean, Subject, stop } from './harness.ts'

let subject: Subject
let path: Readonly<Record<string, string>>
let asked: MessageQuery[]
beforeEach(async () => {
  subject = await Subject.start()
  const instanceId = await subject.running()
  path = { instanceId, topicName: 'orders' }
  await subject.call('CreateTopic', { path, body: { messageType: 'NORMAL' } })
  asked = []
  subject.answers = {
    findMessages: (_instanceId, query) => {
      asked.push(query)
      return { messages: [], total: 0, scroll: null }
    },
    traceMessage: () => null,
  }
})
afterEach(clean)
afterAll(stop)

describe('the time of a query', () => {
  const list = (query: Readonly<Record<string, string>>) => ({ path, query: { pageNumber: '1', ...query } })

  it('is read in the zone of the API, and includes the last second', async () => {
    await subject.call('ListMessages', list({ startTime: '2026-03-30 12:00:00', endTime: '2026-03-30 12:00:05' }))
    expect(asked).toMatchObject([
      { fromMs: Date.parse('2026-03-30T12:00:00+08:00'), untilMs: Date.parse('2026-03-30T12:00:05.999+08:00') },
    ])
  })

  it.each([
    ['a day that no calendar has', { startTime: '2026-02-30 00:00:00' }, 'InvalidStartTime', 'calendar'],
    ['an hour that no day has', { endTime: '2026-03-30 24:00:00' }, 'InvalidEndTime', 'endTime'],
    [
      'an end before its start',
      { startTime: '2026-03-30 12:00:01', endTime: '2026-03-30 12:00:00' },
      'InvalidEndTime',
      'before',
    ],
  ])('with %s is refused', async (_what, query, code, says) => {
    await subject.refused('ListMessages', list(query), 400, code, says)
    expect(asked).toEqual([])
  })
})

it.each([
  ['of another form', 'abc'],
  ['with a number too many digits long', '12345678901234567.1'],
  ['with a hole', '1..2'],
])('a scrollId %s is refused', async (_what, scrollId) => {
  await subject.refused('ListMessages', { path, query: { scrollId } }, 400, 'InvalidScrollId')
  expect(asked).toEqual([])
})

it('a priority is told of a message that has one, and of the topic that takes them', async () => {
  const stored = {
    messageId: 'M1',
    tag: null,
    keys: [],
    body: 'x',
    bodyBytes: 1,
    bornHost: 'h',
    bornMs: 0,
    storeHost: 'h',
    storeMs: 0,
    messageType: 'PRIORITY',
    messageGroup: null,
    liteTopic: null,
    userProperties: {},
    deliverAtMs: null,
    priority: 5,
    status: { state: 'stored' },
    transactionId: null,
    queueId: 5,
    queueOffset: 0,
  } as unknown as MessageView
  let view = stored
  subject.answers = {
    findMessages: () => ({ messages: [view], total: 1, scroll: null }),
    traceMessage: () => null,
  }
  const detail = () => subject.call('GetMessageDetail', { path: { ...path, messageId: 'M1' } })
  expect(await detail()).toMatchObject({ priority: 5 })
  view = { ...stored, priority: null }
  expect(await detail()).not.toHaveProperty('priority')

  const urgent = { ...path, topicName: 'urgent' }
  await subject.call('CreateTopic', { path: urgent, body: { messageType: 'PRIORITY' } })
  expect(await subject.call('GetTopic', { path: urgent })).toMatchObject({ priority: 7 })
  expect(await subject.call('GetTopic', { path })).not.toHaveProperty('priority')
})
