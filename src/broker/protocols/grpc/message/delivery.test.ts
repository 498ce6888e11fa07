import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import * as gen from '../../../../grpc/gen/rocketmq.js'
import type { Delivery, TopicView } from '../../../broker.ts'
import { encodeStored, keysIn, partsOf } from '../../../messages/stored-message.ts'
import { encodeDelivery, topicField } from './delivery.ts'

const topic: TopicView = { topicName: 'events', generation: 1, messageType: 'NORMAL', maxSendTps: null, queues: 8 }

function delivered(message: gen.MessageInit, more: Partial<Delivery> = {}): gen.Message {
  const sent = gen.Message.decode(gen.Message.encode(message).finish())
  const delivery: Delivery = {
    messageId: sent.systemProperties?.messageId ?? '',
    payload: encodeStored(sent, topic, { userName: 'alice', storeHost: '127.0.0.1:7801' }, 1_700_000_000_123),
    queueId: 3,
    offset: 70_000,
    attempt: 2,
    handle: 'handle',
    storeTimeMs: 1_700_000_000_456,
    invisibleMs: 30_000,
    ...more,
  }
  const response = gen.ReceiveMessageResponse.decode(encodeDelivery(delivery, topicField('events', 'ns')))
  return response.message!
}

describe('a stored message', () => {
  const sent = gen.Message.decode(
    gen.Message.encode({ systemProperties: { messageId: 'x', keys: ['key'] }, body: Buffer.from('body') }).finish(),
  )
  const storedBy = (userName: string | null) => encodeStored(sent, topic, { userName, storeHost: 'h' }, 0)
  const keysOf = (payload: Buffer) => {
    const keys: string[] = []
    keysIn(payload, 0, (start, end) => keys.push(payload.toString('utf8', start, end)))
    return keys
  }

  it.each([
    ['an account', 'alice', 'alice'],
    ['nobody', null, null],
    ['a name that is too long, cut off', 'n'.repeat(300), 'n'.repeat(255)],
  ])('says that it was sent by %s, and tells no consumer', (_, userName, shown) => {
    const payload = storedBy(userName)
    expect(partsOf(payload).userName).toBe(shown)
    expect(keysOf(payload)).toEqual(['key'])
    const delivery = { payload, handle: 'h', attempt: 1, queueId: 0, offset: 0, storeTimeMs: 0, invisibleMs: 0 }
    const [named, nameless] = [payload, storedBy(null)].map((one) =>
      encodeDelivery({ ...({} as Delivery), ...delivery, payload: one }, topicField('events', '')),
    )
    expect(named).toEqual(nameless)
  })

  it('of an older program, which kept no sender, is read', () => {
    const { system, rest } = partsOf(storedBy(null))
    const older = Buffer.concat([Buffer.from([1, 0, 0, 0, system.length]), system, rest])
    expect(partsOf(older)).toEqual({ userName: null, system, rest })
    expect(keysOf(older)).toEqual(['key'])
  })

  it('of a newer one is refused', () => {
    const newer = storedBy(null)
    newer[0] = 3
    expect(() => partsOf(newer)).toThrow(/has format 3; this program reads formats up to 2/)
  })
})

describe('a delivered message', () => {
  it('has what the producer set, and what belongs to this delivery', () => {
    const body = Buffer.from('payload '.repeat(100))
    const message = delivered({
      topic: { name: 'events' },
      userProperties: { 'key 中文': 'value 🏷' },
      systemProperties: {
        tag: 'tag',
        keys: ['a b', 'c'],
        messageId: '01FF',
        bornHost: 'host',
        bornTimestamp: { seconds: 1_600_000_000, nanos: 5 },
        traceContext: 'trace',
        // What a client must not decide.
        deliveryAttempt: 99,
        queueId: 7,
        receiptHandle: 'forged',
      },
      body,
    })
    expect(message.topic).toMatchObject({ resourceNamespace: 'ns', name: 'events' })
    expect({ ...message.userProperties }).toEqual({ 'key 中文': 'value 🏷' })
    expect(Buffer.from(message.body)).toEqual(body)
    expect(message.systemProperties).toMatchObject({
      tag: 'tag',
      keys: ['a b', 'c'],
      messageId: '01FF',
      bornHost: 'host',
      bornTimestamp: { seconds: 1_600_000_000, nanos: 5 },
      traceContext: 'trace',
      bodyDigest: { type: gen.DigestType.MD5, checksum: createHash('md5').update(body).digest('hex').toUpperCase() },
      bodyEncoding: gen.Encoding.IDENTITY,
      messageType: gen.MessageType.NORMAL,
      storeHost: '127.0.0.1:7801',
      storeTimestamp: { seconds: 1_700_000_000, nanos: 456_000_000 },
      deliveryAttempt: 2,
      queueId: 3,
      queueOffset: 70_000,
      receiptHandle: 'handle',
      invisibleDuration: { seconds: 30, nanos: 0 },
    })
    expect(message.systemProperties?.deadLetterQueue).toBeNull()
  })

  it('names its message group, or its priority', () => {
    const body = Buffer.from('x')
    const { systemProperties: ordered } = delivered({ systemProperties: { messageId: 'x', messageGroup: 'g' }, body })
    const { systemProperties: urgent } = delivered({ systemProperties: { messageId: 'x', priority: 0 }, body })
    expect([ordered?.messageGroup, ordered?.priority]).toEqual(['g', null])
    expect([urgent?.messageGroup, urgent?.priority]).toEqual([null, 0])
  })

  it('never lacks what a client needs: digest, encoding, born time', () => {
    const { systemProperties } = delivered({ systemProperties: { messageId: 'x' }, body: Buffer.from('x') })
    expect(systemProperties).toMatchObject({
      tag: null,
      bodyDigest: { type: gen.DigestType.MD5 },
      bodyEncoding: gen.Encoding.IDENTITY,
      bornTimestamp: { seconds: 1_700_000_000, nanos: 123_000_000 },
    })
  })

  it('keeps a compressed body compressed', () => {
    const { systemProperties } = delivered({
      systemProperties: { messageId: 'x', bodyEncoding: gen.Encoding.GZIP },
      body: Buffer.from('x'),
    })
    expect(systemProperties?.bodyEncoding).toBe(gen.Encoding.GZIP)
  })

  it('says where a dead letter came from', () => {
    const { systemProperties } = delivered(
      { systemProperties: { messageId: 'x' }, body: Buffer.from('x') },
      { deadLetterOf: { topicName: 'orders', messageId: 'x' } },
    )
    expect(systemProperties?.deadLetterQueue).toMatchObject({ topic: 'orders', messageId: 'x' })
  })

  // The system properties must be one field: google-protobuf for JavaScript replaces a repeated one.
  it.each([1, 127, 128, 16_384, 200_000])('is one well-formed field each with a body of %i bytes', (bytes) => {
    const sent = gen.Message.decode(
      gen.Message.encode({ systemProperties: { messageId: 'x', tag: 't' }, body: Buffer.alloc(bytes, 1) }).finish(),
    )
    const delivery = {
      ...({} as Delivery),
      payload: encodeStored(sent, topic, { userName: null, storeHost: 'h' }, 0),
      handle: 'h',
      attempt: 1,
      queueId: 0,
      offset: 0,
      storeTimeMs: 0,
      invisibleMs: 0,
    }
    const encoded = encodeDelivery(delivery, topicField('events', ''))
    const response = gen.ReceiveMessageResponse.decode(encoded)
    expect(Buffer.from(gen.ReceiveMessageResponse.encode(response).finish()).length).toBe(encoded.length)
    expect(response.message?.body.length).toBe(bytes)
  })
})
