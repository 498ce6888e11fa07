/**
 * What a gRPC service may rely on, checked over our own host and over @grpc/grpc-js with the same tests: where the two
 * differ, a client would notice. What only our host promises is in host.test.ts.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type LoadedCertificate, loadCertificate } from '../../src/gateway/certificate.ts'
import type { Signal } from '../../src/grpc/call-signal.ts'
import { type Admission, binaryMetadata, RpcError, Status } from '../../src/grpc/transport.ts'
import { realClock } from '../../src/world/real.ts'
import {
  aborted,
  drain,
  event,
  GrpcHost,
  type Implementation,
  NoteClient,
  type NoteHandlers,
  notes,
  type Running,
} from './harness.ts'
import { openReference } from './reference.ts'

let tls: LoadedCertificate
let directory: string

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'gantry-tls-'))
  tls = await loadCertificate({ directory, hosts: [] })
})
afterAll(() => rmSync(directory, { recursive: true }))

const ours: Implementation = {
  name: 'our host',
  async open(service, limits) {
    const errors: unknown[] = []
    const host = new GrpcHost({
      services: [service],
      tls,
      clock: realClock,
      ...(limits && { limits }),
      onError: (e) => errors.push(e),
    })
    const handle = await host.listen({ host: '127.0.0.1', port: 0, context: 'ctx' })
    return { port: handle.port, tlsPort: handle.port, errors, close: (options) => host.close(options) }
  },
}

const reference: Implementation = {
  name: '@grpc/grpc-js',
  async open(service, limits) {
    const errors: unknown[] = []
    const onError = (error: unknown) => errors.push(error)
    return {
      errors,
      ...(await openReference({ services: [service], context: 'ctx', tls, ...(limits && { limits }), onError })),
    }
  },
}

describe.each([ours, reference])('$name', (implementation) => {
  let running: Running
  const clients: NoteClient[] = []

  async function serve(
    handlers: Partial<NoteHandlers>,
    { admit = null, ...options }: Parameters<Implementation['open']>[1] & { admit?: Admission<string> | null } = {},
  ): Promise<NoteClient> {
    running = await implementation.open(notes(handlers, admit), options)
    return connect()
  }
  function connect(options: ConstructorParameters<typeof NoteClient>[1] = {}): NoteClient {
    const client = new NoteClient(options.tls ? running.tlsPort : running.port, options)
    clients.push(client)
    return client
  }
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close()
    await running?.close()
  })

  it('answers a unary call, at once or later', async () => {
    const client = await serve({
      ask: (_call, { text }) => (text === 'later' ? Promise.resolve({ text: 'then' }) : { text: 'now' }),
    })
    expect(await client.ask({ text: '' })).toEqual({ text: 'now' })
    expect(await client.ask({ text: 'later' })).toEqual({ text: 'then' })
  })

  it('shows a handler its context, metadata, peer and deadline', async () => {
    const client = await serve({
      ask: (call) => ({
        text: JSON.stringify([
          call.context,
          call.path,
          call.metadata['x-mq-client-id'],
          binaryMetadata(call.metadata, 'trace-bin').map((bytes) => [...bytes]),
          call.metadata['absent'] ?? null,
          call.connection.remoteAddress,
          call.connection.encrypted,
          call.timeoutMs !== null && call.timeoutMs > 8_000 && call.timeoutMs <= 10_000 && call.remainingMs() > 8_000,
        ]),
      }),
    })
    const metadata = { 'X-MQ-Client-Id': 'host@1@2', 'trace-bin': Buffer.from([0, 255, 44]) }
    const answer = await client.ask({ text: '' }, { metadata, deadline: realClock.now() + 10_000 })
    expect(JSON.parse(answer.text)).toEqual([
      'ctx',
      '/test.Notes/Ask',
      'host@1@2',
      [[0, 255, 44]],
      null,
      '127.0.0.1',
      false,
      true,
    ])
  })

  it('has no deadline without one asked for', async () => {
    const client = await serve({ ask: (call) => ({ text: `${call.timeoutMs} ${call.remainingMs()}` }) })
    expect((await client.ask({ text: '' })).text).toBe('null Infinity')
  })

  it('sends headers and trailers, text and binary', async () => {
    const client = await serve({
      ask: (call, request) => {
        call.setHeaders({ 'x-first': 'a', 'x-bytes-bin': Buffer.from([1, 2]) })
        call.setTrailers({ 'x-last': 'z' })
        return request
      },
    })
    const call = client.ask({ text: '' })
    await call
    expect(call.seen.headers).toMatchObject({ 'x-first': 'a', 'x-bytes-bin': Buffer.from([1, 2]) })
    expect(call.seen.trailers).toMatchObject({ 'x-last': 'z' })
  })

  it.each([
    ['plain', 'No such topic'],
    ['percent and line breaks', '100 % wrong\r\nsecond line'],
    ['not ASCII', 'topic «naïve» 主题 🚀'],
    ['empty', ''],
  ])('carries a thrown status with its message: %s', async (_name, message) => {
    const client = await serve({
      ask: () => {
        throw new RpcError(Status.NOT_FOUND, message, { 'x-why': 'because' })
      },
    })
    const call = client.ask({ text: '' })
    await expect(call).rejects.toMatchObject({ code: Status.NOT_FOUND, details: message })
    expect(call.seen.trailers).toMatchObject({ 'x-why': 'because' })
    expect(running.errors).toEqual([])
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('secret detail')
      },
    ],
    ['rejects', () => Promise.reject(new Error('secret detail'))],
    ['answers what cannot be encoded', () => undefined as unknown as { text: string }],
  ])('answers INTERNAL without details when a handler %s, reports it, and lives on', async (name, ask) => {
    let calls = 0
    const client = await serve({ ask: (_call, request) => (calls++ === 0 ? ask() : request) })
    const error = await client.ask({ text: '' }).catch((e) => e)
    expect(error.code).toBe(Status.INTERNAL)
    expect(error.details).not.toContain('secret')
    if (!name.startsWith('answers')) expect(running.errors).toEqual([new Error('secret detail')])
    else expect(running.errors).toHaveLength(1)
    expect(await client.ask({ text: 'again' })).toEqual({ text: 'again' })
  })

  it('refuses an unknown method and a request it cannot read', async () => {
    const client = await serve({})
    await expect(client.unary('/test.Notes/Nothing', Buffer.alloc(0))).rejects.toMatchObject({
      code: Status.UNIMPLEMENTED,
    })
    await expect(client.unary('/test.Notes/Ask', Buffer.from('{'))).rejects.toMatchObject({ code: Status.INTERNAL })
    expect(await client.ask({ text: 'fine' })).toEqual({ text: 'fine' })
  })

  it.each([0, 1, 16_383, 16_384, 65_535, 4 * 1024 * 1024])('takes and gives a body of %d bytes', async (size) => {
    const client = await serve({})
    const text = 'x'.repeat(size)
    expect(await client.ask({ text })).toEqual({ text })
  })

  it('refuses a message over the limit and takes one below it', async () => {
    const client = await serve({}, { maxMessageBytes: 100_000 })
    await expect(client.ask({ text: 'x'.repeat(100_000) })).rejects.toMatchObject({ code: Status.RESOURCE_EXHAUSTED })
    expect((await client.ask({ text: 'x'.repeat(99_000) })).text).toHaveLength(99_000)
  })

  it('reads gzip, and refuses what gzip would blow up beyond the limit', async () => {
    running = await implementation.open(notes({}), { maxMessageBytes: 100_000 })
    const client = connect({ 'grpc.default_compression_algorithm': 2 })
    expect((await client.ask({ text: 'x'.repeat(90_000) })).text).toHaveLength(90_000)
    await expect(client.ask({ text: 'x'.repeat(1_000_000) })).rejects.toMatchObject({ code: Status.RESOURCE_EXHAUSTED })
  })

  it('ends a call at its deadline and aborts its signal', async () => {
    const gone = event<unknown>()
    const client = await serve({
      ask: async (call) => {
        await aborted(call.signal)
        gone.fire(call.signal.reason)
        throw call.signal.reason
      },
    })
    const call = client.ask({ text: '' }, { deadline: realClock.now() + 500 })
    await expect(call).rejects.toMatchObject({ code: Status.DEADLINE_EXCEEDED })
    expect(await gone.promise).toBeInstanceOf(RpcError)
    expect(running.errors).toEqual([])
  })

  it('aborts the signal when the client cancels', async () => {
    const begun = event()
    const gone = event()
    const client = await serve({
      ask: async (call, request) => {
        begun.fire()
        await aborted(call.signal)
        gone.fire()
        return request
      },
    })
    const call = client.ask({ text: '' })
    await begun.promise
    call.cancel()
    await expect(call).rejects.toMatchObject({ code: Status.CANCELLED })
    await gone.promise
  })

  it('aborts the signals of all calls when the connection is lost', async () => {
    const begun: (() => void)[] = []
    const gone: Promise<void>[] = []
    let resolveAll!: () => void
    const allBegun = new Promise<void>((resolve) => {
      resolveAll = resolve
    })
    const wait = async (call: { signal: Signal }) => {
      gone.push(aborted(call.signal))
      begun.push(() => {})
      if (begun.length === 3) resolveAll()
      await aborted(call.signal)
    }
    const client = await serve({
      ask: async (call, request) => {
        await wait(call)
        return request
      },
      list: wait,
      chat: wait,
    })
    const pending = [client.ask({ text: '' }).catch((e) => e), drain(client.list({ text: '' })), drain(client.chat())]
    await allBegun
    await running.close()
    await Promise.all(gone)
    await Promise.all(pending)
  })

  it('refuses by the headers, with messages or with a status', async () => {
    const client = await serve(
      { ask: () => expect.fail('its handler ran'), list: () => expect.fail(), chat: () => expect.fail() },
      {
        admit: ({ metadata }) => {
          if (metadata['x-status']) throw new RpcError(Status.UNAUTHENTICATED, 'Who are you')
          return { replies: [{ text: 'no' }] }
        },
      },
    )
    expect(await client.ask({ text: 'let me in' })).toEqual({ text: 'no' })
    expect(await drain(client.list({ text: '' }))).toEqual({ notes: [{ text: 'no' }], code: 0, details: '' })
    expect(await drain(client.chat())).toEqual({ notes: [{ text: 'no' }], code: 0, details: '' })
    await expect(client.ask({ text: '' }, { metadata: { 'x-status': '1' } })).rejects.toMatchObject({
      code: Status.UNAUTHENTICATED,
      details: 'Who are you',
    })
  })

  it('streams answers in order, with a status', async () => {
    const client = await serve({
      list: async (call, { n = 0 }) => {
        for (let i = 0; i < n; i++) {
          call.write({ text: 'item', n: i })
          if (i % 7 === 0) await Promise.resolve()
        }
        call.writeEncoded([Buffer.from('{"te'), Buffer.from('xt":"raw"}')])
        call.setTrailers({ 'x-count': String(n) })
        if (n === 13) throw new RpcError(Status.ABORTED, 'Unlucky')
      },
    })
    const good = await drain(client.list({ text: '', n: 1000 }))
    expect(good.code).toBe(0)
    expect(good.notes.map((note) => note.n ?? note.text)).toEqual([...Array(1000).keys(), 'raw'])
    const bad = await drain(client.list({ text: '', n: 13 }))
    expect(bad).toMatchObject({ code: Status.ABORTED, details: 'Unlucky' })
    expect(bad.notes).toHaveLength(14)
    expect(await drain(client.list({ text: '', n: 0 }))).toMatchObject({ code: 0, notes: [{ text: 'raw' }] })
  })

  it('ends a stream that wrote nothing, with OK and with an error', async () => {
    const client = await serve({
      list: (_call, { text }) => {
        if (text) throw new RpcError(Status.UNAVAILABLE, text)
      },
    })
    expect(await drain(client.list({ text: '' }))).toEqual({ notes: [], code: 0, details: '' })
    expect(await drain(client.list({ text: 'down' }))).toMatchObject({ code: Status.UNAVAILABLE, details: 'down' })
  })

  it('talks both ways at once, and ends when the client has finished', async () => {
    const client = await serve({
      chat: async (call) => {
        call.write({ text: 'welcome' })
        for await (const note of call.requests) call.write({ text: `re: ${note.text}` })
        call.write({ text: 'goodbye' })
      },
    })
    const call = client.chat()
    const first = event<string>()
    call.once('data', (note) => first.fire(note.text))
    expect(await first.promise).toBe('welcome')
    const all = drain(call)
    for (let i = 0; i < 50; i++) call.write({ text: String(i) })
    call.end()
    expect((await all).notes.map((note) => note.text)).toEqual(
      [...Array(50).keys()].map((i) => `re: ${i}`).concat('goodbye'),
    )
  })

  it('may end a bidirectional call while the client still talks', async () => {
    const client = await serve({
      chat: async (call) => {
        for await (const note of call.requests) {
          call.write({ text: note.text })
          throw new RpcError(Status.FAILED_PRECONDITION, 'Enough')
        }
      },
    })
    const call = client.chat()
    call.write({ text: 'one' })
    const end = await drain(call)
    expect(end).toMatchObject({ notes: [{ text: 'one' }], code: Status.FAILED_PRECONDITION, details: 'Enough' })
  })

  it('wakes a handler that reads when a bidirectional call is cancelled, and aborts its signal', async () => {
    const begun = event()
    const woken = event()
    const gone = event()
    const client = await serve({
      chat: async (call) => {
        const cancelled = aborted(call.signal)
        try {
          for await (const _ of call.requests) begun.fire()
        } catch {
          // Node's client half-closes before it resets: an orderly end and a cancelled one are both possible here.
        }
        woken.fire()
        await cancelled
        gone.fire()
      },
    })
    const call = client.chat()
    call.on('error', () => {})
    call.write({ text: '' })
    await begun.promise
    call.cancel()
    await woken.promise
    await gone.promise
  })

  it('holds back a handler whose client reads slowly, and loses nothing', async () => {
    let peak = 0
    let written = 0
    let read = 0
    const total = 400
    const client = await serve({
      list: async (call) => {
        for (let i = 0; i < total && !call.signal.aborted; i++) {
          written++
          peak = Math.max(peak, written - read)
          if (!call.write({ text: 'x'.repeat(32_768), n: i })) await call.drained()
        }
      },
    })
    const seen: number[] = []
    for await (const note of client.list({ text: '' })) {
      read++
      seen.push(note.n!)
      if (read % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(seen).toEqual([...Array(total).keys()])
    expect(peak).toBeLessThan(total)
  })

  it('holds back a client whose handler reads slowly, and loses nothing', async () => {
    const begun = event()
    const go = event()
    const client = await serve({
      chat: async (call) => {
        begun.fire()
        await go.promise
        let sum = 0
        for await (const note of call.requests) sum += note.n!
        call.write({ text: 'sum', n: sum })
      },
    })
    const call = client.chat()
    const answers = drain(call)
    let acceptedAll = true
    for (let i = 0; i < 300; i++) acceptedAll = call.write({ text: 'x'.repeat(32_768), n: i }) && acceptedAll
    call.end()
    // KeyedQueue enough for everything that may be sent ahead to arrive and wait.
    await begun.promise
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
    go.fire()
    expect((await answers).notes).toEqual([{ text: 'sum', n: (299 * 300) / 2 }])
    expect(acceptedAll).toBe(false)
  })

  it('keeps 500 concurrent calls on one connection apart', async () => {
    const waiting: (() => void)[] = []
    const all = event()
    const client = await serve({
      ask: async (_call, request) => {
        await new Promise<void>((resolve) => {
          waiting.push(resolve)
          if (waiting.length === 500) all.fire()
        })
        return request
      },
    })
    const calls = Array.from({ length: 500 }, (_, n) => client.ask({ text: 'c', n }))
    await all.promise
    for (const go of waiting.reverse()) go()
    expect((await Promise.all(calls)).map((note) => note.n)).toEqual([...Array(500).keys()])
  })

  it('serves TLS to a client that verifies', async () => {
    await serve({})
    const client = connect({ tls: tls.cert })
    expect(await client.ask({ text: 'hush' })).toEqual({ text: 'hush' })
    const big = 'x'.repeat(4 * 1024 * 1024)
    expect((await drain(connect({ tls: tls.cert }).list({ text: big }))).code).toBe(0)
  })
})
