/** Timed messages: the table against a plain list, and the decisions as rows. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { apply } from './apply.ts'
import type { TimerStoredEvent } from './events.ts'
import { limits } from './limits.ts'
import { decodeState, encodeState } from './snapshot.ts'
import { type BrokerState, emptyState, type Topic } from './state.ts'
import { Reader, Writer } from './structures/bytes.ts'
import { type Timer, TimerTable } from './structures/timer-table.ts'
import {
  decideMoved,
  decideTimerFired,
  decideTimerStored,
  dueAt,
  formatRecallHandle,
  isNamed,
  nameOfTimer,
  parseRecallHandle,
  refuseTimer,
} from './timers.ts'
import { decideTopic } from './topics.ts'

describe('the timer table', () => {
  const id = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: Number.MAX_SAFE_INTEGER }))
  const command = fc.oneof(
    { weight: 6, arbitrary: fc.record({ set: id, dueMs: fc.nat({ max: 40 }), position: fc.nat({ max: 1_000 }) }) },
    { weight: 3, arbitrary: fc.record({ remove: id }) },
    { weight: 2, arbitrary: fc.record({ pop: fc.nat({ max: 30 }) }) },
    { weight: 1, arbitrary: fc.constant({ reload: true }) },
  )

  it('answers as a sorted list does, whatever is added, moved and removed', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 400 }), fc.nat({ max: 40 }), (commands, until) => {
        let table = new TimerTable()
        const list = new Map<number, Timer>()
        for (const each of commands) {
          if ('set' in each) {
            const dueMs = list.get(each.set)?.dueMs ?? each.dueMs
            const timer = { timerId: each.set, dueMs, position: each.position }
            list.set(each.set, timer)
            table.set(timer)
          } else if ('remove' in each) expect(table.remove(each.remove)).toBe(list.delete(each.remove))
          else if ('pop' in each)
            for (const { timerId } of table.due(40, each.pop)) {
              expect(table.remove(timerId)).toBe(true)
              list.delete(timerId)
            }
          else table = reloaded(table)
        }
        const sorted = [...list.values()].sort((a, b) => a.dueMs - b.dueMs || a.timerId - b.timerId)
        expect(table.size).toBe(sorted.length)
        expect(table.earliest).toBe(sorted[0]?.dueMs ?? Number.POSITIVE_INFINITY)
        expect(table.due(40, Number.POSITIVE_INFINITY)).toEqual(sorted)
        expect(table.due(until, 7)).toEqual(sorted.filter(({ dueMs }) => dueMs <= until).slice(0, 7))
        expect(idsBelow(table, 500)).toEqual(
          sorted.flatMap(({ timerId, position }) => (position < 500 ? [timerId] : [])).sort((a, b) => a - b),
        )
        for (const { timerId, position } of sorted) expect(table.positionOf(timerId)).toBe(position)
      }),
      { numRuns: 300 },
    )
  })

  it('grows over its chunks, shrinks again, and comes back from a snapshot as it was', () => {
    const table = new TimerTable()
    const count = 150_000
    const dueOf = (timerId: number) => (timerId * 7_919) % 100_003
    for (let timerId = 1; timerId <= count; timerId++) table.set({ timerId, dueMs: dueOf(timerId), position: timerId })
    for (let timerId = 3; timerId <= count; timerId += 3) table.remove(timerId)
    const copy = reloaded(table)
    expect(Buffer.compare(bytesOf(copy), bytesOf(table))).toBe(0)
    let last = { dueMs: -1, timerId: 0 }
    let seen = 0
    for (let some = copy.due(1e9, 5_000); some.length > 0; some = copy.due(1e9, 5_000)) {
      for (const timer of some) {
        if (timer.dueMs < last.dueMs || (timer.dueMs === last.dueMs && timer.timerId <= last.timerId))
          throw new Error(`${JSON.stringify(timer)} comes after ${JSON.stringify(last)}`)
        last = timer
        copy.remove(timer.timerId)
        seen++
      }
    }
    expect([seen, copy.size, copy.earliest]).toEqual([100_000, 0, Number.POSITIVE_INFINITY])
    expect(bytesOf(copy)).toEqual(bytesOf(new TimerTable()))
    copy.set({ timerId: 5, dueMs: 1, position: 1 })
    expect(copy.has(5)).toBe(true)
  })
})

describe('a timed message', () => {
  it.each([
    [1_000, 1_000],
    [1_001, 2_000],
    [1_999, 2_000],
    [0, 0],
  ])('for %i ms is due at %i ms', (deliverAtMs, due) => expect(dueAt(deliverAtMs)).toBe(due))

  it('waits when its time is to come, and goes into a queue at once otherwise', () => {
    const { state, topic } = world()
    const events = decideTimerStored(
      state,
      topic,
      [
        outgoing('past', 4_999),
        outgoing('now', 5_000),
        outgoing('later', 5_001),
        outgoing('none', null),
        outgoing('far', 9e9),
      ],
      { at: 6_000, wallMs: 5_000 },
    )
    expect(
      events.map((event) => [event.type, event.messageId, event.type === 'timer-stored' ? event.dueMs : event.offset]),
    ).toEqual([
      ['message', 'past', 0],
      ['message', 'now', 0],
      ['timer-stored', 'later', 6_000],
      ['message', 'none', 0],
      ['timer-stored', 'far', 9e9],
    ])
  })

  it('is one message once: fired again it is nothing, and recalled it is nothing', () => {
    const { state, topic } = world()
    const [one, two, three] = send(state, topic, ['one', 'two', 'three'])
    apply(state, { type: 'timer-recalled', timerIds: [two!.timerId] }, 100)
    const due = [one, two, three].map((message) => ({ timerId: message!.timerId, message: message! }))
    const events = decideTimerFired(state, due, 9_000)
    expect(events.map((event) => (event.type === 'message' ? event.messageId : event.type))).toEqual([
      'timer-fired',
      'one',
      'three',
    ])
    for (const event of events) apply(state, event, 101)
    expect(decideTimerFired(state, due, 9_000)).toEqual([])
    expect([state.timers.size, state.lastAt]).toEqual([0, 9_000])
  })

  it('is passed over when its topic is gone, also when there is another of that name', () => {
    const { state, topic } = world()
    const [message] = send(state, topic, ['lost'])
    apply(state, { type: 'topic-removed', topicName: 'delay' }, 50)
    apply(state, decideTopic(state, topic.settings)!, 51)
    const due = [{ timerId: message!.timerId, message: message! }]
    expect(decideMoved(state, due, 1)).toEqual([{ type: 'timer-recalled', timerIds: [message!.timerId] }])
    expect(decideTimerFired(state, due, 9_000)).toEqual([
      { type: 'timer-fired', at: 9_000, timerIds: [message!.timerId] },
    ])
  })

  it('that is damaged is passed over', () => {
    const { state, topic } = world()
    const [message] = send(state, topic, ['damaged'])
    expect(decideTimerFired(state, [{ timerId: message!.timerId, message: null }], 9_000)).toHaveLength(1)
  })

  it('written again keeps its id and its time, and is found at its new place', () => {
    const { state, topic } = world()
    const [message] = send(state, topic, ['moved'])
    const [moved] = decideMoved(state, [{ timerId: message!.timerId, message: message! }], 77)
    expect(moved).toEqual({ ...message, storeTimeMs: 77 })
    apply(state, moved!, 4_711)
    expect(state.timers.due(9_000, 9)).toEqual([{ timerId: message!.timerId, dueMs: 8_000, position: 4_711 }])
    expect(state.nextTimerId).toBe(message!.timerId + 1)
  })

  it('comes back from a snapshot, and its id is never given again', () => {
    const { state, topic } = world()
    const [first] = send(state, topic, ['one', 'two'])
    for (const { timerId } of state.timers.due(1e12, 9))
      apply(state, { type: 'timer-recalled', timerIds: [timerId] }, 60)
    const again = decodeState(encodeState(state))
    expect(encodeState(again)).toEqual(encodeState(state))
    expect(again.nextTimerId).toBe(first!.timerId + 2)
  })

  it('is refused when too many wait', () => {
    const { state } = world()
    expect(refuseTimer(state, limits.timedMessages)).toBeNull()
    expect(refuseTimer(state, limits.timedMessages + 1)).toMatchObject({ code: 42900 })
  })
})

describe('a recall handle', () => {
  const { state, topic } = world()
  const [message, other] = send(state, topic, ['mine', 'other'])
  const handle = formatRecallHandle(nameOfTimer(message!, 2 ** 40 + 7))

  it('says what it names, and names one message', () => {
    const name = parseRecallHandle(handle)!
    expect(name).toMatchObject({ timerId: message!.timerId, dueMs: 8_000, position: 2 ** 40 + 7 })
    expect(isNamed(name, message!)).toBe(true)
    expect(isNamed({ ...name, timerId: other!.timerId }, other!)).toBe(false)
    expect(isNamed({ ...name, dueMs: 9_000 }, message!)).toBe(false)
    expect(isNamed(name, { ...message!, queueKey: 99 })).toBe(false)
  })

  it.each([
    '',
    't1',
    't1....',
    'g1.1.1.1.1',
    `${handle}.0`,
    ` ${handle}`,
    `${handle}\n`,
    handle.toUpperCase(),
    't1.zzzzzzzzzzz.1.1.1',
    't1.1.1.1.zzzzzzz',
    't1.-1.1.1.1',
  ])('that nobody made is none: %j', (text) => expect(parseRecallHandle(text)).toBeNull())

  it('as long as a request is none', () => expect(parseRecallHandle('0'.repeat(1_000_000))).toBeNull())
})

function world(): { state: BrokerState; topic: Topic } {
  const state = emptyState()
  const settings = { topicName: 'delay', generation: 1, messageType: 'DELAY', maxSendTps: null }
  apply(state, decideTopic(state, settings)!, 1)
  return { state, topic: state.topics.get('delay')! }
}

function send(state: BrokerState, topic: Topic, ids: readonly string[]): TimerStoredEvent[] {
  const messages = ids.map((messageId) => outgoing(messageId, 7_500))
  const events = decideTimerStored(state, topic, messages, { at: 1, wallMs: 1 })
  events.forEach((event, i) => void apply(state, event, 10 + i))
  return events as TimerStoredEvent[]
}

function outgoing(messageId: string, deliverAtMs: number | null) {
  return { messageId, tag: 'tag', payload: new Uint8Array(3), bodyBytes: 3, deliverAtMs }
}

function idsBelow(table: TimerTable, position: number): number[] {
  const found: number[] = []
  for (let from = table.size; from > 0; ) {
    const { timerIds, next } = table.below(position, from, 7)
    found.push(...timerIds)
    from = next
  }
  return found.sort((a, b) => a - b)
}

function bytesOf(table: TimerTable): Uint8Array {
  const to = new Writer()
  const capture = table.capture()
  for (const piece of capture.pieces(1_000)) to.raw(piece)
  capture.end()
  return to.finish()
}

function reloaded(table: TimerTable): TimerTable {
  const copy = new TimerTable()
  void [...copy.read(new Reader(bytesOf(table)))]
  return copy
}
