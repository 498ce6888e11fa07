/** `decide…` changes nothing: each is asked over a view of the state on which every change throws (test/support/read-only.ts). */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { checkState } from '../../../test/support/check-state.ts'
import { readOnly } from '../../../test/support/read-only.ts'
import { apply } from './apply.ts'
import { decideGroup, defaultGroup } from './consumer-groups.ts'
import { decideDeadLetter, decideDeadLetterTopic } from './consuming/dead-letters.ts'
import { decideAck, decideDeadline, decideReturned } from './consuming/deliveries.ts'
import { decideReset } from './consuming/offsets.ts'
import { decideOrderlyTake } from './consuming/orderly.ts'
import { decideSubscribe } from './consuming/subscriptions.ts'
import { decideTake } from './consuming/take.ts'
import { makeWaiter } from './consuming/waiters.ts'
import type { BrokerEvent, LeasedEvent, MessageEvent, TimerStoredEvent } from './events.ts'
import {
  decideLiteExpired,
  decideLiteRemoved,
  decideLiteReset,
  decideLiteSend,
  decideLiteSubscribe,
} from './lite/lite.ts'
import { decideTrim } from './retention.ts'
import { decideSend } from './sending.ts'
import { encodeState } from './snapshot.ts'
import { type BrokerState, emptyState, type LiteTopic } from './state.ts'
import { decideMoved, decideTimerFired, decideTimerStored } from './timers.ts'
import { decideTopic } from './topics.ts'
import { decideHalf, decideTransactionChecked, decideTransactionEnded } from './transactions.ts'

const outgoing = { messageId: 'M', tag: 'a', payload: new Uint8Array(3), bodyBytes: 3 }
const topic = (topicName: string, messageType: string) => ({ topicName, generation: 1, messageType, maxSendTps: null })
const want = makeWaiter({
  filter: null,
  max: 8,
  invisibleMs: 30_000,
  autoRenew: true,
  clientId: 'client',
  attemptId: 'a',
})
const context = {
  session: 7,
  oldestMs: 0,
  entriesAt: (_: number, from: number, count: number) => ({
    ...{ from, count, position: (i: number) => 1_000 + i, tagHash: () => 1, storeTimeMs: () => 5 },
  }),
}

let state: BrokerState
let position: number

beforeEach(() => {
  state = emptyState()
  position = 1
  for (const [name, type] of [
    ['plain', 'NORMAL'],
    ['ordered', 'FIFO'],
    ['later', 'DELAY'],
    ['lites', 'LITE'],
  ] as const)
    happen(decideTopic(state, topic(name, type)))
  happen(decideGroup(state, defaultGroup('group')))
  happen(decideGroup(state, { ...defaultGroup('orderly'), orderly: true }))
  happen(decideGroup(state, { ...defaultGroup('of lites'), lite: { topicName: 'lites', exclusive: false } }))
  for (const group of ['group', 'orderly']) happen(decideSubscribe(state, state.groups.get(group)!, of('plain')))
  happen(...decideSend(of('plain'), Array(20).fill(outgoing), 5))
  const lites = decideLiteSend(state, of('lites'), [{ ...outgoing, liteTopic: 'one' }], 5)
  if ('messages' in lites) happen(...lites.made, ...lites.messages)
  happen(...decideTimerStored(state, of('later'), [{ ...outgoing, deliverAtMs: 90_000 }], { at: 5, wallMs: 5 }))
  const halves = decideHalf(state, of('plain'), [{ ...outgoing, recoveryMs: null }], { owner: 'p', secret: 's', at: 5 })
  if (Array.isArray(halves)) happen(...halves)
  for (const queue of state.queues.values()) queue.visible = queue.end
  for (const [group, decide] of [
    ['group', decideTake],
    ['orderly', decideOrderlyTake],
  ] as const)
    happen(...decide(subscription(group), want, 6, context).events)
  checkState(state)
})

function happen(...events: ReadonlyArray<BrokerEvent | null>): void {
  for (const event of events) if (event) apply(state, event, position++)
}

const of = (topicName: string, from = state) => from.topics.get(topicName)!
const subscription = (group: string, from = state) => of('plain', from).subscriptions.get(group)!
const leasesOf = (group: string, from: BrokerState) => [...subscription(group, from).cursors[0]!.leases.values()]
const lite = (from: BrokerState) => of('lites', from).liteTopics!.byName.get('one') as LiteTopic
const timed: TimerStoredEvent = {
  ...{ type: 'timer-stored', timerId: 1, queueKey: 17, dueMs: 90_000, storeTimeMs: 5 },
  ...outgoing,
}
const stored: MessageEvent = { type: 'message', queueKey: 1, offset: 0, storeTimeMs: 5, origin: null, ...outgoing }

