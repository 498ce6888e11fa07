import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../world/simulated.ts'
import { type ConnectionLimits, Connections } from './connections.ts'

class FakeSocket extends EventEmitter {
  readonly name: string
  readonly remoteAddress: string
  bytesWritten = 0
  writableLength = 0
  readonly #onDestroy: (name: string) => void
  constructor(name: string, remoteAddress: string, onDestroy: (name: string) => void) {
    super()
    this.name = name
    this.remoteAddress = remoteAddress
    this.#onDestroy = onDestroy
  }
  destroy(): void {
    this.#onDestroy(this.name)
    this.emit('close')
  }
}

function crowd(limits: Partial<ConnectionLimits> = {}) {
  const clock = new SimulatedClock()
  const connections = new Connections(
    {
      connections: 10,
      strangers: 10,
      strangerMs: 30_000,
      bufferedBytes: 1_000,
      unreadMs: 30_000,
      pipelined: 4,
      ...limits,
    },
    clock,
  )
  const closed: string[] = []
  const open = (name: string, address = '10.0.0.1'): Socket & FakeSocket => {
    const socket = new FakeSocket(name, address, (closing) => closed.push(closing)) as unknown as Socket & FakeSocket
    connections.opened(socket)
    return socket
  }
  /** A request from its last byte to its answer. */
  const request = (socket: Socket, { signed, by = 'account' }: { signed: boolean; by?: string }) => {
    connections.began(socket)
    if (signed) connections.authenticated(socket, by)
    connections.ended(socket)
  }
  const openSigned = (name: string, by = 'account') => {
    const socket = open(name)
    request(socket, { signed: true, by })
    return socket
  }
  return { clock, connections, open, openSigned, request, closed: () => closed.splice(0) }
}

describe('strangers', () => {
  it('stay strangers whatever they were answered, and the oldest goes for the newest', () => {
    const { connections, open, request, openSigned, closed } = crowd({ strangers: 2 })
    openSigned('known')
    const first = open('first')
    request(first, { signed: false })
    open('second')
    request(first, { signed: false })
    open('third')
    expect(closed()).toEqual(['first'])
    for (let n = 0; n < 100; n++) request(open(`flood ${n}`), { signed: false })
    expect(closed()).not.toContain('known')
    expect([connections.size, connections.strangers]).toEqual([3, 2])
  })

  it('of another network than the flood are not closed for it', () => {
    const { open, closed } = crowd({ strangers: 4 })
    open('client', '10.0.0.2')
    for (let n = 0; n < 10; n++) open(`flood ${n}`)
    expect(closed()).toEqual(['flood 0', 'flood 1', 'flood 2', 'flood 3', 'flood 4', 'flood 5', 'flood 6'])
  })

  it('are closed with an answer once their time is over, and without one soon after', async () => {
    const { clock, connections, open, openSigned, request, closed } = crowd({ strangerMs: 30_000 })
    const [known, polite] = [openSigned('known'), open('asks for its health')]
    await clock.advance(29_000)
    open('late')
    request(polite, { signed: false })
    expect([known, polite].map((socket) => connections.mayStay(socket))).toEqual([true, true])
    await clock.advance(1_000)
    expect(closed()).toEqual(['asks for its health'])
    expect(connections.mayStay(known)).toBe(true)
    await clock.advance(30_000)
    expect(closed()).toEqual(['late'])
    await clock.advance(600_000)
    expect([connections.size, closed()]).toEqual([1, []])
  })
})

describe('authenticated connections', () => {
  it('idle longest go when there are too many, never a busy one', () => {
    const { connections, open, openSigned, request, closed } = crowd({ connections: 3 })
    const [a, b] = [openSigned('a'), openSigned('b')]
    request(a, { signed: true })
    connections.began(openSigned('busy'))
    openSigned('newcomer')
    expect(closed()).toEqual(['b'])
    connections.began(a)
    connections.began(openSigned('second newcomer'))
    expect(closed()).toEqual(['newcomer'])
    // All are busy: it is answered, as a stranger still.
    const late = open('late')
    request(late, { signed: true })
    expect([closed(), connections.strangers]).toEqual([[], 1])
    connections.ended(a)
    request(late, { signed: true })
    expect([closed(), connections.strangers]).toEqual([['a'], 0])
    expect(connections.isBusy(b)).toBe(false)
  })

  it('are busy until the last pipelined request is answered', () => {
    const { connections, openSigned, closed } = crowd({ connections: 1 })
    const socket = openSigned('pipelining')
    connections.began(socket)
    connections.began(socket)
    connections.ended(socket)
    expect(connections.isBusy(socket)).toBe(true)
    openSigned('one too many')
    expect(closed()).toEqual([])
    connections.ended(socket)
    expect(connections.isBusy(socket)).toBe(false)
    openSigned('newcomer')
    expect(closed()).toEqual(['pipelining'])
  })

  it('of one caller do not push out those of others', () => {
    const { openSigned, connections, closed } = crowd({ connections: 4, strangers: 100 })
    openSigned('known', 'alice')
    for (let n = 0; n < 6; n++) openSigned(`flood ${n}`, 'mallory')
    expect(closed()).toEqual(['flood 0', 'flood 1', 'flood 2'])
    expect(connections.strangers).toBe(0)
  })

  it('that are all busy neither keep another caller out nor stay for one with their answers unread', () => {
    const { open, openSigned, connections, closed } = crowd({ connections: 4, strangers: 100 })
    const busy = [0, 1, 2, 3].map((n) => openSigned(`busy ${n}`, 'mallory'))
    for (const socket of busy) connections.began(socket)
    openSigned('alice', 'alice')
    expect([connections.strangers, closed()]).toEqual([0, []])
    openSigned('one more', 'mallory')
    expect([connections.strangers, closed()]).toEqual([1, []])
    busy[2]!.writableLength = 1
    busy[3]!.writableLength = 1
    connections.authenticated(open('bob'), 'bob')
    expect([connections.strangers, closed()]).toEqual([1, ['busy 2', 'busy 3']])
  })

  it('leave no trace of their caller', () => {
    const { openSigned, connections, closed } = crowd({ connections: 2 })
    for (let n = 0; n < 10; n++) openSigned('a', `caller ${n}`).destroy()
    expect([closed().length, connections.size]).toEqual([10, 0])
    openSigned('b', 'one')
    openSigned('c', 'two')
    expect(closed()).toEqual([])
    openSigned('d', 'two')
    openSigned('e', 'two')
    expect(closed()).toEqual(['c', 'd'])
  })
})

