import { describe, expect, it } from 'vitest'
import { Handshakes } from './handshakes.ts'

/** Each takes 3 ms, in the tick after it was begun. */
function handshakesOf() {
  let at = 0
  const handshakes = new Handshakes({ monotonic: () => at })
  const done: string[] = []
  const ask = (owner: object, name: string) =>
    handshakes.begin(owner, () => {
      process.nextTick(() => {
        at += 3
        done.push(name)
      })
    })
  const turn = async () => {
    await new Promise((resolve) => setImmediate(resolve))
    return done.splice(0).join(' ')
  }
  return { ask, turn }
}

describe('handshakes asked for in one turn', () => {
  it('are begun until its time is over, the rest in the turns that follow, owners in turn', async () => {
    const { ask, turn } = handshakesOf()
    const [one, other] = [{}, {}]
    for (let n = 0; n < 5; n++) ask(one, `a${n}`)
    ask(other, 'b0')
    // Two while the turn lasts, and two at its end, where the next one's time begins.
    expect([await turn(), await turn(), await turn()]).toEqual(['a0 a1 b0 a2', 'a3 a4', ''])
    ask(one, 'a5')
    expect(await turn()).toBe('a5')
  })

  it('are not begun for whoever has gone', async () => {
    const { ask, turn } = handshakesOf()
    const owner = {}
    const [, , gone, last] = [ask(owner, 'a0'), ask(owner, 'a1'), ask(owner, 'a2'), ask(owner, 'a3')]
    gone!()
    expect(await turn()).toBe('a0 a1 a3')
    last!()
    ask(owner, 'a4')
    expect(await turn()).toBe('a4')
  })
})
