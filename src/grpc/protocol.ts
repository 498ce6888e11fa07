/**
 * gRPC over HTTP/2 as a protocol of the gateway: services, their methods by path, and the bounds all connections share.
 * A service's handlers find the endpoint they were called on in `call.context`.
 *
 * Read on in `connection.ts` (HTTP/2) and `call.ts` (one call).
 */
import type { Duplex } from 'node:stream'
import type { Protocol, Recognition, ServedConnection, ServingConnection } from '../gateway/protocol.ts'
import type { Clock } from '../world/world.ts'
import { CallBudget } from './call-budget.ts'
import { type ConnectionHost, Http2Connection, http2Options } from './connection.ts'
import { defaultLimits, type Limits } from './limits.ts'
import type { Method, Service, Status } from './transport.ts'

export interface GrpcOptions<Context> {
  readonly services: readonly Service<Context>[]
  readonly clock: Clock
  readonly limits?: Partial<Limits>
  /** Told of what handlers threw that is not an RpcError. Must not throw. */
  readonly onError: (error: unknown, where: string) => void
}

/** Counters since the start, except `calls`, which are of now. */
export interface GrpcStats {
  readonly calls: number
  readonly startedCalls: number
  /** Ended calls by gRPC status code. */
  readonly endedCalls: readonly number[]
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export class GrpcProtocol<Context> implements Protocol<Context>, ConnectionHost {
  readonly name = 'gRPC (HTTP/2)'
  readonly alpn = ['h2']
  readonly clock: Clock
  readonly limits: Limits
  readonly methods: ReadonlyMap<string, Method<any>>
  readonly budget: CallBudget
  readonly onError: (error: unknown, where: string) => void
  readonly #http2: ReturnType<typeof http2Options>
  #calls = 0
  #startedCalls = 0
  readonly #endedCalls = new Array<number>(17).fill(0)

  constructor(options: GrpcOptions<Context>) {
    this.clock = options.clock
    this.limits = { ...defaultLimits, ...options.limits }
    this.methods = routes(options.services)
    this.budget = new CallBudget(options.clock)
    this.onError = options.onError
    this.#http2 = http2Options(this.limits)
  }

  recognise(first: Buffer): Recognition {
    const length = Math.min(first.length, preface.length)
    if (first.compare(preface, 0, length, 0, length) !== 0) return 'no'
    return length < preface.length ? 'more' : 'yes'
  }

  serve(socket: Duplex, connection: ServingConnection<Context>): ServedConnection {
    return new Http2Connection(this, socket, connection, this.#http2)
  }

  stats(): GrpcStats {
    return {
      calls: this.#calls,
      startedCalls: this.#startedCalls,
      endedCalls: [...this.#endedCalls],
    }
  }

  onCallStart(): void {
    this.#calls++
    this.#startedCalls++
  }

  onCallEnd(status: Status): void {
    this.#calls--
    this.#endedCalls[status]!++
  }
}

function routes(services: readonly Service<any>[]): Map<string, Method<any>> {
  const methods = new Map<string, Method<any>>()
  for (const service of services) {
    for (const method of service.methods) {
      if (methods.has(method.type.path)) throw new Error(`${method.type.path} is served twice`)
      methods.set(method.type.path, method)
    }
  }
  return methods
}
