/** Looking messages up by id and by key, wherever they are, and reading what became of them. */
import { describe, expect, it } from 'vitest'
import { settle } from '../../world/simulated.ts'
import { isRunFileName } from '../log/lookup/run-file.ts'
import {
  ack,
  broker,
  change,
  clock,
  disk,
  ensureGroup,
  files,
  forward,
  HOUR,
  message,
  open,
  receive,
  restart,
  SECOND,
  send,
  sendMany,
  text,
  topicSpec,
  useBroker,
} from './test-broker.ts'

useBroker()

const all = { topic: 'topic', fromMs: 0, untilMs: Number.MAX_SAFE_INTEGER }
const find = (messageId: string, more: object = {}) => broker.inspection.findMessage({ ...all, messageId, ...more })
const historyOf = async (messageId: string) =>
  (await broker.inspection.historyOf('topic', (await find(messageId))!)).map(({ what, group, at }) => [
    what,
    group,
    at - start,
  ])
let start: number

/** A payload of these tests is a text; what stands before `|` are its keys, with commas between. */
const keysIn = (record: Uint8Array, from: number, each: (start: number, end: number) => void): void => {
  const bar = record.indexOf('|'.charCodeAt(0), from)
  for (let at = from; at < bar; ) {
    const comma = record.indexOf(','.charCodeAt(0), at)
    const end = comma < 0 || comma > bar ? bar : comma
    each(at, end)
    at = end + 1
  }
}

