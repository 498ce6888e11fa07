import { deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import * as gen from '../../grpc/gen/rocketmq.js'
import type { MessageQuery } from '../../model/messages.ts'
import type { Broker, BrowseRequest, StoredMessage, TopicView } from '../broker.ts'
import { findMessages } from './inspect.ts'
import { encodeStored } from './stored-message.ts'

const kib = 1024
const topic: TopicView = { topicName: 'orders', generation: 1, messageType: 'NORMAL', maxSendTps: null, queues: 8 }
const query: MessageQuery = {
  topicName: 'orders',
  messageId: null,
  messageKey: null,
  fromMs: 0,
  untilMs: 1,
  scroll: null,
  skip: 0,
  limit: 50,
}

/** A message with this body, as the broker keeps it. */
function stored(body: Uint8Array, encoding: number = gen.Encoding.IDENTITY): StoredMessage {
  const message = gen.Message.decode(
    gen.Message.encode({ systemProperties: { messageId: 'id', bodyEncoding: encoding }, body }).finish(),
  )
  return {
    messageId: 'id',
    tag: null,
    bodyBytes: body.length,
    storeTimeMs: 0,
    payload: encodeStored(message, topic, { userName: null, storeHost: '127.0.0.1:7801' }, 0),
    deadLetterOf: null,
    queueId: 0,
    offset: 0,
    liteTopic: '',
    position: 0,
  }
}

/** The bodies as a page shows them. */
async function shown(...messages: StoredMessage[]): Promise<(string | null)[]> {
  const broker = {
    inspection: {
      async browse({ each }: BrowseRequest) {
        for (const message of messages) await each!(message)
        return { messages: [], total: messages.length, next: null }
      },
    },
  } as unknown as Broker
  return (await findMessages(broker, query))!.messages.map(({ body }) => body)
}

describe('a page of messages', () => {
  it('shows bodies as their producers wrote them, compressed or not', async () => {
    const text = Buffer.from('grüße')
    expect(
      await shown(
        stored(text),
        stored(gzipSync(text), gen.Encoding.GZIP),
        stored(deflateSync(text), gen.Encoding.GZIP),
      ),
    ).toEqual(['grüße', 'grüße', 'grüße'])
  })

  it('leaves out what does not fit into a mebibyte of bodies, and goes on with what does', async () => {
    const half = 'x'.repeat(600 * kib)
    expect(await shown(stored(Buffer.from(half)), stored(Buffer.from(half)), stored(Buffer.from('small')))).toEqual([
      half,
      null,
      'small',
    ])
  })

  it('counts what a compressed body becomes, not how small it was stored', async () => {
    const bomb = stored(gzipSync(Buffer.alloc(900 * kib)), gen.Encoding.GZIP)
    expect(bomb.bodyBytes).toBeLessThan(2 * kib)
    const bodies = await shown(...Array.from({ length: 50 }, () => bomb))
    expect(bodies.map((body) => body?.length ?? null)).toEqual([900 * kib, ...new Array(49).fill(null)])
  })
})
