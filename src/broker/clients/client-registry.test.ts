import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../../world/simulated.ts'
import { ClientRegistry } from './client-registry.ts'
import type { ClientCommand, ClientStream } from './client-streams.ts'

const SECOND = 1_000

/** A registry on a moved clock, with what it told the broker. */
function start() {
  const clock = new SimulatedClock()
  const told: string[] = []
  const broker = {
    clientAlive: () => {},
    clientGone: (clientId: string) => told.push(clientId),
  }
  const registry = new ClientRegistry(broker, clock)
  const streams = new Map<string, ClientStream[]>()
  const open = (clientId: string) => {
    const stream: ClientStream = {
      userName: null,
      connectionId: 1,
      write: () => true,
      drained: async () => {},
      refresh: () => {},
      routeAsked: () => {},
    }
    streams.set(clientId, [...(streams.get(clientId) ?? []), stream])
    registry.streamOpened(clientId, stream)
  }
  const shut = (clientId: string, connectionGone = false) =>
    registry.streamClosed(clientId, streams.get(clientId)!.pop()!, connectionGone)
  const connect = (clientId: string) => {
    open(clientId)
    registry.register({
      clientId,
      language: 'JAVA',
      version: '5.2.0',
      userName: null,
      group: 'group',
      topics: ['topic'],
    })
  }
  return { clock, told, registry, connect, open, shut, listed: () => registry.list().map(({ clientId }) => clientId) }
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
    const { clock, told, connect, listed, open, shut } = start()
    connect('a')
    open('a')
    shut('a')
    await clock.advance(60 * SECOND)
    expect(told).toEqual([])
    shut('a')
    await clock.advance(34_999)
    expect([listed(), told]).toEqual([['a'], []])
    await clock.advance(1)
    expect([listed(), told]).toEqual([[], ['a']])
  })

  it('gives one up six seconds after its connection went, unless it calls again', async () => {
    const { clock, told, registry, connect, listed, shut } = start()
    connect('a')
    connect('b')
    shut('a', true)
    shut('b', true)
    await clock.advance(2 * SECOND)
    registry.alive('b')
    await clock.advance(3_999)
    expect(listed()).toEqual(['a', 'b'])
    await clock.advance(1)
    expect([listed(), told]).toEqual([['b'], ['a']])
    await clock.advance(30_999)
    expect(told).toEqual(['a'])
    await clock.advance(1)
    expect(told).toEqual(['a', 'b'])
  })

  it('waits for one that goes on calling without a stream, and still notices when it falls silent', async () => {
    const { clock, told, registry, connect, listed, shut } = start()
    connect('a')
    shut('a')
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
    const { clock, told, connect, listed, open, shut } = start()
    connect('a')
    shut('a')
    await clock.advance(30 * SECOND)
    open('a')
    await clock.advance(3600 * SECOND)
    expect([listed(), told]).toEqual([['a'], []])
  })

  it('forgets one that says goodbye at once, and only once', async () => {
    const { clock, told, registry, connect, listed, shut } = start()
    connect('a')
    registry.terminated('a')
    shut('a')
    await clock.advance(3600 * SECOND)
    expect([listed(), told]).toEqual([[], ['a']])
  })

  it('begins no timer for a stream that ends after it is closed', () => {
    const { clock, registry, connect, shut } = start()
    connect('a')
    registry.close()
    shut('a', true)
    expect(clock.pending).toBe(0)
  })

  it('forgets the oldest clients when all declare more than 200,000 topics together', () => {
    const { registry, listed } = start()
    const topics = Array.from({ length: 4_000 }, (_, i) => `t${i}`)
    const declare = (clientId: string, count = 4_000) =>
      registry.register({
        clientId,
        language: 'JAVA',
        version: '5.2.0',
        userName: null,
        group: 'group',
        topics: topics.slice(0, count),
      })
    for (let i = 0; i < 50; i++) declare(`c${i}`)
    for (let again = 0; again < 3; again++) declare('c9')
    expect(listed()).toHaveLength(50)
    declare('c9', 3_999)
    declare('one', 1)
    expect(listed()).toHaveLength(51)
    declare('two', 4_001)
    expect(listed().slice(0, 2)).toEqual(['c1', 'c2'])
  })

  it('holds no timer after it is closed, and has none for a stream that never said who it is', async () => {
    const { clock, told, registry, connect, open, shut } = start()
    open('stranger')
    shut('stranger')
    expect(clock.pending).toBe(0)
    connect('a')
    shut('a')
    registry.close()
    await clock.advance(3600 * SECOND)
    expect([told, clock.pending]).toEqual([[], 0])
  })
})

