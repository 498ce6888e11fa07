/**
 * Homes stay readable: what programs of the past wrote opens with this one, with nothing lost. The messages are judged at the time of
 * the fixture, over a simulated clock and disk; what does not depend on time, by a whole server.
 */
import { rmSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Broker, Delivery } from '../../src/broker/broker.ts'
import { findMessages } from '../../src/broker/messages/inspect.ts'
import type { SimulatedClock } from '../../src/world/simulated.ts'
import { type ExpectedHome, type FilledInstance, fixtures, openInstance, readFixture, unpack } from './fixture.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const homes: string[] = []
afterEach(() => {
  for (const home of homes.splice(0)) rmSync(path.dirname(home), { recursive: true, force: true })
})

const cases = fixtures.flatMap((fixture) =>
  (['stopped', 'killed'] as const).flatMap((home) =>
    (['standard', 'platinum'] as const).map((instance) => ({ fixture, home, instance })),
  ),
)

describe.each(cases)('a home of $fixture, $home: the messages of the $instance instance', (one) => {
  const expected: ExpectedHome = readFixture(one.fixture).homes[one.home]
  const filled: FilledInstance = expected.instances[one.instance]
  const open = async () => {
    const home = unpack(one.fixture, one.home)
    homes.push(home)
    return openInstance(home, filled.instanceId, expected.atMs)
  }

  it('has every topic and group, and nothing that was deleted', async () => {
    const { broker } = await open()
    const { answers } = filled
    const sorted = (names: readonly string[]) => [...names].sort()
    expect(sorted(broker.metadata.topics().map(({ topicName }) => topicName))).toEqual(
      expect.arrayContaining(sorted(answers.topics.map(({ topicName }: any) => topicName))),
    )
    for (const { topicName, messageType } of answers.topics)
      expect(broker.metadata.topic(topicName)?.messageType, topicName).toBe(messageType)
    for (const { consumerGroupId, deliveryOrderType, consumeRetryPolicy } of answers.groups) {
      expect(broker.metadata.group(consumerGroupId), consumerGroupId).toMatchObject({
        orderly: deliveryOrderType === 'Orderly',
        maxRetryTimes: consumeRetryPolicy.maxRetryTimes,
        deadLetterTopic: consumeRetryPolicy.deadLetterTargetTopic ?? null,
      })
    }
    expect(broker.metadata.topic('deleted-topic')).toBeNull()
    expect(broker.metadata.group('deleted-group')).toBeNull()
    await broker.close()
  })

  it('takes receipt handles without a MAC where its program made such, after a restart too', async () => {
    const { broker, reopen } = await open()
    type Held = { readonly handle: string; readonly clientId: string }
    // What a trace shows of a handle is all of it but the MAC.
    const unsignedHandles = async (messageIds: readonly string[]) => {
      const handles: Held[] = []
      for (const messageId of messageIds) {
        const found = await broker.inspection.findMessage({
          topic: 'normal',
          messageId,
          fromMs: 0,
          untilMs: expected.atMs,
        })
        const history = await broker.inspection.historyOf('normal', found!)
        const delivered = history.find((one) => one.what === 'delivered' && one.group === 'reader')
        const { handle, clientId } = delivered as unknown as Held
        handles.push({ handle: handle.replace(/^g2/, 'g1'), clientId })
      }
      return handles
    }
    const [first, second] = await unsignedHandles(filled.normal.held)
    const ack = async (on: Broker, { handle, clientId }: Held) =>
      (await on.consuming.ack({ group: 'reader', topic: 'normal', handles: [handle], clientId }))[0]!.outcome
    const outcome = one.fixture === '0.1.0' ? 'done' : 'expired'
    expect(await ack(broker, first!)).toBe(outcome)
    const later = await reopen()
    expect(await ack(later, second!)).toBe(outcome)
    await later.close()
  })

  it('finds every retained message by its id, with what it says', async () => {
    const { broker } = await open()
    const sent = [
      ...filled.normal.sent.map((messageId, number) => ({ topic: 'normal', messageId, body: normalBody(number) })),
      ...filled.orders.sent.map((message) => ({ topic: 'orders', ...message })),
      ...filled.later.fired.map((message) => ({ topic: 'later', ...message })),
      ...filled.payments.committed.map((message) => ({ topic: 'payments', ...message })),
      ...filled.urgent.sent.map((message) => ({ topic: 'urgent', ...message })),
      ...filled.chats.sent.map((message) => ({ topic: 'chats', ...message })),
    ]
    for (const { topic, messageId, body } of sent) {
      const page = await find(broker, topic, { messageId })
      expect(page?.messages.map((message) => message.body)).toEqual([body])
    }
    const byKey = await find(broker, 'normal', { messageKey: 'key-77' })
    expect(byKey?.messages).toMatchObject([
      { messageId: filled.normal.sent[77], tag: 'other', keys: ['key-77'], userProperties: { number: '77' } },
    ])
    for (const messageId of filled.normal.deadLetters) {
      const page = await find(broker, 'dead-letters', { messageId })
      expect(page?.messages).toHaveLength(1)
    }
    for (const messageId of filled.normal.deadLetters) {
      const found = await broker.inspection.findMessage({
        topic: 'normal',
        messageId,
        fromMs: 0,
        untilMs: expected.atMs,
      })
      const history = (await broker.inspection.historyOf('normal', found!)).filter(({ group }) => group === 'fixed')
      expect(history.map(({ what }) => what)).toEqual(['delivered', 'dead-letter'])
    }
    expect(
      (await find(broker, 'payments', { messageId: filled.payments.rolledBack.messageId }))?.messages,
    ).toMatchObject([{ status: { state: 'rolled-back' } }])
    await broker.close()
  })

  it('says of every group how far behind it is', async () => {
    const { broker } = await open()
    for (const [group, answer] of Object.entries<any>(filled.answers.lags)) {
      // Of a LITE topic all its lite topics together.
      const lags = await broker.offsets.lag(group)
      const sum = (topicName: string, count: 'readyCount' | 'inflightCount') =>
        lags.filter((lag) => lag.topicName === topicName).reduce((total, lag) => total + lag[count], 0)
      for (const [topicName, { readyCount, inflightCount }] of Object.entries<any>(answer.topicLagMap ?? {}))
        expect([sum(topicName, 'readyCount'), sum(topicName, 'inflightCount')], `${group} on ${topicName}`).toEqual([
          readyCount,
          inflightCount,
        ])
    }
    await broker.close()
  })

  // A second opening reads what this program wrote meanwhile.
  it.each([0, 1])('goes on with every group where it was, %d openings later', async (openings) => {
    const opened = await open()
    for (let time = 0; time < openings; time++) await opened.reopen()
    const { broker, clock } = opened
    const { normal, orders, urgent, chats } = filled
    const without = (ids: readonly string[], ...others: ReadonlyArray<readonly string[]>) =>
      ids.filter((id) => !others.some((list) => list.includes(id)))
    const fresh = without(normal.sent, normal.acked, normal.retried, normal.held)
    expect(idsOf(await drain(broker, 'reader', 'normal'))).toEqual([...fresh].sort())
    expect(idsOf(await drain(broker, 'behind', 'normal'))).toEqual([...normal.sent].sort())
    expect(idsOf(await drain(broker, 'moved', 'normal'))).toEqual([...normal.sent].sort())
    expect(await drain(broker, 'fixed', 'normal')).toEqual([])
    expect(idsOf(await drain(broker, 'made-by-use', 'normal'))).toEqual(without(normal.sent, normal.madeByUse).sort())
    // What was put off for a minute comes as its second delivery.
    await clock.advance(2 * MINUTE)
    const again = await drain(broker, 'reader', 'normal')
    expect(idsOf(again)).toEqual([...normal.retried].sort())
    expect(again.map(({ attempt }) => attempt)).toEqual([2, 2])
    // What was out comes again once its time is over.
    await clock.advance(6 * HOUR)
    expect(idsOf(await drain(broker, 'reader', 'normal'))).toEqual([...normal.held].sort())

    const ordered = await drain(broker, 'ordered', 'orders')
    expect(idsOf(ordered)).toEqual(without(orders.sent.map(idOf), orders.acked).sort())
    for (const customer of new Set(orders.sent.map(({ messageGroup }) => messageGroup))) {
      const inOrder = orders.sent.filter(({ messageGroup }) => messageGroup === customer).map(idOf)
      const came = ordered.map(idOf).filter((id) => inOrder.includes(id))
      expect(came, customer).toEqual(inOrder.filter((id) => came.includes(id)))
    }
    const priorities = (await drain(broker, 'urgent-reader', 'urgent')).map(
      ({ messageId }) => urgent.sent.find((message) => message.messageId === messageId)!.priority,
    )
    expect(priorities).toEqual([2, 2, 2, 1, 1, 1, 0, 0, 0])
    await broker.lite.sync({
      group: 'chat-reader',
      topic: 'chats',
      clientId: 'client',
      action: 'add',
      liteTopics: ['alice', 'bob', 'carol'],
      version: null,
      offset: { from: 'first' },
    })
    expect(idsOf(await drain(broker, 'chat-reader', 'chats'))).toEqual(chats.sent.map(idOf).sort())
    await broker.close()
  })

  it('delivers what waits for its time, at its time, and recalls it until then', async () => {
    const { broker, clock } = await open()
    const { waiting, recalled } = filled.later
    expect(broker.inspection.usage().timed).toBe(waiting.length)
    expect(await drain(broker, 'later-reader', 'later')).toEqual([])
    const last = waiting.at(-1)!
    expect(await broker.producing.recall({ topic: 'later', handle: last.recallHandle })).toEqual({
      messageId: last.messageId,
    })
    for (const { messageId, deliverAtMs } of waiting.slice(0, -1)) {
      await until(clock, deliverAtMs - 1_000)
      expect(await drain(broker, 'later-reader', 'later')).toEqual([])
      await until(clock, deliverAtMs + 1_000)
      expect((await drain(broker, 'later-reader', 'later')).map(idOf)).toEqual([messageId])
    }
    await until(clock, last.deliverAtMs + HOUR)
    expect(await drain(broker, 'later-reader', 'later')).toEqual([])
    expect((await find(broker, 'later', { messageId: recalled.messageId }))?.messages).toMatchObject([
      { status: { state: 'recalled' } },
    ])
    await broker.close()
  })

  it('keeps open transactions: they can be decided, their producers are asked, and the rest is rolled back', async () => {
    const { broker, clock } = await open()
    const asked: string[] = []
    broker.transactions.addTransactionChecker({
      canAsk: () => true,
      ask: async ({ messageId }) => void asked.push(messageId),
    })
    const [first, second, third] = filled.payments.open
    const end = (transactionId: string, resolution: 'commit' | 'rollback') =>
      broker.transactions.end({ topic: 'payments', transactionId, resolution })
    expect(await end(first!.transactionId, 'commit')).toMatchObject({ outcome: 'committed' })
    expect(await end(second!.transactionId, 'rollback')).toMatchObject({ outcome: 'rolled-back' })
    await clock.advance(2 * MINUTE)
    expect(new Set(asked)).toEqual(new Set([third!.messageId]))
    expect(idsOf(await drain(broker, 'payments-reader', 'payments'))).toEqual(
      [filled.payments.committed[1]!.messageId, first!.messageId].sort(),
    )
    await clock.advance(5 * HOUR)
    expect(await end(third!.transactionId, 'commit')).toMatchObject({ outcome: 'ended', as: 'expired' })
    await broker.close()
  })

  it('takes new messages after the old ones', async () => {
    const { broker } = await open()
    await drain(broker, 'behind', 'normal')
    const receipts = await broker.producing.send({
      topic: 'normal',
      messages: [{ messageId: 'new', tag: null, payload: Buffer.from('new'), bodyBytes: 3 }],
    })
    expect(receipts).toHaveLength(1)
    expect((await drain(broker, 'behind', 'normal')).map(idOf)).toEqual(['new'])
    await broker.close()
  })
})

