/**
 * What our host promises beyond gRPC itself: what a port takes and refuses, bounds against hostile clients, closing.
 * Raw sockets and Node's HTTP/2 client send what no gRPC client would send; the test moves the clock.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { connect as connectTls } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type LoadedCertificate, loadCertificate } from '../../src/gateway/certificate.ts'
import type { ListenOptions, OpenPort } from '../../src/gateway/gateway.ts'
import { InstanceBounds } from '../../src/gateway/instance-bounds.ts'
import type { GatewayLimits } from '../../src/gateway/limits.ts'
import type { Signal } from '../../src/grpc/call-signal.ts'
import { encodeFrame } from '../../src/grpc/framing.ts'
import { SendMessageRequest } from '../../src/grpc/gen/index.ts'
import type { Limits } from '../../src/grpc/limits.ts'
import { type Admission, implement, Status } from '../../src/grpc/transport.ts'
import { realClock } from '../../src/world/real.ts'
import { SimulatedClock, SimulatedRandom } from '../../src/world/simulated.ts'
import type { Clock } from '../../src/world/world.ts'
import { aborted, drain, event, GrpcHost, NoteClient, type NoteHandlers, noteCodec, notes } from './harness.ts'

let tls: LoadedCertificate
let directory: string
beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'gantry-host-'))
  tls = await loadCertificate({ directory, hosts: [] })
})
afterAll(() => rmSync(directory, { recursive: true }))

let clock: SimulatedClock
let host: GrpcHost
let errors: unknown[]
const cleanups: (() => void)[] = []

beforeEach(() => {
  clock = new SimulatedClock()
  errors = []
})
afterEach(async () => {
  for (const clean of cleanups.splice(0)) clean()
  await closeNow(host)
})

/** Closing waits for the clock when a client does not go; here nobody is given time. */
async function closeNow(target: GrpcHost): Promise<void> {
  const closed = target.close()
  let open = true
  void closed.then(() => {
    open = false
  })
  while (open) {
    await clock.advance(500)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function hurrying(): Clock {
  let at = 0
  return { now: () => clock.now(), monotonic: () => at++, after: (ms, task) => clock.after(ms, task) }
}

async function serve(
  handlers: Partial<NoteHandlers> = {},
  {
    limits = {},
    admit = null,
    hurry = false,
    ...port
  }: Partial<ListenOptions<string>> & {
    limits?: Partial<Limits & GatewayLimits>
    admit?: Admission<string> | null
    /** A clock that goes on by a millisecond whenever somebody looks at it. */
    hurry?: boolean
  } = {},
): Promise<OpenPort<string>> {
  host = new GrpcHost({
    services: [notes(handlers, admit)],
    tls,
    clock: hurry ? hurrying() : clock,
    limits,
    onError: (error) => errors.push(error),
  })
  return host.listen({ host: '127.0.0.1', port: 0, context: 'ctx', ...port })
}

function client(port: number, options?: ConstructorParameters<typeof NoteClient>[1]): NoteClient {
  const made = new NoteClient(port, options)
  cleanups.push(() => made.close())
  return made
}

/** A raw connection; `gone` resolves with all it received when the other side has closed it. */
function raw(port: number, socket: Socket = connectTcp(port, '127.0.0.1')): Socket & { gone: Promise<string> } {
  const received: Buffer[] = []
  socket.on('data', (chunk) => received.push(chunk))
  socket.on('error', () => {})
  cleanups.push(() => socket.destroy())
  const gone = new Promise<string>((resolve) =>
    socket.on('close', () => resolve(Buffer.concat(received).toString('latin1'))),
  )
  return Object.assign(socket, { gone })
}

function http2(port: number, socket?: Socket): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`, socket ? { createConnection: () => socket } : {})
  session.on('error', () => {})
  cleanups.push(() => session.destroy())
  return session
}

const path_ = ':path'
function openCall(
  session: ClientHttp2Session,
  headers: Record<string, string> = {},
  method = 'Ask',
): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    [path_]: `/test.Notes/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  })
  stream.on('error', () => {})
  return stream
}

interface Answer {
  status: number | undefined
  grpcStatus: string | undefined
  message: string | undefined
  body: Buffer
  resetCode: number | undefined
}

