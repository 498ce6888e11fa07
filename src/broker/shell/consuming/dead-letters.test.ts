/** Dead letters: which messages are moved, when, and that each is moved once. */
import { describe, expect, it } from 'vitest'
import {
  ack,
  broker,
  clock,
  ensureGroup,
  forward,
  HOUR,
  receive,
  send,
  sendMany,
  text,
  topicSpec,
  useBroker,
} from '../test-broker.ts'

useBroker()

describe('a delivery that is out of retries', () => {
  it('is delivered maxRetryTimes + 1 times, then lies among the dead letters with its origin', async () => {
    await ensureGroup({ maxRetryTimes: 2 })
    const [receipt] = await send('tag', 'poison')
    const attempts: number[] = []
    for (let round = 0; round < 6; round++) {
      for (const delivery of await receive()) attempts.push(delivery.attempt)
      await clock.advance(30_000)
    }
    expect(attempts).toEqual([1, 2, 3])
    const [dead] = await receive({ topic: '%DLQ%group', group: 'auditor' })
    expect({ ...dead, payload: text(dead!) }).toMatchObject({
      messageId: receipt!.messageId,
      payload: 'poison',
      deadLetterOf: { topicName: 'topic', messageId: receipt!.messageId },
    })
    expect(broker.metadata.topic('%DLQ%group')).toMatchObject({ queues: 1, generation: 0, messageType: 'NORMAL' })
    expect(broker.inspection.usage().inflight).toBe(1)
  })

  it('goes to the topic the group names for its dead letters, if that exists', async () => {
    await broker.administration.ensureTopics([topicSpec('graveyard')])
    await ensureGroup({ maxRetryTimes: 0, deadLetterTopic: 'graveyard' })
    await send()
    await receive()
    await clock.advance(30_000)
    expect(await receive({ topic: 'graveyard', group: 'auditor' })).toHaveLength(1)
    await ensureGroup({ maxRetryTimes: 0, deadLetterTopic: 'missing' })
    await send()
    await receive()
    await clock.advance(30_000)
    expect(await receive({ topic: '%DLQ%group', group: 'auditor' })).toHaveLength(1)
  })

  it('out of retries among its own dead letters is let go there, not copied round and round', async () => {
    await ensureGroup({ maxRetryTimes: 0 })
    await send()
    await receive()
    await clock.advance(30_000)
    expect(await receive({ topic: '%DLQ%group' })).toHaveLength(1)
    await clock.advance(HOUR)
    expect(await receive({ topic: '%DLQ%group' })).toEqual([])
    expect(await receive({ topic: '%DLQ%group', group: 'auditor' })).toHaveLength(1)
  })

  it('obeys a lowered number of retries at once', async () => {
    await send()
    await receive()
    await clock.advance(30_000)
    await ensureGroup({ maxRetryTimes: 0 })
    await clock.advance(1)
    expect(await receive()).toEqual([])
    expect(await receive({ topic: '%DLQ%group', group: 'auditor' })).toHaveLength(1)
  })
})

describe('forwarding to the dead letters', () => {
  it('moves the message once, however often it is asked for', async () => {
    await send('tag', 'letter')
    const [delivery] = await receive()
    await Promise.all([forward(delivery!), forward(delivery!)])
    await forward(delivery!)
    expect((await receive({ topic: '%DLQ%group', group: 'auditor' })).map(text)).toEqual(['letter'])
    expect(await ack(delivery!)).toBe('done')
    await clock.advance(HOUR)
    expect(await receive()).toEqual([])
  })

  it('finds the message by its id when there is no handle, among what that client holds', async () => {
    await sendMany(3)
    const held = await receive({ autoRenew: true })
    await forward({ ...held[1]!, handle: '' }, 'stranger')
    expect(broker.metadata.topic('%DLQ%group')).toBeNull()
    await forward({ ...held[1]!, handle: '' })
    const dead = await receive({ topic: '%DLQ%group', group: 'auditor' })
    expect(dead.map(({ messageId }) => messageId)).toEqual([held[1]!.messageId])
  })

  it('of something unknown is fine', async () => {
    await forward({ handle: 'nonsense', messageId: 'x' })
    await forward({ handle: '', messageId: 'x' })
    expect(broker.metadata.topic('%DLQ%group')).toBeNull()
  })
})
