import { describe, expect, it } from 'vitest'
import { CallBudget, type Waiting } from './call-budget.ts'

/** A clock on which each call that begins takes 3 ms, and what was done in which turn. */
function turnsOf() {
  let at = 0
  const turns = new CallBudget({ monotonic: () => at })
  const done: string[] = []
  const connection = (name: string, owner: object = turns) => ({
    name,
    owner,
    reading: true,
    pauseReading() {
      this.reading = false
    },
    resumeReading() {
      this.reading = true
      done.push(`read ${name}`)
    },
  })
  const begin = (what: string) => {
    at += 3
    done.push(what)
  }
  const come = (from: Waiting & { name: string }, count: number) => {
    for (let n = 0; n < count; n++) {
      const what = `${from.name}${n}`
      if (turns.mayBegin(from)) begin(what)
      else turns.later(from, () => begin(what))
    }
  }
  const next = async () => {
    done.length = 0
    await new Promise((resolve) => setImmediate(resolve))
    return done.join(' ')
  }
  come(connection('free'), 64)
  done.length = 0
  return { turns, connection, come, next, done }
}

describe('calls that come in one turn', () => {
  it('begin until its time is over; the rest in the turns that follow, connections in turn', async () => {
    const { connection, come, next, done } = turnsOf()
    const [a, b] = [connection('a'), connection('b')]
    come(a, 8)
    come(b, 2)
    expect(done.join(' ')).toBe('a0 a1 a2')
    expect([await next(), await next(), await next()]).toEqual(['a3 b0 a4 read a read b', 'b1 a5 a6', 'a7'])
    await next()
    come(b, 300)
    // The first 64 of a turn begin whatever the clock says.
    expect(done).toHaveLength(67)
  })

  it('that are many of one connection: it is not read from until they are done, and one such a turn is again', async () => {
    const { connection, come, next } = turnsOf()
    const [a, b, c] = [connection('a'), connection('b'), connection('c')]
    come(c, 3)
    come(a, 34)
    come(b, 34)
    come(c, 3)
    const turns = [await next()]
    expect([a, b, c].map(({ reading }) => reading)).toEqual([false, false, true])
    while (!(a.reading && b.reading)) turns.push(await next())
    expect(turns.slice(-2)).toEqual([expect.stringMatching(/b33 read a$/), 'read b'])
    expect(
      turns
        .slice(0, -2)
        .join(' ')
        .match(/read ./g),
    ).toEqual(['read c'])
  })

  it('do not wait behind those of another owner, while they are few', async () => {
    const { connection, come, next, done } = turnsOf()
    const [a, b, c] = [connection('a'), connection('b', {}), connection('c', {})]
    come(a, 40)
    await next()
    done.length = 0
    come(b, 2)
    expect(done.join(' ')).toBe('b0 b1')
    come(a, 1)
    come(b, 20)
    // 16 of the turn; the others wait, and with them whatever is of the same owner.
    expect(done).toHaveLength(16)
    expect(done).not.toContain('a0')
    await next()
    done.length = 0
    come(b, 1)
    come(c, 1)
    expect(done.join(' ')).toBe('c0')
  })

  it('and use up its time: nothing more is read in it; whoever did that comes last in the turns that follow', async () => {
    const { turns, connection, come, next } = turnsOf()
    const [a, b, c] = [connection('a'), connection('b', {}), connection('c', {})]
    for (const one of [a, b, c]) turns.opened(one)
    come(a, 3)
    expect([a, b, c].map(({ reading }) => reading)).toEqual([true, true, true])
    come(a, 1)
    expect([a, b, c].map(({ reading }) => reading)).toEqual([false, false, false])
    // A write that ends makes Node read on; one call of it, and it is held back again.
    a.reading = true
    come(a, 1)
    expect(a.reading).toBe(false)
    expect(await next()).toBe('a0 a0 read b read c read a')
    await next()
    turns.forget(b)
    come(connection('free'), 64)
    come(c, 4)
    expect(await next()).toMatch(/ read a read c$/)
  })

  it('while thousands of connections are open: 256 of them are read from again in a turn', async () => {
    const { turns, connection, come, next } = turnsOf()
    for (let n = 0; n < 600; n++) turns.opened(connection(`${n}.`))
    come(connection('a'), 4)
    const read = async () => (await next()).match(/read \d/g)?.length
    expect([await read(), await read(), await read()]).toEqual([256, 256, 88])
  })

  it('of a connection that has gone are not begun', async () => {
    const { turns, connection, come, next } = turnsOf()
    const [a, b] = [connection('a'), connection('b')]
    come(a, 50)
    come(b, 1)
    turns.forget(a)
    expect([await next(), await next()]).toEqual(['b0 read b', ''])
  })

  it('of several owners share the time, whatever one call of each takes', async () => {
    let at = 0
    const turns = new CallBudget({ monotonic: () => at })
    const done: string[] = []
    const put = (name: string, takesMs: number, count: number, connections: number) => {
      const owner = {}
      for (let n = 0; n < connections; n++) {
        const connection = { owner, pauseReading() {}, resumeReading() {} }
        for (let task = 0; task < count; task++) {
          turns.later(connection, () => {
            at += takesMs
            done.push(name)
          })
        }
      }
    }
    put('heavy', 20, 4, 8)
    put('light', 0.5, 40, 1)
    for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve))
    // One of 20 ms has its turn to itself; 20 ms of the light ones follow, before the next.
    expect(done.join(' ')).toBe(['heavy', ...Array(40).fill('light'), 'heavy', 'heavy'].join(' '))
  })
})

