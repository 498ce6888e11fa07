import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { Connections } from './connections.ts'

class FakeSocket extends EventEmitter {
  readonly name: string
  readonly #onDestroy: (name: string) => void
  constructor(name: string, onDestroy: (name: string) => void) {
    super()
    this.name = name
    this.#onDestroy = onDestroy
  }
  destroy(): void {
    this.#onDestroy(this.name)
    this.emit('close')
  }
}

function crowd(limit: number, bufferedBytes = 1_000) {
  const connections = new Connections({ connections: limit, bufferedBytes })
  const closed: string[] = []
  const open = (name: string): Socket => {
    const socket = new FakeSocket(name, (closing) => closed.push(closing))
    connections.opened(socket as unknown as Socket)
    return socket as unknown as Socket
  }
  return { connections, open, closed: () => closed }
}

describe('when there are too many connections', () => {
  it('the oldest that never completed a request goes, then the one idle longest, never a busy one', () => {
    const { connections, open, closed } = crowd(4)
    const served = open('idle')
    connections.began(served)
    connections.ended(served)
    const again = open('idle later')
    connections.began(again)
    connections.ended(again)
    connections.began(open('busy'))
    open('silent')
    open('first newcomer')
    expect(closed()).toEqual(['silent'])
    connections.began(open('second newcomer'))
    expect(closed()).toEqual(['silent', 'first newcomer'])
    connections.began(open('third newcomer'))
    expect(closed().slice(2)).toEqual(['idle'])
    connections.began(open('fourth newcomer'))
    expect(closed().slice(3)).toEqual(['idle later'])
    open('turned away')
    expect(closed().slice(4)).toEqual(['turned away'])
    expect(connections.size).toBe(4)
  })

  it('a connection that worked again lately outlives one that did not', () => {
    const { connections, open, closed } = crowd(2)
    const [a, b] = [open('a'), open('b')]
    for (const socket of [a, b, a]) {
      connections.began(socket)
      connections.ended(socket)
    }
    open('newcomer')
    expect(closed()).toEqual(['b'])
  })
})

it('a connection is busy until its last pipelined request is answered', () => {
  const { connections, open, closed } = crowd(1)
  const socket = open('pipelining')
  connections.began(socket)
  connections.began(socket)
  connections.ended(socket)
  expect(connections.isBusy(socket)).toBe(true)
  open('turned away')
  expect(closed()).toEqual(['turned away'])
  connections.ended(socket)
  expect(connections.isBusy(socket)).toBe(false)
  open('newcomer')
  expect(closed()).toEqual(['turned away', 'pipelining'])
})

it('bytes of unfinished bodies are bounded together, and free again once a body is complete', () => {
  const { connections, open, closed } = crowd(10, 1_000)
  const [a, b, c] = [open('a'), open('b'), open('c')]
  connections.buffered(a, 600)
  connections.began(a)
  connections.buffered(b, 600)
  connections.buffered(c, 300)
  expect(closed()).toEqual([])
  connections.buffered(c, 200)
  expect(closed()).toEqual(['b'])
  connections.buffered(c, 500)
  expect(closed()).toEqual(['b'])
})

it('closing spares what is busy', () => {
  const { connections, open, closed } = crowd(10)
  open('silent')
  const idle = open('idle')
  connections.began(idle)
  connections.ended(idle)
  connections.began(open('busy'))
  connections.closeIdle()
  expect(closed()).toEqual(['silent', 'idle'])
  connections.closeAll()
  expect(closed()).toEqual(['silent', 'idle', 'busy'])
  expect(connections.size).toBe(0)
})