describe('a message is found by its id', () => {
  it('in its queue, with where it lies, and nowhere else', async () => {
    const [receipt] = await send('tag', 'here')
    await sendMany(50)
    const found = (await find(receipt!.messageId))!
    expect(found.status).toEqual({ state: 'stored' })
    expect(found.message).toMatchObject({ queueId: receipt!.queueId, offset: receipt!.offset, tag: 'tag' })
    expect(text(found.message as never)).toBe('here')
    expect(await find('none')).toBeNull()
    expect(await find(receipt!.messageId, { topic: 'other' })).toBeNull()
    expect(await find(receipt!.messageId, { fromMs: clock.now() + 1 })).toBeNull()
    await broker.administration.ensureTopics([topicSpec('other')])
    expect(await find(receipt!.messageId, { topic: 'other' })).toBeNull()
  })

  it('whatever other topics have messages of that id, and however many', async () => {
    await broker.administration.ensureTopics([topicSpec('other')])
    const same = (topic: string, count: number) =>
      broker.producing.send({
        topic,
        messages: Array.from({ length: count }, () => ({ ...message(null, 'body'), messageId: 'same' })),
      })
    await same('other', 600)
    await same('topic', 1)
    expect(await find('same')).toMatchObject({ status: { state: 'stored' } })
    expect(await find('same', { topic: 'other' })).toMatchObject({ status: { state: 'stored' } })
    await restart()
    expect(await find('same')).toMatchObject({ status: { state: 'stored' } })
  })

  it('after restarts and merges, and not when retention took it', async () => {
    const place = { lookupTableEntries: 16, segmentBytes: 65_536 }
    await restart(place)
    const receipts = await sendMany(300)
    await restart(place)
    receipts.push(...(await sendMany(300)))
    for (const { messageId, offset } of receipts) expect((await find(messageId))?.message.offset).toBe(offset)
    await clock.advance(100 * HOUR)
    expect(await find(receipts[0]!.messageId)).toBeNull()
    await settle(100)
    expect((await files()).filter(isRunFileName).length).toBeLessThan(8)
  })

  it('after a kill', async () => {
    await restart({ lookupTableEntries: 16 })
    const receipts = await sendMany(300)
    await settle(100)
    await restart({ killed: true, lookupTableEntries: 16 })
    for (const { messageId, offset } of receipts) expect((await find(messageId))?.message.offset).toBe(offset)
  })

  it('in a home that has no index yet, and in one whose index is damaged', async () => {
    const [receipt] = await send('tag', 'old')
    await sendMany(100)
    await broker.close()
    for (const name of (await files()).filter(isRunFileName)) await disk.unlink(`/instance/${name}`)
    await open()
    expect((await find(receipt!.messageId))?.status.state).toBe('stored')
    await send()
    await broker.close()
    for (const name of (await files()).filter(isRunFileName)) {
      const bytes = Buffer.from(disk.contentOf(`/instance/${name}`)!)
      bytes[4100]! ^= 1
      disk.plant(`/instance/${name}`, bytes)
    }
    await open()
    expect((await find(receipt!.messageId))?.status.state).toBe('stored')
  })

  it('while it waits for its time, when it was taken back, and when its time came', async () => {
    const wait = (inMs: number) =>
      broker.producing.send({
        topic: 'topic',
        messages: [{ ...message('tag', 'later'), deliverAtMs: clock.now() + inMs }],
      })
    const [stays] = await wait(60 * SECOND)
    const [recalled] = await wait(60 * SECOND)
    const dueMs = clock.now() + 60 * SECOND
    expect(await find(stays!.messageId)).toMatchObject({
      status: { state: 'waiting', dueMs },
      message: { messageId: stays!.messageId },
      storedFirstMs: clock.now(),
      dueMs,
    })
    await clock.advance(10 * SECOND)
    await broker.producing.recall({ topic: 'topic', handle: recalled!.recallHandle! })
    for (const killed of [false, true]) {
      expect((await find(recalled!.messageId))?.status).toEqual({ state: 'recalled', at: dueMs - 50 * SECOND })
      expect((await find(stays!.messageId))?.status.state).toBe('waiting')
      await restart({ killed })
    }
    await clock.advance(60 * SECOND)
    expect(await find(stays!.messageId)).toMatchObject({
      status: { state: 'stored' },
      message: { storeTimeMs: dueMs },
      storedFirstMs: dueMs - 60 * SECOND,
    })
  })

  it('while its transaction is open, and when that was committed or rolled back', async () => {
    const half = async () =>
      (
        await broker.producing.send({
          topic: 'topic',
          messages: [{ ...message('tag', 'half'), transactional: true }],
          clientId: 'producer',
        })
      )[0]!
    const [open, committed, rolledBack] = [await half(), await half(), await half()]
    const end = ({ transactionId }: typeof open, resolution: 'commit' | 'rollback') =>
      broker.transactions.end({ topic: 'topic', transactionId: transactionId!, resolution })
    await clock.advance(SECOND)
    await end(committed, 'commit')
    await end(rolledBack, 'rollback')
    const at = clock.now()
    for (const killed of [false, true]) {
      const { transactionId } = open
      expect(await find(open.messageId)).toMatchObject({ status: { state: 'undecided', checks: 0 }, transactionId })
      expect(await find(committed.messageId)).toMatchObject({
        status: { state: 'stored' },
        transactionId: committed.transactionId,
        storedFirstMs: at - SECOND,
      })
      expect((await find(rolledBack.messageId))?.status).toEqual({ state: 'rolled-back', at })
      await restart({ killed })
    }
  })
})

describe('messages are found by a key', () => {
  const keyed = (key: string | null, changes: object = {}) =>
    broker.inspection.browse({ ...all, key, after: null, skip: 0, limit: 10, ...changes })
  const bodies = (page: Awaited<ReturnType<typeof keyed>>) => page!.messages.map((one) => text(one as never))

  it('in order, page by page, within a time, and whatever other messages there are', async () => {
    await restart({ keysIn, lookupTableEntries: 16 })
    for (let i = 0; i < 25; i++) {
      await send('tag', `order-${i % 2},every|${i}`)
      await sendMany(10)
      await clock.advance(SECOND)
    }
    const from = clock.now() - 25 * SECOND
    const first = await keyed('every')
    expect(first).toMatchObject({ total: 11 })
    const second = await keyed('every', { after: first!.next })
    const third = await keyed('every', { after: second!.next })
    expect([...bodies(first), ...bodies(second), ...bodies(third)].map((body) => body.split('|')[1])).toEqual(
      Array.from({ length: 25 }, (_, i) => String(i)),
    )
    expect(third!.next).toBeNull()
    expect(bodies(await keyed('order-1', { skip: 10 }))).toEqual(['order-1,every|21', 'order-1,every|23'])
    expect(bodies(await keyed('every', { fromMs: from + 5 * SECOND, untilMs: from + 6 * SECOND }))).toEqual([
      'order-1,every|5',
      'order-0,every|6',
    ])
    expect(await keyed('order-9')).toEqual({ messages: [], total: 0, next: null })
    await restart({ killed: true, keysIn, lookupTableEntries: 16 })
    expect(bodies(await keyed('every', { skip: 24 }))).toEqual(['order-0,every|24'])
  })
})