describe('requests that are to be decoded', () => {
  it('are, until the time of the turn is over; small ones do not wait for the large ones of another', async () => {
    let at = 0
    const turns = new CallBudget({ monotonic: () => at })
    const connection = () => ({ owner: {}, pauseReading() {}, resumeReading() {} })
    const [heavy, light] = [connection(), connection()]
    const decoded = { heavy: 0, light: 0 }
    const come = () => {
      const decode = () => {
        at += 9
        decoded.heavy++
      }
      if (turns.mayDecode(heavy, 131_000)) decode()
      else turns.later(heavy, decode)
    }
    for (let n = 0; n < 10; n++) come()
    expect(decoded.heavy).toBe(1)
    for (let n = 2; n <= 10; n++) {
      await new Promise((resolve) => setImmediate(resolve))
      expect(decoded.heavy).toBe(n)
      for (let one = 0; one < 100; one++) if (turns.mayDecode(light, 100)) decoded.light++
      expect(turns.mayDecode(heavy, 1)).toBe(n === 10)
    }
    expect(decoded.light).toBe(900)
  })

  it('count for their values too; those of others who send little go ahead', () => {
    let at = 0
    const turns = new CallBudget({ monotonic: () => at })
    const connection = () => ({ owner: {}, pauseReading() {}, resumeReading() {} })
    const heavy = connection()
    let decoded = 0
    for (let n = 0; n < 20; n++) {
      if (!turns.mayDecode(heavy, 2_000)) turns.later(heavy, () => {})
      else {
        decoded++
        at += 3
        turns.decoded(1_000)
      }
    }
    // After 2,048 values the clock is looked at, for 8 ms.
    expect(decoded).toBe(5)
    expect(turns.mayDecode(connection(), 2_000)).toBe(false)
    const few = Array.from({ length: 20 }, () => turns.mayDecode(connection(), 1_000))
    expect(few.filter(Boolean)).toHaveLength(16)
    expect(turns.mayDecode(heavy, 1_000)).toBe(false)
  })
})

describe('answers that are ready in one turn', () => {
  it('are written until its time is over; a few of another owner do not wait behind them', async () => {
    let at = 0
    const turns = new CallBudget({ monotonic: () => at })
    const connection = () => ({ owner: {}, pauseReading() {}, resumeReading() {} })
    const [many, few] = [connection(), connection()]
    const written: string[] = []
    const answer = (of: typeof many, what: string) => {
      const write = () => {
        at += 3
        written.push(what)
      }
      if (turns.mayAnswer(of)) write()
      else turns.later(of, write)
    }
    const next = async () => {
      written.length = 0
      await new Promise((resolve) => setImmediate(resolve))
      return written.join(' ')
    }
    for (let n = 0; n < 64; n++) answer(many, 'free')
    expect(written).toHaveLength(64)
    written.length = 0
    for (let n = 0; n < 5; n++) answer(many, `m${n}`)
    for (let n = 0; n < 17; n++) answer(few, `f${n}`)
    const ahead = Array.from({ length: 16 }, (_, n) => `f${n}`)
    expect(written).toEqual(['m0', 'm1', 'm2', ...ahead])
    expect([await next(), await next()]).toEqual(['m3 f16 m4', ''])
  })
})
