/**
 * The clients of one instance as the wire sees them: a client is here from its first settings until it says
 * goodbye, or has been silent for too long without a telemetry stream.
 *
 * Telemetry is no precondition for anything else (a restarted server meets clients that never reopen
 * it), so every call counts as a sign of life. What the broker has to say to a
 * client goes over its newest telemetry stream; a client that has none, or that does not read what it was
 * sent, is not told.
 */
import type { ClientMetric } from '../../engines/engine.ts'
import type { ExportMetricsServiceRequest } from '../../grpc/gen/otlp.js'
import type * as gen from '../../grpc/gen/rocketmq.js'
import type { Cancel, Clock } from '../../world/world.ts'
import type { Broker } from '../broker.ts'
import { ClientMetrics, type Rejected } from './client-metrics.ts'
import { type Answer, Questions } from './questions.ts'

export interface ClientInfo {
  readonly clientId: string
  readonly language: string | undefined
  readonly version: string | undefined
  /** Null for a producer. */
  readonly group: string | null
  readonly topics: readonly string[]
  /** Resource namespace of its topics, as it writes it. */
  readonly namespace?: string
  /** Address it came from. */
  readonly address?: string
  /** Its settings' request timeout, where they have one. */
  readonly requestTimeoutMs?: number | null
}

/** A telemetry stream, towards the client. */
export interface ClientStream {
  /** False when enough is waiting for a client that reads slowly. */
  write(command: gen.TelemetryCommandInit): boolean
  /** Resolves when it reads again, and when the stream ended. */
  drained(): Promise<void>
  /** Tells the client its settings when they are not what it was told last. */
  refresh(): void
  /** The client asked for a route; one that starts may have to be told its settings again. */
  routeAsked(): void
}

export interface ClientRegistry {
  /** Every authenticated call. */
  alive(clientId: string): void
  /** Its settings say what the client is. */
  register(info: ClientInfo): void
  streamOpened(clientId: string, stream: ClientStream): void
  /**
   * When the client has no telemetry stream any more, its deliveries are given back unless it is heard of soon; very
   * soon when the whole connection is gone, as when its process died.
   */
  streamClosed(clientId: string, stream: ClientStream, connectionGone: boolean): void
  terminated(clientId: string): void
  /** A client asked where a topic is. */
  routeAsked(clientId: string): void
  list(): ClientInfo[]
  get(clientId: string): ClientInfo | null
  /** Has a stream that reads what it is sent. */
  listening(clientId: string): boolean
  /** Over the newest stream; resolves when the client reads on, or after five seconds. Whether it was sent at all. */
  tell(clientId: string, command: gen.TelemetryCommandInit): Promise<boolean>
  /** As `tell`, and waits for the answer: null when none came within five seconds or too much is being asked. */
  ask(clientId: string, command: (nonce: string) => gen.TelemetryCommandInit): Promise<Answer | null>
  /** A client's answer to a question. */
  answered(clientId: string, command: gen.TelemetryCommand): void
  /** Whether `nextProducerOf` would find one. */
  hasProducer(topicName: string): boolean
  /** A listening producer that declared the topic: the next in turn, or null. */
  nextProducerOf(topicName: string): ClientInfo | null
  /** Called with the topics of each producer that can be asked from now on. */
  onProducer(listener: (topics: readonly string[]) => void): void
  /** These groups' settings changed: their clients hear of it. */
  groupsChanged(groups: ReadonlySet<string>): void
  /** What a client measured; what of it could not be kept. */
  measured(clientId: string, request: ExportMetricsServiceRequest): Rejected | null
  metrics(): ClientMetric[]
  close(): void
}

/** Clients heartbeat every 10 s (Rust every 30 s): a closed stream without a sign of life for this long means a lost client. */
const lostAfterMs = 35_000
/** With its connection gone: a client that lives dials again within a second or two, and its poll or heartbeat comes with it. */
const lostWithConnectionAfterMs = 6_000
const maxClients = 100_000
/** Topics that all clients declare together; beyond it the oldest client is forgotten, as beyond the number of clients. */
const maxDeclaredTopics = 1_000_000
/** Streams of one client: one for each of its addresses, and some it has not closed yet. */
const maxStreamsPerClient = 16
const drainMs = 5_000

