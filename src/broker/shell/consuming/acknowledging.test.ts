/** Acknowledgements and nacks, in time and too late. */
import { describe, expect, it } from 'vitest'
import {
  ack,
  broker,
  change,
  clock,
  disk,
  ensureGroup,
  gate,
  HOUR,
  hearFor,
  open,
  receive,
  restart,
  returnAll,
  send,
  sendMany,
  settings,
  settled,
  text,
  useBroker,
} from '../test-broker.ts'

useBroker()

describe('a delivery that is not acknowledged in time', () => {
  it('comes again with the next attempt, before fresh messages, and its old handle is expired', async () => {
    await send('tag', 'first')
    const [first] = await receive()
    await clock.advance(30_000)
    await sendMany(3)
    const [again] = await receive({ max: 1 })
    expect({ payload: text(again!), attempt: again!.attempt }).toEqual({ payload: 'first', attempt: 2 })
    expect(again!.handle).not.toBe(first!.handle)
    expect(await ack(first!)).toBe('expired')
    expect(await ack(again!)).toBe('done')
    expect(await ack(first!)).toBe('done')
  })

  it('is expired at its deadline even when nobody has got it since', async () => {
    await send()
    const [delivery] = await receive()
    await clock.advance(29_999)
    expect(broker.inspection.usage().inflight).toBe(1)
    await clock.advance(1)
    expect(await ack(delivery!)).toBe('expired')
  })

  it('wakes a waiting receive at that moment', async () => {
    await send()
    await receive({ invisibleMs: 10_000 })
    const waiting = receive({ waitMs: 20_000 })
    await clock.advance(9_999)
    expect(await settled(waiting)).toBe(false)
    await clock.advance(1)
    expect((await waiting)[0]!.attempt).toBe(2)
  })
})

describe('changing the invisible time', () => {
  it('keeps the delivery: the old and the new handle name it', async () => {
    await sendMany(2)
    const [one, two] = await receive()
    const changed = await change(one!, 50_000)
    await change(two!, 50_000)
    await clock.advance(40_000)
    expect(changed.outcome).toBe('done')
    expect(await ack({ ...one!, handle: changed.handle })).toBe('done')
    expect(await ack(two!)).toBe('done')
  })

  it('is how a consumer says "again, after a pause"', async () => {
    await send()
    const [delivery] = await receive()
    await change(delivery!, 5_000)
    await clock.advance(4_999)
    expect(await receive()).toEqual([])
    await clock.advance(1)
    expect(await ack(delivery!)).toBe('expired')
    expect((await receive())[0]!.attempt).toBe(2)
  })

  it('to nothing makes the message visible at once', async () => {
    await send()
    const [delivery] = await receive()
    await change(delivery!, 0)
    await clock.advance(0)
    expect(await receive()).toHaveLength(1)
  })

  it.each([
    ['a later delivery', 30_000],
    ['a delivery past its deadline', 30_000],
  ])('by the handle of an earlier one does not touch %s', async (_, passed) => {
    await send()
    const [delivery] = await receive()
    await clock.advance(passed)
    await receive()
    expect((await change(delivery!, HOUR)).outcome).toBe('expired')
    await clock.advance(30_000)
    expect((await receive())[0]!.attempt).toBe(3)
  })

  it.each(['', 'nonsense', 'g1.99.0.0.1.1', 'g1.1.0.99.1.1', 'g1.1.9.0.1.1'])(
    'handle %j is expired',
    async (handle) => {
      const request = { group: 'group', topic: 'topic', clientId: 'client' }
      expect(await broker.consuming.changeInvisible({ ...request, handle, invisibleMs: 1 })).toMatchObject({
        outcome: 'expired',
      })
      expect(await broker.consuming.ack({ ...request, handles: [handle] })).toEqual([{ outcome: 'expired' }])
    },
  )
})

