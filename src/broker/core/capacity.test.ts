import { expect, it } from 'vitest'
import { type Capacity, makeCapacity, thresholdAt, used, wanted } from './capacity.ts'

const MINUTE = 60_000
const elasticity = { stepTps: 100, maxTps: 350, scaleMs: 3 * MINUTE, lookBackMs: 10 * MINUTE }

/** What happens when, in minutes, and the threshold right after it. */
type Move = readonly [atMinute: number, what: 'refused' | 'asked' | number, threshold: number]

it.each<[string, readonly Move[]]>([
  [
    'stays while nothing is refused',
    [
      [0, 90, 100],
      [60, 100, 100],
      [600, 'asked', 100],
    ],
  ],
  [
    'rises by a step after the time scaling takes, not before',
    [
      [0, 'refused', 100],
      [2.9, 'refused', 100],
      [3, 'asked', 200],
    ],
  ],
  [
    'rises one step at a time, however much is refused',
    [
      [0, 'refused', 100],
      [1, 'refused', 100],
      [3, 'refused', 200],
      [6, 'asked', 300],
    ],
  ],
  [
    'never rises above its maximum',
    [
      [0, 'refused', 100],
      [3, 'refused', 200],
      [6, 'refused', 300],
      [9, 'refused', 350],
      [20, 'asked', 250],
    ],
  ],
  [
    'keeps a step as long as it is needed',
    [
      [0, 'refused', 100],
      [3, 150, 200],
      [12, 150, 200],
      [21, 150, 200],
      [30.9, 'asked', 200],
    ],
  ],
  [
    'gives a step back when it was not needed for the look-back',
    [
      [0, 'refused', 100],
      [3, 150, 200],
      [8, 90, 200],
      [12.9, 'asked', 200],
      [13, 'asked', 100],
    ],
  ],
  [
    'gives back step by step',
    [
      [0, 'refused', 100],
      [3, 'refused', 200],
      [6, 250, 300],
      [15, 150, 300],
      [16, 150, 200],
      [25.9, 150, 200],
      [36, 'asked', 100],
    ],
  ],
  [
    'is back where it began after a long silence, and no lower',
    [
      [0, 'refused', 100],
      [3, 'refused', 200],
      [6, 'asked', 300],
      [600, 'asked', 100],
    ],
  ],
])('the threshold %s', (_name, moves) => {
  const capacity: Capacity = makeCapacity(100, elasticity, 0)
  for (const [minute, what, threshold] of moves) {
    const at = minute * MINUTE
    expect([minute, thresholdAt(capacity, at)]).toEqual([minute, threshold])
    if (what === 'refused') wanted(capacity, at)
    else if (what !== 'asked') used(capacity, what, at)
  }
})

it('adds up what is used within one second', () => {
  const capacity = makeCapacity(100, elasticity, 0)
  wanted(capacity, 0)
  thresholdAt(capacity, 3 * MINUTE)
  // Two halves of one second need the step; the same in two seconds do not.
  used(capacity, 60, 4 * MINUTE)
  used(capacity, 60, 4 * MINUTE + 999)
  used(capacity, 60, 8 * MINUTE)
  used(capacity, 60, 8 * MINUTE + 1_000)
  expect(thresholdAt(capacity, 14 * MINUTE)).toBe(200)
  expect(thresholdAt(capacity, 14 * MINUTE + 1_000)).toBe(100)
})