export function createClientRegistry(broker: Broker, clock: Clock): ClientRegistry {
  const known = new Map<string, ClientInfo>()
  let declaredTopics = 0
  let closed = false
  /** Oldest first. */
  const streams = new Map<string, ClientStream[]>()
  const stalled = new Set<ClientStream>()
  const doubts = new Map<string, Doubt>()
  const questions = new Questions(clock)
  const metrics = new ClientMetrics()
  /** Client ids by topic; the first is next in turn. */
  const producers = new Map<string, Set<string>>()
  let producerListener: (topics: readonly string[]) => void = () => {}

  function doubt(clientId: string, patienceMs: number): void {
    settle(clientId)
    doubts.set(clientId, { heardAt: clock.monotonic(), patienceMs, cancel: lookAgain(clientId, patienceMs) })
  }

  /** One timer a doubted client, however often it is heard: when it fires it asks whether there was silence. */
  function lookAgain(clientId: string, afterMs: number): Cancel {
    return clock.after(afterMs, () => {
      const doubted = doubts.get(clientId)!
      const leftMs = doubted.heardAt + doubted.patienceMs - clock.monotonic()
      if (leftMs > 0) doubted.cancel = lookAgain(clientId, leftMs)
      else forget(clientId)
    })
  }

  function settle(clientId: string): void {
    doubts.get(clientId)?.cancel()
    doubts.delete(clientId)
  }

  function forget(clientId: string): void {
    settle(clientId)
    evict(clientId)
    questions.give({ on: clientId })
    broker.clientGone(clientId)
  }

  function evict(clientId: string): void {
    unregister(clientId)
    metrics.forget(clientId)
  }

  function unregister(clientId: string): void {
    const info = known.get(clientId)
    if (info === undefined) return
    known.delete(clientId)
    declaredTopics -= info.topics.length
    if (info.group !== null) return
    for (const topic of info.topics) {
      const ofTopic = producers.get(topic)
      ofTopic?.delete(clientId)
      if (ofTopic?.size === 0) producers.delete(topic)
    }
  }

  function newestStream(clientId: string): ClientStream | null {
    const stream = streams.get(clientId)?.at(-1)
    return stream === undefined || stalled.has(stream) ? null : stream
  }

  function send(stream: ClientStream, command: gen.TelemetryCommandInit): Promise<void> {
    if (stream.write(command)) return Promise.resolve()
    stalled.add(stream)
    return new Promise((resolve) => {
      const cancel = clock.after(drainMs, resolve)
      void stream.drained().then(() => {
        stalled.delete(stream)
        cancel()
        resolve()
      })
    })
  }

  return {
    alive(clientId) {
      const doubted = doubts.get(clientId)
      if (doubted !== undefined) {
        doubted.heardAt = clock.monotonic()
        doubted.patienceMs = lostAfterMs
      }
      broker.clientAlive(clientId)
    },
    register(info) {
      const before = known.get(info.clientId)
      if (before === undefined && known.size >= maxClients) evict(known.keys().next().value!)
      const same = before !== undefined && before.group === info.group && sameTopics(before.topics, info.topics)
      if (!same) unregister(info.clientId)
      if (!same) {
        while (known.size > 0 && declaredTopics + info.topics.length > maxDeclaredTopics)
          evict(known.keys().next().value!)
        declaredTopics += info.topics.length
      }
      known.set(info.clientId, info)
      broker.clientAlive(info.clientId)
      if (info.group !== null) return
      if (!same) {
        for (const topic of info.topics) producers.set(topic, (producers.get(topic) ?? new Set()).add(info.clientId))
      }
      if (newestStream(info.clientId) !== null) producerListener(info.topics)
    },
    streamOpened(clientId, stream) {
      const open = streams.get(clientId) ?? []
      if (open.length >= maxStreamsPerClient) open.shift()
      streams.set(clientId, [...open, stream])
      settle(clientId)
    },
    streamClosed(clientId, stream, connectionGone) {
      const left = (streams.get(clientId) ?? []).filter((open) => open !== stream)
      stalled.delete(stream)
      if (left.length > 0) {
        streams.set(clientId, left)
        return
      }
      streams.delete(clientId)
      // Streams end after the registry when an instance closes: nobody is left to be told.
      if (known.has(clientId) && !closed) doubt(clientId, connectionGone ? lostWithConnectionAfterMs : lostAfterMs)
    },
    terminated: forget,
    routeAsked(clientId) {
      newestStream(clientId)?.routeAsked()
    },
    list: () => [...known.values()],
    get: (clientId) => known.get(clientId) ?? null,
    listening: (clientId) => newestStream(clientId) !== null,
    async tell(clientId, command) {
      const stream = newestStream(clientId)
      if (stream === null) return false
      await send(stream, command)
      return true
    },
    ask(clientId, command) {
      const stream = newestStream(clientId)
      if (stream === null || !questions.mayAsk(clientId)) return Promise.resolve(null)
      return questions.ask(clientId, (nonce) => void send(stream, command(nonce)))
    },
    answered(clientId, command) {
      questions.answered(clientId, command)
    },
    hasProducer(topicName) {
      for (const clientId of producers.get(topicName) ?? []) if (newestStream(clientId) !== null) return true
      return false
    },
    nextProducerOf(topicName) {
      const ofTopic = producers.get(topicName)
      if (ofTopic === undefined) return null
      // Each one looked at goes to the end, so that the questions are spread.
      for (let looks = ofTopic.size; looks > 0; looks--) {
        const clientId = ofTopic.values().next().value!
        ofTopic.delete(clientId)
        ofTopic.add(clientId)
        if (newestStream(clientId) !== null) return known.get(clientId)!
      }
      return null
    },
    onProducer(listener) {
      producerListener = listener
    },
    groupsChanged(groups) {
      for (const { clientId, group } of known.values()) {
        if (group === null || !groups.has(group)) continue
        for (const stream of streams.get(clientId) ?? []) if (!stalled.has(stream)) stream.refresh()
      }
    },
    measured(clientId, request) {
      // One that nobody knows could never be forgotten.
      if (!known.has(clientId)) return metrics.refuse(request, 'the client has not said what it is')
      return metrics.take(clientId, request, clock.now())
    },
    metrics: () => metrics.list(),
    close() {
      closed = true
      for (const { cancel } of doubts.values()) cancel()
      doubts.clear()
      questions.give({ on: 'everybody' })
    },
  }
}

function sameTopics(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((topic, i) => topic === b[i])
}

/** A client without a telemetry stream: it may come back, or go on without one as the C# client does. */
interface Doubt {
  /** Monotonic, ms. */
  heardAt: number
  /** Silence for so long means that it is gone. */
  patienceMs: number
  cancel: Cancel
}
