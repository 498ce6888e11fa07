/** Rules of the core as tables of cases. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { apply } from './apply.ts'
import { formatHandle, parseHandle } from './consuming/handle.ts'
import { maxAttempts, retryDelayMs } from './consuming/retry.ts'
import { decodeEvent, decodeForIndex, encodeEvent } from './event-codec.ts'
import type { BrokerEvent } from './events.ts'
import { filterHashes, matches, tagHash } from './filters/filter.ts'
import { queueOfGroup } from './message-group.ts'
import { decideTrim, expiredSegments } from './retention.ts'
import { emptyState } from './state.ts'
import { Reader, Writer } from './structures/bytes.ts'
import { DeadlineHeap, type Due } from './structures/deadline-heap.ts'
import { FifoList, type Linked } from './structures/fifo-list.ts'
import { makeBucket, open, opensAt, setRate, spend, units } from './throttle.ts'
import { decideTopic } from './topics.ts'

const whole = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const small = fc.nat({ max: 70_000 })
const text = fc.string({ unit: 'binary', maxLength: 200 })
const names = fc.array(fc.record({ queueId: small, offset: whole }), { maxLength: 40 })
const nullable = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null })
const payload = fc.uint8Array({ maxLength: 5_000 })

const delivery = {
  subscriptionId: whole,
  at: whole,
  deadline: whole,
  renewable: fc.boolean(),
  session: whole,
  userName: nullable(text),
  owner: text,
  nexts: fc.array(fc.record({ queueId: small, next: whole }), { maxLength: 8 }),
  entries: fc.array(
    fc.record({
      queueId: small,
      offset: whole,
      attempt: small,
      position: whole,
      tagHash: fc.nat({ max: 2 ** 32 - 1 }),
    }),
    { maxLength: 40 },
  ),
}

const events: fc.Arbitrary<BrokerEvent> = fc.oneof(
  fc.record({
    type: fc.constant('message' as const),
    queueKey: whole,
    offset: whole,
    storeTimeMs: whole,
    tag: nullable(text),
    messageId: text,
    bodyBytes: whole,
    origin: nullable(fc.record({ topicName: text, messageId: text })),
    payload,
  }),
  fc.record({
    type: fc.constant('topic' as const),
    topicName: text,
    generation: whole,
    messageType: text,
    maxSendTps: nullable(whole),
    liteExpirationMs: nullable(whole),
    firstQueueKey: whole,
    queues: small,
  }),
  fc.record({ type: fc.constant('topic-removed' as const), topicName: text }),
  fc
    .record({
      type: fc.constant('group' as const),
      consumerGroupId: text,
      generation: whole,
      orderly: fc.boolean(),
      maxRetryTimes: small,
      retry: fc.oneof(
        fc.constant({ kind: 'default' as const }),
        fc.record({ kind: fc.constant('fixed' as const), intervalSeconds: small }),
      ),
      deadLetterTopic: nullable(text),
      maxReceiveTps: nullable(whole),
      madeByUse: fc.boolean(),
      lite: nullable(fc.record({ topicName: text, exclusive: fc.boolean() })),
    })
    // Generation 0 is what nobody has created.
    .map((group) => ({ ...group, madeByUse: group.madeByUse || group.generation === 0 })),
  fc.record({ type: fc.constant('group-removed' as const), consumerGroupId: text }),
  fc.record({
    type: fc.constant('subscribed' as const),
    subscriptionId: whole,
    consumerGroupId: text,
    topicName: text,
    starts: fc.array(whole, { maxLength: 16 }),
  }),
  fc.record({ type: fc.constant('leased' as const), ...delivery }),
  fc.record({
    type: fc.constant('locked' as const),
    ...delivery,
    attemptId: text,
    repeated: fc.boolean(),
  }),
  fc.record({
    type: fc.constantFrom('acked' as const, 'acked-out-of-order' as const),
    subscriptionId: whole,
    entries: names,
  }),
  fc.record({
    type: fc.constant('passed-over' as const),
    subscriptionId: whole,
    reason: fc.constantFrom(
      'dead-letter' as const,
      'retries-used-up' as const,
      'filtered' as const,
      'damaged' as const,
    ),
    entries: names,
  }),
  fc.record({
    type: fc.constant('deadline' as const),
    subscriptionId: whole,
    deadline: whole,
    returned: fc.boolean(),
    entries: names,
  }),
  fc.record({
    type: fc.constant('trimmed' as const),
    queues: fc.array(fc.record({ queueKey: whole, begin: whole }), { maxLength: 40 }),
  }),
  fc.record({
    type: fc.constant('timer-stored' as const),
    timerId: whole,
    queueKey: whole,
    dueMs: whole,
    storeTimeMs: whole,
    tag: nullable(text),
    messageId: text,
    bodyBytes: whole,
    payload,
  }),
  fc.record({ type: fc.constant('timer-fired' as const), at: whole, timerIds: fc.array(whole, { maxLength: 40 }) }),
  fc.record({ type: fc.constant('timer-recalled' as const), timerIds: fc.array(whole, { maxLength: 40 }) }),
  fc.record({
    type: fc.constant('half' as const),
    number: whole,
    secret: text,
    topicKey: whole,
    storeTimeMs: whole,
    firstCheckMs: whole,
    owner: text,
    tag: nullable(text),
    messageId: text,
    bodyBytes: whole,
    payload,
  }),
  fc.record({ type: fc.constant('transaction-checked' as const), at: whole, next: whole, numbers: fc.array(whole) }),
  fc.record({
    type: fc.constant('transaction-ended' as const),
    at: whole,
    resolution: fc.constantFrom('commit' as const, 'rollback' as const, 'expired' as const),
    numbers: fc.array(whole),
  }),
  fc.record({
    type: fc.constant('lite-topic' as const),
    topicKey: whole,
    liteTopic: text,
    queueKey: whole,
    at: whole,
  }),
  fc.record({ type: fc.constant('lite-expired' as const), at: whole, queueKeys: fc.array(whole, { maxLength: 40 }) }),
  fc.record({
    type: fc.constant('lite-subscribed' as const),
    subscriptionId: whole,
    consumerGroupId: text,
    queueKey: whole,
    start: whole,
  }),
)

describe('events', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(events, (event) => {
        expect(decodeEvent(encodeEvent(event))).toEqual(event)
      }),
    )
  })

  it('say what the index needs of a message, and nothing for others', () => {
    fc.assert(
      fc.property(events, (event) => {
        const entry = decodeForIndex(encodeEvent(event))
        if (event.type !== 'message') expect(entry).toBeNull()
        else {
          const { queueKey, offset, storeTimeMs, tag } = event
          expect(entry).toEqual({ queueKey, offset, storeTimeMs, tagHash: tagHash(tag) })
        }
      }),
    )
  })

  it('refuse what was cut off or is of a newer Gantry, with a sentence', () => {
    const record = encodeEvent({ type: 'group-removed', consumerGroupId: 'group' })
    expect(() => decodeEvent(record.subarray(0, 3))).toThrow(/longer than the record/)
    expect(() => decodeEvent(Uint8Array.of(200))).toThrow(/newer Gantry/)
    // The end of a transaction of a kind nobody knows: taking it for a rollback would lose its message.
    expect(() => decodeEvent(Uint8Array.of(18, 0, 3, 0))).toThrow(/later version/)
    // Thirty million: found before so many are made room for. Whoever holds a recall handle may name any byte of the log.
    for (const type of [10, 14, 15]) {
      const filler = type === 14 ? [0] : []
      expect(() => decodeEvent(Uint8Array.of(type, ...filler, 128, 135, 167, 14, 1))).toThrow(/list in the record/)
    }
    expect(() => decodeEvent(new Uint8Array())).toThrow(/ends before/)
  })
})

describe('numbers and texts', () => {
  it.each([-1, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY])(
    'that no record can hold, as %d, are not written',
    (value) => {
      expect(() => new Writer().whole(value)).toThrow(/whole number/)
    },
  )

  it('come back, whatever they are', () => {
    fc.assert(
      fc.property(whole, text, (number, string) => {
        const to = new Writer(1)
        to.whole(number)
        to.text(string)
        const from = new Reader(to.finish())
        expect([from.whole(), from.text(), from.done]).toEqual([number, string, true])
      }),
    )
  })

  it.each(['', 'a'.repeat(127), 'a'.repeat(128), 'ü', 'a\u{1f680}b', '\ud800', 'x\udc00y'])('text %j', (string) => {
    const to = new Writer()
    to.text(string)
    expect(new Reader(to.finish()).text()).toBe(string)
  })
})

describe('receipt handles', () => {
  const key = { words: new Uint32Array([1, 2, 3, 4]), unsigned: new Set([7]) }

  it('are made by nobody else: one that is changed anywhere, or has another key, names nothing', () => {
    const handle = formatHandle({ subscriptionId: 3, queueId: 1, offset: 40, attempt: 1, session: 99 }, key)
    expect(handle).toMatch(/^g2\.3\.1\.14\.1\.000002r\.[0-9a-z]{7}\.[0-9a-z]{7}$/)
    for (let at = 3; at < handle.length; at++) {
      for (const letter of '0123456789abcdefghijklmnopqrstuvwxyz') {
        if (letter === handle[at] || handle[at] === '.') continue
        expect(parseHandle(`${handle.slice(0, at)}${letter}${handle.slice(at + 1)}`, key)).toBeNull()
      }
    }
    expect(parseHandle(handle, { ...key, words: new Uint32Array([1, 2, 3, 5]) })).toBeNull()
  })

  it('without a MAC are taken of the sessions that made none, and of no others', () => {
    expect(parseHandle('g1.3.1.14.1.7', key)).toEqual({
      subscriptionId: 3,
      queueId: 1,
      offset: 40,
      attempt: 1,
      session: 7,
    })
    expect(parseHandle('g1.3.1.14.1.8', key)).toBeNull()
  })

  it('name the delivery they were made for', () => {
    const name = fc.record({
      subscriptionId: whole,
      queueId: fc.nat({ max: 1_000 }),
      offset: whole,
      attempt: fc.nat({ max: 1_001 }),
      session: fc.nat({ max: 2 ** 31 - 1 }),
    })
    fc.assert(
      fc.property(name, (each) => {
        expect(parseHandle(formatHandle(each, key), key)).toEqual(each)
      }),
    )
  })

  it.each([
    '',
    'g1',
    'g1.1.2.3.4',
    'g1.1.2.3.4.5.6',
    'g2.1.2.3.4.5',
    'g1.1.2.-3.4.5',
    'g1.1.2.3.4.5 ',
    'G1.1.2.3.4.5',
    'g1.1.2.3.4.5',
  ])('%j is none', (handle) => expect(parseHandle(handle, key)).toBeNull())

  it('are none of somebody else', () => {
    fc.assert(
      fc.property(fc.string(), (handle) => {
        expect(parseHandle(handle, key)).toBeNull()
      }),
    )
  })
})

describe('a message group', () => {
  // Written down, so that nobody changes the hash unawares: messages of a group would move between queues.
  it.each([
    ['', 0],
    ['order-1', 3],
    ['order-2', 7],
    ['user-4711', 1],
    ['订单', 7],
  ])('%j lives in queue %i of 8', (group, queue) => expect(queueOfGroup(group, 8)).toBe(queue))

  it.each([
    ['numbers', (i: number) => `${i}`],
    ['numbers at the end', (i: number) => `order-${i}`],
    ['numbers in front', (i: number) => `${i}-of-the-orders`],
    ['multiples', (i: number) => `${i * 1_024}`],
  ])('is one of many that spread evenly: %s', (_, name) => {
    for (const queues of [1, 3, 8, 16]) {
      const counts = Array<number>(queues).fill(0)
      for (let i = 0; i < 8_000; i++) counts[queueOfGroup(name(i), queues)]!++
      // Five standard deviations of a fair die.
      const fair = 8_000 / queues
      for (const count of counts) expect(Math.abs(count - fair)).toBeLessThan(5 * Math.sqrt(fair) + 1)
    }
  })
})

describe('tag filters', () => {
  it.each([
    [null, null, true],
    [null, 'a', true],
    [new Set(['a']), 'a', true],
    [new Set(['a', 'b']), 'b', true],
    [new Set(['a']), 'A', false],
    [new Set(['a']), null, false],
    [new Set<string>(), 'a', false],
    // Java's string hash cannot tell these two apart.
    [new Set(['BB']), 'Aa', false],
  ])('%o lets %j through: %s', (filter, tag, expected) =>
    expect(matches(filter, { tag, payload: new Uint8Array() })).toBe(expected),
  )

  it('pass the hash of every tag they let through', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1 }), (all) => {
        const hashes = filterHashes(new Set(all))
        expect(all.every((tag) => hashes?.has(tagHash(tag)))).toBe(true)
        expect(hashes?.has(tagHash(null))).toBe(false)
      }),
    )
  })
})

describe('retries', () => {
  it.each([
    [{ kind: 'default' } as const, 1, 10_000],
    [{ kind: 'default' } as const, 2, 30_000],
    [{ kind: 'default' } as const, 3, 60_000],
    [{ kind: 'default' } as const, 14, 30 * 60_000],
    [{ kind: 'default' } as const, 15, 3_600_000],
    [{ kind: 'default' } as const, 16, 7_200_000],
    [{ kind: 'default' } as const, 500, 7_200_000],
    [{ kind: 'fixed', intervalSeconds: 5 } as const, 1, 5_000],
    [{ kind: 'fixed', intervalSeconds: 5 } as const, 9, 5_000],
  ])('%o after attempt %i: %i ms', (policy, attempt, expected) => expect(retryDelayMs(policy, attempt)).toBe(expected))

  it('sixteen mean seventeen deliveries', () => expect(maxAttempts(16)).toBe(17))
})

describe('throttles', () => {
  it.each([
    [0, 1],
    [1, 1],
    [4_096, 1],
    [4_097, 2],
    [16_384, 4],
    [4_194_304, 1_024],
  ])('a body of %i bytes counts %i', (bytes, expected) => expect(units(bytes)).toBe(expected))

  it('hold the long-run rate, whatever the sizes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 0, max: 400 }))), (asked) => {
        const bucket = makeBucket(10, 0)
        let at = 0
        let passed = 0
        let largest = 0
        for (const [cost, pauseMs] of asked) {
          at += pauseMs
          if (!open(bucket, at)) continue
          spend(bucket, cost)
          passed += cost
          largest = Math.max(largest, cost)
        }
        expect(passed).toBeLessThanOrEqual(10 + (at / 1_000) * 10 + largest)
      }),
    )
  })

  it('open when they say they will, and not before', () => {
    const bucket = makeBucket(10, 0)
    spend(bucket, 25)
    const at = opensAt(bucket, 0)
    expect(at).toBe(1_501)
    expect([open(bucket, at - 2), open(bucket, at)]).toEqual([false, true])
  })

  it('no limit is always open; a rate of zero never, once it is spent', () => {
    expect(opensAt(makeBucket(null, 0), 5)).toBe(5)
    expect(opensAt(makeBucket(0, 0), 5)).toBe(Number.POSITIVE_INFINITY)
  })

  it('a new rate begins with what was left, in proportion', () => {
    const bucket = makeBucket(100, 0)
    spend(bucket, 50)
    setRate(bucket, 10, 0)
    expect(bucket.tokens).toBe(5)
  })
})

describe('the deadline heap', () => {
  it('gives what is due in order, through any moves and removals', () => {
    const operation = fc.tuple(fc.nat({ max: 20 }), fc.nat({ max: 50 }), fc.boolean())
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const heap = new DeadlineHeap<Due>()
        const items = Array.from({ length: 21 }, (): Due => ({ due: 0, heapIndex: -1 }))
        const expected = new Map<Due, number>()
        for (const [which, due, removes] of operations) {
          const item = items[which]!
          if (removes) {
            heap.remove(item)
            expected.delete(item)
          } else {
            heap.set(item, due)
            expected.set(item, due)
          }
          expect(heap.earliest).toBe(Math.min(Number.POSITIVE_INFINITY, ...expected.values()))
        }
        const popped: number[] = []
        for (let item = heap.pop(50); item; item = heap.pop(50)) popped.push(item.due)
        expect(popped).toEqual([...expected.values()].sort((a, b) => a - b))
        expect(heap.size).toBe(0)
      }),
    )
  })

  it('gives nothing before its time', () => {
    const heap = new DeadlineHeap<Due>()
    heap.set({ due: 0, heapIndex: -1 }, 10)
    expect([heap.pop(9), heap.pop(10)?.due]).toEqual([null, 10])
  })
})

describe('the list', () => {
  interface Item extends Linked<Item> {
    readonly name: number
  }

  it('keeps its order through removals anywhere', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: 9 }), fc.constantFrom('push', 'unshift', 'remove'))),
        (operations) => {
          const list = new FifoList<Item>()
          const items = Array.from(
            { length: 10 },
            (_, name): Item => ({ name, previous: null, next: null, linked: false }),
          )
          let expected: number[] = []
          for (const [which, what] of operations) {
            const item = items[which]!
            if (what === 'remove') {
              list.remove(item)
              expected = expected.filter((name) => name !== which)
            } else if (!item.linked) {
              if (what === 'push') list.push(item)
              else list.unshift(item)
              expected = what === 'push' ? [...expected, which] : [which, ...expected]
            }
            const there: number[] = []
            for (let each = list.first; each; each = each.next) there.push(each.name)
            expect([there, list.size]).toEqual([expected, expected.length])
          }
        },
      ),
    )
  })
})

describe('retention', () => {
  const ages = [10, 20, 20, 30].map((newestMs, i) => ({ segment: i + 1, newestMs }))
  it.each([
    [109, 0],
    [110, 1],
    [120, 3],
    [129, 3],
    [130, 4],
  ])('at %i, %i segments are too old', (at, expected) => expect(expiredSegments(ages, at, 100)).toBe(expected))

  it('an old segment behind a young one stays: segments go oldest first', () => {
    expect(expiredSegments([{ segment: 1, newestMs: 500 }, ...ages], 300, 100)).toBe(0)
  })
})

describe('trimming', () => {
  it('asks about the queues that moved and no others, and says nothing where none of them did', () => {
    const state = emptyState()
    for (let i = 0; i < 100; i++) {
      const settings = { topicName: `topic-${i}`, generation: 1, messageType: 'NORMAL', maxSendTps: null }
      apply(state, decideTopic(state, settings)!, 1)
    }
    for (const queue of state.queues.values()) queue.end = 10
    const asked: number[] = []
    const minimumOf = (queueKey: number) => {
      asked.push(queueKey)
      return queueKey === 5 ? 3 : 0
    }
    expect(decideTrim(state, [4, 5, 10_000], minimumOf)).toEqual({
      type: 'trimmed',
      queues: [{ queueKey: 5, begin: 3 }],
    })
    expect(asked).toEqual([4, 5])
    expect(decideTrim(state, [4], minimumOf)).toBeNull()
  })
})
