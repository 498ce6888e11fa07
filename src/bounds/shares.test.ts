import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Share } from './shares.ts'

/** A holder that gives way by letting go of its last piece, and remembers that it had to. */
class Holder {
  readonly pieces: number[] = []
  gaveWay = 0
  readonly share: Share
  constructor(parent: Share, most = Number.POSITIVE_INFINITY, willing = true) {
    this.share = new Share({
      parent,
      most,
      giveWay: () => {
        const piece = willing ? this.pieces.pop() : undefined
        if (piece === undefined) return false
        this.share.give(piece)
        this.gaveWay++
        return true
      },
    })
  }
  take(amount: number): boolean {
    const taken = this.share.take(amount)
    if (taken) this.pieces.push(amount)
    return taken
  }
}

describe('a bound that is shared', () => {
  it('holds up to its most, and takes again what was given back', () => {
    const all = new Share({ most: 10 })
    const one = new Holder(all)
    expect([one.take(6), one.take(5), all.held]).toEqual([true, false, 6])
    one.share.give(6)
    expect([one.take(10), all.held]).toEqual([true, 10])
  })

  it('makes whoever holds the most give way to who comes last', () => {
    const all = new Share({ most: 100 })
    const [greedy, modest, late] = [new Holder(all), new Holder(all), new Holder(all)]
    for (let n = 0; n < 9; n++) greedy.take(10)
    modest.take(10)
    expect([late.take(10), late.take(15)]).toEqual([true, true])
    expect([greedy.gaveWay, modest.gaveWay, late.gaveWay]).toEqual([3, 0, 0])
    // And is refused itself, as long as it is the one.
    expect([greedy.take(50), all.held]).toEqual([false, 95])
  })

  it('counts the small holders of one owner as that owner', () => {
    const all = new Share({ most: 100 })
    const [crowd, other] = [new Share({ most: 100, parent: all }), new Share({ most: 100, parent: all })]
    const many = Array.from({ length: 10 }, () => new Holder(crowd))
    for (const holder of many) holder.take(9)
    const single = new Holder(other)
    expect(single.take(40)).toBe(true)
    expect([crowd.held, other.held, single.gaveWay]).toEqual([54, 40, 0])
    // Within its own owner a small one is served at the cost of the largest.
    expect(single.take(5)).toBe(true)
  })

  it('keeps the bound of each level', () => {
    const all = new Share({ most: 100 })
    const owner = new Share({ most: 20, parent: all })
    const [first, second] = [new Holder(owner), new Holder(owner, 5)]
    expect([first.take(15), second.take(6), second.take(5)]).toEqual([true, false, true])
    expect([second.take(1), first.take(1), owner.held]).toEqual([false, false, 20])
  })

  it('lets small ones go beyond it when the largest cannot give way, up to half of their part', () => {
    const all = new Share({ most: 100 })
    const stubborn = new Holder(all, 100, false)
    stubborn.take(100)
    const late = new Holder(all)
    expect([late.take(25), late.take(1), stubborn.take(1), all.held]).toEqual([true, false, false, 125])
  })

  it('forgets who is closed', () => {
    const all = new Share({ most: 10 })
    const gone = new Holder(all)
    gone.take(10)
    gone.share.close()
    expect(all.held).toBe(0)
    expect(new Holder(all).take(10)).toBe(true)
    expect(gone.gaveWay).toBe(0)
  })

  it('whatever is done: sums agree, and whoever holds an equal part or less is never refused', () => {
    const steps = fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 40 }), fc.boolean()), { maxLength: 200 })
    fc.assert(
      fc.property(steps, (moves) => {
        const all = new Share({ most: 120 })
        const owners = [0, 1, 2].map(() => new Share({ most: 120, parent: all }))
        const holders = Array.from({ length: 6 }, (_, n) => new Holder(owners[n % 3]!))
        for (const [n, amount, gives] of moves) {
          const holder = holders[n]!
          if (gives) {
            const piece = holder.pieces.pop()
            if (piece !== undefined) holder.share.give(piece)
          } else if (!holder.take(amount)) {
            expect(owners[n % 3]!.held + amount).toBeGreaterThan(120 / 3)
          }
          const sum = (pieces: number[]) => pieces.reduce((total, piece) => total + piece, 0)
          for (const each of holders) expect(each.share.held).toBe(sum(each.pieces))
          expect(all.held).toBe(sum(holders.flatMap(({ pieces }) => pieces)))
          expect(all.held).toBeLessThanOrEqual(120)
        }
      }),
    )
  })
})
