/** Every purchased limit, and that a refusal names it. */
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../broker.ts'
import { limits } from '../core/limits.ts'
import {
  ack,
  broker,
  clock,
  ensureGroup,
  forward,
  HOUR,
  receive,
  SECOND,
  send,
  sendMany,
  settings,
  settled,
  topicSpec,
  useBroker,
} from './test-broker.ts'

useBroker()

describe('limits', () => {
  it('the instance takes its messages a second and says so', async () => {
    broker.administration.configure({ ...settings, sendTps: 10 })
    await clock.advance(SECOND)
    await sendMany(10)
    await expect(send()).rejects.toMatchObject({ code: 42900, message: /10 sends a second/ })
    await clock.advance(100)
    await send()
    await expect(send()).rejects.toMatchObject({ code: 42900 })
    broker.administration.configure(settings)
  })

  it('a topic takes its own', async () => {
    await broker.administration.ensureTopics([
      { ...topicSpec('topic'), generation: 2, maxSendTps: 1 },
      topicSpec('free'),
    ])
    await send()
    await expect(send()).rejects.toMatchObject({ code: 42900, message: /maxSendTps/ })
  })

  it('a body counts once for each 4 KiB', async () => {
    broker.administration.configure({ ...settings, sendTps: 8 })
    await clock.advance(SECOND)
    await send('tag', 'x'.repeat(4 * 4_096))
    await send('tag', 'x'.repeat(3 * 4_096 + 1))
    await expect(send()).rejects.toMatchObject({ code: 42900 })
    broker.administration.configure(settings)
  })

  it('a group gets its messages a second: a new receive is refused, a waiting one waits', async () => {
    await ensureGroup({ maxReceiveTps: 5 })
    await sendMany(5)
    const waiting = receive({ waitMs: 20_000, max: 1 })
    expect(await waiting).toHaveLength(1)
    expect(await receive({ max: 4 })).toHaveLength(4)
    await expect(receive()).rejects.toMatchObject({ code: 42900, message: /maxReceiveTps/ })
    await clock.advance(200)
    const [one, two] = [receive({ waitMs: 20_000, max: 1 }), receive({ waitMs: 20_000, max: 1 })]
    await sendMany(2)
    expect(await one).toHaveLength(1)
    expect(await settled(two)).toBe(false)
    await clock.advance(200)
    expect(await two).toHaveLength(1)
  })

  it('at the bound of unacknowledged messages only redeliveries are made', async () => {
    await ensureGroup({ maxRetryTimes: 100 })
    for (let sent = 0; sent < limits.unacknowledgedPerSubscription + 10; sent += 1_000) await sendMany(1_000)
    let held = 0
    let last: Delivery[] = []
    for (;;) {
      const got = await receive({ max: 1_024, invisibleMs: HOUR })
      if (got.length === 0) break
      held += got.length
      last = got.slice(-2)
    }
    expect(held).toBe(limits.unacknowledgedPerSubscription)
    // What is done with makes room for a fresh one, which who waits gets at once.
    for (const end of [ack, forward]) {
      const waiting = receive({ waitMs: 20_000, max: 1 })
      expect(await settled(waiting)).toBe(false)
      await end(last.pop()!)
      expect(await settled(waiting)).toBe(true)
      expect(await waiting).toHaveLength(1)
    }
  })
})