describe('the way to a client', () => {
  const word: ClientCommand = { kind: 'notify-unsubscribe-lite', liteTopic: 'lite' }
  /** A stream that notes what it is sent, and reads on when it is told to. */
  function noting() {
    const said: ClientCommand[] = []
    let reads = true
    let readOn = () => {}
    const stream: ClientStream = {
      write: (command) => {
        said.push(command)
        return reads
      },
      drained: () =>
        new Promise((resolve) => {
          readOn = resolve
        }),
      refresh: () => {},
      userName: null,
      connectionId: 1,
      routeAsked: () => {},
    }
    return {
      said,
      stream,
      stop: () => {
        reads = false
      },
      readOn: () => {
        reads = true
        readOn()
      },
    }
  }
  const producer = (clientId: string, topics = ['topic']) => ({
    clientId,
    language: 'JAVA',
    version: '5.2.0',
    userName: null,
    group: null,
    topics,
  })

  it('is its newest stream, and the one before when that closes', async () => {
    const { registry } = start()
    const [old, young] = [noting(), noting()]
    registry.streamOpened('a', old.stream)
    registry.streamOpened('a', young.stream)
    await registry.tell('a', word)
    registry.streamClosed('a', young.stream, false)
    await registry.tell('a', word)
    registry.streamClosed('a', old.stream, false)
    expect([await registry.tell('a', word), old.said.length, young.said.length]).toEqual([false, 1, 1])
  })

  it('is none that another account opened under its id, also once its own has closed', async () => {
    const { registry } = start()
    const [thief, own] = [noting(), noting()]
    registry.streamOpened('a', { ...thief.stream, userName: 'thief' })
    const stream = { ...own.stream, userName: 'owner' }
    registry.streamOpened('a', stream)
    registry.register({ ...producer('a'), userName: 'owner' })
    expect(await registry.tell('a', word)).toBe(true)
    registry.streamClosed('a', stream, false)
    expect([registry.hasProducer('topic'), await registry.tell('a', word)]).toEqual([false, false])
    expect([thief.said.length, own.said.length]).toEqual([0, 1])
  })

  it('is closed while the client does not read, for five seconds at most to whoever is sending', async () => {
    const { clock, registry } = start()
    const slow = noting()
    registry.streamOpened('a', slow.stream)
    registry.register(producer('a'))
    slow.stop()
    let told = false
    void registry.tell('a', word).then(() => {
      told = true
    })
    await clock.advance(4_999)
    expect([told, registry.listening('a'), registry.hasProducer('topic')]).toEqual([false, false, false])
    await clock.advance(1)
    expect([
      told,
      registry.nextProducerOf('topic'),
      await registry.ask('a', (nonce) => ({ kind: 'print-thread-stack-trace', nonce })),
    ]).toEqual([true, null, null])
    slow.readOn()
    await clock.advance(0)
    expect(registry.nextProducerOf('topic')?.clientId).toBe('a')
    expect(slow.said).toHaveLength(1)
  })

  it('of a topic is that of its producers in turn, as long as they declare it', () => {
    const { registry } = start()
    for (const clientId of ['a', 'b', 'c']) {
      registry.streamOpened(clientId, noting().stream)
      registry.register(producer(clientId))
    }
    const turns = (count: number) =>
      Array.from({ length: count }, () => registry.nextProducerOf('topic')?.clientId ?? null)
    expect(turns(4)).toEqual(['a', 'b', 'c', 'a'])
    registry.register(producer('c', ['other']))
    registry.terminated('a')
    expect(turns(2)).toEqual(['b', 'b'])
    expect(registry.nextProducerOf('other')?.clientId).toBe('c')
  })

  it('takes sixteen open questions, forgets them when the client goes, and holds no timer then', async () => {
    const { clock, registry } = start()
    const one = noting()
    registry.streamOpened('a', one.stream)
    registry.register(producer('a'))
    const answers = Array.from({ length: 17 }, () =>
      registry.ask('a', (nonce) => ({ kind: 'print-thread-stack-trace', nonce })),
    )
    expect([await answers[16], one.said.length]).toEqual([null, 16])
    registry.terminated('a')
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 17 }, () => null))
    expect(clock.pending).toBe(0)
  })
})
