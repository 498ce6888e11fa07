import { describe, expect, it } from 'vitest'
import * as gen from '../../grpc/gen/rocketmq.js'
import type { TopicView } from '../broker.ts'
import { filterOf } from './filter.ts'
import { readerOf } from './properties.ts'
import { encodeStored } from './stored-message.ts'

const topic: TopicView = { topicName: 'events', generation: 1, messageType: 'NORMAL', maxSendTps: null, queues: 8 }

function kept(message: gen.MessageInit): Uint8Array {
  return encodeStored(
    gen.Message.decode(gen.Message.encode(message).finish()),
    topic,
    { userName: 'alice', storeHost: '127.0.0.1:7801' },
    1_700_000_000_123,
  )
}

const full = kept({
  topic: { name: 'events' },
  userProperties: { price: '15', 'key 中文': 'value 🏷', empty: '', long: 'x'.repeat(5_000), prices: '16' },
  systemProperties: {
    tag: 'tagA',
    keys: ['k1', 'k2'],
    messageId: '01FF',
    bornHost: 'host',
    bornTimestamp: { seconds: 1_600_000_000, nanos: 5_000_000 },
    messageGroup: 'group',
    traceContext: 'trace',
  },
  body: Buffer.alloc(100_000, 0x12),
})

describe('properties of a kept message', () => {
  it.each([
    ['price', '15'],
    ['prices', '16'],
    ['key 中文', 'value 🏷'],
    ['empty', ''],
    ['long', 'x'.repeat(5_000)],
    ['pric', null],
    ['PRICE', null],
    ['TAGS', 'tagA'],
    ['KEYS', 'k1 k2'],
    ['UNIQ_KEY', '01FF'],
    ['__SHARDINGKEY', 'group'],
    ['TRACE_CONTEXT', 'trace'],
    ['BORN_TIMESTAMP', '1600000000005'],
    ['TIMER_DELIVER_MS', null],
    ['__BORNHOST', 'host'],
    ['constructor', null],
  ])('%s reads %j', (name, value) => {
    expect(readerOf(new Set([name]))(full)(name)).toBe(value)
    expect(readerOf(new Set([name, 'price', 'TAGS']))(full)(name)).toBe(value)
  })

  it('are absent from a message without any', () => {
    const bare = kept({ topic: { name: 'events' }, systemProperties: { messageId: 'm' }, body: Buffer.from('b') })
    for (const name of ['price', 'TAGS', 'KEYS', '__SHARDINGKEY'])
      expect(readerOf(new Set([name]))(bare)(name)).toBeNull()
  })

  it('are what an SQL92 filter asks, compiled once for each text', () => {
    const filter = (expression: string) => filterOf('sql', expression, filterOf)
    for (const [expression, passes] of [
      ["price BETWEEN 10 AND 100 AND TAGS = 'tagA'", true],
      ["KEYS CONTAINS 'k2'", true],
      ['price > 15 OR gone IS NOT NULL', false],
    ] as const)
      expect([expression, (filter(expression) as { passes(payload: Uint8Array): boolean }).passes(full)]).toEqual([
        expression,
        passes,
      ])
    expect(filter('price > 20')).toBe(filter('price > 20'))
    expect(filter('price > 20')).not.toBe(filter('price > 21'))
  })
})