/** What a raw call was answered with, once it is closed. */
function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const answer: Answer = {
    status: undefined,
    grpcStatus: undefined,
    message: undefined,
    body: Buffer.alloc(0),
    resetCode: 0,
  }
  const take = (headers: Record<string, unknown>) => {
    answer.status ??= headers[':status'] as number
    answer.grpcStatus ??= headers['grpc-status'] as string
    answer.message ??= headers['grpc-message'] as string
  }
  stream.on('response', take)
  stream.on('trailers', take)
  stream.on('data', (chunk: Buffer) => {
    answer.body = Buffer.concat([answer.body, chunk])
  })
  return new Promise((resolve) => {
    stream.on('close', () => resolve({ ...answer, resetCode: stream.rstCode }))
  })
}

const frame = (text: string) => encodeFrame(noteCodec, { text })
const grpcStatus = (status: number) => ({ status: 200, grpcStatus: String(status) })

/** Lets sockets and streams on this machine make progress until `condition` holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

describe('one port', () => {
  const who: Partial<NoteHandlers> = {
    ask: (call) => {
      const { remoteAddress, localAddress, localPort, encrypted } = call.connection
      return { text: JSON.stringify([call.context, remoteAddress, localAddress, localPort, encrypted]) }
    },
  }

  it('takes TLS and cleartext', async () => {
    const { port } = await serve(who)
    const plain = JSON.parse((await client(port).ask({ text: '' })).text)
    const secure = JSON.parse((await client(port, { tls: tls.cert }).ask({ text: '' })).text)
    expect(plain).toEqual(['ctx', '127.0.0.1', '127.0.0.1', port, false])
    expect(secure).toEqual(['ctx', '127.0.0.1', '127.0.0.1', port, true])
  })

  it('may come byte by byte', async () => {
    const { port } = await serve(who)
    const slow = raw(port)
    for (const byte of Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')) {
      slow.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    // The server's own SETTINGS answer the preface.
    await new Promise((resolve) => slow.once('data', resolve))
  })

  it('refuses TLS for another protocol', async () => {
    const { port } = await serve(who)
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    expect(await raw(port, socket).gone).toBe('')
  })

  it('takes TLS whose handshake names no protocol, and looks at what is inside', async () => {
    const { port } = await serve(who)
    const dial = () => connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    const answer = await answerOf(openCall(http2(port, dial())).end(frame('')))
    expect(noteCodec.decode(answer.body.subarray(5)).text).toMatch(/true\]$/)
    const http1 = raw(port, dial())
    http1.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    expect(await http1.gone).toMatch(/400 Bad Request(.|\s)*speaks gRPC/)
    const noise = raw(port, dial())
    noise.write(Buffer.from([0, 1, 2, 3]))
    expect(await noise.gone).toBe('')
  })

  it.each([
    ['noise', Buffer.from([0, 1, 2, 3]), ''],
    ['a TLS handshake that begins wrongly', Buffer.from([0x16, 3, 1, 0, 4, 2, 0, 0, 0]), /./],
    ['HTTP/1', Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'), /400 Bad Request(.|\s)*speaks gRPC/],
    ['a PROXY header nobody asked for', Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'), ''],
    [
      'an HTTP/2 frame too large',
      Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from('ffffff0000000000010000', 'hex')]),
      /./,
    ],
  ])('closes on %s and lives on', async (_name, bytes, answer) => {
    const { port } = await serve(who)
    const socket = raw(port)
    socket.write(bytes)
    const received = await socket.gone
    if (typeof answer === 'string') expect(received).toBe(answer)
    else expect(received).toMatch(answer)
    await client(port).ask({ text: '' })
  })

  it.each([
    ['says nothing', Buffer.alloc(0)],
    ['stops in the preface', Buffer.from('PRI * HT')],
    ['stops in the TLS handshake', Buffer.from([0x16, 3, 1, 2, 0])],
    ['stops in a PROXY header', Buffer.from('PROXY TCP4 1.2.3.4')],
    ['stops after the preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
  ])('closes a connection that %s, after its time and not before', async (_name, bytes) => {
    const handle = await serve(who, { limits: { firstBytesMs: 1000 } })
    const socket = raw(handle.port)
    socket.write(bytes)
    await until(() => handle.connections() === 1)
    await clock.advance(999)
    expect(handle.connections()).toBe(1)
    await clock.advance(1)
    await socket.gone
    await until(() => handle.connections() === 0)
  })

  it('closes when the client does, before it has spoken', async () => {
    const handle = await serve(who)
    const socket = raw(handle.port)
    await until(() => handle.connections() === 1)
    socket.end()
    await socket.gone
    await until(() => handle.connections() === 0)
    expect(clock.pending).toBeLessThanOrEqual(1)
  })

  it.each([
    ['version 1', Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 51000 8081\r\n')],
    ['version 2', Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000207c6336401c7381f91', 'hex')],
  ])('believes a PROXY header of %s when told to, before cleartext and before TLS', async (_name, header) => {
    const { port } = await serve(who, { trustProxy: true })
    const plain = connectTcp(port, '127.0.0.1')
    plain.write(header)
    const answer = await answerOf(openCall(http2(port, plain)).end(frame('')))
    expect(noteCodec.decode(answer.body.subarray(5)).text).toBe('["ctx","192.0.2.7","198.51.100.1",8081,false]')

    const below = connectTcp(port, '127.0.0.1')
    below.write(header)
    const secure = connectTls({ socket: below, rejectUnauthorized: false, ALPNProtocols: ['h2'] })
    const secured = await answerOf(openCall(http2(port, secure)).end(frame('')))
    expect(noteCodec.decode(secured.body.subarray(5)).text).toBe('["ctx","192.0.2.7","198.51.100.1",8081,true]')
  })

  it('believes one PROXY header, not a second one behind it', async () => {
    const { port } = await serve(who, { trustProxy: true })
    const socket = raw(port)
    socket.write('PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\nPROXY TCP4 192.0.2.8 198.51.100.1 1 2\r\n')
    expect(await socket.gone).toBe('')
  })

  it("asks whether an address may connect: the socket's, and the PROXY header's where one is believed", async () => {
    const asked: string[] = []
    const accept = (address: string) => {
      asked.push(address)
      return address !== '192.0.2.66' && address !== '127.0.0.1'
    }
    const direct = await serve(who, { accept })
    expect(await raw(direct.port).gone).toBe('')
    expect(host.stats().refusedConnections).toBe(1)
    const proxied = await host.listen({ host: '127.0.0.1', port: 0, context: 'p', accept, trustProxy: true })
    const refused = raw(proxied.port)
    refused.write('PROXY TCP4 192.0.2.66 198.51.100.1 51000 8081\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    expect(await refused.gone).toBe('')
    const socket = connectTcp(proxied.port, '127.0.0.1')
    socket.write('PROXY TCP4 192.0.2.7 198.51.100.1 51000 8081\r\n')
    expect(await answerOf(openCall(http2(proxied.port, socket)).end(frame('')))).toMatchObject(grpcStatus(0))
    expect(asked).toEqual(['127.0.0.1', '192.0.2.66', '192.0.2.7'])
  })

  it('closes open connections that a new policy refuses', async () => {
    const handle = await serve(who)
    const session = http2(handle.port)
    await answerOf(openCall(session).end(frame('')))
    const closed = new Promise((resolve) => session.on('close', resolve))
    handle.update({ accept: () => false })
    await closed
    await until(() => handle.connections() === 0)
    expect(await raw(handle.port).gone).toBe('')
    handle.update({ accept: () => true, context: 'new' })
    expect((await client(handle.port).ask({ text: '' })).text).toContain('new')
  })

  it('takes so many connections with a call and no more, and again when one has gone', async () => {
    await serve(who)
    const bounds = new InstanceBounds(host.gateway.bounds, { maxConnections: 2, overflow: 1, clock, tell: () => {} })
    const handle = await host.listen({ host: '127.0.0.1', port: 0, context: 'ctx', bounds })
    const dial = () => http2(handle.port)
    const first = dial()
    const second = dial()
    for (const session of [first, second])
      expect(await answerOf(openCall(session).end(frame('')))).toMatchObject(grpcStatus(0))
    const third = dial()
    const refused = await answerOf(openCall(third).end(frame('')))
    expect(refused).toMatchObject(grpcStatus(Status.RESOURCE_EXHAUSTED))
    first.destroy()
    await until(() => handle.connections() === 2)
    expect(await answerOf(openCall(third).end(frame('')))).toMatchObject(grpcStatus(0))
  })

  it("that is taken is refused with the system's error; a closed one can be opened again", async () => {
    const handle = await serve(who)
    await expect(host.listen({ host: '127.0.0.1', port: handle.port, context: 'x' })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    })
    await handle.close()
    const again = await host.listen({ host: '127.0.0.1', port: handle.port, context: 'again' })
    expect((await client(again.port).ask({ text: '' })).text).toContain('again')
  })

  it('has its own context beside others', async () => {
    const one = await serve(who)
    const two = await host.listen({ host: '127.0.0.1', port: 0, context: 'other' })
    expect((await client(one.port).ask({ text: '' })).text).toContain('ctx')
    expect((await client(two.port, { tls: tls.cert }).ask({ text: '' })).text).toContain('other')
    await two.close()
    expect((await client(one.port).ask({ text: '' })).text).toContain('ctx')
  })

  it('answers with the keys it was given last', async () => {
    const { port } = await serve(who)
    const other = mkdtempSync(path.join(tmpdir(), 'gantry-host-'))
    cleanups.push(() => rmSync(other, { recursive: true }))
    const next = await loadCertificate({ directory: other, hosts: [] })
    host.gateway.setTls(next)
    await client(port, { tls: next.cert }).ask({ text: '' })
    await expect(
      client(port, { tls: tls.cert }).ask({ text: '' }, { deadline: realClock.now() + 5000 }),
    ).rejects.toMatchObject({ code: Status.UNAVAILABLE })
  })
})

describe('a call', () => {
  it.each([
    ['GET', { ':method': 'GET' }, 405],
    ['another content type', { 'content-type': 'application/json' }, 415],
    ['almost the right content type', { 'content-type': 'application/grpcx' }, 415],
  ])('that is none is answered in HTTP: %s', async (_name, headers, status) => {
    const { port } = await serve()
    expect(await answerOf(openCall(http2(port), headers).end())).toMatchObject({ status, grpcStatus: undefined })
  })

  it.each(['application/grpc', 'application/grpc+proto', 'application/grpc;charset=utf-8'])(
    'may be %s',
    async (type) => {
      const { port } = await serve()
      expect(await answerOf(openCall(http2(port), { 'content-type': type }).end(frame('')))).toMatchObject(
        grpcStatus(0),
      )
    },
  )

  it.each<[string, Buffer[], number, RegExp]>([
    ['no message', [], Status.INTERNAL, /none arrived/],
    ['two messages', [frame('a'), frame('b')], Status.INTERNAL, /second one/],
    ['half a header', [Buffer.from([0, 0])], Status.INTERNAL, /inside a message/],
    ['half a message', [frame('abcdef').subarray(0, 9)], Status.INTERNAL, /inside a message/],
    ['unknown flags', [Buffer.from([7, 0, 0, 0, 0])], Status.INTERNAL, /flags 7/],
    ['a length beyond the limit', [Buffer.from([0, 255, 0, 0, 0])], Status.RESOURCE_EXHAUSTED, /limit of 16777216/],
    ['a compressed message without encoding', [Buffer.from([1, 0, 0, 0, 1, 0])], Status.INTERNAL, /no grpc-encoding/],
    [
      'a message that is not what it should be',
      [Buffer.from([0, 0, 0, 0, 1, 0x7b])],
      Status.INTERNAL,
      /not the message/,
    ],
  ])('with %s is refused', async (_name, chunks, status, message) => {
    const { port } = await serve()
    const stream = openCall(http2(port))
    const answer = answerOf(stream)
    for (const chunk of chunks) stream.write(chunk)
    stream.end()
    const seen = await answer
    expect(seen).toMatchObject(grpcStatus(status))
    expect(decodeURIComponent(seen.message!)).toMatch(message)
    expect(errors).toEqual([])
    expect(host.stats().calls).toBe(0)
    expect(host.stats().heldBytes).toBe(0)
  })

  it('is read from frames of one byte each', async () => {
    const { port } = await serve()
    const stream = openCall(http2(port))
    const answer = answerOf(stream)
    for (const byte of frame('one by one')) {
      await new Promise<void>((resolve) => stream.write(Buffer.from([byte]), () => resolve()))
    }
    stream.end()
    expect((await answer).body).toEqual(frame('one by one'))
  })

  it.each<[string, string, Buffer, number]>([
    ['gzip', 'gzip', gzipSync('{"text":"zipped"}'), Status.OK],
    ['what is no gzip', 'gzip', Buffer.from('nonsense'), Status.INTERNAL],
    ['a gzip bomb', 'gzip', gzipSync(Buffer.alloc(20 * 1024 * 1024)), Status.RESOURCE_EXHAUSTED],
    ['another encoding', 'br', Buffer.from('x'), Status.UNIMPLEMENTED],
  ])('compressed with %s', async (_name, encoding, bytes, status) => {
    const { port } = await serve()
    const header = Buffer.from([1, 0, 0, 0, 0])
    header.writeUInt32BE(bytes.length, 1)
    const answer = await answerOf(
      openCall(http2(port), { 'grpc-encoding': encoding }).end(Buffer.concat([header, bytes])),
    )
    expect(answer).toMatchObject(grpcStatus(status))
    if (status === Status.OK) expect(answer.body).toEqual(frame('zipped'))
  })

  it('ends at its deadline on the clock, not before, and tells the handler', async () => {
    const begun = event<Signal>()
    const { port } = await serve({
      ask: (call) => {
        begun.fire(call.signal)
        return new Promise(() => {})
      },
    })
    const stream = openCall(http2(port), { 'grpc-timeout': '20S' }).end(frame(''))
    const answer = answerOf(stream)
    const signal = await begun.promise
    await clock.advance(19_999)
    expect(signal.aborted).toBe(false)
    await clock.advance(1)
    expect(signal.aborted).toBe(true)
    expect(await answer).toMatchObject(grpcStatus(Status.DEADLINE_EXCEEDED))
  })

  it('leaves no timer behind when it ends before its deadline', async () => {
    const { port } = await serve({ ask: (_call, request) => Promise.resolve(request) })
    await answerOf(openCall(http2(port), { 'grpc-timeout': '20S' }).end(frame('')))
    // Only the sweep over connections is left, once the client has acknowledged our settings.
    await until(() => clock.pending === 1)
  })

  it('with a malformed deadline is refused', async () => {
    const { port } = await serve()
    expect(await answerOf(openCall(http2(port), { 'grpc-timeout': 'soon' }).end(frame('')))).toMatchObject(
      grpcStatus(Status.INTERNAL),
    )
  })

  it('whose request does not arrive ends after its time', async () => {
    const { port } = await serve({}, { limits: { requestMs: 60_000, keepaliveMs: 60_000 } })
    const stream = openCall(http2(port))
    const answer = answerOf(stream)
    stream.write(frame('never finished').subarray(0, 8))
    await until(() => host.stats().calls === 1)
    await clock.advance(59_000)
    expect(host.stats().calls).toBe(1)
    await clock.advance(61_001)
    expect(await answer).toMatchObject(grpcStatus(Status.DEADLINE_EXCEEDED))
    expect(host.stats().heldBytes).toBe(0)
  })

  it('whose request has arrived may take as long as it likes', async () => {
    const go = event()
    const begun = event()
    const { port } = await serve({
      ask: async (_call, request) => {
        begun.fire()
        await go.promise
        return request
      },
    })
    const session = http2(port)
    const answer = answerOf(openCall(session).end(frame('slow')))
    await begun.promise
    for (let minute = 0; minute < 10; minute++) {
      await clock.advance(60_000)
      await new Promise((resolve) => session.ping(resolve))
    }
    go.fire()
    expect(await answer).toMatchObject({ ...grpcStatus(0), body: frame('slow') })
  })

  it('reset by its client aborts the signal and wakes whoever reads', async () => {
    const first = event<Signal>()
    const woken = event<unknown>()
    const { port } = await serve({
      chat: async (call) => {
        try {
          for await (const _ of call.requests) first.fire(call.signal)
          woken.fire('finished')
        } catch (error) {
          woken.fire(error)
          throw error
        }
      },
    })
    const stream = openCall(http2(port), {}, 'Chat')
    stream.write(frame(''))
    const signal = await first.promise
    stream.destroy()
    stream.close(constants.NGHTTP2_CANCEL)
    await aborted(signal)
    await woken.promise
    await until(() => host.stats().calls === 0)
    expect(errors).toEqual([])
  })

  it.each([
    ['whose connection went away with it says so', true],
    ['that was only reset has its connection still', false],
  ])('%s', async (_, gone) => {
    const reading = event<void>()
    const ended = event<boolean>()
    const { port } = await serve({
      chat: async (call) => {
        try {
          for await (const _ of call.requests) reading.fire()
        } finally {
          ended.fire(call.connection.closed)
        }
      },
    })
    const socket = connectTcp(port, '127.0.0.1')
    const stream = openCall(http2(port, socket), {}, 'Chat')
    stream.write(frame(''))
    await reading.promise
    if (gone) socket.destroy()
    else stream.close(constants.NGHTTP2_CANCEL)
    expect(await ended.promise).toBe(gone)
  })

  it('whose handler does not mind a slow reader is ended at the limit', async () => {
    const ended = event<unknown>()
    let written = 0
    const { port } = await serve(
      {
        list: (call) => {
          const big = 'x'.repeat(100_000)
          for (; written < 1000 && !call.signal.aborted; written++) call.write({ text: big })
          ended.fire(call.signal.reason)
        },
      },
      { limits: { maxUnsentBytes: 1_000_000 } },
    )
    const stream = openCall(http2(port), {}, 'List')
    stream.end(frame(''))
    expect(await ended.promise).toMatchObject({ status: Status.RESOURCE_EXHAUSTED })
    expect(written).toBeLessThan(20)
    await until(() => host.stats().calls === 0)
    stream.resume()
    await answerOf(stream)
    expect(host.stats().endedCalls[Status.RESOURCE_EXHAUSTED]).toBe(1)
  })

  it.each<[string, boolean, Buffer]>([
    ['that never ends', false, Buffer.concat([Buffer.from([0, 0, 255, 255, 255]), Buffer.alloc(900_000)])],
    ['that would be too large', true, Buffer.from([0, 255, 255, 255, 255])],
    ['that is no gzip', true, Buffer.from([1, 0, 0, 0, 1, 0])],
    ['that is no message', true, Buffer.from([0, 0, 0, 0, 1, 0x7b])],
  ])('that is refused by its headers is answered at once, whatever its request: one %s', async (_, ends, request) => {
    let asked = 0
    const { port } = await serve(
      { ask: () => expect.fail('its handler ran') },
      {
        admit: () => {
          asked++
          return { replies: [{ text: 'who are you' }] }
        },
      },
    )
    const stream = openCall(http2(port), { 'grpc-encoding': 'gzip' })
    const answer = answerOf(stream)
    stream.write(request)
    if (ends) stream.end()
    const { body, ...seen } = await answer
    expect(seen).toMatchObject({ ...grpcStatus(0), resetCode: 0 })
    expect(noteCodec.decode(body.subarray(5))).toEqual({ text: 'who are you' })
    expect(asked).toBe(1)
    expect(host.stats()).toMatchObject({ calls: 0, heldBytes: 0 })
  })

  it('counts more than its bytes when it holds many small values', async () => {
    const go = event()
    const held: number[] = []
    host = new GrpcHost({
      services: [
        implement(
          {
            typeName: 'test.Routes',
            methods: {
              ask: { kind: 'unary', path: '/test.Notes/Ask', request: SendMessageRequest, response: noteCodec },
            },
          },
          {
            ask: async (_call, { messages: [message] }) => {
              held.push(host.stats().heldBytes)
              if (held.length === 2) go.fire()
              await go.promise
              return { text: `${message!.systemProperties!.keys.length}` }
            },
          },
        ),
      ],
      tls,
      clock,
      onError: (error) => errors.push(error),
    })
    const { port } = await host.listen({ host: '127.0.0.1', port: 0, context: 'ctx' })
    const session = http2(port)
    const answers = [1, 20_000].map((count) =>
      answerOf(
        openCall(session).end(
          encodeFrame(SendMessageRequest, { messages: [{ systemProperties: { keys: Array(count).fill('') } }] }),
        ),
      ),
    )
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject(grpcStatus(0))
    expect(held[0]).toBeLessThan(100_000)
    expect(held[1]).toBeGreaterThan(1_000_000)
    expect(host.stats().heldBytes).toBe(0)
  })

  it('may hold so many bytes of requests with its neighbours on a connection', async () => {
    const begun = event()
    let calls = 0
    const waiting: (() => void)[] = []
    const { port } = await serve(
      {
        ask: async () => {
          if (++calls === 3) begun.fire()
          await new Promise<void>((resolve) => waiting.push(resolve))
          return { text: '' }
        },
      },
      { limits: { maxHeldBytesPerConnection: 350_000 } },
    )
    const session = http2(port)
    const large = frame('x'.repeat(100_000))
    const taken = [1, 2, 3].map(() => answerOf(openCall(session).end(large)))
    await begun.promise
    expect(await answerOf(openCall(session).end(large))).toMatchObject(grpcStatus(Status.RESOURCE_EXHAUSTED))
    for (const go of waiting) go()
    for (const answer of await Promise.all(taken)) expect(answer).toMatchObject(grpcStatus(0))
    expect(host.stats().heldBytes).toBe(0)
  })
})

/** A client's preface with empty SETTINGS, and its acknowledgement of ours. */
const hello = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from('000000040000000000', 'hex')])
const settingsAck = Buffer.from('000000040100000000', 'hex')

