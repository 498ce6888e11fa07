import { expect, it } from 'vitest'
import { SimulatedClock, settle } from '../world/simulated.ts'
import { createBandwidth } from './bandwidth.ts'

const never = new AbortController().signal

/** Milliseconds until all of the takes are through, asked one after the other. */
async function timeOf(megabits: number | null, takes: readonly number[]): Promise<number> {
  const clock = new SimulatedClock()
  const bandwidth = createBandwidth(megabits, clock)
  let done = false
  const all = (async () => {
    for (const bytes of takes) await bandwidth.take(bytes, never)
    done = true
  })()
  await settle()
  for (let ms = 0; !done && ms < 60_000; ms += 10) await clock.advance(10)
  await all
  return clock.monotonic()
}

// 1 Mbit/s is 125,000 bytes a second, and a second's worth may go at once.
it('lets a second of bandwidth pass at once, and paces the rest', async () => {
  expect(await timeOf(1, [125_000])).toBe(0)
  expect(await timeOf(1, [125_000, 125_000])).toBe(1000)
  expect(await timeOf(10, [125_000, 125_000])).toBe(0)
  // Larger than the bucket: it waits for what it owes, and not for ever.
  expect(await timeOf(1, [1_125_000])).toBe(8000)
})

it('does not pace without a limit', async () => {
  expect(await timeOf(null, [10 ** 9])).toBe(0)
})

it('stops waiting, without a timer left, when the call ends', async () => {
  const clock = new SimulatedClock()
  const bandwidth = createBandwidth(1, clock)
  const call = new AbortController()
  await bandwidth.take(125_000, call.signal)
  const waiting = bandwidth.take(125_000, call.signal)
  expect(clock.pending).toBe(1)
  call.abort()
  await waiting
  expect(clock.pending).toBe(0)
})

it('does not make others wait for what a call that ended never sent', async () => {
  const clock = new SimulatedClock()
  const bandwidth = createBandwidth(1, clock)
  await bandwidth.take(125_000, never)
  for (let calls = 0; calls < 100; calls++) {
    const call = new AbortController()
    const waiting = bandwidth.take(4_000_000, call.signal)
    call.abort()
    await waiting
  }
  let passed = false
  void bandwidth.take(125_000, never).then(() => {
    passed = true
  })
  await clock.advance(999)
  expect(passed).toBe(false)
  await clock.advance(1)
  expect(passed).toBe(true)
})
