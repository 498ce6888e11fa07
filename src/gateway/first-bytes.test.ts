import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type FirstBytes, recognise as recogniseAmong, startsLike } from './first-bytes.ts'

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
/** One that needs the whole preface to be sure, as HTTP/2 does. */
const protocol = {
  name: 'h2',
  recognise: (first: Buffer) =>
    startsLike(first, Buffer.from(preface)) ? (first.length < preface.length ? 'more' : 'yes') : 'no',
} as const
const recognise = (bytes: Buffer) => recogniseAmong(bytes, [protocol])
const signature = '0d0a0d0a000d0a515549540a'

function proxy2(command: number, family: number, body: string): Buffer {
  const bytes = Buffer.from(body, 'hex')
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  return Buffer.concat([Buffer.from(signature, 'hex'), Buffer.from([command, family]), length, bytes])
}

/** A ClientHello of 300 bytes, in records of so many. */
function hello(...recordBytes: number[]): Buffer {
  const message = Buffer.alloc(300)
  message.writeUInt32BE(0x01000000 + 296)
  const ends = recordBytes.map((_, at) => recordBytes.slice(0, at + 1).reduce((sum, length) => sum + length))
  return Buffer.concat(
    recordBytes.flatMap((length, at) => [
      Buffer.from([0x16, 3, 1, length >> 8, length & 255]),
      message.subarray(ends[at]! - length, ends[at]),
    ]),
  )
}

const four = {
  sourceAddress: '192.0.2.7',
  sourcePort: 51000,
  destinationAddress: '10.0.0.1',
  destinationPort: 8081,
}
const bodyFour = 'c0000207' + '0a000001' + 'c738' + '1f91'
const bodySix = '20010db8000000000000000000000001' + '00000000000000000000000000000001' + 'c738' + '1f91'

const known: [string, Buffer, FirstBytes<typeof protocol>][] = [
  ['TLS', hello(300), { speaks: 'tls' }],
  ['TLS whose hello is cut into records', hello(2, 100, 198), { speaks: 'tls' }],
  ['TLS that begins with another message', Buffer.from([0x16, 3, 1, 0, 4, 2, 0, 0, 1]), { speaks: 'tls' }],
  ['a protocol', Buffer.from(preface), { speaks: 'protocol', protocol }],
  ['HTTP/1', Buffer.from('GET '), { speaks: 'http1' }],
  ['HTTP/1 OPTIONS', Buffer.from('OPTIONS '), { speaks: 'http1' }],
  [
    'PROXY 1 over IPv4',
    Buffer.from('PROXY TCP4 192.0.2.7 10.0.0.1 51000 8081\r\n'),
    { speaks: 'proxy', length: 42, addresses: four },
  ],
  [
    'PROXY 1 over IPv6',
    Buffer.from('PROXY TCP6 2001:db8::1 ::1 1 65535\r\n'),
    {
      speaks: 'proxy',
      length: 36,
      addresses: { sourceAddress: '2001:db8::1', sourcePort: 1, destinationAddress: '::1', destinationPort: 65535 },
    },
  ],
  ['PROXY 1 of a health check', Buffer.from('PROXY UNKNOWN\r\n'), { speaks: 'proxy', length: 15, addresses: null }],
  ['PROXY 2 over IPv4', proxy2(0x21, 0x11, bodyFour), { speaks: 'proxy', length: 28, addresses: four }],
  [
    'PROXY 2 with extensions',
    proxy2(0x21, 0x11, `${bodyFour}040001aa`),
    { speaks: 'proxy', length: 32, addresses: four },
  ],
  [
    'PROXY 2 over IPv6',
    proxy2(0x21, 0x21, bodySix),
    {
      speaks: 'proxy',
      length: 52,
      addresses: { sourceAddress: '2001:db8::1', sourcePort: 51000, destinationAddress: '::1', destinationPort: 8081 },
    },
  ],
  ['PROXY 2 of the proxy itself', proxy2(0x20, 0, ''), { speaks: 'proxy', length: 16, addresses: null }],
  [
    'PROXY 2 over a Unix socket',
    proxy2(0x21, 0x31, '00'.repeat(216)),
    { speaks: 'proxy', length: 232, addresses: null },
  ],
]