const decisions: Record<string, (from: BrokerState) => unknown> = {
  decideTrim: (from) => decideTrim(from, from.queues.keys(), () => 1),
  decideTake: (from) => decideTake(subscription('group', from), want, 9, context),
  decideOrderlyTake: (from) => [
    decideOrderlyTake(subscription('orderly', from), want, 9, context),
    decideOrderlyTake(subscription('orderly', from), { ...want, attemptId: 'b' }, 9, context),
  ],
  decideAck: (from) => [
    decideAck(subscription('group', from), leasesOf('group', from)),
    decideAck(subscription('orderly', from), leasesOf('orderly', from)),
  ],
  decideReset: (from) => decideReset(subscription('group', from), 'reset', new Map([[0, 1]])),
  decideDeadLetterTopic: (from) => decideDeadLetterTopic(from, from.groups.get('group')!),
  decideDeadLetter: (from) => {
    happen(decideDeadLetterTopic(state, state.groups.get('group')!))
    return decideDeadLetter(from, leasesOf('group', from)[0]!, stored, 9)
  },
  decideDeadline: (from) => decideDeadline(leasesOf('group', from), 99),
  decideReturned: (from) => decideReturned(subscription('group', from), leasesOf('group', from), 99),
  decideHalf: (from) =>
    decideHalf(from, of('plain', from), [{ ...outgoing, recoveryMs: 5 }], { owner: 'p', secret: 's', at: 9 }),
  decideTransactionChecked: (from) => decideTransactionChecked([...from.transactions.open.values()], 9),
  decideTransactionEnded: (from) => decideTransactionEnded([...from.transactions.open.values()], 'commit', 9),
  decideGroup: (from) => decideGroup(from, { ...defaultGroup('group'), generation: 2 }),
  decideSubscribe: (from) => decideSubscribe(from, from.groups.get('group')!, of('ordered', from)),
  decideLiteSend: (from) =>
    decideLiteSend(
      from,
      of('lites', from),
      ['one', 'two', 'two'].map((liteTopic) => ({ ...outgoing, liteTopic })),
      9,
    ),
  decideLiteExpired: (from) => {
    happen({ type: 'topic', ...topic('lites', 'LITE'), liteExpirationMs: 1, firstQueueKey: 25, queues: 1 })
    return decideLiteExpired(of('lites', from), 99)
  },
  decideLiteRemoved: (from) => decideLiteRemoved(of('lites', from), 9),
  decideLiteSubscribe: (from) => decideLiteSubscribe(from, from.groups.get('of lites')!, lite(from)),
  decideLiteReset: (from) =>
    decideLiteReset(from, from.groups.get('of lites')!, new Map([[lite(from).firstQueueKey, 1]])).events,
  decideTopic: (from) => decideTopic(from, topic('new', 'PRIORITY')),
  decideSend: (from) => [
    decideSend(of('plain', from), [outgoing, outgoing, outgoing], 9),
    decideSend(
      of('ordered', from),
      [
        { ...outgoing, messageGroup: 'g' },
        { ...outgoing, priority: 3 },
      ],
      9,
    ),
  ],
  decideTimerStored: (from) =>
    decideTimerStored(from, of('later', from), [outgoing, { ...outgoing, deliverAtMs: 9_000 }], { at: 9, wallMs: 9 }),
  decideTimerFired: (from) => decideTimerFired(from, [{ timerId: 1, message: timed }], 9),
  decideMoved: (from) => decideMoved(from, [{ timerId: 1, message: timed }], 9),
}

describe('a decision', () => {
  it.each(Object.keys(decisions))('%s changes nothing, and is the same the second time', (name) => {
    const decide = decisions[name]!
    const first = decide(state)
    const before = encodeState(state)
    const seen = decide(readOnly(state))
    expect(JSON.stringify(seen)).toBe(JSON.stringify(first))
    expect(Buffer.compare(encodeState(state), before)).toBe(0)
    checkState(state)
  })

  it('of each kind is asked here', () => {
    const folder = path.dirname(new URL(import.meta.url).pathname)
    const named = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
      .flatMap((name) => [
        ...readFileSync(path.join(folder, name), 'utf8').matchAll(/^export (?:function|const) (decide\w+)/gm),
      ])
      .map(([, name]) => name!)
    expect(Object.keys(decisions).sort()).toEqual(named.sort())
  })
})

describe('an invariant', () => {
  it.each<[string, BrokerEvent, RegExp]>([
    ['of offsets', { ...stored, offset: 77 }, /messages of a queue follow one another/],
    ['of retention', { type: 'trimmed', queues: [{ queueKey: 1, begin: 99 }] }, /no message that was not written/],
    [
      'of deliveries',
      {
        ...{
          type: 'leased',
          subscriptionId: 1,
          at: 9,
          deadline: 9,
          renewable: false,
          session: 1,
          owner: '',
          userName: null,
          nexts: [],
        },
        entries: [{ queueId: 0, offset: 50, attempt: 1, position: 1, tagHash: 0 }],
      } satisfies LeasedEvent,
      /lies below the next fresh message/,
    ],
    [
      'of ids',
      { type: 'subscribed', subscriptionId: 1, consumerGroupId: 'group', topicName: 'plain', starts: [] },
      /an id of a subscription is used once/,
    ],
  ])('%s that is broken says so', (_, event, sentence) => expect(() => happen(event)).toThrow(sentence))
})
