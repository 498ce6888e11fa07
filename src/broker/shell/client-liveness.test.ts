/** Auto-renewed deliveries follow the liveness of their client. */
import { describe, expect, it } from 'vitest'
import { limits } from '../core/limits.ts'
import {
  ack,
  broker,
  clock,
  ensureGroup,
  HOUR,
  hearFor,
  MINUTE,
  receive,
  restart,
  send,
  sendMany,
  useBroker,
} from './test-broker.ts'

useBroker()

describe('auto renewal', () => {
  const renewing = { autoRenew: true, invisibleMs: 0 }

  it('keeps a delivery invisible while its client is heard, under the first handle', async () => {
    await send()
    const [delivery] = await receive(renewing)
    expect(delivery!.invisibleMs).toBe(60_000)
    await hearFor(2 * HOUR)
    expect(await receive({ clientId: 'other' })).toEqual([])
    expect(await ack(delivery!)).toBe('done')
  })

  it('ends when the client falls silent', async () => {
    await send()
    await receive(renewing)
    await hearFor(10 * MINUTE)
    await clock.advance(limits.ownerSilenceMs + 60_000)
    expect((await receive({ clientId: 'other' }))[0]!.attempt).toBe(2)
  })

  it('ends one second after the client is gone, for what it held and for nothing else', async () => {
    await sendMany(2)
    await receive({ ...renewing, max: 1 })
    await receive({ ...renewing, max: 1, clientId: 'other' })
    broker.consuming.clientGone('client')
    await clock.advance(999)
    expect(await receive()).toEqual([])
    await clock.advance(1)
    expect(await receive()).toHaveLength(1)
  })

  it('is given up after three hours, and the message comes again after the group pause', async () => {
    await ensureGroup({ retry: { kind: 'fixed', intervalSeconds: 7 } })
    await send()
    await receive(renewing)
    await hearFor(3 * HOUR - MINUTE)
    expect(await receive({ clientId: 'other' })).toEqual([])
    await hearFor(MINUTE)
    await clock.advance(6_999)
    expect(await receive({ clientId: 'other' })).toEqual([])
    await clock.advance(1)
    expect(await receive({ clientId: 'other' })).toHaveLength(1)
  })

  it('goes on after a restart: the owner has a fresh minute to be heard in', async () => {
    await sendMany(2)
    const held = await receive(renewing)
    await hearFor(10 * MINUTE)
    await restart()
    await clock.advance(59_999)
    expect(await receive({ clientId: 'other' })).toEqual([])
    expect(await ack(held[0]!)).toBe('done')
    await hearFor(5 * MINUTE)
    expect(await receive({ clientId: 'other' })).toEqual([])
    expect(await ack(held[1]!)).toBe('done')
  })
})
