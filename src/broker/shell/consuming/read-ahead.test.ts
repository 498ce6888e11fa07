/** Entries read ahead for a subscription, and when they are dropped. */
import { expect, it } from 'vitest'
import { defaultGroup } from '../../core/consumer-groups.ts'
import type { Entries } from '../../core/consuming/take.ts'
import { makeGroup, makeSubscription, makeTopic, type Subscription } from '../../core/state.ts'
import { IDLE_MS } from './idle-memory.ts'
import { ReadAhead } from './read-ahead.ts'

let now = 0
let lookups = 0

const index = {
  lookup(_: number, from: number, count: number): Promise<Entries> {
    lookups++
    return Promise.resolve({ from, count, position: () => 0, tagHash: () => 0, storeTimeMs: () => 0 })
  },
}

it('is kept while it is used, and given back when nobody came for it', async () => {
  const readAhead = new ReadAhead(index, () => now)
  const [idle, busy] = [subscription(1), subscription(2)]
  expect(readAhead.due).toBe(Number.POSITIVE_INFINITY)
  for (const each of [idle, busy]) {
    expect(readAhead.entriesAt(each, 1, 0, 100)).toBeNull()
    await readAhead.load(each, 1)
    expect(readAhead.entriesAt(each, 1, 10, 90)).toMatchObject({ from: 10, count: 90 })
  }
  for (let step = 0; step < 4; step++) {
    now += IDLE_MS / 2
    expect(readAhead.entriesAt(busy, 1, 20, 80)).not.toBeNull()
    if (readAhead.due <= now) readAhead.sweep(now)
  }
  expect(lookups).toBe(2)
  expect(readAhead.entriesAt(idle, 1, 20, 80)).toBeNull()
  expect(lookups).toBe(3)
  now = readAhead.due
  readAhead.sweep(now)
  now = readAhead.due
  readAhead.sweep(now)
  expect(readAhead.due).toBe(Number.POSITIVE_INFINITY)
})

function subscription(id: number): Subscription {
  const settings = { topicName: 'topic', generation: 1, messageType: 'NORMAL', maxSendTps: null }
  return makeSubscription(id, makeGroup(defaultGroup(`group ${id}`)), makeTopic(settings, 1, 1), [])
}
