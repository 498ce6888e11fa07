/**
 * Receives: the order in which waiting receives are served, and the effect of a filter, the memory limit and a
 * damaged record.
 */
import { describe, expect, it, vi } from 'vitest'
import { assert } from '../../../model/assert.ts'
import { settle } from '../../../world/simulated.ts'
import { tagHash } from '../../core/filters/filter.ts'
import { limits } from '../../core/limits.ts'
import { encodeState } from '../../core/snapshot.ts'
import {
  ack,
  anyIndex,
  broker,
  changeSettings,
  clock,
  damage,
  disk,
  ensureGroup,
  HOUR,
  hearFor,
  MINUTE,
  message,
  receive,
  reported,
  restart,
  send,
  sendMany,
  settings,
  settled,
  text,
  topicSpec,
  useBroker,
  want,
} from '../test-broker.ts'

useBroker()

describe('a delivery to a receive that waits', () => {
  it('becomes durable with the message, by one sync', async () => {
    await send()
    expect(await receive()).toHaveLength(1)
    const waiting = receive({ waitMs: 20_000 })
    const before = disk.calls.get('datasync') ?? 0
    await send()
    expect(await waiting).toHaveLength(1)
    expect(disk.calls.get('datasync')).toBe(before + 1)
  })
})

describe('an offer of new messages', () => {
  const offered = async () => {
    await broker.administration.ensureTopics([topicSpec('another')])
    await receive({ topic: 'another' })
    const waiting = [receive({ waitMs: 20_000 }), receive({ topic: 'another', waitMs: 20_000 })]
    for (const one of waiting) one.catch(() => {})
    await settle()
    return waiting
  }
  const sendToBoth = () =>
    Promise.all([send(), broker.producing.send({ topic: 'another', messages: [message('tag', 'body')] })])

  it('that fails for one topic is made for the others', async () => {
    const [, another] = await offered()
    vi.spyOn(await anyIndex(), 'lookup').mockImplementationOnce(() => {
      throw new Error('a fault')
    })
    await sendToBoth()
    expect(await another).toHaveLength(1)
    expect(reported.splice(0)).toEqual([new Error('a fault')])
  })

  it('that meets a broken invariant stops the instance', async () => {
    await offered()
    vi.spyOn(await anyIndex(), 'lookup').mockImplementationOnce(() => assert(false, 'nothing is left out') as never)
    await expect(Promise.all([sendToBoth(), settle()])).resolves.toBeDefined()
    await expect(send()).rejects.toThrow('nothing is left out')
    expect(reported.splice(0)).toHaveLength(1)
  })

  it('writes no message: that would be offered to nobody', async () => {
    const [first] = await offered()
    let refused: Promise<unknown> | undefined
    vi.spyOn(await anyIndex(), 'lookup').mockImplementationOnce(() => {
      refused = expect(send()).rejects.toThrow('no message is written while messages are offered')
      throw new Error('it was refused')
    })
    await send().catch(() => {})
    await refused
    await expect(first).rejects.toThrow('cannot be relied on')
    await expect(send()).rejects.toThrow('cannot be relied on')
    expect(reported.splice(0).length).toBeGreaterThan(0)
  })
})

describe('a delivery that reached nobody while the disk takes nothing', () => {
  it.each([false, true])('comes again at the end of its time, though its owner lives; orderly: %s', async (orderly) => {
    await ensureGroup({ orderly })
    const gone = new AbortController()
    const waiting = broker.consuming.receive(want({ waitMs: 20_000, autoRenew: true }), gone.signal)
    const reading = vi.spyOn(broker.log, 'readMany').mockImplementationOnce(async (positions) => {
      const records = await Promise.all(positions.map((position) => broker.log.read(position)))
      changeSettings({ writePause: 'the disk is almost full' })
      broker.administration.configure(settings)
      gone.abort()
      return records
    })
    await send()
    expect(await waiting).toEqual([])
    reading.mockRestore()
    changeSettings({ writePause: null })
    broker.administration.configure(settings)
    await hearFor(2 * MINUTE)
    expect(await receive()).toHaveLength(1)
  })
})

