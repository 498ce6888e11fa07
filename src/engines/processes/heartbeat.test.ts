/** Missed heartbeats: a process counts as hung only for beats during which this process itself was running. */
import { describe, expect, it } from 'vitest'
import { SimulatedClock, settle } from '../../world/simulated.ts'
import { beatMs, isHung, listenToHeart, ownPauseMs, patienceOf } from './heartbeat.ts'

function bench() {
  const clock = new SimulatedClock()
  let lateMs = 0
  const open: Array<{ answer: (busyMs: number) => void; fail: () => void }> = []
  const beats: number[] = []
  const busy: number[] = []
  const stop = listenToHeart({
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic() + lateMs,
      after: (delayMs, task) => clock.after(delayMs, task),
    },
    ask: () =>
      new Promise<number>((resolve, reject) => open.push({ answer: resolve, fail: () => reject(new Error()) })),
    onPulse({ unanswered, busyMs }) {
      if (busyMs > 0) busy.push(busyMs)
      else beats.push(unanswered)
    },
  })
  return {
    clock,
    beats,
    busy,
    open,
    stop,
    /** The next beats come late by so much, as on a machine that slept or that is busy. */
    late(ms: number) {
      lateMs += ms
    },
    async answer(busyMs = 0) {
      open.pop()?.answer(busyMs)
      await settle()
    },
  }
}

describe('beats', () => {
  it('that are answered are not spoken of', async () => {
    const b = bench()
    for (let beat = 0; beat < 20; beat++) {
      await b.clock.advance(beatMs)
      await b.answer()
    }
    expect(b.beats).toEqual([])
  })

  it('without an answer are counted, with one question open, and an answer ends the count', async () => {
    const b = bench()
    await b.clock.advance(4 * beatMs)
    expect(b.open).toHaveLength(1)
    await b.answer()
    await b.clock.advance(2 * beatMs)
    expect(b.beats).toEqual([1, 2, 3, 0, 1])
  })

  it('do not count what this side slept through', async () => {
    const b = bench()
    await b.clock.advance(9 * beatMs)
    b.late(ownPauseMs)
    await b.clock.advance(3 * beatMs)
    expect(b.beats.slice(-3)).toEqual([8, 1, 2])
    b.late(3_600_000)
    await b.clock.advance(2 * beatMs)
    expect(b.beats.slice(-1)).toEqual([1])
  })

  it('say that it answers also when this side slept since it was said to be silent', async () => {
    const b = bench()
    await b.clock.advance(3 * beatMs)
    b.late(ownPauseMs)
    await b.clock.advance(beatMs)
    await b.answer()
    expect(b.beats).toEqual([1, 2, 0])
  })

  it('that come late on a busy machine count once each, however long they took', async () => {
    const b = bench()
    for (let beat = 0; beat < 6; beat++) {
      b.late(beatMs * 0.9)
      await b.clock.advance(beatMs)
    }
    expect(b.beats.at(-1)).toBe(5)
  })

  it('ask again when the question failed, and end when told to', async () => {
    const b = bench()
    await b.clock.advance(3 * beatMs)
    b.open.pop()!.fail()
    await b.clock.advance(beatMs)
    expect(b.open).toHaveLength(1)
    b.stop()
    await b.answer()
    await b.clock.advance(10 * beatMs)
    expect(b.clock.pending).toBe(0)
    expect(b.beats).toEqual([1, 2])
  })

  it('of a process whose loop stands still say so, and when it turns again', async () => {
    const b = bench()
    for (const busyMs of [0, 1_000, 2_000, 3_000, 0, 0]) {
      await b.clock.advance(beatMs)
      await b.answer(busyMs)
    }
    expect(b.busy).toEqual([1_000, 2_000, 3_000])
    expect(b.beats).toEqual([0])
  })
})

describe('patience', () => {
  it('ends with ten beats without an answer, or with a loop that stands still for as long as is allowed', () => {
    const patience = patienceOf(120)
    expect(isHung({ unanswered: 9, busyMs: 0 }, patience)).toBe(false)
    expect(isHung({ unanswered: 10, busyMs: 0 }, patience)).toBe(true)
    expect(isHung({ unanswered: 0, busyMs: 119_999 }, patience)).toBe(false)
    expect(isHung({ unanswered: 0, busyMs: 120_000 }, patience)).toBe(true)
    expect(isHung({ unanswered: 4, busyMs: 0 }, patienceOf(4))).toBe(true)
    expect(isHung({ unanswered: 1_000, busyMs: 1_000_000 }, patienceOf(0))).toBe(false)
  })
})