/** A frame of a likely type for a likely stream with a body of noise, or a call's HEADERS as a client would send. */
function randomFrame(random: SimulatedRandom): Buffer {
  const body =
    random.below(3) === 0 ? callHeaders : Buffer.concat([Buffer.from([0, 0, 0, 0]), random.bytes(random.below(40))])
  const header = Buffer.alloc(9)
  header.writeUIntBE(body.length, 0, 3)
  header[3] = body === callHeaders ? 1 : random.below(11)
  header[4] = body === callHeaders ? 4 + random.below(2) : random.below(64)
  header.writeUInt32BE(2 * random.below(6) + random.below(2), 5)
  return Buffer.concat([header, body])
}

/**
 * :method POST, :scheme http, :authority a, :path /test.Notes/Ask, content-type application/grpc; HPACK without a
 * dynamic table.
 */
const callHeaders = Buffer.concat([
  Buffer.from([0x83, 0x86, 0x01, 1, 0x61, 0x04, 15]),
  Buffer.from('/test.Notes/Ask'),
  Buffer.from([0x0f, 0x10, 16]),
  Buffer.from('application/grpc'),
])

const callFrame = Buffer.concat([Buffer.from('000029010500000001', 'hex'), callHeaders])

describe('a connection', () => {
  it('carries so many calls at a time', async () => {
    const { port } = await serve({ ask: () => new Promise(() => {}) }, { limits: { maxConcurrentStreams: 5 } })
    const session = http2(port)
    await new Promise((resolve) => session.on('remoteSettings', resolve))
    expect(session.remoteSettings.maxConcurrentStreams).toBe(5)
  })

  it('with headers beyond the limit is refused them and lives on', async () => {
    const { port } = await serve()
    const session = http2(port)
    // The limit binds once the client has acknowledged it.
    await answerOf(openCall(session).end(frame('')))
    const stream = openCall(session, { 'x-long': 'y'.repeat(30_000) })
    const answer = await answerOf(stream.end(frame('')))
    expect(answer.grpcStatus).toBeUndefined()
    expect(await answerOf(openCall(http2(port)).end(frame('')))).toMatchObject(grpcStatus(0))
  })

  it('may send any frames whatever: the host lives on', async () => {
    const handle = await serve()
    const { port } = handle
    const random = new SimulatedRandom(7)
    for (let round = 0; round < 20; round++) {
      const sockets = Array.from({ length: 10 }, () => raw(port))
      for (const socket of sockets) {
        socket.write(Buffer.concat([hello, ...Array.from({ length: 10 }, () => randomFrame(random))]))
        socket.end(settingsAck)
      }
      await until(() => host.stats().acceptedConnections === 10 * (round + 1))
      while (handle.connections() > 0) await clock.advance(1000)
      await Promise.all(sockets.map((socket) => socket.gone))
    }
    expect(await answerOf(openCall(http2(port)).end(frame('alive')))).toMatchObject(grpcStatus(0))
    await until(() => host.stats().calls === 0)
    expect(host.stats().heldBytes).toBe(0)
    expect(errors).toEqual([])
  })

  it('that resets streams without end is closed', async () => {
    const { port } = await serve({ ask: () => new Promise(() => {}) })
    const session = http2(port)
    await new Promise((resolve) => session.on('remoteSettings', resolve))
    const closed = new Promise((resolve) => session.on('close', resolve))
    let open = true
    void closed.then(() => {
      open = false
    })
    for (let i = 0; i < 6000 && open && !session.destroyed; i++) {
      const stream = openCall(session)
      stream.close(constants.NGHTTP2_CANCEL)
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await closed
    expect(await answerOf(openCall(http2(port)).end())).toBeDefined()
  })

  it.each([
    ['in the clear', () => undefined],
    ['inside TLS', (port: number) => connectTls({ port, rejectUnauthorized: false, ALPNProtocols: ['h2'] })],
  ])(
    'that makes more calls than fit into a turn, %s, has them all answered; another does not wait for all',
    async (_, dial) => {
      const order: string[] = []
      const { port } = await serve(
        {
          ask: (_call, note) => {
            order.push(note.text)
            return note
          },
        },
        { hurry: true },
      )
      const [crowd, other] = [http2(port, dial(port)), http2(port, dial(port))]
      await Promise.all(
        [crowd, other].map((session) => new Promise((resolve) => session.on('remoteSettings', resolve))),
      )
      const answers = Array.from({ length: 900 }, (_, n) => answerOf(openCall(crowd).end(frame(`${n}`))))
      answers.push(answerOf(openCall(other).end(frame('other'))))
      for (const answer of await Promise.all(answers)) expect(answer).toMatchObject(grpcStatus(Status.OK))
      expect(order.filter((text) => text !== 'other')).toEqual(Array.from({ length: 900 }, (_, n) => `${n}`))
      expect(order.indexOf('other')).toBeLessThan(890)
      // It is read from again.
      expect(await answerOf(openCall(crowd).end(frame('later')))).toMatchObject(grpcStatus(Status.OK))
    },
  )

  it('whose calls are reset before their turn begins few of them', async () => {
    const { port } = await serve({ ask: () => new Promise(() => {}) }, { hurry: true })
    const session = http2(port)
    await new Promise((resolve) => session.on('remoteSettings', resolve))
    // Reset for good, and for an error, which nobody listens for yet.
    const streams = Array.from({ length: 1000 }, () => openCall(session))
    for (const [n, stream] of streams.entries()) {
      stream.close(n % 2 === 0 ? constants.NGHTTP2_CANCEL : constants.NGHTTP2_INTERNAL_ERROR)
    }
    await Promise.all(streams.map((stream) => new Promise((resolve) => stream.on('close', resolve))))
    await new Promise((resolve) => session.ping(resolve))
    expect(host.stats().startedCalls).toBeLessThan(900)
    await until(() => host.stats().calls === 0)
  })

  it('may be pinged for hours without a call', async () => {
    const handle = await serve()
    const session = http2(handle.port)
    await answerOf(openCall(session).end(frame('')))
    for (let minute = 0; minute < 300; minute++) {
      await new Promise<void>((resolve, reject) => session.ping((error) => (error ? reject(error) : resolve())))
      await clock.advance(60_000)
    }
    expect(handle.connections()).toBe(1)
    expect(await answerOf(openCall(session).end(frame('')))).toMatchObject(grpcStatus(0))
  })

  it('that is idle and answers pings stays; one that has fallen silent is closed', async () => {
    const handle = await serve({}, { limits: { keepaliveMs: 60_000 } })
    const alive = http2(handle.port)
    await answerOf(openCall(alive).end(frame('')))
    const silent = raw(handle.port)
    silent.write(hello)
    await new Promise((resolve) => silent.once('data', resolve))
    silent.write(Buffer.concat([settingsAck, callFrame]))
    await until(() => host.stats().startedCalls === 2)
    // Both have spoken before the first sweep; the second finds them silent and pings.
    await clock.advance(60_000)
    const pinged = new Promise((resolve) => alive.once('ping', resolve))
    await clock.advance(60_000)
    await pinged
    // A round trip, so that the answer to the ping has arrived.
    await new Promise((resolve) => alive.ping(resolve))
    expect(handle.connections()).toBe(2)
    await clock.advance(60_000)
    await silent.gone
    expect(handle.connections()).toBe(1)
  })
})

describe('closing', () => {
  it('lets a call finish within the grace, ends streams both ways at once, and takes no new calls', async () => {
    const go = event()
    const begun = event()
    const handle = await serve({
      ask: async (_call, request) => {
        begun.fire()
        await go.promise
        return request
      },
      chat: async (call) => {
        call.write({ text: 'hello' })
        for await (const _ of call.requests) {
        }
      },
    })
    const caller = client(handle.port)
    const chat = caller.chat()
    const chatEnd = drain(chat)
    const asked = caller.ask({ text: 'patience' })
    await begun.promise
    const closed = handle.close({ graceMs: 10_000 })
    expect(await chatEnd).toMatchObject({ code: Status.UNAVAILABLE })
    expect(await raw(handle.port).gone).toBe('')
    go.fire()
    expect(await asked).toEqual({ text: 'patience' })
    await closed
    expect(handle.connections()).toBe(0)
    expect(clock.pending).toBeLessThanOrEqual(1)
  })

  it('says so to the client', async () => {
    const handle = await serve()
    const session = http2(handle.port)
    await answerOf(openCall(session).end(frame('')))
    const goaway = new Promise((resolve) => session.on('goaway', resolve))
    const closed = handle.close()
    expect(await goaway).toBe(constants.NGHTTP2_NO_ERROR)
    await closed
  })

  it('ends what has not finished after the grace, whatever handlers and clients do', async () => {
    const begun = event<Signal>()
    const handle = await serve({
      ask: (call) => {
        begun.fire(call.signal)
        return new Promise(() => {})
      },
    })
    const asked = client(handle.port).ask({ text: '' })
    const rude = raw(handle.port)
    rude.write(hello)
    await until(() => handle.connections() === 2)
    const signal = await begun.promise
    const closed = handle.close({ graceMs: 5000 })
    await clock.advance(4999)
    expect(signal.aborted).toBe(false)
    await clock.advance(1)
    expect(signal.aborted).toBe(true)
    await expect(asked).rejects.toMatchObject({ code: Status.UNAVAILABLE })
    await clock.advance(1000)
    await closed
    expect(handle.connections()).toBe(0)
  })

  it('twice is fine, and the second may be less patient', async () => {
    const begun = event()
    const handle = await serve({
      ask: () => {
        begun.fire()
        return new Promise(() => {})
      },
    })
    const asked = client(handle.port)
      .ask({ text: '' })
      .catch((error) => error.code)
    await begun.promise
    const patient = handle.close({ graceMs: 3_600_000 })
    const urgent = handle.close()
    expect(await asked).toBe(Status.UNAVAILABLE)
    await clock.advance(1000)
    await Promise.all([patient, urgent])
  })
})
