import protobuf from 'protobufjs/minimal.js'
import { describe, expect, it, vi } from 'vitest'
import {
  AckMessageEntry,
  AckMessageRequest,
  Code,
  Endpoints,
  GetOffsetResponse,
  Message,
  type MessageInit,
  MessageQueue,
  SendMessageRequest,
  Settings,
  SyncLiteSubscriptionRequest,
  Timestamp,
} from './gen/index.ts'
import { ExportMetricsServiceRequest, HistogramDataPoint } from './gen/otlp.js'
import { maxMessageValues, TooManyValues } from './protobuf.ts'

describe('64 bit integers are numbers', () => {
  const values = [
    0,
    1,
    127,
    128,
    2 ** 28,
    2 ** 31,
    2 ** 32 + 5,
    2 ** 48,
    2 ** 49 - 1,
    2 ** 49,
    2 ** 53 - 1,
    -1,
    -(2 ** 40),
    -(2 ** 53 - 1),
  ]
  it.each(values)('%d survives the wire', (offset) => {
    expect(GetOffsetResponse.decode(GetOffsetResponse.encode({ offset }).finish()).offset).toBe(offset)
  })

  it('gives the nearest double beyond 2^53, never an object', () => {
    const writer = protobuf.Writer.create().uint32(0x08).int64('9223372036854775807')
    expect(Timestamp.decode(writer.finish()).seconds).toBe(2 ** 63)
  })

  it('refuses one cut short or too long', () => {
    expect(() => Timestamp.decode(Buffer.from([0x08, 0x80, 0x80]))).toThrow()
    expect(() => Timestamp.decode(Buffer.from([0x08, ...Array(11).fill(0x80), 0]))).toThrow()
  })

  it('is an absent field read as 0', () => {
    expect(Timestamp.decode(Buffer.alloc(0)).seconds).toBe(0)
  })

  it('leaves the shared protobufjs as it was', () => {
    expect(protobuf.util.Long).toBeTruthy()
    expect(protobuf.Reader.create(Buffer.from([1])).int64()).toBeTypeOf('object')
  })
})

describe('what one message may hold', () => {
  const bytes = (count: number, ...each: number[]) => Buffer.alloc(count * each.length, Buffer.from(each))
  const inside = (tag: number, body: Buffer) => Buffer.concat([protobufLength(tag, body.length), body])
  const protobufLength = (tag: number, length: number) =>
    Buffer.from(protobuf.Writer.create().uint32(tag).uint32(length).finish())
  const many = maxMessageValues + 1

  it.each<[string, { decode(bytes: Uint8Array): unknown }, (count: number) => Buffer]>([
    ['empty messages', Settings, (count) => inside(0x2a, bytes(count - 1, 0x0a, 0))],
    ['entries of a map', SendMessageRequest, (count) => inside(0x0a, bytes(count - 1, 0x12, 0))],
    ['texts', SyncLiteSubscriptionRequest, (count) => bytes(count, 0x22, 0)],
    ['one field again and again', Timestamp, (count) => bytes(count, 0x08, 1)],
    ['fields nobody knows', Timestamp, (count) => bytes(count, 0x78, 1)],
    ['enums packed into one field', MessageQueue, (count) => inside(0x2a, bytes(count - 1, 1))],
    ['doubles packed into one field', HistogramDataPoint, (count) => inside(0x3a, Buffer.alloc(8 * (count - 1)))],
    [
      '64 bit integers packed into one field',
      HistogramDataPoint,
      (count) => inside(0x32, Buffer.alloc(8 * (count - 1))),
    ],
  ])('is counted: %s', (_, type, of) => {
    expect(() => type.decode(of(maxMessageValues))).not.toThrow()
    expect(() => type.decode(of(many))).toThrow(TooManyValues)
  })

  it.each([
    ['messages of a send', SendMessageRequest, 0x0a],
    ['handles of an acknowledgement', AckMessageRequest, 0x1a],
  ] as const)('is bounded for what its handler takes a thousand of: %s', (_, type, tag) => {
    expect(() => type.decode(bytes(2_048, tag, 0))).not.toThrow()
    const decoded = vi.spyOn(tag === 0x0a ? Message : AckMessageEntry, 'decode')
    expect(() => type.decode(bytes(65_000, tag, 0))).toThrow(TooManyValues)
    expect(decoded).toHaveBeenCalledTimes(2_048)
    decoded.mockRestore()
  })

  it('is less for what clients measure, whose points are a few hundred', () => {
    const points = (count: number) => inside(0x0a, inside(0x12, inside(0x12, inside(0x2a, bytes(count, 0x0a, 0)))))
    expect(() => ExportMetricsServiceRequest.decode(points(16_380))).not.toThrow()
    expect(() => ExportMetricsServiceRequest.decode(points(16_381))).toThrow(/more than 16384 values/)
  })

  it('is enough for a thousand messages with ten properties each', () => {
    const message: MessageInit = {
      topic: { name: 'orders', resourceNamespace: 'space' },
      userProperties: Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`key-${n}`, 'value'])),
      systemProperties: {
        tag: 'a',
        keys: ['k'],
        messageId: '01',
        bodyDigest: { type: 1, checksum: 'FF' },
        bodyEncoding: 1,
        messageType: 1,
        bornTimestamp: { seconds: 1, nanos: 1 },
        bornHost: 'host',
        queueId: 1,
        traceContext: 'x',
      },
      body: Buffer.alloc(10),
    }
    const request = SendMessageRequest.encode({ messages: Array.from({ length: 1024 }, () => message) }).finish()
    expect(SendMessageRequest.decode(request).messages).toHaveLength(1024)
  })
})

describe('generated messages', () => {
  it('tell absent from empty', () => {
    const empty = Message.decode(Buffer.alloc(0))
    expect([empty.topic, empty.systemProperties, empty.userProperties, empty.body.length]).toEqual([null, null, {}, 0])
    const given = Message.decode(Message.encode({ systemProperties: { tag: '' } }).finish())
    expect([given.systemProperties?.tag, given.systemProperties?.messageGroup]).toEqual(['', null])
  })

  it('read bytes as a view, from a Buffer and from a plain array', () => {
    const bytes = Message.encode({ body: Buffer.from('hello') }).finish()
    expect(Buffer.from(Message.decode(new Uint8Array(bytes)).body).toString()).toBe('hello')
    const decoded = Message.decode(Buffer.from(bytes))
    expect(Buffer.from(decoded.body).toString()).toBe('hello')
  })

  it('skip unknown fields without keeping them', () => {
    const bytes = Buffer.concat([Endpoints.encode({ scheme: 2 }).finish(), Buffer.from([0xfa, 0x3e, 3, 1, 2, 3])])
    expect({ ...Endpoints.decode(bytes) }).toEqual({ addresses: [], scheme: 2 })
  })

  it('survive property names of Object.prototype', () => {
    const userProperties = JSON.parse('{"__proto__":"a","constructor":"b"}')
    const [message] = SendMessageRequest.decode(
      SendMessageRequest.encode({ messages: [{ userProperties }] }).finish(),
    ).messages
    expect(Object.entries(message!.userProperties)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ])
    expect(({} as Record<string, unknown>)['a']).toBeUndefined()
  })

  it('refuse text that is not UTF-8 and nesting without end', () => {
    expect(() => Endpoints.decode(Buffer.from([0x12, 0x02, 0x12, 0xff]))).toThrow()
  })

  it('name their codes both ways', () => {
    expect([Code.OK, Code[40402]]).toEqual([20000, 'TOPIC_NOT_FOUND'])
  })
})
