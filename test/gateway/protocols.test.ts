/**
 * Two protocols on one port: gRPC, and one of four letters and a line. Each is told by its first bytes, in the clear and
 * inside TLS, whether the handshake names it or not; what stands before them is the gateway's and the same for both.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type LoadedCertificate, loadCertificate } from '../../src/gateway/certificate.ts'
import type { OpenPort } from '../../src/gateway/gateway.ts'
import type { Protocol, Recognition, ServedConnection, ServingConnection } from '../../src/gateway/protocol.ts'
import { realClock } from '../../src/world/real.ts'
import { GrpcHost, NoteClient, notes } from '../grpc/harness.ts'

/** `ECHO <text>\n` is answered with the text and what the gateway said of the connection. */
class Echo implements Protocol<string> {
  readonly name = 'Echo'
  readonly alpn = ['echo']
  readonly served: EchoConnection[] = []

  recognise(first: Buffer): Recognition {
    const text = first.toString('latin1', 0, 5)
    return text === 'ECHO ' ? 'yes' : 'ECHO '.startsWith(text) ? 'more' : 'no'
  }

  serve(socket: Duplex, connection: ServingConnection<string>): ServedConnection {
    const served = new EchoConnection(socket, connection)
    this.served.push(served)
    return served
  }
}

class EchoConnection implements ServedConnection {
  readonly told: string[] = []
  readonly #socket: Duplex

  constructor(socket: Duplex, connection: ServingConnection<string>) {
    this.#socket = socket
    connection.established()
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const { context, remoteAddress, encrypted } = connection
        socket.write(`${text.slice(5, end)} ${context} ${remoteAddress} ${encrypted}\n`)
        text = text.slice(end + 1)
      }
    })
    socket.resume()
  }
  sweep(): void {
    this.told.push('sweep')
  }
  drain(): void {
    this.told.push('drain')
    this.#socket.end()
  }
  giveWay(): boolean {
    return false
  }
  endOneCall(): boolean {
    return false
  }
  endCalls(): void {
    this.told.push('endCalls')
  }
  destroy(): void {
    this.told.push('destroy')
  }
}

let tls: LoadedCertificate
let directory: string
beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'gantry-gateway-'))
  tls = await loadCertificate({ directory, hosts: [] })
})
afterAll(() => rmSync(directory, { recursive: true }))

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

async function serve(): Promise<{ port: OpenPort<string>; echo: Echo }> {
  const echo = new Echo()
  const host = new GrpcHost({ services: [notes({})], protocols: [echo], tls, clock: realClock, onError: fail })
  const port = await host.listen({ host: '127.0.0.1', port: 0, context: 'endpoint', trustProxy: true })
  cleanups.push(() => host.close())
  return { port, echo }
}

const fail = (error: unknown) => {
  throw error
}

const secure = (port: number, options: ConnectionOptions = {}): Socket =>
  connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })

/** The next line on a socket, after what was given was said in pieces of one byte. */
async function answerTo(socket: Socket, words: string): Promise<string> {
  cleanups.push(() => socket.destroy())
  socket.setEncoding('utf8')
  let text = ''
  const line = new Promise<string>((resolve, reject) => {
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.includes('\n')) resolve(text)
    })
    socket.on('close', () => reject(new Error(`closed after ${JSON.stringify(text)}`)))
    socket.on('error', reject)
  })
  for (const letter of words) {
    socket.write(letter)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return line
}

const greeting = 'ECHO hello\n'

describe('a second protocol on the port', () => {
  it.each<[string, (port: number) => Socket, string]>([
    ['in the clear', (port) => connectTcp(port, '127.0.0.1'), 'hello endpoint 127.0.0.1 false\n'],
    [
      'inside TLS that names it',
      (port) => secure(port, { ALPNProtocols: ['echo'] }),
      'hello endpoint 127.0.0.1 true\n',
    ],
    ['inside TLS that names nothing', (port) => secure(port), 'hello endpoint 127.0.0.1 true\n'],
  ])('is served %s, and gRPC beside it', async (_, dial, answer) => {
    const { port } = await serve()
    expect(await answerTo(dial(port.port), greeting)).toBe(answer)
    for (const options of [{}, { tls: tls.cert }]) {
      const client = new NoteClient(port.port, options)
      cleanups.push(() => client.close())
      expect(await client.ask({ text: 'both' })).toEqual({ text: 'both' })
    }
  })

  it('learns the address a trusted PROXY header says', async () => {
    const { port } = await serve()
    const header = 'PROXY TCP4 192.0.2.7 198.51.100.1 51000 8081\r\n'
    expect(await answerTo(connectTcp(port.port, '127.0.0.1'), header + greeting)).toBe(
      'hello endpoint 192.0.2.7 false\n',
    )
  })

  it('is told when the port closes, and when its client has gone', async () => {
    const { port, echo } = await serve()
    await answerTo(connectTcp(port.port, '127.0.0.1'), greeting)
    const gone = connectTcp(port.port, '127.0.0.1')
    await answerTo(gone, greeting)
    gone.destroy()
    while (port.connections() > 1) await new Promise((resolve) => setImmediate(resolve))
    expect(echo.served[1]!.told).toEqual(['destroy'])
    await port.close()
    expect(echo.served[0]!.told).toEqual(['drain', 'endCalls', 'destroy'])
  })

  it('is named to whoever speaks HTTP/1', async () => {
    const { port } = await serve()
    const answer = await answerTo(connectTcp(port.port, '127.0.0.1'), 'GET / HTTP/1.1\r\n').catch(String)
    expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request/)
  })
})
