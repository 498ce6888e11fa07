import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeFrame, frameHeader, MessageReader } from './framing.ts'
import type { Codec } from './protobuf.ts'
import { RpcError, Status } from './transport.ts'

const bytesCodec: Codec<Uint8Array, Uint8Array> = {
  decode: (bytes) => bytes,
  encode: (bytes, writer) => writer!.raw(bytes),
}

function read(chunks: readonly Buffer[], max = 1000): { messages: string[]; atBoundary: boolean } {
  const messages: string[] = []
  const reader = new MessageReader(max, (message, compressed) =>
    messages.push(`${compressed}:${message.toString('hex')}`),
  )
  for (const chunk of chunks) reader.push(chunk)
  return { messages, atBoundary: reader.atBoundary }
}

describe('messages on a byte stream', () => {
  it('are the same however the stream is cut', () => {
    const message = fc.uint8Array({ maxLength: 300 })
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(40), { maxLength: 200 }), (sent, cuts) => {
        const stream = Buffer.concat(sent.map((bytes) => encodeFrame(bytesCodec, bytes)))
        const chunks: Buffer[] = []
        let at = 0
        for (const cut of cuts) {
          chunks.push(stream.subarray(at, at + cut))
          at += cut
        }
        chunks.push(stream.subarray(at))
        expect(read(chunks)).toEqual({
          messages: sent.map((bytes) => `false:${Buffer.from(bytes).toString('hex')}`),
          atBoundary: true,
        })
      }),
    )
  })

  it('end only between messages', () => {
    const frame = encodeFrame(bytesCodec, Buffer.from('abc'))
    for (let length = 1; length < frame.length; length++) {
      expect(read([frame.subarray(0, length)])).toEqual({ messages: [], atBoundary: false })
    }
  })

  it('tell when they are compressed', () => {
    expect(read([Buffer.from([1, 0, 0, 0, 1, 7])]).messages).toEqual(['true:07'])
  })

  it.each([
    ['unknown flags', [2, 0, 0, 0, 0], Status.INTERNAL],
    ['a length one over the limit', [0, 0, 0, 0x03, 0xe9], Status.RESOURCE_EXHAUSTED],
    ['the largest length', [0, 255, 255, 255, 255], Status.RESOURCE_EXHAUSTED],
  ])('are refused for %s, before the body arrives', (_name, header, status) => {
    let thrown: unknown
    try {
      read([Buffer.from(header)])
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(RpcError)
    expect((thrown as RpcError).status).toBe(status)
  })

  it('at the limit are taken', () => {
    expect(read([frameHeader(1000), Buffer.alloc(1000)]).messages).toHaveLength(1)
  })
})

describe('encodeFrame', () => {
  it('is whole again after an encoder that threw half-way', () => {
    const broken: Codec<never, null> = {
      decode: () => undefined as never,
      encode: (_message, writer) => {
        writer!.uint32(10).fork().string('half')
        throw new Error('broken')
      },
    }
    expect(() => encodeFrame(broken, null)).toThrow('broken')
    expect(encodeFrame(bytesCodec, Buffer.from('ab')).toString('hex')).toBe('00000000026162')
  })

  it('gives each message memory of its own', () => {
    const first = encodeFrame(bytesCodec, Buffer.from('first'))
    encodeFrame(bytesCodec, Buffer.from('other'))
    expect(first.toString('latin1', 5)).toBe('first')
    const large = encodeFrame(bytesCodec, Buffer.alloc(200_000, 1))
    encodeFrame(bytesCodec, Buffer.alloc(200_000, 2))
    expect(large.subarray(5).every((byte) => byte === 1)).toBe(true)
  })
})