describe('recognise', () => {
  it.each(known)('knows %s', (_name, bytes, answer) => expect(recognise(bytes)).toEqual(answer))

  it.each(known)('waits for the whole of %s', (_name, bytes) => {
    for (let length = 0; length < bytes.length; length++)
      expect(recognise(bytes.subarray(0, length))).toMatchObject({ speaks: 'more' })
  })

  it.each(known)('knows %s with more behind it', (_name, bytes, answer) => {
    expect(recognise(Buffer.concat([bytes, Buffer.from('PROXY \r\n')]))).toEqual(answer)
  })

  it.each([
    ['noise', Buffer.from([0, 1, 2])],
    ['an alert', Buffer.from([0x15, 3])],
    ['TLS whose hello is cut into many records', hello(60, 60, 60, 60, 60)],
    ['TLS of no version', Buffer.from([0x16, 9])],
    ['lower case', Buffer.from('get / ')],
    ['a long word', Buffer.from('ABCDEFGH')],
    ['another preface', Buffer.from('PRI * HTTP/1.0\r\n')],
    ['PROXY 1 without end', Buffer.from(`PROXY TCP4 ${'1'.repeat(100)}`)],
    ['PROXY 1 with a name for an address', Buffer.from('PROXY TCP4 localhost 10.0.0.1 1 2\r\n')],
    ['PROXY 1 with mixed families', Buffer.from('PROXY TCP4 ::1 10.0.0.1 1 2\r\n')],
    ['PROXY 1 with a port too large', Buffer.from('PROXY TCP4 1.1.1.1 10.0.0.1 65536 2\r\n')],
    ['PROXY 1 with a port missing', Buffer.from('PROXY TCP4 1.1.1.1 10.0.0.1 1\r\n')],
    ['PROXY 1 with seven words', Buffer.from('PROXY TCP4 1.1.1.1 10.0.0.1 1 2 3\r\n')],
    ['PROXY 2 of version 3', proxy2(0x31, 0x11, bodyFour)],
    ['PROXY 2 with an unknown command', proxy2(0x22, 0x11, bodyFour)],
    ['PROXY 2 too short for its family', proxy2(0x21, 0x11, 'c0000207')],
    ['PROXY 2 too long', proxy2(0x21, 0x11, '00'.repeat(4200))],
  ])('refuses %s', (_name, bytes) => expect(recognise(bytes)).toEqual({ speaks: 'unknown' }))

  it('never throws, and never waits for more than its bound', () => {
    const start = fc.constantFrom(
      Buffer.alloc(0),
      Buffer.from('PROXY '),
      Buffer.from(signature, 'hex'),
      Buffer.from('PRI '),
      Buffer.from([0x16]),
    )
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 100 }), (head, tail) => {
        const bytes = Buffer.concat([head, tail])
        recognise(bytes)
        for (const more of [4096, 16_384]) {
          const whole = Buffer.concat([bytes, Buffer.alloc(more)])
          const answer = recognise(whole)
          if (answer.speaks === 'more') expect(whole.length).toBeLessThanOrEqual(answer.most)
        }
      }),
    )
  })

  it.each([
    ['00000000000000000000000000000000', '::'],
    ['20010db8000000010000000000000001', '2001:db8:0:1::1'],
    ['fe800000000000000000000000000000', 'fe80::'],
    ['20010db8000100010001000100010001', '2001:db8:1:1:1:1:1:1'],
    ['00010000000000000000000000100100', '1::10:100'],
    ['10000000000000000000000000000000', '1000::'],
    ['a0000000b000000000000000000000c0', 'a000:0:b000::c0'],
  ])('writes %s as %s', (hex, text) => {
    const first = recognise(proxy2(0x21, 0x21, `${hex}${'00'.repeat(16)}00010002`))
    expect(first.speaks === 'proxy' && first.addresses?.sourceAddress).toBe(text)
  })
})