describe('a tag filter', () => {
  it('passes over what it does not match, for the whole group', async () => {
    await sendMany(2_500, 'no')
    await send('yes')
    await sendMany(2_500, 'no')
    const found = await receive({ filter: new Set(['yes']), max: 32 })
    expect(found.map((delivery) => delivery.messageId)).toEqual(['M02500'])
    expect(await receive()).toEqual([])
  })

  it('tells tags apart that share a hash', async () => {
    expect(tagHash('tag36vu')).toBe(tagHash('tagayea'))
    await sendMany(3, 'tagayea')
    const waiting = receive({ filter: new Set(['tag36vu']), waitMs: 20_000 })
    expect(await settled(waiting)).toBe(false)
    await send('tag36vu', 'wanted')
    expect((await waiting).map(text)).toEqual(['wanted'])
    await clock.advance(HOUR)
    expect((await receive({ filter: new Set(['tagayea']) })).length).toBe(0)
  })

  it('does not match a message without a tag', async () => {
    await send(null)
    expect(await receive({ filter: new Set(['']) })).toEqual([])
  })

  it('leaves a waiting receive waiting', async () => {
    const waiting = receive({ filter: new Set(['yes']), waitMs: 20_000 })
    await sendMany(20, 'no')
    expect(await settled(waiting)).toBe(false)
    await send('yes')
    expect(await waiting).toHaveLength(1)
  })
})

describe('waiting receives', () => {
  it('are served in order, one for one', async () => {
    const order: string[] = []
    const waiting = ['a', 'b', 'c'].map(async (clientId) => {
      await receive({ clientId, max: 1, waitMs: 20_000 })
      order.push(clientId)
    })
    for (let sent = 0; sent < 3; sent++) {
      await send()
      await settle()
    }
    await Promise.all(waiting)
    expect(order).toEqual(['a', 'b', 'c'])
  })

  it('end with nothing at their time', async () => {
    const waiting = receive({ waitMs: 5_000 })
    await clock.advance(4_999)
    expect(await settled(waiting)).toBe(false)
    await clock.advance(1)
    expect(await waiting).toEqual([])
  })

  it('end with nothing when their client hangs up, and take nothing with them', async () => {
    const hangUp = new AbortController()
    const waiting = broker.consuming.receive(want({ waitMs: 20_000 }), hangUp.signal)
    await settle()
    hangUp.abort()
    expect(await waiting).toEqual([])
    await send()
    expect(await receive()).toHaveLength(1)
  })

  it('are refused beyond the limit of their group', async () => {
    const waiting = Array.from({ length: limits.waitersPerSubscription }, () => receive({ waitMs: 1_000 }))
    await expect(receive({ waitMs: 1_000 })).rejects.toMatchObject({ code: 42900, message: /^polling full/ })
    await clock.advance(1_000)
    expect((await Promise.all(waiting)).flat()).toEqual([])
  })

  it('end when the broker closes', async () => {
    const waiting = receive({ waitMs: 20_000 })
    await settle()
    await broker.close()
    expect(await waiting).toEqual([])
  })
})

describe('memory', () => {
  it('holds sixteen megabytes of a receive at a time; what did not fit comes next, as returned', async () => {
    const body = 'x'.repeat(4 * 2 ** 20 - 100)
    for (let sent = 0; sent < 10; sent++) await send('tag', body)
    const [first, second] = [await receive(), await receive()]
    expect([first.length, second.length]).toEqual([4, 4])
    await clock.advance(0)
    const third = await receive()
    expect([...first, ...second, ...third].map(({ messageId }) => messageId).sort()).toEqual(
      Array.from({ length: 10 }, (_, i) => `M0000${i}`),
    )
    expect(new Set([...first, ...second, ...third].map(({ attempt }) => attempt))).toEqual(new Set([1]))
  })
})

