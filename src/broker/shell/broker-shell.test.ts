/**
 * The broker's promises about a message, from its sending on, on a simulated clock and disk.
 *
 * Each module of the shell has its own tests beside it; random sequences are in test/simulation.
 */
import { describe, expect, it, vi } from 'vitest'
import {
  ack,
  anyIndex,
  broker,
  clock,
  disk,
  HOUR,
  open,
  receive,
  reported,
  send,
  sendMany,
  settings,
  subscribe,
  text,
  useBroker,
} from './test-broker.ts'

useBroker()

describe('a message', () => {
  it('is delivered as it was sent, once, and is gone when acknowledged', async () => {
    const [receipt] = await send('tag', 'hello')
    const [delivery] = await receive()
    expect({ ...delivery, payload: text(delivery!) }).toMatchObject({
      messageId: receipt!.messageId,
      payload: 'hello',
      attempt: 1,
      offset: 0,
      storeTimeMs: receipt!.storeTimeMs,
      invisibleMs: 30_000,
    })
    expect(await receive()).toEqual([])
    expect(await ack(delivery!)).toBe('done')
    await clock.advance(HOUR)
    expect(await receive()).toEqual([])
    expect(broker.inspection.usage()).toMatchObject({ messages: 1, inflight: 0 })
  })

  it('reaches every group', async () => {
    await subscribe({ group: 'other' })
    await send()
    const [[mine], [theirs]] = [await receive(), await receive({ group: 'other' })]
    expect(mine!.messageId).toBe(theirs!.messageId)
    expect(await ack(theirs!, { group: 'group' })).toBe('expired')
    expect(await ack(theirs!, { group: 'other' })).toBe('done')
  })

  it('goes to the queues in turn, each with its own offsets', async () => {
    const receipts = await sendMany(10)
    expect(receipts.map(({ queueId, offset }) => `${queueId}:${offset}`)).toEqual([
      '0:0',
      '1:0',
      '2:0',
      '3:0',
      '4:0',
      '5:0',
      '6:0',
      '7:0',
      '0:1',
      '1:1',
    ])
  })

  it('is seen by nobody before it is durable', async () => {
    const waiting = receive({ waitMs: 20_000 })
    const refused = expect(waiting).rejects.toMatchObject({ code: 50001 })
    disk.inject({ operation: 'datasync', error: 'EIO', times: 1_000 })
    await expect(send()).rejects.toMatchObject({ code: 50001 })
    await refused
    expect(reported.splice(0)).toHaveLength(1)
  })

  it('of an unknown topic is refused by code and name, sent or received', async () => {
    const expected = { code: 40402, message: expect.stringContaining('nowhere') }
    const message = { messageId: 'x', tag: null, payload: new Uint8Array(), bodyBytes: 0 }
    await expect(broker.producing.send({ topic: 'nowhere', messages: [message] })).rejects.toMatchObject(expected)
    await expect(receive({ topic: 'nowhere' })).rejects.toMatchObject(expected)
  })
})

describe('a disk that fails', () => {
  it('stops the broker for good: nothing is promised, nobody hangs, opening again finds what was', async () => {
    await send('tag', 'kept')
    disk.inject({ operation: 'write', error: 'ENOSPC', times: 1_000 })
    const waiting = receive({ topic: 'topic', group: 'new', filter: new Set(['none']), waitMs: 20_000 })
    const refused = expect(waiting).rejects.toMatchObject({ code: 50001 })
    await expect(send('tag', 'lost')).rejects.toMatchObject({ code: 50001, message: /log/ })
    await refused
    disk.healFaults()
    await expect(send()).rejects.toMatchObject({ code: 50001 })
    for (const waitMs of [0, 20_000]) {
      await expect(receive({ waitMs })).rejects.toMatchObject({ code: 50001, message: /log/ })
      const pulling = { group: 'group', topic: 'topic', queueId: 0, offset: 0, filter: null, max: 1, waitMs }
      const pulled = broker.offsets.pull(pulling, new AbortController().signal)
      await expect(pulled).rejects.toMatchObject({ code: 50001, message: /log/ })
    }
    expect(reported).toHaveLength(1)
    await broker.close()
    reported.length = 0
    await open()
    expect((await receive()).map(text)).toEqual(['kept'])
  })
})

describe('a fault of the program in the middle of a change', () => {
  it('stops the broker rather than let it decide by half of one; opening again reads the whole', async () => {
    await send('tag', 'kept')
    const adding = vi.spyOn(await anyIndex(), 'add').mockImplementationOnce(() => {
      throw new RangeError('a fault')
    })
    await expect(send('tag', 'half')).rejects.toMatchObject({ code: 50001, message: /a fault/ })
    adding.mockRestore()
    await expect(send()).rejects.toMatchObject({ code: 50001 })
    expect(reported.splice(0)).toEqual([expect.objectContaining({ name: 'LogError', code: 'failed' })])
    await broker.close()
    await open()
    expect((await receive()).map(text)).toEqual(['kept', 'half'])
  })
})

it('sets no timer when there is nothing to wait for', async () => {
  await sendMany(3)
  const waiting = receive({ waitMs: 1_000 })
  for (const delivery of await waiting) await ack(delivery)
  await clock.advance(HOUR)
  // What is stored has its retention to wait for, and nothing else.
  expect(clock.pending).toBe(1)
  await clock.advance(settings.retentionMs)
  expect(clock.pending).toBe(0)
})
