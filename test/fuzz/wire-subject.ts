/**
 * One broker for the wire fuzz: the real RPCs and the real broker over a disk in memory and a clock that the fuzz moves,
 * called through the real `ServerCall` over streams in memory. Only nghttp2 and sockets are missing; `frames.ts` has
 * those.
 */

import { EventEmitter } from 'node:events'
import type { Broker } from '../../src/broker/broker.ts'
import type { BrokerEndpoint } from '../../src/broker/calls/endpoint.ts'
import { ClientRegistry } from '../../src/broker/clients/client-registry.ts'
import { metricsService } from '../../src/broker/protocols/grpc/client/metrics.ts'
import { messagingService } from '../../src/broker/protocols/grpc/index.ts'
import { openBroker } from '../../src/broker/shell/open.ts'
import { createBandwidth } from '../../src/gateway/bandwidth.ts'
import { OpenCalls } from '../../src/gateway/open-calls.ts'
import { type CallHost, ServerCall } from '../../src/grpc/call.ts'
import { defaultLimits } from '../../src/grpc/limits.ts'
import type { Method } from '../../src/grpc/transport.ts'
import type { MessageType } from '../../src/model/instances.ts'
import { SimulatedClock, SimulatedRandom } from '../../src/world/simulated.ts'
import { SimulatedDisk } from '../../src/world/simulated-disk.ts'

export interface WireAnswer {
  readonly httpStatus: number | null
  readonly grpcStatus: number | null
  readonly grpcMessage: string
  readonly body: Buffer
  readonly resetCode: number | null
}

/** The topics a fuzzed broker has: of every type it can make. */
const types: readonly MessageType[] = ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'PRIORITY', 'LITE']

export class WireSubject {
  readonly clock = new SimulatedClock()
  readonly broker: Broker
  /** What the wire or the transport reported as a failure of ours. */
  readonly errors: unknown[] = []
  heldBytes = 0
  readonly #open = new Map<ServerCall, string>()
  /** Open calls whose handler has not been called yet, or whose stream of compressed messages has not ended. */
  readonly #unzipping = new Set<unknown>()
  readonly #methods: ReadonlyMap<string, Method<any>>
  readonly #host: CallHost