describe('a record that cannot be read', () => {
  it('is tried again later, and the receive says why; the others are given', async () => {
    await sendMany(2)
    await restart()
    disk.inject({ operation: 'read', error: 'EIO', times: 2 })
    await expect(receive()).rejects.toMatchObject({ code: 50001 })
    expect(reported.splice(0)).toHaveLength(1)
    expect((await receive()).map(({ messageId, attempt }) => [messageId, attempt])).toEqual([['M00001', 1]])
    await clock.advance(limits.unreadableRetryMs)
    expect((await receive()).map(({ messageId, attempt }) => [messageId, attempt])).toContainEqual(['M00000', 2])
  })

  it.each([false, true])(
    'because it is damaged takes no other with it to the dead letters (orderly: %s)',
    async (orderly) => {
      await ensureGroup({ orderly, maxRetryTimes: 1 })
      for (const body of ['first', 'second', 'damaged', 'fourth']) await send('tag', body)
      await damage('damaged')
      const seen = new Set<string>()
      for (let round = 0; round < 20; round++) {
        for (const delivery of await receive().catch(() => [])) {
          seen.add(text(delivery))
          await ack(delivery)
        }
        await clock.advance(limits.unreadableRetryMs / 4)
      }
      expect([...seen].sort()).toEqual(['first', 'fourth', 'second'])
      expect(await receive({ topic: '%DLQ%group', group: 'auditor' }).catch(() => [])).toEqual([])
      expect(reported.splice(0).length).toBeGreaterThan(0)
    },
  )

  it('because it is damaged holds up an orderly queue until its retries are used up, and no longer', async () => {
    await ensureGroup({ orderly: true, maxRetryTimes: 1 })
    for (const body of ['damaged', 'second']) {
      const messageGroup = 'one'
      await broker.producing.send({ topic: 'topic', messages: [{ ...message('tag', body), messageGroup }] })
    }
    await damage('damaged')
    for (let tries = 0; tries < 2; tries++) {
      await expect(receive()).rejects.toMatchObject({ code: 50001 })
      expect(await receive()).toEqual([])
      await clock.advance(limits.unreadableRetryMs)
    }
    expect((await receive()).map(text)).toEqual(['second'])
    expect(reported.splice(0).map(String)).toEqual(Array(3).fill(expect.stringContaining('damaged')))
  })

  it('and was passed over by a reset meanwhile does not concern the receive: it goes on waiting', async () => {
    await sendMany(2)
    await restart()
    disk.inject({ operation: 'read', error: 'EIO', times: 1_000 })
    const waiting = receive({ waitMs: 20_000 })
    await broker.offsets.reset({ consumerGroupId: 'group', topicName: 'topic', resetId: 'r', toMs: null })
    disk.healFaults()
    await send('tag', 'next')
    expect((await waiting).map(text)).toEqual(['next'])
  })

  it('because it is damaged is missing among the messages shown, and is reported', async () => {
    for (const body of ['body 0', 'body 1', 'body 2']) await send('tag', body)
    await damage('body 1')
    const page = await broker.inspection.browse({
      topic: 'topic',
      fromMs: 0,
      untilMs: 2 ** 50,
      after: null,
      skip: 0,
      limit: 10,
    })
    expect([page!.total, page!.messages.map(({ payload }) => String(Buffer.from(payload)))]).toEqual([
      3,
      ['body 0', 'body 2'],
    ])
    expect(reported.splice(0)).toHaveLength(1)
  })

  it('is told to a pull by the same refusal', async () => {
    const [{ queueId } = { queueId: 0 }] = await send()
    await restart()
    disk.inject({ operation: 'read', error: 'EIO', times: 1 })
    const request = { group: 'group', topic: 'topic', queueId, offset: 0, filter: null, max: 1, waitMs: 0 }
    const pull = () => broker.offsets.pull(request, new AbortController().signal)
    await expect(pull()).rejects.toMatchObject({ code: 50001, message: /EIO/ })
    expect((await pull()).deliveries).toHaveLength(1)
  })

  it('goes to the dead letters later, and a kill meanwhile changes nothing', async () => {
    await ensureGroup({ maxRetryTimes: 0 })
    await send()
    expect(await receive({ autoRenew: true })).toHaveLength(1)
    await restart()
    disk.inject({ operation: 'read', error: 'EIO', times: 1 })
    await clock.advance(MINUTE)
    expect(reported.splice(0)).toHaveLength(1)
    const live = encodeState(broker.state)
    await restart({ killed: true })
    expect(encodeState(broker.state)).toEqual(live)
    await clock.advance(limits.unreadableRetryMs)
    expect(await receive({ topic: '%DLQ%group' })).toHaveLength(1)
  })
})
