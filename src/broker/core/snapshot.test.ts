/** A snapshot is of the moment at which it was made, whatever happens while it is written, and is written in small pieces. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { apply } from './apply.ts'
import { defaultGroup } from './consumer-groups.ts'
import type { BrokerEvent, LeasedEntry } from './events.ts'
import { decodeState, encodeState, Snapshot } from './snapshot.ts'
import { type BrokerState, emptyState } from './state.ts'
import { Writer } from './structures/bytes.ts'

const START: readonly BrokerEvent[] = [
  topic('plain', 'NORMAL', 1),
  topic('delay', 'DELAY', 3),
  topic('lite', 'LITE', 5),
  { type: 'group', ...defaultGroup('group') },
  { type: 'group', ...defaultGroup('orderly'), orderly: true },
  { type: 'group', ...defaultGroup('of lite'), lite: { topicName: 'lite', exclusive: false } },
  { type: 'subscribed', subscriptionId: 1, consumerGroupId: 'group', topicName: 'plain', starts: [0, 0] },
  { type: 'subscribed', subscriptionId: 2, consumerGroupId: 'orderly', topicName: 'plain', starts: [0, 0] },
  { type: 'lite-topic', topicKey: 5, liteTopic: 'one', queueKey: 10, at: 1 },
  { type: 'lite-topic', topicKey: 5, liteTopic: 'two', queueKey: 11, at: 1 },
  { type: 'lite-subscribed', subscriptionId: 3, consumerGroupId: 'of lite', queueKey: 10, start: 0 },
  { type: 'lite-subscribed', subscriptionId: 4, consumerGroupId: 'of lite', queueKey: 11, start: 0 },
]

describe('a snapshot', () => {
  it('is of its moment, whatever events come between its pieces', () => {
    const during = fc.array(fc.array(event(), { maxLength: 6 }), { maxLength: 40 })
    fc.assert(
      fc.property(fc.array(event(), { maxLength: 80 }), during, fc.nat({ max: 3 }), (before, rounds, atOnce) => {
        const state = made([...START, ...before])
        const expected = encodeState(state)
        const snapshot = new Snapshot(state, { pieceBytes: 40, atOnce })
        const written = new Writer()
        const tell = (events: readonly BrokerEvent[]) => {
          for (const one of events) {
            const each = legal(state, one)
            snapshot.before(each)
            apply(state, each, 77)
          }
        }
        let round = 0
        tell(rounds[round++] ?? [])
        for (const piece of snapshot.pieces()) {
          written.raw(piece)
          tell(rounds[round++] ?? [])
        }
        snapshot.end()
        expect(Buffer.compare(written.finish(), expected)).toBe(0)
        expect(Buffer.compare(encodeState(decodeState(expected)), expected)).toBe(0)
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    ['deliveries', 20_000, (number: number) => leased(1, number % 2, number)],
    ['timed messages', 150_000, (number: number) => timed(number, 1e9 - number)],
    ['transactions', 20_000, (number: number) => half(number)],
    [
      'lite topics',
      20_000,
      (number: number): BrokerEvent => ({
        type: 'lite-topic',
        topicKey: 5,
        liteTopic: `${number}`,
        queueKey: 100 + number,
        at: 1,
      }),
    ],
  ])('of many %s is written in pieces of a bounded size', (_, count, make) => {
    const state = made(START)
    for (let number = 1; number <= count; number++) apply(state, make(number), number)
    const sizes = Array.from(new Snapshot(state).pieces(), ({ length }) => length)
    expect(Math.max(...sizes)).toBeLessThan(150_000)
    expect(sizes.length).toBeGreaterThan(2)
  })

  it('puts aside what an event is about to change, and neither the rest nor what was written', () => {
    const state = made(START)
    for (let offset = 0; offset < 600; offset++)
      for (const queueId of [0, 1]) apply(state, leased(1, queueId, offset), 1)
    const snapshot = new Snapshot(state, { pieceBytes: 1_000 })
    let asked = 0
    for (const cursor of state.subscriptions.get(1)!.cursors) {
      const { values } = cursor.leases
      cursor.leases.values = () => {
        asked++
        return values.call(cursor.leases)
      }
    }
    const ack = (queueId: number, offset: number) => {
      const event: BrokerEvent = { type: 'acked', subscriptionId: 1, entries: [{ queueId, offset }] }
      snapshot.before(event)
      apply(state, event, 1)
    }
    for (let offset = 0; offset < 50; offset++) ack(1, offset)
    expect(asked).toBe(1)
    const pieces = snapshot.pieces()
    for (let piece = pieces.next(); !piece.done; piece = pieces.next()) for (const queueId of [0, 1]) ack(queueId, 100)
    expect(asked).toBe(2)
  })
})

function made(events: readonly BrokerEvent[]): BrokerState {
  const state = emptyState()
  for (const each of events) apply(state, legal(state, each), 7)
  return state
}

/** What may happen in this state: offsets and numbers follow one another. */
function legal(state: BrokerState, each: BrokerEvent): BrokerEvent {
  if (each.type === 'message') return { ...each, offset: state.queues.get(each.queueKey)?.end ?? 0 }
  if (each.type === 'half') return { ...each, number: Math.max(each.number, state.transactions.next) }
  if (each.type === 'trimmed')
    return {
      ...each,
      queues: each.queues.map(({ queueKey, begin }) => ({
        queueKey,
        begin: Math.min(begin, state.queues.get(queueKey)?.end ?? 0),
      })),
    }
  return each
}

