/** HTTP/2 frames as bytes: recorded from a real client, taken apart, and spoiled. */
import { connect } from 'node:http2'
import { Duplex } from 'node:stream'
import type { Random } from '../../src/world/world.ts'
import { frame } from '../wire/driver/line.ts'
import type { Recorded } from './wire-corpus.ts'
import { pick } from './wire-mutations.ts'

const prefaceBytes = 24
const headerBytes = 9

/** The bytes of a client that makes a few of the recorded calls on one connection, as frames; the preface comes first. */
export async function recordSession(corpus: readonly Recorded[], random: Random): Promise<Buffer[]> {
  const written: Buffer[] = []
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      written.push(Buffer.from(chunk))
      done()
    },
  })
  const session = connect('http://127.0.0.1', { createConnection: () => wire })
  session.on('error', () => {})
  for (let calls = 0; calls < 6; calls++) {
    const { path, messages } = pick(random, corpus)
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '3S',
      'x-mq-client-id': 'spoiled',
      'x-mq-language': 'JAVA',
    })
    stream.on('error', () => {})
    stream.end(Buffer.concat(messages.map((message) => frame(message))))
  }
  while (written.reduce((sum, { length }) => sum + length, 0) < 600) {
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  await new Promise<void>((resolve) => setImmediate(resolve))
  session.destroy()
  const bytes = Buffer.concat(written)
  return [bytes.subarray(0, prefaceBytes), ...parseFrames(bytes.subarray(prefaceBytes))]
}

/** Cuts bytes into frames; throws when they are no whole frames of known types. An answer may be cut short by a reset. */
export function parseFrames(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at + headerBytes <= bytes.length; ) {
    const end = at + headerBytes + bytes.readUIntBE(at, 3)
    if (bytes[at + 3]! > 9 && !bytes.subarray(at).toString('latin1').startsWith('HTTP/1.1 400')) {
      throw new Error(`A frame of type ${bytes[at + 3]} was sent`)
    }
    if (bytes[at + 3]! > 9) return frames
    frames.push(bytes.subarray(at, end))
    at = end
  }
  return frames
}

/** The session with some of its frames spoiled. The preface mostly stays, or nothing behind it would be looked at. */
export function mutateFrames(session: readonly Buffer[], random: Random): Buffer[] {
  const [preface, ...rest] = session
  let frames: Buffer[] = rest.map((each) => Buffer.from(each))
  for (let times = 1 + random.below(4); times > 0; times--) frames = pick(random, frameWise)(frames, random)
  const first = Buffer.from(preface!)
  if (random.below(30) === 0) first[random.below(first.length)]! ^= 1 << random.below(8)
  return [first, ...frames]
}

type FrameWise = (frames: Buffer[], random: Random) => Buffer[]

const changed = (frames: Buffer[], random: Random, change: (frame: Buffer) => Buffer): Buffer[] => {
  const at = random.below(Math.max(1, frames.length))
  // What was cut short has no header to spoil.
  if ((frames[at]?.length ?? 0) < headerBytes) return frames
  return [...frames.slice(0, at), change(frames[at]!), ...frames.slice(at + 1)]
}

const frameWise: readonly FrameWise[] = [
  // A bit of the payload or of the header.
  (frames, random) =>
    changed(frames, random, (each) => {
      each[random.below(each.length)]! ^= 1 << random.below(8)
      return each
    }),
  // The length lies.
  (frames, random) =>
    changed(frames, random, (each) => {
      each.writeUIntBE(pick(random, [0, 1, 5, 16_384, 16_385, 0xff_ff_ff]), 0, 3)
      return each
    }),
  // Another type, other flags, another stream.
  (frames, random) =>
    changed(frames, random, (each) => {
      each[3] = pick(random, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255])
      return each
    }),
  (frames, random) =>
    changed(frames, random, (each) => {
      each[4] = random.below(256)
      return each
    }),
  (frames, random) =>
    changed(frames, random, (each) => {
      each.writeUInt32BE(pick(random, [0, 1, 2, 3, 5, 99, 2 ** 31 - 1, 2 ** 32 - 1]), 5)
      return each
    }),
  // Twice, missing, elsewhere.
  (frames, random) => changed(frames, random, (each) => Buffer.concat([each, each])),
  (frames, random) => changed(frames, random, () => Buffer.alloc(0)).filter(({ length }) => length > 0),
  (frames, random) => {
    const at = random.below(frames.length + 1)
    return [...frames.slice(at), ...frames.slice(0, at)]
  },
  // Cut short: the client goes away in the middle.
  (frames, random) => {
    const kept = frames.slice(0, 1 + random.below(frames.length + 1))
    return changed(kept, random, (each) => each.subarray(0, random.below(each.length + 1)))
  },
  // Frames no client would send there.
  (frames, random) => {
    const strange = pick(random, [
      http2Frame(4, 0, 0, Buffer.from([0, 4, 0xff, 0xff, 0xff, 0xff])),
      http2Frame(4, 0, 0, Buffer.from([0, 5, 0, 0, 0, 1])),
      http2Frame(4, 1, 0, Buffer.from([1])),
      http2Frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
      http2Frame(8, 0, 1, Buffer.alloc(4)),
      http2Frame(3, 0, 1, Buffer.from([0, 0, 0, 8])),
      http2Frame(7, 0, 0, Buffer.alloc(8)),
      http2Frame(6, 0, 0, Buffer.alloc(8)),
      http2Frame(6, 1, 0, Buffer.alloc(8)),
      http2Frame(9, 4, 1, Buffer.from([0x80])),
      http2Frame(5, 4, 1, Buffer.from([0, 0, 0, 2, 0x82])),
      http2Frame(2, 0, 1, Buffer.from([0, 0, 0, 1, 0])),
      http2Frame(1, 0x25, 2 ** 31 - 1, Buffer.from([0x82, 0x86, 0x84])),
      http2Frame(0, 9, 1, Buffer.from([255, 1, 2])),
      http2Frame(random.below(256), random.below(256), random.below(16), Buffer.from(random.bytes(random.below(40)))),
    ])
    const at = random.below(frames.length + 1)
    return [...frames.slice(0, at), strange, ...frames.slice(at)]
  },
]

export function http2Frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(headerBytes)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}
