/** Which handles without a MAC an opened folder takes. */
import { describe, expect, it } from 'vitest'
import { SimulatedRandom } from '../../world/simulated.ts'
import { SimulatedDisk } from '../../world/simulated-disk.ts'
import { apply } from '../core/apply.ts'
import { type BrokerState, emptyState } from '../core/state.ts'
import { openHandleKey } from './handle-key.ts'

const file = '/instance/handle.key'

/** With a delivery of each of these sessions. */
function leasedIn(...sessions: number[]): BrokerState {
  const state = emptyState()
  const topic = { topicName: 't', generation: 1, messageType: 'NORMAL', maxSendTps: null }
  apply(state, { type: 'topic', ...topic, firstQueueKey: 1, queues: 1 }, 1)
  const group = {
    consumerGroupId: 'g',
    generation: 1,
    orderly: false,
    maxRetryTimes: 1,
    retry: { kind: 'default' },
  } as const
  apply(state, { type: 'group', ...group, deadLetterTopic: null, maxReceiveTps: null }, 2)
  apply(state, { type: 'subscribed', subscriptionId: 1, consumerGroupId: 'g', topicName: 't', starts: [0] }, 3)
  sessions.forEach((session, offset) => {
    const by = { at: 1, deadline: 9, renewable: false, session, owner: 'client', userName: null }
    const entries = [{ queueId: 0, offset, attempt: 1, position: 4, tagHash: 0 }]
    apply(state, { type: 'leased', subscriptionId: 1, ...by, nexts: [{ queueId: 0, next: offset + 1 }], entries }, 5)
  })
  return state
}

async function subject(found: Uint8Array | null) {
  const disk = new SimulatedDisk({ random: new SimulatedRandom(1) })
  await disk.makeDirectory('/instance')
  if (found !== null) disk.plant(file, found)
  const draw = () => new Uint8Array(16).fill(7)
  return (state: BrokerState, predatesMac: boolean) =>
    openHandleKey({ disk, directory: '/instance', draw, state, predatesMac })
}

describe('handles without a MAC', () => {
  it.each<[string, Uint8Array | null, boolean, number[]]>([
    ['are taken of sessions with deliveries, in a folder of a program that made no MAC', null, true, [3, 5]],
    ['are not taken when the key of a later program is lost', null, false, []],
    ['are not taken when the key is damaged', new Uint8Array(15), true, []],
    ['are not taken when the key is whole', new Uint8Array(16), true, []],
  ])('%s', async (_, found, predatesMac, sessions) => {
    const open = await subject(found)
    expect([...(await open(leasedIn(3, 5), predatesMac)).unsigned]).toEqual(sessions)
  })

  it('are taken after a restart too, while deliveries of their session last, under the same key', async () => {
    const open = await subject(null)
    const first = await open(leasedIn(3, 5), true)
    const second = await open(leasedIn(5, 9), false)
    expect(second).toEqual({ words: first.words, unsigned: new Set([5]) })
    expect((await open(leasedIn(9), false)).unsigned).toEqual(new Set())
  })
})
