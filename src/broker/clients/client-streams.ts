/**
 * The open streams of clients. A command goes over the client's newest stream; a stream that its client does not read gets
 * no more commands until it does.
 */

import type { MessageToVerify } from '../../model/clients.ts'
import type { ClientId, LiteTopicName } from '../../model/ids.ts'
import type { Clock } from '../../world/world.ts'
import type { Orphan } from '../broker.ts'

/** What is said to a client: each protocol has its own words for it. What has a `nonce` wants an answer that names it. */
export type ClientCommand =
  | { readonly kind: 'verify-message'; readonly nonce: string; readonly message: MessageToVerify }
  | { readonly kind: 'print-thread-stack-trace'; readonly nonce: string }
  | { readonly kind: 'reconnect-endpoints'; readonly nonce: string }
  /** `namespace` is that of the producer's topics, as it writes it. */
  | { readonly kind: 'recover-orphaned-transaction'; readonly orphan: Orphan; readonly namespace: string }
  | { readonly kind: 'notify-unsubscribe-lite'; readonly liteTopic: LiteTopicName }

/** A way to a client: with gRPC its telemetry stream. */
export interface ClientStream {
  /** The account it was opened with; null where none is needed. */
  readonly userName: string | null
  /** Number of its connection. */
  readonly connectionId: number
  /** False when enough is waiting for a client that reads slowly. */
  write(command: ClientCommand): boolean
  /** Resolves when it reads again, and when the stream ended. */
  drained(): Promise<void>
  /** Tells the client its settings when they are not what it was told last. */
  refresh(): void
  /** The client asked for a route; one that starts may have to be told its settings again. */
  routeAsked(): void
}

/** Streams of one client: one for each of its addresses, and some it has not closed yet. */
const maxStreamsPerClient = 16
const drainMs = 5_000

export class ClientStreams {
  readonly #clock: Clock
  /** By client, oldest first. */
  readonly #open = new Map<string, readonly ClientStream[]>()
  readonly #stalled = new Set<ClientStream>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  opened(clientId: ClientId, stream: ClientStream): void {
    const open = this.#open.get(clientId) ?? []
    this.#open.set(clientId, [...open.slice(open.length >= maxStreamsPerClient ? 1 : 0), stream])
  }

  /** Whether the client has no stream any more. */
  closed(clientId: ClientId, stream: ClientStream): boolean {
    this.#stalled.delete(stream)
    const left = (this.#open.get(clientId) ?? []).filter((open) => open !== stream)
    if (left.length > 0) this.#open.set(clientId, left)
    else this.#open.delete(clientId)
    return left.length === 0
  }

  /** Of all, or of those that were opened with the account; null when there is none, or the client does not read it. */
  newest(clientId: ClientId, userName?: string | null): ClientStream | null {
    const stream = this.#open.get(clientId)?.findLast((open) => userName === undefined || open.userName === userName)
    return stream === undefined || this.#stalled.has(stream) ? null : stream
  }

  /** Whether the client has one that was opened with the account, over this connection. */
  hasOver(connectionId: number, clientId: ClientId, userName: string | null): boolean {
    const open = this.#open.get(clientId) ?? []
    return open.some((stream) => stream.userName === userName && stream.connectionId === connectionId)
  }

  /** All of the client's that it reads. */
  readStreams(clientId: ClientId): ClientStream[] {
    return (this.#open.get(clientId) ?? []).filter((stream) => !this.#stalled.has(stream))
  }

  /** Resolves when the client reads on, or after five seconds. */
  send(stream: ClientStream, command: ClientCommand): Promise<void> {
    if (stream.write(command)) return Promise.resolve()
    this.#stalled.add(stream)
    return new Promise((resolve) => {
      const cancel = this.#clock.after(drainMs, resolve)
      void stream.drained().then(() => {
        this.#stalled.delete(stream)
        cancel()
        resolve()
      })
    })
  }
}