describe('a connection is closed', () => {
  it('when it takes nothing of its answers, busy or not', async () => {
    const { clock, connections, openSigned, closed } = crowd()
    const [deaf, slow, working] = [openSigned('deaf'), openSigned('slow'), openSigned('working')]
    for (const socket of [deaf, slow, working]) connections.began(socket)
    for (const socket of [deaf, slow]) Object.assign(socket, { bytesWritten: 1_000, writableLength: 900 })
    await clock.advance(29_000)
    expect(closed()).toEqual([])
    slow.writableLength = 800
    await clock.advance(10_000)
    expect(closed()).toEqual(['deaf'])
    slow.writableLength = 0
    await clock.advance(60_000)
    expect(closed()).toEqual([])
  })

  it('when it sends more requests ahead of their answers than the limit', () => {
    const { connections, openSigned, closed } = crowd({ pipelined: 4 })
    const socket = openSigned('ahead')
    expect([1, 2, 3, 4].map(() => connections.began(socket))).toEqual([true, true, true, true])
    expect([connections.began(socket), connections.began(socket)]).toEqual([false, false])
    expect(closed()).toEqual(['ahead'])
  })
})

describe('bytes of unfinished bodies', () => {
  it('are bounded together, and free again once a body is complete; who holds most goes, not who holds longest', () => {
    const { connections, openSigned, closed } = crowd()
    const [a, b, c, d] = [openSigned('a'), openSigned('b'), openSigned('c'), openSigned('d')]
    connections.buffered(a, 600)
    connections.began(a)
    connections.buffered(b, 100)
    connections.buffered(c, 500)
    connections.buffered(d, 300)
    expect(closed()).toEqual([])
    connections.buffered(d, 150)
    expect(closed()).toEqual(['c'])
    connections.buffered(d, 500)
    expect(closed()).toEqual(['d'])
  })

  it('of strangers are theirs together: many small ones do not push out a large one of somebody known', () => {
    const { connections, open, openSigned, closed } = crowd({ strangers: 100 })
    const known = openSigned('known')
    connections.buffered(known, 450)
    for (let n = 0; n < 60; n++) connections.buffered(open(`stranger ${n}`), 10)
    expect(closed()).toEqual(Array.from({ length: 10 }, (_, n) => `stranger ${n}`))
    connections.buffered(known, 50)
    expect(closed()).toEqual([])
  })

  it('of a network are its own together, so that a client beside a flood can send its first body', () => {
    const { connections, open, closed } = crowd({ strangers: 100 })
    const client = open('client', '10.0.0.2')
    connections.buffered(client, 100)
    for (let n = 0; n < 60; n++) connections.buffered(open(`flood ${n}`), 10)
    connections.buffered(client, 100)
    expect(closed()).not.toContain('client')
  })

  it('count on when their connection is no stranger any more', () => {
    const { connections, open, openSigned, closed } = crowd()
    const pipelining = open('pipelining')
    connections.began(pipelining)
    connections.buffered(pipelining, 400)
    connections.authenticated(pipelining, 'account')
    connections.buffered(openSigned('other'), 601)
    expect(closed()).toEqual(['other'])
    connections.began(pipelining)
    connections.buffered(openSigned('third'), 1_000)
    expect(closed()).toEqual([])
  })
})

it('closing spares what is busy', () => {
  const { connections, open, openSigned, closed } = crowd()
  open('silent')
  openSigned('idle')
  connections.began(openSigned('busy'))
  connections.closeIdle()
  expect(closed()).toEqual(['silent', 'idle'])
  connections.closeAll()
  expect(closed()).toEqual(['busy'])
  expect(connections.size).toBe(0)
})