function event(): fc.Arbitrary<BrokerEvent> {
  const number = fc.integer({ min: 1, max: 12 })
  const offset = fc.nat({ max: 12 })
  const subscriptionId = fc.integer({ min: 1, max: 5 })
  const queueId = fc.nat({ max: 1 })
  const names = fc.array(fc.record({ queueId, offset }), { minLength: 1, maxLength: 4 })
  const name = fc.record({ subscriptionId, queueId, offset })
  const inLite = (id: number, queue: number) => (id > 2 ? 0 : queue)
  return fc.oneof(
    {
      weight: 8,
      arbitrary: name.map((one) => leased(one.subscriptionId, inLite(one.subscriptionId, one.queueId), one.offset)),
    },
    {
      weight: 2,
      arbitrary: name.map(
        (one): BrokerEvent => ({
          ...leased(2, one.queueId, one.offset),
          type: 'locked',
          attemptId: 'again',
          repeated: one.offset % 2 === 0,
        }),
      ),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        type: fc.constantFrom('acked' as const, 'acked-out-of-order' as const),
        subscriptionId,
        entries: names,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant('deadline' as const),
        subscriptionId,
        deadline: number,
        returned: fc.boolean(),
        entries: names,
      }),
    },
    { weight: 4, arbitrary: number.map((id) => timed(id, 20 - id)) },
    { weight: 3, arbitrary: number.map((id): BrokerEvent => ({ type: 'timer-fired', at: 9, timerIds: [id] })) },
    { weight: 2, arbitrary: number.map((id): BrokerEvent => ({ type: 'timer-recalled', timerIds: [id] })) },
    { weight: 3, arbitrary: number.map(half) },
    {
      weight: 2,
      arbitrary: number.map((id): BrokerEvent => ({ type: 'transaction-checked', at: 9, next: 20, numbers: [id] })),
    },
    {
      weight: 2,
      arbitrary: number.map(
        (id): BrokerEvent => ({ type: 'transaction-ended', at: 9, resolution: 'rollback', numbers: [id] }),
      ),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(1, 2, 10, 11).map((queueKey) => message(queueKey)),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('cursor-reset' as const),
        subscriptionId,
        resetId: fc.constantFrom('r1', 'r2', null),
        cursors: fc.tuple(fc.record({ queueId, next: offset })),
      }),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(1, 2, 10)
        .map((queueKey): BrokerEvent => ({ type: 'trimmed', queues: [{ queueKey, begin: 4 }] })),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom<BrokerEvent>(
        { type: 'group', ...defaultGroup('orderly'), orderly: false },
        { type: 'group', ...defaultGroup('group'), orderly: true },
        { type: 'group', ...defaultGroup('of lite') },
        { type: 'group', ...defaultGroup('new') },
        { type: 'group-removed', consumerGroupId: 'group' },
        { type: 'topic-removed', topicName: 'plain' },
        { type: 'topic-removed', topicName: 'lite' },
        { type: 'topic-removed', topicName: 'delay' },
        { type: 'lite-expired', at: 9, queueKeys: [10] },
        { type: 'lite-topic', topicKey: 5, liteTopic: 'three', queueKey: 12, at: 3 },
        { type: 'lite-subscribed', subscriptionId: 5, consumerGroupId: 'of lite', queueKey: 12, start: 0 },
        topic('another', 'NORMAL', 20),
      ),
    },
  )
}

function leased(subscriptionId: number, queueId: number, offset: number): Extract<BrokerEvent, { type: 'leased' }> {
  const entry: LeasedEntry = { queueId, offset, attempt: 1 + (offset % 3), position: 1_000 + offset, tagHash: 7 }
  return {
    type: 'leased',
    subscriptionId,
    at: 5,
    deadline: 50 + offset,
    renewable: offset % 2 === 0,
    session: 3,
    owner: `client ${offset % 4}`,
    userName: null,
    nexts: [{ queueId, next: offset + 1 }],
    entries: [entry],
  }
}

function timed(timerId: number, dueMs: number): BrokerEvent {
  return { type: 'timer-stored', timerId, dueMs, queueKey: 3, ...body() }
}

function half(number: number): BrokerEvent {
  return { type: 'half', number, secret: 'secret', topicKey: 1, firstCheckMs: 9, owner: 'producer', ...body() }
}

function message(queueKey: number): BrokerEvent {
  return { type: 'message', queueKey, offset: 20, origin: null, ...body() }
}

function body() {
  return { storeTimeMs: 4, tag: null, messageId: 'M', bodyBytes: 1, payload: new Uint8Array(1) }
}

function topic(topicName: string, messageType: string, firstQueueKey: number): BrokerEvent {
  const queues = messageType === 'LITE' ? 1 : 2
  return { type: 'topic', topicName, generation: 1, messageType, maxSendTps: null, firstQueueKey, queues }
}
