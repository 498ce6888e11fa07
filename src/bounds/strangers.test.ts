import { describe, expect, it } from 'vitest'
import { Share } from './shares.ts'
import { Strangers } from './strangers.ts'

class Connection {
  destroyed = false
  constructor(
    strangers: Strangers,
    readonly address: string,
  ) {
    this.entered = strangers.enter(this, address)
  }
  readonly entered: boolean
  destroy(): void {
    this.destroyed = true
  }
}

const process = (most: number) => new Share({ most })
const gone = (connections: readonly Connection[]) =>
  connections.flatMap(({ destroyed }, index) => (destroyed ? [index] : []))

describe('strangers', () => {
  it('go in the order they came when their places are taken', () => {
    const strangers = new Strangers({ most: 3, parent: process(100) })
    const all = Array.from({ length: 5 }, () => new Connection(strangers, '10.0.0.1'))
    expect([gone(all), strangers.count]).toEqual([[0, 1], 3])
    strangers.leave(all[2]!)
    all.push(new Connection(strangers, '10.0.0.1'))
    expect([gone(all), strangers.count]).toEqual([[0, 1], 3])
  })

  it('of the network that has the most go first, so that a crowd cannot push out a client of another', () => {
    const strangers = new Strangers({ most: 10, parent: process(100) })
    const client = new Connection(strangers, '10.0.0.2')
    const crowd = Array.from({ length: 50 }, () => new Connection(strangers, '10.0.0.1'))
    expect([client.destroyed, gone(crowd).length, strangers.count]).toEqual([false, 41, 10])
    const late = new Connection(strangers, '10.0.0.3')
    expect([late.entered, client.destroyed, strangers.count]).toEqual([true, false, 10])
  })

  it('of the site that has the most go first, however many subnets it has', () => {
    const strangers = new Strangers({ most: 10, parent: process(100) })
    const client = new Connection(strangers, '2001:db8:1:7::1')
    const neighbour = new Connection(strangers, '10.0.0.2')
    const crowd = Array.from({ length: 50 }, (_, n) => new Connection(strangers, `2001:db8:666:${n.toString(16)}::1`))
    expect([client.destroyed, neighbour.destroyed, gone(crowd).length]).toEqual([false, false, 42])
    // Within the site it is the subnet with the most, then the oldest.
    expect(gone(crowd)).toEqual(Array.from({ length: 42 }, (_, n) => n))
  })

  it('of equal networks go in the order they came', () => {
    const strangers = new Strangers({ most: 3 })
    const all = Array.from({ length: 5 }, (_, n) => new Connection(strangers, `2001:db8:${n}::1`))
    expect(gone(all)).toEqual([0, 1])
  })

  it('of the instance that has the most go first', () => {
    const all = process(10)
    const [attacked, other] = [1, 2].map(() => new Strangers({ most: 8, parent: all }))
    const crowd = Array.from({ length: 30 }, (_, n) => new Connection(attacked!, `10.0.${n}.1`))
    const clients = Array.from({ length: 4 }, (_, n) => new Connection(other!, `10.1.${n}.1`))
    expect([gone(clients), attacked!.count, other!.count, gone(crowd).length]).toEqual([[], 6, 4, 24])
  })

  it('that leave are forgotten, however often they do', () => {
    const all = process(10)
    const strangers = new Strangers({ most: 10, parent: all })
    const one = new Connection(strangers, '10.0.0.1')
    strangers.leave(one)
    strangers.leave(one)
    expect([strangers.count, all.held]).toEqual([0, 0])
    new Connection(strangers, '10.0.0.1')
    strangers.close()
    expect(all.held).toBe(0)
  })
})