  private constructor(broker: Broker, clock: SimulatedClock) {
    this.broker = broker
    this.clock = clock
    const clients = new ClientRegistry(broker.consuming, clock)
    const endpoint: BrokerEndpoint = {
      instanceId: 'rmq-cn-fuzz',
      broker,
      clients,
      clock,
      authenticator: null,
      authorizer: null,
      openCalls: new OpenCalls(),
      serving: true,
      maxConnections: 10_000,
      bandwidth: createBandwidth(null, clock),
      inbound: createBandwidth(null, clock),
      report: (error: unknown) => this.errors.push(error),
    }
    this.#methods = new Map(
      [...messagingService.methods, ...metricsService.methods].map((method) => [
        method.type.path,
        {
          type: method.type,
          admit: method.admit as Method<any>['admit'],
          handle: (call, request) => {
            if (method.type.kind !== 'bidi') this.#unzipping.delete(call)
            return method.handle(call as never, request)
          },
        } satisfies Method<any>,
      ]),
    )
    this.#host = {
      clock,
      limits: defaultLimits,
      connection: {
        id: 1,
        remoteAddress: '127.0.0.1',
        remotePort: 40_000,
        localAddress: '127.0.0.1',
        localPort: 7801,
        encrypted: false,
        admit: () => true,
        guessed: () => {},
        refused: () => {},
        refusalDelayMs: 0,
        owner: this,
        closed: false,
      },
      context: endpoint,
      hold: (bytes) => {
        this.heldBytes += bytes
        return true
      },
      release: (bytes) => {
        this.heldBytes -= bytes
      },
      callOpened: () => true,
      callEnded: () => {},
      mayDecode: () => true,
      mayAnswer: () => true,
      decoded: () => {},
      later: setImmediate,
      unsentBytes: () => 0,
      onError: (error) => this.errors.push(error),
      onEnd: (call) => {
        this.#open.delete(call)
        this.#unzipping.delete(call)
      },
    }
  }

  static async start(seed: number): Promise<WireSubject> {
    const clock = new SimulatedClock()
    const random = new SimulatedRandom(seed)
    const errors: unknown[] = []
    const broker = await openBroker({
      world: { clock, random, disk: new SimulatedDisk({ random }) },
      directory: '/instance',
      settings: { retentionMs: 72 * 3_600_000, sendTps: 1_000_000, receiveTps: 1_000_000, maxDelayMs: 40 * 86_400_000 },
      report: (error) => errors.push(error),
    })
    const subject = new WireSubject(broker, clock)
    await broker.administration.ensureTopics(
      types.map((messageType) => ({
        topicName: `topic-${messageType.toLowerCase()}`,
        generation: 1,
        messageType,
        maxSendTps: null,
      })),
    )
    await broker.administration.ensureGroups([
      {
        consumerGroupId: 'group-lite',
        generation: 1,
        orderly: false,
        maxRetryTimes: 16,
        retry: { kind: 'default' },
        deadLetterTopic: null,
        maxReceiveTps: null,
        lite: { topicName: 'topic-lite', exclusive: false },
      },
    ])
    return subject
  }

  /** A call with its request in the given chunks; the answer comes when the call has ended. */
  call(path: string, headers: Readonly<Record<string, string>>, chunks: readonly Buffer[]): Promise<WireAnswer> {
    const method = this.#methods.get(path)!
    const stream = new MemoryStream()
    const call = new ServerCall(
      this.#host,
      stream as unknown as ConstructorParameters<typeof ServerCall>[1],
      { headers: { 'content-type': 'application/grpc', 'x-mq-client-id': 'fuzz', ...headers }, rawHeaders: [] },
      method,
    )
    if (!call.ended) {
      this.#open.set(call, `${path} ${JSON.stringify(headers)} ${base64(chunks)}`)
      this.#unzipping.add(call)
    }
    for (const chunk of chunks) stream.emit('data', chunk)
    stream.readableEnded = true
    stream.emit('end')
    return stream.answer
  }

  /** The calls that have not ended, as text to run them again. */
  openCalls(): string[] {
    return [...this.#open.values()]
  }

  /** Unzipping takes time of the machine; with the clock held meanwhile, a seed repeats everything. */
  async arrived(): Promise<void> {
    for (let turn = 0; this.#unzipping.size > 0; turn++) {
      if (turn > 1_000_000) throw new Error(`These calls never came to their handler: ${this.openCalls().slice(0, 3)}`)
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  async close(): Promise<void> {
    await this.broker.close()
  }
}

const base64 = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).toString('base64').slice(0, 600)

/** What `ServerCall` uses of Node's HTTP/2 stream; nothing is ever waiting to be sent. */
class MemoryStream extends EventEmitter {
  readonly writableLength = 0
  readonly endAfterHeaders = false
  headersSent = false
  destroyed = false
  closed = false
  readableEnded = false
  rstCode = 0
  readonly answer: Promise<WireAnswer>
  #answered!: (answer: WireAnswer) => void
  #headers: Record<string, string | number> = {}
  #body: Buffer[] = []
  #trailersWanted = false

  constructor() {
    super()
    this.answer = new Promise((resolve) => {
      this.#answered = resolve
    })
  }

  respond(
    headers: Record<string, string | number>,
    { endStream = false, waitForTrailers = false }: { endStream?: boolean; waitForTrailers?: boolean },
  ): void {
    if (this.headersSent) throw new Error('The response headers were sent twice')
    this.headersSent = true
    this.#headers = { ...headers }
    this.#trailersWanted = waitForTrailers
    if (endStream) this.#finish(null)
  }

  write(chunk: Uint8Array): boolean {
    if (!this.headersSent) throw new Error('A message before the response headers')
    this.#body.push(Buffer.from(chunk))
    return true
  }

  end(chunk?: Uint8Array): void {
    if (chunk !== undefined) this.write(chunk)
    if (this.#trailersWanted) this.emit('wantTrailers')
    else this.#finish(null)
  }

  sendTrailers(headers: Record<string, string | number>): void {
    Object.assign(this.#headers, headers)
    this.#finish(null)
  }

  close(code: number): void {
    this.rstCode = code
    this.#finish(code)
  }

  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}

  #finish(resetCode: number | null): void {
    if (this.closed) return
    this.closed = true
    this.destroyed = true
    const status = this.#headers['grpc-status']
    this.#answered({
      httpStatus: (this.#headers[':status'] as number | undefined) ?? null,
      grpcStatus: status === undefined ? null : Number(status),
      grpcMessage: decodeURIComponent(String(this.#headers['grpc-message'] ?? '')),
      body: Buffer.concat(this.#body),
      resetCode,
    })
    this.emit('close')
  }
}
