/** Names that are taken, names that are not. */
import { describe, expect, it } from 'vitest'
import { clampPage, consumerGroupIdProblem, topicNameProblem } from './limits.ts'

describe('topic names', () => {
  it.each(['a', 'Order_paid-2', '0', 'x'.repeat(60), 'rmq_sy', 'REPLY_TOPIC', 'rmq-sys-'])('take %s', (name) => {
    expect(topicNameProblem(name, 60)).toBeNull()
  })

  it.each<[string, string]>([
    ['', 'has 0 characters; a topic name has 1 to 60'],
    ['x'.repeat(61), 'has 61 characters'],
    ['a b', 'is not allowed; a topic name consists of letters, digits, "_" and "-"'],
    ['a%b', 'is not allowed'],
    ['主题', 'is not allowed'],
    ['a/b', 'is not allowed'],
    ['a\n', 'is not allowed'],
    ['TBW102', '"TBW102" is reserved'],
    ['tbw102', '"TBW102" is reserved'],
    ['benchmarktest', '"BenchmarkTest" is reserved'],
    ['RMQ_SYS_TRACE_TOPIC', '"RMQ_SYS_TRACE_TOPIC" is reserved'],
    ['RMQ_Sys_x', 'begins with "rmq_sys_"'],
    ['%RETRY%group', 'begins with "%RETRY%"'],
    ['%dlq%group', 'begins with "%DLQ%"'],
    ['rocketmq-broker-1', 'begins with "rocketmq-broker-"'],
    ['rocketmq-proxy-1', 'begins with "rocketmq-proxy-"'],
    ['a_reply_topic', 'ends with "_REPLY_TOPIC"'],
  ])('refuse "%s"', (name, sentence) => {
    expect(topicNameProblem(name, 60)).toContain(sentence)
  })

  it('may be longer on serverless instances', () => {
    expect(topicNameProblem('x'.repeat(128), 128)).toBeNull()
    expect(topicNameProblem('x'.repeat(129), 128)).toContain('1 to 128')
  })
})

describe('group ids', () => {
  it.each(['GID-TEST', 'a%b', '%RETRY%x', 'CID_x'])('take %s', (id) => {
    expect(consumerGroupIdProblem(id, 60)).toBeNull()
  })

  it.each<[string, string]>([
    ['DEFAULT_CONSUMER', 'is reserved'],
    ['cid_ons-http-proxy', '"CID_ONS-HTTP-PROXY" is reserved'],
    ['CID_HOUSEKEEPING', 'is reserved'],
    ['CID_RMQ_SYS_x', 'begins with "CID_RMQ_SYS_"'],
    ['a.b', 'consists of letters, digits, "_", "-" and "%"'],
  ])('refuse "%s"', (id, sentence) => {
    expect(consumerGroupIdProblem(id, 60)).toContain(sentence)
  })
})

it('moves pages into their bounds', () => {
  const sizes = { minimum: 10, maximum: 200 }
  expect(clampPage(sizes, {})).toEqual({ pageNumber: 1, pageSize: 10 })
  expect(clampPage(sizes, { pageNumber: 0, pageSize: 1000 })).toEqual({ pageNumber: 1, pageSize: 200 })
  expect(clampPage(sizes, { pageNumber: 1e9, pageSize: -1 })).toEqual({ pageNumber: 100_000_000, pageSize: 10 })
})