describe('a delivery that is returned because no client was sent it', () => {
  const seen = async () => (await receive()).map((delivery) => `${text(delivery)}:${delivery.attempt}`)

  it.each([false, true])('comes again after the delay and counts as none, auto-renewed: %s', async (autoRenew) => {
    await send('tag', 'first')
    await ensureGroup({ generation: 2, maxRetryTimes: 1 })
    for (let round = 0; round < 5; round++) {
      const [delivery] = await receive({ autoRenew })
      expect([text(delivery!), delivery!.attempt]).toEqual(['first', 1])
      expect(await returnAll([delivery!], 1_000)).toBe(true)
      await clock.advance(999)
      expect(await receive()).toEqual([])
      await clock.advance(1)
    }
    expect(await seen()).toEqual(['first:1'])
    await clock.advance(30_000)
    expect(await seen()).toEqual(['first:2'])
  })

  it('is durable when it was answered', async () => {
    await sendMany(2)
    const deliveries = await receive()
    await returnAll(deliveries, 1_000)
    await restart({ killed: true })
    await clock.advance(1_000)
    expect(await seen()).toEqual(['body:1', 'body:1'])
  })

  it('is returned also after its time, unless somebody got it since or it was acknowledged', async () => {
    await sendMany(3)
    const [late, other, done] = await receive()
    await ack(done!)
    await clock.advance(30_000)
    const [again] = await receive({ max: 1 })
    expect(again!.offset).toBe(late!.offset)
    expect(await returnAll([late!, other!, other!, done!], 0)).toBe(true)
    await clock.advance(0)
    expect(await seen()).toEqual(['body:1'])
    expect(await ack(again!)).toBe('done')
  })

  it('is taken back from the way to the dead letters', async () => {
    await send()
    await ensureGroup({ generation: 2, maxRetryTimes: 0 })
    const deliveries = await receive()
    const reading = gate()
    reading.close()
    const { read } = broker.log
    broker.log.read = async (position) => {
      await reading.passed()
      return read.call(broker.log, position)
    }
    await clock.advance(30_000)
    const subscription = broker.state.topics.get('topic')!.subscriptions.get('group')!
    expect(subscription.exhausted.first?.phase).toBe('exhausted')
    await returnAll(deliveries, 0)
    reading.open()
    await clock.advance(0)
    expect(broker.metadata.topic('%DLQ%group')).toBeNull()
    expect(await seen()).toEqual(['body:1'])
  })

  it('counts when nothing may be written, and comes again at the end of its time', async () => {
    await send()
    const deliveries = await receive({ autoRenew: true })
    broker.administration.configure({ ...settings, writePause: 'the disk is full' })
    expect(await returnAll(deliveries, 1_000)).toBe(false)
    broker.administration.configure(settings)
    await hearFor(60_000)
    expect(await seen()).toEqual(['body:2'])
  })

  it('is of the group and topic that are named', async () => {
    await send()
    const deliveries = await receive()
    expect(await returnAll(deliveries, 0, { group: 'other' })).toBe(true)
    await clock.advance(0)
    expect(await seen()).toEqual([])
    expect(await ack(deliveries[0]!)).toBe('done')
  })
})

describe('a handle', () => {
  const request = { group: 'group', topic: 'topic', clientId: 'client' }
  const parts = (handle: string) => handle.split('.')
  const ackHandle = async (handle: string) =>
    (await broker.consuming.ack({ ...request, handles: [handle] }))[0]!.outcome

  it('that was made up from another one acknowledges, prolongs and moves nothing', async () => {
    await sendMany(2)
    const [held, other] = await receive()
    const made = parts(held!.handle)
    // The other delivery's place, under the same attempt and session.
    made[2] = parts(other!.handle)[2]!
    made[3] = parts(other!.handle)[3]!
    const forged = made.join('.')
    expect(await ackHandle(forged)).toBe('expired')
    expect((await broker.consuming.changeInvisible({ ...request, handle: forged, invisibleMs: HOUR })).outcome).toBe(
      'expired',
    )
    await broker.consuming.forwardToDeadLetter({ ...request, handle: forged, messageId: '' })
    // Without a MAC, as an earlier program wrote it.
    expect(await ackHandle(`g1.${parts(other!.handle).slice(1, 6).join('.')}`)).toBe('expired')
    await clock.advance(30_000)
    expect((await receive()).map(({ attempt }) => attempt)).toEqual([2, 2])
  })

  it('is good for the client that was given it, and for no other group, topic or client', async () => {
    await send()
    const [delivery] = await receive()
    const { handle } = delivery!
    expect(await broker.consuming.ack({ ...request, group: 'another', handles: [handle] })).toEqual([
      { outcome: 'expired' },
    ])
    expect(await broker.consuming.ack({ ...request, topic: 'another', handles: [handle] })).toEqual([
      { outcome: 'expired' },
    ])
    const another = { ...request, clientId: 'another' }
    expect(await broker.consuming.ack({ ...another, handles: [handle] })).toEqual([{ outcome: 'expired' }])
    expect(await broker.consuming.changeInvisible({ ...another, handle, invisibleMs: 0 })).toMatchObject({
      outcome: 'expired',
    })
    await broker.consuming.forwardToDeadLetter({ ...another, handle, messageId: delivery!.messageId })
    expect(await broker.consuming.ack({ ...request, handles: [handle] })).toEqual([{ outcome: 'done' }])
    expect(broker.metadata.topic('%DLQ%group')).toBeNull()
  })

  it('is good after a restart; with another key it is not, and the message comes again', async () => {
    await sendMany(2)
    const [one, two] = await receive()
    await restart()
    expect(await ack(one!)).toBe('done')
    await broker.close()
    await disk.unlink('/instance/handle.key')
    await open()
    expect(await ack(two!)).toBe('expired')
    await clock.advance(30_000)
    expect((await receive()).map(({ attempt }) => attempt)).toEqual([2])
  })

  it.each(['lost', 'damaged'])('without a MAC is good for nothing when the key is %s', async (how) => {
    await send()
    const [delivery] = await receive()
    const unsigned = `g1.${parts(delivery!.handle).slice(1, 6).join('.')}`
    await broker.close()
    if (how === 'lost') await disk.unlink('/instance/handle.key')
    else disk.plant('/instance/handle.key', new Uint8Array(15))
    await open()
    expect(await ackHandle(unsigned)).toBe('expired')
    await clock.advance(30_000)
    expect((await receive()).map(({ attempt }) => attempt)).toEqual([2])
  })
})