const normalBody = (number: number): string => `normal ${number} `.padEnd(250, `${number} `)

function idOf({ messageId }: { readonly messageId: string }): string {
  return messageId
}

const idsOf = (deliveries: readonly Delivery[]): string[] => deliveries.map(idOf).sort()

/** Receives and acknowledges until nothing comes. */
async function drain(broker: Broker, group: string, topic: string): Promise<Delivery[]> {
  const all: Delivery[] = []
  for (;;) {
    const request = { group, topic, filter: null, max: 32, waitMs: 0, invisibleMs: MINUTE, autoRenew: false }
    const received = await broker.consuming.receive({ ...request, clientId: 'client' }, new AbortController().signal)
    if (received.length === 0) return all
    all.push(...received)
    const handles = received.map(({ handle }) => handle)
    const outcomes = await broker.consuming.ack({ group, topic, handles, clientId: 'client' })
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(handles.map(() => 'done'))
  }
}

const find = (broker: Broker, topicName: string, by: { messageId?: string; messageKey?: string }) =>
  findMessages(broker, {
    topicName,
    messageId: null,
    messageKey: null,
    fromMs: 0,
    untilMs: Number.MAX_SAFE_INTEGER,
    scroll: null,
    skip: 0,
    limit: 10,
    ...by,
  })

const until = (clock: SimulatedClock, timeMs: number): Promise<void> => clock.advance(timeMs - clock.now())
