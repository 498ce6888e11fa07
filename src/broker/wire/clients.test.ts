import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../../world/simulated.ts'
import type { Broker } from '../broker.ts'
import { createClientRegistry } from './clients.ts'

const SECOND = 1_000

/** A registry on a moved clock, with what it told the broker. */
function start() {
  const clock = new SimulatedClock()
  const told: string[] = []
  const broker = {
    clientAlive: () => {},
    clientGone: (clientId: string) => told.push(clientId),
  } as unknown as Broker
  const registry = createClientRegistry(broker, clock)
  const connect = (clientId: string) => {
    registry.streamOpened(clientId)
    registry.register({ clientId, language: 'JAVA', version: '5.2.0', group: 'group', topics: ['topic'] })
  }
  return { clock, told, registry, connect, listed: () => registry.list().map(({ clientId }) => clientId) }
}

describe('the registry of clients', () => {
  it('keeps a client while its stream is open, however silent', async () => {
    const { clock, told, connect, listed } = start()
    connect('a')
    await clock.advance(24 * 3600 * SECOND)
    expect([listed(), told]).toEqual([['a'], []])
    expect(clock.pending).toBe(0)
  })

  it('gives one up 35 seconds after its last stream closed', async () => {
    const { clock, told, registry, connect, listed } = start()
    connect('a')
    registry.streamOpened('a')
    registry.streamClosed('a')
    await clock.advance(60 * SECOND)
    expect(told).toEqual([])
    registry.streamClosed('a')
    await clock.advance(34_999)
    expect([listed(), told]).toEqual([['a'], []])
    await clock.advance(1)
    expect([listed(), told]).toEqual([[], ['a']])
  })

  it('waits for one that goes on calling without a stream, and still notices when it falls silent', async () => {
    const { clock, told, registry, connect, listed } = start()
    connect('a')
    registry.streamClosed('a')
    for (let heartbeats = 0; heartbeats < 20; heartbeats++) {
      await clock.advance(30 * SECOND)
      registry.alive('a')
      expect(clock.pending).toBe(1)
    }
    expect([listed(), told]).toEqual([['a'], []])
    await clock.advance(35 * SECOND)
    expect([listed(), told]).toEqual([[], ['a']])
    expect(clock.pending).toBe(0)
  })

  it('forgives one that opens its stream again', async () => {
    const { clock, told, registry, connect, listed } = start()
    connect('a')
    registry.streamClosed('a')
    await clock.advance(30 * SECOND)
    registry.streamOpened('a')
    await clock.advance(3600 * SECOND)
    expect([listed(), told]).toEqual([['a'], []])
  })

  it('forgets one that says goodbye at once, and only once', async () => {
    const { clock, told, registry, connect, listed } = start()
    connect('a')
    registry.terminated('a')
    registry.streamClosed('a')
    await clock.advance(3600 * SECOND)
    expect([listed(), told]).toEqual([[], ['a']])
  })

  it('holds no timer after it is closed, and has none for a stream that never said who it is', async () => {
    const { clock, told, registry, connect } = start()
    registry.streamOpened('stranger')
    registry.streamClosed('stranger')
    expect(clock.pending).toBe(0)
    connect('a')
    registry.streamClosed('a')
    registry.close()
    await clock.advance(3600 * SECOND)
    expect([told, clock.pending]).toEqual([[], 0])
  })
})
