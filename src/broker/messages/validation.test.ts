import { describe, expect, it } from 'vitest'
import { BrokerRefusal } from '../../model/refusals.ts'
import { checkGroupName, checkTopicName, hasControlCharacter, isReservedPropertyKey, quoted } from './validation.ts'

/** The status code of what is refused, 0 of what is fine. */
function codeOf(check: () => unknown): number {
  try {
    check()
    return 0
  } catch (error) {
    if (error instanceof BrokerRefusal) return error.code
    throw error
  }
}

describe('a topic name', () => {
  it.each([
    ['orders', 0],
    ['A-b_9', 0],
    ['%DLQ%group', 0],
    ['a|b', 0],
    ['t'.repeat(128), 0],
    ['t'.repeat(129), 40002],
    [`%RETRY%${'t'.repeat(248)}`, 0],
    [`%RETRY%${'t'.repeat(249)}`, 40002],
    ['', 40002],
    [' ', 40002],
    ['a.b', 40002],
    ['主题', 40002],
    ['a\nb', 40002],
    ['SCHEDULE_TOPIC_XXXX', 40002],
    ['rmq_sys_anything', 40002],
    ['RMQ_SYS_TRACE_TOPIC', 40002],
  ])('%j: %i', (name, code) => {
    expect(codeOf(() => checkTopicName(name))).toBe(code)
  })
})

describe('a consumer group name', () => {
  it.each([
    ['GID_orders', 0],
    ['%x|y', 0],
    ['g'.repeat(128), 0],
    ['g'.repeat(129), 40003],
    ['', 40003],
    ['a b', 40003],
    ['CID_RMQ_SYS_TRANS', 40003],
    ['cid_rmq_sys_x', 40003],
    ['CID_RMQ', 0],
  ])('%j: %i', (name, code) => {
    expect(codeOf(() => checkGroupName(name))).toBe(code)
  })
})

it.each([
  ['text', false],
  ['\u0000', true],
  ['a\u001f', true],
  ['\u007f', true],
  ['\u009f', true],
  ['\u00a0', false],
  ['😀 中文', false],
])('%j has a control character: %s', (text, has) => {
  expect(hasControlCharacter(text)).toBe(has)
})

it.each(['UNIQ_KEY', 'TAGS', 'KEYS', '__CRC32#', 'PGROUP', 'TIMER_OUT_MS'])(
  '%s is reserved, other cases are not',
  (key) => {
    expect(isReservedPropertyKey(key)).toBe(true)
    expect(isReservedPropertyKey(key.toLowerCase())).toBe(false)
  },
)

it('shows a client its own text bounded and on one line', () => {
  expect(quoted('a\nb')).toBe('"a\\nb"')
  expect(quoted('x'.repeat(10_000)).length).toBeLessThan(100)
})
