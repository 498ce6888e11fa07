/** The memory limits of receives: who is refused more, and whose receives are ended. */
import { describe, expect, it } from 'vitest'
import type { Connection } from '../../gateway/protocol.ts'
import { budgetOf } from './receive-memory.ts'

const mib = 2 ** 20
const connection = (): Connection => ({}) as Connection

class Receive {
  resets = 0
  readonly connection: Connection
  readonly #closing: (() => void)[] = []
  readonly context: { readonly instanceId: string }
  constructor(of: Connection, instanceId = 'one') {
    this.connection = of
    this.context = { instanceId }
  }
  whenClosed(task: () => void): void {
    this.#closing.push(task)
  }
  close(): void {
    for (const task of this.#closing.splice(0)) task()
  }
  reset(): void {
    this.resets++
    this.close()
  }
}

describe('the budget of a receive', () => {
  it('is used up by all receives of its connection together, until their streams are closed', () => {
    const one = connection()
    const [first, second] = [new Receive(one), new Receive(one)]
    const [a, b] = [budgetOf(first), budgetOf(second)]
    a.add(40 * mib)
    expect(b.full()).toBe(false)
    b.add(24 * mib)
    expect([a.full(), b.full(), budgetOf(new Receive(connection())).full()]).toEqual([true, true, false])
    first.close()
    expect(b.full()).toBe(false)
    // What is read for one who has gone already is nobody's.
    a.add(1000 * mib)
    expect(b.full()).toBe(false)
    second.close()
  })

  it('makes the connection that holds most lose its receives when all together hold too much', () => {
    const modest = Array.from({ length: 10 }, () => new Receive(connection()))
    for (const receive of modest) budgetOf(receive).add(44 * mib)
    const greedy = new Receive(connection())
    budgetOf(greedy).add(80 * mib)
    const asking = budgetOf(new Receive(connection()))
    expect(asking.full()).toBe(false)
    expect([greedy.resets, ...modest.map(({ resets }) => resets)]).toEqual([1, ...modest.map(() => 0)])
    asking.full()
    expect(modest.every(({ resets }) => resets === 0)).toBe(true)
    for (const receive of modest) receive.close()
  })

  it('takes from the instance that holds most, not from the largest connection of another', () => {
    const crowd = Array.from({ length: 20 }, () => new Receive(connection(), 'attacked'))
    const other = new Receive(connection(), 'other')
    budgetOf(other).add(60 * mib)
    for (const receive of crowd) budgetOf(receive).add(25 * mib)
    expect(other.resets).toBe(0)
    expect(crowd.reduce((sum, { resets }) => sum + resets, 0)).toBe(2)
    budgetOf(other).add(40 * mib)
    expect(other.resets).toBe(0)
    expect(crowd.reduce((sum, { resets }) => sum + resets, 0)).toBe(4)
    for (const receive of [other, ...crowd]) receive.close()
  })
})