describe('the history of a message', () => {
  it('says who got it and when, who gave it another time, and who acknowledged it', async () => {
    start = clock.now()
    const [{ messageId }] = (await send()) as unknown as [{ messageId: string }]
    const [first] = await receive()
    await clock.advance(2 * SECOND)
    await change(first!, 5 * SECOND)
    await clock.advance(5 * SECOND)
    const [second] = await receive()
    await sendMany(500)
    await clock.advance(3 * SECOND)
    await ack(second!)
    const expected = [
      ['delivered', 'group', 0],
      ['deadline', 'group', 2 * SECOND],
      ['delivered', 'group', 7 * SECOND],
      ['acknowledged', 'group', 10 * SECOND],
    ]
    expect(await historyOf(messageId)).toEqual(expected)
    await restart({ killed: true })
    expect(await historyOf(messageId)).toEqual(expected)
  })

  it.each(['runs out of retries', 'is forwarded by its client'])(
    'of one that %s says so, and names no acknowledgement',
    async (how) => {
      await ensureGroup({ maxRetryTimes: how === 'runs out of retries' ? 1 : 16 })
      start = clock.now()
      const [{ messageId }] = (await send()) as unknown as [{ messageId: string }]
      const [delivery] = await receive()
      if (how === 'runs out of retries') {
        await clock.advance(30 * SECOND)
        await receive()
        await clock.advance(30 * SECOND)
      } else await forward(delivery!)
      const history = await broker.inspection.historyOf('topic', (await find(messageId))!)
      expect(history.map(({ what }) => what)).toEqual(
        how === 'runs out of retries' ? ['delivered', 'delivered', 'dead-letter'] : ['delivered', 'dead-letter'],
      )
      expect(history.at(-1)).toMatchObject({ group: 'group', topic: '%DLQ%group' })
    },
  )

  it('of a dead letter that uses up its retries again says so, and names no acknowledgement', async () => {
    await ensureGroup({ maxRetryTimes: 1 })
    const [{ messageId }] = (await send()) as unknown as [{ messageId: string }]
    await forward((await receive())[0]!)
    const deadLetters = '%DLQ%group'
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(await receive({ topic: deadLetters })).toHaveLength(1)
      await clock.advance(30 * SECOND)
    }
    const history = await broker.inspection.historyOf(
      deadLetters,
      (await broker.inspection.findMessage({ ...all, topic: deadLetters, messageId }))!,
    )
    expect(history).toMatchObject([
      { what: 'delivered', userName: null },
      { what: 'delivered' },
      { what: 'passed-over', group: 'group', reason: 'retries-used-up' },
    ])
  })

  it('names the account it was delivered to, and a redelivery that the filter passed over', async () => {
    const [{ messageId }] = (await send()) as unknown as [{ messageId: string }]
    await receive({ userName: 'alice' })
    await clock.advance(30 * SECOND)
    await receive({ filter: new Set(['another']), waitMs: 0 })
    const expected = [
      { what: 'delivered', userName: 'alice' },
      { what: 'passed-over', group: 'group', reason: 'filtered' },
    ]
    for (const killed of [false, true]) {
      expect(await broker.inspection.historyOf('topic', (await find(messageId))!)).toMatchObject(expected)
      await restart({ killed })
    }
  })

  it('of another message of the same place in the log is another one', async () => {
    const receipts = await sendMany(64)
    const deliveries = await receive({ max: 64 })
    for (const delivery of deliveries) if (delivery.offset % 2 === 0) await ack(delivery)
    for (const { messageId, offset } of receipts) {
      start = clock.now()
      const says = (await historyOf(messageId)).map(([what]) => what)
      expect(says).toEqual(offset % 2 === 0 ? ['delivered', 'acknowledged'] : ['delivered'])
    }
  })
})
