/**
 * The clients of one instance as the wire sees them: a client is here from its first settings or
 * heartbeat until it says goodbye, its telemetry stream stays away, or it has been silent too long.
 *
 * Telemetry is no precondition for anything else (a restarted server meets clients that never reopen
 * it), so every call counts as a sign of life and registers what it can.
 */
import type { Cancel, Clock } from '../../world/world.ts'
import type { Broker } from '../broker.ts'

export interface ClientInfo {
  readonly clientId: string
  readonly language: string | undefined
  readonly version: string | undefined
  readonly group: string | null
  readonly topics: readonly string[]
}

export interface ClientRegistry {
  /** Every authenticated call. */
  alive(clientId: string): void
  /** Settings or a heartbeat say what the client is. */
  register(info: ClientInfo): void
  streamOpened(clientId: string): void
  /** The client has no telemetry stream any more; unless it is heard of soon, its deliveries are given back. */
  streamClosed(clientId: string): void
  terminated(clientId: string): void
  list(): ClientInfo[]
  close(): void
}

/** Clients heartbeat every 10 s (Rust every 30 s): a closed stream without a sign of life for this long means a lost client. */
const lostAfterMs = 35_000
const maxClients = 100_000

export function createClientRegistry(broker: Broker, clock: Clock): ClientRegistry {
  const known = new Map<string, ClientInfo>()
  const streams = new Map<string, number>()
  const doubts = new Map<string, Cancel>()

  function settleDoubt(clientId: string): void {
    doubts.get(clientId)?.()
    doubts.delete(clientId)
  }

  return {
    alive(clientId) {
      settleDoubt(clientId)
      broker.clientAlive(clientId)
    },
    register(info) {
      if (known.size >= maxClients && !known.has(info.clientId)) known.delete(known.keys().next().value!)
      known.set(info.clientId, info)
      settleDoubt(info.clientId)
      broker.clientAlive(info.clientId)
    },
    streamOpened(clientId) {
      streams.set(clientId, (streams.get(clientId) ?? 0) + 1)
      settleDoubt(clientId)
    },
    streamClosed(clientId) {
      const left = (streams.get(clientId) ?? 1) - 1
      if (left > 0) {
        streams.set(clientId, left)
        return
      }
      streams.delete(clientId)
      if (!known.has(clientId)) return
      settleDoubt(clientId)
      doubts.set(
        clientId,
        clock.after(lostAfterMs, () => {
          doubts.delete(clientId)
          known.delete(clientId)
          broker.clientGone(clientId)
        }),
      )
    },
    terminated(clientId) {
      settleDoubt(clientId)
      known.delete(clientId)
      broker.clientGone(clientId)
    },
    list: () => [...known.values()],
    close() {
      for (const cancel of doubts.values()) cancel()
      doubts.clear()
    },
  }
}
