/** What a broker still writes when its disk is nearly full: the room that is left is for what gives space back. */
import { describe, expect, it } from 'vitest'
import type { BrokerRefusal } from '../../model/refusals.ts'
import type { Delivery } from '../broker.ts'
import { limits } from '../core/limits.ts'
import { codes } from '../core/refusal.ts'
import {
  ack,
  broker,
  change,
  changeSettings,
  clock,
  ensureGroup,
  forward,
  receive,
  SECOND,
  send,
  sendMany,
  settings,
  settled,
  topicSpec,
  useBroker,
} from './test-broker.ts'

useBroker()

function pause(of: 'nothing' | 'sends' | 'writes'): void {
  changeSettings({
    sendPause: of === 'nothing' ? null : 'no room for messages',
    writePause: of === 'writes' ? 'no room for anything' : null,
  })
  broker.administration.configure(settings)
}

const outcome = (call: Promise<unknown>) =>
  call.then(
    () => 'done',
    ({ code, message }: BrokerRefusal) => `${code} ${message}`,
  )

describe('below half of the reserve', () => {
  const refused = `${codes.tooManyRequests} no room for anything`
  let deliveries: Delivery[]

  const calls: Record<string, readonly [call: () => Promise<unknown>, expected: string]> = {
    'a send': [() => send(), `${codes.tooManyRequests} no room for messages`],
    'a receive': [() => receive(), refused],
    'a change of the invisible time': [() => change(deliveries[0]!, 60_000), refused],
    'a move to the dead letters': [() => forward(deliveries[0]!), refused],
    'an offset moved': [
      () => broker.offsets.update({ group: 'group', topic: 'topic', queueId: 0, offset: 0 }),
      refused,
    ],
    'a group that is new': [() => ensureGroup({ consumerGroupId: 'new' }), refused],
    'a topic that is new': [() => broker.administration.ensureTopics([topicSpec('new')]), refused],
    'an acknowledgement': [() => ack(deliveries[1]!), 'done'],
    'a group that goes': [() => broker.administration.removeGroup('group'), 'done'],
    'a topic that goes': [() => broker.administration.removeTopic('topic'), 'done'],
  }

  it.each(Object.keys(calls))('%s', async (name) => {
    await sendMany(2)
    deliveries = await receive()
    pause('writes')
    const [call, expected] = calls[name]!
    const before = broker.log.end
    expect(await outcome(call())).toBe(expected)
    if (expected === 'done') return
    expect(broker.log.end).toBe(before)
    pause('nothing')
    expect(await outcome(call())).toBe('done')
  })

  it('writes nothing for receives that wait, and serves them when there is room again', async () => {
    await send()
    const [delivery] = await receive()
    const poll = receive({ waitMs: 60 * SECOND })
    pause('writes')
    const before = broker.log.end
    // The delivery runs out meanwhile.
    await clock.advance(31 * SECOND)
    expect(await settled(poll)).toBe(false)
    expect(broker.log.end).toBe(before)
    pause('nothing')
    await clock.advance(SECOND)
    expect((await poll).map(({ messageId }) => messageId)).toEqual([delivery!.messageId])
  })
})

describe('inside the reserve', () => {
  it('renews each delivery once a second', async () => {
    await sendMany(2)
    const [one, other] = await receive()
    pause('sends')
    expect(await outcome(change(one!, 60_000))).toBe('done')
    expect(await outcome(change(one!, 60_000))).toMatch(/^42900 the disk of this server is nearly full/)
    expect(await outcome(change(other!, 60_000))).toBe('done')
    await clock.advance(limits.scarceRenewalMs)
    expect(await outcome(change(one!, 60_000))).toBe('done')
    pause('nothing')
    for (let i = 0; i < 3; i++) expect(await outcome(change(one!, 60_000))).toBe('done')
  })

  it('renews so many of a group a second, and takes nothing from another group', async () => {
    await receive({ group: 'other' })
    await sendMany(150)
    const deliveries = await receive({ max: 150 })
    const [others] = await receive({ group: 'other' })
    pause('sends')
    const outcomes = await Promise.all(deliveries.map((delivery) => outcome(change(delivery, 60_000))))
    expect(outcomes.filter((one) => one === 'done').length).toBe(limits.scarceRenewalsPerSecond)
    const { handle } = others!
    const where = { group: 'other', topic: 'topic', clientId: 'client' }
    expect(await outcome(broker.consuming.changeInvisible({ ...where, handle, invisibleMs: 60_000 }))).toBe('done')
    expect(await Promise.all(deliveries.map((delivery) => ack(delivery)))).toEqual(deliveries.map(() => 'done'))
  })
})
